"""Devices that run an artifact, behind one interface: integer model, simulated core, board, C program, the FPGA IP.

    device = izhi.board.open("simulator", izhi.artifact.load("network.izhi"))
    scores = device.run(spikes).scores

The same lines run on a board: ``open("pynq", artifact, folder="hardware")``. Artifacts of the FPGA IP run on
``"hls-ip"``, emulated or, with a folder, on a board. Needs numpy alone, a board the package pynq as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from izhi.errors import DeviceError, IzhiError, SettingError, of_extra, unknown
from izhi.hardware.artifact import Artifact, IntegerArtifact, IPArtifact
from izhi.hardware.core.chosen import largest_input, shape_of, takes_pairs
from izhi.hardware.core.description import read
from izhi.hardware.core.fit import larger
from izhi.hardware.core.serial.frames import BAUD
from izhi.hardware.core.shape import CoreShape
from izhi.hardware.core.simulated import SimulatedCopies, SimulatedCore
from izhi.hardware.devices.c import CDevice
from izhi.hardware.devices.core import CoreDevice
from izhi.hardware.devices.device import Counters, Device, Emulator, N, check_kind
from izhi.hardware.devices.evaluation import (
    DeviceEvaluation,
    Reference,
    evaluate,
    load_samples,
    own_samples,
    save_samples,
)
from izhi.hardware.devices.evolution import DeviceEvolution
from izhi.hardware.devices.ip import IPDevice
from izhi.hardware.devices.serial import Port, SerialTransport, port as serial_port
from izhi.hardware.ip import EmulatedIP


def open(name: str, artifact: Artifact[N], **options: Any) -> Device[N]:
    """Open a device and load an artifact.

    Args:
        name: ``"emulator"``, ``"simulator"``, ``"pynq"``, ``"serial"``, ``"c"`` or ``"hls-ip"``.
        artifact: the network, and its number of steps; ``artifact.devices`` are those that run it.
        folder: (simulator, pynq, serial) with core.json of ``izhi rtl``, and for pynq with izhi.bit and izhi.hwh;
            without it the simulated core is made for the artifact. (hls-ip) with the IP's bitstream and its .hwh;
            without it the IP is emulated.
        lanes, units, spikes: (simulator) of a core that is made for the artifact, see ``shape_of``.
        copies: (simulator) of the core, which share the samples of a batch, each on a thread [1].
        spare: (simulator) whether that core has room for networks with larger scales, such as further training
            makes.
        pynq_device: (pynq, hls-ip) PYNQ's device [the board's own].
        port: (serial) the name of the board's serial port, or an object like pyserial's ``Serial``.
        baud: (serial) bits a second for which the design was built.

    Raises:
        SettingError: for an unknown device or option, an artifact of the other kind, a core without room for
            the network, or no compiler.
        DeviceError: if the device does not exist or fails.
        SimulatorError: if a simulated core cannot be compiled.
    """
    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
    kind, opener = _OPENERS[name]
    known = tuple(inspect.signature(opener).parameters)[1:]
    for option in options:
        if option not in known:
            raise unknown(f"option of the device {name}", option, known or ("none",))
    check_kind(name, kind.runs, artifact)
    device: Device[N] = opener(artifact, **options)
    try:
        device.load(artifact)
    except IzhiError:
        device.close()
        raise
    return device


def _simulator(
    artifact: IntegerArtifact, *, lanes: int | None = None, units: int | None = None, spikes: int | None = None,
    folder: str | Path | None = None, spare: bool = False, copies: int = 1,
) -> CoreDevice:  # fmt: skip
    if copies < 1:
        raise SettingError(f"copies is {copies}, expected 1 or more")
    wanted = {"lanes": lanes, "units": units, "spikes": spikes}
    sizes = {name: size for name, size in wanted.items() if size is not None}
    if folder is not None and sizes:
        raise SettingError(f"{' and '.join(sizes)} given, but {folder} holds a core; leave one out")
    shape = shape_for(artifact, **sizes) if folder is None else read(Path(folder) / "core.json")
    if spare and folder is None:
        shape = larger(shape)
    with of_extra("amaranth or yosys", "hardware"):
        from izhi.hardware.core.compile import library
    cores = [SimulatedCore(library(shape), shape) for _ in range(copies)]
    return CoreDevice("simulator", cores[0] if copies == 1 else SimulatedCopies(cores), shape)


def shape_for(artifact: IntegerArtifact, lanes: int = 32, units: int = 2, spikes: int | None = None) -> CoreShape:
    """The shape of a core for one artifact, see ``shape_of``; by default it adds two spikes per cycle if it can."""
    most = largest_input(artifact.encoding)
    if spikes is None:
        spikes = 2 if takes_pairs(artifact.network, most) else 1
    return shape_of(artifact.network, artifact.steps, lanes=lanes, units=units, largest_input=most, spikes=spikes)


def _pynq(artifact: IntegerArtifact, *, folder: str | Path = ".", pynq_device: Any = None) -> CoreDevice:
    try:
        from izhi.hardware.devices.pynq import PynqTransport
    except ImportError:
        raise _no_pynq("the simulator") from None
    shape = read(Path(folder) / "core.json")
    return CoreDevice("pynq", PynqTransport(Path(folder) / "izhi.bit", pynq_device), shape)


def _serial(
    artifact: IntegerArtifact, *, port: str | Port | None = None, folder: str | Path = ".", baud: int = BAUD
) -> CoreDevice:
    if port is None:
        raise SettingError("port is None, expected the board's serial port, such as /dev/ttyUSB0 or COM3")
    shape = read(Path(folder) / "core.json")
    opened = serial_port(port, baud) if isinstance(port, str) else port
    try:
        return CoreDevice("serial", SerialTransport(opened), shape)
    except IzhiError:
        opened.close()
        raise


def _ip(artifact: IPArtifact, *, folder: str | Path | None = None, pynq_device: Any = None) -> IPDevice:
    if folder is None:
        if pynq_device is not None:
            raise SettingError("pynq_device is given, but no folder; add that of the bitstream")
        return IPDevice(EmulatedIP(artifact.network.build))
    try:
        from izhi.hardware.devices.pynq import PynqIPTransport, bitstream_in
    except ImportError:
        raise _no_pynq("hls-ip without a folder") from None
    return IPDevice(PynqIPTransport(bitstream_in(folder), pynq_device))


#: The class of each device, and the function that opens it, whose parameters behind the first are its options.
_OPENERS: Mapping[str, tuple[type[Device[Any]], Callable[..., Device[Any]]]] = {
    "emulator": (Emulator, lambda artifact: Emulator()),
    "simulator": (CoreDevice, _simulator),
    "pynq": (CoreDevice, _pynq),
    "serial": (CoreDevice, _serial),
    "c": (CDevice, lambda artifact: CDevice()),
    "hls-ip": (IPDevice, _ip),
}
DEVICES = tuple(_OPENERS)


def _no_pynq(instead: str) -> DeviceError:
    return DeviceError(f"the package pynq is not installed, expected a board that runs PYNQ; use {instead} elsewhere")


__all__ = [
    "DEVICES", "CDevice", "CoreDevice", "Counters", "Device", "DeviceEvaluation", "DeviceEvolution", "Emulator",
    "IPDevice", "Reference", "evaluate", "load_samples", "open", "own_samples", "save_samples", "shape_for",
]  # fmt: skip
