"""Masks, counts and means are the same bits for every machine, thread count and batch split."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden import GOLDEN, answers, digest, plain_grid

from mrfmask import Annealing, Exact, Gibbs, IsingGrid, Kawasaki, MeanField, _native, ops

ISAS = _native.isas()


@pytest.mark.parametrize("name", ["gibbs", "mean_field", "graph_cut", "kawasaki"])
def test_answers_are_the_golden_bits(name):
    assert answers(name) == GOLDEN[name]


def test_exact_samples_are_the_golden_bits():
    samples = Exact(chains=200, seed=9).sample(plain_grid(2, 3, 4, signs=0))
    assert digest(samples.masks) == GOLDEN["exact"]


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("name", ["gibbs", "mean_field", "graph_cut", "kawasaki"])
def test_answers_do_not_depend_on_threads(name, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert answers(name) == GOLDEN[name]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("kind", "options"), [(Gibbs, {}), (Kawasaki, {"budget": 0.1})])
def test_sampling_does_not_depend_on_the_split_of_batch_or_chains(kind, options):
    model = plain_grid(5, 9, 21, signs=0)
    seeds = (3, 1, 4, 1, 5)
    whole = kind(sweeps=15, chains=3, seed=seeds, **options).sample(model)
    for cut in (1, 2, 4):
        parts = [
            kind(sweeps=15, chains=3, seed=seeds[s], **options).sample(model[s])
            for s in (slice(0, cut), slice(cut, 5))
        ]
        assert torch.equal(whole.masks, torch.cat([p.masks for p in parts]))
        assert torch.equal(whole.counts, torch.cat([p.counts for p in parts]))
    first = kind(sweeps=15, chains=1, seed=seeds, **options).sample(model)
    assert torch.equal(first.masks, whole.masks[:, :1])


def test_many_chains_are_the_single_chains_and_continue_exactly():
    model = plain_grid(2, 9, 22, periodic=False, signs=0)
    model = IsingGrid(
        model.unary.index_fill(1, torch.tensor([4]), torch.inf), model.right, model.down
    )
    many = Gibbs(sweeps=12, burn_in=5, chains=70, seed=3).sample(model)
    few = Gibbs(sweeps=12, burn_in=5, chains=3, seed=3).sample(model)
    assert torch.equal(many.masks[:, :3], few.masks)
    assert torch.equal(many.counts[:, :3], few.counts)
    assert torch.equal(many.energies[:, :3], few.energies)
    begun = Gibbs(sweeps=1, burn_in=5, chains=70, seed=3).sample(model)
    gone_on = Gibbs(
        sweeps=11, burn_in=0, chains=70, seed=3, start=begun.masks, sweep_offset=begun.next_sweep
    ).sample(model)
    assert torch.equal(gone_on.masks, many.masks)
    assert torch.equal(gone_on.counts + begun.counts, many.counts)


@pytest.mark.parametrize(("kind", "options"), [(Gibbs, {}), (Kawasaki, {"budget": 128})])
def test_images_and_chains_of_one_seed_draw_different_numbers(kind, options):
    model = IsingGrid(torch.zeros(4, 16, 16), torch.zeros(4, 16, 15), torch.zeros(4, 15, 16))
    samples = kind(sweeps=1, burn_in=0, chains=4, seed=1, **options).sample(model)
    masks = samples.masks.flatten(0, 1)
    agreement = (masks[:, None] == masks[None]).double().mean(dim=(2, 3))
    off_diagonal = agreement[~torch.eye(16, dtype=torch.bool)]
    # 256 fair coins: 0.5 +- 0.03; half agreement within seven standard errors.
    assert ((off_diagonal - 0.5).abs() < 7 * 0.5 / 16).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("height", "width", "periodic"),
    [(15, 37, False), (15, 37, True), (14, 38, True), (2, 2, True), (1, 33, False), (33, 1, False)]
    + [(3, width, False) for width in (15, 16, 17, 31, 32, 63, 64, 65, 127, 128, 129, 300)]
    + [(4, width, True) for width in (16, 30, 32, 34, 64, 66, 126, 128, 130, 258)],
)
def test_every_instruction_set_gives_the_same_bits(isa, height, width, periodic):
    model = plain_grid(2, height, width, periodic, signs=0)
    unary = model.unary.clone()
    unary.view(2, -1)[:, ::7] = torch.inf
    unary.view(2, -1)[1, 3::11] = -torch.inf
    model = IsingGrid(
        torch.cat([model.unary[:1], unary[1:]]), model.right, model.down, periodic=periodic
    )
    # Forty chains of an image run in groups, one chain alone; 300 sweeps fill and drain the counts.
    kept = 300 if width < 40 else 20
    results = [run(model, isa, chains=40, kept=kept), run(model, "baseline", chains=40, kept=kept)]
    for got, expected in zip(*results, strict=True):
        assert np.array_equal(got, expected)
    alone = run(model, isa, chains=1, kept=kept)
    for got, expected in zip(alone[:4], results[0][:4], strict=True):
        assert np.array_equal(got, expected[:, :1])
    counted = [run_kawasaki(model, name) for name in (isa, "baseline")]
    for got, expected in zip(*counted, strict=True):
        assert np.array_equal(got, expected)


def run_kawasaki(model, isa):
    """All that Kawasaki sweeps write, from the loops of one instruction set."""
    batch, chains, kept = len(model), 2, 5
    masks = np.zeros((batch, chains, *model.shape[1:]), dtype=np.uint8)
    counts, energies = masks.astype(np.int32), np.zeros((batch, chains, kept))
    right, down = (np.zeros(t.shape, dtype=np.int64) for t in (model.right, model.down))
    exchanges = np.zeros((batch, chains), dtype=np.int64)
    count = (model.clamped & (model.unary > 0)).sum(dim=(1, 2)) + 1
    _native.kawasaki(
        *(t.numpy() for t in (model.unary, model.right, model.down)),
        model.periodic,
        np.full(batch, 0.9),
        count.numpy(),
        np.array([[77, image] for image in range(batch)], dtype=np.int64),
        2,
        3,
        False,
        masks,
        counts,
        energies,
        right,
        down,
        exchanges,
        1,
        isa,
    )
    return [masks, counts, energies, right, down, exchanges]


def run(model, isa, chains, kept):
    """All that Gibbs and mean field write, from the loops of one instruction set."""
    batch, height, width = model.shape
    shape = (batch, chains, height, width)
    arrays = [t.numpy() for t in (model.unary, model.right, model.down)]
    seed = np.array([[77, image] for image in range(batch)], dtype=np.int64)
    masks, best = np.zeros(shape, dtype=np.uint8), np.zeros(shape, dtype=np.uint8)
    counts = np.zeros(shape, dtype=np.int32)
    energies = np.zeros((batch, chains, kept))
    right = np.zeros(model.right.shape, dtype=np.int64)
    down = np.zeros(model.down.shape, dtype=np.int64)
    beta = np.full((batch, 2 + kept), 0.9)
    _native.gibbs(
        *arrays,
        model.periodic,
        beta,
        seed,
        2,
        0,
        False,
        masks,
        counts,
        energies,
        best,
        right,
        down,
        1,
        isa,
    )
    mean = np.zeros((batch, height, width), dtype=np.float32)
    sweeps, change = np.zeros(batch, dtype=np.int64), np.zeros(batch, dtype=np.float32)
    rate = np.full(batch, 1.1)
    _native.mean_field(*arrays, model.periodic, rate, 40, 1e-6, False, mean, sweeps, change, 1, isa)
    return [masks, counts, energies, best, right, down, mean, sweeps, change]


def test_flushing_subnormals_changes_no_bit():
    tiny = plain_grid(1, 8, 9, signs=0)
    potentials = [t * 2.0**-54 for t in (tiny.unary, tiny.right, tiny.down)]
    beta = torch.tensor([2.0**50], dtype=torch.float64)
    plain = ops.mean_field(*potentials, False, beta, None, 30, 1e-9)[0]
    assert torch.set_flush_denormal(True)
    try:
        flushed = ops.mean_field(*potentials, False, beta, None, 30, 1e-9)[0]
    finally:
        torch.set_flush_denormal(False)
    assert torch.equal(plain, flushed)


@pytest.mark.parametrize("power", [-90, -60, 60, 90])
def test_a_model_and_its_multiple_give_the_same_bits(power):
    model = plain_grid(2, 9, 14, signs=0)
    scaled = IsingGrid(*(t * 2.0**power for t in (model.unary, model.right, model.down)))
    beta = 2.0**-power
    for kind, options in ((Gibbs, {}), (Kawasaki, {"budget": 20})):
        first = kind(seed=1, **options).sample(model)
        second = kind(seed=1, beta=beta, **options).sample(scaled)
        assert torch.equal(first.masks, second.masks)
        assert torch.equal(first.energies, second.energies * beta)
    means = [MeanField().marginals(model), MeanField(beta=beta).marginals(scaled)]
    assert torch.equal(means[0].probability, means[1].probability)
    best = [Annealing(sweeps=30).find_map(m).mask for m in (model, scaled)]
    assert torch.equal(*best)


def test_a_huge_beta_is_no_different_from_a_large_one():
    model = plain_grid(1, 6, 7, signs=0)
    for kind, attribute in ((Gibbs, "mean"), (MeanField, "probability")):
        answers = [getattr(kind(beta=b)(model), attribute) for b in (1e30, 1e39, 1e300)]
        assert not answers[0].isnan().any()
        assert torch.equal(answers[0], answers[1])
        assert torch.equal(answers[0], answers[2])
    flat = IsingGrid(torch.zeros(1, 4, 4), torch.zeros(1, 4, 3), torch.zeros(1, 3, 4))
    assert (MeanField(beta=1e39).marginals(flat).probability == 0.5).all()
