"""What a training works on: places apart, every source with all sides, a digest that tells."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from mrfmask.depth import collate_frames, open_frames, split_frames
from mrfmask.depth.training.task import Repeated, Task, make_task

SIZE = (12, 16)
SIDES = ("train", "validation", "test")


def source(path, places=12, moments=3, seed=0, few=(), size=SIZE):
    """Writes an .npz file; frames with an index in `few` have two valid pixels."""
    draws = np.random.default_rng(seed)
    count = places * moments
    steps = draws.integers(500, 9000, (count, *size))
    for index in few:
        steps[index].ravel()[2:] = 0
    np.savez(
        path,
        rgb=draws.integers(0, 255, (count, *size, 3)).astype(np.uint8),
        depth_mm=steps,
        id=np.array([f"{index:03d}" for index in range(count)]),
        place=np.array([f"room{index // moments}" for index in range(count)]),
    )
    return str(path)


def names(side: Dataset) -> list[str]:
    return [side[index].name for index in range(len(side))]


def places(side: Dataset) -> set[str]:
    return {side[index].place for index in range(len(side))}


def made(specs, notices=None, **options) -> Task:
    return make_task(specs, notice=[].append if notices is None else notices.append, **options)


def test_places_of_one_side_are_not_on_another(tmp_path):
    task = made([source(tmp_path / "a.npz")], validation=0.2, test=0.3, seed=4)
    found = [places(getattr(task, side)) for side in SIDES]
    assert all(found)
    assert sum(map(len, found)) == len(set.union(*found)) == 12
    assert sum(len(getattr(task, side)) for side in SIDES) == 36


def test_every_source_is_split_by_itself(tmp_path):
    """A small source beside a large one still has frames to test on."""
    specs = [source(tmp_path / "a.npz", places=30), source(tmp_path / "b.npz", places=10, seed=1)]
    task = made(specs, validation=0.1, test=0.2, seed=2)
    for spec, stem in zip(specs, "ab", strict=True):
        frames = open_frames(spec)
        split = split_frames(frames, 0.1, 0.2, seed=2)
        for side in SIDES:
            expected = [frames.names[index] for index in getattr(split, side)]
            found = [n for n in names(getattr(task, side)) if n.startswith(f"{stem}/")]
            assert found == expected
            assert found
    batch = collate_frames([task.train[0], task.train[len(task.train) - 1]])
    assert batch.names[0][0] == "a"
    assert batch.names[1][0] == "b"


def test_names_are_unique_where_sources_share_them(tmp_path):
    specs = [source(tmp_path / x / "same.npz") for x in "ab" if not (tmp_path / x).mkdir()]
    task = made(specs)
    found = Counter(name for side in SIDES for name in names(getattr(task, side)))
    assert len(found) == 72
    assert max(found.values()) == 1


def test_frames_with_too_few_valid_pixels_are_listed(tmp_path):
    spec, few = source(tmp_path / "a.npz", few=(1, 5, 35)), {"a/001", "a/005", "a/035"}
    notices = []
    task = made([spec], notices, shares=(0.01, 0.1))  # 2 and 19 of 192 pixels
    kept = {name for side in SIDES for name in names(getattr(task, side))}
    assert len(kept) == 33
    assert not kept & few
    assert len(notices) == 3
    assert {notice.split()[2].rstrip(":") for notice in notices} == few
    assert all("which is 19 pixels, where 2 are valid" in notice for notice in notices)
    # A budget that they can give leaves none out.
    notices = []
    assert len(made([spec], notices, shares=(0.01,)).train) > len(task.train)
    assert not notices


def test_files_that_cannot_be_used_are_listed(tmp_path):
    spec = source(tmp_path / "a.npz")
    with np.load(spec) as file:
        arrays = dict(file)
    arrays["depth_mm"][7] = 0
    np.savez(spec, **arrays)
    notices = []
    made([spec], notices)
    assert len(notices) == 1
    assert notices[0].startswith("Left out ")
    assert notices[0].endswith("a.npz: 007: no valid depth")


def test_digest_tells_data_and_sides_apart(tmp_path):
    spec = source(tmp_path / "a.npz")
    digest = made([spec]).digest
    assert made([spec]).digest == digest
    with np.load(spec) as file:
        arrays = dict(file)
    found = {digest}
    for name, index in (("rgb", (35, 5, 7, 2)), ("depth_mm", (0, 0, 0))):
        changed = {**arrays, name: arrays[name].copy()}
        changed[name][index] ^= 1
        np.savez(spec, **changed)
        found.add(made([spec]).digest)
    np.savez(spec, **{**arrays, "id": np.array([f"x{name}" for name in arrays["id"]])})
    found.add(made([spec]).digest)
    np.savez(spec, **arrays)
    found |= {made([spec], **change).digest for change in ({"test": 0.4}, {"seed": 9})}
    found.add(made([spec, source(tmp_path / "b.npz", seed=1)]).digest)
    assert len(found) == 7


def test_digest_tells_which_side_has_a_frame(tmp_path):
    """Held out for validation or for testing: the frames and their order are the same."""
    spec = source(tmp_path / "a.npz")
    tasks = [made([spec], validation=v, test=0.25 - v) for v in (0.0, 0.25)]
    assert names(tasks[0].test) == names(tasks[1].validation)
    assert tasks[0].digest != tasks[1].digest


def test_task_carries_budgets_and_seed():
    task = made(
        ["synthetic"], shares=[0.02, 0.1], seed=3, count=8, size=(12, 18), test=0, validation=0
    )
    assert task.shares == (0.02, 0.1)
    assert task.seed == 3
    again = open_frames("synthetic", count=8, size=(12, 18), seed=3)
    frame = task.train[0]
    index = again.names.index(frame.name)
    assert torch.equal(frame.depth, again[index].depth)


def test_sides_that_are_not_wanted_stay_empty(tmp_path):
    task = made([source(tmp_path / "a.npz")], validation=0.0, test=0.0)
    assert (len(task.train), len(task.validation), len(task.test)) == (36, 0, 0)


@pytest.mark.parametrize(
    ("specs", "options", "error", "message"),
    [
        ([], {}, ValueError, "specs must be a list of data sets; got []"),
        ("synthetic", {}, ValueError, "specs must be a list of data sets; got 'synthetic'"),
        (["synthetic"], {"shares": ()}, ValueError, "shares must name a budget; got none"),
        (["synthetic"], {"shares": (0.01, 5)}, ValueError, "shares must lie in [0, 1]; got 5"),
        (["synthetic"], {"shares": ("1%",)}, TypeError, "shares must be a number; got str"),
        (["nowhere"], {}, FileNotFoundError, "got nowhere"),
    ],
)
def test_arguments_are_checked(specs, options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        made(specs, **options)


def test_side_without_frames_is_refused(tmp_path):
    spec = source(tmp_path / "a.npz", few=range(36))
    message = (
        r"--data must hold frames for train .*Left out a/\d+: budget must be at most the valid"
    )
    with pytest.raises(ValueError, match=message):
        made([spec], shares=(0.1,))
    task = made([source(tmp_path / "a.npz")])
    few = [int(name[-3:]) for name in names(task.validation)]
    spec = source(tmp_path / "a.npz", few=few)
    with pytest.raises(ValueError, match="--data must hold frames for validation"):
        made([spec], shares=(0.1,))


def test_sources_of_two_sizes_are_refused(tmp_path):
    specs = [source(tmp_path / "a.npz"), source(tmp_path / "b.npz", size=(13, 16))]
    with pytest.raises(ValueError, match="size must be given for data sets of different sizes"):
        made(specs)


def test_repeated_data_come_again_and_end():
    repeated = Repeated(["a", "b", "c"], 7)
    assert len(repeated) == 7
    assert list(repeated) == ["a", "b", "c", "a", "b", "c", "a"]
    assert list(Repeated(["a", "b", "c"], 2)) == ["a", "b"]
    with pytest.raises(IndexError, match=re.escape("index must lie in 0..6; got 7")):
        repeated[7]
