"""Messages stay one line of bounded length, whatever they show."""

import copy
import pickle

import pytest

from izhi.errors import IzhiError, SettingError, shown


@pytest.mark.parametrize("value", ["x" * 100_000, "a\nb\r\x1b[31m", [0] * 50_000, 10**5000, "a", None], ids=type)
def test_a_value_is_shown_in_one_short_line(value):
    text = shown(value)
    assert text.isprintable()
    assert len(text) <= 60


def test_short_values_are_shown_whole():
    assert shown("lif") == "'lif'"
    assert shown(1.5) == "1.5"


def test_both_ends_of_a_long_message_stay():
    message = str(IzhiError(f"the start {'x' * 100_000}; the fix"))
    assert len(message) == 400
    assert message.startswith("the start x")
    assert " … " in message
    assert message.endswith("x; the fix")


def test_a_message_is_one_line():
    assert str(IzhiError("a\nb")) == "a\\nb"


def test_errors_are_copied_and_sent():
    error = SettingError("x is 1, expected 2; use 2")
    assert str(pickle.loads(pickle.dumps(error))) == str(copy.copy(error)) == str(error)
