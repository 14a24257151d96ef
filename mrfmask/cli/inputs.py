"""From the arguments of a command to the list of images to work on."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from mrfmask.files import PICTURE_SUFFIXES
from mrfmask.graph import IsingGraph
from mrfmask.model_files import GRAPH_SUFFIXES, MODEL_SUFFIXES, load_model

# Of what commands write; no such file may be an input at the same time.
ENDINGS = (
    *("mask.png", "overlay.png", "marginals.png", "marginals.npz"),
    *("path.csv", "path.png", "entry.png"),
)


@dataclass(frozen=True)
class Input:
    """One image: a picture, or one image of a file of potentials.

    Attributes:
        path: the file.
        name: its path relative to the folder that was given, or its file name; POSIX style.
        image: which image of the file, or None where the file holds one.
        keep_suffix: whether output names keep the suffix, as another input has the same stem.
        is_graph: whether it is a model on a graph, which has nodes and no pixels.
        evidence: of a .uai file, the file that says which variables are known.
    """

    path: Path
    name: str
    image: int | None = None
    keep_suffix: bool = False
    is_graph: bool = False
    evidence: Path | None = None

    @property
    def is_picture(self) -> bool:
        """True for pictures, False for files of potentials."""
        return self.path.suffix.lower() in PICTURE_SUFFIXES

    @property
    def stem(self) -> str:
        """What the names of its output files start with, relative to the output folder."""
        stem = self.name if self.keep_suffix else str(PurePosixPath(self.name).with_suffix(""))
        return stem if self.image is None else f"{stem}_{self.image:04d}"

    @property
    def title(self) -> str:
        """Its name for people, with anything unprintable replaced."""
        title = self.name if self.image is None else f"{self.name} [{self.image}]"
        return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in title)

    @property
    def heading(self) -> dict[str, str | int | None]:
        """What its line of results.jsonl starts with."""
        return {"input": self.name, "image": self.image}

    def seed(self, seed: int) -> int:
        """The input's own seed: its draws depend neither on the order nor on other inputs."""
        name = self.name if self.image is None else f"{self.name}#{self.image}"
        digest = hashlib.sha256(os.fsencode(f"{seed}/{name}")).digest()
        return int.from_bytes(digest[:8], "big") & (2**63 - 1)


def find_inputs(arguments: Sequence[Path], out: Path) -> list[Input]:
    """All images that the arguments name, in order, those of a folder sorted by name.

    Raises:
        FileNotFoundError: an argument does not exist.
        ValueError: an argument is of another kind, a folder holds nothing to work on or is the
            output folder, two inputs would write the same files, or outputs replace an input.
    """
    inputs = list(dict.fromkeys(i for path in arguments for i in _images_of(path, out)))
    stems = Counter(image.stem for image in inputs)
    inputs = [replace(i, keep_suffix=True) if stems[i.stem] > 1 else i for i in inputs]
    writers: dict[str, Input] = {}
    for image in inputs:
        other = writers.setdefault(image.stem, image)
        if other is not image:
            raise ValueError(
                f"INPUT must not name two files that write the same results; got {other.path} and "
                f"{image.path}, both to {out / image.stem}.*. Rename one, or use two output "
                "folders."
            )
    sources = {os.path.realpath(image.path) for image in inputs}
    for image in inputs:
        for ending in ENDINGS:
            target = out / f"{image.stem}.{ending}"
            if os.path.realpath(target) in sources:
                raise ValueError(
                    f"--out must not make results replace an input; got {target}, an input and a "
                    f"result for {image.path}. Use another folder."
                )
    return inputs


def check_pictures(inputs: Sequence[Input], options: Mapping[str, object]) -> None:
    """Raises ValueError if an option for pictures was given (is not empty) and none is there."""
    for flag, value in options.items():
        if value and not any(image.is_picture for image in inputs):
            raise ValueError(
                f"{flag} must come with a picture; got files of potentials alone. Leave it out."
            )


def _images_of(path: Path, out: Path) -> Iterator[Input]:
    suffixes = PICTURE_SUFFIXES + MODEL_SUFFIXES
    if path.is_dir():
        files = _files_under(path, out, suffixes)
        if not files:
            raise ValueError(
                f"INPUT must hold files ending in {', '.join(suffixes)}; got {path}, a folder "
                "without any. Check the path."
            )
    elif not path.exists():
        raise FileNotFoundError(
            f"INPUT must name files or folders that exist; got {path}. Check the spelling."
        )
    elif path.suffix.lower() not in suffixes:
        raise ValueError(
            f"INPUT must name folders or files ending in {', '.join(suffixes)}; got {path}. "
            "Convert it first."
        )
    else:
        files = [(path.name, path)]
    for name, file in files:
        count, is_graph = _contents_of(file)
        if count == 0:
            raise ValueError(
                f"INPUT must hold at least one image; got {file}, an empty batch. Leave it out."
            )
        for image in range(count):
            yield Input(file, name, image if count > 1 else None, is_graph=is_graph)


def _files_under(folder: Path, out: Path, suffixes: tuple[str, ...]) -> list[tuple[str, Path]]:
    """(name, path) of the files below a folder; hidden ones and the results themselves left out."""
    results = os.path.realpath(out)
    if os.path.realpath(folder) == results:
        raise ValueError(
            f"--out must not be a folder that is read; got {out}. Use one beside it or inside it."
        )
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(Path(parent, name)) != results
        ]
        for name in files:
            if not name.startswith(".") and name.lower().endswith(suffixes):
                file = Path(parent, name)
                found.append((file.relative_to(folder).as_posix(), file))
    return sorted(found)


def _contents_of(file: Path) -> tuple[int, bool]:
    """How many images a file has, and whether they are models on a graph."""
    suffix = file.suffix.lower()
    if suffix in PICTURE_SUFFIXES + GRAPH_SUFFIXES:
        return 1, suffix in GRAPH_SUFFIXES
    try:
        model = load_model(file)
        return len(model), isinstance(model, IsingGraph)
    except (OSError, ValueError):
        # Reported when its turn comes, like a broken picture; the other inputs go on.
        return 1, False
