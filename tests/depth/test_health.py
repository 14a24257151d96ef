"""Faults are found where they were planted, and nowhere else."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from mrfmask.depth import health
from mrfmask.depth.budget import budget_of
from mrfmask.depth.frames import FrameBatch, collate_frames
from mrfmask.depth.health import history_faults, mask_faults
from mrfmask.depth.masking import MASKINGS
from mrfmask.depth.phases import Phases, buy
from mrfmask.depth.synthetic import SyntheticFrames

SIZE = (48, 64)
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def scenes() -> FrameBatch:
    """Two rooms and two streets, whose pixels are valid along the beams of a scanner."""
    frames = SyntheticFrames(4, size=SIZE)
    return collate_frames([frames[i] for i in range(4)])


def with_validity(frames: FrameBatch, kind: str) -> FrameBatch:
    """The same pictures with random depths on other pixels."""
    if kind == "scenes":
        return frames
    draws = torch.Generator().manual_seed(1)
    chance = torch.rand(frames.valid.shape, generator=draws)
    rows = torch.arange(SIZE[0])[:, None]
    valid = {
        "full": chance < 2,
        "half": chance < 0.5,
        "every second row": (rows % 2 == 0) & (chance < 0.9),
        "every third row": (rows % 3 == 0) & (chance < 0.9),
        "uneven rows": ((rows * 0.43 % 1) < 0.43) & (chance < 0.85),
    }[kind]
    depth = (1 + chance).where(valid, 0.0)
    return FrameBatch(frames.picture, depth, valid, frames.places, frames.names)


VALIDITIES = ("scenes", "full", "half", "every second row", "every third row", "uneven rows")


def kinds(masks, valid) -> list[str]:
    return [finding.kind for finding in mask_faults(masks, valid)]


def lattice(
    valid: torch.Tensor, period: int = 4, share: float = 0.5, moving: bool = False, stray: int = 0
) -> torch.Tensor:
    """Some of every period-th row and column, on valid pixels, besides some anywhere."""
    draws = torch.Generator().manual_seed(2)
    masks = torch.zeros_like(valid)
    for mask in masks:
        first = torch.randint(period, (2,), generator=draws).tolist() if moving else (1, 2)
        mask[first[0] :: period, first[1] :: period] = True
    masks &= valid & (torch.rand(valid.shape, generator=draws) < share)
    for mask, can in zip(masks, valid, strict=True):
        places = can.flatten().nonzero()[:, 0]
        mask.view(-1)[places[torch.randperm(len(places), generator=draws)[:stray]]] = True
    return masks


@pytest.mark.parametrize("validity", VALIDITIES)
@pytest.mark.parametrize("name", ["long_range", "poisson_disk", "k_center", "random"])
def test_mask_faults_finds_no_lattice_in_the_masks_of_selectors(name, validity, scenes):
    frames = with_validity(scenes, validity)
    told = 0
    for share in (0.01, 0.03, 0.0625, 0.1):
        try:
            count = budget_of(frames.valid, share)
        except ValueError:
            continue
        masks = buy(MASKINGS[name](), frames, count, Phases())
        assert "lattice" not in kinds(masks, frames.valid), share
        told += 1
    assert told >= 3


@pytest.mark.parametrize("validity", VALIDITIES)
def test_mask_faults_finds_no_lattice_in_masks_bought_in_phases(validity, scenes):
    frames = with_validity(scenes, validity)
    for share in (0.02, 0.05):
        count = budget_of(frames.valid, share)
        masks = buy(MASKINGS["long_range"](), frames, count, Phases(count=4))
        assert kinds(masks, frames.valid) == [], share


def test_mask_faults_finds_no_lattice_where_picks_crowd():
    masks = torch.zeros(4, *SIZE, dtype=torch.bool)
    draws = torch.Generator().manual_seed(0)
    for number, mask in enumerate(masks):
        # A tenth of the picture, somewhere else in every one.
        corner = mask[5 + 4 * number :, 9 * number + 3 :][:16, :19]
        corner[:] = torch.rand(corner.shape, generator=draws) < 0.3
    assert kinds(masks, torch.ones_like(masks)) == []


@pytest.mark.parametrize("validity", ["scenes", "full", "half"])
@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize(("period", "share"), [(4, 0.5), (4, 1.0), (3, 0.4), (2, 0.2), (6, 1.0)])
def test_mask_faults_finds_lattices(period, share, moving, validity, scenes):
    valid = with_validity(scenes, validity).valid
    masks = lattice(valid, period, share, moving)
    (finding,) = [f for f in mask_faults(masks, valid) if f.kind == "lattice"]
    assert f"some of every {period} " in finding.text
    # Where half of the pixels are missing, those left say less of where picks could have been.
    assert finding.statistic > (1.4 * finding.threshold if validity == "half" else 0.9)
    assert not finding.stops


def test_mask_faults_finds_lattices_among_stray_picks(scenes):
    masks = lattice(scenes.valid, share=1.0)
    stray = int(0.25 * masks.sum((1, 2)).min())
    assert "lattice" in kinds(lattice(scenes.valid, share=1.0, stray=stray), scenes.valid)


@pytest.mark.parametrize("line", [0, 1])
def test_mask_faults_finds_stripes(line, scenes):
    draws = torch.Generator().manual_seed(3)
    where = torch.arange(SIZE[line]) % 4 == 1
    stripes = where[:, None] if line == 0 else where
    masks = stripes & (torch.rand(scenes.valid.shape, generator=draws) < 0.2)
    (finding,) = mask_faults(masks, torch.ones_like(masks))
    assert ("every 4 rows" if line == 0 else "every 4 columns") in finding.text


@pytest.mark.parametrize("strides", [(4,), (2, 2)])
def test_mask_faults_finds_the_print_of_transposed_convolutions(strides, scenes):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 4, stride=4)]
    for stride in strides:
        layers += [nn.ReLU(), nn.ConvTranspose2d(layers[-1].out_channels, 16, stride, stride)]
    # Smooth filters of the same reach have no such print.
    print_free = [
        nn.Conv2d(3, 16, 4, stride=4),
        nn.ReLU(),
        nn.Upsample(scale_factor=4, mode="bilinear"),
        nn.Conv2d(16, 16, 5, padding=2),
    ]
    grain = 0.02 * torch.randn(scenes.valid.shape, generator=torch.Generator().manual_seed(4))
    found = []
    for net in (layers, print_free):
        with torch.no_grad():
            scores = nn.Sequential(*net)(scenes.picture).mean(1)
        scores = scores + (grain if net is print_free else 0)
        best = scores.flatten(1).topk(90).indices
        masks = torch.zeros_like(scenes.valid).flatten(1).scatter(1, best, True)
        masks = masks.view_as(scenes.valid)
        found.append("lattice" in kinds(masks, torch.ones_like(masks)))
    assert found == [True, False]


@pytest.mark.parametrize("period", [2, 4, 8])
def test_periodic_is_the_power_at_multiples_of_the_frequency(period):
    masks = RNG.random((3, *SIZE)) < 0.1
    together, single = health._periodic(masks, np.ones_like(masks), period, ())
    rows, columns = (range(0, side, side // period) for side in SIZE)
    places = [p for p in itertools.product(rows, columns) if p != (0, 0)]

    def power(mask):
        waves = np.fft.fft2(mask)
        return sum(abs(waves[p]) ** 2 for p in places) / mask.sum() ** 2 / len(places)

    assert together == pytest.approx(power(masks.sum(0)), rel=1e-9)
    assert single == pytest.approx(np.median([power(mask) for mask in masks]), rel=1e-9)


@pytest.mark.parametrize("period", [3, 5])
@pytest.mark.parametrize(("axes", "lines"), [((), "both"), ((4,), "rows"), ((3,), "columns")])
def test_periodic_compares_with_picks_placed_anew_in_their_blocks(period, axes, lines):
    valid = RNG.random((2, 23, 31)) < 0.4
    valid[:, ::3] = False
    masks = valid & (RNG.random(valid.shape) < 0.3)

    def class_of(y, x):
        both = (y % period, x % period)
        return {"both": both, "rows": both[0], "columns": both[1]}[lines]

    sums = []
    for mask, can in zip(masks, valid, strict=True):
        counted, expected = {}, {}
        for y, x in np.argwhere(can):
            block = np.s_[
                y // period * period : (y // period + 1) * period,
                x // period * period : (x // period + 1) * period,
            ]
            name = class_of(y, x)
            counted[name] = counted.get(name, 0) + mask[y, x]
            share = mask[block].sum() / can[block].sum()
            expected[name] = expected.get(name, 0) + share
        sums.append((counted, expected))

    def squared(counted, expected):
        names = [name for name in expected if expected[name] > 0]
        off = sum((counted[n] - expected[n]) ** 2 / expected[n] for n in names)
        return off / sum(counted.values()) / (len(names) - 1)

    joined = [
        {n: a.get(n, 0) + b.get(n, 0) for n in a.keys() | b.keys()}
        for a, b in zip(*sums, strict=True)
    ]
    together, single = health._periodic(masks, valid, period, axes)
    assert together == pytest.approx(squared(*joined), rel=1e-9)
    assert single == pytest.approx(np.median([squared(*s) for s in sums]), rel=1e-9)


def test_same_is_the_overlap_of_pairs_beyond_chance():
    valid = RNG.random((4, 20, 30)) < 0.7
    shared = RNG.random((20, 30)) < 0.2
    masks = valid & (shared | (RNG.random(valid.shape) < 0.02))
    values = []
    for a, b in itertools.combinations(range(4), 2):
        common = valid[a] & valid[b]
        x, y = masks[a][common], masks[b][common]
        overlap = (x & y).sum() / (x | y).sum()
        both = x.mean() * y.mean()
        chance = both / (x.mean() + y.mean() - both)
        values.append((overlap - chance) / (1 - chance))
    finding = health._same(masks, valid)
    assert finding.statistic == pytest.approx(np.mean(values), rel=1e-5)
    assert np.mean(values) > health.SAME


def test_mask_faults_tells_the_same_mask_from_masks_of_pictures(scenes):
    valid = torch.ones_like(scenes.valid)
    draws = torch.Generator().manual_seed(5)
    random = torch.rand(valid.shape, generator=draws) < 0.05
    assert kinds(random, valid) == []
    same = random[:1].expand_as(random).clone()
    assert kinds(same, valid) == ["same"]
    # A third of the picks differ: hardly more than half of the union is shared.
    assert kinds((same & (torch.rand(valid.shape, generator=draws) < 0.6)), valid) == []
    # Two dense masks overlap by chance alone.
    dense = torch.rand(valid.shape, generator=draws) < 0.9
    assert kinds(dense, valid) == []


def test_mask_faults_finds_collapse():
    valid = torch.rand(4, 24, 24, generator=torch.Generator().manual_seed(0)) < 0.5
    for masks, how in ((torch.zeros_like(valid), "all off"), (valid, "on on all valid")):
        finding = mask_faults(masks, valid)[0]
        assert (finding.kind, finding.stops, finding.statistic) == ("collapse", True, 1.0)
        assert how in finding.text
    most = valid.clone()
    most[:3] &= torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(1)) < 0.1
    assert kinds(most, valid) == []
    assert kinds(torch.zeros_like(valid), torch.zeros_like(valid)) == []


def test_mask_faults_looks_at_many_masks_and_at_one():
    masks = torch.zeros(260, 64, 64, dtype=torch.bool)
    masks[:, ::4, ::4] = torch.rand(260, 16, 16, generator=torch.Generator().manual_seed(0)) < 0.5
    assert kinds(masks, torch.ones_like(masks)) == ["lattice"]
    assert kinds(masks[:1], torch.ones_like(masks[:1])) == ["lattice"]
    small = masks[:2, :8, :8]
    assert kinds(small, torch.ones_like(small)) == []


def test_mask_faults_refuses_other_tensors():
    mask = torch.zeros(2, 8, 8, dtype=torch.bool)
    for masks, valid, error, says in (
        (mask.float(), mask, TypeError, "masks must be a bool tensor"),
        (mask, mask.float(), TypeError, "valid must be a bool tensor"),
        (mask, mask[:1], ValueError, "valid must have shape"),
        (mask[0], mask[0], ValueError, r"masks must have shape \(batch, height, width\)"),
        (~mask, mask, ValueError, "masks must hold valid pixels alone; got 128"),
        (mask[:0], mask[:0], ValueError, "none of them 0"),
        ([1], mask, TypeError, "masks must be a bool tensor"),
    ):
        with pytest.raises(error, match=says):
            mask_faults(masks, valid)


@pytest.mark.parametrize(
    ("errors", "found"),
    [
        ([], None),
        ([1.0], None),
        ([3.0, 2.0, 2.1, 1.9, 1.95, 1.99, 2.0], None),  # rises within a tenth
        ([1.0, 1.05, 1.1, 1.15], 3),
        ([1.0, 1.05, 1.04, 1.15, 1.2, 1.25], 5),
        ([1.0, 1.9, 1.2, 1.9, 1.2], None),
        ([1.0, 2.5], 1),
        ([4.0, 1.0, 1.9, 2.1], 3),
        ([1.0, 0.5, math.nan, 0.4], 2),
        ([math.inf], 0),
    ],
)
def test_history_faults_finds_divergence(errors, found):
    findings = history_faults(errors)
    assert len(findings) == (found is not None)
    if findings:
        (finding,) = findings
        assert (finding.kind, finding.stops) == ("divergence", True)
        assert f"round {found} is" in finding.text


def test_history_faults_waits_for_as_many_rises_as_told():
    errors = [1.0, 1.2, 1.3, 1.4, 1.5]
    for rounds in (1, 2, 3, 4):
        assert f"round {rounds} is" in history_faults(errors, rounds)[0].text
    assert history_faults(errors, 5) == []
    with pytest.raises(ValueError, match="rounds must lie in"):
        history_faults(errors, 0)
