"""Checkpoints: plain tensors and numbers in one file that is whole or not there.

A checkpoint holds what an exact continuation needs: configuration, weights, optimiser state, the number
of finished epochs and their metrics. All randomness is a function of (seed, epoch, step), so no
generator's state is kept. Loading runs no code from the file (``weights_only=True``).
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from izhi.errors import CheckpointError
from izhi.files import problem, write_bytes
from izhi.training.trainer import Progress

FORMAT = 1
NAME = "checkpoint.pt"

#: What the progress of a run is kept under.
_PROGRESS = ("model", "optimizer", "epoch", "history", "warnings")


def content_of(progress: Progress) -> dict[str, object]:
    """What a checkpoint holds of a run's progress."""
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


def read(path: Path) -> Any:
    """What a file of torch.save holds, on the CPU; tensors and plain values alone.

    Raises:
        CheckpointError: if it is missing, truncated, or holds anything else.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is not there, expected a checkpoint; give a run folder that has one")
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > path.stat().st_size:
            raise CheckpointError(f"{path} unpacks to more than its own size, expected stored tensors only")
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path} holds code or objects, expected tensors and plain values; it was not loaded:"
            " use a checkpoint that izhi wrote"
        ) from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {problem(error)}") from None
    except (zipfile.BadZipFile, RuntimeError, EOFError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path} is truncated or no checkpoint ({reason}); use an intact copy") from None


def load_with(path: Path, settings: Mapping[str, object]) -> dict[str, Any]:
    """What a file holds that was saved with ``settings`` among its content.

    Raises:
        CheckpointError: if it is damaged, or was saved with other settings.
    """
    content = read(path)
    if not isinstance(content, dict) or not {"settings", "history"} <= content.keys():
        raise CheckpointError(f"{path} holds nothing to go on from; choose another --out")
    for name, value in settings.items():
        if content["settings"].get(name) != value:
            raise CheckpointError(f"{path} was written with another {name}, not {value!r}; choose another --out")
    return content


def load(path: Path, also: Sequence[str] = ()) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU.

    Args:
        path: of the file.
        also: names that it must hold besides a run's progress.

    Raises:
        CheckpointError: if it is missing, truncated, holds anything but tensors and plain values, or
            is no checkpoint of this program.
    """
    content = read(path)
    keys = {"format", *_PROGRESS, *also}
    if not isinstance(content, dict) or not keys <= content.keys():
        raise CheckpointError(f"{path} is not a checkpoint of izhi: it lacks some of {sorted(keys)}")
    if content["format"] != FORMAT:
        raise CheckpointError(f"{path} has format {content['format']!r}, expected {FORMAT}; update izhi")
    return content


def load_weights(path: Path, network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy weights into a network of the same shapes; CheckpointError where they differ."""
    own = network.state_dict()
    if own.keys() != state.keys():
        odd = sorted(own.keys() ^ state.keys())
        raise CheckpointError(f"{path} is from another network: {odd[0]} is in one of the two only")
    for name, tensor in own.items():
        if tuple(state[name].shape) != tuple(tensor.shape):
            raise CheckpointError(
                f"{path} is from another network: {name} has shape {tuple(state[name].shape)},"
                f" expected {tuple(tensor.shape)}"
            )
    network.load_state_dict(dict(state))
