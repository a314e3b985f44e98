"""The register map: from the rules of HLS, and from an overlay's .hwh."""

import pytest

from ip_overlays import REGISTERS, hwh
from izhi.errors import DeviceError
from izhi.hardware.ip import IPOverlay, RegisterMap, read_hwh, registers


def written(tmp_path, text):
    path = tmp_path / "snn.hwh"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_map_by_the_rules_of_hls():
    at = RegisterMap()
    offsets = (
        at.control,
        at.returned,
        at.state,
        at.inputs,
        at.outputs,
        at.layers,
        at.currents,
        at.widths,
    )
    assert offsets == (0, 0x10, 0x18, 0x20, 0x28, 0x30, 0x40, 0x80)


def test_the_map_of_an_overlay(tmp_path):
    found = read_hwh(written(tmp_path, hwh()))
    assert found == IPOverlay(
        "snn/snn_izhikevich_0",
        RegisterMap(0, 16, 28, 36, 44, 52, 128, 192),
        ("axi_dma_2", "axi_dma_0", "axi_dma_3", "axi_dma_1"),
        "axi_dma_1",
    )


def test_what_a_hwh_may_leave_out(tmp_path):
    assert read_hwh(written(tmp_path, hwh({}))).registers == RegisterMap()
    found = read_hwh(written(tmp_path, hwh(wired=False)))
    assert (found.senders, found.receiver) == ((), None)
    hexadecimal = {name: hex(offset) for name, offset in REGISTERS.items()}
    plain = {name.removeprefix("Memory_"): offset for name, offset in REGISTERS.items()}
    for given in (hexadecimal, plain):
        assert read_hwh(written(tmp_path, hwh(given))).registers.widths == 192


BOMB = b"""<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]><a>&y;</a>"""
SECRET = b"""<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is no XML"),
        (hwh()[:-30], "is no XML"),
        (b"\x00\xff" * 9, "is no XML"),
        (BOMB, "has a document type, expected plain XML"),
        (SECRET, "has a document type, expected plain XML"),
        (BOMB.decode().encode("utf-16"), "has a document type, expected plain XML"),
        (b'<?xml version="1.0" encoding="nonsense"?><a/>', "is no XML"),
        (hwh(ips=0), "has 0 blocks of the IP snn_izhikevich, expected one"),
        (hwh(ips=2), "has 2 blocks"),
        (hwh({**REGISTERS, "n_in": "x"}), "has the offset 'x', expected a whole number"),
        (hwh({**REGISTERS, "n_in": 37}), "register inputs lies at 0x25, expected a multiple of 4"),
        (hwh({**REGISTERS, "n_in": 1 << 16}), "expected a multiple of 4 within 64 KiB"),
        (hwh({**REGISTERS, "n_in": 132}), "registers inputs and currents both lie at 0x84"),
        (
            hwh({k: v for k, v in REGISTERS.items() if k != "n_in"}),
            "has no register N_IN in the IP",
        ),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    with pytest.raises(DeviceError, match=message) as error:
        read_hwh(written(tmp_path, text))
    assert "\n" not in str(error.value)


def test_files_that_are_not_there_or_too_large(tmp_path, monkeypatch):
    with pytest.raises(DeviceError, match="cannot read .*No such file.*beside the bitstream"):
        read_hwh(tmp_path / "none.hwh")
    monkeypatch.setattr(registers, "MOST_BYTES", 100)
    with pytest.raises(DeviceError, match="bytes, expected at most 100"):
        read_hwh(written(tmp_path, hwh()))
