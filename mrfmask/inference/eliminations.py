"""Which models of a graph can be done by elimination, and the plan of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool
from torch import Tensor

from mrfmask.graph import IsingGraph
from mrfmask.inference.elimination_memory import MOST_BYTES, bytes_needed
from mrfmask.inference.graph_elimination import GraphElimination
from mrfmask.inference.graph_terms import GraphTerms, distinct_pairs
from mrfmask.inference.method import Answer

if TYPE_CHECKING:
    from mrfmask.graphs.elimination_plan import EliminationPlan

# A table has at most 2^24 entries, 128 MiB of doubles.
MOST_WIDTH = 24
# For method="auto": at most so many entries in all, a tenth of a second, and so many free nodes
# that to find out takes no longer.
MOST_ENTRIES = 2**26
MOST_TRIED = 2**14


class Eliminations:
    """The models of a batch, each with the plan for its own free nodes and couplings.

    Models whose clamps and zeros are in the same places share a plan, so it does not depend on what
    else is in the batch.
    """

    def __init__(self, model: IsingGraph) -> None:
        self.model = model.to("cpu")
        self.pairs = distinct_pairs(self.model)
        self.plans: dict[bytes, EliminationPlan | int] = {}

    def __len__(self) -> int:
        return len(self.model)

    def prepare(self, image: int, answer: Answer) -> GraphElimination | int:
        """One model, ready to run; or over how many nodes a table would range."""
        from mrfmask.graphs.elimination_plan import TooWideError, plan_elimination

        terms = GraphTerms(self.model[image], self.pairs)
        # Marginals are those of all pairs; where nothing else is asked, zeros join nothing.
        joined = terms.joined(zeros=answer == "marginals")
        key = terms.free.tobytes() + joined.tobytes()
        if key not in self.plans:
            try:
                self.plans[key] = plan_elimination(terms.pairs[joined], terms.free, MOST_WIDTH)
            except TooWideError as found:
                self.plans[key] = found.width
        plan = self.plans[key]
        return plan if isinstance(plan, int) else GraphElimination(terms, plan, joined)

    def prepare_all(self, answer: Answer) -> list[GraphElimination]:
        """All models, ready to run.

        Raises:
            ValueError: one has too large tables, or needs too much memory.
        """
        ready = []
        for b in range(len(self)):
            found = self.prepare(b, answer)
            if isinstance(found, int):
                got = f"tables of 2^{found} entries or more"
            elif bytes_needed(found.plan, answer) > MOST_BYTES:
                gib = bytes_needed(found.plan, answer) / 2**30
                got = f"tables of 2^{found.plan.width} entries and {gib:.1f} GiB in all"
            else:
                ready.append(found)
                continue
            free = int((~self.model.clamped[b]).sum())
            raise ValueError(
                f"model must have an elimination order with tables of at most 2^{MOST_WIDTH} "
                f"entries and {MOST_BYTES >> 30} GiB in all for exact; got {free} free nodes with "
                f"{got} for {answer} of model {b}. Choose method='ilp' or 'graph_cut' for a mask, "
                "'gibbs' or 'mean_field' for marginals, or clamp nodes."
            )
        return ready


def solvable_graphs(
    model: IsingGraph, answer: Answer = "marginals", most_entries: int | None = None
) -> Bool[Tensor, " batch"]:
    """Which models have small enough tables; with `most_entries`, also few enough in all."""
    runs = Eliminations(model)
    return torch.tensor(
        [_is_solvable(runs, b, answer, most_entries) for b in range(len(runs))], dtype=torch.bool
    ).to(model.device)


def quick_graphs(model: IsingGraph) -> Bool[Tensor, " batch"]:
    """Which models have their mask of minimum energy in no time."""
    free = (~model.clamped).sum(dim=1)
    quick = free <= MOST_TRIED
    if quick.any():
        quick[quick.clone()] = solvable_graphs(
            model[quick.nonzero().flatten()], "map", MOST_ENTRIES
        )
    return quick


def _is_solvable(runs: Eliminations, b: int, answer: Answer, most_entries: int | None) -> bool:
    found = runs.prepare(b, answer)
    if isinstance(found, int):
        return False
    if most_entries is not None and int(found.plan.sizes.sum()) > most_entries:
        return False
    return bytes_needed(found.plan, answer) <= MOST_BYTES
