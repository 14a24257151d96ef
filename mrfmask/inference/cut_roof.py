"""States that roof duality settles, taken out of a cut form."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool

from mrfmask.graph import IsingGraph
from mrfmask.inference.cut_form import CutForm
from mrfmask.inference.roof_dual import roof_dual


def settled_states(
    form: CutForm,
) -> tuple[Bool[np.ndarray, " nodes"], Bool[np.ndarray, " nodes"], float]:
    """Which nodes have a state in some minimiser, all at once; their states; a tolerance.

    Masks with all of these states come as near to the minimum as the tolerance, in energy.
    """
    model = IsingGraph(
        torch.from_numpy(-form.linear / 2)[None],
        torch.from_numpy(form.pairs),
        torch.from_numpy(form.weight / 2)[None],
    )
    dual = roof_dual(model)
    return dual.labelled[0].numpy(), dual.on[0].numpy(), 2 * float(dual.rounding)
