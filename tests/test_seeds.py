"""Seeds: no two draws share one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from izhi.seeds import Purpose, derive_seed

paths = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 3), max_size=5).map(tuple)


@given(paths, paths)
def test_different_paths_have_different_seeds(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    assert (derive_seed(*a) == derive_seed(*b)) == (a == b)


@given(paths)
def test_seeds_are_numpys(path: tuple[int, ...]) -> None:
    words = [len(path), *(word for number in path for word in (number % 2**32, number // 2**32))]
    assert derive_seed(*path) == int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0]) // 2


def test_a_zero_at_the_end_is_part_of_the_path() -> None:
    assert len({derive_seed(*path) for path in ((7,), (7, 0), (7, 0, 0))}) == 3


def test_large_numbers_do_not_run_over_into_the_next() -> None:
    assert derive_seed(2**32, 5) != derive_seed(0, 1, 5)
    assert derive_seed(2**32 + 1, 0) != derive_seed(1, 1)


@pytest.mark.parametrize("number", [-1, 2**64])
def test_numbers_beyond_64_bits_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match=f"has {number}, expected 0 to below"):
        derive_seed(0, number)


def test_seeds_fit_every_generator() -> None:
    assert all(0 <= derive_seed(n) < 2**63 for n in range(1000))


def test_purposes_are_different_numbers() -> None:
    assert len({purpose.value for purpose in Purpose}) == len(Purpose.__members__)
