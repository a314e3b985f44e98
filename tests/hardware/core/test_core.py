"""The core, compiled and run cycle for cycle: every spike and state is that of the integer model."""

from dataclasses import replace

import numpy as np
import pytest

from networks import convolutional_network, random_network, random_spikes

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")

from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib import memory

from izhi.errors import DeviceError, SettingError
from izhi.hardware import fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core import (
    Error,
    SimulatedCore,
    SimulatorError,
    arithmetic,
    compile,
    memories,
    packets,
    shape_of,
    simulated,
    yosys,
)
from izhi.hardware.core.compile import library
from izhi.hardware.core.protocol import ABORTED, Control, Opcode, Register
from izhi.hardware.core.scores import ReadoutUnit
from izhi.hardware.core.simulated import CHECK_EVERY
from izhi.hardware.devices import shape_for
from izhi.hardware.devices.core import CoreDevice
from izhi.hardware.fixed import FixedPoint

pytestmark = pytest.mark.slow

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
    "soft reset": ({"kind": "lif-soft", "width": 8, "sizes": (12, 9, 7)}, {"lanes": 4, "units": 2}, 2),
    "reset to zero": ({"kind": "lif-zero", "sizes": (12, 9, 7, 6, 5)}, {"lanes": 4, "units": 1}, 1),
    "reset to a value": ({"kind": "lif-value", "bits": 8, "sizes": (12, 9, 7)}, {"lanes": 4, "units": 2}, 2),
    "synapse": (
        {"synapse": FixedPoint(14, 2), "recurrent": True, "readout": True},
        {"lanes": 8, "units": 2},
        2,
    ),
    "membrane": ({"readout": True, "membrane": FixedPoint(16, 3)}, {"lanes": 4, "units": 2}, 1),
    "last step of a membrane": (
        {"readout": True, "membrane": FixedPoint(9, 2), "reads": "last", "kind": "lif"},
        {"lanes": 4, "units": 1},
        2,
    ),
    "maxima": ({"readout": True, "reads": "max", "bits": 8}, {"lanes": 4, "units": 2}, 1),
    "steps of a membrane": (
        {"readout": True, "membrane": FixedPoint(20, 4), "reads": "steps"},
        {"lanes": 4, "units": 2},
        1,
    ),
    "steps of spikes": ({"reads": "steps"}, {"lanes": 4, "units": 2}, 1),
    "synapse of lif": ({"kind": "lif", "synapse": FixedPoint(18, 0)}, {"lanes": 16, "units": 16}, 1),
    "pairs": ({"readout": True, "sizes": (12, 9, 7)}, {"lanes": 4, "units": 2, "spikes": 2}, 1),
    "counts": ({"recurrent": True}, {"lanes": 2, "units": 1}, 255),
    "counts of a word": ({"kind": "lif", "sizes": (12, 9, 7)}, {"lanes": 16, "units": 4}, 3),
    "delays": ({"delay": 5}, {"lanes": 4, "units": 2}, 1),
    "delays of counts": (
        {"delay": 30, "kind": "lif-zero", "recurrent": True, "synapse": FixedPoint(16, 1)},
        {"lanes": 4, "units": 4},
        3,
    ),
}


@pytest.fixture(params=CORES)
def case(request):
    """A network, the shape of its core, and spikes for it."""
    network, core, most = CORES[request.param]
    network = random_network(1, **network)
    shape = shape_of(network, STEPS, largest_input=most, **core)
    return network, shape, random_spikes(2, STEPS, BATCH, 12, most=most)


def loaded(network, shape, compiled=library, **options):
    """A device, simulated with all its states, that holds a network."""
    options = {"check_every": 1, **options}
    block = SimulatedCore(compiled(shape, shows_states=True), shape, **options)
    device = CoreDevice("simulator", block, shape)
    device.load(IntegerArtifact(network, shape.steps, ()))
    return device


def check(core, network, spikes):
    core.block.states()
    out = core.run(spikes, sends_spikes=True)
    expected = fixed.run(network, spikes, trace=True)
    assert np.array_equal(out.scores, expected.scores)
    for a, b in zip(out.spikes, expected.spikes, strict=True):
        assert np.array_equal(a, b)
    states = core.block.states()
    for number, layer in enumerate(network.layers):
        own = states[states[:, 0] == number]
        by_time = own.reshape(spikes.shape[1], spikes.shape[0], layer.outputs, 4)
        # A convolution's neurons are updated place by place.
        order = np.argsort(by_time[0, 0, :, 1])
        by_time = by_time[:, :, order]
        assert (by_time[..., 1] == np.arange(layer.outputs)).all()
        for column, name in ((2, "v"), (3, "u")):
            found = by_time[..., column].transpose(1, 0, 2)
            assert np.array_equal(found, getattr(expected.trace, name)[number]), name
    return out


@pytest.mark.parametrize("pauses", [(0, 0), (100, 200), (0, 250)])
def test_every_spike_and_state_is_that_of_the_integer_model(case, pauses):
    network, shape, spikes = case
    every = 1 if pauses == (0, 0) else 16
    out = check(loaded(network, shape, pauses=pauses, check_every=every), network, spikes)
    assert out.spikes[0].any()


@pytest.mark.parametrize("name", ["readout", "recurrent lif", "pairs", "membrane", "maxima"])
def test_memories_of_several_blocks_and_products_of_several_parts_change_nothing(name, monkeypatch):
    """What only large networks have, made of small ones: blocks of 16 words, and multipliers of 7 bits."""
    monkeypatch.setattr(compile, "_sources", lambda: "blocks of 16 words, multipliers of 7 bits")
    monkeypatch.setattr(memories, "BLOCK", 16)
    monkeypatch.setattr(arithmetic, "MULTIPLIER_BITS", 7)
    settings, core, most = CORES[name]
    network = random_network(1, **settings)
    shape = shape_of(network, STEPS, largest_input=most, **core)
    device = loaded(network, shape, library.__wrapped__, pauses=(30, 30))
    check(device, network, random_spikes(2, STEPS, 2, 12, most=most))


@pytest.mark.parametrize(("lanes", "units", "spikes"), [(16, 16, 1), (14, 2, 2)])
@pytest.mark.parametrize("kind", ["izhikevich", "lif"])
def test_a_layer_whose_sources_have_one_word_shifts_its_sums_out(kind, lanes, units, spikes):
    """Sums in registers: as many lanes as neurons, or more, and units that divide them in several ways."""
    network = random_network(1, kind=kind, recurrent=True, sizes=(12, 14, 5))
    shape = shape_of(network, STEPS, lanes=lanes, units=units, spikes=spikes)
    assert shape.layers[0].groups == 1
    check(loaded(network, shape, pauses=(40, 40), check_every=16), network, random_spikes(2, STEPS, 3, 12))


def test_two_spikes_are_taken_at_once_where_the_first_layer_can():
    plain, windows = random_network(1), convolutional_network(1)
    assert shape_for(IntegerArtifact(plain, STEPS, ())).layers[0].spikes == 2
    for network in (windows, random_network(1, delay=3)):
        assert shape_for(IntegerArtifact(network, STEPS, ())).layers[0].spikes == 1
        with pytest.raises(SettingError, match="spikes is 2, but the first layer has delays, pools, a convolution"):
            shape_of(network, STEPS, spikes=2)
    with pytest.raises(SettingError, match="spikes is 3, expected 1 or 2"):
        shape_of(plain, STEPS, spikes=3)


@pytest.mark.parametrize(("most", "at_once"), [(1, 2), (2, 1), (255, 1)])
def test_spikes_of_an_input_in_a_step_are_added_at_once(most, at_once):
    network = random_network(1)
    shape = shape_for(IntegerArtifact(network, STEPS, (), encoding={"encoding": "current", "levels": most}))
    assert (shape.layers[0].largest_input, shape.layers[0].spikes) == (most, at_once)
    device = loaded(network, shape_of(network, STEPS, lanes=1, units=1, largest_input=most))
    cycles, all_inputs = [], np.ones((STEPS, 1, 12), np.uint8)
    for spikes in (all_inputs, all_inputs * most):
        before = device.block.cycles
        check(device, network, spikes)
        cycles.append(device.block.cycles - before)
    assert cycles[1] == pytest.approx(cycles[0], rel=0.05)  # the other layers have more spikes
    assert device.counters.events == STEPS * 12 * (1 + most)
    if most > 1:
        with pytest.raises(SettingError, match="spikes is 2, but an input fires several times in a step"):
            shape_of(network, STEPS, largest_input=most, spikes=2)
        first, second = shape.layers
        with pytest.raises(SettingError, match=f"inputs of layer 2 fire up to {most} times in a step, but they are"):
            replace(shape, layers=(first, replace(second, largest_input=most)))


def test_a_count_that_is_none_is_refused():
    network = random_network(1)
    spikes, count = random_spikes(2, STEPS, 2, 12), Opcode.COUNT << 28
    for most, word, error in (
        (1, count | 3 | 1 << 20, Error.OPCODE),
        (2, count | 12 | 1 << 20, Error.SOURCE),
        (2, count | 3, Error.COUNT),
        (2, count | 3 | 3 << 20, Error.COUNT),
    ):
        device = loaded(network, shape_of(network, STEPS, lanes=4, units=2, largest_input=most))
        assert device.block.exchange(np.array([word, Opcode.END << 28], np.uint32), 99)[-1] == ABORTED
        assert error_of(device) == error
        acknowledge(device)
        check(device, network, spikes)


def test_a_pair_that_is_no_pair_of_inputs_is_refused():
    network = random_network(1)
    spikes, pair = random_spikes(2, STEPS, 2, 12), Opcode.PAIR << 28
    for at_once, words, error in (
        (2, [pair | 12, Opcode.END << 28], Error.SOURCE),
        (2, [pair | 3 | 12 << 14, Opcode.END << 28], Error.SOURCE),
        (1, [pair | 3 | 4 << 14, Opcode.END << 28], Error.OPCODE),
    ):
        device = loaded(network, shape_of(network, STEPS, lanes=4, units=2, spikes=at_once))
        assert device.block.exchange(np.array(words, np.uint32), 99)[-1] == ABORTED
        assert error_of(device) == error
        acknowledge(device)
        check(device, network, spikes)


CONVOLUTIONS = {
    "pools of both kinds": ({}, {"lanes": 4, "units": 2}),
    "strides and padding": (
        {"features": (2, 12, 8), "stride": (2, 1), "padding": (1, 2), "kernel": (3, 3), "kind": "lif"},
        {"lanes": 2, "units": 2},
    ),
    "one place and delays": (
        {"then": "max", "kernel": (1, 1), "padding": (0, 0), "delay": 4},
        {"lanes": 8, "units": 1},
    ),
    "strides beyond the kernel": (
        {"features": (1, 12, 16), "then": "max", "stride": (2, 3), "kernel": (2, 2), "padding": (0, 0),
         "synapse": FixedPoint(14, 1), "readout": False},
        {"lanes": 4, "units": 4},
    ),
    "counts": ({"features": (1, 3, 4), "first": None}, {"lanes": 4, "units": 2, "largest_input": 255}),
    "counts and delays": (
        {"features": (1, 3, 4), "first": None, "kind": "lif", "delay": 3},
        {"lanes": 8, "units": 4, "largest_input": 9},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_and_pools_are_those_of_the_integer_model(name):
    settings, core = CONVOLUTIONS[name]
    network = convolutional_network(3, **settings)
    most = core.get("largest_input", 1)
    spikes = random_spikes(2, STEPS, 3, network.inputs, most=most)
    device = loaded(network, shape_of(network, STEPS, **core), pauses=(40, 40), check_every=16)
    out = check(device, network, spikes)
    assert out.spikes[0].any()
    assert out.spikes[1].any()
    everything, nothing = np.full_like(spikes[:, :1], most), np.zeros_like(spikes[:, :1])
    check(device, network, np.concatenate([nothing, everything, everything[:, :, ::-1]], 1))


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
        core.clear()
        core.run(spikes)
        cycles.append(core.counters.cycles / spikes.sum())
    assert cycles[1] == pytest.approx(16, rel=0.1)
    assert cycles[0] < 16 + 25


def broken_packets(shape, spikes):
    """Malformed packets, the error each gives, and whether a packet answers them."""
    good = packets.inferences(spikes[:, :1])
    first = shape.layers[0]
    depth = first.sources * first.groups
    step, end, write = (x << 28 for x in (Opcode.STEP, Opcode.END, Opcode.WRITE))
    yield "source", [first.inputs, 7, 8], Error.SOURCE, True
    yield "opcode", [*good[:5], 9 << 28, *good[5:]], Error.OPCODE, True
    yield "steps", [*[step] * (STEPS + 1), end], Error.STEPS, True
    yield "no end", [*good, step], Error.LAST, True
    yield "cut", good[: len(good) // 2], Error.LAST, True
    yield "within", [step, write, 0, 1, 5], Error.MEMORY, True
    yield "behind", [*good, write, 0, 1, 5], Error.MEMORY, True
    yield "memory", [write | 99, 0, 1, 5], Error.MEMORY, False
    yield "address", [write, depth, 1, 5], Error.MEMORY, False
    yield "length", [write, 0, depth + 1, 5], Error.MEMORY, False
    yield "count", [write, 0, 0], Error.LAST, False
    yield "write cut", [write], Error.LAST, False


def error_of(device):
    return Error(device.block.read(Register.STATUS) >> 8)


def acknowledge(device):
    device.block.write(Register.CONTROL, 1 << Control.RUN | 1 << Control.ACKNOWLEDGE)


def test_malformed_packets_raise_a_flag_and_the_next_inference_is_right():
    settings, core, most = CORES["recurrent"]
    network = random_network(1, **settings)
    shape = shape_of(network, STEPS, largest_input=most, **core)
    spikes = random_spikes(2, STEPS, 2, 12)
    device = loaded(network, shape, pauses=(50, 50))
    device.block.write(Register.STEPS, 0)
    expected = fixed.run(network, spikes).scores
    for name, words, error, is_answered in broken_packets(shape, spikes):
        assert error_of(device) == Error.NONE, name
        words = np.array(words, np.uint32)
        if is_answered:
            assert device.block.exchange(words, 99)[-1] == ABORTED, name
        else:
            device.block.send(words)
        assert error_of(device) == error, name
        acknowledge(device)
        assert np.array_equal(device.run(spikes).scores, expected), name


def test_each_of_several_malformed_packets_is_answered_however_late_the_answers_are_taken():
    network = random_network(1)
    device = loaded(network, shape_of(network, STEPS, lanes=4, units=2), pauses=(0, 250), check_every=16)
    count = 9
    out, last = device.block.stream(np.full(count, 9 << 28, np.uint32), np.ones(count, bool), count, count)
    assert out.tolist() == [ABORTED] * count
    assert last.all()
    acknowledge(device)
    check(device, network, random_spikes(2, STEPS, 2, 12))


def test_what_was_found_before_an_error_is_ended():
    settings, core, _ = CORES["lif"]
    network, spikes = random_network(1, **settings), random_spikes(2, STEPS, 3, 12)
    device = loaded(network, shape_of(network, STEPS, largest_input=2, **core), pauses=(0, 100))
    scores = fixed.run(network, spikes).scores
    words = packets.inferences(spikes)
    words[-1] = 9 << 28
    for _ in range(2):
        acknowledge(device)  # and sends no spikes
        out, last = device.block.stream(words, np.arange(len(words)) == len(words) - 1, 1, 99)
        assert last.tolist() == [False] * (len(out) - 1) + [True]
        assert np.array_equal(out[:-1].view(np.int32), scores[:2].reshape(-1))
        assert out[-1] == ABORTED
        assert error_of(device) == Error.OPCODE
        acknowledge(device)
        check(device, network, spikes)
    # Thrown away by clear, when spikes are out and scores are not.
    device.block.write(Register.CONTROL, 1 << Control.RUN | 1 << Control.SENDS_SPIKES)
    device.block.pauses = (0, 0)
    device.block.stream(words[:-1], np.zeros(len(words) - 1, bool), 0, 9999)
    device.block.write(Register.CONTROL, 1 << Control.RUN | 1 << Control.CLEAR)
    out, _ = device.block.stream(words[:0], np.zeros(0, bool), 1, 99)
    assert out[-1] == ABORTED
    check(device, network, spikes)


@pytest.mark.parametrize("throw_away", ["clear", "reset"])
def test_thrown_away_in_mid_inference(throw_away):
    settings, core, _ = CORES["recurrent"]
    network, spikes = random_network(1, **settings), random_spikes(2, STEPS, 2, 12)
    device = loaded(network, shape_of(network, STEPS, **core))
    words = packets.inferences(spikes[:, :1])
    for count in (1, 9, len(words) - 1):
        acknowledge(device)  # and sends no spikes
        device.block.stream(words[:count], np.zeros(count, bool))
        assert device.block.read(Register.STATUS) & 1
        getattr(device if throw_away == "clear" else device.block, throw_away)()
        assert not device.block.read(Register.STATUS) & 1
        check(device, network, spikes)
    assert error_of(device) == Error.NONE


def test_a_refused_packet_is_one_error_and_the_device_goes_on(monkeypatch):
    network, spikes = random_network(1), random_spikes(2, STEPS, 3, 12)
    device = loaded(network, shape_of(network, STEPS, lanes=4, units=2))
    right = packets.inferences
    monkeypatch.setattr(packets, "inferences", lambda *given: right(*given) | 15 << 28)
    with pytest.raises(DeviceError, match="simulator refused a packet: unknown opcode"):
        device.run(spikes)
    monkeypatch.undo()
    assert np.array_equal(device.run(spikes).scores, fixed.run(network, spikes).scores)


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
    mutant = replace(shape, layers=(replace(first, **wrong), *shape.layers[1:]))
    core, spikes = loaded(network, shape), random_spikes(2, STEPS, BATCH, 12)
    check(core, network, spikes)
    # Past the driver, which notices that this core is another one.
    core.block = SimulatedCore(library(mutant, shows_states=True), mutant)
    for number, words in enumerate(packets.memories(mutant, network)):
        core.block.send(packets.write(number, words))
    with pytest.raises(AssertionError):
        check(core, network, spikes)
    with pytest.raises(DeviceError, match="FINGERPRINT, expected .* it holds another core"):
        CoreDevice("simulator", core.block, shape)


def test_a_changed_constant_is_caught():
    network = random_network(1)
    shape = shape_of(network, STEPS, lanes=4, units=2)
    core = loaded(network, shape)
    neuron = network.layers[0].neuron
    off = replace(neuron, a2=neuron.a2 + (np.arange(9) == 4) * 40)
    changed = fixed.IntegerNetwork((replace(network.layers[0], neuron=off), network.layers[1]))
    core.block.send(packets.write(1, packets.memories(shape, changed)[1]))
    with pytest.raises(AssertionError):
        check(core, network, random_spikes(2, STEPS, BATCH, 12))


def test_another_network_of_the_same_shape_can_be_loaded():
    first, second = random_network(1), random_network(1, bits=4)
    weight = second.layers[0].weight[:, ::-1].copy()
    second = fixed.IntegerNetwork((replace(second.layers[0], weight=weight), second.layers[1]))
    core = loaded(first, shape_of(first, STEPS, lanes=4, units=2))
    spikes = random_spikes(3, STEPS, BATCH, 12)
    check(core, first, spikes)
    core.load(IntegerArtifact(second, STEPS, ()))
    check(core, second, spikes)


def test_a_core_that_does_not_come_to_an_end_is_an_error():
    network = random_network(1)
    device = loaded(network, shape_of(network, STEPS, lanes=4, units=2))
    device.block.patience = 500
    with pytest.raises(SimulatorError, match="took 1 of 1 words and sent 0 of 1 packets, 0 words, and then"):
        device.block.stream(np.array([Opcode.STEP << 28], np.uint32), np.zeros(1, bool), 1, 9)


def test_copies_of_a_core_share_the_samples(monkeypatch):
    network, options, most = CORES["counts"]
    network = random_network(1, **network)
    shape = shape_of(network, STEPS, largest_input=most, **options)
    spikes = random_spikes(2, STEPS, 7, 12, most=most)
    one = loaded(network, shape)
    blocks = [SimulatedCore(library(shape, shows_states=True), shape) for _ in range(3)]
    several = CoreDevice("simulator", simulated.SimulatedCopies(blocks), shape)
    several.load(IntegerArtifact(network, STEPS, ()))
    for samples in (spikes, spikes[:, :2], spikes[:, :0]):  # fewer than there are copies, and none
        for device in (one, several):
            device.clear()
        expected, found = (device.run(samples, sends_spikes=True) for device in (one, several))
        assert np.array_equal(found.scores, expected.scores)
        assert all(np.array_equal(a, b) for a, b in zip(found.spikes, expected.spikes, strict=True))
        assert several.counters == one.counters
    weight = np.zeros_like(network.layers[0].weight)
    for device in (one, several):
        device.write_weights(0, weight)
    assert np.array_equal(several.run(spikes).scores, one.run(spikes).scores)
    # A failure in one of them leaves none with half an answer.
    monkeypatch.setattr(blocks[1], "patience", 3)
    with pytest.raises(SimulatorError, match="and then nothing for 3 cycles"):
        several.run(spikes)
    monkeypatch.undo()
    assert np.array_equal(several.run(spikes).scores, one.run(spikes).scores)


def test_a_long_time_step_is_no_standstill(monkeypatch):
    """A core with delays takes no word while the spikes of a step are added."""
    network, options, most = CORES["delays of counts"]
    network = random_network(1, **network)
    shape = shape_of(network, STEPS, largest_input=most, **options)
    spikes = np.full((STEPS, 1, 12), most, np.uint8)
    with pytest.raises(SimulatorError, match="and then nothing for 100 cycles"):
        loaded(network, shape, patience=100).run(spikes)
    monkeypatch.setattr(simulated, "PATIENCE", 100)
    check(loaded(network, shape), network, spikes)


def test_a_core_whose_logic_does_not_settle_is_refused(monkeypatch):
    """By value: these passes leave nets whole whose bits come from several cells, so that they feed back."""
    settings, core, _ = CORES["recurrent"]
    network, spikes = random_network(1, **settings), random_spikes(2, STEPS, 2, 12)
    shape = shape_of(network, STEPS, **core)
    passes = "proc; flatten; opt -full; memory_collect; memory_map t:$mem_v2 r:SIZE=1 %i; opt -full; opt_clean"
    monkeypatch.setattr(compile, "_PASSES", passes)
    wrong = library.__wrapped__(shape)
    for check_every in (1, CHECK_EVERY):
        with pytest.raises(SimulatorError, match="logic does not settle in one evaluation"):
            device = CoreDevice("simulator", SimulatedCore(wrong, shape, check_every=check_every), shape)
            device.load(IntegerArtifact(network, STEPS, ()))
            device.run(spikes)


def test_a_memory_with_two_ports_that_write_is_refused(tmp_path):
    m = Module()
    m.submodules.cells = cells = memory.Memory(shape=8, depth=4, init=[])
    address, out = Signal(2), Signal(8)
    for port in (cells.write_port(), cells.write_port()):
        m.d.comb += [port.addr.eq(address), port.data.eq(address), port.en.eq(1)]
    read = cells.read_port()
    m.d.comb += [read.addr.eq(address), out.eq(read.data)]
    text = str(rtlil.convert(m, ports=[address, out], name="izhi"))
    (tmp_path / "core.il").write_text(text)
    with pytest.raises(SimulatorError, match="yosys fails: Assertion failed: selection is not empty"):
        yosys.run(f"read_rtlil core.il; {compile._PASSES}", tmp_path)


@pytest.mark.filterwarnings("ignore:.*created but never used")
def test_scores_that_could_leave_32_bits_are_refused():
    shape = shape_of(random_network(1, readout=True, bits=8), STEPS)
    most = STEPS * 5 * 128
    # A multiplier of 8 bits is at most 127, and the rest is left to the bias.
    bits = (2**31 - 1 - 127 * most).bit_length() - STEPS.bit_length()
    for bias, fits in ((bits + 1, True), (bits + 2, False)):
        edge = replace(shape.readout, multiplier_bits=8, bias_bits=bias)
        assert (edge.score_bits <= 32) == (127 * most + (STEPS << (bias - 1)) < 2**31) == fits
        changed = replace(shape, readout=edge)
        if fits:
            ReadoutUnit(changed)
        else:
            with pytest.raises(SettingError, match="scores may take 33 bits, expected at most 32; use fewer steps"):
                ReadoutUnit(changed)


def test_bad_settings():
    with pytest.raises(SettingError, match="lanes is 6 and units is 4, expected units that divide"):
        shape_of(random_network(1), STEPS, lanes=6, units=4)
    for sizes in ((), (3,) * 18):
        network = random_network(1, sizes=sizes) if sizes else fixed.IntegerNetwork(())
        with pytest.raises(SettingError, match="layers of neurons, expected 1 to 16"):
            shape_of(network, STEPS)
