"""The host's end of a serial line, beside a board of plain Python: which words go over it, and what ends a wait."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from izhi.errors import DeviceError
from izhi.hardware.core.serial.frames import MOST_WORDS, AnswerStatus, Frame, FrameReader, Request, to_bytes
from izhi.hardware.devices import serial
from izhi.hardware.devices.serial import SerialTransport


class Board:
    """A port behind which a board answers each word of a packet with its double, once there is room for the answer."""

    def __init__(self, *, room=10**6, waiting=10**6, doubles=True, noise=b""):
        self.room, self.waiting, self.doubles, self.noise = room, waiting, doubles, noise
        self.taken, self.answer, self.requests = [], [], []
        self._reader, self._out, self._ended = FrameReader(), bytearray(), False

    @property
    def in_waiting(self):
        return len(self._out)

    def read(self, size=1):
        found, self._out = bytes(self._out[:size]), self._out[size:]
        return found or self.noise

    def write(self, data):
        for frame in self._reader.feed(data):
            self.requests.append(Request(frame.kind))
            self._out += to_bytes(Frame(frame.sequence, *self._answered(frame)))

    def close(self):
        self.requests.append("close")

    def _answered(self, frame):
        if frame.kind in (Request.SEND, Request.SEND_LAST):
            if len(frame.words) > self._free:
                return AnswerStatus.BUSY, (self._free,)
            self.taken += frame.words
            self._ended |= frame.kind == Request.SEND_LAST
            self._work()
            return AnswerStatus.DONE, (self._free,)
        if frame.kind == Request.FETCH:
            words, self.answer = self.answer[:MOST_WORDS], self.answer[MOST_WORDS:]
            self._work()
            over = self._ended and not self.answer and not self.taken and self.doubles
            return (AnswerStatus.LAST if over else AnswerStatus.DONE), tuple(words)
        return AnswerStatus.DONE, ()

    @property
    def _free(self):
        return max(0, self.room - len(self.taken))

    def _work(self):
        while self.doubles and self.taken and len(self.answer) < self.waiting:
            self.answer.append(2 * self.taken.pop(0))


def words(number):
    return np.arange(number, dtype=np.uint32)


@pytest.mark.parametrize("number", [1, MOST_WORDS, MOST_WORDS + 1, 3 * MOST_WORDS])
def test_a_packet_of_any_length_arrives_whole_with_one_end(number):
    board = Board()
    found = SerialTransport(board, patience=1).exchange(words(number), number)
    assert found.tolist() == (2 * words(number)).tolist()
    sends = [kind for kind in board.requests if kind in (Request.SEND, Request.SEND_LAST)]
    assert sends.count(Request.SEND_LAST) == 1
    assert sends[-1] == Request.SEND_LAST


def test_a_board_that_waits_for_room_goes_on_once_its_answer_is_fetched():
    board = Board(room=MOST_WORDS, waiting=100)
    found = SerialTransport(board, patience=1).exchange(words(1000), 1000)
    assert found.tolist() == (2 * words(1000)).tolist()


def test_sending_alone_leaves_the_answer_to_whoever_receives_it():
    board = Board()
    transport = SerialTransport(board, patience=1)
    transport.send(words(600))
    assert Request.FETCH not in board.requests
    assert transport.receive(600).tolist() == (2 * words(600)).tolist()
    transport.close()
    assert board.requests[-1] == "close"


def test_a_board_that_takes_no_words_is_given_up():
    board = Board(room=0)
    with pytest.raises(DeviceError, match=r"the board took no words for 0\.1 s; reset it"):
        SerialTransport(board, patience=0.1).exchange(words(4), 4)


def test_an_answer_that_ended_does_not_count_as_progress():
    board = Board(room=MOST_WORDS)
    transport = SerialTransport(board, patience=0.1)
    transport.exchange(words(3), 3)
    board.doubles = False
    transport._is_over = True  # as after an answer that came before its packet's end
    with pytest.raises(DeviceError, match="the board took no words"):
        transport.exchange(words(3 * MOST_WORDS), 3 * MOST_WORDS)


def test_a_board_that_answers_nothing_or_too_much_is_an_error():
    transport = SerialTransport(Board(doubles=False), patience=0.1)
    with pytest.raises(DeviceError, match=r"the board sent nothing for 0\.1 s"):
        transport.exchange(words(3), 3)
    with pytest.raises(DeviceError, match="the board sent more than 2 words"):
        SerialTransport(Board(), patience=1).exchange(words(3), 2)


def test_noise_on_the_line_ends_the_wait_for_an_answer():
    board = Board(noise=b"\x00" * 64)
    transport = SerialTransport(board, patience=1)
    board.write = lambda data: None
    with pytest.raises(DeviceError, match="no answer to 5 requests"):
        transport.read(0)


def test_a_port_that_cannot_be_opened_is_one_line(monkeypatch):
    def no_port(name, baud, timeout):
        raise OSError(f"could not open port {name}")

    monkeypatch.setitem(sys.modules, "serial", SimpleNamespace(Serial=no_port))
    with pytest.raises(DeviceError, match=r"cannot open the serial port COM9: could not open port COM9"):
        serial.port("COM9")
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(DeviceError, match="the package pyserial is not installed"):
        serial.port("COM9")
