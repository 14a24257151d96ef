"""What a density of picks costs: the error that is left when picks are as dense as it says."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

# The expected squared error at a pixel falls with the density of picks to this power. Interpolation
# of a smooth surface would have 2, of a rough one less; measured on depth maps it is about 0.7.
POWER = 0.7
# Logarithms of relative densities beyond +-this count as it.
LARGEST = 5.0


def density_loss(
    log_density: Float[Tensor, "batch shares height width"],
    errors: Float[Tensor, "batch shares height width"],
    valid: Bool[Tensor, "batch height width"],
) -> Float[Tensor, "batch shares"]:
    r"""``log mean[Q (rho / mean rho)^-0.7]``, means over valid pixels: the error left, relative.

    Q are the squared errors under masks of even density. The best density is ``Q^(1 / 1.7)``, and
    an even one has loss ``log mean Q``.

    Args:
        log_density: logarithms of rho, up to a constant.
        errors: Q, at least 0; not read where not valid.
        valid: where picks can be, at least one pixel an image.

    Reference:
        Elmachtoub and Grigas, "Smart 'predict, then optimize'", Management Science 2022, for losses
        that measure the decision instead of the prediction.
    """
    inside = valid[:, None]
    count = inside.sum((2, 3), keepdim=True).to(log_density.dtype)
    total = log_density.where(inside, -torch.inf).flatten(2).logsumexp(-1)[..., None, None]
    relative = (log_density - total + count.log()).clamp(-LARGEST, LARGEST)
    left = (errors * torch.exp(-POWER * relative)).where(inside, 0).sum((2, 3))
    return (left / count[..., 0, 0]).clamp(min=1e-12).log()
