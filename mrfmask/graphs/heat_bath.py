"""Heat-bath sweeps over the nodes of a graph: the rule of kernels/gibbs.h, 1 or LANES chains.

The states of a node are the bits of one word, a chain each. Nodes of a segment are updated together
(they do not touch, layout.py), in chunks: local fields of all nodes and chains of the chunk, then
all decisions in one loop of vector code, then the words. Fields are summed in the order of the
layout, the same for any number of chains.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt

from mrfmask.graphs.compiled import compiled, inlined
from mrfmask.graphs.philox import HIGH, LANES, LOW, START, draw16, draw_all
from mrfmask.graphs.portable import (
    bits_float,
    exp2_negative,
    float_bits,
    flush,
    fused,
    ones_in,
    whole,
)

# Node states in a chunk; what a chunk needs stays in the nearest cache.
CHUNK = 512

ONE, THIRTY_ONE, SIGN = np.uint32(1), np.uint32(31), np.uint32(1 << 31)
STEP, TWO_TO_32 = np.float32(65536), np.float32(2.0**32)
FIRST, LAST = np.float32(0.5), np.float32(65535.5)


class Potentials(NamedTuple):
    """One model, float32, in the order of the layout.

    Attributes:
        unary: (nodes,), 0 where clamped, none below 2^-55.
        clamp: (nodes,), 0 or +-inf.
        pairwise: (entries,), likewise none below 2^-55.
        per_energy: units in an energy of 1, a power of two: sums of whole numbers of units have no
            rounding, so that their order does not matter.
    """

    unary: Float[np.ndarray, " nodes"]
    clamp: Float[np.ndarray, " nodes"]
    pairwise: Float[np.ndarray, " entries"]
    per_energy: float


class Chains(NamedTuple):
    """Some chains of one model: 1 or LANES of them, numbered from `chain`.

    Attributes:
        words: (nodes,) uint32, in the order of the layout; bit c is the state of chain c.
        seen: (entries,) uint8, of a single chain: the state of the neighbour of every entry. To
            read these in their order, and to write them where states change, which is not in all
            updates, takes less than to look the states up.
        draws: (places * lanes,) uint16, room for the draws of a sweep, in the order of the layout.
        counts: (nodes * lanes,) int32, kept sweeps in which a state was on.
        units: (sweeps, lanes) int64, energy after each kept sweep.
        best: (nodes,) uint32, the states of lowest energy; empty if not to be kept.
        least: (lanes,) int64, their energy.
        equal: (edges,) int64, kept states in which the ends were equal; empty if not to be kept.
        counted: uint32, the bits that count in `equal`.
    """

    key: int
    stream: int
    chain: int
    lanes: int
    words: UInt[np.ndarray, " nodes"]
    seen: UInt[np.ndarray, " entries"]
    draws: UInt[np.ndarray, " draws"]
    counts: Int[np.ndarray, " states"]
    units: Int[np.ndarray, "sweeps lanes"]
    best: UInt[np.ndarray, " nodes"]
    least: Int[np.ndarray, " lanes"]
    equal: Int[np.ndarray, " edges"]
    counted: int


@inlined
def signed(coupling, word, lane):
    """The coupling times the state (-1 or +1) of a chain."""
    return bits_float(
        np.uint32(float_bits(coupling) ^ (((~word) << np.uint32(THIRTY_ONE - lane)) & SIGN))
    )


@inlined
def decide(log2_odds, high):
    """1 for on, by the upper 16 bits of a draw; plus 2 where the lower ones matter."""
    odds = flush(log2_odds)
    likely = odds >= np.float32(0)
    e = exp2_negative(abs(odds))
    toward_rare = np.int32(high) ^ (np.int32(0xFFFF) if likely else np.int32(0))
    lowest = np.float32(toward_rare) * STEP
    limit = e * TWO_TO_32
    low, high = lowest + FIRST, lowest + LAST
    rare = fused(low, e, low) < limit
    rare_at_most = fused(high, e, high) < limit
    return np.uint8(rare != likely) | np.uint8(np.uint8(rare != rare_at_most) << 1)


@compiled
def decide_by_both(log2_odds, high, low):
    """1 for on, by all 32 bits of a draw."""
    odds = flush(log2_odds)
    likely = odds >= np.float32(0)
    e = exp2_negative(abs(odds))
    flip = 0xFFFF if likely else 0
    lower = np.float32(np.int32(low) ^ flip) + FIRST
    u = np.float32(np.int32(high) ^ flip) * STEP + lower
    return np.uint8((fused(u, e, u) < e * TWO_TO_32) != likely)


@compiled
def begin_fields(field, unary, lanes):
    """The local fields without neighbours."""
    if lanes == 1:
        field[: len(unary)] = unary
        return
    for i in range(len(unary)):
        at, own = np.uint64(i * LANES), unary[i]
        for c in range(LANES):
            field[at + np.uint64(c)] = own


# These functions take arrays one by one: to hand over a whole record takes as long as a chunk.
@compiled
def add_entry(field, pairwise, neighbour, words, seen, lanes):
    """Adds one entry of each node of a chunk to the local fields; `seen` is of a single chain."""
    if lanes == 1:
        for i in range(len(pairwise)):
            field[i] += signed(pairwise[i], np.uint32(seen[i]), np.uint32(0))
        return
    for i in range(len(pairwise)):
        word, coupling, own = words[neighbour[i]], pairwise[i], np.uint64(i * LANES)
        for c in range(LANES):
            field[own + np.uint64(c)] += signed(coupling, word, np.uint32(c))


@compiled
def tell_neighbours(on, words, seen, twin, at, apart, entries, turned):
    """Turns what the neighbours of a single chain's nodes see, where the new state is another."""
    number = 0
    for i in range(len(words)):
        turned[number] = i
        number += np.uint32(on[i]) != words[i]
    for k in range(entries):
        first = at + k * apart
        for i in range(number):
            seen[twin[first + turned[i]]] ^= np.uint8(1)


@compiled
def decide_all(log2_rate, field, clamp, draws, lanes, on):
    """New states of a chunk, one a byte; True if the lower bits of a draw matter somewhere."""
    seen = np.uint8(0)
    if lanes == 1:
        for i in range(len(clamp)):
            on[i] = decide(log2_rate * field[i] + clamp[i], draws[i])
            seen |= on[i]
        return seen > 1
    for i in range(len(clamp)):
        at, given = np.uint64(i * LANES), clamp[i]
        for c in range(LANES):
            j = at + np.uint64(c)
            on[j] = decide(log2_rate * field[j] + given, draws[j])
            seen |= on[j]
    return seen > 1


@compiled
def pack(on, lanes, words):
    """The words of a chunk from one state a byte."""
    if lanes == 1:
        for i in range(len(words)):
            words[i] = on[i]
        return
    for i in range(len(words)):
        at, word = np.uint64(i * LANES), np.uint32(0)
        for c in range(LANES):
            word |= np.uint32(on[at + np.uint64(c)]) << np.uint32(c)
        words[i] = word


@compiled
def add_energy(total, part, words, lanes, per_energy):
    """Adds what a chunk's nodes have of the energy, by their own states, in units."""
    if lanes == 1:
        units = np.int64(0)
        for i in range(len(words)):
            units += in_units(part[i], words[i], np.uint32(0), per_energy)
        total[0] -= units
        return
    for i in range(len(words)):
        at, word = np.uint64(i * LANES), words[i]
        for c in range(LANES):
            total[c] -= in_units(part[at + np.uint64(c)], word, np.uint32(c), per_energy)


@inlined
def in_units(field, word, lane, per_energy):
    """The field times the state of a chain, a whole number of units."""
    return whole(np.float64(signed(field, word, lane)) * per_energy)


@compiled
def sweep_once(layout, model, chains, log2_rate, number, total):
    """One sweep of all segments; `total` (lanes,) is the energy afterwards, or empty."""
    lanes = chains.lanes
    field = np.empty(CHUNK, dtype=np.float32)
    part = np.empty(CHUNK, dtype=np.float32)
    on = np.empty(CHUNK, dtype=np.uint8)
    turned = np.empty(CHUNK, dtype=np.uint32)
    at_once = CHUNK // lanes
    total[:] = 0
    for s in range(len(layout.segments)):
        first, count, entry, entries = layout.segments[s]
        for begin in range(0, count, at_once):
            here = min(at_once, count - begin)
            place = first + begin
            nodes = slice(place, place + here)
            begin_fields(field, model.unary[nodes], lanes)
            done = 0  # Nodes to which all earlier neighbours are added.
            for k in range(entries + 1):
                if len(total):
                    after = done
                    while after < here and layout.earlier[place + after] == k:
                        after += 1
                    if after > done:
                        ready = slice(done * lanes, after * lanes)
                        part[ready] = field[ready]
                        done = after
                if k < entries:
                    at = entry + begin + k * count
                    add_entry(
                        field,
                        model.pairwise[at : at + here],
                        layout.neighbour[at : at + here],
                        chains.words,
                        chains.seen[at : at + here],
                        lanes,
                    )
            clamp = model.clamp[nodes]
            draws = chains.draws[place * lanes : (place + here) * lanes]
            if decide_all(log2_rate, field, clamp, draws, lanes, on):
                for i in range(here):
                    for c in range(lanes):
                        j = i * lanes + c
                        if on[j] < 2:
                            continue
                        low = draw16(
                            layout.node[place + i],
                            chains.key,
                            chains.stream,
                            chains.chain + c,
                            number,
                            LOW,
                        )
                        log2_odds = log2_rate * field[j] + clamp[i]
                        on[j] = decide_by_both(log2_odds, draws[j], low)
            if lanes == 1:
                tell_neighbours(
                    on,
                    chains.words[nodes],
                    chains.seen,
                    layout.twin,
                    entry + begin,
                    count,
                    entries,
                    turned,
                )
            pack(on, lanes, chains.words[nodes])
            if len(total):
                add_energy(total, part, chains.words[nodes], lanes, model.per_energy)


@compiled
def draw_sweep(layout, chains, number, purpose, room):
    """The draws of all nodes and chains for a sweep."""
    draw_all(
        chains.draws,
        layout.place,
        chains.lanes,
        chains.key,
        chains.stream,
        chains.chain,
        number,
        purpose,
        room,
    )


@compiled
def start_chains(layout, model, chains, given):
    """States before the first sweep: clamped ones as they are clamped, fair coins if not given."""
    room = np.empty((4, LANES), dtype=np.uint32)
    lanes = chains.lanes
    ones = ONE if lanes == 1 else ~np.uint32(0)
    if not given:
        draw_all(
            chains.draws,
            layout.place,
            lanes,
            chains.key,
            chains.stream,
            chains.chain,
            0,
            START,
            room,
        )
    for p in range(len(layout.node)):
        if model.clamp[p] != 0:
            chains.words[p] = ones if model.clamp[p] > 0 else np.uint32(0)
        elif not given:
            word = np.uint32(0)
            for c in range(lanes):
                high = chains.draws[p * lanes + c]
                word |= np.uint32(high >> 15) << np.uint32(c)
            chains.words[p] = word
    for e in range(len(chains.seen)):
        chains.seen[e] = chains.words[layout.neighbour[e]] & ONE


@compiled
def run_sweeps(layout, model, chains, rates, offset, begin, end, burn_in):
    """Sweeps `begin` to `end` of a run, number ``offset + begin`` first; keeps from `burn_in`."""
    room = np.empty((4, LANES), dtype=np.uint32)
    lanes, words = chains.lanes, chains.words
    nothing = np.empty(0, dtype=np.int64)
    for sweep in range(begin, end):
        number = offset + sweep
        draw_all(
            chains.draws,
            layout.place,
            lanes,
            chains.key,
            chains.stream,
            chains.chain,
            number,
            HIGH,
            room,
        )
        kept = sweep - burn_in
        total = chains.units[kept] if kept >= 0 else nothing
        sweep_once(layout, model, chains, rates[sweep], number, total)
        if kept < 0:
            continue
        if lanes == 1:
            for p in range(len(words)):
                chains.counts[p] += words[p]
        else:
            for p in range(len(words)):
                here = chains.counts[p * LANES : (p + 1) * LANES]
                for c in range(LANES):
                    here[c] += (words[p] >> np.uint32(c)) & ONE
        for e in range(len(chains.equal)):
            differ = words[layout.ends[e, 0]] ^ words[layout.ends[e, 1]]
            chains.equal[e] += ones_in(np.uint32(~differ & chains.counted))
        if len(chains.best):
            keep_best(chains, total)


@compiled
def keep_best(chains, total):
    """Takes over the states of the chains whose energy was never lower."""
    better = np.uint32(0)
    for c in range(chains.lanes):
        if total[c] < chains.least[c]:
            chains.least[c] = total[c]
            better |= ONE << np.uint32(c)
    if better:
        for p in range(len(chains.words)):
            chains.best[p] = (chains.best[p] & ~better) | (chains.words[p] & better)
