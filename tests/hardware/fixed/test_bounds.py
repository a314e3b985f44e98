"""Formats and constants are bounded so that 64 bits hold every number: compiled code and the core then agree."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from izhi.errors import ArtifactError, ShapeError
from izhi.hardware import fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.fixed import (
    FixedPoint,
    IntegerLayer,
    IntegerNetwork,
    IntegerReadout,
    IzhikevichNeuron,
    LIFNeuron,
    fast,
)
from izhi.hardware.fixed.bounds import MOST_NEURONS, MOST_SHIFT, MOST_SUM, MOST_WEIGHT_BITS
from izhi.hardware.fixed.network import MOST_INPUT, MOST_STEPS, scaled
from networks import random_network

INT32, INT64 = np.iinfo(np.int32), np.iinfo(np.int64)
MOST = int(INT32.max)


class Checked(int):
    """An integer of Python whose every result must fit 64 bits."""

    def _of(self, other, operation):
        found = getattr(int, operation)(self, other)
        assert INT64.min <= found <= INT64.max, f"{operation} gives {found}"
        return Checked(found)


for name in ("add", "radd", "sub", "rsub", "mul", "rmul", "rshift"):
    operation = f"__{name}__"
    setattr(Checked, operation, lambda self, other, operation=operation: self._of(other, operation))


def checked(*values):
    found = np.empty(len(values), object)
    found[:] = [Checked(value) for value in values]
    return found


def ints(*values):
    return np.array(values, np.int64)


def izhikevich(v, u, fraction, **constants):
    names = ("a1", "a2", "a3", "a4", "b1", "b2", "b3", "c", "d", "threshold", "v0", "u0")
    values = {**dict.fromkeys(names, 0), "threshold": MOST, **constants}
    return IzhikevichNeuron(v, u, fraction, **{name: ints(value) for name, value in values.items()})


def lif(v, fraction, beta, bias):
    return LIFNeuron(v, fraction, ints(beta), ints(bias), ints(MOST))


#: Neurons one of whose sums is the greatest that is admitted, and the constant that makes it greater by one.
NEURONS = [
    # q is 2^62, and nothing else is left.
    (izhikevich(FixedPoint(32, 0), FixedPoint(2, 0), 0, a4=MOST), "a1", 1),
    # q = 2^32: 2^29·2^32 + 2^29·2^31 + (2^29 − 1)·2^31 + (2^31 − 1)
    (izhikevich(FixedPoint(32, 30), FixedPoint(32, 0), 30, a1=-(1 << 29), a2=1 << 29, a3=(1 << 29) - 1, a4=MOST),
     "a4", -MOST - 1),
    (izhikevich(FixedPoint(32, 30), FixedPoint(32, 3), 0, b1=1 << 30, b2=-(1 << 30) + 1, b3=MOST), "b3", -MOST - 1),
    (izhikevich(FixedPoint(24, 0), FixedPoint(8, 0), 1, a1=(1 << 16) - 1, a2=-(1 << 23) + 1, a3=-(1 << 16) + 1,
                a4=127, d=MOST), "a4", 128),
    (lif(FixedPoint(32, 0), 0, MOST, MOST), "bias", -MOST - 1),
]  # fmt: skip


def network_of(neuron, **changes):
    v = neuron.formats.v
    layer = IntegerLayer(np.zeros((1, 1), np.int64), 8, ints(0), 0, v, neuron)
    return IntegerNetwork((replace(layer, **changes),))


@pytest.mark.parametrize(("neuron", "constant", "beyond"), NEURONS)
def test_the_greatest_numbers_stay_in_64_bits_and_what_is_greater_is_refused(neuron, constant, beyond):
    fixed.check_bounds(network_of(neuron))
    greater = replace(neuron, **{constant: ints(beyond)})
    most = [max(x.sums(x.v_format).values()) for x in (greater, neuron)]
    assert most[0] >= MOST_SUM > most[1]
    with pytest.raises(ArtifactError, match=r"^layer 1: .* may take 6\d bits, expected at most 63; use fewer bits"):
        fixed.check_bounds(network_of(greater))
    with pytest.raises(ArtifactError, match="may take"):
        IntegerArtifact(network_of(greater), 1, ("a",))

    formats, fraction, constants = neuron.arguments
    corners = [(n.lowest, -1, 0, n.highest) for n in (*formats, formats[0])]
    *states, current = (checked(*column) for column in zip(*product(*corners), strict=True))
    for signs in product((1, -1), repeat=2):
        # Each constant, and its opposite: the bound is of magnitudes.
        arguments = [checked(*[int(x[0]) * signs[k % 2]] * len(current)) for k, x in enumerate(constants)]
        arguments = [np.minimum(x, MOST) for x in arguments]
        wide = np.stack(states)
        narrow = wide.astype(np.int64)
        fired = type(neuron).update(wide, current, formats, fraction, arguments)
        of_narrow = [x.astype(np.int64) for x in arguments]
        assert (
            fired.tolist()
            == type(neuron).update(narrow, current.astype(np.int64), formats, fraction, of_narrow).tolist()
        )
        assert wide.tolist() == narrow.tolist()


def test_wide_states_with_large_coefficients_are_refused():
    # q has 46 bits, a1 31.
    neuron = izhikevich(FixedPoint(32, 16), FixedPoint(16, 0), 14, a1=MOST)
    with pytest.raises(ArtifactError, match="a1·q .* may take 78 bits"):
        fixed.check_bounds(network_of(neuron))


def test_accumulators_fit_32_bits_and_products_64():
    sources = MOST_NEURONS * MOST_INPUT + MOST_NEURONS
    half = 1 << (MOST_WEIGHT_BITS - 1)
    assert -half * sources >= INT32.min
    assert (half - 1) * sources <= INT32.max
    total = checked(-half * sources, (half - 1) * sources)
    for shift in (0, MOST_SHIFT):
        scaled(total, checked(MOST, MOST), shift, FixedPoint(32, 0))


def test_scores_fit_64_bits_for_all_admissible_steps():
    readout = IntegerReadout(np.full((1, 100), -128, np.int64), 8, ints(0), ints(-MOST - 1))
    most = (MOST_SUM // MOST_STEPS - MOST - 1) // (128 * 100 * MOST_INPUT)
    fixed.check_bounds(IntegerNetwork((), replace(readout, multiplier=ints(most))))
    with pytest.raises(ArtifactError, match="the readout: a score of 1,000,000 steps may take"):
        fixed.check_bounds(IntegerNetwork((), replace(readout, multiplier=ints(most + 1))))
    score = Checked(most) * (128 * 100 * MOST_INPUT * MOST_STEPS) + (MOST + 1) * MOST_STEPS
    assert score < MOST_SUM


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shift": 41}, "layer 1 has shift 41, expected 0 to 40"),
        ({"weight_bits": 9}, "layer 1 has weight bits 9, expected 0 to 8"),
        ({"multiplier": ints(MOST + 1)}, "layer 1 has multiplier from 2,147,483,648 to"),
        ({"multiplier": ints(-1)}, "layer 1 has multiplier from -1 to"),
        ({"current_format": FixedPoint(33, 0)}, "layer 1 has width of current 33, expected 0 to 32"),
        ({"weight": np.zeros((1, MOST_NEURONS + 1), np.int64)}, "layer 1 has inputs 65,537, expected 0 to 65,536"),
        ({"neuron": lif(FixedPoint(8, 31), 0, 0, 0)}, "layer 1 has fraction of current 31, expected 0 to 30"),
        ({"neuron": lif(FixedPoint(8, 0), 31, 0, 0)}, "layer 1 has fraction 31, expected 0 to 30"),
        ({"neuron": lif(FixedPoint(8, 0), 0, 0, -MOST - 2)}, "layer 1 has bias from -2,147,483,649 to"),
    ],
)
def test_what_the_file_has_no_room_for_is_refused(changes, message):
    with pytest.raises(ArtifactError, match=message):
        IntegerArtifact(network_of(**{"neuron": lif(FixedPoint(8, 0), 0, 0, 0), **changes}), 1, ("a",))


def test_large_sums_are_the_same_in_numpy_and_compiled():
    neuron, *_ = NEURONS[1]
    several = replace(neuron, threshold=ints(MOST - 1))
    layer = IntegerLayer(ints([-128], [127]).reshape(1, 2), 8, ints(MOST), 8, neuron.v_format, several)
    readout = IntegerReadout(ints(-128).reshape(1, 1), 8, ints(3_000_000), ints(-MOST))
    network = IntegerNetwork((layer,), readout)
    fixed.check_bounds(network)
    spikes = np.random.default_rng(0).integers(0, MOST_INPUT + 1, (400, 3, 2))
    assert np.array_equal(fixed.run(network, spikes).scores, fast.run(network, spikes).scores)
    alone = IntegerNetwork((), IntegerReadout(np.full((1, 9), -128, np.int64), 8, ints(9), ints(0)))
    many = np.full((8000, 1, 9), MOST_INPUT)  # their sum leaves 32 bits
    assert np.array_equal(fixed.run(alone, many).scores, fast.run(alone, many).scores)
    assert fast.run(alone, many).scores[0, 0] == -128 * 9 * 9 * 8000 * MOST_INPUT


@pytest.mark.parametrize("run", [fixed.run, fast.run, fixed.run_compiled])
@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (None, "spikes are None, expected a numpy array"),
        ([[[1]]], r"spikes are \[\[\[1\]\]\], expected a numpy array"),
        (np.full((1, 1, 1), 256), "an input fires 256 times in a step, expected at most 255"),
        (np.full((1, 1, 1), -1), "expected integers of 0 or more"),
        (np.zeros((0, 1, 1), int), "T of at least 1"),
        (np.broadcast_to(np.uint8(0), (MOST_STEPS + 1, 1, 1)), "at most 1,000,000"),
        (np.full((1, 1, 1), None), "spikes are object"),
    ],
)
def test_inputs_that_are_none(run, spikes, message):
    with pytest.raises(ShapeError, match=message):
        run(network_of(lif(FixedPoint(8, 0), 0, 0, 0)), spikes)


def test_a_number_out_of_all_proportion_is_told_by_its_size():
    network = random_network(1)
    layer = network.layers[0]
    huge = replace(layer, multiplier=layer.multiplier.astype(np.int64) * 10**15)
    with pytest.raises(
        ArtifactError, match=r"layer 1 has multiplier from \d\.\de\+\d\d to \d\.\de\+\d\d, expected 0 to"
    ):
        fixed.check_bounds(replace(network, layers=(huge, *network.layers[1:])))
