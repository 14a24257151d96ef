"""What an elimination has to keep, and how it is cut in parts so that it keeps less."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mrfmask.graphs.elimination_plan import EliminationPlan

MOST_BYTES = 2**31
# Above so many bytes, P(on | scope) is made twice instead of being kept for all steps.
MOST_KEPT = MOST_BYTES // 4


def parts(plan: EliminationPlan) -> list[tuple[int, int]]:
    """The steps in parts whose P(on | scope) are kept at once; one part if they are few."""
    sizes = plan.sizes
    if int(sizes.sum()) * 8 <= MOST_KEPT:
        return [(0, len(sizes))]
    # Parts that are as large as all the snapshots between them need the least memory.
    limit = max(int((float(sizes.sum()) * float(plan.stacks.sum())) ** 0.5), int(sizes.max()))
    bounds, first, held = [], 0, 0
    for t, size in enumerate(sizes.tolist()):
        if held + size > limit:
            bounds.append((first, t))
            first, held = t, 0
        held += size
    return [*bounds, (first, len(sizes))]


def bytes_needed(plan: EliminationPlan, answer: str) -> int:
    """Bytes of the tables, and of what is kept to go backwards."""
    tables = 8 * int(plan.stacks.sum())
    if answer == "map":
        return tables + int(((plan.sizes + 7) // 8).sum())
    bounds = parts(plan)
    share = 8 * max(int(plan.sizes[a:b].sum()) for a, b in bounds) if len(plan.node) else 0
    before = 8 * sum(int(plan.live[a].sum()) for a, _ in bounds)
    return tables * (2 if answer == "marginals" else 1) + share + before
