"""The native kernels against published answers and exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrfmask import _native

ISAS = _native.isas()

# Random123's known answers for Philox4x32-10: counter, key, result.
KNOWN_ANSWERS = [
    ([0] * 4, 0, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    (
        [0xFFFFFFFF] * 4,
        0xFFFFFFFFFFFFFFFF,
        [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
    ),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        0x299F31D0A4093822,
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_philox_gives_the_published_numbers(counter, key, expected):
    assert _native.philox(counter, key) == expected


def on(log2_odds: np.ndarray, draws: np.ndarray, isa: str = "") -> np.ndarray:
    out = np.empty(len(draws), dtype=np.uint8)
    _native.heat_bath_on(
        np.ascontiguousarray(log2_odds, dtype=np.float32), draws.astype(np.uint32), out, isa
    )
    return out.astype(bool)


def threshold(log2_odds: float, isa: str = "") -> int:
    """Number of draws r that turn a pixel on, by bisection over the rule itself."""
    low, high = 0, 2**32
    while low < high:
        middle = (low + high) // 2
        if on(np.array([log2_odds]), np.array([middle]), isa)[0]:
            low = middle + 1
        else:
            high = middle
    return low


def exact_probability(log2_odds: float) -> float:
    return 1.0 / (1.0 + 2.0 ** -float(np.float32(log2_odds)))


@pytest.mark.parametrize("isa", ISAS)
@given(st.floats(-40, 40, width=32))
def test_heat_bath_threshold_is_the_logistic(isa, log2_odds):
    count = Fraction(threshold(log2_odds, isa), 2**32)
    p = exact_probability(log2_odds)
    rare = min(p, 1 - p)
    # The likely state is one minus the rare one, which keeps about 21 bits of its own.
    assert abs(float(count) - p) <= rare * 2**-21 + 2**-32


@pytest.mark.parametrize("isa", ISAS)
@given(st.floats(-40, 40, width=32))
def test_heat_bath_exchanges_states_when_signs_flip(isa, log2_odds):
    if abs(np.float32(log2_odds)) > 2.0**-55:
        assert threshold(log2_odds, isa) + threshold(-log2_odds, isa) == 2**32


def test_heat_bath_never_leaves_a_clamp():
    draws = np.array([0, 1, 2**31, 2**32 - 1])
    assert on(np.full(4, np.inf), draws).all()
    assert not on(np.full(4, -np.inf), draws).any()


def test_heat_bath_threshold_grows_with_the_field():
    # Neighbouring floats, around zero, octave edges, rounding edges of exp2 and large fields.
    centres = [0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 7.5, 8.0, 20.5, 31.5]
    for centre in centres + [-c for c in centres]:
        fields = [np.float32(centre)]
        for _ in range(60):
            fields.append(np.nextafter(fields[-1], np.float32(np.inf)))
        thresholds = [threshold(float(f)) for f in fields]
        assert thresholds == sorted(thresholds)


@given(st.floats(-30, 30, width=32), st.integers(0, 2**32 - 1))
def test_every_instruction_set_decides_alike(log2_odds, draw):
    decisions = {bool(on(np.array([log2_odds]), np.array([draw]), isa)[0]) for isa in ISAS}
    assert len(decisions) == 1
