"""Files of torch.save, trusted in nothing: whole, plain, and in no more memory than they take on disk.

``torch.load`` alone ignores the checksums that the file holds, and takes the file's word for the size of its
tensors. So checksums are compared first, tensors lie within the file until they are copied, and what is no plain
value is refused.
"""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from izhi.errors import CheckpointError
from izhi.files import problem

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
