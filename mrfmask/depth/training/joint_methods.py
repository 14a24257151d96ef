"""The joint trainings by the names of their maskings."""

from __future__ import annotations

from mrfmask.depth.training.joint import JointTraining
from mrfmask.depth.training.penalised import PenalisedTraining
from mrfmask.depth.training.relaxed import RelaxedTraining
from mrfmask.depth.training.rewarded import RewardedTraining

JOINT: dict[str, JointTraining] = {
    training.name: training
    for training in (
        PenalisedTraining(name="naive"),
        RelaxedTraining(name="gumbel", estimator="gumbel", options={"logits": "unary"}),
        RewardedTraining(name="reinforce"),
        RelaxedTraining(
            name="ising_mean_field", coupling="repulsive", estimator="mean_field", noise=1.0
        ),
        RewardedTraining(name="ising_score", coupling="repulsive"),
        RelaxedTraining(name="ising_tv", coupling="associative", estimator="tv_prox", noise=1.0),
    )
}
