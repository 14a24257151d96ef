"""A saved model is the model: bytes, masks, predictions, and what is said of broken folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from mrfmask.depth import checkpoint
from mrfmask.depth.checkpoint import (
    DepthModel,
    default_depth_model,
    depth_model_at,
    load_depth_model,
)
from mrfmask.depth.density_net import DensityNet, PositionPrior
from mrfmask.depth.error_head import ErrorHead
from mrfmask.depth.frames import collate_frames
from mrfmask.depth.masking import MASKINGS
from mrfmask.depth.phases import Phases, buy
from mrfmask.depth.predictor import Predictor
from mrfmask.depth.saved_weights import taken_apart
from mrfmask.depth.synthetic import SyntheticFrames
from mrfmask.depth.weights import WEIGHTS, EnsembleVariance, ExpectedError, NeighbourVariance
from mrfmask.nn import MaskNet

COUNT = 24


@pytest.fixture(scope="module")
def frames():
    made = SyntheticFrames(2, size=(32, 40))
    return collate_frames([made[0], made[1]])


def noisy(net, seed: int = 0):
    """The network with other weights and buffers, none of them 0 and all known by the seed."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point():
                value.copy_(0.3 * torch.randn(value.shape, generator=draws))
    return net


def masking_of(name: str, **options):
    kind = MASKINGS[name]
    if kind.net_class is DensityNet:
        options["net"] = noisy(DensityNet(width=8))
    elif kind.net_class is PositionPrior:
        options["net"] = noisy(PositionPrior(32, 40))
    elif kind.net_class is MaskNet:
        options["net"] = noisy(MaskNet(width=8, hidden=4, coupling="repulsive"))
    return kind(**options)


def model_of(name: str = "ising_density", **changes) -> DepthModel:
    given = {
        "masking": masking_of(name),
        "predictor": noisy(Predictor(width=8), 1),
        "phases": Phases(count=3, first=0.5, power=0.7, trust=0.2),
        "budget": 0.05,
        "info": {"data": ["a", "b"], "seed": 3, "score": 0.25},
    }
    return DepthModel(**given | changes)


def content(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def edit(folder: Path, **changes) -> None:
    path = folder / "depth.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("name", MASKINGS)
def test_loaded_model_gives_the_same_masks_and_predictions(name, tmp_path, frames):
    model = model_of(name)
    model.save(tmp_path / "model")
    loaded = load_depth_model(tmp_path / "model")
    assert type(loaded.masking) is type(model.masking)
    assert loaded.phases == model.phases
    assert (loaded.budget, loaded.info) == (model.budget, model.info)
    masks = [buy(m.masking, frames, COUNT, m.phases, seed=5) for m in (model, loaded)]
    assert torch.equal(*masks)
    some = frames.valid & (torch.rand(frames.valid.shape) < 0.1)
    with torch.no_grad():
        assert torch.equal(
            model.predictor.eval()(frames.depth, some), loaded.predictor(frames.depth, some)
        )


@pytest.mark.parametrize("kind", [Predictor, ErrorHead])
def test_card_of_a_network_says_what_loads_it(tmp_path, kind):
    kind(width=8).save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert f"{kind.__module__}.{kind.__name__}" in card
    assert "More Information Needed" not in card


def test_loaded_model_keeps_options_of_the_masking(tmp_path):
    for name, options in (
        ("ising_density", {"sharpness": 0.5, "exponent": 4}),
        ("ising_ssvm", {"by_cells": False, "weight": 2.0}),
    ):
        masking = masking_of(name, **options)
        model_of(masking=masking).save(tmp_path)
        loaded = load_depth_model(tmp_path).masking.options()
        assert loaded == masking.options()
        assert loaded.items() >= options.items()


WEIGHTED = {
    "variance": NeighbourVariance(),
    "ensemble": EnsembleVariance(tuple(noisy(Predictor(width=8), seed) for seed in range(11))),
    "head": ExpectedError(noisy(ErrorHead(width=8))),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_loaded_model_buys_by_the_same_weight(name, tmp_path, frames):
    model = model_of(phases=Phases(count=3, weight=WEIGHTED[name]))
    model.save(tmp_path / "a")
    loaded = load_depth_model(tmp_path / "a")
    assert taken_apart(loaded.phases.weight)[0] == name
    mask = frames.valid & (torch.rand(frames.valid.shape) < 0.1)
    bought = frames.depth.where(mask, 0)
    expected = model.phases.weight(bought, mask, frames.valid)
    assert torch.equal(loaded.phases.weight(bought, mask, frames.valid), expected)
    loaded.save(tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_save_leaves_no_networks_of_another_weight(tmp_path):
    model_of(phases=Phases(weight=WEIGHTED["ensemble"])).save(tmp_path)
    assert "weight/10/model.safetensors" in content(tmp_path)
    model_of(phases=Phases(weight=WEIGHTED["head"])).save(tmp_path)
    assert {name for name in content(tmp_path) if name.startswith("weight")} == {
        f"weight/0/{file}" for file in ("README.md", "config.json", "model.safetensors")
    }
    model_of().save(tmp_path)
    assert not (tmp_path / "weight").exists()


def test_loaded_networks_are_in_evaluation_mode(tmp_path):
    model_of().save(tmp_path)
    loaded = load_depth_model(tmp_path)
    assert not loaded.masking.net.training
    assert not loaded.predictor.training


def test_saved_bytes_are_the_same_for_the_same_model(tmp_path):
    for folder in ("a", "b"):
        model_of(info={"x": 1, "y": 2} if folder == "a" else {"y": 2, "x": 1}).save(
            tmp_path / folder
        )
    load_depth_model(tmp_path / "a").save(tmp_path / "c")
    first = content(tmp_path / "a")
    assert sorted(first) == [
        "depth.json",
        *(f"{net}/{file}" for net in ("masking", "predictor") for file in
          ("README.md", "config.json", "model.safetensors")),
    ]  # fmt: skip
    assert first == content(tmp_path / "b") == content(tmp_path / "c")


def test_save_replaces_another_model_and_leaves_other_files(tmp_path):
    old = tmp_path / "old"
    model_of().save(old)
    (old / "rounds.jsonl").write_text("kept")
    (old / "masking" / "history.jsonl").write_text("kept")
    model_of("long_range", predictor=None).save(old)
    assert sorted(content(old)) == ["depth.json", "masking/history.jsonl", "rounds.jsonl"]
    assert load_depth_model(old).predictor is None


def test_half_stores_less_and_loads_close_to_it(tmp_path):
    model = model_of()
    for half in (False, True):
        model.save(tmp_path / str(half), half=half)
    sizes = {
        half: sum(len(b) for n, b in content(tmp_path / str(half)).items() if "tensors" in n)
        for half in (False, True)
    }
    assert sizes[True] < 0.6 * sizes[False]
    weights = model.predictor.state_dict()
    for name, value in load_depth_model(tmp_path / "True").predictor.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, weights[name].half().float())


@pytest.mark.parametrize("stopped_at", [1, 2, 3, 4, 5, 6, 7])
def test_save_leaves_no_model_when_stopped_halfway(stopped_at, tmp_path, monkeypatch):
    model_of().save(tmp_path)
    written = []

    def stop(path, write):
        written.append(path)
        if len(written) == stopped_at:
            raise KeyboardInterrupt
        real(path, write)

    real = checkpoint.write_whole
    monkeypatch.setattr("mrfmask.nn.hub.write_whole", stop)
    monkeypatch.setattr(checkpoint, "write_whole", stop)
    other = model_of(predictor=noisy(Predictor(width=8), 9))
    shutil.rmtree(tmp_path / "masking")
    (tmp_path / "predictor" / "README.md").unlink()
    with pytest.raises(KeyboardInterrupt):
        other.save(tmp_path)
    assert not depth_model_at(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"must hold depth\.json"):
        load_depth_model(tmp_path)


def test_depth_model_at_tells_folders_with_a_model(tmp_path):
    assert not depth_model_at(tmp_path)
    assert not depth_model_at(tmp_path / "none")
    model_of("grid").save(tmp_path)
    assert depth_model_at(tmp_path)


@pytest.mark.parametrize("missing", ["masking", "predictor", "predictor/model.safetensors"])
def test_load_says_what_is_missing(missing, tmp_path):
    model_of().save(tmp_path)
    path = tmp_path / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(FileNotFoundError, match="must hold"):
        load_depth_model(tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": 2}, r"must be of version 1; got 2"),
        ({"method": "magic"}, r"method must be one of none, full.*; got 'magic'"),
        ({"method": ["full"]}, r"method must be one of"),
        ({"options": {"magic": 1}}, r"options of ising_density.*magic"),
        ({"options": {"exponent": 99}}, r"exponent"),
        ({"options": []}, r"must hold version"),
        ({"predictor": "yes"}, r"must hold version"),
        ({"more": 1}, r"must hold version"),
        ({"budget": 1.5}, r"budget must lie in \(0, 1\]; got 1.5"),
        (
            {"phases": {"weight": "magic"}},
            r"weight must be one of variance, .*; got 'magic'",
        ),
        ({"phases": {}}, r"weight must be one of variance, .*; got None"),
        ({"phases": {"weight": "variance"}}, r"weight_nets must lie in 0..1000; got None"),
        ({"phases": {"weight": "variance", "weight_nets": -1}}, r"weight_nets must lie"),
        ({"phases": {"weight": "variance", "weight_nets": 0, "count": 0}}, r"count must"),
        ({"phases": {"weight": "head", "weight_nets": 0}}, r"1 networks for head; got 0"),
        ({"phases": {"weight": "ensemble", "weight_nets": 0}}, r"predictors must be at least 2"),
    ],
)
def test_load_refuses_other_content(changes, says, tmp_path):
    model_of().save(tmp_path)
    edit(tmp_path, **changes)
    with pytest.raises(ValueError, match=says):
        load_depth_model(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "\xff"])
def test_load_refuses_a_broken_file(text, tmp_path):
    model_of("grid").save(tmp_path)
    (tmp_path / "depth.json").write_bytes(text.encode("latin1"))
    with pytest.raises(ValueError, match=r"depth\.json must"):
        load_depth_model(tmp_path)


class Unknown(MASKINGS["grid"]):
    name = "unknown"


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"masking": "grid"}, TypeError, "masking must be a Masking; got str"),
        ({"masking": Unknown()}, ValueError, "masking must be of a class in MASKINGS"),
        ({"masking": MASKINGS["naive"](net=DensityNet())}, TypeError, "class MaskNet"),
        ({"predictor": DensityNet()}, TypeError, "predictor must be of kind Predictor or None"),
        ({"phases": 4}, TypeError, "phases must be of kind Phases; got int"),
        ({"phases": Phases(weight=lambda b, m, v: b)}, ValueError, "one of variance"),
        ({"budget": "5 %"}, TypeError, "budget must be a number; got str"),
        ({"budget": 0.0}, ValueError, r"budget must lie in \(0, 1\]; got 0.0"),
        ({"info": [1]}, TypeError, "info must be of kind Mapping; got list"),
        ({"info": {"x": float("nan")}}, ValueError, "info must hold what JSON can"),
        ({"info": {"x": Path("x")}}, ValueError, "info must hold what JSON can"),
        ({"info": {1: "x"}}, ValueError, "info must hold what JSON can"),
    ],
)
def test_depth_model_refuses_what_cannot_be_saved(changes, error, says):
    with pytest.raises(error, match=says):
        model_of(**changes)


def test_depth_model_refuses_networks_of_other_libraries():
    features = torch.nn.Conv2d(3, 4, 1)
    net = MaskNet(width=8, features=features, feature_channels=[4])
    with pytest.raises(ValueError, match="got one with features of another library"):
        model_of(masking=MASKINGS["naive"](net=net))


def test_save_refuses_a_file_and_halves_that_are_no_bools(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="folder must not be a file"):
        model_of().save(tmp_path / "file")
    with pytest.raises(TypeError, match="half must be a bool; got int"):
        model_of().save(tmp_path / "folder", half=1)
    assert not (tmp_path / "folder").exists()


def test_default_depth_model_is_that_of_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "files", lambda package: tmp_path / package)
    with pytest.raises(RuntimeError, match=r"python tools/train_default\.py"):
        default_depth_model()
    model_of("prior", budget=0.25).save(tmp_path / "mrfmask.depth" / "default")
    assert default_depth_model().budget == 0.25
