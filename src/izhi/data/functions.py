"""Data sets that a function returns, named ``module:function``.

Izhi calls the function only if the user names it, see ``izhi.trust``.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from izhi.errors import DataError, SettingError, shown
from izhi.trust import imported, is_reference, require_trusted

if TYPE_CHECKING:
    from izhi.data.dataset import Dataset


def is_function(name: str) -> bool:
    """Whether a data set has the name of a function."""
    return ":" in name and is_reference(name)


def require_named(name: str) -> None:
    """Raise SettingError unless the user has named the function."""
    require_trusted(name, f"the data comes from the function {name}, which is called", "--dataset")


@cache
def _called(name: str) -> Dataset:
    from izhi.data.dataset import Dataset

    call, function = imported(name, "data set"), name.partition(":")[2]
    try:
        result = call()
    except SettingError:
        raise
    except Exception as error:  # the function may raise anything
        reason = " ".join(str(error).split())
        raise DataError(f"data set {shown(name)}: {function}() raised {type(error).__name__}: {reason}") from error
    if isinstance(result, Dataset):
        return result
    try:
        x, y = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
        return Dataset.of(x, y, name=function)
    except DataError as error:
        raise DataError(f"data set {shown(name)}: {error}") from None


def call_once(name: str) -> Dataset:
    """The data set of a trusted function's result: a ``Dataset``, or arguments of ``Dataset.of``. It is called once.

    Raises:
        SettingError: if it is not trusted, or does not exist.
        DataError: if it fails, or returns no data set.
    """
    require_named(name)
    return _called(name)


def kind_of(name: str) -> tuple[float | None, bool]:
    """Length of a function's recordings, ms, None for values; and whether it returns time series."""
    from izhi.data.events import EventSamples
    from izhi.data.samples import SeriesSamples

    dataset = call_once(name)
    is_recorded = isinstance(dataset.train, EventSamples)
    return (dataset.window or 1000.0) if is_recorded else None, isinstance(dataset.train, SeriesSamples)
