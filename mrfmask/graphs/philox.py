"""Counter-based random numbers: what kernels/philox.h has, for numba; a node is a pixel of row 0.

Reference:
    Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import numpy as np

from mrfmask.graphs.compiled import compiled, inlined

# What a draw is for.
HIGH, LOW, START = 0, 1, 2

# Vectors are so long: the chains of a group, or the blocks of sixteen nodes of a single chain.
LANES = 32

MASK = np.uint64(0xFFFFFFFF)
FIRST, SECOND = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
STEP_FIRST, STEP_SECOND = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
HALF = np.uint64(32)


@inlined
def philox(block, step, stream, chain, key):
    """Four words of 32 bits in uint64s from a counter, of uint64s below 2^32, and a key."""
    c0, c1, c2, c3 = block, step, stream, chain
    key0, key1 = key & MASK, key >> HALF
    for _ in range(10):
        a = FIRST * c0
        b = SECOND * c2
        c0 = (b >> HALF) ^ c1 ^ key0
        c1 = b & MASK
        c2 = (a >> HALF) ^ c3 ^ key1
        c3 = a & MASK
        key0 = (key0 + STEP_FIRST) & MASK
        key1 = (key1 + STEP_SECOND) & MASK
    return c0, c1, c2, c3


@compiled
def philox_lanes(words, block, blocks, step, stream, counter, chains, key):
    """``philox`` of LANES counters, of which the block or the chain rises from lane to lane."""
    for j in range(LANES):
        w0, w1, w2, w3 = philox(
            np.uint64(block + j * blocks) & MASK,
            np.uint64(step) & MASK,
            np.uint64(stream) & MASK,
            np.uint64(counter + 8 * j * chains) & MASK,
            np.uint64(key),
        )
        words[0, j] = np.uint32(w0)
        words[1, j] = np.uint32(w1)
        words[2, j] = np.uint32(w2)
        words[3, j] = np.uint32(w3)


@compiled
def draw_all(draws, place, lanes, key, stream, chain, sweep, purpose, words):
    """The 16 bits of every node in a sweep: ``draws[place[node] * lanes + lane]``, uint16.

    ``lanes`` is 1 or LANES, lane c being chain ``chain + c``. ``draws`` and ``place`` (uint32) have
    room for a multiple of 16 * LANES nodes; ``words`` is room for (4, LANES) uint32.

    A block serves the eight nodes of one parity among sixteen: word ``slot % 4`` of slot
    ``node % 16 // 2``, upper half for slots below 4.
    """
    blocks = len(place) // 16
    at_once, apart_blocks, apart_chains = (LANES, 1, 0) if lanes == 1 else (1, 0, 1)
    for first in range(0, blocks, at_once):
        for parity in range(2):
            step = 2 * sweep + parity
            counter = 8 * chain + purpose
            philox_lanes(words, first, apart_blocks, step, stream, counter, apart_chains, key)
            for w in range(4):
                at = 16 * first + 2 * w + parity
                if lanes == 1:
                    for j in range(LANES):
                        draws[place[at + 16 * j]] = np.uint16(words[w, j] >> np.uint32(16))
                        draws[place[at + 16 * j + 8]] = np.uint16(words[w, j])
                else:
                    upper = np.uint64(place[at]) * np.uint64(LANES)
                    lower = np.uint64(place[at + 8]) * np.uint64(LANES)
                    for j in range(LANES):
                        draws[upper + np.uint64(j)] = np.uint16(words[w, j] >> np.uint32(16))
                        draws[lower + np.uint64(j)] = np.uint16(words[w, j])


@compiled
def draw16(node, key, stream, chain, sweep, purpose):
    """The 16 bits of one node, one chain and one sweep."""
    slot = (node & 15) >> 1
    words = philox(
        np.uint64(node >> 4),
        np.uint64((2 * sweep + (node & 1)) & 0xFFFFFFFF),
        np.uint64(stream),
        np.uint64(chain * 8 + purpose) & MASK,
        np.uint64(key),
    )
    word = words[slot & 3]
    return np.uint16(word >> np.uint64(16)) if slot < 4 else np.uint16(word)
