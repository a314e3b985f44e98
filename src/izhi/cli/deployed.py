"""Shared by commands on deployed networks: devices, layers, samples, folders."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from izhi import data
from izhi.cli.common import report_line, whole_numbers
from izhi.data import Dataset
from izhi.errors import SettingError
from izhi.experiments import samples
from izhi.experiments.run_folder import RunFolder, already_holds_a_run, versions
from izhi.hardware import artifact, devices, networks
from izhi.hardware.devices import Device
from izhi.hardware.devices.evaluation import Labels
from izhi.hardware.networks import Inputs
from izhi.training import checkpoint

AnyArtifact: TypeAlias = artifact.Artifact[networks.HardwareNetwork]


def open_device(
    a: argparse.Namespace, name: str, made: artifact.Artifact[networks.HardwareNetwork]
) -> Device[networks.HardwareNetwork]:
    """The device of that name with an artifact; a simulated core has spare memory for learned weights."""
    options = {"folder": a.folder} if a.folder else {}
    if name == "simulator" and not a.folder:
        options["spare"] = True
    return devices.open(name, made, **options)


def layers_of(text: str | None, count: int) -> list[int] | None:
    """Indices, from 0, of layers that the user counts from 1; None for all."""
    if text is None:
        return None
    numbers = whole_numbers("layers", text, "1,2")
    for number in numbers:
        if not 1 <= number <= count:
            raise SettingError(f"layers names {number}, expected 1 to {count}")
    return [number - 1 for number in numbers]


def at_least(name: str, value: int, least: int) -> None:
    """Raise SettingError for a smaller number."""
    if value < least:
        raise SettingError(f"{name} is {value}, expected at least {least}")


def test_samples(
    a: argparse.Namespace, made: AnyArtifact, *, usual: int | None
) -> tuple[Iterator[tuple[Inputs, Labels]], Dataset | None]:
    """The encoded test samples of --samples and --dataset, and their data set; None for a file of samples.

    An artifact without a data set returns its own test vectors if both options are missing. ``usual`` is the number of
    samples of a data set if none is given; None for all.

    Raises:
        SettingError: for a number of samples below 1, or a file and a data set.
    """
    count = usual
    if a.samples is not None and re.fullmatch(r"[+-]?\d+", a.samples):
        count = int(a.samples)
        at_least("samples", count, 1)
    elif a.samples is not None:
        if a.dataset is not None:
            raise SettingError(f"samples is the file {a.samples}, and dataset is {a.dataset}; leave one out")
        return samples.of_file(made, Path(a.samples)), None
    if a.dataset is None and "dataset" not in made.encoding and len(made.test_scores):
        return iter([devices.own_samples(made)]), None
    dataset = data.load(a.dataset, report_line) if a.dataset else samples.dataset_of(made, report_line)
    return samples.batches(made, dataset, count), dataset


def open_folder(
    folder: RunFolder, chosen: dict[str, object], kinds: Mapping[str, checkpoint.Kind], *, resume: bool
) -> dict[str, Any] | None:
    """The checkpoint to resume from, of these kinds of values; None without one, and then the folder is made."""
    path = folder.path / checkpoint.NAME
    if path.exists():
        if not resume:
            raise already_holds_a_run(folder.path)
        return checkpoint.load_with(path, chosen, kinds)
    folder.write("settings.json", json.dumps({**chosen, "versions": versions()}, indent=2) + "\n")
    return None
