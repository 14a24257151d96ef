"""Sweeps over grids with diagonals on a CUDA device: a launch a colour (docs/cuda.md)."""

from __future__ import annotations

from torch import Tensor

from mrfmask.cuda import Launcher
from mrfmask.cuda_gibbs import GibbsRun
from mrfmask.cuda_mean_field import MeanFieldRun
from mrfmask.cuda_plan import HALF_SWEEPS, PIXEL_THREADS, energy_units


def _colours(height: int, width: int, periodic: bool) -> int:
    """Pairs of classes of a row and a column, as in diagonal_grid.h."""
    classes = [3 if periodic and side > 1 and side % 2 else 2 for side in (height, width)]
    return classes[0] * classes[1]


class DiagonalGibbsRun(GibbsRun):
    """One call of the operator `diagonal_gibbs`; `run()` gives what the operator returns."""

    def __init__(
        self,
        launcher: Launcher,
        unary: Tensor,
        right: Tensor,
        down: Tensor,
        down_right: Tensor,
        down_left: Tensor,
        periodic: bool,
        *arguments,
    ) -> None:
        super().__init__(launcher, unary, right, down, periodic, *arguments)
        self.plan = HALF_SWEEPS
        self.potentials += (down_right.contiguous(), down_left.contiguous())
        self.units, self.unit_energy = energy_units(*self.potentials)
        self.diagonals_equal = tuple(
            self.right_equal.new_zeros(len(self.right_equal), *t.shape[1:])
            for t in (down_right, down_left)
        )

    def run(self) -> tuple[Tensor, ...]:
        """Does all sweeps; masks, counts, energies, best masks and counts of equal neighbours."""
        return *super().run(), *self.diagonals_equal

    @property
    def colours(self) -> int:
        """Launches of a sweep."""
        return _colours(self.height, self.width, self.periodic)

    def _colour(self, *arguments) -> None:
        self._pixels("diagonal_gibbs_colour", self.items, *self.potentials, *arguments)

    def _energy(self, kept: int) -> None:
        warps = -(-self.height * self.width // PIXEL_THREADS) * (PIXEL_THREADS // 32)
        partial = self.energies.new_empty(self.items * warps)
        self._pixels(
            "diagonal_gibbs_energy",
            self.items,
            *self.potentials,
            *self.shape,
            self.units,
            self.masks,
            partial,
        )
        self._sum_energies(partial, warps, 1, kept)

    def _after_kept(self, kept: int) -> None:
        super()._after_kept(kept)
        if self.keep_pairs:
            self._pixels(
                "diagonal_gibbs_count_equal",
                self.images,
                self.masks,
                *self.shape,
                *self.diagonals_equal,
            )


class DiagonalMeanFieldRun(MeanFieldRun):
    """One call of the operator `diagonal_mean_field`; `run()` gives what it returns."""

    def __init__(
        self,
        launcher: Launcher,
        unary: Tensor,
        right: Tensor,
        down: Tensor,
        down_right: Tensor,
        down_left: Tensor,
        periodic: bool,
        *arguments,
    ) -> None:
        super().__init__(launcher, unary, right, down, periodic, *arguments)
        self.plan = HALF_SWEEPS
        self.potentials += (down_right.contiguous(), down_left.contiguous())

    @property
    def colours(self) -> int:
        """Launches of a sweep."""
        return _colours(self.height, self.width, self.periodic)

    def _colour(self, *arguments) -> None:
        self._pixels("diagonal_mean_field_colour", *self.potentials, *self.shape, *arguments)
