"""Checkpoints: plain tensors and numbers in one file that is whole or not there.

A checkpoint holds what an exact continuation needs: configuration, weights, optimiser state, the number
of finished epochs and their metrics. All randomness is a function of (seed, epoch, step), so no
generator's state is kept. What goes on is exact with the same number of threads, on which the last bits of torch's
products depend. Loading runs no code from the file (``weights_only=True``), and takes nothing in it
on trust: checksums, kinds, shapes and finite numbers are looked at before anything is used.

``torch.load`` alone ignores the checksums that the file holds, and takes the file's word for the size of its
tensors. So checksums are compared first, tensors lie within the file until they are copied, and what is no plain
value is refused.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard, cast

import torch
from torch import Tensor, nn

from izhi.errors import CheckpointError, shown
from izhi.files import problem, write_bytes
from izhi.network.connections import Connection, as_now
from izhi.neurons.neuron import DYNAMICS
from izhi.training.progress import Progress

FORMAT = 1
NAME = "checkpoint.pt"


def content_of(progress: Progress) -> dict[str, object]:
    """The content of a checkpoint for a run's progress."""
    return {
        "model": progress.network,
        "optimizer": progress.learner,
        "epoch": len(progress.history),
        "history": progress.history,
        "warnings": progress.warnings,
    }


def progress_of(content: Mapping[str, Any]) -> Progress:
    """The progress that a checkpoint holds."""
    return Progress(list(content["history"]), list(content["warnings"]), content["model"], content["optimizer"])


def save(path: Path, content: Mapping[str, object]) -> None:
    """Write a checkpoint; an older one of that name stays until the new one is whole."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    write_bytes(path, buffer.getvalue())


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a finite number, and no truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf


def is_table(value: object) -> TypeGuard[dict[str, object]]:
    """Whether it is a dictionary with texts as keys."""
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def is_weights(value: object) -> TypeGuard[dict[str, Tensor]]:
    """Whether it is a dictionary of tensors by their names."""
    return is_table(value) and all(isinstance(x, Tensor) for x in value.values())


def is_losses(value: object) -> TypeGuard[list[Tensor]]:
    """Whether it is a list of tensors (P,) of finite numbers, the losses of a search."""
    return isinstance(value, list) and all(
        isinstance(x, Tensor) and x.dim() == 1 and x.is_floating_point() and bool(torch.isfinite(x).all())
        for x in value
    )


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_plain(value: object, depth: int = 20) -> bool:
    """Whether JSON could hold it, in lists and dictionaries that are not nested deeper."""
    if isinstance(value, (dict, list)):
        inner = value.values() if isinstance(value, dict) else value
        return (
            depth > 0 and (isinstance(value, list) or is_table(value)) and all(_is_plain(x, depth - 1) for x in inner)
        )
    return value is None or isinstance(value, (bool, int, float, str))


def _is_row(value: object) -> bool:
    return is_table(value) and all(is_number(x) or isinstance(x, float) for x in value.values())


def _list_of(holds: Callable[[object], bool], least: int = 0) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and len(value) >= least and all(map(holds, value))


#: A check of a value, and the expected kind for the error.
Kind: TypeAlias = tuple[Callable[[object], bool], str]
HISTORY: Kind = _list_of(_is_row), "a list of rows of numbers"
LOSSES: Kind = is_losses, "a list of finite losses for each population"
NAMES: Kind = _list_of(lambda value: isinstance(value, str)), "a list of texts"
CLASSES: Kind = _list_of(lambda value: isinstance(value, str), least=1), "a list of texts, at least one"
TABLE: Kind = is_table, "a dict of names"
TABLES: Kind = _list_of(lambda value: is_table(value) and _is_plain(value)), "a list of dicts of names"
WHOLE: Kind = _is_whole, "a whole number"
SHAPE: Kind = _list_of(lambda value: _is_whole(value) and value > 0, least=1), "a list of sizes from 1"
WEIGHTS: Kind = is_weights, "a dict of tensors"

#: Keys of the progress of a run.
_PROGRESS: Mapping[str, Kind] = {
    "model": WEIGHTS,
    "optimizer": (lambda value: value is None or is_table(value), "a dict of names"),
    "epoch": WHOLE,
    "history": HISTORY,
    "warnings": NAMES,
}


def expect(path: Path | str, content: Mapping[str, object], kinds: Mapping[str, Kind]) -> None:
    """Raise CheckpointError for the first value that is missing or of another kind, with ``path``."""
    for name, (holds, expected) in kinds.items():
        if name not in content:
            raise CheckpointError(f"{path} lacks {name}, expected {expected}; use a checkpoint that izhi wrote")
        if not holds(content[name]):
            raise CheckpointError(
                f"{path} has {name} {shown(content[name])}, expected {expected}; use a checkpoint that izhi wrote"
            )


def load_with(path: Path, settings: Mapping[str, object], kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """The content of a file that was saved with ``settings``, and of further required kinds; or CheckpointError."""
    content = read(path)
    kinds = {"settings": TABLE, "history": HISTORY, **kinds}
    if not is_table(content) or not kinds.keys() <= content.keys():
        raise CheckpointError(f"{path} holds nothing to go on from; choose another --out")
    expect(path, content, kinds)
    saved = cast(dict[str, object], content["settings"])
    for name, value in settings.items():
        there = saved.get(name)
        if type(there) is not type(value) or there != value:
            raise CheckpointError(f"{path} was written with another {name}, not {shown(value)}; choose another --out")
    return content


def load(path: Path, also: Mapping[str, Kind] | None = None) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU, with further required values and their kinds.

    Raises:
        CheckpointError: if it is missing, truncated, damaged, holds anything but tensors and plain values of
            their kinds, or is no checkpoint of this program.
    """
    content = read(path)
    kinds = {**_PROGRESS, **(also or {})}
    keys = {"format", *kinds}
    if not is_table(content) or not keys <= content.keys():
        raise CheckpointError(f"{path} is not a checkpoint of izhi: it lacks some of {sorted(keys)}")
    if not _is_whole(content["format"]) or content["format"] != FORMAT:
        raise CheckpointError(f"{path} has format {shown(content['format'])}, expected {FORMAT}; update izhi")
    expect(path, content, kinds)
    return content


def load_weights(path: Path | str, network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy weights into a network of the same shapes and, if they describe them, the same neurons.

    Weights that were saved before neurons said what they are are loaded as they are.

    Raises:
        CheckpointError: naming the file, for other names, shapes or kinds of numbers, for numbers that are not finite,
            and for weights of other neurons.
    """
    own, state = network.state_dict(), dict(state)
    for name, module in network.named_modules():
        if isinstance(module, Connection):
            as_now(state, f"{name}.")
    odd = sorted(name for name in own.keys() ^ state.keys() if not (name in own and name.endswith(DYNAMICS)))
    if odd:
        raise CheckpointError(f"{path} is from another network: {odd[0]} is in one of the two only")
    for name in own.keys() & state.keys():
        if not name.endswith(DYNAMICS):
            _check_tensor(path, name, state[name], own[name])
    try:
        network.load_state_dict(state)
    except CheckpointError as error:
        raise CheckpointError(f"{path} is from another network: {error}") from None


def _check_tensor(path: Path | str, name: str, tensor: Tensor, own: Tensor) -> None:
    if tensor.shape != own.shape:
        raise CheckpointError(
            f"{path} is from another network: {name} has shape {tuple(tensor.shape)}, expected {tuple(own.shape)}"
        )
    alike = tensor.is_floating_point() if own.is_floating_point() else tensor.dtype == own.dtype
    if not alike:
        raise CheckpointError(f"{path} is from another network: {name} is in {tensor.dtype}, expected {own.dtype}")
    if not torch.isfinite(tensor.to(own.dtype)).all():
        raise CheckpointError(f"{path} has {name} with numbers that are not finite; use an earlier or intact copy")


#: Content that a file may have.
Plain: TypeAlias = "bool | int | float | str | Tensor | list[Plain] | tuple[Plain, ...] | dict[str | int, Plain] | None"

_STORAGES = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
#: Names that the pickle in a file may have.
_NAMES = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {kind}Storage" for kind in _STORAGES),
}
#: Containers within containers; checkpoints have five.
_DEEPEST = 20


def read(path: Path) -> Plain:
    """The content of a file of torch.save, on the CPU; tensors and plain values alone.

    Raises:
        CheckpointError: if it is missing, truncated, damaged in any bit that matters, or holds anything else.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is not there, expected a checkpoint; give a run folder that has one")
    try:
        _verify(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return _Copy(path, path.stat().st_size).of(content)
    except CheckpointError:
        raise
    except pickle.UnpicklingError:
        raise _code(path) from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {problem(error)}") from None
    except Exception as error:  # whatever damage makes of the readers of zip, pickle and tensors
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} is truncated or no checkpoint ({reason}); use an intact copy") from None


def _code(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} holds code or objects, expected tensors and plain values; it was not loaded:"
        " use a checkpoint that izhi wrote"
    )


def _verify(path: Path) -> None:
    """Compare the checksums of all members, and check the names in the pickle before it is loaded."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise CheckpointError(f"{path} unpacks to more than its own size, expected stored tensors only")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise CheckpointError(f"{path} is compressed, expected stored tensors; save it with torch.save")
        # torch finds members by names in any case, and the first of equal ones.
        names = [member.filename.lower() for member in members]
        pickles = [m for m, name in zip(members, names, strict=True) if name.endswith("data.pkl")]
        if len({*names}) < len(names) or len(pickles) != 1:
            raise CheckpointError(f"{path} is no checkpoint: it holds {len(pickles)} pickles; use an intact copy")
        damaged = archive.testzip()
        if damaged is not None:
            raise CheckpointError(f"{path} is damaged: the checksum of {damaged} differs; use an intact copy")
        with archive.open(pickles[0]) as content:
            for operation, argument, _ in pickletools.genops(content):
                # Names in the stack, which other operations take, are none that torch.save writes.
                named = operation.name in ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4")
                if named or (operation.name == "GLOBAL" and argument not in _NAMES):
                    raise _code(path)


class _Copy:
    """Copies loaded values, with at most as many bytes as the file has."""

    def __init__(self, path: Path, room: int) -> None:
        self.path, self.values, self.room = path, room, room

    def of(self, value: object, depth: int = 0) -> Plain:
        """A copy; CheckpointError for other than plain values, or more of them than the file can hold."""
        self.values -= 1
        if depth > _DEEPEST or self.values < 0:
            raise CheckpointError(f"{self.path} holds values within values without end, expected a checkpoint")
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, Tensor):
            self.room -= value.numel() * value.element_size()  # a view may repeat a few bytes without end
            if self.room < 0:
                raise CheckpointError(f"{self.path} unpacks to more than its own size, expected stored tensors only")
            return value.detach().clone()
        if isinstance(value, list):
            return [self.of(x, depth + 1) for x in value]
        if isinstance(value, tuple):
            return tuple(self.of(x, depth + 1) for x in value)
        if isinstance(value, dict):
            if not all(isinstance(key, (str, int)) for key in value):
                raise _code(self.path)
            return {key: self.of(x, depth + 1) for key, x in value.items()}
        raise _code(self.path)
