"""Damaged packets, answers and inputs: one line of an error, and what comes after them is right."""

import contextlib
import random
from functools import partial

import numpy as np
import pytest

from hostility import complaints, mutations
from ip_networks import a_network, artifact_of
from networks import random_network, random_spikes

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")

from izhi.errors import DeviceError, ShapeError, SimulatorError
from izhi.hardware import devices as board, fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core import packets
from izhi.hardware.core.protocol import Control, Opcode, Register
from izhi.hardware.ip import STREAMS, EmulatedIP, streams

#: Of the core, which other tests have compiled as well, and of an inference.
MOST_STEPS, STEPS = 20, 4
NETWORK = random_network(1)
SPIKES = random_spikes(5, STEPS, 2, 12)
EXPECTED = fixed.run(NETWORK, SPIKES)
#: Cycles: a core that waits for the rest of a packet is given up quickly.
PATIENCE = 150


def open_core():
    found = IntegerArtifact(NETWORK, MOST_STEPS, tuple("abcde"))
    device = board.open("simulator", found, lanes=4, units=2)
    device.block.patience = PATIENCE
    return device


def good_packets():
    """Inferences, and a write to a memory, as bytes."""
    inference = packets.inferences(SPIKES)
    with open_core() as device:
        write = packets.write(1, packets.memory(device.shape, NETWORK, 1))
    return [words.astype("<u4").tobytes() for words in (inference, inference[:15], write)]


def words_of(data):
    return np.frombuffer(data[: len(data) // 4 * 4], "<u4").astype(np.uint32)


def damage(draw, device, data):
    """Send damaged words, as a program that errs would: cut off, without an answer, or with one that is given up."""
    words = words_of(data)
    ends = np.arange(len(words)) == len(words) - 1
    device.block.write(Register.CONTROL, 1 << Control.RUN | draw.randrange(2) << Control.SENDS_SPIKES)
    device.block.write(Register.STEPS, draw.choice((0, STEPS)))
    if draw.random() < 0.3:
        ends[:] = False
    with contextlib.suppress(SimulatorError):
        device.block.stream(words, ends, draw.randrange(3), draw.choice((0, 1, 3, 50)))


def check_after_damage(count, seed):
    draw, wrong = random.Random(seed), 0
    with open_core() as device:
        memories = [packets.write(k, words) for k, words in enumerate(packets.memories(device.shape, NETWORK))]
        for data in mutations(good_packets(), count, seed):
            damage(draw, device, data)
            device.clear()
            for words in memories:  # some of which a damaged write may have hit
                device.block.send(words)
            sends_spikes = draw.random() < 0.5
            found = device.run(SPIKES, sends_spikes=sends_spikes)
            wrong += not np.array_equal(found.scores, EXPECTED.scores)
            for a, b in zip(found.spikes, EXPECTED.spikes, strict=False):
                wrong += not np.array_equal(a, b)
            assert device.counters.inferences == SPIKES.shape[1]
    assert wrong == 0


@pytest.mark.slow
def test_a_cleared_core_answers_right_whatever_came_before():
    check_after_damage(200, 0)


@pytest.mark.long
def test_a_cleared_core_answers_right_whatever_came_before_at_length():
    check_after_damage(2500, 1)


@pytest.mark.slow
def test_a_core_that_was_not_cleared_is_recovered_after_an_error():
    with open_core() as device:
        exchange = device.block.exchange
        for fails in range(20):

            def cut(packet, room, fails=fails):
                # The simulator gives up where the answer has no room; a packet that is cut off is refused.
                return exchange(packet, fails % 3) if fails % 2 else exchange(packet[: -1 - fails // 2], room)

            device.block.exchange = cut
            with pytest.raises((SimulatorError, DeviceError)):
                device.run(SPIKES, sends_spikes=fails % 5 == 0)
            device.block.exchange = exchange
            found = device.run(SPIKES, sends_spikes=fails % 7 == 0)
            assert np.array_equal(found.scores, EXPECTED.scores)


@pytest.mark.slow
def test_after_a_write_that_fails_the_device_holds_no_network():
    weight = NETWORK.layers[0].weight
    with open_core() as device:
        send = device.block.send
        device.block.send = lambda packet: send(packet[:-1])
        with pytest.raises(DeviceError, match="refused a packet: a packet that does not end with an inference, or a"):
            device.write_weights(0, -weight - 1)
        device.block.send = send
        with pytest.raises(DeviceError, match="holds no network; load an artifact first"):
            device.run(SPIKES)
        device.load(IntegerArtifact(NETWORK, MOST_STEPS, tuple("abcde")))
        assert np.array_equal(device.run(SPIKES).scores, EXPECTED.scores)


@pytest.mark.slow
def test_an_error_that_the_driver_does_not_know():
    with open_core() as device:
        read = device.block.read
        device.block.read = lambda register: 7 << 8 if register == Register.STATUS else read(register)
        with pytest.raises(DeviceError, match="refused a packet: error 7, which this driver does not know"):
            device.run(SPIKES)


@pytest.mark.slow
def test_a_core_that_never_stops_answering_is_an_error():
    with open_core() as device:
        device.block.read = lambda register: 2
        device.block.receive = lambda room: np.zeros(1, np.uint32)
        with pytest.raises(DeviceError, match="goes on answering though it was cleared; load the overlay anew"):
            device.clear()


@pytest.mark.slow
def test_words_that_were_written_to_a_register_are_cleared_as_well():
    with open_core() as device:
        words = packets.inferences(SPIKES)
        inference = int((words >> 28 == Opcode.END).argmax()) + 1
        for count in (1, 7, inference, inference + 1):
            for word in words[:count].tolist():
                device.block.write(Register.WORD, word)
            device.clear()
            assert np.array_equal(device.run(SPIKES).scores, EXPECTED.scores)


def answers_are_read(count, seed):
    """Damaged answers are refused or read, by the drivers of the core and of the IP."""
    with open_core() as device:
        right = {}
        for sends_spikes in (False, True):
            exchange = device.block.exchange

            def kept(packet, room, sends_spikes=sends_spikes, exchange=exchange):
                right[sends_spikes] = exchange(packet, room)
                return right[sends_spikes]

            device.block.exchange = kept
            device.run(SPIKES, sends_spikes=sends_spikes)
            device.block.exchange = exchange
        read = partial(packets.outcome, device.shape)

    def read_of_core(data):
        for sends_spikes in (False, True):
            try:
                read(words_of(data), STEPS, SPIKES.shape[1], sends_spikes)
            except (ValueError, IndexError):  # what the driver makes a DeviceError of
                continue

    def read_of_ip(data):
        words = np.frombuffer(data[: len(data) // 8 * 8], "<u8")
        for outputs in (3, 16):
            streams.unpack(words, outputs)

    cores = [words.astype("<u4").tobytes() for words in right.values()]
    ips = [streams.pack_spikes(np.ones((30, outputs), np.uint8)).tobytes() for outputs in (3, 16)]
    assert complaints(read_of_core, list(mutations(cores, count, seed))) == []
    assert complaints(read_of_ip, list(mutations(ips, count, seed))) == []


@pytest.mark.slow
def test_damaged_answers_are_refused_or_read():
    answers_are_read(300, 2)


@pytest.mark.long
def test_damaged_answers_are_refused_or_read_at_length():
    answers_are_read(5000, 5)


@pytest.mark.slow
def test_a_damaged_answer_of_a_device_is_one_error_and_the_next_is_right():
    with open_core() as device:
        exchange = device.block.exchange
        for k, data in enumerate(mutations(good_packets()[:2], 100, 3)):
            device.block.exchange = lambda packet, room, data=data: words_of(data)
            with contextlib.suppress(DeviceError):
                device.run(SPIKES, sends_spikes=k % 2 == 0)
            device.block.exchange = exchange
            if k % 10 == 0:
                assert np.array_equal(device.run(SPIKES).scores, EXPECTED.scores)


@pytest.mark.slow
def test_damaged_streams_of_the_emulated_ip():
    network = a_network()
    words = streams.pack(network)

    def read(data):
        device = board.open("hls-ip", artifact_of(network))
        exchange = device.block.exchange
        found = np.frombuffer(data[: len(data) // 8 * 8], "<u8")
        damaged = found[: len(found) // STREAMS * STREAMS].reshape(STREAMS, -1)
        device.block.exchange = lambda right, room: exchange(damaged, room)
        device.run(np.zeros((1, network.inputs), np.float32))

    assert complaints(read, list(mutations([words.tobytes()], 300, 4))) == []
    assert EmulatedIP().read(0) == 4


WRONG_INPUTS = (
    None, [], [[[0]]], "spikes", 5, {}, np.zeros(3), np.array(None), np.full((STEPS, 1, 12), "a"),
    np.full((STEPS, 1, 12), np.nan), np.full((STEPS, 1, 12), 256), np.full((STEPS, 1, 12), -1),
    np.zeros((STEPS, 1, 12), complex), np.zeros((0, 1, 12), np.uint8), np.zeros((STEPS, 12), np.uint8),
)  # fmt: skip


@pytest.mark.parametrize("name", ["emulator", pytest.param("simulator", marks=pytest.mark.slow)])
@pytest.mark.parametrize("wrong", WRONG_INPUTS, ids=[f"input{k}" for k in range(len(WRONG_INPUTS))])
def test_inputs_that_are_none_are_one_line_each(name, wrong):
    found = IntegerArtifact(NETWORK, MOST_STEPS, tuple("abcde"))
    options = {"lanes": 4, "units": 2} if name == "simulator" else {}
    with board.open(name, found, **options) as device:
        for act in (device.run, device.answer, device.expected, lambda x: device.run(x, sends_spikes=True)):
            with pytest.raises(ShapeError) as error:
                act(wrong)
            assert "\n" not in str(error.value)
        assert np.array_equal(device.run(SPIKES).scores, EXPECTED.scores)


@pytest.mark.parametrize("wrong", [None, [[1], [1, 2]], "currents", {}, [["a"]], np.full((1, 4), 1e300), np.zeros(3)])
def test_currents_that_are_none_are_one_line_each(wrong):
    network = a_network()
    with board.open("hls-ip", artifact_of(network)) as device:
        for act in (device.run, device.answer, device.expected):
            with pytest.raises(ShapeError) as error:
                act(wrong)
            assert "\n" not in str(error.value)
