"""Checkpoints: plain tensors and numbers in one file that is whole or not there.

A checkpoint holds what an exact continuation needs: configuration, weights, optimiser state, the number
of finished epochs and their metrics. All randomness is a function of (seed, epoch, step), so no
generator's state is kept. Loading runs no code from the file (``weights_only=True``).
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from izhi.errors import CheckpointError
from izhi.files import problem, write_bytes

FORMAT = 1
NAME = "checkpoint.pt"

#: Settings that decide the shape or meaning of the weights.
STRUCTURE = ("neuron", "order", "connection", "readout", "hidden", "learn", "per_neuron", "mixture",
             "population", "steps", "encoding", "window", "pool", "counts", "normalize_time", "delays", "delay_type",
             "weight_bits", "weight_scale", "state_bits",
             "dataset", "fold", "best_inputs")  # fmt: skip


def save(path: Path, content: Mapping[str, Any]) -> None:
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
        raise CheckpointError(
            f"{path} is not there, expected a checkpoint; give a run folder that has one"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > path.stat().st_size:
            raise CheckpointError(
                f"{path} unpacks to more than its own size, expected stored tensors only"
            )
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
        raise CheckpointError(
            f"{path} is truncated or no checkpoint ({reason}); use an intact copy"
        ) from None


def load_with(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a file holds that was saved with ``settings`` among its content.

    Raises:
        CheckpointError: if it is damaged, or was saved with other settings.
    """
    content = read(path)
    if not isinstance(content, dict) or not {"settings", "history"} <= content.keys():
        raise CheckpointError(f"{path} holds nothing to go on from; choose another --out")
    for name, value in settings.items():
        if content["settings"].get(name) != value:
            raise CheckpointError(
                f"{path} was written with another {name}, not {value!r}; choose another --out"
            )
    return content


def load(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU.

    Raises:
        CheckpointError: if it is missing, truncated, holds anything but tensors and plain values, or
            is no checkpoint of this program.
    """
    content = read(path)
    keys = {
        "format",
        "config",
        "model",
        "optimizer",
        "epoch",
        "history",
        "warnings",
        "inputs",
        "classes",
    }
    if not isinstance(content, dict) or not keys <= content.keys():
        raise CheckpointError(
            f"{path} is not a checkpoint of izhi: it lacks some of {sorted(keys)}"
        )
    if content["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has format {content['format']!r}, expected {FORMAT}; update izhi"
        )
    return content


def check_same_network(path: Path, saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise CheckpointError where the two configurations describe different networks."""
    for name in STRUCTURE:
        here, there = _plain(wanted.get(name)), _plain(saved.get(name))
        if here != there:
            raise CheckpointError(
                f"{path} is from another network: {name} is {there!r} there, expected {here!r};"
                " use the settings of the run that wrote it"
            )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def load_weights(path: Path, network: nn.Module, state: Mapping[str, Any]) -> None:
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
