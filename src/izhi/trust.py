"""Functions and neurons of the user's own modules, named ``module:name``.

Importing a module runs its code, and a run folder may come from somebody else. So Izhi imports one only if the command
line or ``$IZHI_TRUST`` names it.
"""

from __future__ import annotations

import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from izhi.errors import DataError, IzhiError, SettingError, shown

#: Names that begin with ts: belong to the archives of time series.
_NAME = re.compile(r"(?!ts:)[A-Za-z_][\w.]*:[A-Za-z_]\w*")
#: Environment variable of trusted names, comma-separated.
TRUST = "IZHI_TRUST"
_trusted: set[str] = set()


def is_reference(name: str) -> bool:
    """Whether a name is ``module:name``."""
    return _NAME.fullmatch(name) is not None


def trust(*names: str | None) -> None:
    """Allow the import of the modules of these names in this process; a text may hold several, comma-separated."""
    for name in ",".join(filter(None, names)).split(","):
        _trusted.add(":".join(name.strip().split(":")[:2]))  # settings may follow the name of a neuron


def require_trusted(name: str, use: str, option: str) -> None:
    """Raise SettingError unless the user has named it; ``use`` begins the sentence: what Izhi would do with it."""
    is_own = name.startswith("izhi.")
    if not is_own and name not in _trusted and name not in os.environ.get(TRUST, "").split(","):
        raise SettingError(
            f"{use} only if you name it: with {TRUST}={name} in the environment, or {option} {name} where a command"
            " has it"
        )


def imported(name: str, what: str) -> Any:
    """The object of a trusted name, whose module is also found in the current folder, as ``python -m`` finds it.

    Raises:
        SettingError: if there is no such module, or no such name in it; ``what`` begins the message.
    """
    module, _, attribute = name.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        result = getattr(import_module(module), attribute, None)
    except IzhiError:
        raise
    except ModuleNotFoundError as error:
        raise SettingError(
            f"{what} {shown(name)}: there is no module {error.name}; is it installed, or here?"
        ) from None
    except Exception as error:  # a module may raise anything
        reason = " ".join(str(error).split())
        raise DataError(f"{what} {shown(name)}: importing {module} raised {type(error).__name__}: {reason}") from error
    if result is None:
        raise SettingError(f"{what} {shown(name)}: {module} has no {attribute}")
    return result
