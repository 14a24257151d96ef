"""On a CUDA device: every kernel and size against the CPU, bit for bit. Run by ``make gpu``."""

from __future__ import annotations

import pytest
import torch
from strategies import random_grid

from mrfmask import Annealing, Gibbs, GraphCut, IsingGrid, MeanField, cuda, ops, sample
from mrfmask.cuda_gibbs import GibbsRun

pytestmark = pytest.mark.gpu

SHAPES = [
    (height, width, periodic)
    for height, width in (
        (1, 1),
        (7, 33),
        (16, 16),
        (100, 100),
        (120, 120),
        (121, 97),
        (350, 350),
        (375, 1242),
    )
    for periodic in (False, True)
]


def clamped_grid(images, height, width, periodic):
    model = random_grid(
        images, height, width, coupling=0.6, signs="any", periodic=periodic, seed=height + width
    )
    unary = model.unary.clone()
    unary.view(-1)[::97] = torch.inf
    unary.view(-1)[3::101] = -torch.inf
    return IsingGrid(unary, model.right, model.down, periodic=periodic)


def assert_same(first, second, names):
    for name in names:
        assert torch.equal(getattr(first, name), getattr(second, name).cpu()), name


@pytest.mark.parametrize(("height", "width", "periodic"), SHAPES)
@pytest.mark.parametrize("chains", [1, 40])
def test_gibbs_has_the_bits_of_the_cpu(height, width, periodic, chains):
    if height * width * chains > 5_000_000:
        chains = 4
    model = clamped_grid(2, height, width, periodic)
    sampler = Gibbs(sweeps=12, burn_in=5, chains=chains, seed=3)
    there = model.to("cuda")
    assert_same(sampler.sample(model), sampler.sample(there), ("masks", "counts", "energies"))
    assert_same(
        sampler.marginals(model), sampler.marginals(there), ("probability", "right", "down")
    )


@pytest.mark.parametrize(("height", "width", "periodic"), SHAPES)
def test_mean_field_has_the_bits_of_the_cpu(height, width, periodic):
    model = clamped_grid(3, height, width, periodic)
    method = MeanField(max_sweeps=60, tolerance=1e-3)
    first, second = method.marginals(model), method.marginals(model.to("cuda"))
    assert_same(first, second, ("probability",))
    assert torch.equal(first.stats["sweeps"], second.stats["sweeps"].cpu())


@pytest.mark.parametrize(("height", "width"), [(33, 40), (200, 300)])
def test_annealing_and_cuts_have_the_bits_of_the_cpu(height, width):
    for signs, method in (("any", Annealing(sweeps=50)), ("associative", GraphCut())):
        model = random_grid(2, height, width, signs=signs)
        first, second = method.find_map(model), method.find_map(model.to("cuda"))
        assert second.mask.device.type == "cuda"
        assert_same(first, second, ("mask",))
        assert second.verify(model.to("cuda"))


def test_kawasaki_has_the_bits_of_the_cpu():
    model = clamped_grid(2, 33, 40, False)
    options = {"budget_new": 100, "sweeps": 20, "chains": 3, "seed": 1}
    first, second = sample(model, **options), sample(model.to("cuda"), **options)
    assert second.masks.device.type == "cuda"
    assert_same(first, second, ("masks", "counts", "mean", "energies"))


def test_other_streams_give_the_same_bits():
    model = clamped_grid(2, 100, 100, False)
    sampler = Gibbs(sweeps=20, seed=1)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        there = sampler.sample(model.to("cuda"))
    stream.synchronize()
    assert_same(sampler.sample(model), there, ("masks", "counts"))


def test_a_run_is_captured_in_a_graph_and_goes_on_by_its_offset():
    model = clamped_grid(2, 64, 64, False)
    there = model.to("cuda")
    offset = torch.zeros(1, dtype=torch.int64, device="cuda")
    beta = torch.ones(2, 9, dtype=torch.float64)
    seed = torch.tensor([[5, 0], [5, 1]])
    potentials = (there.unary, there.right, there.down, False)
    arguments = (*potentials, beta, seed, None, 1, 4, offset, False, False)
    GibbsRun(cuda.launcher(0), *arguments).run()  # compiles
    run = GibbsRun(cuda.launcher(0), *arguments)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run.run()
    for number in (0, 100):
        offset.fill_(number)
        run.counts.zero_()
        graph.replay()
        expected = ops.gibbs(
            model.unary,
            model.right,
            model.down,
            False,
            beta,
            seed,
            None,
            1,
            4,
            number,
            False,
            False,
        )
        assert torch.equal(run.masks.cpu(), expected[0])
        assert torch.equal(run.counts.cpu(), expected[1])
