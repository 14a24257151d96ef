from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import enumerate_image
from strategies import grids, random_grid

from mrfmask import IsingGrid, Kawasaki, Status, _native, marginals, sample

SIGMAS = 7.0


def masks_with(model, count, beta=1.0):
    """All masks of one image with so many pixels on, and their probabilities given that."""
    table = enumerate_image(model)
    kept = table.masks.sum(axis=(1, 2)) == count
    scores = -beta * table.energies[kept]
    weights = np.exp(scores - scores.max())
    return table.masks[kept], weights / weights.sum()


def numbers_of(masks):
    """One number for each mask of the last two dimensions, its bits."""
    flat = np.asarray(masks).reshape(-1, masks.shape[-2] * masks.shape[-1])
    return flat @ (2 ** np.arange(flat.shape[1]))


def one_move(model, beta, mask, draws):
    """The mask after one move of the native code from three 32-bit draws."""
    arrays = [t.numpy() for t in (model.unary, model.right, model.down)]
    after = np.ascontiguousarray(mask[None], dtype=np.uint8)
    moved = np.zeros(1, dtype=np.uint8)
    words = np.array([draws], dtype=np.uint32)
    _native.exchange(*arrays, model.periodic, beta, words, after, moved, "")
    assert bool(moved[0]) == bool((after[0] != mask).any())
    return after[0].astype(bool)


def pick(place, size):
    """A draw that picks this place of a list."""
    return (2 * place + 1) * 2**32 // (2 * size)


def transition_matrix(model, beta, masks):
    """Probabilities of one move between all masks of a count, read off the native code.

    Whether a move happens is monotone in the third draw, so a search by halves finds how many of
    its 2^32 values make it happen.
    """
    index = {number: i for i, number in enumerate(numbers_of(masks))}
    free = ~model.clamped[0].numpy()
    matrix = np.zeros((len(masks), len(masks)))
    for state, mask in enumerate(masks):
        on, off = int((mask & free).sum()), int((~mask & free).sum())
        for first in range(on):
            for second in range(off):
                draws = (pick(first, on), pick(second, off))

                def after(heat, mask=mask, draws=draws):
                    return one_move(model, beta, mask, (*draws, heat))

                ends = [after(0), after(2**32 - 1)]
                moved = [bool((end != mask).any()) for end in ends]
                assert any(moved)
                to = index[numbers_of(ends[moved.index(True)][None])[0]]
                low, high = 0, 2**32 - 1  # after(low) is ends[0], after(high) is ends[1]
                while moved[0] != moved[1] and high - low > 1:
                    middle = (low + high) // 2
                    if bool((after(middle) != mask).any()) == moved[0]:
                        low = middle
                    else:
                        high = middle
                happens = (2.0**32 if moved[1] else high) if moved[0] else 2**32 - high
                matrix[state, to] += happens / 2**32 / (on * off)
    matrix[np.diag_indices(len(masks))] = 1 - matrix.sum(axis=1)
    return matrix


MOVES = [
    random_grid(1, 3, 3, coupling=0.7, signs="any", seed=1),
    random_grid(1, 3, 3, coupling=0.7, signs="any", periodic=True, seed=2),
    random_grid(1, 2, 4, coupling=0.7, signs="any", periodic=True, seed=3),
    random_grid(1, 1, 7, coupling=1.0, signs="repulsive", periodic=True, seed=4),
    random_grid(1, 3, 3, coupling=0.7, seed=5).clamp(
        on=torch.arange(9).reshape(1, 3, 3) == 4, off=torch.arange(9).reshape(1, 3, 3) == 2
    ),
]


@pytest.mark.parametrize("model", MOVES, ids=["open", "torus", "narrow torus", "ring", "clamps"])
def test_kawasaki_move_is_in_detailed_balance(model):
    masks, p = masks_with(model, 4, beta=0.8)
    matrix = transition_matrix(model, 0.8, masks)
    free = int((~model.clamped).sum())
    on = 4 - int((model.clamped & (model.unary > 0)).sum())
    flow = p[:, None] * matrix
    # A move happens for a whole number of 2^32 draws, after one of on * (free - on) picks. Log odds
    # to 8 are good to 2e-6 in float32.
    draw = 2.0**-32 * (p[:, None] + p) / (on * (free - on))
    assert (np.abs(flow - flow.T) <= 2e-6 * flow + draw).all()
    # From anywhere to anywhere, and never certain to leave: one stationary distribution.
    assert (np.linalg.matrix_power(matrix, 10) > 0).all()
    assert (matrix.diagonal() > 0).all()
    # The chi-square tests start from chains of 40 sweeps: 1e-6 from it is far below their noise.
    gap = 1 - np.sort(np.abs(np.linalg.eigvals(matrix)))[-2]
    assert (1 - gap) ** (40 * free) < 1e-6


def reference_chain(model, count, sweeps, key, stream, chain):
    """The same chain in plain Python: draws by their addresses, energies in float64."""

    def words(block, step, purpose):
        return _native.philox([block, step, stream, chain * 8 + purpose], key)

    clamped = model.clamped[0].flatten().tolist()
    mask = (model.unary[0] == math.inf).flatten().tolist()
    free = [i for i, fixed in enumerate(clamped) if not fixed]
    shuffled = list(free)
    for t in range(count - sum(mask)):
        high, low, _, _ = words(t, 0, 2)
        other = t + ((high << 32 | low) * (len(free) - t) >> 64)
        shuffled[t], shuffled[other] = shuffled[other], shuffled[t]
        mask[shuffled[t]] = True
    for sweep in range(sweeps):
        lists = [[i for i in free if mask[i] == state] for state in (True, False)]
        for move in range(len(free)):
            *picks, heat, _ = words(move, sweep, 4)
            products = [d * len(pixels) for d, pixels in zip(picks, lists, strict=True)]
            places = [p >> 32 for p in products]
            pair = [pixels[place] for pixels, place in zip(lists, places, strict=True)]
            after = list(mask)
            after[pair[0]], after[pair[1]] = False, True
            both = torch.tensor([[mask], [after]]).reshape(1, 2, *model.shape[1:])
            rise = (model.energy(both)[0].diff()).item()
            # The unlikely state takes the lowest draws, or the highest where it is to stay.
            on = heat + 0.5 < 2**32 / (1 + math.exp(rise)) if rise > 0 else None
            if on is None:
                on = 2**32 - heat - 0.5 >= 2**32 / (1 + math.exp(-rise))
            if on:
                mask = after
                for pixels, place, pixel in zip(lists, places, reversed(pair), strict=True):
                    pixels[place] = pixel
    return torch.tensor(mask).reshape(model.shape[1:])


@pytest.mark.parametrize(("size", "periodic"), [((5, 8), False), ((1, 9), True), ((13, 14), True)])
def test_kawasaki_is_the_chain_in_plain_python(size, periodic):
    model = random_grid(2, *size, coupling=0.7, signs="any", periodic=periodic, seed=6)
    model = model.clamp(
        on=(torch.arange(size[0] * size[1]) % 8 == 2).reshape(1, *size).repeat(2, 1, 1)
    )
    count = size[0] * size[1] // 3
    samples = sample(model, budget=count, sweeps=1, burn_in=2, chains=2, seed=2**40 + 3)
    for image, chain in ((0, 1), (1, 0)):
        expected = reference_chain(model[image], count, 3, 2**40 + 3, image, chain)
        assert torch.equal(samples.masks[image, chain], expected)


def test_kawasaki_refuses_draws_that_make_picks_unequal():
    """2^32 modulo 5 is 1: the first place of five would have one draw more than the others."""
    model = IsingGrid(
        torch.tensor([[[9.0] * 5 + [-9.0] * 5]]), torch.zeros(1, 1, 9), torch.zeros(1, 0, 10)
    )
    mask = np.arange(10)[None] >= 5
    for place in range(5):
        first = -(-place * 2**32 // 5)  # the lowest draw that picks it
        for draws in ((first, pick(1, 5)), (pick(1, 5), first)):
            moved = (one_move(model, 1.0, mask, (*draws, 2**31)) != mask).any()
            assert moved == (place > 0)


@pytest.mark.parametrize("count", [1, 3, 8, 15])
@pytest.mark.parametrize("periodic", [False, True])
def test_kawasaki_visits_masks_as_often_as_they_are_probable(count, periodic):
    model = random_grid(1, 4, 4, coupling=0.6, signs="any", periodic=periodic, seed=count)
    masks, p = masks_with(model, count)
    chains = 60_000 if count == 8 else 20_000
    samples = sample(model, budget=count, sweeps=1, burn_in=39, chains=chains, seed=5).masks[0]
    visits = np.bincount(numbers_of(samples), minlength=2**16)[numbers_of(masks)]
    assert visits.sum() == chains
    # Rare masks share bins, so that each bin expects at least ten visits.
    order = np.argsort(p)
    bins = (np.cumsum(p[order]) * chains / 10).astype(int)
    _, bins = np.unique(bins, return_inverse=True)
    seen, expected = np.bincount(bins, visits[order]), np.bincount(bins, p[order] * chains)
    chi_square, freedom = ((seen - expected) ** 2 / expected).sum(), len(seen) - 1
    # Wilson and Hilferty: beyond six standard deviations once in 10^9.
    z = (chi_square / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))
    assert z < 6 * math.sqrt(2 / (9 * freedom))


@given(grids(), st.floats(0.0, 1.0), st.sampled_from([0.3, 1.0]), st.integers(0, 2**63 - 1))
def test_kawasaki_marginals_equal_enumeration(model, share, beta, seed):
    scale = max([1.0] + [t.abs().max().item() for t in (model.right, model.down) if t.numel()])
    model = IsingGrid(
        torch.where(model.clamped, model.unary, model.unary / scale),
        model.right / scale,
        model.down / scale,
        model.constant,
        model.periodic,
    )
    on, off = ((model.clamped & (s * model.unary > 0)).sum().item() for s in (1, -1))
    count = on + round(share * (model.unary.numel() - on - off))
    masks, p = masks_with(model, count, beta)
    chains = 1000
    method = Kawasaki(budget=count, beta=beta, sweeps=1, burn_in=60, chains=chains, seed=seed)
    samples = method.sample(model)
    assert (samples.masks.sum(dim=(2, 3)) == count).all()
    expected = (p[:, None, None] * masks).sum(axis=0).clip(0, 1)
    got = samples.masks[0].double().mean(dim=0).numpy()
    sigma = np.sqrt(expected * (1 - expected) / chains)
    assert (np.abs(got - expected) <= SIGMAS * sigma + 3 / chains).all()


@pytest.mark.parametrize("size", [(1, 8), (3, 4), (3, 3), (2, 5)])
@pytest.mark.parametrize("periodic", [False, True])
def test_kawasaki_pairs_equal_enumeration(size, periodic):
    model = random_grid(1, *size, coupling=0.5, signs="any", periodic=periodic, seed=9)
    masks, p = masks_with(model, 3)
    x = np.where(masks, 1.0, -1.0)
    options = {"sweeps": 400, "burn_in": 40, "chains": 50, "seed": 2}
    result = marginals(model, method="kawasaki", budget=3, **options)
    assert result.kind == "estimate"
    assert result.log_partition is None
    beside, below = np.roll(x, -1, axis=2), np.roll(x, -1, axis=1)
    for got, first in ((result.right, x * beside), (result.down, x * below)):
        expected = (p[:, None, None] * first).sum(axis=0)[: got.shape[1], : got.shape[2]]
        # Autocorrelation: at most four sweeps to an independent state.
        assert (np.abs(got[0].numpy() - expected) <= SIGMAS * math.sqrt(4 / 20_000)).all()
    expected = (p[:, None, None] * masks).sum(axis=0)
    assert (np.abs(result.probability[0].numpy() - expected) <= SIGMAS * 0.01).all()


@pytest.mark.parametrize("periodic", [False, True])
def test_kawasaki_traces_the_energy_of_the_masks_that_it_counts(periodic):
    model = random_grid(2, 7, 9, coupling=0.8, signs="any", periodic=periodic)
    model = model.clamp(on=torch.rand(2, 7, 9, generator=torch.Generator().manual_seed(1)) < 0.1)
    options = {"burn_in": 0, "chains": 3, "seed": 4, "budget": (12, 50)}
    start, counts = None, 0
    whole = sample(model, sweeps=6, **options)
    for sweep in range(6):
        one = sample(model, sweeps=1, start=start, sweep_offset=sweep, **options)
        start, counts = one.masks, counts + one.counts
        assert torch.equal(one.counts, one.masks.int())
        assert torch.equal(one.energies[..., 0], whole.energies[..., sweep])
        assert torch.allclose(one.energies[..., 0], model.energy(one.masks), rtol=1e-12)
    assert torch.equal(start, whole.masks)
    assert torch.equal(counts, whole.counts)
    assert torch.allclose(whole.mean, whole.counts.sum(1) / 18)
    assert ((whole.stats["exchanged"] > 0.05) & (whole.stats["exchanged"] < 0.5)).all()


def test_kawasaki_takes_budgets_as_find_map_does():
    model = random_grid(3, 6, 10).clamp(on=torch.arange(60).reshape(1, 6, 10).repeat(3, 1, 1) < 5)
    for budget, counts in (
        ({"budget": 7}, [7, 7, 7]),
        ({"budget": 0.25}, [15, 15, 15]),
        ({"budget": (5, 20, 60)}, [5, 20, 60]),
        ({"budget_new": torch.tensor([0, 3, 55])}, [5, 8, 60]),
    ):
        masks = sample(model, sweeps=2, burn_in=1, chains=2, **budget).masks
        assert (masks.sum(dim=(2, 3)) == torch.tensor(counts)[:, None]).all()
        assert masks[:, :, 0, :5].all()


def test_kawasaki_never_moves_where_there_is_one_mask():
    unary = torch.tensor([[[0.5, torch.inf, -torch.inf, 0.5]]])
    model = IsingGrid(unary, torch.ones(1, 1, 3), torch.zeros(1, 0, 4))
    for count, mask in ((1, [False, True, False, False]), (3, [True, True, False, True])):
        samples = sample(model, budget=count, sweeps=5, chains=2)
        assert (samples.masks == torch.tensor(mask)).all()
        assert (samples.counts == 5 * torch.tensor(mask)).all()
        assert (samples.energies == model.energy(torch.tensor([[mask]]))).all()
        assert samples.stats["exchanged"].item() == 0
        assert samples.status == (Status.MIXED,)


def test_kawasaki_starts_from_all_masks_alike():
    model = random_grid(1, 2, 3)
    starts = sample(model, budget=2, sweeps=1, burn_in=0, chains=60_000, beta=1e-6, seed=1)
    visits = np.bincount(numbers_of(starts.masks[0]), minlength=64)
    visits = visits[visits > 0]
    assert len(visits) == 15
    assert ((visits - 4000) ** 2 / 4000).sum() < 70  # 14 degrees of freedom: once in 10^9


def test_kawasaki_honours_clamps_that_its_start_violates():
    unary = torch.tensor([[[0.0, torch.inf, 0.0]]])
    model = IsingGrid(unary, torch.zeros(1, 1, 2), torch.zeros(1, 0, 3))
    start = torch.tensor([[[[True, False, False]]]])
    samples = sample(model, budget=2, sweeps=9, burn_in=0, start=start)
    assert (samples.counts[0, 0, 0, 1] == 9) & (samples.masks.sum() == 2)


def test_kawasaki_goes_downhill_when_it_is_cold():
    model = random_grid(1, 20, 20, coupling=0.0, signs="any")
    best = torch.zeros(400, dtype=torch.bool)
    best[model.unary.flatten().argsort(descending=True)[:30]] = True
    samples = sample(model, budget=30, sweeps=1, burn_in=200, beta=1e6)
    assert torch.equal(samples.masks.flatten(), best)
