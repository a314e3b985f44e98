"""Old names of what was renamed: each works for one version, and warns with the new name.

A ``RenamedWarning`` is a FutureWarning, so that Python shows it once for each line that uses the old name.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

from izhi.errors import SettingError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Value = TypeVar("Value")


class RenamedWarning(FutureWarning):
    """A name that was used has changed, and its old form goes away with the next version."""


def warn_renamed(old: str, new: str, *, stacklevel: int = 2) -> None:
    """Warn that ``new`` replaces ``old``; a stacklevel of 2 names the line that called the caller."""
    message = f"{old} is now {new}; the old name goes away with the next version"
    warnings.warn(message, RenamedWarning, stacklevel=stacklevel + 1)


def renamed_names(
    module: str, names: Mapping[str, str], otherwise: Callable[[str], Any] | None = None
) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module that has renamed some of its names.

        __getattr__ = renamed_names(__name__, {"Mixture": "HeterogeneousPopulation", "read": "izhi.files:read_text"})

    Args:
        module: its ``__name__``.
        names: old name → new name in this module, or ``"module:name"`` in another.
        otherwise: the ``__getattr__`` that the module has besides.
    """

    def get(name: str) -> Any:
        if name not in names:
            if otherwise is not None:
                return otherwise(name)
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, new = names[name].rpartition(":")
        warn_renamed(f"{module}.{name}", f"{home or module}.{new}")
        return getattr(import_module(home or module), new)

    return get


def renamed_arguments(**names: str) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorate a function whose keyword arguments were renamed: ``@renamed_arguments(unit="scale")``.

    The function raises SettingError if it is called with the old name and the new one.
    """

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @wraps(function)
        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            if not names.keys().isdisjoint(kwargs):
                owner = function.__qualname__.removesuffix(".__init__")
                kwargs.update(renamed_keys(kwargs, names, f"the argument {{}} of {owner}", stacklevel=3))
                for old in names.keys() & kwargs.keys():
                    del kwargs[old]
            return function(*args, **kwargs)

        return call

    return decorate


def renamed_keys(
    values: Mapping[str, Value], names: Mapping[str, str], label: str = "{}", *, stacklevel: int = 2
) -> dict[str, Value]:
    """Settings, or other values by name, with new names in place of old ones.

    Args:
        values: by old or new names.
        names: old name → new name.
        label: how the warning calls an old name, with ``{}`` for the name itself.
        stacklevel: see ``warn_renamed``.

    Raises:
        SettingError: if an old name and its new one are both given.
    """
    result: dict[str, Value] = {}
    for name, value in values.items():
        new = names.get(name, name)
        if new != name:
            warn_renamed(label.format(repr(name)), repr(new), stacklevel=stacklevel + 1)
            if new in values:
                raise SettingError(f"{name!r} is given beside {new!r}, its new name; leave {name!r} out")
        result[new] = value
    return result


def renamed_attribute(old: str, new: str) -> property:
    """A property of a class that reads the attribute ``new``: ``x_ = renamed_attribute("x_", "x")``."""

    def get(self: object) -> Any:
        warn_renamed(f"{type(self).__name__}.{old}", f"{type(self).__name__}.{new}")
        return getattr(self, new)

    return property(get, doc=f"Old name of ``{new}``.")
