"""Minimum of a cut form: what is settled is taken out, and parts go their own way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from mrfmask.inference.cut_form import CutForm, related
from mrfmask.inference.cut_relax import CLOSED, Relaxed, Tally, edge_ends, edge_values, relax
from mrfmask.inference.cut_roof import settled_states

# Linear programs start again for a form with less than this share of the nodes.
SMALLER = 0.9


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """States, a lower bound on the energy of all states, and whether the two were made to meet."""

    y: Bool[np.ndarray, " nodes"]
    bound: float
    proven: bool


# Solves what linear programs leave, given the form, its inequalities, states and the deadline.
Finish = Callable[[CutForm, Relaxed, float, Tally], Found]


def minimise(
    form: CutForm,
    known: Bool[np.ndarray, " nodes"],
    deadline: float,
    finish: Finish,
    tally: Tally,
) -> Found:
    """The minimum of a form, part by part; what has no time left keeps its known states."""
    if form.is_balanced():  # Linear programs with the root's triangles are exact.
        return _minimise_parts(form, known, deadline, finish, tally)
    settled, on, tolerance = settled_states(form)
    left = np.flatnonzero(~settled)
    group = np.full(form.nodes, -1)
    group[left] = np.arange(len(left))
    smaller = form.contract(group, on & settled, len(left))
    tally.tolerance += tolerance
    tally.settled += form.nodes - len(left)
    found = _minimise_parts(smaller, known[left], deadline, finish, tally)
    y = on & settled
    y[left] = found.y
    if form.energy(y) > form.energy(known):  # by no more than the tolerance
        y = known
    return Found(y=y, bound=found.bound, proven=found.proven)


def _minimise_parts(
    form: CutForm,
    known: Bool[np.ndarray, " nodes"],
    deadline: float,
    finish: Finish,
    tally: Tally,
) -> Found:
    y, bound, proven = known.copy(), form.offset, True
    for members, part in form.components():
        if len(members) == 1:
            y[members] = part.linear < 0
            bound += float(np.minimum(part.linear, 0.0).sum())
            tally.variables += int(part.linear[0] != 0)
            continue
        found = _minimise_part(part, known[members], deadline, finish, tally)
        y[members] = found.y
        bound += found.bound
        proven &= found.proven
    return Found(y=y, bound=bound, proven=proven)


def _minimise_part(
    form: CutForm,
    known: Bool[np.ndarray, " nodes"],
    deadline: float,
    finish: Finish,
    tally: Tally,
) -> Found:
    relaxed = relax(form, known, deadline, tally)
    lp = relaxed.lp
    if relaxed.closed or time.monotonic() >= deadline:
        tally.tolerance += CLOSED
        return Found(y=relaxed.y, bound=relaxed.bound, proven=relaxed.closed)
    group, flip, groups = _contraction(relaxed)
    if groups < SMALLER * form.nodes:
        smaller = form.contract(group, flip, groups)
        kept = np.zeros(groups, dtype=bool)
        kept[group[group >= 0]] = (relaxed.y ^ flip)[group >= 0]
        found = minimise(smaller, kept, deadline, finish, tally)
        y = np.where(group >= 0, np.append(found.y, False)[group] ^ flip, flip)
    else:
        found = finish(form, relaxed, deadline, tally)
        y = found.y
    if form.energy(y) > relaxed.value:
        y = relaxed.y
    # States without these edges' values have the target's energy at least, which if all energies
    # differ by a step means the value's. Other values may be less than that by CLOSED.
    tally.tolerance += CLOSED
    excluded = relaxed.value if found.proven else relaxed.target
    return Found(y=y, bound=max(lp.bound, min(found.bound, excluded)), proven=found.proven)


def _contraction(
    relaxed: Relaxed,
) -> tuple[Int[np.ndarray, " nodes"], Bool[np.ndarray, " nodes"], int]:
    """Groups of nodes by fixed edges, as `CutForm.contract` takes them."""
    lp = relaxed.lp
    nodes = lp.form.nodes
    fixed = relaxed.fixed()
    own = edge_values(lp, relaxed.y)[fixed]
    group, flip, groups = related(nodes + 1, edge_ends(lp)[fixed], own)
    # The root, in state 0, is the last node; its group has number -1.
    root, group = group[-1], group[:-1]
    flip = np.where(group == root, flip[:-1] ^ flip[-1], flip[:-1])
    return np.where(group == root, -1, group - (group > root)), flip, groups - 1
