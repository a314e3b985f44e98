"""The integer model: arithmetic by hand, traces by hand, convergence to the float neuron, and speed's equality."""

import os
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from functools import cache
from pathlib import Path

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

import izhi
from izhi.errors import ShapeError
from izhi.hardware import fixed
from izhi.hardware.fixed import (
    NEURONS,
    FixedPoint,
    IntegerLayer,
    IntegerNetwork,
    IntegerReadout,
    IzhikevichNeuron,
    LIFNeuron,
    SoftLIFNeuron,
    ValueLIFNeuron,
    ZeroingLIFNeuron,
    fast,
    network as integer_network,
)
from izhi.hardware.fixed.compiled import source_number
from networks import random_network, random_spikes


def ints(*values):
    return np.array(values, np.int64)


def trace_of(neuron, *currents):
    """v, u and spike of a single neuron behind each current."""
    states = neuron.start(1)
    seen = []
    for current in currents:
        states, spike = neuron.step(states, ints(current)[None])
        v, *others = states[:, 0, 0].tolist()
        seen.append((v, others[0] if others else 0, int(spike[0, 0])))
    return seen


def test_rounding_and_saturation():
    x = ints(-7, -6, -5, -2, -1, 0, 1, 2, 5, 6, 7)
    assert fixed.rounded_shift(x, 2).tolist() == [-2, -1, -1, 0, 0, 0, 0, 1, 1, 2, 2]
    assert fixed.rounded_shift(x, 0).tolist() == x.tolist()
    small = FixedPoint(4, 2)
    assert (small.lowest, small.highest, small.unit) == (-8, 7, 0.25)
    assert fixed.saturated(ints(-9, -8, 0, 7, 8), small).tolist() == [-8, -8, 0, 7, 7]


@given(st.integers(-(2**40), 2**40), st.integers(0, 20))
def test_rounding_is_to_the_nearest_and_halves_go_up(x, shift):
    found = int(fixed.rounded_shift(np.int64(x), shift))
    assert -0.5 < found - x / 2**shift <= 0.5


def test_a_trace_of_the_izhikevich_neuron_by_hand():
    # Fv = 4, Fu = 3, F = 2: v' = v + I + round(q + (-v - 2u + 3)/4), u' = u + round((2v' - u + 1)/4).
    n = IzhikevichNeuron(
        FixedPoint(8, 4), FixedPoint(6, 3), 2, ints(4), ints(-1), ints(-2), ints(3), ints(2), ints(-1),
        ints(1), ints(5), ints(9), ints(40), ints(10), ints(-3),
    )  # fmt: skip
    seen = trace_of(n, 20, 20, 0, 120)
    # Step 1: q = round(100/16) = 6; change = round((24 − 10 + 6 + 3)/4) = 6; v = 36;
    #         u = −3 + round((72 + 3 + 1)/4) = 16.
    # Step 2: q = 81; change = round((324 − 36 − 32 + 3)/4) = 65; v = 121; u = 16 + round(227/4) = 73 → 31.
    # Step 3: v ≥ 40: spike, v = 5, u = 31 + 9 → 31.
    # Step 4: q = 2; change = round((8 − 5 − 62 + 3)/4) = −14; v = 5 + 120 − 14 = 111; u = 31 + 48 → 31.
    assert seen == [(36, 16, 0), (121, 31, 0), (5, 31, 1), (111, 31, 0)]


def test_a_trace_of_the_lif_neuron_by_hand():
    seen = trace_of(LIFNeuron(FixedPoint(6, 3), 4, ints(12), ints(-8), ints(10)), 8, 8, 25, 0, -60)
    # 8 + round(−.5) = 8; 8 + round((96 − 8)/16) = 14 > 10; 25 + round(160/16) − 10 = 25; …
    assert seen == [(8, 0, 0), (14, 0, 1), (25, 0, 1), (8, 0, 0), (-32, 0, 0)]


def test_what_a_spike_of_the_soft_neuron_leaves_decays():
    seen = trace_of(SoftLIFNeuron(FixedPoint(6, 3), 4, ints(12), ints(-8), ints(10)), 8, 8, 25, 0, -60)
    # 8 + round(−.5) = 8; 8 + round((96 − 8)/16) = 14 > 10; 25 + round((48 − 8)/16) = 28 > 10;
    # round((216 − 8)/16) = 13 > 10; −60 + round((36 − 8)/16) → −32.
    assert seen == [(8, 0, 0), (14, 0, 1), (28, 0, 1), (13, 0, 1), (-32, 0, 0)]


def test_a_spike_of_the_zeroing_neuron_leaves_nothing():
    seen = trace_of(ZeroingLIFNeuron(FixedPoint(6, 3), 4, ints(12), ints(-8), ints(10)), 8, 8, 25, 0, -60)
    # 8 + round(−.5) = 8; 8 + round((96 − 8)/16) = 14 > 10; 25 + round(−.5) = 25 > 10; round(−.5) = 0; −60 − … → −32.
    assert seen == [(8, 0, 0), (14, 0, 1), (25, 0, 1), (0, 0, 0), (-32, 0, 0)]


def test_a_spike_leaves_the_value_that_v_begins_at():
    neuron = ValueLIFNeuron(FixedPoint(6, 3), 4, ints(12), ints(-8), ints(10), ints(-6))
    seen = trace_of(neuron, 8, 8, 25, 0, -60)
    # 8 + round(−.5) = 8; 8 + round((96 − 8)/16) = 14 > 10; 25 + round((−72 − 8)/16) = 20 > 10; −5; −60 − … → −32.
    assert seen == [(8, 0, 0), (14, 0, 1), (20, 0, 1), (-5, 0, 0), (-32, 0, 0)]


def test_a_synapse_and_a_delay_by_hand():
    neuron = LIFNeuron(FixedPoint(12, 0), 2, ints(0), ints(0), ints(99))
    synapse = fixed.IntegerSynapse(FixedPoint(6, 1), ints(3))  # three quarters of it stay
    layer = IntegerLayer(
        ints(4, -7).reshape(1, 2), 4, ints(3), 1, FixedPoint(12, 0), neuron, synapse=synapse, delay=ints(1, 3)
    )
    x = np.zeros((6, 1, 2), np.uint8)
    x[0], x[1, 0, 0] = 1, 2
    found = fixed.run(IntegerNetwork((layer,)), x, trace=True)
    # The first input arrives a step later, twice in step 2; the second in step 3.
    assert found.trace.accumulator[0][:, 0, 0].tolist() == [0, 4, 8, -7, 0, 0]
    # S: 8; 16 + round(6) = 22; −14 + round(16.5) = 3; round(2.25) = 2; round(1.5) = 2. I = round(3·S / 2).
    assert found.trace.current[0][:, 0, 0].tolist() == [0, 12, 33, 5, 3, 3]


def test_a_layer_accumulates_scales_and_feeds_back():
    neuron = LIFNeuron(FixedPoint(8, 0), 0, ints(0, 0), ints(0, 0), ints(3, 3))
    layer = IntegerLayer(
        ints(2, -1, 3, 1).reshape(2, 2),
        4,
        ints(3, 1),
        1,
        FixedPoint(8, 0),
        neuron,
        ints(0, 5, -4, 0).reshape(2, 2),
    )
    readout = IntegerReadout(ints(1, 1, -1, 2).reshape(2, 2), 4, ints(10, 1), ints(0, 7))
    x = np.zeros((3, 1, 2), np.uint8)
    x[0, 0], x[1, 0] = (1, 2), (2, 0)
    found = fixed.run(IntegerNetwork((layer,), readout), x, trace=True)
    assert found.trace.accumulator[0][:, 0].tolist() == [[0, 5], [4, 6], [0, -4]]
    assert found.trace.current[0][:, 0].tolist() == [[0, 3], [6, 3], [0, -2]]
    assert found.spikes[0][:, 0].tolist() == [[0, 0], [1, 0], [0, 0]]
    assert found.scores.tolist() == [[10, -1 + 3 * 7]]
    assert found.classes.tolist() == [1]


def test_with_many_bits_it_is_the_float_neuron():
    # In 30 bits rounding hardly matters: v, u and spikes are those of the module in torch.
    p = izhi.preset("normalized")
    f, v, u = 26, FixedPoint(32, 26), FixedPoint(32, 26)

    def scaled(value, fraction=f):
        return ints(round(value * 2**fraction))

    n = IzhikevichNeuron(
        v, u, f, scaled(p.a1), scaled(p.a2), scaled(p.a3), scaled(p.a4, 52), scaled(p.b1), scaled(p.b2),
        scaled(p.b3, 52), scaled(p.c), scaled(p.d), scaled(p.threshold), scaled(p.v0), scaled(p.u0),
    )  # fmt: skip
    current = 0.1 * torch.rand(200, 1, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    spikes, vs, us = izhi.Izhikevich("normalized").trace(current)
    state = n.start(1)
    for t in range(200):
        state, spike = n.step(state, np.rint(current[t].numpy() * 2**26).astype(np.int64))
        a, b = state
        assert int(spike[0, 0]) == int(spikes[t])
        assert a[0, 0] * v.unit == pytest.approx(float(vs[t]), abs=1e-4)
        assert b[0, 0] * u.unit == pytest.approx(float(us[t]), abs=1e-4)
    assert spikes.sum() > 5


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10**6), st.sampled_from(list(NEURONS)), st.booleans(), st.booleans(),
    st.integers(2, 8), st.sampled_from([8, 12, 16]), st.integers(1, 12), st.integers(1, 40), st.sampled_from([1, 3]),
    st.sampled_from([None, FixedPoint(16, 3), FixedPoint(10, 0)]), st.sampled_from([0, 1, 20]),
)  # fmt: skip
def test_the_fast_path_is_the_specification(
    seed, kind, recurrent, readout, bits, width, steps, batch, most, synapse, delay
):
    network = random_network(
        seed, kind=kind, recurrent=recurrent, readout=readout, bits=bits, width=width, synapse=synapse, delay=delay
    )
    x = random_spikes(seed, steps, batch, 12, most=most)
    slow, quick = fixed.run(network, x), fast.run(network, x, threads=2)
    assert np.array_equal(slow.scores, quick.scores)
    for a, b in zip(slow.spikes, quick.spikes, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.slow
def test_no_kernel_of_the_fast_path_calls_what_another_one_has_by_the_same_name(monkeypatch, tmp_path):
    """Kept on disk by two processes and then loaded, the neurons of one kind would run as those of another."""
    monkeypatch.setattr(numba.core.config, "CACHE_DIR", str(tmp_path))  # one that is loaded shows no code
    monkeypatch.setattr(fast, "_layer", cache(fast._layer.__wrapped__))
    for kind in NEURONS:
        fast.run(random_network(1, kind=kind), random_spikes(1, 2, 2, 12))
        for text in fast._layer(NEURONS[kind].update).inspect_llvm().values():
            assert "define" in text
            assert not re.search("call[^\n]*advance", text), kind


def test_random_networks_spike_and_saturate():
    found = fixed.run(random_network(1, width=8), random_spikes(1, 30, 20, 12), trace=True)
    for number in (0, 1):
        assert 0.02 < found.spikes[number].mean() < 0.6
    for states in (found.trace.v, found.trace.current):
        assert (states[0] == 127).any()
        assert (states[0] < 0).any()


def test_samples_do_not_depend_on_each_other():
    network, x = random_network(2, recurrent=True), random_spikes(2, 10, 6, 12)
    whole = fixed.run(network, x)
    one = fixed.run(network, x[:, 3:4])
    assert np.array_equal(whole.scores[3:4], one.scores)


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (
            np.zeros((3, 2, 11), np.uint8),
            r"spikes have shape \(3, 2, 11\), expected \(T, batch, 12\)",
        ),
        (np.zeros((0, 2, 12), np.uint8), "T of at least 1"),
        (np.zeros((3, 2, 12)), "spikes are float64, expected integers of 0 or more"),
        (np.full((3, 2, 12), -1), "expected integers of 0 or more"),
    ],
)
@pytest.mark.parametrize("run", [fixed.run, fast.run])
def test_wrong_input(run, spikes, message):
    with pytest.raises(ShapeError, match=message):
        run(random_network(0), spikes)


@pytest.mark.slow
def test_a_second_process_finds_what_the_first_one_compiled(tmp_path):
    code = """
from networks import random_network, random_spikes
from izhi.hardware.fixed import fast
from izhi.hardware.ip import fast as ip
import numpy as np
from numba.core import event
with event.install_recorder("numba:compile") as recorder:
    fast.run(random_network(1, kind="lif"), random_spikes(1, 5, 4, 12))
    ones = np.ones((1, 2, 2), np.float32)
    ip.scores([ones], [ones[:, 0]], ones[0], "lif")
print(len(recorder.buffer))
"""
    here = Path(__file__).parents[2]
    environment = {
        **os.environ, "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    compiled, files = [], []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        compiled.append(int(done.stdout))
        files.append(sorted(file.name for file in tmp_path.glob("*.nbc")))
    assert compiled[0] > 0 == compiled[1]
    assert files[0] == files[1] != []


@pytest.mark.parametrize("kind", [LIFNeuron, IzhikevichNeuron])
def test_neurons_in_integers_cannot_be_changed(kind):
    names = [field.name for field in fields(kind)]
    neuron = kind(**{name: FixedPoint(16, 8) if name.endswith("_format") else ints(3) for name in names})
    for name in names:
        with pytest.raises(FrozenInstanceError):
            setattr(neuron, name, ints(4))


def test_hashes_of_sources_are_numbers_that_compiled_code_holds():
    numbers = {source_number(integer_network, text=str(number)) for number in range(64)}
    assert len(numbers) == 64
    assert all(0 <= number < 2**63 for number in numbers)
