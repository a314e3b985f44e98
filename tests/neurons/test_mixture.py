"""Layers of several firing classes, learned coefficients of each neuron, and their learning rates."""

import pytest
import torch

from izhi import LIF, Izhikevich, cli
from izhi.errors import SettingError
from izhi.experiments.build import network, optimizer
from izhi.experiments.settings import experiment
from izhi.neurons.izhikevich import parameter_scale
from izhi.spec import PRESETS

SHARES = {"RS": 0.5, "FS": 0.3, "CH": 0.2}


def test_a_mixture_divides_a_layer_by_its_shares():
    mixture = Izhikevich(SHARES, parameter_shape=512)
    assert mixture.mixture.counts(512) == [256, 154, 102]
    assert mixture.mixture.counts(3) == [1, 1, 1]
    assert mixture.coefficients().threshold == 30.0
    c = mixture.coefficients().c
    assert c[0] == c[300] == -65
    assert c[-1] == -50


@pytest.mark.parametrize("kernel", ["reference", "cpu"])
def test_each_neuron_of_a_mixture_fires_like_a_layer_of_its_class(kernel):
    current = torch.full((300, 2, 20), 10.0)
    mixed, _ = Izhikevich(SHARES, parameter_shape=20, kernel=kernel, gain=1.0)(current)
    for name, part in (("RS", slice(0, 10)), ("FS", slice(10, 16)), ("CH", slice(16, 20))):
        alone, _ = Izhikevich(name, kernel=kernel, gain=1.0)(current[:, :, part])
        assert torch.equal(mixed[:, :, part], alone)
    assert len({tuple(mixed[:, 0, n].tolist()) for n in (0, 10, 16)}) == 3


def test_a_mixture_of_normalised_classes_starts_each_at_its_own_rest():
    neuron = Izhikevich({"normalized-RS": 0.5, "normalized-IB": 0.5}, parameter_shape=4)
    state = neuron.initial_state(torch.zeros(3, 4))
    assert state.v[0, 0] == pytest.approx(PRESETS["normalized-RS"].v0)
    assert state.v[2, 3] == pytest.approx(PRESETS["normalized-IB"].v0)


def test_a_mixture_learns_from_where_its_classes_are():
    neuron = Izhikevich(SHARES, parameter_shape=20, learn=("a", "b", "c", "d"), gain=1.0)
    assert neuron.learned["a"][[0, 12]].tolist() == pytest.approx([0.02, 0.1])
    assert neuron.learned["d"].tolist() == [8.0] * 10 + [2.0] * 10
    spikes, _ = neuron(torch.full((80, 2, 20), 10.0))
    spikes.sum().backward()
    assert all(p.grad.abs().min() > 0 for p in neuron.parameters())
    copy = Izhikevich(SHARES, parameter_shape=20, learn=("a", "b", "c", "d"), gain=1.0)
    copy.load_state_dict(neuron.state_dict())


def test_spread_is_in_units_of_the_coefficient():
    torch.manual_seed(0)
    neuron = Izhikevich("RS", parameter_shape=4000, learn=("c", "d", "threshold"), spread=0.1)
    for name, mean in (("c", -65.0), ("d", 8.0), ("threshold", 30.0)):
        unit = parameter_scale(PRESETS["RS"], name)
        assert neuron.learned[name].mean().item() == pytest.approx(mean, abs=0.01 * unit)
        assert neuron.learned[name].std().item() == pytest.approx(0.1 * unit, rel=0.05)
    lif = LIF(parameter_shape=4000, learn=("beta", "threshold"), spread=0.2)
    assert lif.learned["beta"].std().item() == pytest.approx(0.2 * 0.05, rel=0.05)
    beta, threshold = lif.coefficients()
    assert beta.max() <= 1
    assert threshold.min() > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Izhikevich(SHARES), "size is None, expected a width"),
        (lambda: Izhikevich({"RS": 0.5}, parameter_shape=4), "add up to 0.5, expected 1"),
        (
            lambda: Izhikevich({"RS": -0.5, "FS": 1.5}, parameter_shape=4),
            "'?RS'? -0.5, expected a share above 0",
        ),
        (lambda: Izhikevich({"RS": 0.5, "normalized": 0.5}, parameter_shape=4), "expected one of the two"),
        (lambda: Izhikevich({"RZ": 0.5, "PQ": 0.5}, parameter_shape=4), "unknown neuron preset 'PQ'"),
        (lambda: Izhikevich(SHARES, parameter_shape=2), "a layer of 2 cannot hold a mixture of 3"),
        (lambda: Izhikevich("RS", learn=["d"], spread=0.1), "spread is 0.1, expected 0 unless"),
        (lambda: LIF(learn=["beta"], spread=0.1), "spread is 0.1, expected 0 unless"),
        (lambda: LIF(parameter_shape=3, learn=["beta"], spread=-1), "spread is -1, expected a finite number"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(SettingError, match=message):
        make()


def test_every_coefficient_learns_at_its_own_rate():
    e = experiment(
        {"neuron": "RS", "learn": "a,d", "per_neuron": True, "dynamics_rate": 0.01, "hidden": "8",
         "weight_decay": 0.1}
    )  # fmt: skip
    groups = optimizer(e)(network(e, 4, 3)).param_groups
    assert [g["lr"] for g in groups] == pytest.approx([5e-4, 0.01 * 0.02, 0.01 * 8.0])
    assert [g["weight_decay"] for g in groups] == [0.1, 0, 0]


def test_lif_learns_for_each_neuron():
    e = experiment({"neuron": "lif", "learn": "beta,threshold", "per_neuron": True, "spread": 0.1})
    neuron = network(e, 4, 3).layers[0].neuron
    assert neuron.learned["beta"].shape == (512,)
    assert neuron.learned["beta"].std() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mixture", "RS"], "mixture is 'RS', expected shares such as RS=.5,FS=.5"),
        (["--mixture", "RS=.5,FS=.3", "--neuron", "RS"], "add up to 0.8, expected 1"),
        (["--mixture", "RS=.5,FS=.5", "--neuron", "lif"], "mixture is set, but lif has no classes"),
        (["--mixture", "RS=.5,FS=.5"], "mixture names 'RS', but the neuron is 'normalized'"),
        (["--spread", "0.1"], "spread is 0.1, but neurons share their values; add per_neuron"),
    ],
)
def test_bad_settings(options, message, tmp_path, capsys):
    assert cli.main(["train", *options, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
