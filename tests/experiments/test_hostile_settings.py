"""Settings that are damaged or crafted, in TOML and on the command line: what they mean, or one line."""

import random

import pytest

from hostility import complaints, mutations
from izhi.cli.common import settings
from izhi.cli.options import add_settings
from izhi.cli.parser import Command
from izhi.errors import SettingError
from izhi.experiments import build, tuning
from izhi.experiments.comparison import plan
from izhi.experiments.settings import FIELDS, experiment, read, typed
from izhi.experiments.settings.description import describe
from izhi.experiments.variants import Variant, parse_search

NINES = "9" * 5000
TABLES = """
validation = 0.2

[data]
dataset = "iris"

[network]
hidden = [8, 4]

[training]
learning_rate = 1e-3
"""
FILES = [
    text.encode()
    for text in (
        TABLES, experiment({"dataset": "iris"}).to_toml("a header"),
        experiment({"dataset": "iris", "neuron": "RS", "mixture": "RS=.5,FS=.5", "learn": "a,b"}).to_toml(),
        'mixture = {RS = 0.5, FS = 0.5}\nneuron = "FS"\n',
    )
]  # fmt: skip
VALUES = (
    "", "0", "-1", "1", "3", "0.5", "1e-3", "1e999", "-1e999", "nan", "inf", "true", "none", "RS", "lif", "a,b", "8,4",
    ",", "=", "RS=.5,FS=.5", "RS=1", "RS=" + NINES, NINES, "1," + NINES, "1," * 3000, "0x10", "1_0", "٣", "\x00",
    "\ud800", "x" * 5000, "[[]]", "{}", "events", "rate", "exponential", "iris", "mnist", "a\nb",
)  # fmt: skip
#: As TOML has them.
LITERALS = (
    NINES, "-" + NINES, "1e999", "nan", "inf", "[" * 3000 + "]" * 3000, "[" * 200 + "1" + "]" * 200,
    "{a=" * 100 + "1" + "}" * 100,
    "1979-05-27", "07:32:00", "[1, 'a']", "{}", "{a=1}", "[]", "''", "'x'", "5", "-1", "0", "1.5", "true",
    "[" + "1," * 5000 + "]", "1" * 4000,
)  # fmt: skip


def from_file(tmp_path):
    path = tmp_path / "config.toml"

    def read_file(data):
        path.write_bytes(data)
        values = read(path)
        values.pop("variants", None)
        e = experiment(values)
        assert experiment(e.flat(plain=True)) == e
        e.to_toml()
        typed(values)

    return read_file


def from_command_line(data):
    parser = Command(prog="izhi")
    add_settings(parser)
    experiment(settings(parser.parse_args(data.decode(errors="surrogateescape").split("\x1f"))))


def files(count, seed):
    """Damaged files, and files of settings with values that no setting has."""
    draw = random.Random(seed)
    yield from mutations(FILES, count // 2, seed)
    for _ in range(count - count // 2):
        names = draw.sample(list(FIELDS), draw.choice((1, 1, 3)))
        yield "\n".join(f"{name} = {draw.choice(LITERALS)}" for name in names).encode()


def lines(count, seed):
    """Command lines: options with values that are odd, damaged, or another option's."""
    draw = random.Random(seed)
    for number in range(count):
        words = []
        for name in draw.sample(list(FIELDS), draw.choice((1, 2, 5))):
            words += [f"--{name.replace('_', '-')}", draw.choice(VALUES)]
        data = "\x1f".join(words).encode(errors="surrogatepass")
        yield data if number % 3 else next(mutations([data], 1, seed=1000 * seed + number))


@pytest.mark.slow
def test_hostile_files(tmp_path):
    assert complaints(from_file(tmp_path), list(files(300, seed=1)), megabytes=256) == []


@pytest.mark.slow
def test_hostile_command_lines():
    assert complaints(from_command_line, list(lines(300, seed=1)), megabytes=256) == []


@pytest.mark.long
def test_thousands_of_hostile_settings(tmp_path):
    assert complaints(from_file(tmp_path), list(files(2000, seed=2)), megabytes=256) == []
    assert complaints(from_command_line, list(lines(2000, seed=2)), megabytes=256) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 10**5000}, "epochs is a int that is too long to print, expected less than or equal to 1000000"),
        ({"epochs": NINES}, "epochs is '9+ … 9+', expected a whole number$"),
        (
            {"train_samples": int("1" * 400)},
            "train_samples is 1.*, expected a number of at most 64 bits$",
        ),
        ({"gain": "abc"}, "gain is 'abc', expected a valid number$"),
        ({"normalize_time": "maybe"}, "normalize_time is 'maybe', expected true or false$"),
        ({"neuron": 5}, "neuron is 5, expected text$"),
        ({"hidden": 5}, "hidden is 5, expected a list$"),
        ({"hidden": [1] * 1001}, "hidden is .*, expected at most 1000 of them$"),
        ({"hidden": [0] * 900}, "hidden.0 is 0, .*; and 895 more$"),
        ({"mixture": 3}, "mixture is 3, expected a table of names and numbers$"),
    ],
)
def test_mistakes_are_said_in_plain_words(values, message):
    with pytest.raises(SettingError, match=message):
        experiment(values)


def test_lists_within_lists_without_end(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("hidden = " + "[" * 3000 + "]" * 3000)
    with pytest.raises(SettingError, match="holds values within values without end"):
        read(path)
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(SettingError, match="hidden.0 is a list that is too long to print, expected a whole number"):
        experiment({"hidden": deep})


def test_what_every_variant_replaces_is_checked_before_the_first_trial():
    variants = [Variant("LIF", {"neuron": "lif"})]
    with pytest.raises(SettingError, match="neuron is 5, expected text"):
        tuning.check(variants, parse_search("slope=1..10"), {"dataset": "iris", "neuron": 5}, 1)
    with pytest.raises(SettingError, match="neuron is 5, expected text"):
        plan(variants, [0], {"dataset": "iris", "neuron": 5})


def test_networks_that_no_memory_holds_are_refused_with_their_size():
    e = experiment({"dataset": "iris", "hidden": "1000000,1000000"})
    with pytest.raises(SettingError, match=r"hidden is 1000000,1000000, whose weights take 4,000 GB, but this machine"):
        build.network(e, 4, 3)
    iris = build.dataset(e.data)
    e = experiment({"dataset": "iris", "hidden": "1000000", "steps": 10**6, "batch_size": 10**6})
    message = r"steps is 1000000 and batch_size 108, whose spikes and currents take 432,001 GB, but this machine"
    with pytest.raises(SettingError, match=message):
        build.check(e, iris)


def test_numbers_of_a_network_are_counted():
    for changes in ({}, {"connection": "recurrent"}, {"delays": 3}, {"delays": 3, "delay_type": "synaptic"},
                    {"readout": "current"}, {"hidden": "7"}):  # fmt: skip
        e = experiment({"dataset": "iris", "hidden": "8,4", **changes})
        network = build.network(e, 4, 3)
        assert describe(e, 4, 3).numbers == sum(p.numel() for p in network.parameters())
