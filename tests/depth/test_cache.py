"""Arrays kept in files: made once, forgotten with their key, made again when broken."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mrfmask.depth.cache import FrameCache
from mrfmask.depth.describe import digest_of


class Maker:
    """Makes arrays, and counts how often."""

    def __init__(self, value=1.0):
        self.value, self.calls = value, 0

    def __call__(self):
        self.calls += 1
        return {"a": np.full(3, self.value, dtype=np.float32), "b": np.array([True, False])}


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def same(found, value):
    assert sorted(found) == ["a", "b"]
    assert found["a"].dtype == np.float32
    assert found["b"].dtype == bool
    return (found["a"] == value).all() and found["b"].tolist() == [True, False]


def test_cache_makes_the_arrays_of_a_frame_once(tmp_path):
    make = Maker()
    for _ in range(3):
        assert same(FrameCache(tmp_path, "key").get("frame", make), 1.0)
    assert make.calls == 1
    assert len(files(tmp_path)) == 1


def test_cache_keeps_frames_apart_whatever_their_names(tmp_path):
    cache, names = FrameCache(tmp_path, "key"), ["a", "A", "a/../b", "b" * 1000, "#1"]
    for number, name in enumerate(names):
        cache.get(name, Maker(number))
    for number, name in enumerate(names):
        assert same(cache.get(name, Maker(-1)), number)
    assert {path.parent for path in files(tmp_path)} == {cache.folder}


def test_cache_deletes_what_was_made_with_another_key(tmp_path):
    FrameCache(tmp_path, "old").get("frame", Maker(1.0))
    cache = FrameCache(tmp_path, "new")
    assert files(tmp_path) == []
    assert same(cache.get("frame", Maker(2.0)), 2.0)


@pytest.mark.parametrize("kept", [0, 1, 20, 100, -1])
def test_cache_makes_a_broken_file_again(tmp_path, kept):
    cache = FrameCache(tmp_path, "key")
    cache.get("frame", Maker(1.0))
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    assert same(cache.get("frame", Maker(2.0)), 2.0)
    assert same(cache.get("frame", Maker(3.0)), 2.0)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_cache_makes_a_file_with_a_changed_byte_again(tmp_path, place):
    cache, noise = FrameCache(tmp_path, "key"), np.random.default_rng(0).random(1000)
    cache.get("frame", lambda: {"a": noise})
    (path,) = files(tmp_path)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 0xFF
    path.write_bytes(content)
    assert (cache.get("frame", lambda: {"a": noise})["a"] == noise).all()


def test_cache_leaves_no_part_of_a_file_behind(tmp_path):
    cache = FrameCache(tmp_path, "key")

    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.get("frame", fail)
    (cache.folder / ".mrfmask-0.part").write_bytes(b"what a killed run was writing")
    assert same(FrameCache(tmp_path, "key").get("frame", Maker(1.0)), 1.0)
    assert [path.suffix for path in files(tmp_path)] == [".npz"]


def test_digest_tells_weights_apart_to_the_last_bit():
    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    before = digest_of(net)
    assert digest_of(net) == before
    copy = nn.Linear(3, 2)
    copy.load_state_dict(net.state_dict())
    assert digest_of(copy) == before
    with torch.no_grad():
        copy.weight[1, 2] = torch.nextafter(copy.weight[1, 2], torch.tensor(9.0))
    assert digest_of(copy) != before
    with torch.no_grad():
        net.weight.copy_(net.weight.flip(0))
    assert digest_of(net) != before
