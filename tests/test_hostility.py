"""The fuzzer finds what it looks for."""

import os
import time

import pytest

from hostility import complaints, mutations
from izhi import IzhiError


def test_mutations_are_repeatable_and_differ():
    samples = [b"one sample of 16", b"another 12345678"]
    first = list(mutations(samples, 200, seed=1))
    assert first == list(mutations(samples, 200, seed=1))
    assert first != list(mutations(samples, 200, seed=2))
    assert len(set(first)) > 150


def refuses(data):
    raise IzhiError("no; use another")


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (lambda: {}["key"], "KeyError: \"'key'\""),
        (lambda: os.abort(), "died of SIGABRT"),
        (lambda: time.sleep(9), "not read after 0.5 s"),
        (lambda: bytearray(1 << 30), "MemoryError: ''"),
        (lambda: refuses_at_length(), "a message of 401 characters"),
    ],
)
def test_what_is_not_an_izhi_error_in_one_line(broken, complaint):
    def read(data):
        return broken() if data == b"bad" else refuses(data)

    found = complaints(read, [b"good", b"bad", b"good", b"bad"], seconds=0.5)
    assert [x.split(": ")[0] for x in found] == ["case 1", "case 3"]
    assert all(complaint in x for x in found)


def refuses_at_length():
    class Talkative(IzhiError):
        def __str__(self):
            return "x" * 401

    raise Talkative


def test_errors_in_one_line_are_no_complaint():
    assert complaints(refuses, [b"a", b"b"]) == []
