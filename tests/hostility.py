"""Damaged files by the thousand, and what may come of reading one: what it holds, or one line of IzhiError."""

import faulthandler
import json
import os
import random
import select
import signal
from collections.abc import Callable, Iterator, Sequence

import pytest

from izhi import IzhiError

resource = pytest.importorskip("resource", reason="limits of memory are of Unix")

#: The longest line that an error may be: it names a value, it does not repeat a file.
LONGEST_LINE = 400

_INTEGERS = (0, 1, -1, 127, 128, 255, 256, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63))


def mutations(samples: Sequence[bytes], count: int, seed: int = 0) -> Iterator[bytes]:
    """As many damaged copies of the samples, the same for the same seed."""
    draw = random.Random(seed)
    for _ in range(count):
        data = bytearray(draw.choice(samples))
        for _ in range(draw.choice((1, 1, 1, 2, 4))):
            draw.choice(_DAMAGES)(draw, data, samples)
        yield bytes(data)


def _place(draw: random.Random, data: bytearray) -> int:
    return draw.randrange(len(data)) if data else 0


def _flip_a_bit(draw: random.Random, data: bytearray, samples: Sequence[bytes]) -> None:
    if data:
        data[_place(draw, data)] ^= 1 << draw.randrange(8)


def _write_an_integer(draw: random.Random, data: bytearray, samples: Sequence[bytes]) -> None:
    size = draw.choice((1, 2, 4, 8))
    value = draw.choice(_INTEGERS) % 256**size
    at = _place(draw, data)
    data[at : at + size] = value.to_bytes(size, draw.choice(("little", "big")))


def _write_noise(draw: random.Random, data: bytearray, samples: Sequence[bytes]) -> None:
    at, size = _place(draw, data), draw.randint(1, 16)
    data[at : at + size] = draw.randbytes(size)


def _cut(draw: random.Random, data: bytearray, samples: Sequence[bytes]) -> None:
    del data[_place(draw, data) :]


def _remove(draw: random.Random, data: bytearray, samples: Sequence[bytes]) -> None:
    at = _place(draw, data)
    del data[at : at + draw.randint(1, 64)]


def _repeat(draw: random.Random, data: bytearray, samples: Sequence[bytes]) -> None:
    at = _place(draw, data)
    data[at:at] = data[at : at + draw.randint(1, 64)] * draw.choice((1, 2, 50))


def _insert_noise(draw: random.Random, data: bytearray, samples: Sequence[bytes]) -> None:
    at = _place(draw, data)
    data[at:at] = draw.randbytes(draw.randint(1, 64))


def _splice(draw: random.Random, data: bytearray, samples: Sequence[bytes]) -> None:
    other = draw.choice(samples)
    data[_place(draw, data) :] = other[_place(draw, bytearray(other)) :]


def _change_a_number(draw: random.Random, data: bytearray, samples: Sequence[bytes]) -> None:
    digits = [k for k, x in enumerate(data) if 48 <= x < 58]
    if digits:
        at = draw.choice(digits)
        data[at : at + 1] = draw.choice((b"0", b"9", b"-1", b"1e999", b"nan", b"9" * 30, b"9" * 5000, b"null", b"[]"))


_DAMAGES = (
    _flip_a_bit,
    _write_an_integer,
    _write_noise,
    _cut,
    _remove,
    _repeat,
    _insert_noise,
    _splice,
    _change_a_number,
)


def complaints(
    read: Callable[[bytes], object], cases: Sequence[bytes], seconds: float = 5.0, megabytes: int = 512
) -> list[str]:
    """What went wrong with which case: nothing may but IzhiError, in one line, in time and within the memory.

    Cases are read in a process of its own, which may crash or hang: then the next case has another.

    Args:
        read: given the damaged bytes; its working folder is the caller's.
        cases: what to read, see ``mutations``.
        seconds: that reading one may take.
        megabytes: of address space that reading may take beyond what the process has.
    """
    found: list[str] = []
    begin = 0
    while begin < len(cases):
        begin = _read_from(begin, read, cases, seconds, megabytes, found)
    return found


def _read_from(
    begin: int,
    read: Callable[[bytes], object],
    cases: Sequence[bytes],
    seconds: float,
    megabytes: int,
    found: list[str],
) -> int:
    """Read cases from the given one on in a process; the number of the case to go on with."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        _child(begin, read, cases, megabytes, send)
    os.close(send)
    current, rest = begin, b""
    with os.fdopen(receive, "rb", buffering=0) as answers:
        while True:
            ready, _, _ = select.select([answers], [], [], seconds)
            if not ready:
                os.kill(child, signal.SIGKILL)
                found.append(f"case {current}: not read after {seconds:g} s")
                break
            chunk = answers.read(65536)
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                current, complaint = json.loads(line)
                if complaint:
                    found.append(f"case {current}: {complaint}")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
        found.append(f"case {current}: died of {signal.Signals(os.WTERMSIG(status)).name}")
    return len(cases) if status == 0 else current + 1


def _child(begin: int, read: Callable[[bytes], object], cases: Sequence[bytes], megabytes: int, send: int) -> None:
    def say(case: int, complaint: str = "") -> None:
        os.write(send, json.dumps([case, complaint]).encode() + b"\n")

    faulthandler.disable()  # a crash is found by the status
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (megabytes << 20), -1))
    for case in range(begin, len(cases)):
        say(case)
        try:
            read(cases[case])
        except IzhiError as error:
            message = str(error)
            if "\n" in message or len(message) > LONGEST_LINE:
                say(case, f"a message of {len(message)} characters: {message[:200]!r}")
        except BaseException as error:
            say(case, f"{type(error).__name__}: {str(error)[:200]!r}")
    os._exit(0)
