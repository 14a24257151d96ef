"""Grids with diagonals: what the model, its graph form and its files promise."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import couplings, energy_of
from strategies import grids, random_grid

import mrfmask as mm
from mrfmask import IsingGrid
from mrfmask.inference.on_graph import marginals_on_graph


def masks_of(model, data):
    _, height, width = model.shape
    bits = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    return torch.tensor(bits).reshape(1, height, width)


@given(grids(diagonals=True), st.data())
def test_energy_is_the_sum_of_its_terms(model, data):
    mask = masks_of(model, data)
    expected = energy_of(model, 0, mask[0].numpy())
    assert model.energy(mask).item() == pytest.approx(expected)
    graph = model.as_graph()
    assert graph.energy(mask.flatten(1)).item() == pytest.approx(expected)


@given(grids(diagonals=True))
def test_edges_and_pairwise_list_every_coupling(model):
    _, _, width = model.shape
    found = sorted(
        (i, j, value)
        for (i, j), value in zip(model.edges.tolist(), model.pairwise[0].tolist(), strict=True)
    )
    expected = sorted(
        (i[0] * width + i[1], j[0] * width + j[1], value) for i, j, value in couplings(model, 0)
    )
    assert found == expected


@given(grids(diagonals=True, clamps=False), st.data())
def test_energy_does_not_change_in_a_mirror(model, data):
    mask = masks_of(model, data)
    if model.periodic:  # the mirror image of a wrapped column is not the last one
        return
    mirrored = IsingGrid(
        model.unary.flip(2),
        model.right.flip(2),
        model.down.flip(2),
        model.constant,
        down_right=None if model.down_left is None else model.down_left.flip(2),
        down_left=None if model.down_right is None else model.down_right.flip(2),
    )
    torch.testing.assert_close(mirrored.energy(mask.flip(2)), model.energy(mask))


def test_diagonals_count_for_the_signs():
    plain = random_grid(1, 3, 4)
    options = {"down_right": torch.ones(1, 2, 3), "down_left": -torch.ones(1, 2, 3)}
    assert plain.is_associative
    assert not plain.has_diagonals
    mixed = IsingGrid(plain.unary, plain.right, plain.down, **options)
    assert mixed.has_diagonals
    assert not mixed.is_associative
    assert not mixed.is_repulsive
    assert IsingGrid(
        plain.unary, plain.right, plain.down, down_right=torch.ones(1, 2, 3)
    ).is_associative


def test_images_devices_dtypes_and_clamps_keep_diagonals():
    model = random_grid(3, 4, 5, diagonals=True)
    mask = model.unary > 0
    assert torch.equal(model[1].energy(mask[1:2]), model.energy(mask)[1:2])
    assert model[1:].down_left.shape == (2, 3, 4)
    double = model.to(torch.float64).to("cpu")
    assert double.down_right.dtype == torch.float64
    assert torch.equal(double.energy(mask), model.energy(mask))
    clamped = model.clamp(on=mask)
    assert torch.equal(clamped.down_right, model.down_right)
    assert "with diagonals" in repr(model)
    assert "diagonals" not in repr(random_grid(1, 2, 2))


def test_energy_is_differentiable_in_diagonals():
    model = random_grid(2, 3, 4, dtype=torch.float64, diagonals=True, periodic=True)
    mask = model.unary > 0

    def energy(down_right, down_left):
        return IsingGrid(
            model.unary,
            model.right,
            model.down,
            periodic=True,
            down_right=down_right,
            down_left=down_left,
        ).energy(mask)

    inputs = [t.clone().requires_grad_() for t in (model.down_right, model.down_left)]
    assert torch.autograd.gradcheck(energy, inputs)


@pytest.mark.parametrize(
    ("name", "value", "periodic", "kind", "message"),
    [
        (
            "down_right",
            torch.zeros(1, 3, 4),
            False,
            ValueError,
            "down_right must have shape (1, 2, 3) for open grids of 3x4; got (1, 3, 4). "
            "right[b, y, x] couples (y, x)-(y, x+1), down[b, y, x] couples (y, x)-(y+1, x), "
            "down_right[b, y, x] couples (y, x)-(y+1, x+1).",
        ),
        (
            "down_left",
            torch.zeros(1, 2, 3),
            True,
            ValueError,
            "down_left must have shape (1, 3, 4) for periodic grids of 3x4; got (1, 2, 3). ",
        ),
        ("down_left", [[1.0]], False, TypeError, "down_left must be a torch.Tensor; got list."),
        (
            "down_left",
            torch.zeros(1, 2, 3, dtype=torch.float64),
            False,
            TypeError,
            "down_left must have the dtype of unary, torch.float32; got torch.float64.",
        ),
        (
            "down_right",
            torch.full((1, 2, 3), torch.nan),
            False,
            ValueError,
            "down_right must not contain NaN; got nan at (0, 0, 0).",
        ),
    ],
)
def test_diagonals_are_checked(name, value, periodic, kind, message):
    plain = random_grid(1, 3, 4, periodic=periodic)
    with pytest.raises(kind, match=re.escape(message)):
        IsingGrid(plain.unary, plain.right, plain.down, periodic=periodic, **{name: value})


def test_a_torus_with_a_side_of_one_pixel_has_no_diagonals():
    model = random_grid(1, 1, 5, periodic=True, diagonals=True)
    assert model.down_right.shape == (1, 0, 5)
    assert model.as_graph().edges.shape == (5, 2)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("size", [(3, 4), (2, 2), (1, 4), (3, 1)])
def test_from_costs_has_the_energies_of_its_tables(size, periodic):
    height, width = size
    generator = torch.Generator().manual_seed(height)
    rows = height if periodic and height > 1 else height - 1
    columns = width if periodic and width > 1 else width - 1

    def table(*shape):
        return torch.randn(2, *shape, generator=generator, dtype=torch.float64)

    unary = table(height, width, 2)
    unary[0, 0, 0, 1] = torch.inf
    named = {
        "right": table(height, columns, 2, 2),
        "down": table(rows, width, 2, 2),
        "down_right": table(rows, columns, 2, 2),
        "down_left": table(rows, columns, 2, 2),
    }
    model = IsingGrid.from_costs(unary, periodic=periodic, **named)
    offsets = {"right": (0, 0, 0, 1), "down": (0, 0, 1, 0), "down_right": (0, 0, 1, 1)}
    offsets["down_left"] = (0, 1, 1, 0)
    for _ in range(5):
        mask = torch.rand(2, height, width, generator=generator) < 0.5
        mask[0, 0, 0] = False
        expected = np.zeros(2)
        for b in range(2):
            state = mask[b].int()
            for y in range(height):
                for x in range(width):
                    expected[b] += unary[b, y, x, state[y, x]]
            for name, (y0, x0, y1, x1) in offsets.items():
                for y, x in np.ndindex(*named[name].shape[1:3]):
                    s = state[(y + y0) % height, (x + x0) % width]
                    t = state[(y + y1) % height, (x + x1) % width]
                    expected[b] += named[name][b, y, x, s, t]
        np.testing.assert_allclose(model.energy(mask).numpy(), expected)


def test_from_costs_says_which_table_is_wrong():
    unary, right = torch.zeros(1, 3, 4, 2), torch.zeros(1, 3, 3, 2, 2)
    with pytest.raises(ValueError, match=r"down_left must have shape \(1, 2, 3, 2, 2\) for open"):
        IsingGrid.from_costs(
            unary, right, torch.zeros(1, 2, 4, 2, 2), down_left=torch.zeros(1, 4, 3, 2, 2)
        )


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("left_out", ["down_right", "down_left", None])
def test_files_keep_diagonals(tmp_path, suffix, left_out):
    full = random_grid(2, 3, 4, signs="any", diagonals=True, periodic=True)
    given_ones = {n: getattr(full, n) for n in ("down_right", "down_left") if n != left_out}
    model = IsingGrid(full.unary, full.right, full.down, periodic=True, **given_ones)
    mm.save_model(model, tmp_path / f"m{suffix}")
    read = mm.load_model(tmp_path / f"m{suffix}")
    assert read.couplings.keys() == model.couplings.keys()
    assert all(torch.equal(read.couplings[n], t) for n, t in model.couplings.items())


@given(grids(diagonals=True))
def test_marginals_on_graph_fall_to_their_couplings(model):
    def fake(graph):
        return mm.Marginals(
            probability=torch.arange(graph.unary.numel()).reshape(1, -1),
            pairwise=graph.pairwise,
            log_partition=None,
            kind="exact",
            status=(mm.Status.EXACT,),
            method="fake",
        )

    found = marginals_on_graph(fake, model)
    assert found.probability.shape == model.shape
    assert found.pairwise is None
    for name in ("right", "down", "down_right", "down_left"):
        value, expected = getattr(found, name), getattr(model, name)
        assert (value is None) == (expected is None)
        assert value is None or torch.equal(value, expected)
