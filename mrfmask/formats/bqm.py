"""To and from dimod's binary quadratic models, which annealers and their simulators take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from mrfmask.formats.terms import Terms, terms_from_binary

if TYPE_CHECKING:
    import dimod


def terms_from_bqm(bqm: dimod.BinaryQuadraticModel) -> Terms:
    """Terms in float64, nodes in the order of ``bqm.variables``."""
    dimod = _dimod()
    if not isinstance(bqm, dimod.BinaryQuadraticModel):
        raise TypeError(
            f"bqm must be a dimod.BinaryQuadraticModel; got {type(bqm).__name__}. Models with "
            "constraints or integers have no counterpart."
        )
    vectors = bqm.to_numpy_vectors(variable_order=list(bqm.variables))
    linear = torch.from_numpy(np.asarray(vectors.linear_biases, dtype=np.float64))[None]
    first, second, biases = vectors.quadratic
    edges = torch.from_numpy(np.stack([first, second], axis=1).astype(np.int64))
    quadratic = torch.from_numpy(np.asarray(biases, dtype=np.float64))[None]
    offset = torch.tensor([float(vectors.offset)], dtype=torch.float64)
    if bqm.vartype is dimod.BINARY:
        return terms_from_binary(linear, edges, quadratic, offset)
    return Terms(-linear, edges, -quadratic, offset)


def bqm_from_terms(terms: Terms) -> dimod.BinaryQuadraticModel:
    """A SPIN model of the first model of a batch; clamped nodes are no variables of it."""
    dimod = _dimod()
    unary = terms.unary[0].double().numpy()
    clamped = np.isinf(unary)
    bqm = dimod.BinaryQuadraticModel.from_numpy_vectors(
        np.where(clamped, 0.0, -unary),
        (*terms.edges.numpy().T, -terms.pairwise[0].double().numpy()),
        terms.constant[0].item(),
        "SPIN",
        variable_order=range(len(unary)),
    )
    bqm.fix_variables({int(i): int(np.sign(unary[i])) for i in clamped.nonzero()[0]})
    return bqm


def _dimod():
    try:
        import dimod
    except ImportError as error:
        raise RuntimeError(
            "dimod must be installed for binary quadratic models; got no module of that name. "
            "Run pip install dimod."
        ) from error
    return dimod
