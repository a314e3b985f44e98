"""Training in parts of the time steps, where all of them would take too much memory."""

import pytest
import torch

from izhi import cli, training
from izhi.experiments import build
from izhi.experiments.settings import experiment
from izhi.experiments.settings.description import describe
from izhi.training import checkpoint

SETTINGS = {"dataset": "digits", "hidden": "40", "neuron": "lif", "encoding": "rate", "steps": 100, "batch_size": 50}
#: Bytes of a training step, by the same numbers: inputs, neurons of the layers, steps, samples.
WHOLE = build._KEPT * (64 + 50) * 100 * 50


def steps_to_keep(samples=1000, **changes):
    e = experiment({name: value for name, value in {**SETTINGS, **changes}.items() if value is not None})
    return build.steps_to_keep(e, describe(e, 64, 10), samples)


def test_a_training_step_that_fits_stores_all_steps(monkeypatch):
    monkeypatch.setattr(training, "memory_of_machine", lambda: WHOLE / build._SHARE)
    assert steps_to_keep() is None
    assert steps_to_keep(steps=101) is not None
    assert steps_to_keep(steps=101, keep_every=7) == 7
    assert steps_to_keep(steps=200, samples=25) is None


@pytest.mark.parametrize(("part", "expected"), [(0.7, 64), (0.4, 32), (0.2, 20), (1e-9, 1)])
def test_a_part_is_what_memory_holds_in_whole_words(part, expected, monkeypatch):
    monkeypatch.setattr(training, "memory_of_machine", lambda: WHOLE)
    monkeypatch.setattr(build, "_PART", int(part * WHOLE))
    assert steps_to_keep() == expected


def test_normalisation_needs_all_steps_unless_it_is_folded(monkeypatch):
    monkeypatch.setattr(training, "memory_of_machine", lambda: 1)
    norm = {"layers": "40 norm", "hidden": None}
    assert steps_to_keep(**norm) is None
    assert steps_to_keep(**norm, weight_bits=4) is not None


@pytest.mark.slow
def test_parts_change_no_number_but_by_rounding(tmp_path, monkeypatch):
    options = [x for name, value in SETTINGS.items() for x in (f"--{name.replace('_', '-')}", str(value))]
    weights = []
    for name in ("whole", "parts"):
        if name == "parts":
            monkeypatch.setattr(training, "memory_of_machine", lambda: WHOLE)
            monkeypatch.setattr(build, "_PART", int(0.2 * WHOLE))
        out = tmp_path / name
        run = ["train", *options, "--train-samples", "100", "--epochs", "1", "--quiet", "--out", str(out)]
        assert cli.main(run) == 0
        weights.append(checkpoint.load(out / checkpoint.NAME)["model"])
    for key, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][key], rtol=1e-3, atol=1e-5)
