"""Controls do what they are named for."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from mrfmask.depth import SyntheticFrames, collate_frames
from mrfmask.depth.cases import make_cases
from mrfmask.depth.checkpoint import DepthModel
from mrfmask.depth.controls import Flat, Greedy, Shuffled
from mrfmask.depth.density_net import DensityNet
from mrfmask.depth.evaluate import bought_by
from mrfmask.depth.judged import ChosenFrames
from mrfmask.depth.masking import MASKINGS
from mrfmask.depth.metrics import depth_metrics
from mrfmask.depth.phases import Phases
from mrfmask.depth.reconstruct import linear

FRAMES = SyntheticFrames(4, size=(24, 32))
BATCH = collate_frames([FRAMES[i] for i in range(4)])


class Seen(MASKINGS["random"]):
    """Random masking that keeps what it was shown."""

    shown: list = []  # noqa: RUF012

    def _choose(self, view, count):
        self.shown.append(view.picture)
        return super()._choose(view, count)


def test_shuffled_shows_the_picture_of_another_place():
    Seen.shown.clear()
    Shuffled(masking=Seen(), frames=FRAMES).buy(BATCH, 20, Phases())
    (shown,) = Seen.shown
    for image in range(4):
        same = [torch.equal(shown[image], BATCH.picture[other]) for other in range(4)]
        assert sum(same) == 1
        assert not same[image]
    again = Shuffled(masking=Seen(), frames=FRAMES).buy(collate_frames([FRAMES[2]]), 20, Phases())
    assert torch.equal(Seen.shown[-1][0], shown[2])
    assert again.sum() == 20


def test_shuffled_takes_another_place_where_there_is_one():
    frames = ChosenFrames(FRAMES, [0, 1, 2])
    frames.places = ["p", "p", "q"]
    shuffled = Shuffled(masking=Seen(), frames=frames)
    for index in (0, 1):
        shuffled.buy(collate_frames([frames[index]]), 20, Phases())
        assert torch.equal(Seen.shown[-1][0], frames[2].picture)


def test_shuffled_needs_another_frame():
    with pytest.raises(ValueError, match="frames must hold another frame for shuffled; got 1"):
        Shuffled(masking=Seen(), frames=ChosenFrames(FRAMES, [0]))


@pytest.mark.parametrize("count", [1, 4])
def test_flat_is_the_long_range_model_without_a_picture(count):
    phases = Phases(count=count)
    flat = bought_by(Flat(), BATCH, 30, phases)
    assert torch.equal(flat, bought_by(MASKINGS["long_range"](), BATCH, 30, phases))


def test_greedy_is_a_ceiling_on_average():
    greedy = bought_by(Greedy(), BATCH, 38, Phases())
    assert greedy.sum((1, 2)).tolist() == [38] * 4
    assert not (greedy & ~BATCH.valid).any()

    def errors(mask):
        return depth_metrics(linear(BATCH.depth, mask), BATCH.depth, BATCH.valid, mask)["rmse"]

    for name in ("random", "k_center", "long_range"):
        other = bought_by(MASKINGS[name](), BATCH, 38, Phases())
        assert errors(greedy).mean() < errors(other).mean()


def test_greedy_prefers_what_is_wrong_with_its_neighbours_to_a_single_pixel():
    depth = torch.full((1, 24, 32), 2.0)
    depth[0, 14:18, 20:24], depth[0, 5, 8] = 2.9, 3.0
    wall = replace(
        collate_frames([FRAMES[0]]), depth=depth, valid=torch.ones(1, 24, 32, dtype=torch.bool)
    )
    mask = Greedy(rounds=1).buy(wall, 2, Phases())[0]
    assert mask[14:18, 20:24].sum() == 1
    assert not mask[5, 8]


def test_greedy_buys_the_worst_pixel_of_a_round():
    # One wall with one pole on it, seen by neither of the first picks.
    depth = torch.full((1, 15, 15), 2.0)
    depth[0, 6:9, 3] = 9.0
    batch = collate_frames([FRAMES[0]])
    batch = type(batch)(torch.zeros(1, 3, 15, 15), depth, depth > 0, ("p",), ("n",))
    mask = Greedy(rounds=1).buy(batch, 7, Phases())
    first = Flat().buy(batch, 1, Phases())
    assert (mask & ~first).sum() == 6
    assert mask[0, 7, 3]


def test_cases_make_every_combination_that_differs():
    net = DensityNet(8)
    model = DepthModel(
        masking=MASKINGS["ising_density"](net=net),
        predictor=None,
        phases=Phases(count=4, trust=0.5),
        budget=0.01,
    )
    names = ["random", "random", "ising_density", "shuffled", "greedy"]
    cases = make_cases(names, [1, 4], [0.01, 0.02], model, FRAMES)
    found = [(c.masking.name, c.phases.count, c.share) for c in cases]
    assert found == [
        *(("random", 1, 0.01), ("random", 1, 0.02)),
        *(("ising_density", n, share) for share in (0.01, 0.02) for n in (1, 4)),
        *(("shuffled", n, share) for share in (0.01, 0.02) for n in (1, 4)),
        *(("greedy", 1, 0.01), ("greedy", 1, 0.02)),
    ]
    assert all(case.phases.trust == 0.5 for case in cases)
    assert cases[2].masking is model.masking


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("foo", "methods must be one of 'full', "),
        ("none", "methods must be one of 'full', "),
        ("shuffled", "methods must not hold shuffled without a network to be shown other pict"),
        (
            "prior",
            "methods must not hold prior without a network that was trained for it; got no check",
        ),
    ],
)
def test_cases_say_what_cannot_be_judged(name, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_cases([name], [1], [0.01], None, FRAMES)
