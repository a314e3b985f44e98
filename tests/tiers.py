"""Which cases of a test make test runs, which make test-all alone, and which neither."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow_but(quick: Iterable[Any], values: Iterable[Any]) -> list[Any]:
    """The values of a parameter, or tuples of values of several ones, all but the quick ones marked as slow."""
    return _all_but(quick, values, pytest.mark.slow)


def long_but(slow: Iterable[Any], values: Iterable[Any]) -> list[Any]:
    """As ``slow_but``, of a slow test: all but the slow ones marked as long."""
    return _all_but(slow, values, pytest.mark.long)


def _all_but(chosen: Iterable[Any], values: Iterable[Any], mark: pytest.MarkDecorator) -> list[Any]:
    chosen, values = list(chosen), list(values)
    assert all(x in values for x in chosen)
    return [x if x in chosen else pytest.param(*(x if isinstance(x, tuple) else [x]), marks=mark) for x in values]
