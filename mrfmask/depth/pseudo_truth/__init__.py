"""Pseudo-ground-truth by name: masks made with the true depth, for others to learn from."""

from __future__ import annotations

from mrfmask.depth.pseudo_truth.ensemble import Ensemble
from mrfmask.depth.pseudo_truth.pseudo_truth import (
    PseudoTruth,
    Target,
    linear_target,
    predictor_target,
)
from mrfmask.depth.pseudo_truth.saliency import Saliency
from mrfmask.depth.pseudo_truth.worst_error import WorstError

# The one registry; the training of ising_ssvm takes WorstError alone.
PSEUDO_TRUTHS: dict[str, type[PseudoTruth]] = {
    kind.name: kind for kind in (WorstError, Saliency, Ensemble)
}

__all__ = ["PSEUDO_TRUTHS", "PseudoTruth", "Target", "linear_target", "predictor_target"]
