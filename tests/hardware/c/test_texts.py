"""Types and arrays of the written C."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from izhi.hardware.c.text import array, bytes_of, narrowest

TYPES = {1: (-128, 127), 2: (-(2**15), 2**15 - 1), 4: (-(2**31), 2**31 - 1), 8: (-(2**63), 2**63 - 1)}


@pytest.mark.parametrize(
    ("values", "kind"),
    [([0], "int8_t"), ([127, -128], "int8_t"), ([128], "int16_t"), ([-129], "int16_t"), ([32767, -32768], "int16_t"),
     ([32768], "int32_t"), ([2**31 - 1, -(2**31)], "int32_t"), ([2**31], "int64_t"), ([-(2**31) - 1], "int64_t")],
    ids=str,
)  # fmt: skip
def test_the_narrowest_type_at_its_limits(values, kind):
    assert narrowest(np.array(values)) == kind


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=5))
def test_the_narrowest_type_holds_all_and_no_narrower_one_does(values):
    size = bytes_of(narrowest(np.array(values)))
    holds = {n: low <= min(values) and max(values) <= high for n, (low, high) in TYPES.items()}
    assert size == next(n for n, fits in holds.items() if fits)


def test_an_array_has_its_length_and_its_numbers():
    text = array("int8_t", "w", range(50))
    assert text.startswith("static const int8_t w[50] = {\n    0, 1, 2,")
    assert text.endswith("48, 49,\n};\n")
    assert text.count("\n") == 5
