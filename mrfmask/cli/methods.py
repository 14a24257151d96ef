"""``mrfmask methods``: what there is to choose from."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from mrfmask.inference import METHODS


def methods() -> None:
    """List the inference methods: what each answers, needs and runs on."""
    table = Table("method", "answers", "models", "exact", "devices", "needs")
    for name, method in METHODS.items():
        table.add_row(
            name,
            ", ".join(method.answers),
            "grids, graphs" if method.graphs else "grids",
            "yes" if method.exact else "no",
            ", ".join(method.devices),
            method.needs,
        )
    Console(highlight=False).print(table)
