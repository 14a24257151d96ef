"""Networks saved to folders and loaded again: whole, complete, never unpickled, no network."""

from __future__ import annotations

import json
import os
import pickle
import re

import pytest
import safetensors.torch
import torch
from huggingface_hub import PyTorchModelHubMixin, hub_mixin

from mrfmask.nn import MaskNet

OPTIONS = {
    "in_channels": 2,
    "width": 16,
    "coupling": "repulsive",
    "rate": 0.07,
    "hidden": 5,
    "learn_scale": False,
}
IMAGE = torch.rand(1, 2, 9, 10, generator=torch.Generator().manual_seed(0))


class TwoMaps(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fine = torch.nn.Conv2d(2, 4, 2, stride=2)
        self.coarse = torch.nn.Conv2d(4, 6, 2, stride=2)

    def forward(self, image):
        fine = self.fine(image)
        return [fine, self.coarse(fine)]


def make(seed=0, **options):
    torch.manual_seed(seed)
    net = MaskNet(**{**OPTIONS, **options})
    net.head.log_scale.data.fill_(0.3)
    return net


def assert_same(net, other):
    state, expected = net.state_dict(), other.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in state)
    assert torch.equal(net(IMAGE).unary, other(IMAGE).unary)
    assert torch.equal(net(IMAGE).right, other(IMAGE).right)


def change(path, edit):
    config = json.loads(path.read_text())
    edit(config)
    path.write_text(json.dumps(config))


@pytest.fixture
def folder(tmp_path):
    make().save_pretrained(tmp_path / "net")
    return tmp_path / "net"


def test_masknet_comes_back_from_a_folder_as_it_was(tmp_path):
    net = make()
    net.save_pretrained(tmp_path / "runs" / "net")
    loaded = MaskNet.from_pretrained(str(tmp_path / "runs" / "net"))
    assert_same(loaded, net)
    assert isinstance(loaded, PyTorchModelHubMixin)
    assert not loaded.training


def test_config_keeps_every_argument_of_the_constructor(folder):
    config = json.loads((folder / "config.json").read_text())
    assert config == {**OPTIONS, "feature_channels": None}
    assert MaskNet.from_pretrained(folder).config == config


def test_folder_holds_weights_config_and_card_alone(folder):
    assert sorted(os.listdir(folder)) == ["README.md", "config.json", "model.safetensors"]


def test_same_weights_make_the_same_files(tmp_path):
    net = make(seed=1)
    for number in range(12):
        net.save_pretrained(tmp_path / str(number))
    for name in ("model.safetensors", "config.json", "README.md"):
        assert len({(tmp_path / str(n) / name).read_bytes() for n in range(12)}) == 1
    assert "Hub" not in (tmp_path / "0" / "README.md").read_text()


def test_mistyped_folder_is_not_looked_for_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("nowhere", "a/b/c", str(tmp_path / "nowhere")):
        with pytest.raises(FileNotFoundError, match="folder must be a folder that exists"):
            MaskNet.from_pretrained(name)


def test_masknet_with_an_extractor_is_saved_with_its_weights(tmp_path):
    net = make(features=TwoMaps(), feature_channels=(4, 6))
    net.save_pretrained(tmp_path / "net")
    loaded = MaskNet.from_pretrained(tmp_path / "net", features=TwoMaps())
    assert_same(loaded, net)
    assert loaded.config["feature_channels"] == [4, 6]
    with pytest.raises(ValueError, match="features must be a torch"):
        MaskNet.from_pretrained(tmp_path / "net")


def test_half_takes_half_the_space_and_loads_as_float32(tmp_path):
    net = make()
    net.save_pretrained(tmp_path / "full")
    net.save_pretrained(tmp_path / "half", half=True)
    full, half = (
        (tmp_path / name / "model.safetensors").stat().st_size for name in ("full", "half")
    )
    assert half < 0.6 * full
    loaded = MaskNet.from_pretrained(tmp_path / "half")
    for name, value in net.state_dict().items():
        got = loaded.state_dict()[name]
        assert got.dtype == torch.float32
        assert torch.equal(got, value.half().float())


def test_save_replaces_an_earlier_network_and_leaves_other_files_alone(folder):
    (folder / "README.md").write_text("My own words.")
    (folder / "notes.txt").write_text("kept")
    other = make(seed=1, coupling="free")
    other.save_pretrained(folder)
    assert_same(MaskNet.from_pretrained(folder), other)
    assert (folder / "README.md").read_text() == "My own words."
    assert (folder / "notes.txt").read_text() == "kept"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_save_that_fails_leaves_the_old_network_or_one_that_is_refused(folder, monkeypatch, name):
    replace = os.replace

    def full_disk(source, target):
        if os.fspath(target).endswith(name):
            raise OSError("no space left")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        # The same shapes: only the config tells them apart.
        make(seed=1, coupling="associative").save_pretrained(folder)
    assert sorted(os.listdir(folder)) == ["README.md", "config.json", "model.safetensors"]
    if name == "model.safetensors":
        assert_same(MaskNet.from_pretrained(folder), make())
    else:
        with pytest.raises(ValueError, match=r"model\.safetensors must belong to the config\.json"):
            MaskNet.from_pretrained(folder)


def test_masknet_loads_from_the_cache_of_the_hub_without_a_connection(folder, tmp_path):
    cached = tmp_path / "cache" / "models--somebody--net"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    (cached / "snapshots").mkdir()
    os.rename(folder, cached / "snapshots" / ("0" * 40))
    options = {"cache_dir": tmp_path / "cache", "local_files_only": True}
    assert_same(MaskNet.from_pretrained("somebody/net", **options), make())
    with pytest.raises(FileNotFoundError, match="owner/name of a model on the hub; got 'a/other'"):
        MaskNet.from_pretrained("a/other", **options)


def test_push_to_hub_uploads_the_folder(monkeypatch):
    uploaded = {}

    class Api:
        def __init__(self, token=None):
            pass

        def create_repo(self, repo_id, **options):
            return type("Repo", (), {"repo_id": repo_id})

        def upload_folder(self, repo_id, folder_path, **options):
            uploaded[repo_id] = MaskNet.from_pretrained(folder_path)

    monkeypatch.setattr(hub_mixin, "HfApi", Api)
    net = make()
    net.push_to_hub("somebody/net")
    assert_same(uploaded["somebody/net"], net)


def test_weights_of_other_programs_load_if_names_and_shapes_fit(folder):
    net = make(seed=2)
    safetensors.torch.save_file(
        {n: v.clone() for n, v in net.state_dict().items()}, folder / "model.safetensors"
    )
    assert_same(MaskNet.from_pretrained(folder), net)


def test_from_pretrained_never_unpickles(folder):
    fired = []

    class Trap:
        def __reduce__(self):
            return fired.append, (1,)

    weights = pickle.dumps(Trap())
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "pytorch_model.bin").write_bytes(weights)
    with pytest.raises(ValueError, match=r"model\.safetensors must be a safetensors file; got"):
        MaskNet.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"without model\.safetensors"):
        MaskNet.from_pretrained(folder)
    assert not fired


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (
            lambda f: (f / "config.json").unlink(),
            FileNotFoundError,
            "folder must hold config.json and model.safetensors; got {folder} without config.json.",
        ),
        (
            lambda f: (f / "config.json").write_text("{"),
            ValueError,
            "config.json must be JSON; got {config}: Expecting property name",
        ),
        (
            lambda f: (f / "config.json").write_text("[3]"),
            ValueError,
            "config.json must hold arguments of MaskNet; got {config} with [3].",
        ),
        (
            lambda f: change(f / "config.json", lambda c: c.update(depth=3)),
            ValueError,
            "config.json must hold arguments of MaskNet; got {config} with 'depth'.",
        ),
        (
            lambda f: change(f / "config.json", lambda c: c.update(features=1)),
            ValueError,
            "config.json must hold arguments of MaskNet; got {config} with 'features'.",
        ),
        (
            lambda f: change(f / "config.json", lambda c: c.update(rate=1.5)),
            ValueError,
            "config.json must hold arguments of MaskNet; got {config}: rate must lie strictly",
        ),
        (
            lambda f: change(f / "config.json", lambda c: c.update(coupling="free")),
            ValueError,
            "model.safetensors must belong to the config.json beside it; got {weights}, saved with",
        ),
        (
            lambda f: (f / "model.safetensors").write_bytes(
                (f / "model.safetensors").read_bytes()[:-8]
            ),
            ValueError,
            "model.safetensors must be a safetensors file; got {weights}: ",
        ),
        (
            lambda f: safetensors.torch.save_file(
                {"head.log_scale": torch.zeros(())}, f / "model.safetensors"
            ),
            ValueError,
            "model.safetensors must hold body.down.0.0.weight of shape (16, 2, 3, 3); got None in",
        ),
        (
            lambda f: safetensors.torch.save_file(
                {**make().state_dict(), "more": torch.zeros(1)}, f / "model.safetensors"
            ),
            ValueError,
            "model.safetensors must hold more of shape None; got (1,) in {weights}.",
        ),
    ],
)
def test_from_pretrained_says_what_is_wrong_with_a_folder(folder, spoil, kind, message):
    spoil(folder)
    message = message.format(
        folder=repr(str(folder)),
        config=repr(str(folder / "config.json")),
        weights=repr(str(folder / "model.safetensors")),
    )
    with pytest.raises(kind, match=re.escape(message)):
        MaskNet.from_pretrained(folder)


def too_large():
    net = make()
    net.head.log_scale.data.fill_(1e5)
    return net


WRONG = [
    (lambda p: MaskNet.from_pretrained(p / "config.json"), ValueError, "must not be a file; got"),
    (
        lambda p: MaskNet.from_pretrained(p / "nowhere"),
        FileNotFoundError,
        "folder must be a folder that exists, or owner/name of a model on the hub; got",
    ),
    (
        lambda p: MaskNet.from_pretrained(p, rate=0.5),
        TypeError,
        "modules must be among features; got 'rate'. config.json decides the other arguments.",
    ),
    (lambda p: make().save_pretrained(p / "config.json"), ValueError, "folder must not be a file"),
    (lambda p: make().save_pretrained(p, half=1), TypeError, "half must be a bool; got int."),
    (
        lambda p: make().save_pretrained(p, config={"rate": 0.1}),
        TypeError,
        "config must be left out; got dict.",
    ),
    (
        lambda p: too_large().save_pretrained(p, half=True),
        ValueError,
        "half must be False for weights beyond 65504; got head.log_scale with 1e+05.",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_pretrained_says_what_is_wrong_with_an_argument(folder, call, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        call(folder)
    # Refused calls leave what is there.
    assert_same(MaskNet.from_pretrained(folder), make())
