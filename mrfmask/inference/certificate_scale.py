"""The scale at which certificates round potentials to integers again."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

# Sums of integers stay below, with room for what rounding adds to each.
_LARGEST = 2.0**63 * (1 - 1e-7)


def certificate_scale(
    exponent: int, unary: Float[np.ndarray, " nodes"], pairwise: Float[np.ndarray, " edges"]
) -> float | None:
    """What potentials are multiplied by: ``2 ** (exponent + 1)``, for the cut form doubles them.

    Args:
        exponent: what the certificate states.
        unary: finite, 0 at clamped nodes.
        pairwise: of any signs.

    Returns:
        The scale, or None where sums over all nodes could leave 64 bits: they would wrap around,
        and a certificate that states such an exponent might prove anything. Solvers choose theirs
        so that ``scale * (sum of |unary| + 2 sum of |pairwise| + sums around clamps)`` is below
        ``2 ** 62``, and the latter come to ``2 scale * sum of |pairwise|`` at most.
    """
    if not -1074 <= exponent <= 1000:
        return None
    scale = float(np.ldexp(1.0, exponent + 1))
    with np.errstate(over="ignore"):
        largest = np.abs(unary * scale).sum() + 4 * np.abs(pairwise * scale).sum()
    return scale if largest < _LARGEST else None
