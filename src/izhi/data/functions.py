"""Data sets that a function returns, named ``module:function``.

Loading such a data set runs code, and a run folder may come from somebody else. So Izhi calls the function only if the
command line or ``$IZHI_TRUST`` names it.
"""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from izhi.errors import DataError, SettingError, shown

if TYPE_CHECKING:
    from izhi.data.dataset import Dataset

#: Names that begin with ts: belong to the archives of time series.
_NAME = re.compile(r"(?!ts:)[A-Za-z_][\w.]*:[A-Za-z_]\w*")
#: Environment variable of trusted names, comma-separated.
TRUST = "IZHI_TRUST"
_trusted: set[str] = set()


def is_function(name: str) -> bool:
    """Whether a data set has the name of a function."""
    return _NAME.fullmatch(name) is not None


def trust(name: str) -> None:
    """Allow calls of the function of that name in this process."""
    _trusted.add(name)


def require_trusted(name: str) -> None:
    """Raise SettingError unless the user has named the function."""
    if name not in _trusted and name not in os.environ.get(TRUST, "").split(","):
        raise SettingError(
            f"the data comes from the function {name}, which is called only if you name it: with --dataset {name}, or"
            f" {TRUST}={name} in the environment"
        )


@cache
def _called(name: str) -> Dataset:
    from izhi.data.dataset import Dataset

    module, _, function = name.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as python -m finds modules
    stage = f"importing {module}"
    try:
        call = getattr(import_module(module), function, None)
        if call is None:
            raise SettingError(f"data set {shown(name)}: {module} has no {function}")
        stage = f"{function}()"
        result = call()
    except SettingError:
        raise
    except ModuleNotFoundError as error:
        raise SettingError(
            f"data set {shown(name)}: there is no module {error.name}; is it installed, or here?"
        ) from None
    except Exception as error:  # the function may raise anything
        reason = " ".join(str(error).split())
        raise DataError(f"data set {shown(name)}: {stage} raised {type(error).__name__}: {reason}") from error
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
    require_trusted(name)
    return _called(name)


def kind_of(name: str) -> tuple[float | None, bool]:
    """Length of a function's recordings, ms, None for values; and whether it returns time series."""
    from izhi.data.events import EventSamples
    from izhi.data.samples import SeriesSamples

    dataset = call_once(name)
    is_recorded = isinstance(dataset.train, EventSamples)
    return (dataset.window or 1000.0) if is_recorded else None, isinstance(dataset.train, SeriesSamples)
