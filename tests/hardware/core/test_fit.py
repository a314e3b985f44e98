"""Networks in cores that are larger than they are: the same scores and spikes, or a clear refusal."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from izhi.errors import SettingError
from izhi.hardware import fixed
from izhi.hardware.core import description, fitted, larger, packets, shape_of
from izhi.hardware.core.chosen import require_core
from izhi.hardware.core.shape import fingerprint
from networks import random_network, random_spikes

STEPS = 6
MEMBRANE = fixed.FixedPoint(16, 3)
KINDS = st.sampled_from(["izhikevich", "lif"])


@pytest.mark.slow
@given(
    KINDS, st.booleans(), st.booleans(), st.integers(0, 99), st.tuples(*[st.integers(0, 9)] * 4),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_a_larger_network_gives_the_same_spikes_and_scores(kind, recurrent, readout, seed, more):
    network = random_network(seed, kind=kind, recurrent=recurrent, readout=readout)
    sizes = [12, 9, 5, 4][: 4 if readout else 3]
    grown = [a + b for a, b in zip(sizes, more, strict=False)]
    shape = larger(shape_of(network, STEPS), grown)
    whole = fitted(shape, network, STEPS)
    assert whole.layers[0].shift == network.layers[0].shift + 2
    assert [layer.weight.shape for layer in whole.layers] == [(grown[k + 1], grown[k]) for k in (0, 1)]
    spikes = random_spikes(seed, STEPS, 3, 12)
    more_inputs = np.pad(spikes, ((0, 0), (0, 0), (0, more[0])), constant_values=1)
    expected, found = fixed.run(network, spikes), fixed.run(whole, more_inputs)
    classes = expected.scores.shape[1]
    assert np.array_equal(found.scores[:, :classes], expected.scores)
    assert not found.scores[:, classes:].any()
    for a, b in zip(expected.spikes, found.spikes, strict=True):
        assert np.array_equal(b[..., : a.shape[2]], a)
        assert not b[..., a.shape[2] :].any()
    words = packets.memories(shape, whole)
    for memory, (_, bits, count) in zip(words, shape.memories, strict=True):
        assert memory.shape == (count, -(-bits // 32))


@given(st.integers(0, 99), st.sampled_from([None, MEMBRANE]), st.sampled_from(["sum", "max", "last", "steps"]))
@settings(max_examples=20, deadline=None)
def test_readouts_in_a_larger_core(seed, membrane, reads):
    network = random_network(seed, readout=True, membrane=membrane, reads=reads)
    shape = larger(shape_of(network, STEPS), [14, 10, 7, 6])
    whole, spikes = fitted(shape, network, STEPS), random_spikes(seed, STEPS, 3, 12)
    expected = fixed.run(replace(network, reads=shape.readout.reads), spikes).scores
    found = fixed.run(whole, np.pad(spikes, ((0, 0), (0, 0), (0, 2)))).scores
    assert np.array_equal(found[:, :4], expected)
    words = packets.memories(shape, whole)
    for memory, (_, bits, count) in zip(words, shape.memories, strict=True):
        assert memory.shape == (count, -(-bits // 32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"membrane": None}, "readout: membrane none, the core has one"),
        ({"reads": "sum"}, "scores sum, the core has last"),
        ({"membrane": fixed.FixedPoint(12, 3)}, "readout: sums of FixedPoint.*12"),
    ],
)
def test_readouts_that_do_not_fit(changes, message):
    own = {"readout": True, "membrane": MEMBRANE, "reads": "last"}
    shape = larger(shape_of(random_network(1, **own), STEPS))
    with pytest.raises(SettingError, match=message):
        fitted(shape, random_network(1, **{**own, **changes}), STEPS)


def test_scores_of_so_many_steps_that_they_leave_32_bits_are_refused_before_a_core_is_made():
    network = random_network(1, readout=True, membrane=MEMBRANE)
    most = -network.readout.membrane.current_format.lowest + 1024  # of a step: a bias has 11 bits at most
    require_core(network, steps=2**31 // most - 1)
    with pytest.raises(SettingError, match="scores may take 33 bits, expected at most 32; use fewer steps"):
        require_core(network, steps=2**31 // most + 2**20)
    require_core(replace(network, reads="last"), steps=10**6)


def test_cores_without_a_membrane_are_as_they_were():
    shape = shape_of(random_network(1, readout=True), 20, lanes=4, units=2)
    assert fingerprint(shape) == 2312794679
    assert not {"membrane", "reads"} & json.loads(description.to_json(shape))["readout"].keys()
    with pytest.raises(SettingError, match="the scores are the last spikes of the last layer, which the core does not"):
        shape_of(random_network(1, reads="last"), 20)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "lif"}, "layer 1: neurons lif, the core has izhikevich"),
        ({"bits": 8}, "layer 1: weight bits 8, the core has at most 4"),
        ({"width": 14}, "layer 1: currents of FixedPoint.*14"),
        ({"recurrent": True}, "layer 1: recurrence wanted, the core has none"),
        ({"readout": True}, "readout a, the core has no"),
        ({"sizes": (13, 9, 5)}, "layer 1: inputs 13, the core has at most 12"),
        ({"sizes": (12, 10, 5)}, "layer 1: neurons 10, the core has at most 9"),
        ({"sizes": (12, 9, 5, 5)}, "layers 3, the core has 2"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    shape = replace(larger(shape_of(random_network(1), STEPS), [12, 9, 5]))
    wide = [replace(s, shift=s.shift + 9, constants=(40,) * len(s.constants)) for s in shape.layers]
    with pytest.raises(SettingError, match="the network does not fit the core: " + message):
        fitted(replace(shape, layers=tuple(wide)), random_network(1, **change), STEPS)


def test_constants_and_steps_that_do_not_fit_are_refused():
    network = random_network(1)
    shape = shape_of(network, STEPS)
    with pytest.raises(SettingError, match="steps 7, the core has at most 6"):
        fitted(shape, network, STEPS + 1)
    first = network.layers[0]
    neuron = replace(first.neuron, a2=first.neuron.a2 * 64)
    off = fixed.IntegerNetwork((replace(first, neuron=neuron), network.layers[1]))
    with pytest.raises(SettingError, match="layer 1: a2 of .* bits, the core has"):
        fitted(shape, off, STEPS)
    with pytest.raises(SettingError, match="sizes is 12, 8, 5, expected at least .* 12, 9, 5"):
        larger(shape, [12, 8, 5])


def test_a_shape_survives_its_file_and_other_files_are_refused(tmp_path):
    for network in (random_network(1, readout=True), random_network(1, kind="lif", recurrent=True)):
        shape = shape_of(network, STEPS)
        (tmp_path / "core.json").write_text(description.to_json(shape))
        assert description.read(tmp_path / "core.json") == shape
        assert fingerprint(description.read(tmp_path / "core.json")) == fingerprint(shape)
    with pytest.raises(SettingError, match="cannot read .*none.json: No such file"):
        description.read(tmp_path / "none.json")
    for text in ("", "[]", "{}", '{"izhi core": 2}', '{"izhi core": 1, "layers": [{}]}'):
        (tmp_path / "core.json").write_text(text)
        with pytest.raises(SettingError, match="core.json describes no core"):
            description.read(tmp_path / "core.json")
