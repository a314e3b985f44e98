"""core.json from strangers: a shape, or one line of an error."""

import json
import random
from copy import deepcopy

import pytest

from hostility import complaints, mutations
from izhi.errors import SettingError
from izhi.hardware.core import description, shape_of
from izhi.hardware.core.shape import fingerprint
from izhi.hardware.fixed import FixedPoint
from networks import convolutional_network, random_network

SHAPES = [
    shape_of(random_network(1), 20, lanes=4, units=2),
    shape_of(random_network(1, kind="lif", recurrent=True, readout=True), 20, lanes=16, units=1),
    shape_of(random_network(1, readout=True, membrane=FixedPoint(16, 3), reads="last"), 20, lanes=4, units=2),
    shape_of(convolutional_network(1, delay=4, synapse=FixedPoint(14, 1)), 20, lanes=4, units=2),
]
STRANGE = (None, True, -1, 0, 1, 2.5, 1e300, 10**30, "x", "", [], [1], {}, {"width": 4}, [[]], 65537)


def places(table):
    """Every key of a JSON value, with what it is a key of."""
    for key, value in list(table.items() if isinstance(table, dict) else enumerate(table)):
        yield table, key
        if isinstance(value, (dict, list)):
            yield from places(value)


def strange(count, seed):
    """Texts of well-formed JSON in which values are others, or gone."""
    draw = random.Random(seed)
    for _ in range(count):
        found = json.loads(description.to_json(draw.choice(SHAPES)))
        for _ in range(draw.choice((1, 1, 2))):
            table, key = draw.choice(list(places(found)))
            if draw.random() < 0.2:
                del table[key]
            else:
                table[key] = deepcopy(draw.choice(STRANGE))
            if not found:
                break
        yield json.dumps(found).encode()


def read_all(tmp_path, count, seed):
    file = tmp_path / "core.json"

    def read(data):
        file.write_bytes(data)
        shape = description.read(file)
        # What is admitted describes a core: all that a driver asks of it can be asked.
        assert description.read(file) == shape
        assert fingerprint(shape) >= 0
        assert all(bits > 0 and words > 0 for _, bits, words in shape.memories)

    texts = [description.to_json(shape).encode() for shape in SHAPES]
    cases = [*mutations(texts, count, seed), *strange(count, seed), b"[" * 100_000, b"\xff", b"", b"null", b"[]", b"1"]
    assert complaints(read, cases) == []


@pytest.mark.slow
def test_damaged_files_are_refused_or_read(tmp_path):
    read_all(tmp_path, 400, 0)


@pytest.mark.long
def test_damaged_files_are_refused_or_read_at_length(tmp_path):
    read_all(tmp_path, 10_000, 1)


def changed(**values):
    found = json.loads(description.to_json(SHAPES[1]))
    for name, value in values.items():
        *path, last = name.split("__")
        table = found
        for key in path:
            table = table[int(key) if key.isdigit() else key]
        table[last] = value
    return found


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (changed(layers__0__inputs=0), "inputs 0, not a whole number from 1 to 65,536"),
        (changed(layers__0__lanes=True), "lanes True, not a whole number"),
        (changed(layers__0__kind=["lif"]), r"neurons of kind \['lif'\]"),
        (changed(layers__0__constants=[4]), r"constants \[4\], not the bits of 4"),
        (changed(layers__0__v={"width": 4}), "v {'width': 4}, not width and fraction"),
        (changed(layers__0__recurrent="no"), "recurrent 'no'"),
        (changed(layers__1__inputs=8), "layers of other sizes than those before them"),
        (changed(readout__steps=21), "a readout of other steps"),
        (changed(readout=[]), r"\[\] in place of a table"),
        (changed(layers__0__more=1), r"fields \['more'\] too many or too few"),
        (changed(layers=5), "other fields"),
        (changed(layers__0__trace=3), "3 in place of a table"),
        (changed(layers__0__delay=1024), "delay 1024, not a whole number from 0 to 1,023"),
        (changed(layers__0__pools={}), "pools {}, not a list of a few"),
        (changed(layers__0__window={"kernel": [1, 1]}), "a window {'kernel': "),
        (changed(**{"izhi core": 1}), "another version"),
        ({}, "another version"),
        ([], r"\[\] in place of a table"),
    ],
)
def test_what_describes_no_core_says_why(tmp_path, found, message):
    (tmp_path / "core.json").write_text(json.dumps(found))
    with pytest.raises(SettingError, match=f"core.json describes no core .{message}.*expected the core.json"):
        description.read(tmp_path / "core.json")


def test_a_file_that_is_far_too_long_is_not_read(tmp_path):
    (tmp_path / "core.json").write_bytes(b" " * (1 << 21))
    with pytest.raises(SettingError, match="describes no core .more than 1,048,576 bytes"):
        description.read(tmp_path / "core.json")
