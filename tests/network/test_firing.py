"""Firing classes, and the figure and table of what a network's neurons became."""

import json

import numpy as np
import pytest
import torch

from izhi import Izhikevich, cli
from izhi.network import firing


@pytest.mark.parametrize(
    ("times", "name"),
    [
        ([], "silent"),
        ([5, 20], "phasic"),
        (np.arange(5, 500, 40), "tonic"),
        (np.arange(5, 500, 6), "fast"),
        ([5, 25, 60, 120, 200, 290, 390], "adapting"),
        ([5, 9, 13, 120, 124, 128, 250, 254, 380, 384], "bursting"),
    ],
)
def test_the_class_of_spike_times(times, name):
    assert firing.firing_class(np.asarray(times, float), 500.0) == name


@pytest.mark.parametrize(
    ("preset", "name"),
    [("RS", "adapting"), ("FS", "fast"), ("CH", "bursting"), ("LTS", "adapting")],
)
def test_classes_of_izhikevich_2003_fire_as_he_named_them(preset, name):
    assert firing.firing_classes(Izhikevich(preset)) == [name]
    # The gain of a layer scales its inputs, not its dynamics.
    assert firing.firing_classes(Izhikevich(preset, gain=200.0)) == [name]


def test_each_neuron_of_a_layer_is_classified():
    classes = firing.firing_classes(Izhikevich({"FS": 0.5, "CH": 0.5}, parameter_shape=4))
    assert classes == ["fast", "fast", "bursting", "bursting"]


def train(tmp_path, *options):
    return cli.main(["train", "--dataset", "iris", "--hidden", "12", "--epochs", "2", "--quiet",
                     "--batch-size", "16", "--out", str(tmp_path / "run"), *options])  # fmt: skip


@pytest.mark.slow
def test_a_run_shows_what_its_neurons_became(tmp_path, capsys):
    assert train(tmp_path, "--neuron", "biological", "--mixture", "RS=.5,FS=.25,CH=.25", "--learn", "a,d",
                 "--dynamics-rate", "0.05") == 0  # fmt: skip
    report = (tmp_path / "run" / "report.md").read_text()
    assert "![coefficients before and after](dynamics.png)" in report
    assert "| 1 | a | 0.04 ±" in report
    assert (tmp_path / "run" / "dynamics.png").stat().st_size > 5000
    capsys.readouterr()
    out = tmp_path / "d.json"
    assert cli.main(["dynamics", str(tmp_path / "run"), "--json", str(out)]) == 0
    assert "firing class" in capsys.readouterr().out
    (layer,) = json.loads(out.read_text())
    assert layer["classes_before"].count("bursting") == 3
    moved = torch.tensor(layer["after"]["d"]) - torch.tensor(layer["before"]["d"])
    assert moved.abs().max() > 0.1


def test_a_run_without_learned_coefficients_says_so(tmp_path, capsys):
    assert train(tmp_path, "--neuron", "lif") == 0
    assert cli.main(["dynamics", str(tmp_path / "run")]) == 2
    assert "has learned no coefficient of a neuron; train with learn" in capsys.readouterr().err
    assert cli.main(["dynamics", str(tmp_path)]) == 2
