"""Sweeps over grids with diagonals: the same bits everywhere, and those of the definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden import digest, plain_grid
from oracles import couplings
from strategies import random_grid

from mrfmask import Annealing, Gibbs, IsingGrid, MeanField, _native

ISAS = _native.isas()
SIZES = [
    (15, 37, False),
    (15, 37, True),
    (14, 37, True),
    (15, 38, True),
    (14, 38, True),
    (2, 2, True),
    (2, 3, True),
    (3, 3, True),
    (2, 2, False),
    (1, 33, False),
    (33, 1, False),
]
EDGES = [(3, width, False) for width in (15, 16, 17, 31, 32, 63, 64, 65, 127, 129, 300)]
WRAPPED = [(4, width, True) for width in (16, 30, 32, 34, 62, 64, 66, 126, 130, 258)]
TALL = [(300, 34, True), (131, 65, False)]


def clamped_grid(height, width, periodic):
    """One image without clamps and one with, and potentials that float32 flushes."""
    model = random_grid(
        2, height, width, coupling=0.5, signs="any", periodic=periodic, diagonals=True, seed=width
    )
    unary = model.unary.clone()
    unary.view(2, -1)[1, ::7] = torch.inf
    unary.view(2, -1)[1, 3::11] = -torch.inf
    tensors = {name: t.clone() for name, t in model.couplings.items()}
    for t in tensors.values():
        t.view(-1)[::9] *= 2.0**-56
    return IsingGrid(unary, periodic=periodic, **tensors)


def run(model, isa, chains=2, kept=6):
    """All that Gibbs and mean field write, from the loops of one instruction set."""
    batch, height, width = model.shape
    shape = (batch, chains, height, width)
    arrays = [t.numpy() for t in (model.unary, *model.couplings.values())]
    seed = np.array([[77, image] for image in range(batch)], dtype=np.int64)
    masks, best = np.zeros(shape, dtype=np.uint8), np.zeros(shape, dtype=np.uint8)
    counts, energies = np.zeros(shape, dtype=np.int32), np.zeros((batch, chains, kept))
    equal = [np.zeros(t.shape, dtype=np.int64) for t in model.couplings.values()]
    beta = np.full((batch, 2 + kept), 0.9)
    written = [masks, counts, energies, best, *equal]
    _native.diagonal_gibbs(*arrays, model.periodic, beta, seed, 2, 5, False, *written, 1, isa)
    mean = np.zeros((batch, height, width), dtype=np.float32)
    sweeps, change = np.zeros(batch, dtype=np.int64), np.zeros(batch, dtype=np.float32)
    found = [mean, sweeps, change]
    rate = np.full(batch, 1.1)
    _native.diagonal_mean_field(*arrays, model.periodic, rate, 40, 1e-6, False, *found, 1, isa)
    return [*written, *found]


@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa != "baseline"])
@pytest.mark.parametrize(("height", "width", "periodic"), SIZES + EDGES + WRAPPED + TALL)
def test_every_instruction_set_gives_the_same_bits(isa, height, width, periodic):
    model = clamped_grid(height, width, periodic)
    for got, expected in zip(run(model, isa), run(model, "baseline"), strict=True):
        assert np.array_equal(got, expected)


def pixel_by_pixel(model, b, isa, kept):
    """The states after each sweep, from the definition: draws from `_native.philox`."""
    _, height, width = model.shape
    neighbours = {(y, x): [] for y in range(height) for x in range(width)}
    for i, j, value in couplings(model, b):
        neighbours[i].append((j, value))
        neighbours[j].append((i, value))
    rate = np.float32(2.0 * 0.9 * 1.4426950408889634)

    def classes(at, side):
        return 2 if model.periodic and side > 1 and side % 2 and at == side - 1 else at % 2

    def draw(y, x, step, purpose):
        slot = x % 16 // 2
        block = y * -(-width // 16) + x // 16
        word = _native.philox([block, step, b, purpose], 77)[slot % 4]
        return word >> 16 if slot < 4 else word & 0xFFFF

    unary = model.unary[b].numpy()
    state = np.zeros((height, width), dtype=bool)
    for y, x in np.ndindex(height, width):
        state[y, x] = unary[y, x] > 0 if np.isinf(unary[y, x]) else draw(y, x, x % 2, 2) >> 15
    order = sorted(
        np.ndindex(height, width), key=lambda p: (classes(p[0], height), classes(p[1], width))
    )
    for sweep in range(5, 5 + 2 + kept):
        for y, x in order:
            step = 2 * sweep + x % 2
            bits = draw(y, x, step, 0) << 16 | draw(y, x, step, 1)
            field = float(unary[y, x])
            if np.isfinite(field):
                field += sum(v if state[j] else -v for j, v in neighbours[y, x])
            odds = np.array([np.float32(field) * rate], dtype=np.float32)
            on = np.zeros(1, dtype=np.uint8)
            _native.heat_bath_on(odds, np.array([bits], dtype=np.uint32), on, isa)
            state[y, x] = on[0]
        if sweep >= 7:
            yield state.copy()


@pytest.mark.parametrize(
    ("height", "width", "periodic"),
    [(4, 18, False), (4, 18, True), (5, 6, True), (4, 7, True), (3, 5, True), (2, 2, True)],
)
def test_sweeps_are_those_of_the_definition(height, width, periodic):
    plain = plain_grid(2, height, width, periodic, signs=0)
    rows, columns = plain.down.shape[1], plain.right.shape[2]
    # Multiples of 1/8: sums are exact in any order.
    tensors = {
        name: ((t * 8).round() / 8)
        for name, t in {
            "unary": plain.unary,
            "right": plain.right,
            "down": plain.down,
            "down_right": plain.unary[:, :rows, :columns],
            "down_left": plain.unary.flip(1, 2)[:, :rows, :columns],
        }.items()
    }
    tensors["unary"][1, 0, 1] = torch.inf
    model = IsingGrid(periodic=periodic, **tensors)
    masks, counts, energies, _, *equal, _, _, _ = run(model, "", chains=1)
    for b in range(2):
        states = list(pixel_by_pixel(model, b, "", kept=6))
        assert np.array_equal(masks[b, 0].astype(bool), states[-1])
        assert np.array_equal(counts[b, 0], np.sum(states, axis=0))
        stacked = torch.from_numpy(np.stack(states))[None]
        assert np.allclose(energies[b, 0], model[b].energy(stacked)[0], rtol=1e-12)
        for (one, other), found in zip(model.pairs(stacked).values(), equal, strict=True):
            assert np.array_equal((one == other).sum(dim=1)[0].numpy(), found[b])


def answers(name):
    """Everything that a run of a method says, as one digest."""
    pieces = []
    for periodic, size in ((False, (11, 40)), (True, (8, 18)), (True, (9, 20))):
        model = clamped_grid(*size, periodic)
        if name == "gibbs":
            found = Gibbs(sweeps=9, burn_in=3, chains=3, seed=5).sample(model)
            pieces += [found.masks, found.counts, found.energies]
        elif name == "annealing":
            pieces.append(Annealing(sweeps=20, chains=2).find_map(model).mask)
        else:
            found = MeanField(max_sweeps=40).marginals(model)
            pieces += [found.probability, found.down_left]
    return digest(*pieces)


@pytest.mark.parametrize("name", ["gibbs", "mean_field", "annealing"])
def test_answers_do_not_depend_on_threads(name):
    expected, before = answers(name), torch.get_num_threads()
    try:
        for threads in (2, 5):
            torch.set_num_threads(threads)
            assert answers(name) == expected
    finally:
        torch.set_num_threads(before)


def test_sampling_does_not_depend_on_the_split_of_batch_or_chains():
    model = random_grid(3, 9, 21, signs="any", diagonals=True)
    seeds = (3, 1, 4)
    whole = Gibbs(sweeps=8, chains=3, seed=seeds).sample(model)
    for cut in (1, 2):
        parts = [
            Gibbs(sweeps=8, chains=3, seed=seeds[s]).sample(model[s])
            for s in (slice(0, cut), slice(cut, 3))
        ]
        assert torch.equal(whole.masks, torch.cat([p.masks for p in parts]))
        assert torch.equal(whole.energies, torch.cat([p.energies for p in parts]))
    first = Gibbs(sweeps=8, chains=1, seed=seeds).sample(model)
    assert torch.equal(first.counts, whole.counts[:, :1])


def test_chains_go_on_exactly():
    model = clamped_grid(8, 18, True)
    whole = Gibbs(sweeps=9, burn_in=2, chains=2, seed=3).sample(model)
    begun = Gibbs(sweeps=4, burn_in=2, chains=2, seed=3).sample(model)
    gone_on = Gibbs(
        sweeps=5, burn_in=0, chains=2, seed=3, start=begun.masks, sweep_offset=begun.next_sweep
    ).sample(model)
    assert torch.equal(gone_on.masks, whole.masks)
    assert torch.equal(gone_on.counts + begun.counts, whole.counts)


def test_turning_all_signs_exchanges_the_states():
    model = clamped_grid(7, 20, False)
    model = IsingGrid(model.unary + 2.0**-10, **model.couplings)
    turned = IsingGrid(-model.unary, **model.couplings)
    first, second = (MeanField().means(m)[0] for m in (model, turned))
    assert torch.equal(first, -second)


@pytest.mark.parametrize("power", [-80, 70])
def test_a_model_and_its_multiple_give_the_same_bits(power):
    model = random_grid(2, 7, 12, signs="any", diagonals=True)
    tensors = {"unary": model.unary, **model.couplings}
    scaled = IsingGrid(**{name: t * 2.0**power for name, t in tensors.items()})
    beta = 2.0**-power
    first, second = Gibbs(seed=1).sample(model), Gibbs(seed=1, beta=beta).sample(scaled)
    assert torch.equal(first.masks, second.masks)
    assert torch.equal(first.energies, second.energies * beta)
    best = [Annealing(sweeps=20).find_map(m).mask for m in (model, scaled)]
    assert torch.equal(*best)
