from __future__ import annotations

import pytest
import torch
from strategies import random_grid

import mrfmask as mm
from mrfmask.bench.instances import SIGNS, draw, draw_all, read, signs_of


def couplings(instance):
    return torch.cat([instance.model.right.flatten(), instance.model.down.flatten()])


def test_draw_changes_couplings_alone_with_signs_and_strength():
    drawn = {(s, c): draw(12, s, c, 0, 5) for s in SIGNS for c in (0.5, 2.0)}
    plain = drawn["associative", 0.5]
    for (signs, strength), other in drawn.items():
        assert torch.equal(other.model.unary, plain.model.unary)
        sizes = couplings(plain) * strength / 0.5
        assert torch.allclose(couplings(other).abs(), sizes)
        assert signs_of(other.model) == other.signs == signs


def test_draw_has_the_distribution_that_it_names():
    instance = draw(100, "mixed", 3.0, 0, 0)
    sizes = couplings(instance).abs()
    assert 0.6 <= sizes.min() < 0.61
    assert 2.99 < sizes.max() <= 3.0
    # Seven standard errors of 19 800 uniform draws, coins, and 10 000 normal ones.
    assert abs(sizes.mean() - 1.8) < 7 * 3.0 * 0.8 / 12**0.5 / 19_800**0.5
    assert abs((couplings(instance) > 0).double().mean() - 0.5) < 7 * 0.5 / 19_800**0.5
    assert abs(instance.model.unary.mean()) < 7 / 100
    assert abs(instance.model.unary.var() - 1) < 7 * 2**0.5 / 100


def test_draw_depends_on_seed_size_and_number_only():
    same = [draw(8, "mixed", 1.0, 1, 3).sha256 for _ in range(2)]
    assert same[0] == same[1]
    others = [(8, "mixed", 1.0, 1, 4), (8, "mixed", 1.0, 2, 3), (9, "mixed", 1.0, 1, 3)]
    assert len({same[0], *(draw(*key).sha256 for key in others)}) == 4


def test_sha256_tells_every_part_of_a_model_apart():
    model = random_grid(1, 3, 3, periodic=True)
    parts = {"unary": model.unary + 1, "right": model.right + 1, "down": model.down + 1}
    tensors = {n: getattr(model, n) for n in ("unary", "right", "down", "constant")}
    models = [model, mm.IsingGrid(**tensors | {"constant": torch.ones(1)}, periodic=True)]
    models += [mm.IsingGrid(**tensors | {n: t}, periodic=True) for n, t in parts.items()]
    digests = set()
    for one in models:
        instance = draw(3, "mixed", 1.0, 0, 0)
        object.__setattr__(instance, "model", one)
        digests.add(instance.sha256)
    assert len(digests) == len(models)


def test_draw_all_gives_every_combination_once():
    instances = list(draw_all([3, 4], ["mixed", "repulsive"], [0.5, 1.0], 2, 0))
    keys = [(i.size, i.signs, i.strength, i.number) for i in instances]
    assert len(set(keys)) == len(keys) == 16
    assert [size for size, *_ in keys] == [(3, 3)] * 8 + [(4, 4)] * 8
    assert len({i.sha256 for i in instances}) == 16


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_read_takes_one_image_of_a_file(tmp_path, suffix):
    model = random_grid(3, 4, 5, signs="any")
    mm.save_model(model, tmp_path / f"m{suffix}")
    instance = read(tmp_path / f"m{suffix}", "sub/m", 2)
    assert torch.equal(instance.model.unary, model.unary[2:])
    assert (instance.name, instance.number, instance.size) == ("sub/m", 2, (4, 5))
    assert (instance.signs, instance.strength) == ("mixed", None)


def test_title_shows_no_control_characters():
    instance = draw(3, "mixed", 1.0, 0, 0)
    object.__setattr__(instance, "name", "a\nb")
    assert instance.title == "a\N{REPLACEMENT CHARACTER}b"
