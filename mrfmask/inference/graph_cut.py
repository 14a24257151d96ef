"""Exact MAP by a minimum cut: grids with couplings of one sign, graphs with balanced couplings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask import ops
from mrfmask.graph import IsingGraph
from mrfmask.inference.cut_on_graph import balanced_models, cut_graphs
from mrfmask.inference.flow_certificate import FlowCertificate
from mrfmask.inference.method import Method, check_choice
from mrfmask.ising import IsingModel
from mrfmask.model import IsingGrid
from mrfmask.result import MapResult, Status


@dataclass(frozen=True, kw_only=True, eq=False)
class GraphCut(Method):
    r"""A global minimum of the energy and its proof, by maximum flow on the grid or graph.

    With ``y = (x + 1) / 2`` the energy of an associative model is ``const + sum u_i y_i + sum c_ij
    |y_i - y_j|`` with ``u = -2 unary`` and ``c = 2 pairwise >= 0``: a cut. A repulsive model on a
    grid that a checkerboard colours is turned into an associative one by flipping every second
    pixel. On a graph any model is turned so whose signs are balanced: no cycle has an odd number
    of repulsive couplings (each listing of a pair counts as one). The solver works on integers,
    one power-of-two scale an image; the bound accounts for the rounding, so the gap is exactly 0
    where nothing was rounded.

    Args:
        tie: "min" returns the minimiser with the fewest pixels on, "max" the one with the most
            (of a flipped model: in the flipped order, pixel (0, 0) unflipped; on a graph the lowest
            node of each component that couplings other than 0 connect).
        lossless: take 64-bit integers for the images that 32-bit ones would round; slower, and the
            gap falls to about 1e-9 of theirs.
        start: an earlier result of graph_cut for a batch of the same shape (and graph), whose
            flow the search starts from: quicker where the potentials changed little, and never any
            other answer.

    Raises:
        TypeError: `start` is no MapResult.
        ValueError: couplings of both signs, or a repulsive torus with an odd side; on a graph a
            cycle that is not balanced; a `start` of another method or shape.

    Example:
        >>> import torch, mrfmask as mm
        >>> noisy = torch.tensor([[[1.0, -0.2, 1.0], [-1.0, -1.0, -1.0]]])
        >>> model = mm.IsingGrid(noisy, torch.full((1, 2, 2), 0.5), torch.full((1, 1, 3), 0.25))
        >>> result = mm.GraphCut()(model)
        >>> result.mask.int().tolist(), result.verify(model)
        ([[[1, 1, 1], [0, 0, 0]]], True)

    Reference:
        Greig, Porteous and Seheult, "Exact maximum a posteriori estimation for binary images",
        1989; Boykov and Kolmogorov, "An experimental comparison of min-cut/max-flow algorithms",
        PAMI 2004; Kohli and Torr, "Dynamic graph cuts for efficient inference in Markov random
        fields", PAMI 2007 (`start`).
    """

    tie: str = "min"
    lossless: bool = False
    start: MapResult | None = None

    name: ClassVar = "graph_cut"
    answers: ClassVar = ("map",)
    exact: ClassVar = True
    devices: ClassVar = ("cpu", "cuda")
    needs: ClassVar = "couplings of one sign (all repulsive: no odd torus); graphs: balanced signs"
    graphs: ClassVar = True

    def __post_init__(self) -> None:
        check_choice("tie", self.tie, ("min", "max"))
        if not isinstance(self.lossless, bool):
            raise TypeError(
                f"lossless must be a bool; got {type(self.lossless).__name__}. Use True."
            )

        if self.start is not None and not isinstance(self.start, MapResult):
            raise TypeError(
                f"start must be a MapResult; got {type(self.start).__name__}. Pass what graph_cut "
                "returned for the model before it changed."
            )

    @staticmethod
    def accepts(model: IsingModel) -> bool:
        """True if a cut is exact for every image of the model."""
        return bool(cuttable_images(model).all())

    def find_map(self, model: IsingModel) -> MapResult:
        """A global minimum of every image, with the flow that proves it."""
        self.check_model(model)
        if isinstance(model, IsingGraph):
            return cut_graphs(model, self.tie, self.lossless, self.start)
        flipped = ~_images_where(model, torch.Tensor.ge)
        any_flipped = bool(flipped.any())
        if any_flipped and not self.accepts(model):
            raise ValueError(_why_not(model))
        cut_model = _flip(model, flipped) if any_flipped else model
        start = self._start_flows(model, flipped)
        mask, exponent, bound, rounding, right, down = _cut(cut_model, start, self.tie, False)
        if self.lossless and bool((rounding > 0).any()):
            mask, exponent, bound, rounding, right, down = _cut(cut_model, start, self.tie, True)
        certificate = FlowCertificate(
            exponent=exponent, right=right, down=down, flipped=flipped, mask=mask
        )
        if any_flipped:
            mask = mask ^ (_odd_pixels(model) & flipped[:, None, None])
        return MapResult(
            mask=mask,
            energy=model.energy(mask).detach(),
            lower_bound=model.constant.detach() + bound,
            status=(Status.OPTIMAL,) * len(model),
            method=self.name,
            stats={"exponent": exponent, "rounding": rounding, "flipped": flipped},
            certificate=certificate,
        )

    def _start_flows(
        self, model: IsingGrid, flipped: Bool[Tensor, " batch"]
    ) -> tuple[Tensor | None, ...]:
        """Flows to the right and down, their cut, and the exponents of their scales."""
        if self.start is None:
            return None, None, None, None
        flow = self.start.certificate
        if not isinstance(flow, FlowCertificate):
            raise ValueError(
                f"start must be a result of graph_cut; got one of {self.start.method}, which has "
                "no flow. Leave start out."
            )
        shapes = (flow.right.shape, flow.down.shape)
        if shapes != (model.right.shape, model.down.shape):
            raise ValueError(
                "start must fit the model's couplings of shapes "
                f"{tuple(model.right.shape)} and {tuple(model.down.shape)}; got flows of "
                f"{tuple(shapes[0])} and {tuple(shapes[1])}. Leave start out."
            )
        right, down = flow.right, flow.down
        if not torch.equal(flow.flipped, flipped):
            # A flow of an image turned round the other way is no help.
            keep = (flow.flipped == flipped)[:, None, None]
            right, down = right * keep, down * keep
        return right, down, flow.mask, flow.exponent


def _cut(model: IsingGrid, start: tuple, tie: str, wide: bool) -> tuple[Tensor, ...]:
    return ops.graph_cut(
        model.unary.detach(),
        model.right.detach(),
        model.down.detach(),
        model.periodic,
        *start,
        tie == "max",
        wide,
    )


def cuttable_images(model: IsingModel) -> Bool[Tensor, " batch"]:
    """Which images a cut is exact for."""
    if isinstance(model, IsingGraph):
        return balanced_models(model)
    cuttable = _images_where(model, torch.Tensor.ge)
    if _has_two_colours(model) and not bool(cuttable.all()):
        cuttable = cuttable | _images_where(model, torch.Tensor.le)
    return cuttable


def _images_where(
    model: IsingGrid, compare: Callable[[Tensor, float], Tensor]
) -> Bool[Tensor, " batch"]:
    """Images all of whose couplings compare so with 0."""
    return compare(model.right.flatten(1), 0).all(dim=1) & compare(model.down.flatten(1), 0).all(1)


def _has_two_colours(model: IsingGrid) -> bool:
    _, height, width = model.shape
    odd = (width > 1 and width % 2) or (height > 1 and height % 2)
    return not (model.periodic and odd)


def _odd_pixels(model: IsingGrid) -> Tensor:
    """True where y + x is odd, (height, width)."""
    _, height, width = model.shape
    y = torch.arange(height, device=model.device)[:, None]
    return (y + torch.arange(width, device=model.device)) % 2 == 1


def _flip(model: IsingGrid, images: Bool[Tensor, " batch"]) -> IsingGrid:
    """The gauge transform x -> -x on odd pixels: the same energies, couplings negated."""
    where = images[:, None, None]
    unary = torch.where(where & _odd_pixels(model), -model.unary, model.unary)
    right, down = (torch.where(where, -t, t) for t in (model.right, model.down))
    return IsingGrid(unary, right, down, model.constant, model.periodic)


def _why_not(model: IsingGrid) -> str:
    """Names a coupling that no cut can take, and what can."""
    others = "Use method='ilp' (exact), 'annealing' or, for narrow grids, 'exact'."
    image = int((~cuttable_images(model)).nonzero()[0])
    model = model[image]
    if model.is_repulsive:
        return (
            "model must not be a repulsive torus with an odd side for graph_cut; got image "
            f"{image} of {model.shape[1]}x{model.shape[2]}, where neighbours cannot all differ. "
            f"{others}"
        )
    name, coupling, (dy, dx) = next(
        (name, t, step)
        for name, t, step in (("right", model.right, (0, 1)), ("down", model.down, (1, 0)))
        if (t < 0).any()
    )
    _, y, x = (coupling < 0).nonzero()[0].tolist()
    _, height, width = model.shape
    end = ((y + dy) % height, (x + dx) % width)
    return (
        f"model must have couplings of one sign for graph_cut; got {name}[{image}, {y}, {x}] "
        f"= {coupling[0, y, x].item():g} between pixels ({y}, {x}) and {end} of image {image}, and "
        f"positive ones elsewhere in it. {others}"
    )
