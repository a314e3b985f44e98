"""Every event order and reset, with limits of v and without: torch, integers, compiled integers, C and the core."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch
from core_runs import check_core
from every_order import EQUATIONS, drive_of, layer_of, network_of, neurons
from hypothesis import given, reject, settings, strategies as st
from torch.nn import Linear
from words_of_c import check_c

import izhi
from izhi import board, quantization
from izhi.errors import ArtifactError, CheckpointError
from izhi.hardware import artifact, c, fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core.chosen import shape_of
from izhi.hardware.fixed import fast
from izhi.network import Network
from izhi.neurons.neuron import DYNAMICS
from tiers import long_but

STEPS, BATCH = 25, 3


def by_name(equation):
    order, reset, limited = equation
    return f"{order}-{reset}{'-limited' if limited else ''}"


def spikes_of(random, network):
    return random.integers(0, 2, (STEPS, BATCH, network.inputs)).astype(np.uint8)


def check_torch(neuron, total):
    """Torch has the spikes and states of the integer neurons; these."""
    spikes, state = neuron(drive_of(total, neuron))
    layer = layer_of(neuron, np.zeros((total.shape[2], 4), np.int64))
    fixed.check_bounds(fixed.IntegerNetwork((layer,)))
    states, fires = layer.neuron.start(total.shape[1]), []
    for now in total:
        states, fired = layer.neuron.step(states, layer.current(now))
        fires.append(fired)
    assert np.array_equal(spikes.detach().numpy(), np.stack(fires))
    for x, raw, number in zip(state, states, layer.neuron.formats.values(), strict=False):
        assert np.array_equal(x.detach().numpy() / number.unit, raw)
    return layer.neuron, np.stack(fires)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(EQUATIONS), st.sampled_from(["biological", "CH", "normalized", "resonator", "adlif"]),
    st.integers(6, 22), st.integers(8, 16), st.integers(0, 1000), st.sampled_from([0.2, 1.0, 5.0]),
)  # fmt: skip
def test_torch_is_the_integer_model(equation, preset, width, fraction, seed, size):
    torch.manual_seed(seed)
    total = np.random.default_rng(seed).integers(-30, 40, (15, 2, 5)) * size
    neuron = neurons(*equation, preset, width=width, fraction=fraction)
    try:
        check_torch(neuron, total.astype(np.int64))
    except ArtifactError:  # numbers of more than 32 or 64 bits
        reject()


@pytest.mark.slow
@pytest.mark.parametrize("equation", long_but(map(list, EQUATIONS[::5]), map(list, EQUATIONS)), ids=by_name)
def test_compiled_torch_and_c_are_the_integer_model(equation, tmp_path):
    torch.manual_seed(1)
    random = np.random.default_rng(1)
    neuron = neurons(*equation, kernel="cpu")
    integers, fires = check_torch(neuron, random.integers(-30, 40, (STEPS, 2, 5)))
    assert 0 < fires.mean() < 1
    check_c(tmp_path, integers, random, 300, "-Wunused")
    network = fixed.IntegerNetwork((layer_of(neuron, random.integers(-20, 32, (5, 8))),))
    spikes = spikes_of(random, network)
    assert np.array_equal(fixed.run(network, spikes).spikes[0], fast.run(network, spikes).spikes[0])


#: A core of a layer of each order whose v keeps its limits, in mV; and cores of all equations, which take long.
CORES = [
    pytest.param([(order, "value", True) for order in izhi.ORDERS], "biological", marks=pytest.mark.slow),
    *(
        pytest.param(EQUATIONS[start : start + 16], preset, marks=pytest.mark.long)
        for preset in ("biological", "normalized")
        for start in range(0, len(EQUATIONS), 16)
    ),
]


@pytest.mark.parametrize(("equations", "preset"), CORES)
def test_the_core_computes_every_spike_and_state(equations, preset):
    torch.manual_seed(2)
    network = network_of(equations, np.random.default_rng(2), preset)
    spikes = spikes_of(np.random.default_rng(3), network)
    shape = shape_of(network, STEPS, lanes=2, units=1)
    _, expected = check_core(shape, network, spikes)
    assert all(0 < x.mean() < 1 for x in expected.spikes)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["biological", "normalized"])
def test_a_program_of_all_of_them_pleases_sanitizers(preset, tmp_path):
    torch.manual_seed(4)
    network = network_of(EQUATIONS, np.random.default_rng(4), preset)
    spikes = spikes_of(np.random.default_rng(5), network)
    made = IntegerArtifact(network, STEPS, tuple("abcdef"), {}, {}, spikes, fixed.run(network, spikes).scores)
    artifact.save(made, tmp_path / "network.izhi")
    c.write(artifact.load(tmp_path / "network.izhi"), tmp_path / "program")
    strict = ["-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-fsanitize=undefined,address"]
    sources = sorted((tmp_path / "program").glob("*.c"))
    subprocess.run(
        ["gcc", "-std=c99", *strict, "-fno-sanitize-recover=all", *sources, "-o", tmp_path / "p"], check=True
    )
    subprocess.run([tmp_path / "p"], check=True, capture_output=True)
    with board.open("c", made) as device:
        found = device.run(spikes, sends_spikes=True)
    for a, b in zip(found.spikes, fixed.run(network, spikes).spikes, strict=True):
        assert np.array_equal(a, b)


def driven_hard(order, scale=4.0):
    """A network in mV whose v reaches its limits, and its input."""
    torch.manual_seed(0)
    network = Network([Linear(12, 9), izhi.Izhikevich(izhi.preset("biological").replace(order=order))]).eval()
    layer = network.spiking[0]
    layer.neuron.kernel = "reference"
    layer.connection.weight.data *= scale
    return network, (torch.rand(30, 5, 12) < 0.4).float()


@pytest.mark.parametrize("order", izhi.ORDERS)
def test_neurons_in_mv_fire_in_integers_as_in_floats(order):
    network, spikes = driven_hard(order)
    formats = quantization.formats(network, spikes, 16)
    assert formats[0].limited
    with torch.no_grad():
        expected, _ = network(spikes)
        found, _ = quantization.quantized(network, None, formats)(spikes)
    assert (found != expected).sum() <= 0.02 * expected.sum()


@pytest.mark.parametrize("neuron", [izhi.Izhikevich("normalized", kernel="reference"), izhi.LIF(0.9)])
def test_limits_that_no_sample_reaches_cost_no_gates(neuron):
    _, spikes = driven_hard("snntorch")
    assert not quantization.formats(Network([Linear(12, 9), neuron]), spikes, 16)[0].limited


def test_a_saved_network_has_the_limits_that_it_was_saved_with():
    network, spikes = driven_hard("snntorch")
    formats = quantization.formats(network, spikes, 16)
    limited, other = (
        quantization.quantized(network, 8, x).eval() for x in (formats, [replace(formats[0], limited=False)])
    )
    first, second = limited(spikes)[0], other(spikes)[0]
    assert (first != second).any()
    other.load_state_dict(limited.state_dict())
    assert torch.equal(other(spikes)[0], first)
    assert other.spiking[0].neuron.formats == formats[0]
    older = {name: x for name, x in limited.state_dict().items() if name != f"layers.0.neuron.{DYNAMICS}"}
    other.load_state_dict(older)
    assert torch.equal(other(spikes)[0], second)


@pytest.mark.parametrize("odd", [2, -1, True, 1.0, [1], None])
def test_what_a_file_says_of_limits_is_checked(odd):
    neuron = neurons("snntorch", "value", True)
    with pytest.raises(CheckpointError, match="whether v has limits is .*, expected 0 or 1; use an intact copy"):
        neuron.set_extra_state(odd if odd is None else torch.tensor(odd))
