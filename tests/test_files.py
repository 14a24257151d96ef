"""Model files keep every bit, pictures of every kind are read, broken files are named."""

from __future__ import annotations

import io
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from PIL import Image
from strategies import grids

import mrfmask as mm
from mrfmask import files
from mrfmask.model import IsingGrid

SUFFIXES = (".npz", ".safetensors")
MODEL = IsingGrid(torch.rand(2, 3, 4), torch.rand(2, 3, 3), -torch.rand(2, 2, 4))
TENSORS = {"unary": MODEL.unary, "right": MODEL.right, "down": MODEL.down}


def arrays(**changes):
    """The arrays of a model file, some changed, those set to None left out."""
    values = {name: t.numpy() for name, t in TENSORS.items()} | changes
    return {name: value for name, value in values.items() if value is not None}


# Models


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(model=grids())
def test_model_comes_back_bit_for_bit(tmp_path, suffix, model):
    path = tmp_path / f"model{suffix}"
    mm.save_model(model, path)
    again = mm.load_model(str(path))
    assert again.periodic is model.periodic
    for name in ("unary", "right", "down", "constant"):
        before, after = getattr(model, name), getattr(again, name)
        assert after.dtype == before.dtype
        assert torch.equal(after, before)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_model_that_needs_gradients_is_saved(tmp_path, suffix):
    model = IsingGrid(MODEL.unary.clone().requires_grad_(), MODEL.right, MODEL.down)
    mm.save_model(model[:1], tmp_path / f"m{suffix}")
    assert torch.equal(mm.load_model(tmp_path / f"m{suffix}").unary, MODEL.unary[:1])


def test_model_of_three_plain_arrays_is_read_as_open_grid(tmp_path):
    big_endian = {name: array.astype(">f4") for name, array in arrays().items()}
    np.savez_compressed(tmp_path / "plain.NPZ.npz", **big_endian)
    model = mm.load_model(tmp_path / "plain.NPZ.npz")
    assert not model.periodic
    assert torch.equal(model.unary, MODEL.unary)
    assert model.constant.tolist() == [0.0, 0.0]


def truncated(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.95, 0.999])
def test_load_model_names_a_truncated_file(tmp_path, suffix, share):
    path = tmp_path / f"m{suffix}"
    mm.save_model(MODEL, path)
    truncated(path, share)
    message = f"path must be a {suffix} file that can be read; got '{path}': "
    with pytest.raises(ValueError, match=re.escape(message)):
        mm.load_model(path)


class Trap:
    """Fails the test that unpickles it."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_load_model_never_unpickles(tmp_path):
    (tmp_path / "p.npz").write_bytes(pickle.dumps(Trap()))
    np.savez(tmp_path / "o.npz", **arrays(unary=np.array([Trap()], dtype=object)))
    for name in ("p.npz", "o.npz"):
        with pytest.raises(ValueError, match=r"must be a \.npz file that can be read"):
            mm.load_model(tmp_path / name)


def write_npz(path, **changes):
    np.savez(path, **arrays(**changes))


def write_npy(path):
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))


BAD_MODELS = [
    (
        "m.pt",
        lambda p: p.touch(),
        "path must end in .safetensors, .npz, .uai or .max; got '{path}'. The suffix",
    ),
    ("m", lambda p: p.touch(), "path must end in .safetensors, .npz, .uai or"),
    ("m.npz", lambda p: p.mkdir(), "path must name a file; got '{path}', a folder."),
    ("m.npz", write_npy, "path must be a .npz file that can be read; got '{path}': it holds a sin"),
    ("m.npz", lambda p: p.write_text("hello"), "path must be a .npz file that can be read"),
    (
        "m.safetensors",
        lambda p: p.write_text("hello, I am no such thing"),
        "path must be a .safetensors file that can be read; got '{path}': ",
    ),
    (
        "m.safetensors",
        lambda p: safetensors.torch.save_file({"weight": torch.zeros(2)}, p),
        "path must hold the tensors unary, right and down, or unary, edges and pairwise for a "
        "graph; got '{path}' without unary and right and down. Save it",
    ),
    ("m.npz", lambda p: write_npz(p, right=None), "got '{path}' without right. Save it"),
    (
        "m.npz",
        lambda p: write_npz(p, perodic=True),
        "path must hold only the tensors unary, right, down, down_right, down_left, periodic, "
        "constant, version; got '{path}' with perodic. Leave",
    ),
    (
        "m.npz",
        lambda p: write_npz(p, version=2),
        "version in '{path}' must be 1; got 2. Install the mrfmask that wrote the file.",
    ),
    ("m.npz", lambda p: write_npz(p, version=[1, 1]), "version in '{path}' must be 1; got [1, 1]."),
    (
        "m.npz",
        lambda p: write_npz(p, periodic=1.0),
        "path must hold potentials that make a model; got '{path}': periodic must be one bool; got "
        "torch.float64 of shape ()",
    ),
    (
        "m.npz",
        lambda p: write_npz(p, right=np.zeros((2, 3, 4), np.float32)),
        "path must hold potentials that make a model; got '{path}': right must have shape (2,",
    ),
    (
        "m.npz",
        lambda p: write_npz(p, down=np.zeros((2, 2, 4))),
        "path must hold potentials that make a model; got '{path}': down must have the dtype",
    ),
    ("m.npz", lambda p: write_npz(p, unary=np.array("text")), "path must be a .npz file that can"),
]


@pytest.mark.parametrize(("name", "write", "message"), BAD_MODELS)
def test_load_model_says_what_is_wrong(tmp_path, name, write, message):
    path = tmp_path / name
    write(path)
    with pytest.raises(ValueError, match=re.escape(message.replace("{path}", str(path)))):
        mm.load_model(path)


def test_missing_files_are_named(tmp_path):
    message = re.escape(f"path must name a file that exists; got '{tmp_path / 'no'}")
    with pytest.raises(FileNotFoundError, match=message):
        mm.load_model(tmp_path / "no.npz")
    with pytest.raises(FileNotFoundError, match=message):
        files.read_picture(tmp_path / "no.png")
    with pytest.raises(FileNotFoundError, match="path must lie in a folder that exists; got "):
        mm.save_model(MODEL, tmp_path / "no" / "m.npz")


def test_save_model_says_what_is_wrong(tmp_path):
    with pytest.raises(TypeError, match="model must be an IsingGrid or IsingGraph; got T"):
        mm.save_model(MODEL.unary, tmp_path / "m.npz")
    with pytest.raises(ValueError, match=r"path must end in \.safetensors, \.npz or \.uai"):
        mm.save_model(MODEL, tmp_path / "m.pth")


# Whole or not at all


def test_write_whole_keeps_the_old_file_when_writing_fails(tmp_path):
    def fail(file):
        file.write(b"half")
        raise OSError("disk full")

    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="disk full"):
        files.write_whole(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_whole_shows_nothing_before_the_end(tmp_path):
    def write(file):
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"

    path = tmp_path / "a"
    path.write_bytes(b"old")
    files.write_whole(path, write)
    assert path.read_bytes() == b"new"


def test_write_whole_keeps_links_and_plain_permissions(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    files.write_whole(tmp_path / "link", lambda file: file.write(b"new"))
    (tmp_path / "plain").touch()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"
    assert (tmp_path / "target").stat().st_mode == (tmp_path / "plain").stat().st_mode


# Pictures

RAMP = np.arange(6, dtype=np.uint8).reshape(2, 3) * 50


def saved(path, image, **options):
    image.save(path, **options)
    return files.read_picture(path)


def grey(values):
    return torch.tensor(np.asarray(values), dtype=torch.float32).expand(3, -1, -1)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_read_picture_gives_the_same_for_every_mode(tmp_path, mode):
    picture = saved(tmp_path / "a.png", Image.fromarray(RAMP).convert(mode))
    assert picture.shape == (3, 2, 3)
    assert picture.dtype == torch.float32
    torch.testing.assert_close(picture, grey(RAMP / 255))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_read_picture_reads_jpeg(tmp_path, mode):
    image = Image.new("L", (8, 8), 100).convert(mode)
    picture = saved(tmp_path / "a.JPG", image, format="JPEG", quality=100)
    torch.testing.assert_close(picture, torch.full((3, 8, 8), 100 / 255), atol=0.02, rtol=0)


def test_read_picture_keeps_16_bits(tmp_path):
    values = np.array([[0, 1, 30000], [40000, 65534, 65535]], dtype=np.uint16)
    picture = saved(tmp_path / "a.png", Image.fromarray(values))
    torch.testing.assert_close(picture, grey(values / 65535))


def test_read_picture_reads_one_bit(tmp_path):
    mask = np.array([[True, False, True]])
    assert saved(tmp_path / "a.png", Image.fromarray(mask))[0].tolist() == [[1.0, 0.0, 1.0]]


def test_read_picture_puts_transparent_parts_on_white(tmp_path):
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    assert saved(tmp_path / "a.png", image)[:, 0].T.tolist() == [[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.putpixel((1, 0), 1)
    picture = saved(tmp_path / "p.png", palette, transparency=0)
    assert picture[:, 0].T.tolist() == [[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_read_picture_turns_as_exif_says(tmp_path, suffix):
    image = Image.new("L", (32, 16), 0)
    image.paste(255, (0, 0, 16, 16))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to show: left becomes top
    picture = saved(tmp_path / f"a{suffix}", image, exif=exif)
    assert picture.shape == (3, 32, 16)
    assert picture[:, :12].min() > 0.9
    assert picture[:, 20:].max() < 0.1


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def claim_size(content, width, height):
    """The PNG with another size in its header, and the checksum that goes with it."""
    import zlib

    header = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + content[24:29]
    return content[:12] + header + zlib.crc32(header).to_bytes(4, "big") + content[33:]


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
PNG = png(NOISE)
BAD_PICTURES = [
    (b"", "path must hold a picture; got '{path}', an empty file. Copy it again."),
    (b"GIF89a" + bytes(50), "path must be a PNG or JPEG picture that can be read; got '{path}': "),
    (b"hello", "path must be a PNG or JPEG picture that can be read; got '{path}': "),
    (PNG[:20], "path must be a PNG or JPEG picture that can be read; got '{path}': "),
    (PNG[: len(PNG) // 2], "path must be a PNG or JPEG picture that can be read; got '{path}': "),
    (
        PNG[:1000] + bytes([PNG[1000] ^ 255]) + PNG[1001:],
        "path must be a PNG or JPEG picture that can be read; got '{path}': ",
    ),
    (
        claim_size(PNG, 12000, 12000),
        "path must hold a picture of at most 134217728 pixels; got '{path}' of 12000x12000. Scale",
    ),
    (
        claim_size(PNG, 2**31 - 1, 2**31 - 1),
        "path must hold a picture of at most 134217728 pixels; got '{path}'. Scale",
    ),
]


@pytest.mark.parametrize(("content", "message"), BAD_PICTURES, ids=range(len(BAD_PICTURES)))
def test_read_picture_says_what_is_wrong(tmp_path, content, message):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message.replace("{path}", str(path)))):
        files.read_picture(path)


def test_written_pictures_hold_what_they_should(tmp_path):
    mask = torch.tensor([[True, False, True], [False, False, True]])
    files.write_mask(tmp_path / "mask.png", mask)
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "1"
        assert np.array_equal(np.asarray(image), mask.numpy())

    probability = torch.tensor([[0.0, 0.5, 1.0]])
    files.write_marginals(tmp_path / "p.png", probability)
    with Image.open(tmp_path / "p.png") as image:
        assert image.mode == "I;16"
        assert np.asarray(image).tolist() == [[0, 32768, 65535]]

    picture = torch.full((3, 2, 3), 0.4)
    files.write_overlay(tmp_path / "o.png", picture, mask)
    shown = files.read_picture(tmp_path / "o.png")
    off = shown[:, ~mask]
    assert torch.allclose(off, off[0, 0])  # grey stays grey
    assert (shown[:, mask].std(dim=0) > 0.1).all()  # the tint is a colour


def test_read_picture_leaves_no_file_open(tmp_path):
    path = tmp_path / "a.png"
    NOISE.save(path)
    files.read_picture(path)
    path.write_bytes(path.read_bytes()[:200])
    # The exception keeps the frames alive, and with them a file that they forgot to close.
    with pytest.raises(ValueError, match="that can be read") as error:
        files.read_picture(path)
    open_files = {os.path.realpath(f) for f in Path("/proc/self/fd").iterdir()}
    assert os.path.realpath(path) not in open_files, error


def test_picks_are_dots_with_a_rim_that_keep_apart(tmp_path):
    picture = torch.full((3, 300, 450), 0.5)
    mask = torch.zeros(300, 450, dtype=torch.bool)
    mask[50, 60] = mask[200, 400] = True
    files.write_picks(tmp_path / "p.png", picture, mask)
    shown = files.read_picture(tmp_path / "p.png")
    dot, rim = (torch.tensor(c)[:, None, None] for c in (files.DOT, files.RIM))
    rows, columns = torch.meshgrid(torch.arange(300), torch.arange(450), indexing="ij")
    away = torch.full((300, 450), torch.inf)
    for row, column in ((50, 60), (200, 400)):
        away = torch.minimum(away, ((rows - row) ** 2 + (columns - column) ** 2).sqrt())
    # 300 / 150 pixels, as two picks are far apart.
    expected = torch.where(away <= 2, dot, torch.where(away <= 3, rim, 0.5))
    assert torch.allclose(shown, expected.expand(3, -1, -1), atol=1 / 255)
    crowd = torch.ones(300, 450, dtype=torch.bool)
    files.write_picks(tmp_path / "q.png", picture, crowd)
    assert torch.allclose(
        files.read_picture(tmp_path / "q.png"), dot.expand(3, 300, 450), atol=0.01
    )
    files.write_picks(tmp_path / "n.png", picture, torch.zeros_like(mask))
    assert torch.allclose(files.read_picture(tmp_path / "n.png"), picture, atol=1 / 255)
