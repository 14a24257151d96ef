"""Exact answers for narrow grids: pixels are eliminated one by one, column after column."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.model import IsingGrid

# A table has a state for every mask of one column (of two, on a ring): 2^14 doubles are 128 kB.
MOST_BITS = 14
# The tables of all columns are kept at once for what runs backwards.
MOST_BYTES = 2**31
# Log weight of a state that violates a clamp: exp() of it is 0, and differences stay finite.
FORBIDDEN = -1e300

Combine = Callable[[Tensor, Tensor], Tensor]


def bits_needed(model: IsingGrid) -> int:
    """Pixels that a table ranges over: the narrow side, twice for a ring in the long direction."""
    _, height, width = model.shape
    narrow, length = sorted((height, width))
    return 2 * narrow if model.periodic and length > 1 else narrow


def bytes_needed(model: IsingGrid) -> int:
    """Bytes of the tables of one image."""
    return max(model.shape[1:]) * 2 ** bits_needed(model) * 8


class Elimination:
    r"""One image of a narrow grid; the tables run along its long side.

    The table of log weights ``A(s)`` ranges over the masks s of the last `rows` pixels. The next
    pixel replaces its left neighbour in s: ``A'(s') = plus_old (A(s) + beta J old new) + beta (h
    new + sum J_neighbour s_neighbour new)`` with ``plus`` the logarithm of a sum of exponentials
    (log Z, marginals, samples) or the maximum (MAP). On a ring the first column stays in s.

    Reference:
        Kramers and Wannier, "Statistics of the two-dimensional ferromagnet", 1941 (the transfer
        matrix); Dechter, "Bucket elimination", 1999.
    """

    def __init__(self, model: IsingGrid) -> None:
        unary, right, down = (
            t.detach()[0].to(torch.float64) for t in (model.unary, model.right, model.down)
        )
        self.turned = unary.shape[0] > unary.shape[1]
        if self.turned:
            unary, right, down = unary.T, down.T, right.T
        self.rows, self.columns = unary.shape
        self.ring = model.periodic and self.columns > 1
        self.clamped = torch.isinf(unary)
        self.clamp = torch.where(self.clamped, unary.sign(), 0.0)
        self.unary, self.right, self.down = torch.where(self.clamped, 0.0, unary), right, down
        self.constant = model.constant.detach()[0]
        bits = 2 * self.rows if self.ring else self.rows
        index = torch.arange(2**bits, device=unary.device)
        self.spins = [((index >> b) & 1).to(torch.float64) * 2 - 1 for b in range(bits)]

    def minimum(self) -> tuple[Bool[Tensor, "height width"], Float[Tensor, ""]]:
        """A mask of minimum energy, and that energy."""
        tables = self._tables(torch.maximum, 1.0)
        best = tables[-1].argmax()
        masks = self._trace_back(
            tables, torch.maximum, 1.0, best.reshape(1), lambda odds, _: odds > 0
        )
        return masks[0], self.constant - tables[-1][best]

    def sample(
        self, beta: float, uniforms: Float[Tensor, "samples draws"]
    ) -> Bool[Tensor, "samples height width"]:
        """Independent masks from p(x): the last column first, then each pixel given the later."""
        tables = self._tables(torch.logaddexp, beta)
        cumulative = (tables[-1] - tables[-1].max()).exp().cumsum(0)
        last = torch.searchsorted(cumulative, uniforms[:, 0] * cumulative[-1], right=True)
        state = last.clamp(max=len(cumulative) - 1)
        draws = iter(uniforms[:, 1:].unbind(dim=1))
        return self._trace_back(
            tables, torch.logaddexp, beta, state, lambda odds, _: next(draws) < odds.sigmoid()
        )

    def marginals(self, beta: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """E[x] of the pixels, E[x x'] of the right and down couplings, log Z.

        They are the derivatives of log Z by beta times the potentials, run backwards one column at
        a time from the tables kept between columns.
        """
        tables = self._tables(torch.logaddexp, beta)
        log_partition = torch.logsumexp(tables[-1], dim=0)
        gradient = (tables[-1] - log_partition).exp()
        parts = [torch.zeros_like(t) for t in (self.unary, self.right, self.down)]
        potentials = [t.clone() for t in (self.unary, self.right, self.down)]
        for x in reversed(range(self.columns)):
            inputs = [t.requires_grad_() for t in (tables[x].detach(), *potentials)]
            self.unary, self.right, self.down = inputs[1:]
            with torch.enable_grad():
                after = self._column(inputs[0], x, torch.logaddexp, beta)[-1]
            gradients = torch.autograd.grad(after, inputs, gradient, allow_unused=True)
            gradient = gradients[0]
            for part, more in zip(parts, gradients[1:], strict=True):
                if more is not None:
                    part += more / beta
        self.unary, self.right, self.down = (t.detach() for t in potentials)
        mean, right, down = parts
        mean = torch.where(self.clamped, self.clamp, mean)
        if self.turned:
            mean, right, down = mean.T, down.T, right.T
        return mean, right, down, log_partition - beta * self.constant

    def _tables(self, combine: Combine, beta: float) -> list[Tensor]:
        """The table before each column, and the last one."""
        tables = [torch.zeros(1, dtype=torch.float64, device=self.unary.device)]
        for x in range(self.columns):
            tables.append(self._column(tables[-1], x, combine, beta)[-1])
        return tables

    def _column(self, table: Tensor, x: int, combine: Combine, beta: float) -> list[Tensor]:
        """The tables before each pixel of column x, and the one after."""
        tables = [table]
        for y in range(self.rows):
            tables.append(self._add_pixel(tables[-1], y, x, combine, beta))
        return tables

    def _bit(self, y: int, x: int) -> int:
        return y + self.rows if self.ring and x > 0 else y

    def _grows(self, x: int) -> bool:
        """Whether the pixels of column x come in addition, instead of replacing older ones."""
        return x == 0 or (self.ring and x == 1)

    def _add_pixel(self, table: Tensor, y: int, x: int, combine: Combine, beta: float) -> Tensor:
        bit = self._bit(y, x)
        neighbours = []
        if y > 0:
            neighbours.append((self._bit(y - 1, x), self.down[y - 1, x]))
        if y == self.rows - 1 and self.down.shape[0] == self.rows and self.rows > 1:
            neighbours.append((self._bit(0, x), self.down[y, x]))
        if self.ring and x == 1:
            neighbours.append((y, self.right[y, 0]))
        if self.ring and x == self.columns - 1:
            neighbours.append((y, self.right[y, x]))
        if self._grows(x):
            table = table.repeat(2)
        else:
            off, on = table.view(-1, 2, 2**bit).unbind(dim=1)
            pull = beta * self.right[y, x - 1]
            table = torch.stack([combine(off + pull, on - pull), combine(off - pull, on + pull)], 1)
            table = table.flatten()
        size = len(table)
        field = self.unary[y, x] + sum(j * self.spins[b][:size] for b, j in neighbours)
        table = table + beta * field * self.spins[bit][:size]
        if self.clamped[y, x]:
            table = table.masked_fill(self.spins[bit][:size] != self.clamp[y, x], FORBIDDEN)
        return table

    def _trace_back(
        self,
        tables: list[Tensor],
        combine: Combine,
        beta: float,
        state: Int[Tensor, " samples"],
        choose: Callable[[Tensor, int], Tensor],
    ) -> Bool[Tensor, "samples height width"]:
        """Masks from the state of the last table, pixel by pixel backwards.

        choose(log odds of "on", pixel) says which samples have the replaced pixel on.
        """
        masks = torch.empty(
            len(state), self.rows, self.columns, dtype=torch.bool, device=state.device
        )
        for x in reversed(range(self.columns)):
            before = self._column(tables[x], x, combine, beta)
            for y in reversed(range(self.rows)):
                bit = 1 << self._bit(y, x)
                on = (state & bit) != 0
                masks[:, y, x] = on
                state = state & ~bit
                if self._grows(x):
                    continue
                pull = beta * self.right[y, x - 1] * torch.where(on, 1.0, -1.0)
                odds = before[y][state | bit] - before[y][state] + 2 * pull
                state = torch.where(choose(odds, y), state | bit, state)
        return masks.transpose(1, 2) if self.turned else masks
