"""Which cases of a test make test runs, and which make test-all alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow_but(quick: Iterable[Any], values: Iterable[Any]) -> list[Any]:
    """The values of a parameter, or tuples of values of several ones, all but the quick ones marked as slow."""
    quick, values = list(quick), list(values)
    assert all(x in values for x in quick)
    return [
        x if x in quick else pytest.param(*(x if isinstance(x, tuple) else [x]), marks=pytest.mark.slow) for x in values
    ]
