"""Balanced resonate-and-fire neurons and networks, against their equations in plain torch."""

import math

import numpy as np
import pytest
import torch

from izhi import fixed, quantization
from izhi.errors import IzhiError
from izhi.network import Network, resonators
from izhi.network.builder import build, describe
from izhi.spec import NetworkSpec

DELTA = 0.01


def plain(x, omega, b_offset, weight, tau, out):
    """Spikes (T, B, N) and outputs (T, B, classes) of Higuchi et al. 2024, for x (T, B, inputs)."""
    omega, b_offset, alpha = omega.abs(), b_offset.abs(), torch.exp(-1 / tau.abs())
    divergence = (-1 + torch.sqrt(1 - (DELTA * omega) ** 2)) / DELTA
    u = v = q = z = x.new_zeros(x.shape[1], len(omega))
    o = x.new_zeros(x.shape[1], len(out))
    spikes, outputs = [], []
    for x_t in x:
        current = torch.cat([x_t, z], 1) @ weight.T
        b = divergence - b_offset - q
        u, v = u + DELTA * (b * u - omega * v + current), v + DELTA * (omega * u + b * v)
        z = (u - 1 - q > 0).to(x)
        q = 0.9 * q + z
        o = alpha * o + (1 - alpha) * (z @ out.T)
        spikes.append(z)
        outputs.append(o)
    return torch.stack(spikes), torch.stack(outputs)


def random_weights(neurons, inputs, classes, seed=0):
    random = np.random.default_rng(seed)
    weight = random.normal(0, 30, (neurons, inputs + neurons)) / math.sqrt(inputs)
    weight[:, :inputs] = (abs(weight[:, :inputs]) + 40 / math.sqrt(inputs)) / math.sqrt(inputs)
    return {
        "omega": random.uniform(5, 60, neurons) * random.choice([-1, 1], neurons),
        "b_offset": random.uniform(0.1, 3, neurons) * random.choice([-1, 1], neurons),
        "weight": weight,
        "tau": random.normal(20, 5, classes) * random.choice([-1, 1], classes),
        "out": random.normal(0, 0.5, (classes, neurons)),
    }


@pytest.mark.parametrize("sizes", [(12, 1, 10), (36, 4, 6), (20, 70, 35), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.filterwarnings("ignore::izhi.errors.SlowKernelWarning")
def test_a_network_is_that_of_its_equations(sizes, dtype):
    weights = random_weights(*sizes)
    network = resonators(**weights).to(dtype)
    x = torch.rand(150, 5, sizes[1], generator=torch.Generator().manual_seed(1)).to(dtype)
    single = {name: torch.from_numpy(value.astype(np.float32)).to(dtype) for name, value in weights.items()}
    spikes, outputs = plain(x, **single)
    assert 0.002 < spikes.mean() < 0.5
    with torch.no_grad():
        recording = network.record(x)
    assert torch.equal(recording.spikes[0], spikes)
    torch.testing.assert_close(recording.output, outputs, rtol=1e-5, atol=1e-5)


def test_arrays_are_of_numpy_or_torch_in_any_precision():
    weights = random_weights(8, 2, 3)
    x = torch.rand(60, 2, 2)
    expected = resonators(**weights)(x)[0]
    assert expected.any()
    for convert in (
        torch.from_numpy,
        lambda a: torch.nn.Parameter(torch.from_numpy(a).float()),
        lambda a: np.asfortranarray(a.astype(np.float32)),
        lambda a: a.tolist(),
        lambda a: torch.from_numpy(a)[..., None].expand(*a.shape, 2)[..., 0],
    ):
        assert torch.equal(resonators(**{name: convert(value) for name, value in weights.items()})(x)[0], expected)


def test_given_arrays_are_copied():
    weights = {name: torch.from_numpy(x.astype(np.float32)) for name, x in random_weights(8, 2, 3).items()}
    network, x = resonators(**weights), torch.rand(60, 2, 2)
    expected = network(x)[0]
    assert expected.any()
    for value in weights.values():
        value.zero_()
    assert torch.equal(network(x)[0], expected)


def test_descriptions_and_nir_files_hold_the_network(tmp_path):
    weights = random_weights(9, 2, 3) | {"omega": np.r_[0.0, 1e-30, np.linspace(1, 99, 7)]}
    network = resonators(**weights)
    spec = describe(network)
    again = build(NetworkSpec.of_tables(spec.tables()))
    again.load_state_dict(network.state_dict())
    x = torch.rand(60, 4, 2)
    assert network(x)[0].any()
    assert torch.equal(network(x)[0], again(x)[0])
    assert describe(again) == spec
    pytest.importorskip("nir")
    import izhi.nir

    izhi.nir.write(network, tmp_path / "network.nir")
    assert torch.equal(network(x)[0], izhi.nir.read(tmp_path / "network.nir")(x)[0])


@pytest.mark.parametrize("per_neuron", [False, True])
def test_integers_have_the_spikes_of_rounded_weights_and_states(per_neuron):
    network = resonators(**random_weights(24, 4, 3))
    layers = Network([network.layers[0]])
    x = (torch.rand(200, 6, 4, generator=torch.Generator().manual_seed(2)) < 0.4).float()
    with torch.no_grad():
        formats = quantization.formats(layers, x[:, :2], 16)
        rounded = quantization.quantized(layers, 8, formats, per_neuron=per_neuron).eval()
        expected, exact = rounded(x)[0], layers(x)[0]
    spikes = fixed.run(quantization.in_integers(rounded), x.numpy().astype(np.uint8)).spikes[0]
    np.testing.assert_array_equal(spikes, expected.numpy())
    assert exact.sum() > 1000
    assert float(expected.sum()) == pytest.approx(float(exact.sum()), rel=0.1)


def test_weights_can_be_trained():
    network = resonators(**random_weights(12, 2, 3))
    network(torch.rand(60, 4, 2))[0].mean(0).logsumexp(1).sum().backward()
    assert all(x.grad is not None and x.grad.abs().max() > 0 for x in network.parameters() if x.requires_grad)


def bad(**changes):
    return lambda: resonators(**{**random_weights(8, 2, 3), **changes})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (bad(omega=np.ones((2, 4))), "omega has shape (2, 4), expected (neurons,)"),
        (bad(omega=[]), "omega has shape (0,), expected (neurons,)"),
        (bad(omega=5.0), "omega has shape (), expected (neurons,)"),
        (bad(omega=np.full(8, -100.0)), "omega is -100 at 0, expected a magnitude below 100"),
        (bad(omega=np.array(["a"] * 8)), "omega is array(['a'"),
        (bad(omega=None), "omega is None, expected an array of real numbers"),
        (bad(omega=[[1.0], [1.0, 2.0]]), "omega is [[1.0], [1.0, 2.0]], expected an array of real numbers"),
        (bad(b_offset=np.ones(7)), "b_offset has shape (7,), expected (8,), that of omega"),
        (bad(b_offset=np.r_[np.ones(7), math.nan]), "b_offset is nan at (7,), expected finite numbers"),
        (bad(b_offset=np.ones(8) * 1j), "expected an array of real numbers"),
        (bad(weight=np.ones((8, 8))), "weight has shape (8, 8), expected (8, inputs + 8): columns of the inputs, then"),
        (bad(weight=np.ones((10, 8))), "weight has shape (10, 8), expected (8, inputs + 8)"),
        (bad(weight=np.full((8, 10), 1e60)), "weight is 1e+60 at (0, 0), expected finite numbers of float32"),
        (bad(tau=20.0), "tau has shape (), expected (classes,)"),
        (bad(tau=[20.0, 0.0, 20.0]), "tau is 0 at 1, expected a number of steps other than 0"),
        (bad(out=np.ones((8, 3))), "out has shape (8, 3), expected (3, 8), a row for each of tau"),
        (bad(kernel="gpu"), "unknown kernel 'gpu'"),
    ],
)  # fmt: skip
def test_bad_input(make, message):
    with pytest.raises(IzhiError) as error:
        make()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
