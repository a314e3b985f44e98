"""Switching activity of the simulated core, block by block, and what a sample takes, as an estimate."""

import json
import re

import numpy as np
import pytest

from networks import convolutional_network, random_network, random_spikes

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")

from izhi.experiments import core_report
from izhi.hardware import fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core import SimulatedCore, shape_of
from izhi.hardware.core.activity import activity, changes
from izhi.hardware.core.compile import cpp_compiler, library
from izhi.hardware.core.energy import operations
from izhi.hardware.devices.core import CoreDevice

STEPS = 20
NETWORK = random_network(1)
SHAPE = shape_of(NETWORK, STEPS, lanes=4, units=2)
SPIKES = random_spikes(2, STEPS, 3, 12)
ARTIFACT = IntegerArtifact(NETWORK, STEPS, tuple("abcde"), {"dataset": "digits"})
needs_compiler = pytest.mark.skipif(cpp_compiler() is None, reason="no C++ compiler is installed")


@pytest.mark.slow
@needs_compiler
def test_each_change_of_a_bit_is_counted():
    found, cycles = changes(ARTIFACT, SHAPE, SPIKES)
    device = CoreDevice("simulator", SimulatedCore(library(SHAPE), SHAPE), SHAPE)
    device.load(ARTIFACT)
    before = device.block.cycles
    device.run(SPIKES)
    assert cycles == device.block.cycles - before
    # A counter from 0 to n changes 2·n bits, less those that are high in the end.
    for name, counted in (("events", int(SPIKES.sum())), ("inferences", 3), ("cycles", device.counters.cycles)):
        counter = next(register for register in found if register.split("_24_")[0] == name)
        assert found[counter] == (32, 2 * counted - counted.bit_count()), name


@pytest.mark.parametrize("kind", fixed.NEURONS)
def test_products_have_the_bits_of_their_factors(kind):
    network = random_network(1, kind=kind)
    shape = shape_of(network, STEPS, lanes=4, units=2)
    found = {(one.block, one.what): one for one in operations(network, shape, SPIKES)}
    s, v = shape.layers[0], shape.layers[0].v.width
    kept = v + 1 if kind == "lif-soft" else v  # v − threshold takes a bit more
    q, u, bits = 2 * v - s.v.fraction, s.u.width, s.bits
    pairs = [(s.accumulator_bits, bits["multiplier"])]
    if kind == "izhikevich":
        pairs += [(v, v), (bits["a1"], q), (bits["a2"], v), (bits["a3"], u), (bits["b1"], v), (bits["b2"], u)]
    else:
        pairs.append((bits["beta"], kept))
    products = found["layer 1", "products of neurons"]
    assert products.count == STEPS * s.outputs * len(pairs)
    assert products.picojoules == pytest.approx(STEPS * s.outputs * sum(a * b for a, b in pairs) * 3.1 / 32**2)


@pytest.mark.slow
@needs_compiler
def test_more_spikes_change_more_where_they_are_added():
    nothing, everything = (np.full((STEPS, 1, 12), value, np.uint8) for value in (0, 1))
    quiet, busy = ({one.block: one for one in activity(ARTIFACT, SHAPE, x)} for x in (nothing, everything))
    assert (
        quiet.keys()
        == busy.keys()
        > {"layer 1: accumulator", "layer 2: neurons", "decoder", "scores", "streams", "bus"}
    )
    name = "layer 1: accumulator"
    assert busy[name].changes > 20 * quiet[name].changes
    assert quiet[name].bits == busy[name].bits
    assert 0 < busy[name].rate < 1


def test_operations_of_a_sample_are_counted_from_its_spikes():
    out = fixed.run(NETWORK, SPIKES)
    found = {(one.block, one.what): one for one in operations(NETWORK, SHAPE, SPIKES)}
    # 9 neurons are 3 words of 4 lanes.
    read = found["layer 1", "weights read"]
    assert read.count == SPIKES.sum() / 3 * 3 * 4
    assert read.picojoules == pytest.approx(read.count * 4 * 10 / 64)  # of 4 bits
    assert found["layer 2", "weights read"].count == pytest.approx(out.spikes[0].sum() / 3 * SHAPE.layers[1].groups * 4)
    assert found["layer 1", "products of neurons"].count == STEPS * SHAPE.layers[0].outputs * 7
    assert found["layer 1", "sums read and written"].count == 2 * read.count
    pairs = operations(NETWORK, shape_of(NETWORK, STEPS, lanes=4, units=2, spikes=2), SPIKES)
    sums = next(one for one in pairs if one.what == "sums read and written")
    assert sums.count == 2 * np.ceil(SPIKES.sum(2) / 2).sum() / 3 * 3 * 4
    added = found["layer 1", "weights added"]
    assert added.picojoules == pytest.approx(added.count * SHAPE.layers[0].accumulator_bits * 0.1 / 32)


def test_spikes_of_an_input_in_a_step_are_one_product():
    spikes = np.zeros((STEPS, 1, 12), np.uint8)
    spikes[:3, 0, :5] = 7
    shape = shape_of(NETWORK, STEPS, lanes=4, units=2, largest_input=7)
    found = {one.what: one for one in operations(NETWORK, shape, spikes) if one.block == "layer 1"}
    read = 3 * 5 * 3 * 4  # 9 neurons are 3 words of 4 lanes
    assert {found[name].count for name in ("weights read", "weights times spikes", "weights added")} == {read}
    assert found["weights times spikes"].picojoules == pytest.approx(read * 4 * 3 * 3.1 / 32**2)  # 4 and 3 bits


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_pairs_of_spikes_are_counted_in_every_type_of_integer(dtype):
    # An odd number of steps with spikes, whose counts did not cancel where they had wrapped.
    spikes = np.zeros((STEPS, 1, 12), dtype)
    spikes[:3, 0, :5] = 1
    found = operations(NETWORK, shape_of(NETWORK, STEPS, lanes=4, units=2, spikes=2), spikes)
    sums = next(one for one in found if (one.block, one.what) == ("layer 1", "sums read and written"))
    assert sums.count == 2 * 3 * 3 * 3 * 4  # 5 spikes are 3 additions in each of 3 steps, of 3 words of 4 lanes


def test_a_convolution_reads_a_spike_s_weights_at_each_place_that_sees_it():
    network = convolutional_network(3)
    shape = shape_of(network, STEPS, lanes=4, units=2)
    window, spikes = network.layers[0].window, np.zeros((STEPS, 1, network.inputs), np.uint8)
    spikes[0, 0, :] = 1
    found = next(one for one in operations(network, shape, spikes) if one.what == "weights read")
    # Each place sees its kernel, but for what is beyond the edge.
    seen = window.views(np.ones((1, window.inputs), np.int64)).sum()
    assert found.count == seen * shape.layers[0].groups * 4
    assert seen < window.places * window.sources or window.padding == (0, 0)


@pytest.mark.slow
@needs_compiler
def test_the_report_of_a_core_says_both(tmp_path):
    found = core_report.build(ARTIFACT, SHAPE, "pynq-z2", tmp_path, SPIKES, shows_activity=True)
    assert found == json.loads((tmp_path / "report.json").read_text())
    text = (tmp_path / "report.md").read_text()
    assert "## Energy of a sample: an estimate" in text
    assert re.search(r"\| layer 1 +\| weights read ", text)
    assert "## Switching activity" in text
    assert re.search(r"\| layer 1: accumulator +\|", text)
    assert len(found["activity"]) >= 8
