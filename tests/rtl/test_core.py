"""The core, compiled and run cycle for cycle: every spike and state is that of the integer model."""

from dataclasses import replace

import numpy as np
import pytest

from networks import random_network, random_spikes

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")

from izhi import fixed
from izhi.errors import SettingError
from izhi.rtl import Error, SimulatedCore, SimulatorError, packets, shape_of
from izhi.rtl.protocol import ABORTED, Opcode

STEPS, BATCH = 20, 6
#: Settings of the network, of the core, and how often an input may fire in a step.
CORES = {
    "izhikevich": ({}, {"lanes": 4, "units": 2}, 1),
    "readout": ({"readout": True, "bits": 8}, {"lanes": 8, "units": 8}, 3),
    "recurrent": (
        {"recurrent": True, "width": 8, "sizes": (12, 9, 7)},
        {"lanes": 2, "units": 1},
        1,
    ),
    "lif": ({"kind": "lif", "bits": 2, "sizes": (12, 70, 5)}, {"lanes": 32, "units": 4}, 2),
    "recurrent lif": (
        {"kind": "lif", "recurrent": True, "readout": True},
        {"lanes": 16, "units": 1},
        1,
    ),
}


@pytest.fixture(params=CORES)
def case(request):
    """A network, the shape of its core, and spikes for it."""
    network, core, most = CORES[request.param]
    network = random_network(1, **network)
    shape = shape_of(network, STEPS, largest_input=most, **core)
    return network, shape, random_spikes(2, STEPS, BATCH, 12, most=most)


def loaded(network, shape, **options):
    core = SimulatedCore(shape, **options)
    core.load(network)
    return core


def check(core, network, spikes):
    core.set(sends_spikes=True, keeps_states=True, seed=5)
    core.states()
    out, expected = core.run(spikes), fixed.run(network, spikes, trace=True)
    assert np.array_equal(out.scores, expected.scores)
    for a, b in zip(out.spikes, expected.spikes, strict=True):
        assert np.array_equal(a, b)
    states = core.states()
    for number, layer in enumerate(network.layers):
        own = states[states[:, 0] == number]
        by_time = own.reshape(spikes.shape[1], spikes.shape[0], layer.outputs, 4)
        assert (by_time[..., 1] == np.arange(layer.outputs)).all()
        for column, name in ((2, "v"), (3, "u")):
            found = by_time[..., column].transpose(1, 0, 2)
            assert np.array_equal(found, getattr(expected.trace, name)[number]), name
    return out


@pytest.mark.parametrize("pauses", [(0, 0), (100, 200), (0, 250)])
def test_every_spike_and_state_is_that_of_the_integer_model(case, pauses):
    network, shape, spikes = case
    out = check(loaded(network, shape, pauses=pauses), network, spikes)
    assert out.spikes[0].any()


def test_corner_inputs(case):
    network, shape, spikes = case
    core = loaded(network, shape, pauses=(30, 30))
    most = shape.layers[0].largest_input
    everything = np.full_like(spikes[:, :1], most)
    nothing = np.zeros_like(everything)
    last = nothing.copy()
    last[:, :, -1] = most  # right before each end of a step
    check(core, network, np.concatenate([nothing, everything, last, everything], 1))
    check(core, network, everything[:1])


def test_only_scores_come_out_unless_spikes_are_wished(case):
    network, shape, spikes = case
    core = loaded(network, shape)
    out = core.run(spikes)
    assert out.spikes == []
    assert np.array_equal(out.scores, fixed.run(network, spikes).scores)


def test_work_is_proportional_to_spikes():
    network = random_network(1, kind="lif", sizes=(60, 64))
    core = loaded(network, shape_of(network, STEPS, lanes=4, units=4))
    cycles = []
    for share in (0.1, 0.5):
        spikes = (np.random.default_rng(0).random((STEPS, 1, 60)) < share).astype(np.uint8)
        before = core.cycles
        core.run(spikes)
        cycles.append((core.cycles - before) / spikes.sum())
    assert cycles[1] == pytest.approx(16, rel=0.1)
    assert cycles[0] < 16 + 25


def broken_packets(shape, spikes):
    """Malformed packets (words, flags of last words), and the error each gives."""
    good, last = packets.inferences(spikes[:, :1])
    words, scores = len(good), shape.layers[0]

    def of(values, ends=None):
        flags = np.zeros(len(values), np.uint8)
        flags[ends if ends is not None else [-1]] = 1
        return np.array(values, np.uint32), flags

    middle = last.copy()
    middle[words // 2], middle[-1] = 1, 0
    yield "source", of([Opcode.SPIKE << 28 | scores.inputs, 7, 8]), Error.SOURCE
    yield "opcode", of([*good[:5], 9 << 28, *good[5:]]), Error.OPCODE
    yield "steps", of([*[Opcode.STEP << 28] * (STEPS + 1), Opcode.END << 28]), Error.STEPS
    yield "behind its end", of([*good, Opcode.STEP << 28]), Error.LAST
    yield "too early", (good[: words // 2], middle[: words // 2 + 1][-(words // 2) :]), Error.LAST
    yield "memory", of([Opcode.WRITE << 28 | 99, 0, 1, 5]), Error.MEMORY
    yield "address", of([Opcode.WRITE << 28, scores.sources * scores.groups, 1, 5]), Error.MEMORY
    yield "length", of([Opcode.WRITE << 28, 0, scores.sources * scores.groups + 1, 5]), Error.MEMORY
    yield "count", of([Opcode.WRITE << 28, 0, 0]), Error.LAST
    yield "cut", of([Opcode.WRITE << 28]), Error.LAST
    yield "within", of([Opcode.STEP << 28, Opcode.WRITE << 28, 0, 1, 5]), Error.MEMORY


def test_malformed_packets_raise_a_flag_and_the_next_inference_is_right():
    settings, core, most = CORES["recurrent"]
    network = random_network(1, **settings)
    shape = shape_of(network, STEPS, largest_input=most, **core)
    spikes = random_spikes(2, STEPS, 2, 12)
    core = loaded(network, shape, pauses=(50, 50))
    expected = fixed.run(network, spikes).scores
    for name, (words, last), error in broken_packets(shape, spikes):
        assert core.error() == Error.NONE, name
        core.send(words, last)
        assert core.error(acknowledge=True) == error, name
        assert np.array_equal(core.run(spikes).scores, expected), name


def test_a_packet_that_has_begun_ends_when_its_inference_is_thrown_away():
    settings, core, _ = CORES["lif"]
    network, spikes = random_network(1, **settings), random_spikes(2, STEPS, 3, 12)
    core = loaded(network, shape_of(network, STEPS, largest_input=2, **core), pauses=(0, 100))
    core.set(sends_spikes=True)
    words, last = packets.inferences(spikes[:, :1])
    words[-1] = 9 << 28
    for _ in range(2):
        out, ends = core.send(words, last, 1)
        assert len(out) > 20
        assert out[-1] == ABORTED
        assert ends.tolist() == [0] * (len(out) - 1) + [1]
        assert core.error(acknowledge=True) == Error.OPCODE
        check(core, network, spikes)
    core.set(sends_spikes=True)
    core.send(words[:-1], last[:-1])
    core.clear()
    out, _ = core.send(words[:0], last[:0], 1)
    assert out[-1] == ABORTED
    check(core, network, spikes)


def test_clear_in_mid_inference():
    settings, core, _ = CORES["recurrent"]
    network, spikes = random_network(1, **settings), random_spikes(2, STEPS, 2, 12)
    core = loaded(network, shape_of(network, STEPS, **core))
    words, last = packets.inferences(spikes)
    for count in (1, 9, len(words) // 3):
        core.send(words[:count], last[:count])
        core.clear()
        assert np.array_equal(core.run(spikes).scores, fixed.run(network, spikes).scores)
    assert core.error() == Error.NONE


@pytest.mark.parametrize("change", ["shift", "point"])
def test_a_changed_shift_is_caught(change):
    network = random_network(1)
    shape = shape_of(network, STEPS, lanes=4, units=2)
    first = shape.layers[0]
    v = fixed.FixedPoint(first.v.width, first.v.fraction + 1)
    wrong = {
        "shift": {"shift": first.shift + 1},
        "point": {"v": v},
    }[change]
    core = loaded(network, replace(shape, layers=(replace(first, **wrong), *shape.layers[1:])))
    with pytest.raises(AssertionError):
        check(core, network, random_spikes(2, STEPS, BATCH, 12))


def test_a_changed_constant_is_caught():
    network = random_network(1)
    shape = shape_of(network, STEPS, lanes=4, units=2)
    core = loaded(network, shape)
    neuron = network.layers[0].neuron
    off = replace(neuron, a2=neuron.a2 + (np.arange(9) == 4) * 40)
    core.write(
        1,
        packets.memories(
            shape, fixed.Network((replace(network.layers[0], neuron=off), network.layers[1]))
        )[1],
    )
    with pytest.raises(AssertionError):
        check(core, network, random_spikes(2, STEPS, BATCH, 12))


def test_another_network_of_the_same_shape_can_be_loaded():
    first, second = random_network(1), random_network(1, bits=4)
    weight = second.layers[0].weight[:, ::-1].copy()
    second = fixed.Network((replace(second.layers[0], weight=weight), second.layers[1]))
    core = loaded(first, shape_of(first, STEPS, lanes=4, units=2))
    spikes = random_spikes(3, STEPS, BATCH, 12)
    check(core, first, spikes)
    core.load(second)
    check(core, second, spikes)


def test_a_core_that_does_not_come_to_an_end_is_an_error():
    network = random_network(1)
    core = loaded(network, shape_of(network, STEPS, lanes=4, units=2))
    with pytest.raises(SimulatorError, match="took 1 of 1 words and sent 0 of 1 packets in 500"):
        core.send(np.array([Opcode.STEP << 28], np.uint32), np.zeros(1, np.uint8), 1, limit=500)


def test_bad_settings():
    with pytest.raises(SettingError, match="lanes is 6 and units is 4, expected units that divide"):
        shape_of(random_network(1), STEPS, lanes=6, units=4)
    for sizes in ((), (3,) * 18):
        network = random_network(1, sizes=sizes) if sizes else fixed.Network(())
        with pytest.raises(SettingError, match="layers of neurons, expected 1 to 16"):
            shape_of(network, STEPS)
