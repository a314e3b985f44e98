"""Readouts with a time constant of each output: their equation, runs, descriptions, and what is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st

import izhi
from izhi.cli import main
from izhi.connections import Conv2d, ExponentialSynapse, Linear
from izhi.errors import SettingError
from izhi.experiments import trained
from izhi.network import Layer, Network
from izhi.network.builder import build, describe
from izhi.network.connections import exponential_filter
from izhi.spec.network import NetworkSpec
from izhi.training import Optimizer


def a_network(**changes):
    synapse = ExponentialSynapse(izhi.spread(tau=(10, 30)), per_output=3, learn_tau=True, **changes)
    return Network([torch.nn.Linear(4, 8), izhi.LIF()], readout=Linear(8, 3, synapse=synapse))


@settings(deadline=None, max_examples=25)
@given(steps=st.integers(1, 150), cut=st.integers(1, 149), seed=st.integers(0, 2**32 - 1))
def test_each_output_leaks_at_its_own_rate(steps, cut, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(steps, 2, 3, generator=generator).double()
    decay = torch.rand(3, generator=generator).double().requires_grad_()
    y, each = torch.zeros(2, 3).double(), []
    for value in x:
        y = decay * y + value
        each.append(y)
    whole = exponential_filter(x, decay)
    torch.testing.assert_close(whole, torch.stack(each))
    [expected] = torch.autograd.grad(torch.stack(each).square().sum(), decay)
    torch.testing.assert_close(torch.autograd.grad(whole.square().sum(), decay)[0], expected)
    if cut < steps:
        first = exponential_filter(x[:cut], decay)
        torch.testing.assert_close(torch.cat([first, exponential_filter(x[cut:], decay, first[-1])]), whole)


def test_equal_time_constants_are_those_of_one_synapse():
    one, each = ExponentialSynapse(7.0), ExponentialSynapse(7.0, per_output=3)
    spikes = (torch.rand(90, 2, 8) < 0.2).float()
    first = Linear(8, 3, synapse=one)
    second = Linear(8, 3, synapse=each)
    second.input.load_state_dict(first.input.state_dict())
    torch.testing.assert_close(Network([], readout=second)(spikes).output, Network([], readout=first)(spikes).output)


def test_descriptions_and_parameters():
    network = a_network()
    spec = describe(network)
    assert NetworkSpec.of_tables(spec.tables()) == spec
    assert spec.parameters == sum(p.numel() for p in network.parameters())
    again = build(spec)
    again.load_state_dict(network.state_dict())
    spikes = (torch.rand(20, 2, 4) < 0.5).float()
    assert network(spikes).output.any()
    assert torch.equal(again(spikes).output, network(spikes).output)
    tau = 1 / (1 - network.readout.synapse.decay)
    assert ((tau >= 10) & (tau <= 30)).all()
    assert len(tau.unique()) == 3


def test_old_descriptions_are_as_they_were():
    spec = describe(Network([torch.nn.Linear(4, 8), izhi.LIF()], Linear(8, 3, synapse=ExponentialSynapse(8.0))))
    assert list(spec.tables()[-1]["synapse"]) == ["tau", "learn", "filters_bias"]


def test_time_constants_learn_at_the_rate_of_dynamics_and_do_not_decay():
    network = a_network()
    groups = Optimizer("adamw", weight_decay=0.1, dynamics_rate=0.02)(network).param_groups
    [own] = [group for group in groups if group["params"][0] is network.readout.synapse.logit]
    assert (own["lr"], own["weight_decay"]) == (0.02, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--readout-tau", "10,30"], ["--readout-tau", "4", "--learn-readout"]])
def test_a_run_learns_keeps_and_resumes_them(options, tmp_path, capsys):
    common = ["train", "--dataset", "iris", "--hidden", "8", "--steps", "10", "--accelerator", "cpu", "--neuron", "lif"]
    own = [*common, "--readout", "membrane", "--loss", "mean", *options]
    whole, rest = str(tmp_path / "whole"), str(tmp_path / "rest")
    assert main([*own, "--epochs", "3", "--out", whole]) == 0
    assert main([*own, "--epochs", "2", "--out", rest]) == 0
    assert main([*own, "--epochs", "3", "--out", rest, "--resume"]) == 0
    networks = [trained.load(tmp_path / name).network for name in ("whole", "rest")]
    assert torch.equal(*[x.readout.synapse.logit for x in networks])
    tau = 1 / (1 - networks[0].readout.synapse.decay)
    assert len(tau.unique()) == 3
    assert main(["evaluate", whole]) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Linear(8, 3, synapse=ExponentialSynapse(8.0, per_output=4)), "per_output is 4, expected 3, the outp"),
        (lambda: Conv2d(8, 3, 1, synapse=ExponentialSynapse(8.0, per_output=3)), "a convolution has one time constant"),
        (lambda: Layer(Linear(8, 3, synapse=ExponentialSynapse(8.0, per_output=3)), izhi.LIF()), "a readout without"),
        (lambda: ExponentialSynapse(izhi.spread(tau=(2, 9))), "expected tau above 1 step, and per_output"),
        (lambda: ExponentialSynapse(izhi.spread(beta=(2, 9)), per_output=3), "spread is of beta from 2, expected tau"),
        (lambda: ExponentialSynapse(izhi.spread(tau=(0.5, 9)), per_output=3), "spread is of tau from 0.5, expected"),
        (lambda: ExponentialSynapse(8.0, per_output=0), "per_output is 0, expected at least 1"),
    ],
)
def test_time_constants_that_do_not_fit(make, message):
    with pytest.raises(SettingError, match=message):
        make()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--readout spikes --learn-readout",
            "learn_readout is True, but the readout is spikes; choose the readout memb",
        ),
        ("--readout current --readout-tau 20", "readout_tau is 20,20, but the readout is current; choose"),
        ("--readout membrane --readout-tau 30,10", "readout_tau is 30 to 10, expected steps above 1, the lower one"),
        ("--readout membrane --readout-tau 1", "readout_tau is 1 to 1, expected steps above 1"),
    ],
)
def test_settings_that_do_not_fit(options, message, tmp_path, capsys):
    assert main(["train", "--dataset", "iris", *options.split(), "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
