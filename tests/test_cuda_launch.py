"""The launches of CUDA kernels, on the CPU through the shim: the bits of the CPU's operators."""

from __future__ import annotations

import pytest
import torch
from random_models import random_grid
from shim import DEVICES, ROOT, ShimLauncher

from mrfmask import IsingGrid, cuda, ops
from mrfmask.cuda_diagonals import DiagonalGibbsRun, DiagonalMeanFieldRun
from mrfmask.cuda_gibbs import GibbsRun
from mrfmask.cuda_mean_field import MeanFieldRun


def clamped_grid(images, height, width, periodic):
    model = random_grid(
        images, height, width, coupling=0.6, signs="any", periodic=periodic, seed=height + width
    )
    unary = model.unary.clone()
    unary.view(-1)[::7] = torch.inf
    unary.view(-1)[3::11] = -torch.inf
    # Numbers below the unit of energies, whose rounding shows the unit.
    unary.view(-1)[5::13] *= 2.0**-31
    return IsingGrid(unary, model.right, model.down, periodic=periodic)


# Shapes, and the kernels that must have been used somewhere among all runs of a test.
SHAPES = [(5, 1, False), (5, 47, False), (6, 32, True), (5, 7, True), (33, 50, False)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("height", "width", "periodic"), SHAPES)
@pytest.mark.parametrize(
    ("chains", "keep_best", "keep_pairs", "cooling", "given"),
    [(2, False, False, False, False), (1, True, False, True, True), (2, False, True, False, True)],
)
def test_gibbs_launches_give_the_bits_of_the_cpu(
    device, height, width, periodic, chains, keep_best, keep_pairs, cooling, given
):
    model = clamped_grid(2, height, width, periodic)
    potentials = (model.unary, model.right, model.down, periodic)
    beta = torch.full((2, 9), 0.8, dtype=torch.float64)
    if cooling:
        beta = beta * torch.linspace(0.2, 3.0, 9, dtype=torch.float64)
    seed = torch.tensor([[7, 0], [7, 1]])
    start = None
    if given:
        generator = torch.Generator().manual_seed(1)
        start = torch.rand(2, chains, height, width, generator=generator) < 0.5
    options = (start, chains, 3, 6, torch.tensor([11]), keep_best, keep_pairs)
    expected = ops.gibbs(*potentials, beta, seed, *options)
    launcher = ShimLauncher(*DEVICES[device])
    run = GibbsRun(launcher, *potentials, beta, seed, *options)
    for got, want in zip(run.run(), expected, strict=True):
        assert torch.equal(got, want)


DIAGONAL_SHAPES = [
    (5, 1, False),
    (5, 47, False),
    (6, 32, True),
    (5, 7, True),
    (5, 6, True),
    (2, 2, True),
    (33, 50, False),
]


def diagonal_potentials(images, height, width, periodic):
    model = random_grid(
        images, height, width, coupling=0.5, signs="any", periodic=periodic, diagonals=True
    )
    unary = model.unary.clone()
    unary.view(-1)[::7] = torch.inf
    unary.view(-1)[5::13] *= 2.0**-31
    return unary, *model.couplings.values(), periodic


@pytest.mark.parametrize(("height", "width", "periodic"), DIAGONAL_SHAPES)
@pytest.mark.parametrize(
    ("chains", "keep_best", "keep_pairs", "cooling", "given"),
    [(2, False, False, False, False), (1, True, False, True, True), (2, True, True, False, True)],
)
def test_diagonal_gibbs_launches_give_the_bits_of_the_cpu(
    height, width, periodic, chains, keep_best, keep_pairs, cooling, given
):
    potentials = diagonal_potentials(2, height, width, periodic)
    beta = torch.full((2, 9), 0.8, dtype=torch.float64)
    if cooling:
        beta = beta * torch.linspace(0.2, 3.0, 9, dtype=torch.float64)
    start = None
    if given:
        generator = torch.Generator().manual_seed(1)
        start = torch.rand(2, chains, height, width, generator=generator) < 0.5
    options = (torch.tensor([[7, 0], [7, 1]]), start, chains, 3, 6, torch.tensor([11]))
    arguments = (*potentials, beta, *options, keep_best, keep_pairs)
    expected = ops.diagonal_gibbs(*arguments)
    launcher = ShimLauncher(*DEVICES["large"])
    got = DiagonalGibbsRun(launcher, *arguments).run()
    for one, want in zip(got, expected, strict=True):
        assert torch.equal(one, want)
    assert "diagonal_gibbs_colour" in launcher.launched


@pytest.mark.parametrize(("height", "width", "periodic"), DIAGONAL_SHAPES)
@pytest.mark.parametrize("given", [False, True])
def test_diagonal_mean_field_launches_give_the_bits_of_the_cpu(height, width, periodic, given):
    potentials = diagonal_potentials(3, height, width, periodic)
    beta = torch.tensor([0.3, 0.9, 1.4], dtype=torch.float64)
    start = torch.linspace(-1, 1, 3 * height * width).reshape(3, height, width) if given else None
    arguments = (*potentials, beta, start, 25, 1e-3)
    expected = ops.diagonal_mean_field(*arguments)
    got = DiagonalMeanFieldRun(ShimLauncher(*DEVICES["large"]), *arguments).run()
    for one, want in zip(got, expected, strict=True):
        assert torch.equal(one, want)


def test_tiles_are_counted_before_their_tallies_are_full():
    model = clamped_grid(1, 33, 20, False)
    potentials = (model.unary, model.right, model.down, False)
    beta, seed = torch.full((1, 300), 0.8, dtype=torch.float64), torch.tensor([[7, 0]])
    options = (None, 1, 3, 297, torch.tensor([0]), False, False)
    expected = ops.gibbs(*potentials, beta, seed, *options)
    launcher = ShimLauncher(4, 22000)
    run = GibbsRun(launcher, *potentials, beta, seed, *options)
    for got, want in zip(run.run(), expected, strict=True):
        assert torch.equal(got, want)
    assert any(name.startswith("gibbs_tiles_") for name in launcher.launched)
    assert int(expected[1].max()) > 255


@pytest.mark.parametrize("device", ["large", "small"])
def test_many_chains_are_launched_together(device):
    model = clamped_grid(2, 9, 20, False)
    potentials = (model.unary, model.right, model.down, False)
    beta = torch.full((2, 1), 0.8, dtype=torch.float64)
    seed = torch.tensor([[7, 0], [7, 1]])
    options = (None, 35, 2, 5, torch.tensor([0]), False, False)
    expected = ops.gibbs(*potentials, beta, seed, *options)
    launcher = ShimLauncher(*DEVICES[device])
    run = GibbsRun(launcher, *potentials, beta, seed, *options)
    for got, want in zip(run.run(), expected, strict=True):
        assert torch.equal(got, want)
    assert any(name.startswith("gibbs_chains_") for name in launcher.launched)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("height", "width", "periodic"), SHAPES)
@pytest.mark.parametrize("given", [False, True])
def test_mean_field_launches_give_the_bits_of_the_cpu(device, height, width, periodic, given):
    model = clamped_grid(3, height, width, periodic)
    potentials = (model.unary, model.right, model.down, periodic)
    beta = torch.tensor([0.3, 0.9, 1.4], dtype=torch.float64)
    start = torch.linspace(-1, 1, 3 * height * width).reshape(3, height, width) if given else None
    expected = ops.mean_field(*potentials, beta, start, 25, 1e-3)
    launcher = ShimLauncher(*DEVICES[device])
    got = MeanFieldRun(launcher, *potentials, beta, start, 25, 1e-3).run()
    for one, want in zip(got, expected, strict=True):
        assert torch.equal(one, want)


def test_devices_and_shapes_reach_every_kind_of_kernel():
    kinds = set()
    for multiprocessors, shared_bytes in DEVICES.values():
        for height, width, periodic in SHAPES:
            model = clamped_grid(2, height, width, periodic)
            launcher = ShimLauncher(multiprocessors, shared_bytes)
            potentials = (model.unary, model.right, model.down, periodic)
            beta = torch.ones(2, dtype=torch.float64)
            MeanFieldRun(launcher, *potentials, beta, None, 2, 0.0).run()
            kinds |= {name.rstrip("0123456789").rstrip("_") for name in launcher.launched}
    assert {"mean_field_half_sweep", "mean_field_resident", "mean_field_tiles"} <= kinds


def test_every_kernel_is_found_in_its_file():
    for path in (ROOT / "kernels").glob("*.cu"):
        assert path.stem in {*cuda.FILES.values(), *cuda.FILES} or path.stem.startswith(
            ("gibbs_", "mean_field_")
        )
    for kernel, file in cuda.FILES.items():
        assert kernel in (cuda.KERNELS / f"{file}.cu").read_text()


def test_cuda_without_cupy_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    cuda._cupy.cache_clear()
    with pytest.raises(RuntimeError, match=r"without CuPy.*pip install 'mrfmask\[cuda1[23]\]'"):
        cuda.CudaLauncher(0)
