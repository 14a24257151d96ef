"""On a CUDA device: every kernel and size against the CPU, bit for bit. Run by ``make gpu``."""

from __future__ import annotations

import copy
import gc

import pytest
import torch
from golden import GOLDEN, answers
from random_models import random_grid

import mrfmask as mm
from mrfmask import Annealing, Gibbs, GraphCut, IsingGrid, MeanField, ops
from mrfmask.nn import IsingHead, losses

pytestmark = pytest.mark.gpu

# compute-sanitizer is slow: it looks at the small ones.
SMALL = ((1, 1), (7, 33), (16, 16))
SHAPES = [
    pytest.param(height, width, periodic, marks=[pytest.mark.small] if small else [])
    for small, sizes in (
        (True, SMALL),
        (False, ((100, 100), (120, 120), (121, 97), (350, 350), (375, 1242))),
    )
    for height, width in sizes
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


@pytest.mark.parametrize(("height", "width", "periodic"), SHAPES)
def test_diagonals_have_the_bits_of_the_cpu(height, width, periodic):
    model = random_grid(2, height, width, signs="any", periodic=periodic, diagonals=True)
    pairs = ("probability", *model.couplings)
    sampler = Gibbs(sweeps=6, burn_in=3, chains=2, seed=3)
    there = model.to("cuda")
    assert_same(sampler.sample(model), sampler.sample(there), ("masks", "counts", "energies"))
    assert_same(sampler.marginals(model), sampler.marginals(there), pairs)
    means = [MeanField(max_sweeps=20).marginals(m) for m in (model, there)]
    assert_same(*means, ("probability",))
    masks = [Annealing(sweeps=10).find_map(m) for m in (model, there)]
    assert_same(*masks, ("mask",))


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
    first, second = mm.sample(model, **options), mm.sample(model.to("cuda"), **options)
    assert second.masks.device.type == "cuda"
    assert_same(first, second, ("masks", "counts", "mean", "energies"))


@pytest.mark.parametrize("name", ["gibbs", "mean_field", "graph_cut", "kawasaki"])
def test_answers_are_the_golden_bits(name):
    assert answers(name, "cuda") == GOLDEN[name]


def test_other_streams_give_the_same_bits():
    model = clamped_grid(2, 100, 100, False)
    sampler = Gibbs(sweeps=20, seed=1)
    expected = sampler.sample(model)
    stream = torch.cuda.Stream()
    for _ in range(3):
        with torch.cuda.stream(stream):
            there = sampler.sample(model.to("cuda"))
        gc.collect()  # CuPy's view of the stream must not take the stream with it.
        stream.synchronize()
        assert_same(expected, there, ("masks", "counts"))


def gibbs_arguments(model, chains):
    beta = torch.ones(2, 1, dtype=torch.float64, device=model.device)
    seed = torch.tensor([[5, 0], [5, 1]], device=model.device)
    potentials = (model.unary, model.right, model.down, model.periodic)
    return (*potentials, beta, seed, None, chains, 4, 5)


@pytest.mark.parametrize(
    ("height", "width", "periodic", "chains", "keep"),
    [
        (7, 9, True, 1, False),
        (64, 64, False, 1, False),
        (64, 64, False, 1, True),
        (64, 64, False, 40, False),
        (350, 350, False, 1, False),
    ],
)
def test_a_captured_operator_goes_on_by_its_offset(height, width, periodic, chains, keep):
    model = clamped_grid(2, height, width, periodic)
    offset = torch.zeros(1, dtype=torch.int64, device="cuda")
    arguments = (*gibbs_arguments(model.to("cuda"), chains), offset, keep, keep)
    ops.gibbs(*arguments)  # compiles
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = ops.gibbs(*arguments)
    for number in (0, 100):
        offset.fill_(number)
        graph.replay()
        expected = ops.gibbs(*gibbs_arguments(model, chains), torch.tensor([number]), keep, keep)
        for got, want in zip(results, expected, strict=True):
            assert torch.equal(got.cpu(), want)


@pytest.mark.parametrize(
    ("height", "width", "periodic"), [(7, 9, True), (64, 64, False), (350, 350, False)]
)
def test_captured_mean_field_has_the_bits_of_the_cpu(height, width, periodic):
    model = random_grid(2, height, width, coupling=0.4, signs="any", periodic=periodic)
    there = model.to("cuda")
    beta = torch.tensor([0.5, 1.0], dtype=torch.float64)
    options = (None, 40, 1e-3)
    potentials = (there.unary, there.right, there.down, periodic, beta.to("cuda"))
    ops.mean_field(*potentials, *options)  # compiles
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = ops.mean_field(*potentials, *options)
    graph.replay()
    expected = ops.mean_field(model.unary, model.right, model.down, periodic, beta, *options)
    for got, want in zip(results, expected, strict=True):
        assert torch.equal(got.cpu(), want)


def test_operators_run_inside_torch_compile():
    model = random_grid(2, 40, 50, coupling=0.5)
    there = model.to("cuda")

    @torch.compile(fullgraph=True, backend="aot_eager")
    def compiled(unary, right, down, beta, seed, offset):
        means = ops.mean_field(unary, right, down, False, beta[:, 0], None, 50, 1e-6)[0]
        options = (seed, None, 1, 4, 5, offset, False, False)
        return means * 2, ops.gibbs(unary, right, down, False, beta, *options)[1]

    *_, beta, seed, _, _, _, _ = gibbs_arguments(model, 1)
    numbers = (beta, seed, torch.tensor([7]))
    on_card = (t.cuda() for t in (there.unary, there.right, there.down, *numbers))
    got = compiled(*on_card)
    expected = compiled(model.unary, model.right, model.down, *numbers)
    assert all(torch.equal(g.cpu(), e) for g, e in zip(got, expected, strict=True))


def test_budgets_and_paths_have_the_answers_of_the_cpu():
    for signs in ("associative", "repulsive", "any"):
        model = random_grid(2, 20, 30, signs=signs)
        first, second = (mm.find_map(m, budget=0.2) for m in (model, model.to("cuda")))
        assert_same(first, second, ("mask",))
        assert second.verify(model.to("cuda"))
    model = random_grid(2, 20, 30)
    first, second = mm.budget_path(model), mm.budget_path(model.to("cuda"))
    assert_same(first, second, ("order", "block", "entry"))
    torch.testing.assert_close(second.bound(100).cpu(), first.bound(100), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["random", "poisson_disk", "k_center", "top_k", "long_range"])
def test_selectors_have_the_masks_of_the_cpu(name):
    scores = torch.randn(2, 40, 50, generator=torch.Generator().manual_seed(0))
    here = mm.select(scores, name, budget=60)
    assert torch.equal(here, mm.select(scores.to("cuda"), name, budget=60).cpu())


def test_exact_answers_agree_with_the_cpu():
    model = random_grid(2, 4, 9, signs="any", dtype=torch.float64)
    first, second = mm.Exact().marginals(model), mm.Exact().marginals(model.to("cuda"))
    for name in ("probability", "right", "down", "log_partition"):
        torch.testing.assert_close(getattr(second, name).cpu(), getattr(first, name))


def test_a_head_is_trained_on_the_card():
    torch.manual_seed(0)
    head = IsingHead(3, hidden=8)
    features, target = torch.randn(2, 3, 20, 30), torch.rand(2, 20, 30) < 0.5
    for loss in (losses.StructuredHinge(), losses.MeanFieldLikelihood()):
        values, gradients = [], []
        for device in ("cpu", "cuda"):
            one = copy.deepcopy(head).to(device)
            value = loss(one(features.to(device)), target.to(device))
            value.backward()
            values.append(value.detach().cpu())
            gradients.append(one.unary[-1].weight.grad.cpu())
        torch.testing.assert_close(values[1], values[0], rtol=1e-3, atol=0)
        torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-2, atol=1e-3)
