"""The Gibbs sampler against exactly solved physics: Kaufman, Onsager, counted states, Nishimori.

Zero field, couplings of size 1, temperature T = 1 / beta. Tolerances are seven standard errors, and
histograms may be as far off as once in 10^9: with other seeds the file fails by chance less than
once in 10^7 runs.
"""

from __future__ import annotations

import functools
import json
import math

import numpy as np
import pytest
import torch

from mrfmask import Gibbs, IsingGrid, sample

SIGMAS = 7.0
CRITICAL = 2.269185314213022  # 2 / log(1 + sqrt(2))
TORI = [(side, t) for side in (8, 16, 32) for t in (2.0, CRITICAL, 2.5)]
# Chains a start, and sweeps that count: enough for an inverse temperature that is 1 % off to move
# the mean energy by more than twice the tolerance.
SIZES = {8: (4000, 100), 9: (3000, 100), 16: (1000, 300), 32: (500, 500)}


def ferromagnet(batch: int, side: int, periodic: bool) -> IsingGrid:
    short = side if periodic else side - 1
    right, down = torch.ones(batch, side, short), torch.ones(batch, short, side)
    return IsingGrid(torch.zeros(batch, side, side), right, down, periodic=periodic)


def kaufman_energy(side: int, temperature: float) -> float:
    """Mean energy of the side x side torus, -d log Z / dK at K = 1 / T.

    Kaufman, "Crystal statistics II", Phys. Rev. 76, 1949, with cosh g_l = cosh 2K coth 2K -
    cos(pi l / side), but g_0 = 2K + log tanh K with its sign, and sinh written as cosh tanh.
    """
    k = torch.tensor(1 / temperature, dtype=torch.float64, requires_grad=True)
    angle = torch.arange(1, 2 * side, dtype=torch.float64) * math.pi / side
    gamma = torch.acosh(torch.cosh(2 * k) / torch.tanh(2 * k) - torch.cos(angle))
    gamma = torch.cat([(2 * k + torch.log(torch.tanh(k)))[None], gamma]) * side / 2
    log_two_cosh, tanh = torch.logaddexp(gamma, -gamma), torch.tanh(gamma)
    even, odd = (log_two_cosh[i::2].sum() + torch.log1p(tanh[i::2].prod()) for i in (0, 1))
    log_z = side**2 / 2 * torch.log(2 * torch.sinh(2 * k)) + torch.logaddexp(even, odd)
    (slope,) = torch.autograd.grad(log_z, k)
    return -slope.item()


def onsager_bond(temperature: float) -> float:
    """Mean of x_i x_j over the bonds of the infinite grid, minus half the energy of a site.

    Onsager, "Crystal statistics I", Phys. Rev. 65, 1944: coth 2K [1 + 2 / pi k' K1(k)] / 2 with
    k' = 2 tanh^2 2K - 1 and k^2 + k'^2 = 1; K1 is pi / 2 over the arithmetic-geometric mean.
    """
    tanh = math.tanh(2 / temperature)
    complement = 2 * tanh**2 - 1
    a, b = 1.0, abs(complement)
    while a - b > 1e-15:
        a, b = (a + b) / 2, math.sqrt(a * b)
    return (1 + complement / a) / tanh / 2


def energy_distribution(shared_data, side: int, temperature: float):
    """Every energy of the torus and its probability, g(E) exp(-E / T) / Z.

    The numbers of states g(E) are exact: Beale, "Exact distribution of energies in the
    two-dimensional Ising model", Phys. Rev. Lett. 76, 1996.
    """
    path = shared_data / f"instances/analytic/ising_logdos_{side}x{side}.csv"
    energies, log_states = np.loadtxt(path, delimiter=",", skiprows=1, unpack=True)
    weights = log_states - energies / temperature
    weights = np.exp(weights - weights.max())
    return energies, weights / weights.sum()


@functools.cache
def torus_energies(side: int, temperature: float) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """From both starts: each chain's mean of the traced energy, and its energy at the end.

    Burn-in is 2 side^2 sweeps. The energy relaxes slowest at side 32: at the critical point and
    (stripes, from a random start) at T = 2 its distance from the mean falls by e in about 170 and
    180 sweeps, as measured, and in proportion to about side^2.17 at smaller sides. So twelve times
    that for side 32, more below: of the five standard deviations at the start 10^-4 remain,
    hundreds of times less than the tolerance. Magnetisations take far longer at T = 2, but the
    dynamics commutes with a flip of all states: the energy never sees them change sign.
    """
    number, sweeps = SIZES[side]
    runs = {}
    # Many chains of an image run together; one chain each of many images takes other kernels.
    for name, images, chains in (("random", 1, number), ("on", number, 1)):
        model = ferromagnet(images, side, periodic=True)
        on = torch.ones(images, chains, side, side, dtype=torch.bool)
        samples = sample(
            model,
            sweeps=sweeps,
            burn_in=2 * side**2,
            chains=chains,
            seed=images,
            start=on if name == "on" else None,
            beta=1 / temperature,
        )
        runs[name] = samples.energies.mean(dim=2).flatten(), model.energy(samples.masks).flatten()
    return runs


def assert_mean_is(expected: float, independent: torch.Tensor) -> None:
    """Within seven standard errors, measured on values that are independent of each other."""
    error = independent.std() / math.sqrt(independent.numel())
    assert abs(independent.mean() - expected).item() < SIGMAS * error.item()


def test_kaufman_energy_and_onsager_bond_equal_published_values(shared_data):
    answers = json.loads((shared_data / "instances/analytic/ising2d_exact.json").read_text())
    for a in answers["torus_LxL"]:
        if a["L"] <= 32:  # at 64 a product of tanh is -1 up to rounding
            energy = kaufman_energy(a["L"], float(a["T"])) / a["L"] ** 2
            assert energy == pytest.approx(float(a["U"]), rel=1e-11)
    for a in answers["infinite"]:
        assert -2 * onsager_bond(float(a["T"])) == pytest.approx(float(a["U"]), rel=1e-12)


@pytest.mark.parametrize(("side", "temperature"), TORI)
def test_kaufman_energy_is_that_of_the_counted_states(shared_data, side, temperature):
    energies, probabilities = energy_distribution(shared_data, side, temperature)
    expected = (energies * probabilities).sum()
    assert kaufman_energy(side, temperature) == pytest.approx(expected, rel=1e-12)


# An odd side takes three colours and the scalar loop.
@pytest.mark.parametrize("start", ["random", "on"])
@pytest.mark.parametrize(("side", "temperature"), [*TORI, (9, 2.0)])
def test_gibbs_energy_of_a_torus_is_kaufmans(side, temperature, start):
    means, _ = torus_energies(side, temperature)[start]
    assert_mean_is(kaufman_energy(side, temperature), means)


@pytest.mark.parametrize(("side", "temperature"), TORI)
def test_gibbs_visits_energies_as_often_as_states_are_counted(shared_data, side, temperature):
    """Chi-square of one state a chain: these are independent."""
    seen = torch.cat([last for _, last in torus_energies(side, temperature).values()]).numpy()
    energies, probabilities = energy_distribution(shared_data, side, temperature)
    # Neighbouring energies together until 20 chains are expected; what is left joins the last bin.
    upto = np.cumsum(probabilities) * len(seen)
    edges, filled = [], 0.0
    for energy, expected in zip(energies, upto, strict=True):
        if expected - filled >= 20 and upto[-1] - expected >= 20:
            edges.append(energy)
            filled = expected
    bins = len(edges) + 1
    expected = np.bincount(np.searchsorted(edges, energies), probabilities, bins) * len(seen)
    observed = np.bincount(np.searchsorted(edges, seen), minlength=bins)
    assert bins >= 10
    assert expected.min() >= 20 - 1e-9
    chi_square = ((observed - expected) ** 2 / expected).sum()
    half = torch.tensor([(bins - 1) / 2, chi_square / 2], dtype=torch.float64)
    assert torch.special.gammaincc(*half).item() > 1e-9


def test_gibbs_coupled_chains_meet_within_the_burn_in():
    """The same draws from all on and all off squeeze every other start between the two.

    Propp and Wilson, "Exact sampling with coupled Markov chains", 1996: the distance from
    equilibrium is at most the probability that the two have not met. At T = 2.5 and side 32 one
    pair in a hundred is left after 400 sweeps, and e^4 fewer with every 200 more.
    """
    model = ferromagnet(1, 32, periodic=True)
    on = torch.ones(1, 64, 32, 32, dtype=torch.bool)
    high, low = (
        sample(model, sweeps=1, burn_in=2047, chains=64, start=start, beta=1 / 2.5).masks
        for start in (on, ~on)
    )
    assert torch.equal(high, low)


def test_gibbs_chains_of_a_batch_share_no_draws():
    """Chains with the same draws would have met, by the test above; no two of these have."""
    masks = sample(
        ferromagnet(8, 32, periodic=True), sweeps=1, burn_in=2047, chains=16, beta=1 / 2.5
    ).masks
    assert len(masks.reshape(128, -1).unique(dim=0)) == 128


@pytest.mark.parametrize(("temperature", "start"), [(3.0, "random"), (1.5, "on")])
def test_gibbs_bonds_deep_inside_a_large_grid_are_onsagers(temperature, start):
    """Open grid of 512x512, bonds at least 64 pixels from its border.

    Correlations fall by e in 2.1 pixels at T = 3 and in 0.6 at T = 1.5, so the border is out of
    sight, and blocks of 96 pixels are independent but for their rims (a few per cent of the
    standard error). Burn-in of 200 sweeps is many times what either start needs: at T = 3 chains
    that were coupled from all on and all off differ in no pixel after 150, in 10^-4 after 100; at
    T = 1.5 only islands of a few pixels have to form, and the energy stands still after 10.
    """
    images, border, block = 4, 64, 96
    model = ferromagnet(images, 512, periodic=False)
    on = torch.ones(images, 1, 512, 512, dtype=torch.bool)
    result = Gibbs(
        beta=1 / temperature, sweeps=200, burn_in=200, seed=1, start=on if start == "on" else None
    ).marginals(model)
    inside = slice(border, 512 - border)
    # Both bonds of each pixel, averaged over sweeps; then over the 16 blocks of each image.
    bonds = (result.right[:, inside, inside] + result.down[:, inside, inside]).double() / 2
    blocks = bonds.unfold(1, block, block).unfold(2, block, block).mean(dim=(3, 4))
    assert blocks.shape == (images, 4, 4)
    assert_mean_is(onsager_bond(temperature), blocks)


@pytest.mark.parametrize(
    ("shape", "periodic", "likely", "start"),
    [
        ((2000, 32, 45), False, 0.8, "random"),
        ((2000, 32, 45), False, 0.8, "planted"),
        ((2000, 32, 45), False, 0.9, "planted"),
        ((1000, 15, 14), True, 0.75, "random"),
        ((1000, 15, 14), True, 0.75, "planted"),
    ],
)
def test_gibbs_energy_on_the_nishimori_line_is_exact(shape, periodic, likely, start):
    """Couplings +1 with probability p, else -1, at K = log(p / (1 - p)) / 2: E = -m (2p - 1).

    Nishimori, "Internal energy, specific heat and correlation function of the bond-random Ising
    model", Prog. Theor. Phys. 66, 1981; on any graph of m bonds, averaged over couplings. They are
    made here around a planted mask of fair coins (a gauge), which then is an exact sample at K: a
    chain that starts there is in equilibrium and must stay. Random starts need under 200 sweeps at
    p = 0.8 and under 60 at p = 0.75, as measured against planted ones, and get twice that; at 0.9
    they would take thousands. The torus has an odd side, three colours.
    """
    generator = torch.Generator().manual_seed(1)
    planted = torch.rand(shape, generator=generator) < 0.5
    x = 2.0 * planted - 1
    right, down = (
        torch.where(torch.rand(shape, generator=generator) < likely, 1.0, -1.0) * x * x.roll(-1, d)
        for d in (2, 1)
    )
    if not periodic:
        right, down = right[:, :, :-1], down[:, :-1]
    model = IsingGrid(torch.zeros(shape), right, down, periodic=periodic)
    bonds = right[0].numel() + down[0].numel()
    samples = sample(
        model,
        sweeps=100,
        burn_in={0.8: 400, 0.75: 120}[likely] if start == "random" else 0,
        seed=1,
        start=planted[:, None] if start == "planted" else None,
        beta=math.log(likely / (1 - likely)) / 2,
    )
    # One value an image: couplings and draws of different images are independent.
    assert_mean_is(-bonds * (2 * likely - 1), samples.energies.mean(dim=(1, 2)))
    assert_mean_is(-bonds * (2 * likely - 1), model.energy(samples.masks)[:, 0])
