"""To and from QUBO matrices: ``E = y' Q y`` over y in {0, 1}^n."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mrfmask.formats.terms import Terms, binary_from_terms, terms_from_binary

if TYPE_CHECKING:
    from scipy.sparse import sparray, spmatrix


def terms_from_qubo(
    matrix: Float[Tensor | np.ndarray, "*batch nodes nodes"] | sparray | spmatrix,
) -> Terms:
    """Terms of a matrix or a batch; arguments and errors are those of `IsingGraph.from_qubo`."""
    if hasattr(matrix, "tocoo"):
        return _from_sparse(matrix)
    matrix = _tensor(matrix)
    _check_square(tuple(matrix.shape))
    _check_finite(bool(matrix.isfinite().all()))
    matrix = matrix if matrix.dim() == 3 else matrix[None]
    # Both triangles in one; a pair that is 0 in all models of a batch is no edge.
    both = matrix.double() + matrix.double().mT
    edges = (both != 0).any(dim=0).triu(diagonal=1).nonzero()
    linear = matrix.diagonal(dim1=1, dim2=2).double()
    quadratic = both[:, edges[:, 0], edges[:, 1]]
    terms = terms_from_binary(linear, edges, quadratic, linear.new_zeros(len(matrix)))
    unary, pairwise = terms.unary.to(matrix.dtype), terms.pairwise.to(matrix.dtype)
    return terms._replace(unary=unary, pairwise=pairwise)


def qubo_from_terms(
    terms: Terms,
) -> tuple[Float[Tensor, "batch nodes nodes"], Float[Tensor, " batch"]]:
    """The upper triangular matrices and the offsets of a batch, in float64."""
    clamped = terms.unary.isinf()
    if clamped.any():
        image, node = clamped.nonzero()[0].tolist()
        raise ValueError(
            f"model must have no clamped nodes for a QUBO matrix; got node {node} of image {image} "
            "clamped. to_bqm leaves clamped nodes out."
        )
    linear, quadratic, offset = binary_from_terms(terms)
    batch, nodes = linear.shape
    first, second = terms.edges.sort(dim=1).values.T
    flat = torch.diag_embed(linear).reshape(batch, -1)
    flat = flat.index_add(1, first * nodes + second, quadratic)
    return flat.reshape(batch, nodes, nodes), offset


def _from_sparse(matrix: sparray | spmatrix) -> Terms:
    _check_square(tuple(matrix.shape))
    entries = matrix.tocoo()
    rows, columns = (np.asarray(index, dtype=np.int64) for index in (entries.row, entries.col))
    values = np.asarray(entries.data, dtype=np.float64)
    _check_finite(bool(np.isfinite(values).all()))
    on_diagonal = rows == columns
    linear = np.bincount(rows[on_diagonal], values[on_diagonal], minlength=matrix.shape[0])
    low, high = np.minimum(rows, columns)[~on_diagonal], np.maximum(rows, columns)[~on_diagonal]
    pairs, place = np.unique(low * matrix.shape[0] + high, return_inverse=True)
    quadratic = np.bincount(place, values[~on_diagonal], minlength=len(pairs))
    pairs, quadratic = pairs[quadratic != 0], quadratic[quadratic != 0]
    edges = np.stack([pairs // matrix.shape[0], pairs % matrix.shape[0]], axis=1)
    return terms_from_binary(
        # Of nothing, bincount gives ints.
        torch.from_numpy(linear)[None].double(),
        torch.from_numpy(edges),
        torch.from_numpy(quadratic)[None].double(),
        torch.zeros(1, dtype=torch.float64),
    )


def _tensor(matrix: Tensor | np.ndarray) -> Tensor:
    """The matrix as float32 if it is, else as float64."""
    if isinstance(matrix, np.ndarray) and matrix.dtype.kind in "iuf":
        matrix = torch.from_numpy(matrix.astype(matrix.dtype.newbyteorder("=")))
    if not isinstance(matrix, Tensor) or matrix.is_complex() or matrix.layout != torch.strided:
        raise TypeError(
            "matrix must be a dense tensor, an array of numbers or a scipy.sparse matrix; got "
            f"{type(matrix).__name__}. Use numpy.asarray(matrix, dtype=float)."
        )
    return matrix if matrix.dtype == torch.float32 else matrix.double()


def _check_square(shape: tuple[int, ...]) -> None:
    if len(shape) not in (2, 3) or shape[-1] != shape[-2] or shape[-1] == 0:
        raise ValueError(
            f"matrix must have shape (n, n) or (batch, n, n) with n >= 1; got {shape}. "
            "One row and one column a variable."
        )


def _check_finite(finite: bool) -> None:
    if not finite:
        raise ValueError(
            "matrix must hold finite values; got NaN or inf. Fix variables with .clamp(on=, off=)."
        )
