"""Min-marginals: the least energy with a site off and with it on, by dynamic cuts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask import ops
from mrfmask.graph import IsingGraph
from mrfmask.inference.cut_on_graph import turn_round
from mrfmask.inference.graph_cut import GraphCut
from mrfmask.ising import IsingModel


@dataclass(frozen=True, kw_only=True, eq=False)
class MinMarginals:
    """What it costs at least to have a site off, and to have it on.

    Attributes:
        energies: (batch, sites, 2) float64, the least energy of a mask with the site off and with
            it on; +inf for the state that a clamp forbids. Exact but for `rounding`.
        sites: (sites,) int64, pixels numbered row by row.
        mask: shaped like the model's `unary`, bool, a minimum of the energy, the one with the
            fewest sites on (of a turned model: in the turned order).
        energy: (batch,) float64, of the mask.
        lower_bound: (batch,) float64; no mask has a lower energy.
        rounding: (batch,) float64, how far the energies can be from exact, each; 0 if the
            potentials had short enough digits.
    """

    energies: Float[Tensor, "batch sites 2"]
    sites: Int[Tensor, " sites"]
    mask: Bool[Tensor, "batch ..."]
    energy: Float[Tensor, " batch"]
    lower_bound: Float[Tensor, " batch"]
    rounding: Float[Tensor, " batch"]

    @property
    def margin(self) -> Float[Tensor, "batch sites"]:
        """Energy off minus energy on: > 0 where the best masks have the site on, 0 in a tie."""
        return self.energies[..., 0] - self.energies[..., 1]


def min_marginals(model: IsingModel, sites: Int[Tensor, " sites"] | None = None) -> MinMarginals:
    r"""The least energy with each of some sites off and on: ``min over x with x_i = s of E(x)``.

    One minimum cut a model; then each site is put on its other side, which takes a flow near the
    site only, found by restarting from the first. The difference says how sure a site of the best
    mask is: a site of margin 0 may just as well have the other state.

    Args:
        model: couplings that a minimum cut takes; see GraphCut.
        sites: (sites,) int64, pixels numbered row by row or nodes, the same for all models; all of
            them if left out.

    Raises:
        TypeError: `sites` is no int64 tensor.
        ValueError: `sites` has another shape or names no site, or the model is not to be cut.

    Example:
        >>> import torch, mrfmask as mm
        >>> chain = mm.IsingGraph(torch.tensor([[2.0, -0.5]]), torch.tensor([[0, 1]]),
        ...                       torch.tensor([[1.0]]))
        >>> mm.min_marginals(chain).energies
        tensor([[[ 0.5000, -2.5000],
                 [-1.5000, -2.5000]]], dtype=torch.float64)

    Reference:
        Kohli and Torr, "Measuring uncertainty in graph cut solutions", CVIU 2008.
    """
    GraphCut().check_model(model)
    sites = _check_sites(model, sites)
    graph = model if isinstance(model, IsingGraph) else model.as_graph()
    cut_model, turned = turn_round(graph)
    mask, _, bound, rounding, _, growth = ops.min_marginals(
        cut_model.unary.detach(), cut_model.edges, cut_model.pairwise.detach(), sites
    )
    mask = mask ^ turned
    growth = torch.where(turned[:, sites, None], growth.flip(2), growth)
    energy = graph.energy(mask).detach()
    return MinMarginals(
        energies=energy[:, None, None] + growth,
        sites=sites,
        mask=mask.reshape(model.shape),
        energy=energy,
        lower_bound=torch.minimum(model.constant.detach() + bound, energy),
        rounding=2 * rounding,
    )


def _check_sites(model: IsingModel, sites: Tensor | None) -> Tensor:
    count = model.unary.shape[1:].numel()
    if sites is None:
        return torch.arange(count, device=model.device)
    if not isinstance(sites, Tensor) or sites.dtype != torch.int64:
        got = sites.dtype if isinstance(sites, Tensor) else type(sites).__name__
        raise TypeError(f"sites must be an int64 tensor; got {got}. Use torch.tensor([...]).")
    if sites.dim() != 1:
        raise ValueError(
            f"sites must have shape (sites,), the same for all models; got {tuple(sites.shape)}. "
            "Number pixels row by row: y * width + x."
        )
    if sites.device != model.device:
        raise ValueError(
            f"sites must be on the device of the model, {model.device}; got {sites.device}. "
            "Call .to(device)."
        )
    if len(sites) and not 0 <= int(sites.min()) <= int(sites.max()) < count:
        wrong = int(sites[(sites < 0) | (sites >= count)][0])
        raise ValueError(
            f"sites must lie in 0..{count - 1}; got {wrong}. Number pixels row by row from 0."
        )
    return sites
