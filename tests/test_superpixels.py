"""The graph of regions has the energies of the grid, and the neighbours that others find."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.graph import RAG

import mrfmask as mm

LABELS = torch.tensor([[0, 0, 1], [2, 1, 1]])


@st.composite
def segmentations(draw):
    """Labels 0..n-1 of up to 5x5 pixels, regions in pieces, too."""
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    count = height * width
    regions = draw(st.lists(st.integers(0, 6), min_size=count, max_size=count))
    return np.unique(regions, return_inverse=True)[1].reshape(height, width)


@given(
    labels=segmentations(),
    pairwise=st.sampled_from([1.0, -0.5, 2]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_energies_are_those_of_the_grid_up_to_a_constant(labels, pairwise, dtype):
    height, width = labels.shape
    generator = torch.Generator().manual_seed(labels.size)
    unary = torch.randn(2, height, width, generator=generator, dtype=dtype)
    right = torch.full((2, height, width - 1), pairwise, dtype=dtype)
    down = torch.full((2, height - 1, width), pairwise, dtype=dtype)
    grid = mm.IsingGrid(unary, right, down)
    model = mm.superpixel_graph(labels, unary, pairwise)
    assert model.dtype == dtype
    regions = labels.max() + 1
    masks = torch.rand(2, 20, regions, generator=generator) < 0.5
    off = masks.new_zeros(2, 1, regions)
    energy = model.energy(masks) - model.energy(off)
    expected = grid.energy(masks[:, :, labels]) - grid.energy(off[:, :, labels])
    torch.testing.assert_close(
        energy, expected, rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-12
    )


@given(labels=segmentations())
def test_edges_are_those_of_the_region_adjacency_graph(labels):
    model = mm.superpixel_graph(labels)
    pairs = [tuple(pair) for pair in model.edges.tolist()]
    assert pairs == sorted(pairs)
    expected = {tuple(sorted(edge)) for edge in RAG(labels, connectivity=1).edges()}
    assert set(pairs) == expected
    assert len(pairs) == len(expected)
    assert model.unary.tolist() == [[0.0] * (labels.max() + 1)]


def test_couplings_count_pairs_of_pixels():
    model = mm.superpixel_graph(LABELS, pairwise=0.5)
    assert model.edges.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert model.pairwise.tolist() == [[1.0, 0.5, 0.5]]


def test_labels_of_any_int_type_and_tensor_are_taken():
    for labels in (
        LABELS.to(torch.uint8),
        LABELS.numpy().astype(np.uint16),
        LABELS.numpy()[:, ::-1],
    ):
        model = mm.superpixel_graph(labels)
        assert model.shape == (1, 3)
        assert model.pairwise.sum() == 4


def test_a_clamped_pixel_clamps_its_region_and_gradients_reach_the_others():
    unary = torch.ones(1, 2, 3, requires_grad=True)
    on = torch.tensor([[[True, False, False], [False, False, False]]])
    model = mm.superpixel_graph(LABELS, torch.where(on, math.inf, unary))
    assert model.unary.tolist() == [[math.inf, 3.0, 1.0]]
    model.energy(torch.ones(1, 3, dtype=torch.bool)).sum().backward()
    assert unary.grad.tolist() == [[[0.0, 0.0, -1.0], [-1.0, -1.0, -1.0]]]


UNARY = torch.zeros(1, 2, 3)
BAD = [
    ((LABELS.float(),), TypeError, "labels must be a tensor or array of ints; got torch.float32."),
    ((LABELS > 0,), TypeError, "labels must be a tensor or array of ints; got torch.bool."),
    (([[0]],), TypeError, "labels must be a tensor or array of ints; got list."),
    ((LABELS[None],), ValueError, "labels must have shape (height, width) with at least one pixel"),
    ((LABELS[:0],), ValueError, "got (0, 3). One region a pixel."),
    ((LABELS + 1,), ValueError, "labels must be 0..n-1 with each used; got labels from 1 to 3, 3"),
    ((LABELS - 1,), ValueError, "got labels from -1 to 1, 3 different ones. Renumber them: "),
    ((LABELS * 10**12,), ValueError, "got labels from 0 to 2000000000000, 3 different ones."),
    ((LABELS, UNARY[0]), ValueError, "unary must have shape (batch, 2, 3), as labels; got (2, 3)."),
    ((LABELS, UNARY.long()), TypeError, "unary must be float32 or float64; got torch.int64."),
    ((LABELS, UNARY * math.nan), ValueError, "unary must not contain NaN; got nan at (0, 0, 0)."),
    (
        (LABELS, torch.tensor([[[0.0, 0.0, math.inf], [0.0, -math.inf, 0.0]]])),
        ValueError,
        "unary must not clamp pixels of a region both on and off; got region 1 of image 0.",
    ),
    ((LABELS, UNARY, 1e40), ValueError, "pairwise must lie in [-2^100, 2^100]; got inf at"),
    ((LABELS * 0, UNARY, math.nan), ValueError, "pairwise must be finite; got nan."),
    ((LABELS, UNARY, "1"), TypeError, "pairwise must be a number; got str."),
]


@pytest.mark.parametrize(("arguments", "kind", "message"), BAD)
def test_superpixel_graph_says_what_is_wrong(arguments, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        mm.superpixel_graph(*arguments)
