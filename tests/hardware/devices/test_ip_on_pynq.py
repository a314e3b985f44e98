"""The driver of the FPGA IP on PYNQ: with stand-ins for PYNQ's classes, and with those themselves."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from ip_networks import a_network, artifact_of, currents_of
from ip_overlays import hwh
from izhi.errors import DeviceError, SettingError
from izhi.hardware import devices as board, ip as hls_ip
from izhi.hardware.artifact import save
from izhi.hardware.ip import EmulatedIP, RegisterMap

HERE = Path(__file__).parent
PYNQ = os.environ.get("IZHI_PYNQ") or None
#: Those of ip_overlays.hwh.
MAP = RegisterMap(0, 16, 28, 36, 44, 52, 128, 192)


class Buffer(np.ndarray):
    freed = 0

    def freebuffer(self):
        Buffer.freed += 1


class Channel:
    """One direction of a DMA, as pynq.lib.dma has it, without scatter-gather and with 14 bits of length."""

    def __init__(self, bench, number, sends):
        self.bench, self.number, self.sends = bench, number, sends
        self.buffer, self.idle, self.error, self.transferred, self.restarts = (
            None,
            True,
            False,
            0,
            0,
        )

    def transfer(self, buffer, start=0, nbytes=0):
        if nbytes > (1 << 14) - 1:
            raise ValueError("exceeds the maximum DMA buffer size")
        assert nbytes == buffer.nbytes
        self.buffer, self.idle = buffer, False
        self.bench.move()

    def wait(self):
        if self.error:
            raise RuntimeError("DMA Slave Error")
        assert self.idle

    def stop(self):
        self.restarts += 1

    def start(self):
        self.idle = True


class Bench:
    """An overlay: the emulated IP behind four DMAs, of which one receives."""

    def __init__(self, order, receiver, receivers=None):
        self.block, self.order = EmulatedIP(registers=MAP), order
        kept = [receiver] if receivers is None else receivers
        self.dmas = [
            SimpleNamespace(
                sendchannel=Channel(self, k, True),
                recvchannel=Channel(self, k, False) if k in kept else None,
            )
            for k in range(4)
        ]
        self.receive, self.is_stuck, self.freed = self.dmas[receiver].recvchannel, False, False

    def move(self):
        """When all is there: through the IP, and into memory."""
        senders = [self.dmas[k].sendchannel for k in self.order]
        if self.is_stuck or any(c.buffer is None for c in (*senders, self.receive)):
            return
        answer = self.block.exchange(np.array([c.buffer for c in senders]), len(self.receive.buffer))
        self.receive.buffer[: len(answer)] = answer
        self.receive.transferred = 8 * len(answer)
        for channel in (*senders, self.receive):
            channel.buffer, channel.idle = None, True

    def overlay(self, path, device=None):
        self.loaded = path
        ip = SimpleNamespace(read=self.block.read, write=self.block.write)
        named = {f"axi_dma_{k}": dma for k, dma in enumerate(self.dmas)}
        types = {name: {"type": "xilinx.com:ip:axi_dma:7.1"} for name in named}
        return SimpleNamespace(
            snn=SimpleNamespace(snn_izhikevich_0=ip), device="target", **named,
            ip_dict={"snn/snn_izhikevich_0": {"type": "xilinx.com:hls:snn_izhikevich:1.0"}, **types},
            free=lambda: setattr(self, "freed", True),
        )  # fmt: skip


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """A function that puts an overlay into a folder and returns both."""

    def make(order=(2, 0, 3, 1), receiver=1, receivers=None, **options):
        found = Bench(order, receiver, receivers)
        fake = ModuleType("pynq")
        fake.Overlay, fake.DefaultIP = found.overlay, object
        fake.allocate = lambda shape, dtype, target: np.zeros(shape, dtype).view(Buffer)
        fake.lib = ModuleType("pynq.lib")
        fake.lib.dma = ModuleType("pynq.lib.dma")
        monkeypatch.setitem(sys.modules, "pynq", fake)
        monkeypatch.setitem(sys.modules, "pynq.lib", fake.lib)
        monkeypatch.setitem(sys.modules, "pynq.lib.dma", fake.lib.dma)
        monkeypatch.delitem(sys.modules, "izhi.hardware.devices.pynq", raising=False)
        (tmp_path / "snn.bit").touch()
        (tmp_path / "snn.hwh").write_text(hwh(order=order, receiver=receiver, **options))
        return found

    yield make
    sys.modules.pop("izhi.hardware.devices.pynq", None)


@pytest.mark.parametrize("wiring", [
    {}, {"order": (0, 1, 2, 3), "receiver": 3}, {"order": (0, 1, 2, 3), "receiver": 0, "wired": False},
    {"receivers": [0, 1]},
])  # fmt: skip
def test_streams_go_through_the_dmas_that_the_hwh_names(bench, tmp_path, wiring):
    found = bench(**wiring)
    network = a_network()
    x = currents_of(network)
    with board.open("hls-ip", artifact_of(network), folder=tmp_path) as device:
        assert found.loaded == str(tmp_path / "snn.bit")
        assert device.block.registers == MAP
        for sends_spikes in (False, True):
            outcome = device.run(x, sends_spikes=sends_spikes)
            assert np.array_equal(outcome.scores, device.expected(x).scores)
        other = a_network(2, (16, *[16] * 8))
        device.load(artifact_of(other))
        assert np.array_equal(device.run(currents_of(other)).scores, device.expected(currents_of(other)).scores)
        used, Buffer.freed = len(device.block._buffers), 0
    assert found.freed
    assert Buffer.freed == used


def test_faults_of_a_board_are_one_clear_error(bench, tmp_path):
    found, network = bench(), a_network()
    device = board.open("hls-ip", artifact_of(network), folder=tmp_path)
    x = currents_of(network, 1)
    device.block.patience = 0.02
    found.is_stuck = True
    with pytest.raises(DeviceError, match="the IP did not take the network within 0.02 s; load the overlay"):
        device.run(x)
    assert found.receive.restarts == 1
    found.is_stuck = False
    device = board.open("hls-ip", artifact_of(network), folder=tmp_path)
    found.block.__init__(registers=MAP)
    for channel in (found.receive, *(dma.sendchannel for dma in found.dmas)):
        channel.buffer = None
    assert np.array_equal(device.run(x).scores, device.expected(x).scores)
    found.receive.error = True
    with pytest.raises(DeviceError, match="the IP did not send its spikes: DMA Slave Error"):
        device.run(x)
    with pytest.raises(DeviceError, match="a stream has 16,384 bytes, expected at most 16,383"):
        device.block.exchange(np.zeros((4, 2048), np.uint64), 1)


def test_overlays_without_what_is_needed_are_refused(bench, tmp_path):
    found = artifact_of(a_network())
    bench(order=(0, 1, 2, 3), receiver=0, receivers=[0, 1], wired=False)
    with pytest.raises(DeviceError, match="it has 4 DMAs that send and 2 that receive, not 4 and 1"):
        board.open("hls-ip", found, folder=tmp_path)
    (tmp_path / "other.bit").touch()
    with pytest.raises(SettingError, match="holds 2 bitstreams .*expected one, with its .hwh beside it"):
        board.open("hls-ip", found, folder=tmp_path)
    (tmp_path / "snn.bit").unlink()
    with pytest.raises(DeviceError, match=r"cannot read .*other.hwh: No such file"):
        board.open("hls-ip", found, folder=tmp_path)


def test_without_pynq_the_error_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynq", None)
    monkeypatch.delitem(sys.modules, "izhi.hardware.devices.pynq", raising=False)
    with pytest.raises(DeviceError, match="pynq is not installed.* use hls-ip without a folder elsewhere"):
        board.open("hls-ip", artifact_of(a_network()), folder=tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(PYNQ is None, reason="IZHI_PYNQ names no Python with pynq; make test makes one")
def test_the_driver_on_pynqs_own_classes(tmp_path):
    network = a_network()
    save(artifact_of(network), tmp_path / "network.izhi")
    save(artifact_of(a_network(2, (16, *[16] * 8))), tmp_path / "other.izhi")
    (tmp_path / "snn.bit").touch()
    (tmp_path / "snn.hwh").write_text(hwh())
    done = subprocess.run(
        [PYNQ, "-W", "ignore", str(HERE / "ip_on_pynq.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[2] / "src")}, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "equal: 4 samples" in done.stdout
    assert hls_ip.STEPS == 30
