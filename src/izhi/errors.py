"""The errors of Izhi.

IzhiError                   an error that the user can fix; the command line exits with status 2
├── SettingError            a setting, preset or option that is unknown or out of range
├── ShapeError              a tensor of the wrong rank, width, dtype or length
├── DataError               a data set that is missing, truncated or fails its checksum
├── CheckpointError         a checkpoint that is truncated, foreign or not plain tensors
├── ArtifactError           an artifact that is damaged, of another version, or inconsistent
├── ExchangeError           a network of another library or format that cannot be imported or exported
├── DeviceError             a device that is missing, fails, or holds another core
├── SimulatorError          yosys or the compiler fails, or a simulated core does not finish
├── FileError               a file or folder that cannot be read or written
├── RunFolderError          a run folder that holds another run, is written by another process, or is damaged
└── DivergenceError         a loss or gradient that is no longer finite

Messages are one line: the value, the expectation and the fix.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

#: Largest number of characters of a message, and of a value in it.
_LONGEST, _LONGEST_VALUE = 400, 60
#: Largest number of names in a message.
_MOST_NAMES = 12


class IzhiError(Exception):
    """Base of all errors that the user can fix.

    The message is one line of at most 400 characters; a longer one is cut in the middle.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(_shortened(in_one_line(str(message)), _LONGEST))


def shown(value: object) -> str:
    """The repr of a value in one line of at most 60 characters, for messages."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # more digits, or lists within lists, than Python prints
        text = f"a {type(value).__name__} that is too long to print"
    return _shortened(in_one_line(text), _LONGEST_VALUE)


def in_one_line(text: str) -> str:
    """Text with Python's escapes for all that is not printable."""
    return text if text.isprintable() else "".join(x if x.isprintable() else repr(x)[1:-1] for x in text)


def _shortened(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    kept = longest - 3
    return f"{text[: kept - kept // 3]} … {text[len(text) - kept // 3 :]}"


class SettingError(IzhiError, ValueError):
    """A setting, preset or option that is unknown or out of range."""


class EquationError(IzhiError, ValueError):
    """A neuron's step that cannot be recorded, or that an executor cannot run; the message names its line."""


class ShapeError(IzhiError, ValueError):
    """A tensor of the wrong rank, width, dtype or length."""


class DataError(IzhiError):
    """A data set that is missing, truncated or fails its checksum."""


class CheckpointError(IzhiError):
    """A checkpoint that is truncated, from another network, or not plain tensors."""


class ArtifactError(IzhiError):
    """An artifact that is damaged, of another version, or inconsistent."""


class ExchangeError(IzhiError):
    """A network of another library or format that cannot be imported or exported."""


class DeviceError(IzhiError):
    """A device that is missing, fails, or holds another core."""


class SimulatorError(IzhiError):
    """Yosys or the compiler fails on a core, or a simulated core does not finish."""


class FileError(IzhiError):
    """A file or folder that cannot be read or written."""


class RunFolderError(IzhiError):
    """A run folder that holds another run, is written by another process, or is damaged."""


class DivergenceError(IzhiError, ArithmeticError):
    """A loss, state or gradient that is not finite."""


class SlowKernelWarning(UserWarning):
    """A call without a fused kernel, computed by the reference step by step."""


class LossWarning(UserWarning):
    """An exported file that cannot hold a property of the network, and so describes another one."""


class LabelWarning(UserWarning):
    """Labels of which no sample has the first, 0."""


class SilentLayerWarning(UserWarning):
    """A trained layer without a spike so far."""


class UnstableLayerWarning(UserWarning):
    """A layer whose neurons leave every bound without input."""


def install(extra: str) -> str:
    """The command that installs the packages of an extra; Izhi itself is on no index."""
    from importlib.metadata import PackageNotFoundError, requires  # not at start-up

    try:
        lines = requires("izhi") or []
    except PackageNotFoundError:
        lines = []
    packages, pending = list[str](), [extra]
    while pending:
        name = pending.pop()
        for package, _, condition in (line.partition(";") for line in lines):
            if condition.strip() in (f'extra == "{name}"', f"extra == '{name}'"):
                inner = package.strip().removeprefix("izhi[").removesuffix("]")
                pending += inner.split(",") if package.startswith("izhi[") else []
                packages += [] if package.startswith("izhi[") else [package.strip()]
    return f"pip install {shlex.join(packages)}" if packages else f"pip install '.[{extra}]' in a checkout of Izhi"


@contextmanager
def of_extra(package: str, name: str) -> Iterator[None]:
    """Within it, an import of a package that is not installed raises a SettingError with the command that installs it.

    ``name`` is that of the extra which has it.
    """
    try:
        yield
    except ImportError:
        raise SettingError(f"{package} is not installed; {install(name)}") from None


def unknown(kind: str, value: object, known: Iterable[str], *, separator: str = ", ") -> SettingError:
    """The error for an unknown name, with the nearest known one."""
    names = list(known)
    near = get_close_matches(str(value).lower(), [n.lower() for n in names], n=1)
    by_lower = {n.lower(): n for n in names}
    hint = f" (did you mean {by_lower[near[0]]!r}?)" if near else ""
    if near and len(names) > _MOST_NAMES:
        return SettingError(f"unknown {kind} {shown(value)}{hint}")
    listed = separator.join(names[:_MOST_NAMES])
    more = f"{separator}and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return SettingError(f"unknown {kind} {shown(value)}{hint}; expected one of: {listed}{more}")


@contextmanager
def as_data_error(problem: str, fix: str = "use an intact copy") -> Iterator[None]:
    """Within it, any exception but an IzhiError becomes a DataError of one line: problem, reason, fix."""
    try:
        yield
    except IzhiError:
        raise
    except Exception as error:  # parsers raise many kinds for damaged files
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{problem} ({reason}); {fix}") from None
