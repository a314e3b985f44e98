"""Readouts with a membrane, and what is read of scores over time: by hand, and the fast path by the specification."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from izhi.errors import ArtifactError
from izhi.hardware import fixed
from izhi.hardware.fixed import FixedPoint, IntegerMembrane, IntegerNetwork, IntegerReadout, fast
from networks import convolutional_network, random_network, random_spikes


def ints(*values):
    return np.array(values, np.int64)


def by_hand(reads):
    membrane = IntegerMembrane(FixedPoint(6, 1), ints(3, 0), 2, 1, FixedPoint(5, 0))
    readout = IntegerReadout(ints(4, -7).reshape(2, 1), 4, ints(3, 1), ints(-2, 10), membrane=membrane)
    x = np.array([1, 2, 0, 0], np.uint8).reshape(4, 1, 1)
    return fixed.run(IntegerNetwork((), readout, reads), x)


def test_a_membrane_by_hand():
    # S of the first class: 8; 16 + round(6) = 22; round(16.5) = 17; round(12.75) = 13, of the second −14; −28; 0; 0.
    # I: round(3·8 / 2) = 12; 33 → 15; 25.5 → 15; 19.5 → 15; and −7; −14; 0; 0.
    assert by_hand("steps").scores.tolist() == [[[10, 3], [13, -4], [13, 10], [13, 10]]]
    assert by_hand("sum").scores.tolist() == [[49, 19]]
    assert by_hand("last").scores.tolist() == [[13, 10]]
    assert by_hand("steps").classes.tolist() == [[0, 0, 0, 0]]
    assert by_hand("last").classes.tolist() == [0]


MEMBRANES = [None, FixedPoint(16, 3), FixedPoint(7, 0), FixedPoint(24, 9)]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10**6), st.booleans(), st.sampled_from(MEMBRANES), st.sampled_from(["sum", "max", "last", "steps"]),
    st.integers(1, 12), st.integers(1, 40),
)  # fmt: skip
def test_the_fast_path_is_the_specification(seed, readout, membrane, reads, steps, batch):
    network = random_network(seed, readout=readout, membrane=membrane if readout else None, reads=reads)
    x = random_spikes(seed, steps, batch, 12)
    slow, quick = fixed.run(network, x), fast.run(network, x, threads=2)
    assert slow.scores.dtype == quick.scores.dtype == np.int64
    assert np.array_equal(slow.scores, quick.scores)
    assert np.array_equal(slow.classes, quick.classes)
    each = fixed.run(replace(network, reads="steps"), x).scores
    assert np.array_equal(
        slow.scores, {"sum": each.sum(1), "max": each.max(1), "last": each[:, -1], "steps": each}[reads]
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decay": ints(-1, 0, 0, 0)}, "the readout has decay from -1, expected 0 or more"),
        ({"fraction": 31}, "the readout has fraction 31, expected 0 to 30"),
        ({"shift": 41}, "the readout has shift 41, expected 0 to 40"),
        ({"number": FixedPoint(33, 0)}, "the readout has width of trace 33, expected 0 to 32"),
        ({"current_format": FixedPoint(8, 31)}, "the readout has fraction of current 31, expected 0 to 30"),
    ],
)
def test_bounds(changes, message):
    network = random_network(1, readout=True, membrane=FixedPoint(16, 3))
    fixed.check_bounds(network)
    membrane = replace(network.readout.membrane, **changes)
    with pytest.raises(ArtifactError, match=message):
        fixed.check_bounds(replace(network, readout=replace(network.readout, membrane=membrane)))


def test_largest_numbers_are_the_same_in_numpy_and_compiled():
    wide, most = FixedPoint(32, 30), 2**31 - 1
    membrane = IntegerMembrane(wide, ints(most), 30, 0, wide)
    readout = IntegerReadout(np.full((1, 9), -128, np.int64), 8, ints(most), ints(-most - 1), membrane=membrane)
    network, x = IntegerNetwork((), readout), np.full((50, 2, 9), 255)
    fixed.check_bounds(network)
    assert fixed.run(network, x).scores.tolist() == fast.run(network, x).scores.tolist() == [[-(2**32) * 50]] * 2


@pytest.mark.parametrize("reads", ["sum", "max", "last", "steps"])
def test_no_samples_have_no_scores(reads):
    network = replace(convolutional_network(1), reads=reads)
    for run in (fixed.run, fast.run):
        scores = run(network, np.zeros((3, 0, network.inputs), np.uint8)).scores
        assert scores.shape == ((0, 3, 4) if reads == "steps" else (0, 4))


def test_an_unknown_reading():
    with pytest.raises(ArtifactError, match="reads is 'mean', expected sum, max, last, steps"):
        IntegerNetwork((), random_network(1, readout=True).readout, "mean")
