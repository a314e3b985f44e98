"""INIT, PROCESS and the streams: what the emulated IP takes, and what the driver makes of its answers."""

import numpy as np
import pytest

from ip_networks import a_network, artifact_of, currents_of
from izhi.errors import DeviceError, SettingError, ShapeError
from izhi.hardware import devices as board, ip as hls_ip
from izhi.hardware.devices.ip import IPDevice
from izhi.hardware.ip import EmulatedIP, IPNetwork, RegisterMap
from izhi.hardware.ip.registers import IPControl, IPState

START, DONE, IDLE = (1 << bit for bit in (IPControl.START, IPControl.DONE, IPControl.IDLE))


def start(block, state):
    """Start in a state; what it returns once it is done, or None if it is not."""
    block.write(block.registers.state, state)
    block.write(block.registers.control, START)
    return block.read(block.registers.returned) if block.read(block.registers.control) & DONE else None


def init(block, network, currents, outputs=None, layers=None):
    at = block.registers
    block.write(at.inputs, network.inputs)
    block.write(at.outputs, network.outputs if outputs is None else outputs)
    block.write(at.layers, len(network.layers) if layers is None else layers)
    for k, bits in enumerate(np.asarray(currents, np.float32).view(np.uint32).tolist()):
        block.write(at.currents + 4 * k, bits)
    for k, size in enumerate(network.sizes):
        block.write(at.widths + 4 * k, size)
    return start(block, IPState.INIT)


def test_one_inference():
    block, network = EmulatedIP(), a_network()
    x = currents_of(network, 1)
    assert block.read(0) == IDLE
    assert init(block, network, x[0]) == 1
    assert block.read(0) == IDLE  # done is cleared when it is read
    assert start(block, IPState.PROCESS) is None
    assert not block.read(0) & IDLE
    answer = block.exchange(hls_ip.pack(network), 2)
    assert block.read(0) & (DONE | IDLE) == DONE | IDLE
    assert block.read(0x10) == 1
    expected = hls_ip.run(network, x).spikes[-1][:, 0]
    assert np.array_equal(hls_ip.unpack(answer, 3), expected)


def test_init_must_precede_every_process():
    block, network = EmulatedIP(), a_network()
    assert start(block, IPState.PROCESS) == 0
    with pytest.raises(DeviceError, match="takes no streams, expected a start in state PROCESS"):
        block.exchange(hls_ip.pack(network), 2)
    assert init(block, network, currents_of(network)[0]) == 1
    assert start(block, IPState.PROCESS) is None
    block.exchange(hls_ip.pack(network), 2)
    assert start(block, IPState.PROCESS) == 0  # its input buffer is used up
    assert start(block, 2) == 0


@pytest.mark.parametrize("change", [{"layers": 0}, {"layers": 9}, {"outputs": 0}, {"outputs": 17}, {"layers": 3}])
def test_sizes_beyond_the_limits_are_refused(change):
    """Three layers, of which the third has no neurons, are among them."""
    block, network = EmulatedIP(), a_network()
    assert init(block, network, currents_of(network)[0], **change) == 0
    assert start(block, IPState.PROCESS) == 0


def test_other_streams_than_announced_are_an_error():
    block, network = EmulatedIP(), a_network()
    init(block, network, currents_of(network)[0])
    start(block, IPState.PROCESS)
    with pytest.raises(DeviceError, match=r"waits for other streams: .* expected \(4, 26\)"):
        block.exchange(hls_ip.pack(network)[:, :-1], 2)


def test_more_outputs_than_neurons_bring_ghosts_which_the_driver_prevents():
    block, wide, narrow = EmulatedIP(), a_network(1, (4, 16)), a_network(2, (4, 2))
    for network, outputs in ((wide, 16), (narrow, 16)):
        x = currents_of(network, 1)
        assert init(block, network, x[0], outputs=outputs) == 1
        start(block, IPState.PROCESS)
        answer = hls_ip.unpack(block.exchange(hls_ip.pack(network), 8), 16)
    ghosts = hls_ip.run(wide, x).spikes[0][:, 0, 2:]
    assert ghosts.any()
    assert np.array_equal(answer[:, 2:], ghosts)
    device = IPDevice(block)
    device.load(artifact_of(narrow))
    assert device.run(x).scores.tolist() == hls_ip.run(narrow, x).scores.tolist()
    assert block.read(block.registers.outputs) == 2


@pytest.mark.parametrize("build", hls_ip.BUILDS)
@pytest.mark.parametrize("sizes", [(1, 1), (4, 8, 3), (16, *[16] * 8)])
def test_the_device_is_the_arithmetic(sizes, build):
    network = a_network(3, sizes, build)
    currents = currents_of(network)
    with board.open("hls-ip", artifact_of(network)) as device:
        expected = device.expected(currents)
        outcome = device.run(currents)
        assert np.array_equal(outcome.scores, expected.scores)
        assert outcome.spikes == []
        outcome = device.run(currents[:2], sends_spikes=True)
        for a, b in zip(outcome.spikes, expected.spikes, strict=True):
            assert np.array_equal(a, b[:, :2])
        counters = device.counters
        assert (counters.inferences, counters.events, counters.cycles) == (8, None, None)
        assert counters.spikes == expected.scores.sum() + expected.scores[:2].sum()
        device.clear()
        assert device.counters.inferences == 0
        assert device.run(currents[:0]).scores.shape == (0, network.outputs)


def test_weights_and_biases_can_be_replaced():
    network = a_network()
    device, x = board.open("hls-ip", artifact_of(network)), currents_of(network)
    weight, bias = -network.layers[1].weight, network.layers[1].bias + np.float32(0.5)
    device.write_weights(1, weight)
    assert np.array_equal(device.network.layers[1].bias, network.layers[1].bias)
    device.write_weights(1, weight, bias)
    changed = IPNetwork.of([network.layers[0].weight, weight], [network.layers[0].bias, bias])
    assert np.array_equal(device.run(x).scores, hls_ip.run(changed, x).scores)
    weight[:] = 0  # the device has its own copy
    assert np.array_equal(device.run(x).scores, hls_ip.run(changed, x).scores)
    for layer, w, b, error, message in (
        (2, weight, None, ShapeError, "layer is 2, expected 0 to 1"),
        (1, weight[:, 1:], None, ShapeError, r"shape \(3, 7\), expected \(3, 8\)"),
        (1, weight.astype(float), None, ShapeError, "weight of float64, expected float32"),
        (1, weight, bias[1:], ShapeError, "biases of shape"),
        (1, weight + np.float32(np.nan), None, SettingError, "not finite"),
    ):
        with pytest.raises(error, match=message):
            device.write_weights(layer, w, b)


class Wrong(EmulatedIP):
    """An IP that returns another value, never comes to an end, or sends other words."""

    returned, stands, words = 1, False, None

    def read(self, offset):
        if offset == self.registers.returned:
            return self.returned
        value = super().read(offset)
        return value & ~DONE if self.stands and offset == self.registers.control else value

    def exchange(self, words, room):
        answer = super().exchange(words, room)
        return answer if self.words is None else self.words


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"returned": 0}, "the IP returned 0 from INIT, expected 1; is the .hwh that of its bitstream"),
        ({"stands": True}, "the IP did not finish INIT within 0.02 s; load the overlay anew"),
        ({"words": np.zeros(1, np.uint64)}, "sent a broken answer: the answer has 1 words, expected 2"),
        ({"words": np.full(2, 2**63, np.uint64)}, "broken answer: the answer has bits set behind"),
    ],
)  # fmt: skip
def test_an_ip_that_errs_is_one_clear_error(fault, message):
    block, network = Wrong(), a_network()
    for name, value in fault.items():
        setattr(block, name, value)
    device = IPDevice(block, patience=0.02)
    device.load(artifact_of(network))
    with pytest.raises(DeviceError, match=message):
        device.run(currents_of(network))


def test_other_currents_and_offsets_are_refused():
    network = a_network()
    device = board.open("hls-ip", artifact_of(network))
    for wrong in (np.zeros((30, 2, 4), np.uint8), np.zeros((2, 3), np.float32)):
        with pytest.raises(ShapeError, match=r"expected \(samples, 4\)"):
            device.run(wrong)
    with pytest.raises(DeviceError, match="holds no network"):
        IPDevice(EmulatedIP()).run(currents_of(network))
    for offset in (2, -4, 1 << 16):
        with pytest.raises(DeviceError, match="expected a multiple of 4 within 64 KiB"):
            EmulatedIP().write(offset, 0)
    with pytest.raises(SettingError, match="pynq_device is given, but no folder"):
        board.open("hls-ip", artifact_of(network), pynq_device=object())
    with pytest.raises(SettingError, match="unknown option of the device hls-ip 'lanes'"):
        board.open("hls-ip", artifact_of(network), lanes=4)


def test_registers_may_lie_elsewhere():
    at = RegisterMap(0, 0x10, 0x24, 0x2C, 0x34, 0x3C, 0x100, 0x180)
    network = a_network()
    device = IPDevice(EmulatedIP(registers=at))
    device.load(artifact_of(network))
    x = currents_of(network)
    assert np.array_equal(device.run(x).scores, device.expected(x).scores)
