"""The kinds of couplings of a grid: which two pixels each joins."""

from __future__ import annotations

# The rows and columns from a coupling's own place, [b, y, x], to the two pixels that it couples.
DIRECTIONS: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {
    "right": ((0, 0), (0, 1)),
    "down": ((0, 0), (1, 0)),
    "down_right": ((0, 0), (1, 1)),
    "down_left": ((0, 1), (1, 0)),
}


def reach(name: str) -> tuple[int, int]:
    """How many rows and columns a coupling of this kind spans, 0 or 1 each."""
    (y, x), (other_y, other_x) = DIRECTIONS[name]
    return max(y, other_y), max(x, other_x)


def place(name: str) -> str:
    """What a coupling of this kind couples, for messages."""
    pixels = (f"({'y+1' if dy else 'y'}, {'x+1' if dx else 'x'})" for dy, dx in DIRECTIONS[name])
    return f"{name}[b, y, x] couples {'-'.join(pixels)}"
