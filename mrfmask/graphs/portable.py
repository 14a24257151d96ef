"""Arithmetic that gives the same bits on every machine: what kernels/portable.h has, for numba."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import float32, types
from numba.extending import intrinsic

from mrfmask.graphs.compiled import inlined

LEAST = np.float32(2.0**-55)
FURTHEST = np.float32(100)
ROUNDER = np.float32(12582912)
ZERO, THREE = np.float32(0), np.float32(3)
P6, P5, P4, P3, P2, P1, P0 = (
    np.float32(float.fromhex(digits))
    for digits in (
        "0x1.41fbbcp-13",
        "0x1.5f3e54p-10",
        "0x1.3b2d4cp-7",
        "0x1.c6aee8p-5",
        "0x1.ebfbdcp-3",
        "0x1.62e43p-1",
        "0x1p0",
    )
)
# Numbers about 1.5 * 2^52 have a last place of 1.
WHOLE = np.float64(1.5 * 2.0**52)
WHOLE_BITS = np.int64(WHOLE.view(np.int64))


@intrinsic
def fused(context, a, b, c):
    """``a * b + c`` in float32 with one rounding."""
    return float32(float32, float32, float32), lambda _, builder, __, args: builder.fma(*args)


@intrinsic
def ones_in(context, word):
    """How many bits of a uint32 are set."""

    def code(_, builder, __, args):
        return builder.call(builder.module.declare_intrinsic("llvm.ctpop", (ir.IntType(32),)), args)

    return types.uint32(types.uint32), code


@intrinsic
def float_bits(context, value):
    """The bits of a float32 as uint32, or of a float64 as int64."""
    bits = {types.float32: types.uint32, types.float64: types.int64}[value]

    def code(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(bits))

    return bits(value), code


@intrinsic
def bits_float(context, bits):
    """The float32 of these bits, a uint32."""
    return types.float32(types.uint32), lambda _, builder, __, args: builder.bitcast(
        args[0], ir.FloatType()
    )


@inlined
def flush(value):
    """+0 for |value| < 2^-55: no subnormal number ever arises."""
    return ZERO if abs(value) < LEAST else value


@inlined
def exp2_negative(distance):
    """``2^-distance`` for distance >= 0 (+inf allowed), at least 2^-100; monotone."""
    x = -(distance if distance < FURTHEST else FURTHEST)
    shifted = x + ROUNDER
    fraction = ((x - (shifted - ROUNDER)) + THREE) - THREE
    p = fused(P6, fraction, P5)
    p = fused(p, fraction, P4)
    p = fused(p, fraction, P3)
    p = fused(p, fraction, P2)
    p = fused(p, fraction, P1)
    p = fused(p, fraction, P0)
    return bits_float(np.uint32(float_bits(p) + (float_bits(shifted) << np.uint32(23))))


@inlined
def whole(value):
    """The nearest whole number of a float64, |value| <= 2^51, ties to even."""
    return float_bits(value + WHOLE) - WHOLE_BITS


def log2_odds_rate(beta):
    """``2 beta / ln 2``: turns local fields into base-2 log odds of "on"; float32, limited."""
    return np.minimum(2.0 * beta * 1.4426950408889634, 2.0**100).astype(np.float32)
