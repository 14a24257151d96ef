"""Kernels that go through the steps of an elimination: tables forwards, answers backwards.

A step's table ranges over the masks s of its scope. With ``g(s) = field + sum_k pull_k s_k`` the
step has ``a1 = g + sum of its children's entries`` with its node on, ``a0 = -g + ...`` with it off,
and puts ``a0 plus a1`` into the table. *plus* is the maximum, or the logarithm of the sum of
exponentials. Where all entries of a step are known to be within e^+-300 of each other, sums are
taken of the exponentials themselves, divided by a power of two: no exp and log per entry.

Entries are done in blocks of `_BLOCK`: within one, children are read through a short list of
offsets, or side by side where their low bits are those of the block.
"""

from __future__ import annotations

import math

import numpy as np

from mrfmask.graphs.compiled import compiled

MAXIMUM, LOGARITHMS, EXPONENTIALS = range(3)
_BITS = 9
_BLOCK = 1 << _BITS


@compiled
def _offsets(place, begin, end, low, out):
    """For all masks of the `low` first bits: the bits that a child has of them, in its index."""
    out[0] = 0
    for bit in range(low):
        step = 0
        for k in range(begin, end):
            if place[k] == bit:
                step = 1 << (k - begin)
        for j in range(1 << bit):
            out[(1 << bit) + j] = out[j] + step


@compiled
def _base(place, begin, end, low, block):
    """The bits that a child has of the others."""
    index = 0
    for k in range(begin, end):
        if place[k] >= low:
            index |= ((block >> (place[k] - low)) & 1) << (k - begin)
    return index


@compiled
def _shared(place, begin, end, low):
    """How many of the `low` first bits a child has."""
    count = 0
    for k in range(begin, end):
        if 0 <= place[k] < low:
            count += 1
    return count


@compiled
def spread(first, last, start, scope, node, children, reach, field, pull):
    """The largest spread of the logarithms of a step's entries, at most.

    Flipping a node of the scope multiplies a table's entry by at most e^(2 sum |coupling| to those
    eliminated): no more than `reach` of it by then.
    """
    worst = 0.0
    for t in range(first, last):
        v = node[t]
        total = 2 * abs(field[v]) + reach[v] + 0.7 * (children[t + 1] - children[t])
        for k in range(start[t], start[t + 1]):
            reach[scope[k]] += 2 * abs(pull[k])
            total += reach[scope[k]] + 2 * abs(pull[k])
        worst = max(worst, total)
    return worst


@compiled
def forward(
    plus, first, last, node, start, place, child_start, children, offset, field, pull, tables,
    bits, bit_offset, share, share_offset,
):  # fmt: skip
    """Runs steps `first` to `last` - 1 and returns what the roots among them contribute.

    `plus` is MAXIMUM, LOGARITHMS or EXPONENTIALS; `field` (nodes,) and `pull` (entries,), the
    couplings to the nodes of the scopes, are times beta. `tables` are the stacks. Unless they are
    empty, `bits` get bit s of step t, on in the maximum, from byte bit_offset[t]; `share` gets P(on
    | scope) from share_offset[t] - share_offset[first].
    """
    total = 0.0
    exponent = 0
    lower = np.empty(_BLOCK)
    low_on = np.empty(_BLOCK)
    low_off = np.empty(_BLOCK)
    on = np.empty(_BLOCK)
    off = np.empty(_BLOCK)
    flags = np.empty(_BLOCK, dtype=np.uint8)
    for t in range(first, last):
        width = start[t + 1] - start[t]
        low = min(width, _BITS)
        size = 1 << low
        h = field[node[t]]
        begin = start[t]
        lower[0] = 0.0
        for bit in range(low):
            lower[0] -= pull[begin + bit]
        for bit in range(low):
            for j in range(1 << bit):
                lower[(1 << bit) + j] = lower[j] + 2 * pull[begin + bit]
        if plus == EXPONENTIALS:
            for j in range(size):
                low_on[j] = math.exp(lower[j])
                low_off[j] = math.exp(-lower[j])
        links = child_start[t + 1] - child_start[t]
        offsets = np.empty((links, size), dtype=np.int32)
        beside = np.empty(links, dtype=np.bool_)
        for i in range(links):
            c = children[child_start[t] + i]
            beside[i] = _shared(place, start[c], start[c + 1], low) == low
            if not beside[i]:
                _offsets(place, start[c], start[c + 1], low, offsets[i])
        scale = 1.0
        for block in range(1 << (width - low)):
            g = h
            for k in range(low, width):
                g += pull[begin + k] if (block >> (k - low)) & 1 else -pull[begin + k]
            if plus == EXPONENTIALS:
                up, down = math.exp(g) * scale, math.exp(-g) * scale
                for j in range(size):
                    on[j] = up * low_on[j]
                    off[j] = down * low_off[j]
            else:
                for j in range(size):
                    on[j] = g + lower[j]
                    off[j] = -g - lower[j]
            for i in range(links):
                c = children[child_start[t] + i]
                base = offset[c] + _base(place, start[c], start[c + 1], low, block)
                if beside[i]:
                    part = tables[base : base + 2 * size]
                    if plus == EXPONENTIALS:
                        for j in range(size):
                            off[j] *= part[2 * j]
                            on[j] *= part[2 * j + 1]
                    else:
                        for j in range(size):
                            off[j] += part[2 * j]
                            on[j] += part[2 * j + 1]
                else:
                    part = tables[base:]
                    if plus == EXPONENTIALS:
                        for j in range(size):
                            off[j] *= part[offsets[i, j]]
                            on[j] *= part[offsets[i, j] + 1]
                    else:
                        for j in range(size):
                            off[j] += part[offsets[i, j]]
                            on[j] += part[offsets[i, j] + 1]
            if len(share):
                at = share_offset[t] - share_offset[first] + (block << low)
                odds = share[at : at + size]
                if plus == EXPONENTIALS:
                    for j in range(size):
                        odds[j] = on[j] / (on[j] + off[j])
                else:
                    for j in range(size):
                        odds[j] = 1 / (1 + math.exp(off[j] - on[j]))
            if len(bits):
                for j in range(size):
                    flags[j] = on[j] > off[j]
                if size >= 8:
                    at = bit_offset[t] + ((block << low) >> 3)
                    packed = bits[at : at + (size >> 3)]
                    for j in range(size >> 3):
                        byte = 0
                        for b in range(8):
                            byte |= flags[8 * j + b] << b
                        packed[j] = byte
                else:
                    byte = 0
                    for j in range(size):
                        byte |= flags[j] << j
                    bits[bit_offset[t]] = byte
            if plus == MAXIMUM:
                for j in range(size):
                    on[j] = on[j] if on[j] > off[j] else off[j]
            elif plus == EXPONENTIALS:
                for j in range(size):
                    on[j] += off[j]
                if block == 0:
                    # Of the first entry: all others are near enough to it.
                    _, power = math.frexp(on[0])
                    exponent += power
                    scale = math.ldexp(1.0, -power)
                    for j in range(size):
                        on[j] *= scale
            else:
                for j in range(size):
                    high = max(on[j], off[j])
                    on[j] = high + math.log1p(math.exp(min(on[j], off[j]) - high))
            if width == 0:
                total += math.log(on[0]) if plus == EXPONENTIALS else on[0]
            else:
                at = offset[t] + (block << low)
                tables[at : at + size] = on[:size]
    return total + exponent * math.log(2.0)


@compiled
def backward(
    first, last, node, start, edge, place, child_start, children, offset, share, share_offset,
    tables, mean, product,
):  # fmt: skip
    """Runs steps `last` - 1 to `first`: a step's table becomes p(scope), from p of its parent's.

    Writes E[x] of each step's node to `mean` and E[x x'] of its edges to `product`.
    """
    on = np.empty(_BLOCK)
    off = np.empty(_BLOCK)
    summed = np.empty(_BLOCK)
    for i in range(last - first):
        t = last - 1 - i
        begin = start[t]
        width = start[t + 1] - begin
        low = min(width, _BITS)
        size = 1 << low
        links = child_start[t + 1] - child_start[t]
        offsets = np.empty((links, size), dtype=np.int32)
        beside = np.empty(links, dtype=np.bool_)
        for n in range(links):
            c = children[child_start[t] + n]
            beside[n] = _shared(place, start[c], start[c + 1], low) == low
            if not beside[n]:
                _offsets(place, start[c], start[c + 1], low, offsets[n])
            tables[offset[c] : offset[c] + (1 << (start[c + 1] - start[c]))] = 0.0
        summed[:size] = 0.0
        correlation = np.zeros(width)
        for block in range(1 << (width - low)):
            at = share_offset[t] - share_offset[first] + (block << low)
            odds = share[at : at + size]
            if width == 0:
                on[0] = odds[0]
                off[0] = 1 - odds[0]
            else:
                here = offset[t] + (block << low)
                own = tables[here : here + size]
                for j in range(size):
                    on[j] = own[j] * odds[j]
                    off[j] = own[j] - on[j]
            for n in range(links):
                c = children[child_start[t] + n]
                base = offset[c] + _base(place, start[c], start[c + 1], low, block)
                if beside[n]:
                    part = tables[base : base + 2 * size]
                    for j in range(size):
                        part[2 * j] += off[j]
                        part[2 * j + 1] += on[j]
                else:
                    part = tables[base:]
                    for j in range(size):
                        part[offsets[n, j]] += off[j]
                        part[offsets[n, j] + 1] += on[j]
            total = 0.0
            for j in range(size):
                on[j] -= off[j]
                summed[j] += on[j]
                total += on[j]
            for k in range(low, width):
                correlation[k] += total if (block >> (k - low)) & 1 else -total
        total = 0.0
        for j in range(size):
            total += summed[j]
            for k in range(low):
                correlation[k] += summed[j] if (j >> k) & 1 else -summed[j]
        mean[node[t]] = total
        for k in range(width):
            if edge[begin + k] >= 0:
                product[edge[begin + k]] = correlation[k]


@compiled
def trace(
    first, last, node, start, scope, bits, bit_offset, share, share_offset, uniforms, masks
):  # fmt: skip
    """Runs steps `last` - 1 to `first`: the state of each node given those of its scope.

    Into `masks` (chains, nodes) bool: on where `uniforms` (chains, nodes) are below P(on | scope),
    or, if `share` is empty, as `bits` say.
    """
    for i in range(last - first):
        t = last - 1 - i
        for chain in range(len(masks)):
            index = 0
            for k in range(start[t], start[t + 1]):
                index |= np.int64(masks[chain, scope[k]]) << (k - start[t])
            if len(share):
                at = share_offset[t] - share_offset[first] + index
                masks[chain, node[t]] = uniforms[chain, node[t]] < share[at]
            else:
                masks[chain, node[t]] = (bits[bit_offset[t] + (index >> 3)] >> (index & 7)) & 1
