"""Data sets that a function of one's own gives, named ``module:function``.

To load such a data set is to run its code, so a run that was sent by somebody must not do it by itself: the name counts
only if it was given on the command line, or stands in ``$IZHI_TRUST``.
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
    from izhi.data.download import Progress
    from izhi.data.source import Part

#: What begins with ts: is of the archives of time series.
_NAME = re.compile(r"(?!ts:)[A-Za-z_][\w.]*:[A-Za-z_]\w*")
#: Where trusted names stand, separated by commas.
TRUST = "IZHI_TRUST"
_trusted: set[str] = set()


def is_function(name: str) -> bool:
    """Whether a data set is named by a function."""
    return _NAME.fullmatch(name) is not None


def trust(name: str) -> None:
    """Let the function of that name be called in this process."""
    _trusted.add(name)


def require_trusted(name: str) -> None:
    """Raise SettingError unless somebody who is here has named the function."""
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
    what = f"importing {module}"
    try:
        call = getattr(import_module(module), function, None)
        if call is None:
            raise SettingError(f"data set {shown(name)}: {module} has no {function}")
        what = f"{function}()"
        found = call()
    except SettingError:
        raise
    except ModuleNotFoundError as error:
        raise SettingError(
            f"data set {shown(name)}: there is no module {error.name}; is it installed, or here?"
        ) from None
    except Exception as error:  # whatever code of one's own may raise
        reason = " ".join(str(error).split())
        raise DataError(f"data set {shown(name)}: {what} raised {type(error).__name__}: {reason}") from error
    if isinstance(found, Dataset):
        return found
    try:
        x, y = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
        return Dataset.of(x, y, name=function)
    except DataError as error:
        raise DataError(f"data set {shown(name)}: {error}") from None


def called(name: str) -> Dataset:
    """The data set that a trusted function gives: a ``Dataset``, or what ``Dataset.of`` takes; it is called once.

    Raises:
        SettingError: if it is not trusted, or not there.
        DataError: if it fails, or gives no data set.
    """
    require_trusted(name)
    return _called(name)


class Function:
    """A function as the ``Source`` of a data set.

    Args:
        name: ``module:function``.
    """

    about = "what a function of your own gives"

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def window(self) -> float | None:
        """Milliseconds of its recordings; None for values."""
        return window(self.name)

    def fetch(self, folder: Path, report: Progress) -> None:
        """Nothing to do."""

    def is_there(self, folder: Path) -> bool:
        """Whether it gives a data set."""
        return not any(problem for _, problem in self.check(folder))

    def load(self, folder: Path) -> Dataset:
        """The data set."""
        return called(self.name)

    def check(self, folder: Path) -> list[Part]:
        """The function, which is called."""
        try:
            called(self.name)
        except (DataError, SettingError) as error:
            return [(Path(self.name), str(error))]
        return [(Path(self.name), None)]


def is_over_time(name: str) -> bool:
    """Whether a function gives time series."""
    from izhi.data.series import SeriesSamples

    return isinstance(called(name).train, SeriesSamples)


def window(name: str) -> float | None:
    """Milliseconds of the recordings that a function gives; None of values."""
    from izhi.data.events import EventSamples

    found = called(name)
    return (found.window or 1000.0) if isinstance(found.train, EventSamples) else None
