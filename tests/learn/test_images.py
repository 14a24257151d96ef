"""Pictures with masks from folders and arrays, and their augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from folders import picture
from PIL import Image

from mrfmask.learn.augment import Augmented, augment, stream
from mrfmask.learn.images import Example, LabelledImages, collate


def write_mask(path, grey):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(grey, dtype=np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    for name, seed in (("b", 1), ("a", 2)):
        picture(tmp_path / "images" / f"{name}.png", seed=seed)
        grey = np.zeros((9, 12))
        grey[2:5, 3:7], grey[8] = 255, 128
        write_mask(tmp_path / "masks" / f"{name}.png", grey)
    return tmp_path


def test_folder_gives_pairs_by_name(folder):
    examples = LabelledImages(folder)
    assert [examples.name(i) for i in range(len(examples))] == ["a.png", "b.png"]
    assert examples.left_out == []
    example = examples[0]
    assert example.picture.shape == (3, 9, 12)
    assert example.target.sum() == 12
    assert example.target[2:5, 3:7].all()
    assert (example.weights == 0).nonzero()[:, 0].unique().tolist() == [8]
    assert not example.target[8].any()


def test_what_cannot_be_used_is_left_out_and_named(folder):
    picture(folder / "images" / "lonely.png")
    write_mask(folder / "masks" / "ghost.png", np.zeros((9, 12)))
    picture(folder / "images" / "c.png")
    write_mask(folder / "masks" / "c.png", np.zeros((5, 12)))
    picture(folder / "images" / "d.png")
    write_mask(folder / "masks" / "d.png", np.zeros((9, 12)))
    whole = (folder / "images" / "d.png").read_bytes()
    (folder / "images" / "d.png").write_bytes(whole[: len(whole) // 2])
    examples = LabelledImages(folder)
    assert len(examples) == 2
    reasons = {path.split("/")[-1]: reason for path, reason in examples.left_out}
    assert reasons["lonely.png"] == "no mask of that name"
    assert reasons["ghost.png"] == "no picture of that name"
    assert "mask must have the size of its picture (9, 12); got (5, 12)" in reasons["c.png"]
    assert "can be read" in reasons["d.png"]


def test_masks_of_zeros_and_ones_are_refused_rather_than_read_as_black(folder):
    for name in ("a", "b"):
        write_mask(folder / "masks" / f"{name}.png", np.eye(9, 12))
    with pytest.raises(ValueError, match=r"none above 191 of 255 .* Write foreground as 255"):
        LabelledImages(folder)


def test_second_picture_of_a_name_is_left_out(folder):
    picture(folder / "images" / "a.jpg")
    examples = LabelledImages(folder)
    assert len(examples) == 2
    ((path, reason),) = examples.left_out
    assert path.endswith("a.png")
    assert reason == "a.jpg has the same name"


def test_digest_tells_other_data(folder, tmp_path):
    before = LabelledImages(folder).digest()
    assert LabelledImages(folder).digest() == before
    picture(folder / "images" / "a.png", seed=77)
    assert LabelledImages(folder).digest() != before
    rgb = np.zeros((2, 4, 5, 3), np.uint8)
    digests = set()
    for value in (0, 1):
        rgb[0, 0, 0, 0] = value
        np.savez(tmp_path / "x.npz", rgb=rgb, mask=np.ones((2, 4, 5), bool))
        digests.add(LabelledImages(tmp_path / "x.npz").digest())
    assert len(digests) == 2


def test_different_sizes_need_a_size(folder):
    picture(folder / "images" / "c.png", size=(20, 10))
    write_mask(folder / "masks" / "c.png", np.full((20, 10), 255))
    with pytest.raises(ValueError, match=r"size must be given .*\[\(9, 12\), \(20, 10\)\]"):
        LabelledImages(folder)
    examples = LabelledImages(folder, size=(8, 8))
    batch = collate([examples[i] for i in range(3)])
    assert batch.picture.shape == (3, 3, 8, 8)
    assert batch.target.shape == batch.weights.shape == (3, 8, 8)
    assert batch.target[2].all()


def test_arrays_give_examples(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    mask = rgb[..., 0] > 100
    np.savez(tmp_path / "a.npz", rgb=rgb, mask=mask.astype(np.int32))
    examples = LabelledImages(tmp_path / "a.npz")
    assert len(examples) == 2
    assert np.array_equal(examples[1].target.numpy(), mask[1])
    assert np.array_equal((examples[1].picture * 255).round().byte().permute(1, 2, 0), rgb[1])
    assert examples[1].weights.eq(1).all()
    assert collate([examples[0], examples[1]]).index.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"rgb": np.zeros((2, 4, 5, 3), np.uint8)}, "arrays rgb and mask"),
        ({"rgb": np.zeros((2, 4, 5, 3)), "mask": np.zeros((2, 4, 5))}, "rgb must be uint8"),
        ({"rgb": np.zeros((2, 4, 5), np.uint8), "mask": np.zeros((2, 4, 5))}, "rgb must be uint8"),
        (
            {"rgb": np.zeros((2, 4, 5, 3), np.uint8), "mask": np.zeros((2, 4))},
            "mask must be 0 or 1",
        ),
        (
            {"rgb": np.zeros((1, 4, 5, 3), np.uint8), "mask": np.full((1, 4, 5), 255)},
            "mask must be 0 or 1",
        ),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        LabelledImages(tmp_path / "a.npz")


def test_places_of_another_kind_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="data must name"):
        LabelledImages(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="data must hold the folders images and masks"):
        LabelledImages(tmp_path)
    (tmp_path / "a.npz").write_bytes(b"no arrays")
    with pytest.raises(ValueError, match=r"data must be an \.npz file with"):
        LabelledImages(tmp_path / "a.npz")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ValueError, match=r"data must be a folder or end in \.npz"):
        LabelledImages(tmp_path / "a.txt")
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match="data must hold a picture with a mask; got none"):
        LabelledImages(tmp_path)


def marked(height=20, width=30):
    """A picture whose red channel is its mask and whose green channel is its weights."""
    draws = torch.Generator().manual_seed(0)
    target = torch.rand(height // 2, width // 2, generator=draws) < 0.5
    target = target.repeat_interleave(2, 0).repeat_interleave(2, 1)
    weights = torch.zeros(height, width)
    weights[:, : width // 2] = 1
    red_and_green = torch.stack([target.float(), weights, weights])
    return Example(red_and_green, target, weights, torch.tensor(0))


def test_augmentation_moves_picture_and_mask_alike():
    for seed in range(20):
        changed = augment(marked(), torch.Generator().manual_seed(seed))
        assert changed.picture.shape == (3, 20, 30)
        assert changed.picture.min() >= 0
        assert changed.picture.max() <= 1
        # Borders are interpolated, the inside of 2x2 blocks is not.
        red = changed.picture[0]
        middle = (red.min() + red.max()) / 2
        assert ((red > middle) == changed.target).float().mean() > 0.9
        green = changed.picture[1]
        assert ((green > middle) == (changed.weights > 0)).float().mean() > 0.95


def test_augmentation_that_does_not_move_changes_light_alone():
    example = marked()
    changed = augment(example, torch.Generator().manual_seed(3), moving=False)
    assert torch.equal(changed.target, example.target)
    assert torch.equal(changed.weights, example.weights)
    levels = {
        (a, b)
        for a, b in zip(
            example.picture.flatten().tolist(), changed.picture.flatten().tolist(), strict=True
        )
    }
    assert len(levels) == 2
    assert not torch.equal(changed.picture, example.picture)


def test_augmentation_is_a_function_of_its_seed_and_varies():
    seen = Augmented([marked()] * 3, [2, 0, 1], seed=5, epoch=1)
    again = Augmented([marked()] * 3, [0, 1, 2], seed=5, epoch=1)
    assert len(seen) == 3
    assert torch.equal(seen[1].picture, again[0].picture)
    others = [
        again[1],
        Augmented([marked()] * 3, [0], seed=5, epoch=2)[0],
        Augmented([marked()] * 3, [0], seed=6, epoch=1)[0],
    ]
    assert all(not torch.equal(again[0].picture, other.picture) for other in others)


def test_streams_differ_for_all_small_numbers():
    streams = {stream(a, b, c) for a in range(10) for b in range(10) for c in range(10)}
    assert len(streams) == 1000
    assert all(0 <= s < 2**63 for s in streams)
