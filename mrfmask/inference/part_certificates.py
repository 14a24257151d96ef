"""Proofs of some of the images of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.result import Certificate


@dataclass(frozen=True)
class PartCertificates:
    """The certificates of parts of a batch; images without one count as proven."""

    parts: list[tuple[Int[Tensor, " images"], Certificate | None]]

    def proves(
        self, model: Any, mask: Bool[Tensor, "batch ..."], lower_bound: Float[Tensor, " batch"]
    ) -> bool:
        """True if every certificate proves what it is for."""
        return all(
            certificate is None or certificate.proves(model[i], mask[i], lower_bound[i])
            for i, certificate in self.parts
        )
