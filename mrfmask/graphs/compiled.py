"""How kernels for graphs are compiled."""

from __future__ import annotations

import numba

# Cached on disk, so that only the first use of an installed package compiles. Without fast-math and
# contraction, so that bits do not depend on the processor. Without the interpreter's lock, so that
# threads (threads.py) run in parallel: numba's own pools do not survive a fork.
compiled = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)

# For the few operations inside of loops that must become vector code: the compiler of numba merges
# calls too late for that.
inlined = numba.njit(nogil=True, error_model="numpy", fastmath=False, inline="always")
