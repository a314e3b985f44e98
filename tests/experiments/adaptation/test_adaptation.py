"""Drift, and deployed networks that follow it: on the emulator, on the simulated core, by both ways of learning."""

import json

import numpy as np
import pytest
import torch

pytest.importorskip("brevitas", reason="the extra 'quantize' is not installed")
pytest.importorskip("cmaes", reason="the extra 'evolve' is not installed")

from izhi import data
from izhi.cli import main
from izhi.errors import SettingError
from izhi.experiments import adaptation, build, results
from izhi.experiments.adaptation import Drift
from izhi.experiments.adaptation.drift import change
from izhi.experiments.build import training_samples
from izhi.experiments.settings import experiment
from izhi.hardware import artifact


def test_rotation_turns_images_as_far_as_it_has_come():
    image = torch.zeros(1, 9, 9)
    image[0, 1, 4] = 1.0
    turned = change(image.view(1, -1), Drift("rotate", "90"), (9, 9), torch.ones(1)).view(9, 9)
    assert turned.argmax() in (4 * 9 + 1, 4 * 9 + 7)
    assert turned.max() > 0.9
    half = change(image.view(1, -1), Drift("rotate", "180"), (9, 9), torch.tensor([0.5])).view(9, 9)
    assert torch.allclose(half, turned, atol=1e-5)
    still = change(image.view(1, -1), Drift("rotate", "90"), (9, 9), torch.zeros(1))
    assert torch.allclose(still, image.view(1, -1), atol=1e-6)


def test_a_permuted_sensor_moves_a_share_of_its_inputs():
    values = torch.arange(100.0)[None]
    moved = change(values, Drift("permute", "0.3"), (100,), torch.ones(1))
    assert sorted(moved[0].tolist()) == values[0].tolist()
    assert 25 <= int((moved != values).sum()) <= 30
    assert torch.equal(moved, change(values, Drift("permute", "0.3"), (100,), torch.ones(1)))


def test_tasks_keep_what_arrives_what_is_kept_and_what_tests_apart():
    e = experiment({"dataset": "digits"})
    d = build.dataset(e.data)
    task = adaptation.task(d, e, Drift.parse("permute=.5"), samples=300, memory=100, seed=1)
    assert (len(task.stream), len(task.memory), len(task.pool)) == (300, 100, 400)
    assert not set(task.stream.tolist()) & set(task.memory.tolist())
    assert torch.equal(task.old.labels, task.new.labels)
    assert not torch.equal(task.old.inputs, task.new.inputs)

    e = experiment({"dataset": "digits", "without": "8,9"})
    train, validation = training_samples(e.data, d)
    assert set(train.labels.tolist()) | set(validation.labels.tolist()) == set(range(8))
    task = adaptation.task(d, e, Drift.parse("classes=8+9"), samples=400, memory=100, seed=1)
    arriving = task.pool.labels[task.stream]
    assert 0.1 < (arriving >= 8).float().mean() < 0.3
    assert (task.pool.labels[task.memory] < 8).all()
    assert set(task.old.labels.tolist()) == set(range(8))
    assert set(task.new.labels.tolist()) == {8, 9}
    assert not set(task.stream.tolist()) & set(task.memory.tolist())


@pytest.mark.parametrize(
    ("drift", "dataset", "message"),
    [
        ("turn=3", "digits", "unknown drift 'turn'"),
        ("rotate=much", "digits", "expected a number after ="),
        ("permute=2", "digits", "expected permute= a number from 0 to 1, not 0"),
        ("classes=", "digits", "expected classes= what is new"),
        ("classes=8", "digits", "but training left out none; train with --exclude-classes 8"),
        ("rotate=30", "iris", "drift is rotate, but iris holds no images; choose permute"),
        ("speaker=3", "digits", "train with --validation-speaker 3"),
    ],
)
def test_what_does_not_fit_is_one_line(drift, dataset, message):
    e = experiment({"dataset": dataset})
    with pytest.raises(SettingError, match=message):
        adaptation.task(build.dataset(e.data), e, Drift.parse(drift), samples=50, memory=10, seed=0)


def test_a_class_that_is_none_cannot_be_left_out():
    with pytest.raises(SettingError, match="unknown class 'eleven'"):
        training_samples(experiment({"dataset": "digits", "without": "eleven"}).data, data.load("digits"))


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """A small network of digits in integers."""
    folder = tmp_path_factory.mktemp("deployed")
    options = ["--dataset", "digits", "--hidden", "24", "--steps", "12", "--epochs", "12", "--batch-size", "32",
               "--learning-rate", "5e-3", "--readout", "current", "--precision", "32-true", "--quiet"]  # fmt: skip
    assert main(["train", *options, "--out", str(folder / "float")]) == 0
    quantize = ["quantize", str(folder / "float"), "--method", "ptq", "--weights", "8", "--quiet"]
    assert main([*quantize, "--out", str(folder / "quantised")]) == 0
    return folder / "quantised"


def adapt(deployed, out, *options):
    command = ["adapt", str(deployed), "--drift", "permute=0.4", "--replay", "200", "--quiet"]
    assert main([*command, "--out", str(out), "--json", f"{out}.json", *options]) == 0
    with open(f"{out}.json") as file:
        return json.load(file)


def numbers(result):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in result["history"]]


@pytest.mark.slow
def test_backpropagation_regains_what_drift_took_and_keeps_the_old_task(deployed, tmp_path):
    found = adapt(deployed, tmp_path / "a", "--samples", "900", "--batch", "50")
    assert found["old"] > 0.85
    assert found["new"] < found["old"] - 0.2
    assert found["regained"] > 0.6
    assert found["kept"] > 0.9
    still = adapt(deployed, tmp_path / "b", "--samples", "200", "--method", "none")
    assert still["adapted_new"] == still["new"]
    assert (tmp_path / "a" / "adaptation.png").stat().st_size > 10_000
    lines = (tmp_path / "a" / "adaptation.csv").read_text().splitlines()
    assert lines[0] == "samples,adapting,not_adapting,old,new,seconds"
    assert len(lines) == 20
    kept = results.of(tmp_path / "a")
    assert kept.title == "digits, permute=0.4: backprop on the device emulator"
    assert (kept.old, kept.adapted_new, kept.regained) == (found["old"], found["adapted_new"], found["regained"])
    assert [row.adapting for row in kept.history[1:]] == [row["adapting"] for row in found["history"][1:]]
    # What was learned is what the artifact holds.
    learned = artifact.load(tmp_path / "a" / "network.izhi")
    assert learned.provenance["adaptation"]["drift"] == "permute=0.4"


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["--layers", "1"],
        ["--method", "evolution", "--layers", "1", "--members", "6", "--steps", "2"],
        ["--method", "evolution", "--optimizer", "ga", "--members", "6", "--steps", "1"],
    ],
)
def test_an_adaptation_that_was_broken_off_goes_on_exactly(deployed, tmp_path, options, monkeypatch):
    options = [*options, "--samples", "300", "--batch", "50", "--every", "2", "--tested", "100"]
    whole = adapt(deployed, tmp_path / "whole", *options)
    step, calls = adaptation.Adaptation.step, []

    def breaks(self):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return step(self)

    out = tmp_path / "parts"
    with monkeypatch.context() as patch:
        patch.setattr(adaptation.Adaptation, "step", breaks)
        command = ["adapt", str(deployed), "--drift", "permute=0.4", "--replay", "200", "--quiet"]
        assert main([*command, "--out", str(out), *options]) == 130
    rest = adapt(deployed, out, "--resume", *options)
    assert numbers(rest) == numbers(whole)
    a, b = (artifact.load(tmp_path / x / "network.izhi").network for x in ("whole", "parts"))
    assert np.array_equal(a.readout.weight, b.readout.weight)


@pytest.mark.slow
@pytest.mark.usefixtures("optimized_cores")
def test_the_simulated_core_learns_what_the_emulator_learns(deployed, tmp_path):
    pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")
    options = ["--samples", "20", "--batch", "10", "--steps", "2", "--tested", "10"]
    one = adapt(deployed, tmp_path / "one", *options)
    two = adapt(deployed, tmp_path / "two", *options, "--device", "simulator")
    assert numbers(one) == numbers(two)


@pytest.mark.slow
def test_new_classes_are_learned(tmp_path):
    options = ["--dataset", "iris", "--neuron", "hls-ip", "--encoding", "constant", "--steps", "30", "--readout",
               "spikes", "--hidden", "12", "--epochs", "60", "--learning-rate", "1e-2", "--batch-size", "16",
               "--precision", "32-true", "--exclude-classes", "virginica", "--quiet"]  # fmt: skip
    assert main(["train", *options, "--out", str(tmp_path / "run")]) == 0
    command = ["adapt", str(tmp_path / "run"), "--drift", "classes=virginica", "--batch", "10", "--replay", "40",
               "--learning-rate", "5e-3", "--steps", "40", "--quiet", "--json", str(tmp_path / "a.json")]  # fmt: skip
    assert main([*command, "--out", str(tmp_path / "a")]) == 0
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["new"] == 0
    assert found["regained"] > 0.7
    assert found["kept"] > 0.8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--drift", "permute=.4", "--method", "magic"], "unknown method 'magic'"),
        (["--drift", "permute=.4", "--layers", "3"], "layers is 3, expected 1 to 2, or 0"),
        (["--drift", "permute=.4", "--steps", "0"], "steps is 0, expected at least 1"),
        (["--drift", "permute=.4", "--replay", "9000"], "keep fewer, so that some arrive"),
        (["--drift", "permute=.4", "--replay", "-1"], "replay is -1, expected 0 or more"),
        (
            ["--drift", "permute=.4", "--learning-rate", "-1"],
            "learning_rate is -1.0, expected a number above 0",
        ),
        (
            ["--drift", "permute=.4", "--method", "evolution", "--step-size", "0"],
            "step_size is 0.0, expected a number above 0",
        ),
        (["--drift", "permute=.4", "--device", "moon"], "unknown device 'moon'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(deployed, tmp_path, options, message, capsys):
    assert main(["adapt", str(deployed), *options, "--out", str(tmp_path / "x")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
