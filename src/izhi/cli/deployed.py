"""What commands have in common that let a deployed network learn: devices, layers, folders."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from izhi.cli.common import whole_numbers
from izhi.errors import SettingError
from izhi.experiments.run_folder import RunFolder, already_holds_a_run, versions
from izhi.hardware import artifact, devices, networks
from izhi.hardware.devices import Device
from izhi.training import checkpoint


def open_device(
    a: argparse.Namespace, name: str, found: artifact.Artifact[networks.Network]
) -> Device[networks.Network]:
    """The device of that name, with an artifact; a simulated core has room for what is learned."""
    options = {"folder": a.folder} if a.folder else {}
    if name == "simulator" and not a.folder:
        options["spare"] = True
    return devices.open(name, found, **options)


def layers_of(text: str | None, count: int) -> list[int] | None:
    """Layers as people number them, from 1, as numbers from 0; None for all."""
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


def open_folder(
    folder: RunFolder, chosen: dict[str, object], kinds: Mapping[str, checkpoint.Kind], *, resume: bool
) -> dict[str, Any] | None:
    """The checkpoint to resume from, of these kinds of values; None, and the folder is made, if there is none yet."""
    path = folder.path / checkpoint.NAME
    if path.exists():
        if not resume:
            raise already_holds_a_run(folder.path)
        return checkpoint.load_with(path, chosen, kinds)
    folder.write("settings.json", json.dumps({**chosen, "versions": versions()}, indent=2) + "\n")
    return None
