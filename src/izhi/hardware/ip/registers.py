"""Offsets of the IP's registers, by the rules of Vitis HLS or from an overlay's .hwh.

| register | contents |
|---|---|
| control | bit 0 ap_start, 1 ap_done, 2 ap_idle, 3 ap_ready, 7 auto_restart; done and ready are cleared when read |
| returned | ap_return: 1 if the IP accepted its inputs |
| state | 0 INIT, 1 PROCESS |
| inputs, outputs, layers | n_in, n_out, n_layers |
| currents | in_c: 16 float32 |
| widths | n_layer: 8 uint32, the neurons of each layer |
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import IntEnum
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import XML, Element, ParseError, TreeBuilder, XMLParser

from izhi.errors import DeviceError
from izhi.files import problem
from izhi.hardware.ip.network import LAYERS, STREAMS, WIDTH

#: A .hwh of a whole board has a few megabytes.
MOST_BYTES = 64 << 20
#: The IP's name, as its VLNV and its instances have it.
IP = "snn_izhikevich"


class IPControl(IntEnum):
    """Bits of the control register."""

    START = 0
    DONE = 1
    IDLE = 2
    READY = 3


class IPState(IntEnum):
    """The action of the IP when it is started."""

    INIT = 0
    PROCESS = 1


def _register(offset: int, *names: str, words: int = 1) -> Any:
    """A field of RegisterMap: its offset by the rules of HLS, its names in a .hwh, where arrays are called memories."""
    return field(default=offset, metadata={"names": names, "words": words})


@dataclass(frozen=True)
class RegisterMap:
    """Byte offsets of the IP's registers.

    Raises:
        DeviceError: if an offset is no multiple of 4, beyond 64 KiB, or two registers overlap.
    """

    control: int = _register(0x00, "CTRL", "AP_CTRL", "CONTROL")
    returned: int = _register(0x10, "AP_RETURN")
    state: int = _register(0x18, "STATE")
    inputs: int = _register(0x20, "N_IN")
    outputs: int = _register(0x28, "N_OUT")
    layers: int = _register(0x30, "N_LAYERS")
    currents: int = _register(0x40, "MEMORY_IN_C", "IN_C", words=WIDTH)
    widths: int = _register(0x80, "MEMORY_N_LAYER", "N_LAYER", words=LAYERS)

    def __post_init__(self) -> None:
        names: dict[int, str] = {}
        for register in fields(self):
            name, words = register.name, register.metadata["words"]
            start = getattr(self, name)
            if start % 4 or not 0 <= start <= (1 << 16) - 4 * words:
                raise DeviceError(f"register {name} lies at 0x{start:x}, expected a multiple of 4 within 64 KiB")
            for offset in range(start, start + 4 * words, 4):
                if offset in names:
                    raise DeviceError(
                        f"registers {names[offset]} and {name} both lie at 0x{offset:x}, expected"
                        " the .hwh that belongs to the bitstream"
                    )
                names[offset] = name


@dataclass(frozen=True)
class IPOverlay:
    """The IP in an overlay.

    Attributes:
        name: of the instance, with the hierarchy before it: ``"snn/snn_izhikevich_0"``.
        registers: their offsets.
        senders: names of the DMAs whose streams go into the IP, in the order of its inputs; empty if
            the .hwh does not show them side by side.
        receiver: name of the DMA that its stream comes back to, or None.
    """

    name: str
    registers: RegisterMap = RegisterMap()
    senders: tuple[str, ...] = ()
    receiver: str | None = None


def read_hwh(path: str | Path) -> IPOverlay:
    """The IP in an overlay, and its registers, from the .hwh that Vivado wrote.

    Raises:
        DeviceError: if the file cannot be read, is no such XML, or does not have exactly one IP.
    """
    path = Path(path)
    root = _parse(path)
    modules = [m for m in root.iter("MODULE") if IP in m.get("VLNV", "") or IP in m.get("MODTYPE", "")]
    if len(modules) != 1:
        raise DeviceError(f"{path} has {len(modules)} blocks of the IP {IP}, expected one; use the .hwh of its overlay")
    senders, receiver = _dmas(root, modules[0])
    return IPOverlay(_name(modules[0]), _registers(path, modules[0]), senders, receiver)


def _parse(path: Path) -> Element:
    """The XML tree; a document type is an error, since its entities could grow or read files."""

    class Plain(TreeBuilder):
        def doctype(self, *_: object) -> None:
            raise DeviceError(f"{path} has a document type, expected plain XML as Vivado writes it")

    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise DeviceError(f"{path} has {size:,} bytes, expected at most {MOST_BYTES:,}")
        return XML(path.read_bytes(), XMLParser(target=Plain()))
    except OSError as error:
        raise DeviceError(f"cannot read {path}: {problem(error)}; expected the .hwh beside the bitstream") from None
    except (ParseError, ValueError, LookupError) as error:
        raise DeviceError(f"{path} is no XML ({error}), expected the .hwh of an overlay") from None


def _name(module: Element) -> str:
    return (module.get("FULLNAME") or module.get("INSTANCE") or "").lstrip("/")


def _registers(path: Path, module: Element) -> RegisterMap:
    """The map of a block's registers; that of the HLS rules if the .hwh has none."""
    offsets = {
        register.get("NAME", "").upper(): entry.get("VALUE", "")
        for register in module.iter("REGISTER")
        for entry in register.findall("PROPERTY[@NAME='ADDRESS_OFFSET']")
    }
    registers: dict[str, int] = {}
    for register in fields(RegisterMap) if offsets else ():
        names = register.metadata["names"]
        known = [offsets[name] for name in names if name in offsets]
        if not known:
            raise DeviceError(f"{path} has no register {names[0]} in the IP {IP}, expected one; is it another version?")
        try:
            registers[register.name] = int(known[0], 0)
        except ValueError:
            raise DeviceError(f"{path} has the offset {known[0]!r}, expected a whole number") from None
    return RegisterMap(**registers)


def _dmas(root: Element, module: Element) -> tuple[tuple[str, ...], str | None]:
    """The DMAs at the IP's streams: of its inputs by their names, and of its output."""
    ends = {
        (bus.get("BUSNAME", ""), "MM2S" in bus.get("NAME", "").upper()): _name(other)
        for other in root.iter("MODULE")
        if "axi_dma" in other.get("MODTYPE", "")
        for bus in other.iter("BUSINTERFACE")
    }
    senders, receiver = list[str](), None
    for bus in sorted(module.iter("BUSINTERFACE"), key=lambda bus: bus.get("NAME", "")):
        wire = bus.get("BUSNAME", "")
        if "axis" in bus.get("VLNV", "") and bus.get("TYPE", "").upper() in ("TARGET", "SLAVE"):
            senders.append(ends.get((wire, True), ""))
        elif "axis" in bus.get("VLNV", ""):
            receiver = ends.get((wire, False))
    return tuple(senders) if len(senders) == STREAMS and all(senders) else (), receiver
