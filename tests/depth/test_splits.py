"""Splits keep places apart."""

from __future__ import annotations

import numpy as np
import pytest

from mrfmask.depth import Frames, split_frames


class Named(Frames):
    """Names and places alone."""

    def __init__(self, places, names=None, test=()):
        self.places = list(places)
        self.names = names or [f"{place}/{i:05d}" for i, place in enumerate(self.places)]
        self.test, self.left_out = frozenset(test), []

    def __getitem__(self, index):
        raise AssertionError("a split reads no frame")


def sides(split):
    return split.train, split.validation, split.test


@pytest.mark.parametrize("seed", range(5))
def test_split_keeps_places_apart(seed):
    draws = np.random.default_rng(seed)
    frames = Named(f"p{k}" for k in draws.integers(0, 40, 400))
    split = split_frames(frames, seed=seed)
    assert sorted(sum(sides(split), ())) == list(range(400))
    places = [{frames.places[index] for index in side} for side in sides(split)]
    assert not places[0] & places[1]
    assert not places[0] & places[2]
    assert not places[1] & places[2]
    for side in (split.validation, split.test):
        assert 0.08 * 400 < len(side) <= 0.15 * 400


def test_split_is_the_same_in_every_run_and_another_for_another_seed():
    frames = Named(f"p{i // 10}" for i in range(400))
    assert split_frames(frames) == split_frames(frames)
    assert split_frames(frames).test != split_frames(frames, seed=1).test
    # By place, whatever the order of the frames.
    order = np.random.default_rng(0).permutation(400)
    other = Named([frames.places[i] for i in order])
    places = {frames.places[index] for index in split_frames(frames).test}
    assert {other.places[index] for index in split_frames(other).test} == places


def test_single_place_is_cut_in_time_with_a_gap():
    """Two cameras and three cuts of each moment, in the order of the names."""
    names = [f"drive/image_0{c}/{m:010d}#{k}" for c in (2, 3) for m in range(100) for k in range(3)]
    split = split_frames(Named(["drive"] * 600, names), validation=0.1, test=0.1)
    moments = [
        {int(names[index].split("/")[2].split("#")[0]) for index in side} for side in sides(split)
    ]
    train, validation, test = moments
    assert test == set(range(90, 100))
    assert max(validation) < min(test) - 5
    assert max(train) < min(validation) - 5
    assert len(split.test) == len(split.validation) == 60
    assert len(train) > 60


def test_official_test_frames_are_the_test_side():
    frames = Named([f"p{i // 10}" for i in range(100)], test={0, 1, 2})
    split = split_frames(frames)
    assert split.test == (0, 1, 2)
    # Their neighbours are on no side.
    assert not set(range(10)) & {*split.train, *split.validation}
    assert 5 < len(split.validation) <= 15
    assert len(split.train) + len(split.validation) == 90


def test_share_of_zero_holds_nothing_out():
    split = split_frames(Named(["a"] * 3), validation=0, test=0)
    assert sides(split) == ((0, 1, 2), (), ())


def test_splits_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="--data must hold a place or moments enough to hold out"):
        split_frames(Named(["a"] * 2))
    with pytest.raises(ValueError, match="--data must hold frames for training; got 2"):
        split_frames(Named(["a"] * 2, test={0, 1}), validation=0)
    with pytest.raises(ValueError, match=r"test must lie in \[0, 1\); got 1"):
        split_frames(Named(["a"] * 9), test=1)
    with pytest.raises(ValueError, match=r"validation must leave frames for training; got 0\.5"):
        split_frames(Named(["a"] * 9), validation=0.5, test=0.5)
