"""Certificates made up so that sums of 64-bit integers wrap around, or for another model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mrfmask import GraphCut, IsingGraph, IsingGrid, MapResult, Qpbo, Status
from mrfmask.inference.cover_certificate import CoverCertificate
from mrfmask.inference.graph_flow_certificate import GraphFlowCertificate

LOWEST = torch.iinfo(torch.int64).min


def claim(model, mask, certificate, bound=None):
    """A result that says the mask is a minimum."""
    energy = model.energy(mask)
    return MapResult(
        mask=mask,
        energy=energy,
        lower_bound=energy if bound is None else energy.new_full(energy.shape, bound),
        status=(Status.OPTIMAL,) * len(model),
        method="forged",
        certificate=certificate,
    )


def loose(nodes, field):
    """Nodes that share no coupling, though one edge."""
    unary = torch.full((1, nodes), field)
    return IsingGraph(unary, torch.tensor([[0, 1]]), torch.zeros(1, 1))


def test_graph_cut_refuses_a_scale_at_which_sums_wrap_around():
    grid = IsingGrid(torch.ones(1, 2, 2), torch.zeros(1, 2, 1), torch.zeros(1, 1, 2))
    graph = grid.as_graph()
    for model in (grid, graph):
        honest = GraphCut()(model)
        assert honest.energy.item() == -4
        off = torch.zeros(model.shape, dtype=torch.bool)
        # Four times -2^62 is 0 in 64 bits, what it costs to have nothing on.
        wrapped = replace(honest.certificate, mask=off, exponent=torch.tensor([61]))
        assert not claim(model, off, wrapped).verify(model)


@pytest.mark.parametrize(("exponent", "bound"), [(60, -4.0), (61, 0.0)])
def test_qpbo_refuses_a_scale_at_which_sums_wrap_around(exponent, bound):
    model = loose(4, 1.0)
    off = torch.zeros(1, 4, dtype=torch.bool)
    wrapped = CoverCertificate(
        exponent=torch.tensor([exponent]),
        flow=torch.zeros(1, 2, 1, dtype=torch.int64),
        on=off,
        off=~off,
    )
    assert not claim(model, off, wrapped, bound).verify(model)


@pytest.mark.parametrize("exponent", [-(2**62), -1075, 1001, 2**62])
@pytest.mark.parametrize("method", [GraphCut(), Qpbo()])
def test_verify_refuses_an_exponent_beyond_double(method, exponent):
    model = loose(2, 1.0)
    result = method(model)
    assert result.verify(model)
    beyond = replace(result.certificate, exponent=torch.tensor([exponent]))
    assert not replace(result, certificate=beyond).verify(model)


def test_verify_refuses_the_lowest_integer_as_a_flow():
    model = loose(2, -1.0)
    on = torch.ones(1, 2, dtype=torch.bool)
    flow = torch.full((1, 1), LOWEST)  # it is its own opposite, and abs() leaves it below 0
    one = GraphFlowCertificate(exponent=torch.tensor([4]), flow=flow, turned=~on, mask=on)
    assert not claim(model, on, one).verify(model)
    two = CoverCertificate(exponent=torch.tensor([4]), flow=flow.expand(1, 2, 1), on=on, off=~on)
    assert not claim(model, on, two).verify(model)


def test_verify_refuses_a_flow_that_leaves_diagonals_out():
    model = IsingGrid(torch.ones(1, 2, 2), torch.zeros(1, 2, 1), torch.zeros(1, 1, 2))
    result = GraphCut()(model)
    crossed = replace(
        model, down_right=torch.full((1, 1, 1), -5.0), down_left=torch.full((1, 1, 1), -5.0)
    )
    energy = crossed.energy(result.mask)
    assert not replace(result, energy=energy).verify(crossed)


def test_verify_refuses_a_flow_on_other_pairs():
    model = IsingGraph(torch.ones(1, 3), torch.tensor([[0, 1], [1, 2]]), torch.zeros(1, 2))
    result = Qpbo()(model)
    assert result.verify(model)
    narrow = replace(result.certificate, flow=result.certificate.flow[:, :, :1])
    assert not replace(result, certificate=narrow).verify(model)
