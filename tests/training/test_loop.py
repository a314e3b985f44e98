"""The loop: learning, exact resume, divergence, activity, and losses."""

import csv
import os
import signal
import subprocess
import sys
import time
from itertools import product

import numpy as np
import pytest
import torch

from izhi import IzhiError, data, training
from izhi.cli import main
from izhi.experiments import build, trained
from izhi.experiments.run import train
from izhi.experiments.run_folder import RunFolder
from izhi.experiments.settings import experiment
from izhi.training import LOSSES, Loss, Optimizer, checkpoint, ignore_progress
from izhi.training.evaluation import Activity
from tiers import slow_but

SMALL = {
    "dataset": "iris",
    "hidden": "24",
    "epochs": 4,
    "batch_size": 16,
    "steps": 12,
    "learning_rate": 5e-3,
}


def run(folder, listener=ignore_progress, **changes):
    e = experiment({**SMALL, **changes})
    run_folder = RunFolder(folder)
    run_folder.open(e, resume=True)
    fabric = build.fabric(e)
    return train(fabric, e, data.load(e.data.dataset), run_folder, listener)


def numbers(history):
    return [{k: v for k, v in row.items() if "seconds" not in k} for row in history]


@pytest.mark.slow
@pytest.mark.parametrize("neuron", ["lif", "normalized", "biological"])
def test_learns_iris(tmp_path, neuron):
    result = run(tmp_path, neuron=neuron, epochs=60, population=6, precision="32-true")
    assert result.test_accuracy > 0.9
    assert result.history[0]["train_loss"] > 2 * result.history[-1]["train_loss"]


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(tmp_path):
    one = run(tmp_path / "a").history
    assert numbers(one) == numbers(run(tmp_path / "b").history)
    assert numbers(one) != numbers(run(tmp_path / "c", seed=1).history)


class Stop(Exception):
    pass


class StopsAt:
    """A listener that breaks the run off in the middle of an epoch."""

    def __init__(self, epoch):
        self.at, self.steps = epoch, 0

    def __call__(self, event):
        if event.kind == "step":
            self.steps += 1
            if event.epoch + 1 == self.at and self.steps % 3 == 0:
                raise Stop


@pytest.mark.parametrize(
    "connection",
    slow_but(["linear"], ["linear", "exponential", "conductance", "recurrent", "recurrent-exponential"]),
)
def test_a_broken_run_goes_on_with_the_same_numbers(tmp_path, connection):
    whole = run(tmp_path / "whole", connection=connection)
    with pytest.raises(Stop):
        run(tmp_path / "broken", StopsAt(3), connection=connection)
    content = checkpoint.load(tmp_path / "broken" / "checkpoint.pt")
    assert content["epoch"] == 2
    rest = run(tmp_path / "broken", connection=connection)
    assert numbers(rest.history) == numbers(whole.history)
    a, b = (checkpoint.load(tmp_path / x / "checkpoint.pt")["model"] for x in ("whole", "broken"))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_a_killed_process_goes_on_with_the_same_numbers(tmp_path, forked_processes):
    """SIGKILL at no particular moment; what is left is whole, and the rest is exact."""
    options = ["--dataset", "digits", "--hidden", "32", "--epochs", "12", "--batch-size", "64"]
    command = [sys.executable, "-m", "izhi", "train", *options, "--out"]
    folder = tmp_path / "killed"
    with subprocess.Popen([*command, str(folder)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (folder / "metrics.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.15)
        os.kill(process.pid, signal.SIGKILL)
    assert checkpoint.load(folder / "checkpoint.pt")["epoch"] >= 1
    for out, more in ((folder, ["--resume"]), (tmp_path / "whole", [])):
        subprocess.run([*command, str(out), *more], check=True, capture_output=True)
    rows = []
    for out in (folder, tmp_path / "whole"):
        with (out / "metrics.csv").open() as file:
            rows.append(numbers(list(csv.DictReader(file))))
    assert len(rows[0]) == 12
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("precision", "optimizer"), slow_but([("32-true", "adam")], list(product(["32-true", "64-true"], ["adam", "sgd"])))
)
def test_a_resumed_run_has_the_weights_of_one_that_never_stopped(tmp_path, precision, optimizer):
    changes = {"precision": precision, "optimizer": optimizer, "kernel": "reference", "hidden": "6", "steps": 5,
               "learn": "a1,a2,b1,b2,c,d,threshold"}  # fmt: skip
    for out, epochs in (("parts", 1), ("parts", 2), ("whole", 2)):
        run(tmp_path / out, epochs=epochs, **changes)
    parts, whole = (checkpoint.load(tmp_path / out / "checkpoint.pt") for out in ("parts", "whole"))
    for name, value in whole["model"].items():
        assert torch.equal(parts["model"][name], value)
    for kept, expected in zip(parts["optimizer"]["state"].values(), whole["optimizer"]["state"].values(), strict=True):
        assert all(torch.equal(kept[name], expected[name]) for name in expected)


def test_metrics_hold_every_epoch(tmp_path):
    result = run(tmp_path)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(r["epoch"]) for r in rows] == [1, 2, 3, 4]
    assert float(rows[-1]["test_accuracy"]) == result.test_accuracy
    assert {"train_loss", "validation_accuracy", "rate_1", "rate_2", "seconds"} <= set(rows[0])


def test_validation_may_be_left_out(tmp_path):
    assert "validation_accuracy" not in run(tmp_path, validation=0).history[-1]


def test_infinite_weights_stop_the_run_naming_step_and_layer(tmp_path):
    with pytest.raises(IzhiError, match=r"not finite at epoch \d+, step \d+.*layer 1.*lower learning_rate"):
        run(tmp_path, learning_rate=1e38, precision="32-true", readout="current", epochs=40)


def test_a_gradient_that_overflows_names_its_parameter(tmp_path, monkeypatch):
    def bad_gradient(output, labels):
        good = output.float().sum() * 0
        good.register_hook(lambda g: g * float("nan"))
        return good

    monkeypatch.setitem(LOSSES, "count", Loss(bad_gradient))
    with pytest.raises(
        IzhiError,
        match=r"gradient of layers\.0\.connection\.input\.weight is not finite at epoch 1, step 1",
    ):
        run(tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_silent_and_saturated_layers_are_reported():
    activity = Activity()
    quiet, loud = torch.zeros(10, 4, 8), torch.ones(10, 4, 8)
    fine = (torch.rand(10, 4, 8) < 0.1).float()
    fine[0] = 1
    activity.add([quiet, loud, fine])
    activity.add([quiet, loud, fine])
    silent, saturated = activity.warnings()
    assert silent.startswith("layer 1 is silent: 100% of its neurons never fire; raise gain")
    assert saturated.startswith("layer 2 is saturated: 1.00 spikes per neuron and step; lower gain")


def test_a_silent_network_is_reported_by_the_run(tmp_path):
    assert "layer 1 is silent" in run(tmp_path, gain=1e-6, epochs=1).warnings[0]


#: Rates are of spikes; the maximum of spikes is 0 or 1, and teaches nothing.
LEARNING = [
    *[(loss, readout) for loss in ("count", "step", "mean") for readout in ("spikes", "current", "membrane")],
    *[(loss, readout) for loss in ("max", "last") for readout in ("current", "membrane")],
    ("rate_mse", "spikes"),
]


ONCE = [("step", "current"), ("max", "current")]


@pytest.mark.parametrize(("loss", "readout"), slow_but(ONCE, LEARNING))
def test_every_loss_and_readout_learns(tmp_path, loss, readout):
    assert {loss for loss, _ in LEARNING} == set(LOSSES)
    history = run(tmp_path, loss=loss, readout=readout, epochs=15).history
    assert history[-1]["train_loss"] < history[0]["train_loss"]


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd", "learning_rate": 0.1},
        {"optimizer": "adamw", "weight_decay": 0.01},
        {"gradient_clip": 0.5},
        {"learn": "d,threshold", "per_neuron": True},
        {"neuron": "lif", "learn": "beta"},
        {"encoding": "latency"},
        {"encoding": "constant", "population": 5},
        {"precision": "bf16-mixed"},
        {"precision": "64-true"},
        {"kernel": "reference"},
        {"hidden": "16,16", "order": "snntorch"},
        {"inhibitory": 0.2, "connection": "conductance"},
    ],
)
@pytest.mark.filterwarnings("ignore::izhi.errors.SlowKernelWarning")
def test_settings_run(tmp_path, changes):
    history = run(tmp_path, **{"epochs": 2, **changes}).history
    assert history[-1]["train_loss"] > 0


def test_images_are_shifted_while_training_only():
    e = experiment({"dataset": "digits", "encoding": "constant", "steps": 2, "shift": 2})
    d = data.load("digits")
    model = training.Classifier(build.encoder(e, d), build.network(e, 64, 10))
    values, _ = d.test.batch(slice(0, 20))
    assert (model.encode(values, 5)[0] != values).any()
    model.eval()
    assert torch.equal(model.encode(values, 5)[0], values)


@pytest.mark.slow
def test_bf16_and_32_bits_are_close(tmp_path):
    a = run(tmp_path / "a", precision="bf16-mixed", dataset="digits", epochs=10, batch_size=32)
    b = run(tmp_path / "b", precision="32-true", dataset="digits", epochs=10, batch_size=32)
    assert abs(a.test_accuracy - b.test_accuracy) < 0.03


@pytest.mark.slow
def test_two_processes_share_the_work(tmp_path, forked_processes):
    options = [
        "--dataset",
        "iris",
        "--hidden",
        "16",
        "--epochs",
        "2",
        "--accelerator",
        "cpu",
        "--devices",
        "2",
    ]
    command = [sys.executable, "-m", "izhi", "train", *options, "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test accuracy") == 1
    assert (tmp_path / "run" / "report.md").exists()


def test_tensorboard_events(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    run(tmp_path, tensorboard=True, epochs=1)
    assert list(tmp_path.rglob("events.out.tfevents*"))


def test_predictions():
    output = torch.zeros(4, 2, 3)
    output[:3, 0, 1] = 1
    output[0, 1, 2] = 2
    output[:, 1, 0] = 0.9
    assert LOSSES["count"].predict(output).tolist() == [1, 0]
    assert LOSSES["max"].predict(output).tolist() == [1, 2]
    assert LOSSES["mean"].predict(output).tolist() == [1, 0]
    assert LOSSES["last"].predict(output[:3]).tolist() == [1, 0]


def test_means_and_last_steps_are_those_of_one_step_however_long():
    output, labels = torch.randn(1, 6, 3), torch.arange(6) % 3
    for name in ("mean", "last", "step"):
        one, many = LOSSES[name](output, labels), LOSSES[name](output.repeat(784, 1, 1), labels)
        torch.testing.assert_close(one, many)
    assert LOSSES["count"](100 * output.abs().repeat(784, 1, 1), labels) > 1000


@pytest.mark.parametrize("name", ["mean", "last", "count"])
def test_padded_steps_have_no_effect(name):
    loss, output, labels = LOSSES[name], torch.randn(9, 4, 3), torch.arange(4) % 3
    lengths = torch.tensor([9, 1, 4, 7])
    padded = loss.pad(output, torch.arange(9)[:, None] < lengths)
    for k, length in enumerate(lengths):
        alone = output[:length, k : k + 1]
        torch.testing.assert_close(loss.scores(padded)[k], loss.scores(alone)[0])
        torch.testing.assert_close(loss(padded[:, k : k + 1], labels[k : k + 1]), loss(alone, labels[k : k + 1]))


@pytest.mark.slow
def test_a_run_of_padded_series_reads_each_last_step(tmp_path, capsys):
    random = np.random.default_rng(0)
    x, y = random.random((40, 12, 2)), np.arange(40) % 2
    np.savez(tmp_path / "own.npz", x=x + y[:, None, None], y=y, lengths=random.integers(5, 13, 40))
    common = ["train", "--dataset", str(tmp_path / "own.npz"), "--neuron", "lif", "--hidden", "8", "--loss", "last"]
    options = ["--readout", "membrane", "--lengths", "pad", "--steps", "12", "--learning-rate", "0.02"]
    path = tmp_path / "run"
    assert main([*common, *options, "--epochs", "12", "--accelerator", "cpu", "--out", str(path)]) == 0
    assert trained.load(path).history[-1]["test_accuracy"] > 0.8
    assert main([*common, "--readout", "spikes", "--out", str(tmp_path / "no")]) == 2
    assert "loss is 'last', but the network answers with spikes" in capsys.readouterr().err


@pytest.mark.slow
def test_a_cosine_schedule_ends_in_small_steps_and_goes_on_exactly(tmp_path):
    rates = []

    class Watch(StopsAt):
        def __call__(self, event):
            if event.kind == "step":
                rates.append(optimizers[-1].param_groups[0]["lr"])
            super().__call__(event)

    optimizers = []
    make = Optimizer.__call__

    def remembered(*arguments):
        optimizers.append(make(*arguments))
        return optimizers[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Optimizer, "__call__", remembered)
        whole = run(tmp_path / "whole", Watch(99), schedule="cosine")
    assert rates[0] == pytest.approx(5e-3)
    assert rates[len(rates) // 2] == pytest.approx(2.5e-3, rel=0.01)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 2e-4
    with pytest.raises(Stop):
        run(tmp_path / "broken", StopsAt(3), schedule="cosine")
    assert numbers(run(tmp_path / "broken", schedule="cosine").history) == numbers(whole.history)
    with pytest.raises(IzhiError, match="epochs = 4, not 8"):
        run(tmp_path / "whole", schedule="cosine", epochs=8)
