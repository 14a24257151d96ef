"""Read and write models; nothing is ever unpickled.

A file of tensors, .safetensors or .npz, holds a grid, ``unary``, ``right`` and ``down``, and
perhaps ``down_right``, ``down_left`` (no such couplings if left out) and ``periodic`` (false); or a
graph, ``unary``, ``edges`` and ``pairwise``. Either may hold ``constant`` (zeros) and ``version``
(1). Files that other programs write with those names are welcome. Text files hold graphs: .uai
Markov or Bayesian networks, .max (read only) max-flow problems in the DIMACS format.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from mrfmask.files import check_exists, reason, write_whole
from mrfmask.formats.dimacs import read_dimacs
from mrfmask.formats.evidence import Evidence, check_evidence, read_evidence
from mrfmask.formats.network import terms_from_network
from mrfmask.formats.terms import Terms
from mrfmask.formats.uai import read_uai
from mrfmask.formats.uai_text import uai_from_terms
from mrfmask.graph import IsingGraph
from mrfmask.model import IsingGrid

FORMAT_VERSION = 1
TENSOR_SUFFIXES = (".safetensors", ".npz")
# Of files that can only hold graphs.
GRAPH_SUFFIXES = (".uai", ".max")
MODEL_SUFFIXES = TENSOR_SUFFIXES + GRAPH_SUFFIXES

_GRID = ("unary", "right", "down")
_DIAGONALS = ("down_right", "down_left")
_GRAPH = ("unary", "edges", "pairwise")


def save_model(model: IsingGrid | IsingGraph, path: str | os.PathLike) -> None:
    """Writes a model to a file that `load_model` reads.

    Args:
        model: on any device.
        path: its suffix decides the format. .safetensors and .npz keep every bit; .uai keeps one
            model, a grid as a graph, in float64 to about 1e-13.

    Raises:
        TypeError: `model` is no IsingGrid or IsingGraph.
        ValueError: the suffix is another one, or the model cannot be a .uai file: a batch of
            several, or potentials beyond 700.
        FileNotFoundError: the folder does not exist.

    Example:
        >>> import torch, mrfmask as mm
        >>> model = mm.IsingGrid(torch.ones(1, 2, 2), torch.ones(1, 2, 1), torch.ones(1, 1, 2))
        >>> mm.save_model(model, "model.safetensors")  # doctest: +SKIP
    """
    if not isinstance(model, IsingGrid | IsingGraph):
        raise TypeError(
            f"model must be an IsingGrid or IsingGraph; got {type(model).__name__}. Build one from "
            "potentials."
        )
    suffix = _suffix_of(path, (*TENSOR_SUFFIXES, ".uai"))
    if suffix == ".uai":
        graph = model.as_graph() if isinstance(model, IsingGrid) else model
        content = uai_from_terms(
            Terms(graph.unary, graph.edges, graph.pairwise, graph.constant)
        ).encode()
        write_whole(path, lambda file: file.write(content))
        return
    tensors = {name: t.detach().cpu().contiguous() for name, t in _tensors_of(model).items()}
    if suffix == ".npz":
        arrays = {name: t.numpy() for name, t in tensors.items()}
        write_whole(path, lambda file: np.savez(file, **arrays))
    else:
        content = safetensors.torch.save(tensors)
        write_whole(path, lambda file: file.write(content))


def load_model(path: str | os.PathLike, evidence: Evidence | None = None) -> IsingGrid | IsingGraph:
    """Reads a model, on the CPU: an IsingGraph from .uai and .max files, else what was saved.

    Args:
        path: a .safetensors or .npz file, whose dtype stays; a .uai or .max file, read in float64.
            Of a network, variables are nodes, and ``exp(-E)`` is the product of its tables. Of a
            max-flow problem, node i is node i - 1, on is the source's side, and the lowest energy
            is the largest flow.
        evidence: for .uai: states of variables that are known, {node: 0 or 1} or the path of a
            .evid file; these nodes are clamped.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another suffix, a file that is broken or of another kind or version, a tensor
            that is missing or unknown, potentials or tables that make no model, or evidence that
            does not fit.
    """
    suffix = _suffix_of(path, MODEL_SUFFIXES)
    check_exists(path)
    if evidence is not None and suffix != ".uai":
        raise ValueError(
            f"evidence must come with a .uai file; got {str(path)!r}. Use model.clamp(on=, off=)."
        )
    given = {} if evidence is None else read_evidence(evidence)
    try:
        content = _READERS[suffix](Path(path))
    # Damaged files make the parsers raise almost anything: BadZipFile, EOFError, KeyError,
    # MemoryError, SafetensorError, zlib.error, ...
    except Exception as error:
        raise ValueError(
            f"path must be a {suffix} file that can be read; got {str(path)!r}: {reason(error)}. "
            f"{_ADVICE[suffix in GRAPH_SUFFIXES]}"
        ) from error
    if suffix in TENSOR_SUFFIXES:
        _check_names(path, content)
    if suffix == ".uai":
        check_evidence(given, content.nodes)
    try:
        if suffix == ".uai":
            content = terms_from_network(content, given)
        return IsingGraph(*content) if suffix in GRAPH_SUFFIXES else _model_of(path, content)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"path must hold potentials that make a model; got {str(path)!r}: {error}"
        ) from error


def _tensors_of(model: IsingGrid | IsingGraph) -> dict[str, Tensor]:
    tensors = {"unary": model.unary}
    if isinstance(model, IsingGraph):
        tensors |= {"edges": model.edges, "pairwise": model.pairwise}
    else:
        tensors |= {**model.couplings, "periodic": torch.tensor(model.periodic)}
    return tensors | {"constant": model.constant, "version": torch.tensor(FORMAT_VERSION)}


def _model_of(path: str | os.PathLike, tensors: dict[str, Tensor]) -> IsingGrid | IsingGraph:
    constant = tensors.get("constant")
    if "edges" in tensors:
        edges = tensors["edges"]
        whole = not (edges.is_floating_point() or edges.is_complex() or edges.dtype == torch.bool)
        edges = edges.long() if whole else edges
        return IsingGraph(tensors["unary"], edges, tensors["pairwise"], constant)
    periodic = tensors.get("periodic", torch.tensor(False))
    if periodic.dtype != torch.bool or periodic.numel() != 1:
        raise ValueError(
            f"periodic must be one bool; got {periodic.dtype} of shape {tuple(periodic.shape)}. "
            "Leave it out for an open grid."
        )
    diagonals = {name: tensors[name] for name in _DIAGONALS if name in tensors}
    return IsingGrid(*(tensors[name] for name in _GRID), constant, periodic.item(), **diagonals)


def _read_npz(path: Path) -> dict[str, Tensor]:
    # Given a path, NumPy would leave the file open when it cannot read it.
    with open(path, "rb") as file:
        arrays = np.load(file, allow_pickle=False)
        if isinstance(arrays, np.ndarray):
            raise ValueError("it holds a single array")
        native = {n: arrays[n].astype(arrays[n].dtype.newbyteorder("=")) for n in arrays.files}
    return {name: torch.from_numpy(array) for name, array in native.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    # Read whole rather than mapped: a mapped file that shrinks later would kill the process.
    return safetensors.torch.load(path.read_bytes())


_READERS = {
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
    ".uai": read_uai,
    ".max": read_dimacs,
}
_ADVICE = ("Save the model again with save_model.", "Copy the file again, or correct it.")


def _check_names(path: str | os.PathLike, tensors: dict[str, Tensor]) -> None:
    version = tensors.get("version", torch.tensor(FORMAT_VERSION))
    if version.numel() != 1 or version.item() != FORMAT_VERSION:
        raise ValueError(
            f"version in {str(path)!r} must be {FORMAT_VERSION}; got {version.tolist()}. "
            "Install the mrfmask that wrote the file."
        )
    is_graph = not {"edges", "pairwise"}.isdisjoint(tensors)
    required, optional = (_GRAPH, ()) if is_graph else (_GRID, (*_DIAGONALS, "periodic"))
    missing = [name for name in required if name not in tensors]
    if missing:
        other = "" if is_graph else ", or unary, edges and pairwise for a graph"
        raise ValueError(
            f"path must hold the tensors {', '.join(required[:2])} and {required[2]}{other}; got "
            f"{str(path)!r} without {' and '.join(missing)}. Save it with save_model, or under "
            "these names."
        )
    # A misspelled name must not change the model silently.
    known = (*required, *optional, "constant", "version")
    unknown = [name for name in tensors if name not in known]
    if unknown:
        raise ValueError(
            f"path must hold only the tensors {', '.join(known)}; got {str(path)!r} with "
            f"{', '.join(sorted(unknown))}. Leave other tensors out."
        )


def _suffix_of(path: str | os.PathLike, suffixes: tuple[str, ...]) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in suffixes:
        raise ValueError(
            f"path must end in {', '.join(suffixes[:-1])} or {suffixes[-1]}; got {str(path)!r}. "
            "The suffix decides the format."
        )
    return suffix
