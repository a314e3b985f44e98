"""The core behind a serial line, from the pins of the top level in simulation to the driver."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from simulated_line import SimulatedLine

from networks import random_network, random_spikes

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")

from izhi import board, cli
from izhi.errors import DeviceError, SettingError
from izhi.hardware import artifact, fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core import description, shape_of
from izhi.hardware.core.protocol import ABORTED, IDENTITY, Control, Opcode, Register
from izhi.hardware.core.serial.clocks import Ecp5PLL, GowinPLL, pll
from izhi.hardware.core.serial.frames import MOST_WORDS, AnswerStatus, Frame, FrameReader, Request, to_bytes
from izhi.hardware.core.serial.top import ROOM, divisor
from izhi.hardware.devices.serial import SerialTransport

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("optimized_cores")]

STEPS, BATCH = 20, 6
NETWORK = random_network(1)
SHAPE = shape_of(NETWORK, STEPS, lanes=4, units=2)
SPIKES = random_spikes(2, STEPS, BATCH, 12)
FRAMES = st.builds(
    Frame,
    st.integers(0, 255),
    st.integers(0, 255),
    st.lists(st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0x7E7E7E7E, 0x7D7D7D7D])), max_size=8).map(tuple),
)


def an_artifact():
    scores = fixed.run(NETWORK, SPIKES).scores
    return IntegerArtifact(NETWORK, STEPS, tuple("abcde"), {"dataset": "digits"}, {}, SPIKES, scores)


@pytest.fixture
def folder(tmp_path):
    """What izhi rtl leaves for a driver."""
    (tmp_path / "core.json").write_text(description.to_json(SHAPE))
    return tmp_path


@given(st.lists(FRAMES, max_size=4), st.binary(max_size=40))
def test_frames_are_found_behind_noise(frames, noise):
    reader = FrameReader()
    assert list(reader.feed(noise.replace(b"\x7e", b"") + b"\x7e")) == []
    data = b"".join(map(to_bytes, frames))
    assert [frame for byte in data for frame in reader.feed([byte])] == frames


@given(FRAMES, st.data())
def test_a_damaged_frame_is_no_frame(frame, data):
    good = to_bytes(frame)
    place = data.draw(st.integers(0, len(good) - 1))
    wrong = bytes([good[place] ^ data.draw(st.integers(1, 255))])
    changed = good[:place] + data.draw(st.sampled_from([b"", wrong, wrong + wrong])) + good[place + 1 :]
    assert list(FrameReader().feed(changed + b"\x7e")) in ([], [frame])


def damaging(share):
    """Damage to bytes on a line: of a share of them some are changed, some lost, some doubled."""
    chance = random.Random(4)

    def damage(data):
        found = bytearray()
        for byte in data:
            kind = chance.random() / share
            found += bytes([byte ^ 1 << chance.randrange(8)] if kind < 0.5 else [] if kind < 0.8 else [byte])
            found += bytes([byte] if 0.8 <= kind < 1 else [])
        return bytes(found)

    return damage


@pytest.mark.parametrize("options", [{}, {"divisor": 25, "skew": 1}])
def test_from_the_pins_to_the_driver_every_spike_is_that_of_the_integer_model(folder, options):
    """Also where the host's bits are four per cent longer, and then shorter, than the board's."""
    line = SimulatedLine(SHAPE, **options)
    with board.open("serial", an_artifact(), port=line, folder=folder) as device:
        line.host_bit, spikes = 2 * line.bit - line.host_bit, SPIKES[:, :2]
        found, expected = device.run(spikes, sends_spikes=True), fixed.run(NETWORK, spikes)
        assert np.array_equal(found.scores, expected.scores)
        for a, b in zip(found.spikes, expected.spikes, strict=True):
            assert np.array_equal(a, b)
        assert found.spikes[0].any()
        assert device.counters.inferences == 2


def test_on_a_bad_line_nothing_is_lost_and_nothing_done_twice(folder):
    line = SimulatedLine(SHAPE)
    with board.open("serial", an_artifact(), port=line, folder=folder) as device:
        line.damage = damaging(0.0003)
        for _ in range(2):
            assert np.array_equal(device.run(SPIKES).scores, fixed.run(NETWORK, SPIKES).scores)
        line.damage = None
        assert device.counters.events == SPIKES.sum() * 2
        assert device.counters.inferences == BATCH * 2


def asked(line, *frames):
    """The frames that come back to frames on a line."""
    reader, found = FrameReader(), []
    for frame in frames:
        line.write(to_bytes(frame))
        while came := line.read():
            found += reader.feed(came)
    return found


def test_a_request_that_comes_again_is_answered_and_not_done_again():
    line, step, end = SimulatedLine(SHAPE), Opcode.STEP << 28, Opcode.END << 28
    assert asked(line, Frame(7, Request.RESET)) == [Frame(7, AnswerStatus.DONE)]
    send = Frame(8, Request.SEND_LAST, (0, step, end))
    assert asked(line, send, send, send) == [Frame(8, AnswerStatus.DONE, (ROOM - 3,))] * 3
    count = Frame(9, Request.READ, (Register.EVENTS,))
    assert asked(line, count) == [Frame(9, AnswerStatus.DONE, (1,))]
    fetch = Frame(10, Request.FETCH)
    first, second = asked(line, fetch, fetch)
    assert first == second == Frame(10, AnswerStatus.LAST, first.words)
    assert len(first.words) == SHAPE.scores
    assert asked(line, Frame(11, Request.FETCH)) == [Frame(11, AnswerStatus.DONE)]


def test_what_cannot_be_done_is_refused_and_the_link_goes_on():
    line = SimulatedLine(SHAPE)
    cases = (
        (99, (), AnswerStatus.REFUSED), (Request.READ, (), AnswerStatus.REFUSED),
        (Request.READ, (0, 4), AnswerStatus.REFUSED),
        (Request.READ, (0xF0,), AnswerStatus.REFUSED), (Request.WRITE, (Register.STEPS,), AnswerStatus.REFUSED),
        (Request.WRITE, (Register.IDENTITY, 1), AnswerStatus.REFUSED), (Request.FETCH, (), AnswerStatus.DONE),
        (Request.SEND_LAST, (), AnswerStatus.REFUSED), (Request.WRITE, (Register.STEPS, 5), AnswerStatus.DONE),
    )  # fmt: skip
    for number, (kind, words, status) in enumerate(cases):
        assert asked(line, Frame(number, kind, words)) == [Frame(number, status)], (kind, words)
    assert asked(line, Frame(99, Request.READ, (Register.STEPS,))) == [Frame(99, AnswerStatus.DONE, (5,))]
    assert asked(line, Frame(98, Request.SEND)) == [Frame(98, AnswerStatus.DONE, (ROOM,))]
    # Too long, cut off, and without its end: as if it had not been.
    long = to_bytes(Frame(1, Request.SEND, (0,) * (MOST_WORDS + 1)))
    for damaged in (long, to_bytes(Frame(1, Request.RESET))[:4], b"\x7e\x7d\x7e", b"\x7e\x00\x7e", b"\x7e" * 9):
        line.write(damaged)
        assert line.read() == b""
        assert asked(line, Frame(100, Request.READ, (Register.IDENTITY,)))[-1].words == (IDENTITY,)


def test_a_host_that_goes_away_leaves_a_board_that_the_next_one_can_use(folder):
    line = SimulatedLine(SHAPE)
    with board.open("serial", an_artifact(), port=line, folder=folder) as device:
        words = [0, Opcode.STEP << 28] * 200
        device.block._ask(Request.SEND, words[:MOST_WORDS])
        line.write(to_bytes(Frame(1, Request.SEND, tuple(words[:50])))[:77])
        line.read()
        other = board.open("serial", an_artifact(), port=line, folder=folder)
        assert np.array_equal(other.run(SPIKES).scores, fixed.run(NETWORK, SPIKES).scores)


def test_a_packet_longer_than_the_board_has_room_for_goes_on_while_its_answer_is_fetched(folder):
    """Many inferences in a packet, whose spikes alone are more words than wait in the board."""
    spikes = np.tile(SPIKES, (1, 2, 1))
    with board.open("serial", an_artifact(), port=SimulatedLine(SHAPE), folder=folder) as device:
        found = device.run(spikes, sends_spikes=True)
        assert np.array_equal(found.scores, fixed.run(NETWORK, spikes).scores)


def test_words_without_room_are_not_taken_and_the_host_learns_how_much_there_is():
    line, step = SimulatedLine(SHAPE), Opcode.STEP << 28
    asked(line, Frame(0, Request.WRITE, (Register.CONTROL, 0)))  # RUN is off: nothing is taken
    whole = (step,) * MOST_WORDS
    expected = [
        Frame(1, AnswerStatus.DONE, (ROOM - MOST_WORDS,)),
        Frame(2, AnswerStatus.DONE, (0,)),
        Frame(3, AnswerStatus.BUSY, (0,)),
    ]
    assert asked(line, *(Frame(number, Request.SEND, whole) for number in (1, 2, 3))) == expected
    assert asked(line, Frame(4, Request.SEND)) == [Frame(4, AnswerStatus.DONE, (0,))]
    assert asked(line, Frame(5, Request.RESET), Frame(6, Request.SEND))[-1].words == (ROOM,)


def test_a_malformed_packet_and_a_write_that_waits_leave_no_frozen_board():
    line = SimulatedLine(SHAPE)
    block = SerialTransport(line)
    assert block.exchange(np.array([Opcode.STEP << 28, 9 << 28], np.uint32), 99)[-1] == ABORTED
    # An answer that nobody fetches fills the board; a word at the register port then has to wait, and CLEAR does not.
    block.write(Register.CONTROL, 1 << Control.RUN | 1 << Control.ACKNOWLEDGE)
    one = np.array([Opcode.STEP << 28, Opcode.END << 28] * 120, np.uint32)
    for _ in range(2):
        block.send(one)
    block.patience = 0.5
    with pytest.raises(DeviceError, match="register 0x28 was not written within 0.5 s"):
        for _ in range(99):
            block.write(Register.WORD, Opcode.STEP << 28)
    block.write(Register.CONTROL, 1 << Control.RUN | 1 << Control.CLEAR)
    assert block.read(Register.IDENTITY) == IDENTITY


def test_a_dead_line_and_another_core_are_errors(folder):
    line = SimulatedLine(SHAPE, damage=lambda data: b"")
    with pytest.raises(DeviceError, match="the serial line gives no answer to 5 requests; check the port, its rate"):
        SerialTransport(line)
    first = replace(SHAPE.layers[0], shift=SHAPE.layers[0].shift + 1)
    other = replace(SHAPE, layers=(first, *SHAPE.layers[1:]))
    (folder / "core.json").write_text(description.to_json(other))
    with pytest.raises(DeviceError, match="FINGERPRINT, expected .* it holds another core"):
        board.open("serial", an_artifact(), port=SimulatedLine(SHAPE), folder=folder)


def test_ports_that_are_not_there(folder, capsys):
    with pytest.raises(SettingError, match="port is None, expected the board's serial port, such as /dev/ttyUSB0"):
        board.open("serial", an_artifact(), folder=folder)
    pytest.importorskip("serial", reason="the extra 'serial' is not installed")
    artifact.save(an_artifact(), folder / "network.izhi")
    line = ["run", str(folder / "network.izhi"), "--device", "serial", "--folder", str(folder), "--samples", "1"]
    assert cli.main([*line, "--port", str(folder / "nothing")]) == 2
    assert f"cannot open the serial port {folder / 'nothing'}" in capsys.readouterr().err
    assert cli.main(line) == 2
    assert "port is None, expected the board's serial port" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "source", "wanted", "oscillator"),
    [
        *((Ecp5PLL, 25.0, wanted, lambda x: 25 / x.reference * x.feedback * x.first) for wanted in (60, 85, 100, 125)),
        *((Ecp5PLL, 100.0, wanted, lambda x: 100 / x.reference * x.feedback * x.first) for wanted in (75, 90)),
        *((GowinPLL, 27.0, wanted, lambda x: 27 / x.reference * x.feedback * x.output) for wanted in (54, 60, 81, 99)),
    ],
)
def test_clocks(kind, source, wanted, oscillator):
    made = pll(kind, source, wanted)
    assert made.megahertz == pytest.approx(wanted, rel=1e-4)
    assert pll(kind, source, source) is None
    low, high, least = {Ecp5PLL: (400, 800, 10), GowinPLL: (500, 1200, 3)}[kind]
    assert low <= oscillator(made) <= high
    assert least <= source / made.reference <= 400
    assert oscillator(made) / made.output == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "source", "wanted", "near"),
    [(Ecp5PLL, 25.0, 2.0, "4 or 5"), (Ecp5PLL, 25.0, 62.0, "60 or 65"), (GowinPLL, 27.0, 100.0, "99 or 102")],
)
def test_a_clock_that_the_pll_cannot_make_is_refused_with_others(kind, source, wanted, near):
    line = f"clock is {wanted:g} MHz, which the PLL cannot make of {source:g} MHz; expected such as {near}"
    with pytest.raises(SettingError, match=line):
        pll(kind, source, wanted)
    with pytest.raises(SettingError, match=f"open tools make none on this board; expected {source:g}, its own"):
        pll(None, source, wanted)


def test_rates():
    assert divisor(100.0, 1_000_000) == 100
    for baud in (0, 26_000_000, 40_000_000):
        with pytest.raises(SettingError, match=f"baud is {baud:,}, which a clock of 100 MHz does not give"):
            divisor(100.0, baud)
