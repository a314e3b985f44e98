"""Neurons that are not born alike: frequencies, decays and time constants by distribution, fixed or learned."""

import math
import warnings

import numpy as np
import pytest
import torch

import izhi
from izhi.cli import main
from izhi.connections import Conv2d, Linear
from izhi.errors import LossWarning, SettingError
from izhi.network import Layer, Network
from izhi.network.builder import build, describe
from izhi.spec import ORDERS, PRESETS, NetworkSpec, spectral_radius
from izhi.spec.presets import BALANCED

ONE_STEP = [name for name, order in ORDERS.items() if order.substeps == 1]


def linear_step(neuron, v, u):
    """v and u after a step without input and spikes."""
    with torch.no_grad():
        _, v, u = neuron.trace(torch.zeros(1, 1, *v.shape[1:]), izhi.IzhikevichState(v, u))
    return v[0], u[0]


@pytest.mark.parametrize("order", ONE_STEP)
def test_without_input_the_state_turns_by_omega_and_shrinks_to_r(order):
    parameters = PRESETS["resonator"].replace(order=order)
    neuron = izhi.Izhikevich(parameters, distribution=izhi.Resonators(frequency=(0.01, 3.0)), parameter_shape=64)
    frequency, decay = (neuron.get_buffer(f"mixed_{name}").double() for name in ("frequency", "decay"))
    with torch.no_grad():
        columns = [
            linear_step(neuron, *(x.expand(1, 64) for x in pair)) for pair in torch.eye(2)[:, :, None, None] * 0.1
        ]
    step = torch.stack([torch.stack([v[0], u[0]]) for v, u in columns], 1).permute(2, 0, 1).double() / 0.1
    found = torch.linalg.eigvals(step)
    torch.testing.assert_close(found.abs(), (1 - decay)[:, None].expand(-1, 2), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.angle().abs(), frequency[:, None].expand(-1, 2), rtol=1e-4, atol=3e-4)


def test_balanced_resonators_keep_their_length_without_damping():
    """The eigenvalues of a step are √(1 − (δω)²) − δb′ ± iδω, with δ = 0.01."""
    distribution = izhi.BalancedResonators(omega=(5, 99), b_offset=(1e-4, 2.0))
    neuron = izhi.Izhikevich(distribution, parameter_shape=20).double()
    p, turn, damping = neuron.coefficients(), 0.01 * neuron.mixed_omega, 0.01 * neuron.mixed_b_offset
    expected = torch.complex((1 - turn**2).sqrt() - damping, turn)
    steps = torch.stack([torch.stack([1 + p.a2, p.a3], -1), torch.stack([p.b1, 1 + p.b2], -1)], -2)
    eigenvalues = torch.linalg.eigvals(steps)
    torch.testing.assert_close(eigenvalues[eigenvalues.imag > 0], expected)
    assert (expected.abs() <= 1).all()
    torch.testing.assert_close(neuron.spectral_radius(), expected.abs())
    assert BALANCED.a2 == pytest.approx(math.sqrt(1 - 0.325**2) - 1 - 0.01 * 0.55)


def test_balanced_resonators_learn_frequency_and_damping():
    neuron = izhi.Izhikevich(izhi.BalancedResonators(), parameter_shape=12, learn="omega,b_offset")
    spikes, _ = neuron(200 * torch.rand(100, 3, 12, generator=torch.Generator().manual_seed(0)))
    assert spikes.sum() > 20
    spikes.sum().backward()
    assert all(x.grad.abs().max() > 0 for x in neuron.learned.values())


def test_a_sample_is_stratified():
    values = izhi.Izhikevich(izhi.Resonators(frequency=(0.01, 1.0)), parameter_shape=50).mixed_frequency
    strata = (torch.log(values / 0.01) / math.log(100) * 50).floor().sort().values
    assert torch.equal(strata, torch.arange(50.0))
    even = izhi.Izhikevich(izhi.Resonators(frequency=(0.5, 1.0), spacing="linear"), parameter_shape=50).mixed_frequency
    assert torch.equal(((even - 0.5) / 0.01).floor().sort().values, torch.arange(50.0))


def test_a_seed_of_its_own_repeats_the_sample():
    first, second = (izhi.Izhikevich(izhi.Resonators(seed=3), parameter_shape=20) for _ in range(2))
    assert torch.equal(first.mixed_frequency, second.mixed_frequency)
    assert not torch.equal(first.mixed_frequency.argsort(), first.mixed_decay.argsort())
    other = izhi.Izhikevich(izhi.Resonators(), parameter_shape=20)
    assert not torch.equal(
        other.mixed_frequency, izhi.Izhikevich(izhi.Resonators(), parameter_shape=20).mixed_frequency
    )
    torch.manual_seed(5)
    one = izhi.LIF(izhi.spread(tau=(2, 1000)), parameter_shape=20).mixed_tau
    part = 20 * torch.log(one / 2) / math.log(1000 / 2)
    assert part.floor().sort().values.tolist() == list(range(20))  # one in each twentieth of the range
    torch.manual_seed(5)
    assert torch.equal(one, izhi.LIF(izhi.spread(tau=(2, 1000)), parameter_shape=20).mixed_tau)


def test_the_preset_is_the_middle_of_the_population():
    alone, many = izhi.Izhikevich("resonator"), izhi.Izhikevich("resonator", parameter_shape=4)
    assert float(alone.coefficients().b1) == pytest.approx(PRESETS["resonator"].b1)
    assert PRESETS["resonator"].b1 == pytest.approx(2 * math.sqrt(1 - math.sqrt(2e-5)) * math.sin(0.05))
    assert len(set(many.coefficients().b1.tolist())) == 4


def test_kernels_agree_and_logarithms_are_learned():
    results = {}
    current = 0.4 * torch.randn(80, 3, 12)
    for kernel in ("cpu", "reference"):
        torch.manual_seed(0)
        neuron = izhi.Izhikevich("resonator", parameter_shape=12, learn="frequency,decay,threshold", kernel=kernel)
        spikes, _ = neuron(current)
        (spikes * torch.linspace(-1, 1, spikes.numel()).reshape(spikes.shape)).sum().backward()
        for name in ("frequency", "decay"):
            value = getattr(neuron, f"mixed_{name}")
            torch.testing.assert_close(neuron.learned[name].detach().exp(), value)
            torch.testing.assert_close(neuron.learned_values()[name].detach(), value)
            assert neuron.learned[name].grad.abs().min() > 0
        results[kernel] = spikes.detach(), neuron.learned["frequency"].grad
    (spikes, gradient), (of_reference, expected) = results.values()
    assert 20 < spikes.sum() < 2000
    assert torch.equal(spikes, of_reference)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_whatever_is_learned_is_stable():
    neuron = izhi.Izhikevich("resonator", parameter_shape=6, learn="frequency,decay")
    with torch.no_grad():
        neuron.learned["frequency"].copy_(torch.tensor([-50.0, -3.0, 0.0, 1.0, 1.2, 50.0]))
        neuron.learned["decay"].copy_(torch.tensor([50.0, -0.01, -3.0, -9.0, -20.0, -50.0]))
        p = neuron.coefficients()
    radius = spectral_radius(*(np.asarray(x, np.float64) for x in (p.a2, p.a3, p.b1, p.b2)), neuron.base_parameters)
    assert (radius < 1).all()


@pytest.mark.parametrize("kernel", ["reference", "cpu"])
def test_resets_make_no_gradient_grow_in_the_simultaneous_order(kernel):
    """A step is a rotation there; elsewhere it stretches some directions, into which resets turn a gradient."""
    random = torch.Generator().manual_seed(0)
    currents = torch.randn(100, 8, 64, generator=random)
    before, after = (torch.randn(2, 8, 64, generator=random) for _ in range(2))
    grown = {}
    for order in ("simultaneous", "snntorch"):
        neuron = izhi.Izhikevich(
            PRESETS["resonator"].replace(order=order, reset="value"),
            distribution=izhi.Resonators(frequency=(0.1, 2.5), decay=(0.001, 0.01)), parameter_shape=64, kernel=kernel,
        )  # fmt: skip
        start = izhi.IzhikevichState(*(0.1 * before).requires_grad_())
        spikes, end = neuron(currents, start)
        assert spikes.mean() > 0.02
        found = torch.autograd.grad((end.v, end.u), (start.v, start.u), tuple(after))
        grown[order] = torch.stack(found).norm(dim=0) / after.norm(dim=0)
    assert grown["simultaneous"].max() < 1
    assert grown["snntorch"].max() > 1000


def test_spectral_radius_is_that_of_the_matrix():
    random = np.random.default_rng(0)
    for name in ORDERS:
        p = PRESETS["resonator"].replace(order=name)
        for a2, a3, b1, b2 in random.normal(0, 0.8, (40, 4)):
            q = p.replace(a2=a2, a3=a3, b1=b1, b2=b2, threshold=1e9, v_min=-1e9, v_max=1e9)
            neuron = izhi.Izhikevich(q, kernel="reference").double()
            rows = [linear_step(neuron, v, u) for v, u in torch.eye(2).double()[:, :, None, None]]
            step = np.array([[float(v), float(u)] for v, u in rows]).T
            found = float(spectral_radius(*map(np.float64, (a2, a3, b1, b2)), p))
            assert found == pytest.approx(abs(np.linalg.eigvals(step)).max(), rel=1e-6)


def networks():
    torch.manual_seed(1)
    yield Network([Layer(Linear(5, 7), izhi.Izhikevich(izhi.Resonators(), parameter_shape=7, learn="frequency"))])
    yield Network([Layer(Linear(5, 7), izhi.Izhikevich(izhi.Leaks(tau_u=(5, 50)), parameter_shape=7, learn="tau_v"))])
    yield Network([Layer(Linear(5, 7), izhi.LIF(izhi.spread(tau=(2, 100)), parameter_shape=7, learn="tau"))])
    yield Network([Layer(Linear(5, 7), izhi.LIF(izhi.spread(tau=(2, 100)), parameter_shape=7))])
    balanced = izhi.BalancedResonators(omega=(5, 90))
    weights = Linear(5, 7)
    weights.weight.data.abs_().mul_(300)  # in the unit of b, a hundredth of v
    yield Network([Layer(weights, izhi.Izhikevich(balanced, parameter_shape=7, learn="b_offset"))])
    window = Layer(Conv2d(1, 3, 2), izhi.Izhikevich("resonator", parameter_shape=(3, 1, 1)))
    yield Network([torch.nn.Unflatten(1, (1, 1, 5)), Layer(Conv2d(1, 3, (1, 2)), window.neuron)])


@pytest.mark.parametrize("network", list(networks()))
def test_descriptions_and_weights_make_the_same_network(network, tmp_path):
    spec = describe(network)
    again = build(NetworkSpec.of_tables(spec.tables()))
    again.load_state_dict(network.state_dict())
    x = (torch.rand(60, 4, 5) < 0.4).float()
    assert network(x)[0].any()
    assert torch.equal(network(x)[0], again(x)[0])
    assert describe(again) == spec
    pytest.importorskip("nir")
    import izhi.nir

    if isinstance(network.layers[0], Layer):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LossWarning)
            izhi.nir.write(network, tmp_path / "net.nir")
        assert torch.equal(network(x)[0], izhi.nir.read(tmp_path / "net.nir")(x)[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: izhi.Resonators(frequency=(0.01, 4.0)), "frequency is 0.01 to 4, expected 0.0001 to 3.1 radians"),
        (lambda: izhi.Resonators(decay=(0.5, 0.1)), "decay is 0.5 to 0.1, expected two numbers above 0, the lower"),
        (lambda: izhi.Resonators(decay="fast"), "decay is 'fast', expected two numbers"),
        (lambda: izhi.Resonators(spacing="even"), "spacing is 'even', expected 'log' or 'linear'"),
        (lambda: izhi.spread(tau=(2, 3), beta=(0.1, 0.2)), "spread has 2 coefficients, expected one"),
        (lambda: izhi.LIF(izhi.spread(tau=(0.5, 3))), "tau is 0.5 to 3, expected tau, of at least 1 step"),
        (lambda: izhi.LIF(izhi.spread(beta=(0.5, 0.9))), "beta is 0.5 to 0.9, expected tau"),
        (lambda: izhi.LIF(learn="tau"), "unknown learnable coefficient 'tau'"),
        (lambda: izhi.Izhikevich("resonator", learn="b1"), "unknown learnable coefficient 'b1'; expected one of: freq"),
        (lambda: izhi.Izhikevich("normalized", learn="decay"), "unknown learnable coefficient 'decay'"),
        (
            lambda: izhi.Izhikevich(PRESETS["resonator"].replace(order="s2nn"), distribution=izhi.Resonators()),
            "order is 's2nn', whose half steps change a resonator's frequency; choose one of: fpga-ip",
        ),
        (lambda: izhi.BalancedResonators(omega=(15, 120)), "omega is 15 to 120, expected 0.0001 to 99.99 radians"),
        (
            lambda: izhi.Izhikevich("resonator", distribution=izhi.BalancedResonators()),
            "reset is 'none' and order 'snntorch', expected 'smooth' and 'simultaneous' of balanced resonators",
        ),
        (
            lambda: izhi.Izhikevich(BALANCED.replace(q_damping=0.1), distribution=izhi.BalancedResonators()),
            "omega·dt·q_damping is 5 at most, expected more than 0 and less than 1",
        ),
        (lambda: izhi.Izhikevich("qif", distribution=izhi.Leaks()), "a2 or b2 is 0, expected neurons in which v and u"),
    ],
)  # fmt: skip
def test_bad_input(make, message):
    with pytest.raises(SettingError, match=message.replace("(", r"\(")):
        make()


OPTIONS = {
    "resonator": "--neuron resonator --frequency 0.05,2 --decay 0.01,0.05 --learn frequency,decay",
    "lif": "--neuron lif --time-constants 2,200 --learn tau",
    "adlif": "--neuron adlif --time-constants 2,200 --learn tau_v,d",
    "convolution": "--neuron resonator --layers conv\\ 3x3,\\ 8 --frequency 0.5",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_from_the_command_line_and_back(name, tmp_path, capsys):
    import shlex

    run = str(tmp_path / "run")
    common = ["--dataset", "digits", "--hidden", "8", "--epochs", "2", "--steps", "8", "--quiet", "--out", run]
    options = shlex.split(OPTIONS[name])
    if "--layers" in options:
        del common[2:4]
    assert main(["train", *common, *options]) == 0
    text = capsys.readouterr().out
    assert main(["evaluate", run]) == 0
    percent = text.split("test accuracy after epoch 2: ")[1].split(" %")[0]
    assert f"accuracy: {percent} %" in capsys.readouterr().out
    if "--learn" in options:
        assert main(["dynamics", run]) == 0
        line = next(x for x in capsys.readouterr().out.splitlines() if "| frequency |" in x or "tau" in x)
        assert float(line.split("|")[3].split("±")[0]) > 0  # no logarithm of what is below 1
    assert main(["train", *common[:-2], *options, "--epochs", "3", "--resume", "--out", run]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--neuron lif --frequency 1,2", "frequency is set, but lif has none; choose neuron resonator"),
        ("--neuron normalized --decay .1,.2", "which normalized has no use for; choose neuron resonator"),
        ("--neuron normalized --time-constants 2,9", "which normalized has no use for; choose lif or adlif"),
        ("--neuron resonator --frequency 2,5", "frequency is 2 to 5, expected 0.0001 to 3.1 radians per step"),
        ("--neuron lif --time-constants 2,9 --beta .5", "beta is 0.5 beside time_constants, expected one of the two"),
        ("--neuron lif --loss max", "loss is 'max', but the network answers with spikes"),
    ],
)
def test_settings_that_do_not_fit(options, message, tmp_path, capsys):
    assert main(["train", "--dataset", "iris", *options.split(), "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_evolution_refuses_it(tmp_path, capsys):
    options = ["--neuron", "resonator", "--optimizer", "ga", "--readout", "spikes", "--out", str(tmp_path / "run")]
    assert main(["train", "--dataset", "iris", "--hidden", "4", *options]) == 2
    assert "distribution such as that of resonators is set, which evolution cannot run" in capsys.readouterr().err


def test_couplings_are_learned_within_the_stable_range():
    neuron = izhi.Izhikevich(izhi.Leaks(), parameter_shape=50, learn="tau_v,tau_u,a3,b1,d")
    p = neuron.coefficients()
    given = neuron.base_parameters
    torch.testing.assert_close(neuron.learned["a3"] / p.a2, torch.full((50,), given.a3 / given.a2))
    torch.testing.assert_close(p.b1, neuron.learned["b1"])
    with torch.no_grad():
        for name in ("a3", "b1"):
            neuron.learned[name].copy_(3 * torch.randn(50))
    assert float(neuron.spectral_radius().max()) < 1
    spikes, _ = neuron(torch.rand(20, 2, 50))
    spikes.sum().backward()
    assert all(x.grad.abs().sum() > 0 for x in neuron.learned.values())


def test_neurons_of_spread_coefficients_show_their_ranges():
    assert "(\n  tau=2…100, threshold=1" in repr(izhi.LIF(izhi.spread(tau=(2, 100)), parameter_shape=4))
    assert "beta=0.9, threshold=1" in repr(izhi.LIF(beta=0.9))
    resonators = izhi.Izhikevich(izhi.Resonators(frequency=(0.1, 1.0)), parameter_shape=4)
    assert "(\n  frequency=0.1…1, decay=0.001…0.02, c=0, d=0" in repr(resonators)
