"""Readouts with a membrane, quantised: every score of every step is that of the integer model; formats, gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

import izhi
from izhi import LIF, quantization
from izhi.connections import ExponentialSynapse, Linear
from izhi.errors import SettingError
from izhi.hardware import fixed
from izhi.hardware.fixed import fast
from izhi.network import Network

READINGS = {"sum": lambda y: y.sum(0), "max": lambda y: y.amax(0), "last": lambda y: y[-1],
            "steps": lambda y: y.transpose(0, 1)}  # fmt: skip


def a_network(seed, tau=(2, 60), *, per_output=True, bias=True, learn=True, inputs=9):
    torch.manual_seed(seed)
    synapse = ExponentialSynapse(
        izhi.spread(tau=tau) if per_output else tau[0], per_output=4 if per_output else None, learn_tau=learn
    )
    network = Network([torch.nn.Linear(inputs, 12), LIF(0.8)], readout=Linear(12, 4, synapse=synapse, bias=bias))
    with torch.no_grad():
        network.layers[0].connection.weight.mul_(4)
    return network


def spikes_of(seed, steps, batch=5, inputs=9):
    return (torch.rand(steps, batch, inputs, generator=torch.Generator().manual_seed(seed)) < 0.3).float()


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 10**6), st.sampled_from(list(READINGS)), st.booleans(), st.booleans(),
    st.sampled_from([(8, 16), (4, 12), (2, 8), (8, 20)]), st.integers(1, 150),
)  # fmt: skip
def test_every_score_is_that_of_the_integer_model(seed, reads, per_output, bias, bits, steps):
    network, spikes = a_network(seed, per_output=per_output, bias=bias), spikes_of(seed, steps)
    formats = quantization.formats(network, spikes, bits[1])
    rounded = quantization.quantized(network, bits[0], formats).eval()
    with torch.no_grad():
        output = rounded(spikes).output
    whole = quantization.in_integers(rounded, reads=reads)
    fixed.check_bounds(whole)
    unit = rounded.readout.formats.v.unit
    expected = READINGS[reads](output).numpy() / unit
    found = fast.run(whole, spikes.numpy().astype(np.uint8))
    assert np.array_equal(found.scores, expected)
    assert np.array_equal(fixed.run(whole, spikes.numpy().astype(np.uint8)).scores, expected)
    assert np.array_equal(found.classes, READINGS[reads](output).argmax(-1))


def test_it_does_nearly_what_the_float_network_does():
    network, spikes = a_network(1).eval(), spikes_of(1, 300, 40)
    with torch.no_grad():
        network.layers[0].connection.bias = None
        expected = network(spikes).output
        rounded = quantization.quantized(network, 8, quantization.formats(network, spikes, 16)).eval()
        output = rounded(spikes).output
    assert expected.std() > 0.01
    assert (output - expected).abs().mean() < 0.05 * expected.std()
    assert (output.argmax(-1) == expected.argmax(-1)).float().mean() > 0.95


def test_a_run_in_parts_is_the_whole():
    network, spikes = a_network(2), spikes_of(2, 50)
    rounded = quantization.quantized(network, 4, quantization.formats(network, spikes, 12)).eval()
    with torch.no_grad():
        whole = rounded(spikes).output
        first = rounded(spikes[:20])
        second = rounded(spikes[20:], first.state)
    assert torch.equal(torch.cat([first.output, second.output]), whole)


def test_weights_and_time_constants_learn():
    network, spikes = a_network(3), spikes_of(3, 60)
    rounded = quantization.quantized(network, 4, quantization.formats(network, spikes, 16)).train()
    labels = torch.arange(5) % 4
    exact = torch.nn.functional.cross_entropy(network(spikes).output.mean(0), labels)
    torch.nn.functional.cross_entropy(rounded(spikes).output.mean(0), labels).backward()
    (expected,) = torch.autograd.grad(exact, network.readout.synapse.logit)
    assert network.readout.synapse.logit is rounded.readout.synapse.logit
    found = rounded.readout.synapse.logit.grad
    assert torch.nn.functional.cosine_similarity(found, expected, 0) > 0.9
    for name, p in rounded.named_parameters():
        assert torch.isfinite(p.grad).all(), name
        assert p.grad.abs().sum() > 0, name


def test_biases_are_corrected():
    network, spikes = a_network(4), spikes_of(4, 80, 30)
    rounded = quantization.quantized(network, 2, quantization.formats(network, spikes, 16)).eval()
    with torch.no_grad():
        expected = network.eval()(spikes).output.mean((0, 1))
        before = (rounded(spikes).output.mean((0, 1)) - expected).abs().max()
        quantization.correct_biases(network, rounded, spikes)
        after = (rounded(spikes).output.mean((0, 1)) - expected).abs().max()
    assert after < 0.5 * before


def test_weights_alone_are_rounded():
    network, spikes = a_network(5), spikes_of(5, 30)
    rounded = quantization.quantized(network, 8, None).eval()
    with torch.no_grad():
        assert torch.allclose(rounded(spikes).output[0], network.eval()(spikes).output[0], atol=0.05)


def test_formats_of_the_readout_are_needed():
    network, spikes = a_network(6), spikes_of(6, 10)
    *layers, _ = quantization.formats(network, spikes, 16)
    with pytest.raises(SettingError, match="formats are of 1 layers, but the readout has a synapse"):
        quantization.quantized(network, 4, layers)
