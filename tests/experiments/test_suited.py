"""Settings that follow the data, and what is said of a network that guesses."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from izhi import data
from izhi.cli import main
from izhi.experiments import chance, suited
from izhi.experiments.run_folder import load
from izhi.experiments.settings import experiment


@pytest.fixture(scope="module")
def iris():
    return data.load("iris")


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """Series of 90 steps, two classes that their means tell apart."""
    file = tmp_path_factory.mktemp("series") / "own.npz"
    draw = np.random.default_rng(1)
    y = np.arange(60) % 2
    x = draw.normal(size=(60, 90, 2)) + y[:, None, None]
    np.savez(file, x=x.astype(np.float32), y=y, over_time=True)
    return file


def test_a_table_gets_small_batches_and_enough_steps(iris):
    chosen = suited.suited({}, iris)
    assert chosen == {
        "batch_size": 8, "epochs": 40, "learning_rate": 2e-3,
        "readout": "current", "hidden": (128,), "encoding": "constant",
    }  # fmt: skip
    assert chosen["epochs"] * -(-len(iris.train) // chosen["batch_size"]) >= 600
    assert suited.in_words(chosen, {}, iris).startswith(
        "chosen for 120 training samples (what you give stays): batch_size 8,"
    )
    experiment({"dataset": "iris", **chosen})


def test_what_is_given_stays_and_the_rest_follows_it(iris):
    chosen = suited.suited({"batch_size": 30, "hidden": (7,), "encoding": "rate"}, iris)
    assert chosen["epochs"] == 100  # 4 steps an epoch
    assert not chosen.keys() & {"batch_size", "hidden", "encoding"}
    assert "hidden" not in suited.suited({"layers": "8"}, iris)
    assert suited.suited({"optimizer": "snes"}, iris) == {}


def test_recordings_get_enough_steps_and_keep_their_encoding():
    kind = np.dtype([("t", np.int64), ("x", np.int64), ("y", np.int64), ("p", np.int64)])
    draw = np.random.default_rng(0)
    recordings = []
    for label in np.arange(96) % 2:
        events = np.zeros(20, kind)
        events["t"], events["x"] = np.sort(draw.integers(0, 900, 20)), draw.integers(0, 4, 20)
        recordings.append((events, int(label)))
    own = data.Dataset.of(recordings, test=recordings[:8], sensor=(2, 1, 4))
    assert suited.suited({}, own) == {
        "batch_size": 8, "epochs": 50, "learning_rate": 2e-3, "readout": "current", "hidden": (128,),
    }  # fmt: skip
    assert suited.suited({"optimizer": "snes"}, own) == {}


@pytest.mark.parametrize(
    "command", [["train"], ["compare", "--neurons", "lif"], ["tune", "--neurons", "lif"]], ids=" ".join
)
@pytest.mark.parametrize(
    "option", [["--batch-size", "0"], ["--train-samples", "-3"], ["--batch-size", "many"]], ids=" ".join
)
def test_numbers_that_are_none_are_refused_in_one_line(command, option, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([*command, "--dataset", "iris", *option, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"izhi: {option[0][2:].replace('-', '_')} is ")
    assert not out.exists()


def test_many_samples_keep_the_defaults(iris):
    many = replace(iris, train=iris.train.subset(torch.arange(10_000) % len(iris.train)))
    assert suited.suited({}, many) == {}
    assert suited.in_words({}, {}, many) == ""
    few = {"train_samples": 300}
    assert suited.suited(few, many)["batch_size"] == 18
    assert (
        suited.in_words({"epochs": 3}, few, many) == "chosen for 300 training samples (what you give stays): epochs 3"
    )


@pytest.mark.parametrize(
    ("given", "steps", "population"),
    [({}, 90, 8), ({"encoding": "delta"}, 90, None), ({"encoding": "rate"}, 90, 8), ({"population": 0}, 90, None),
     ({"steps": 30}, None, 8)],
    ids=str,
)  # fmt: skip
def test_series_keep_their_own_steps(series, given, steps, population):
    chosen = suited.suited(given, data.load(str(series)))
    assert (chosen.get("steps"), chosen.get("population")) == (steps, population)
    assert "encoding" not in chosen


def test_series_get_resonators_unless_something_decides_the_neuron(series):
    dataset = data.load(str(series))
    assert suited.suited({"kernel": "reference", "hidden": (5,)}, dataset)["neuron"] == "resonator"
    for given in ({"neuron": "lif"}, {"learn": ("a1",)}, {"beta": 0.9}, {"connection": "recurrent"}, {"layers": "8"}):
        assert suited.suited(given, dataset).get("neuron") is None
    assert "neuron" not in suited.suited({}, dataset, neuron=False)
    assert "neuron" not in suited.suited({}, data.load("iris"))


def test_long_series_are_shortened_unless_they_are_padded(tmp_path):
    np.savez(tmp_path / "long.npz", x=np.zeros((20, 400, 1), np.float32), y=np.arange(20) % 2, over_time=True)
    long = data.load(str(tmp_path / "long.npz"))
    assert suited.suited({}, long)["steps"] == 250
    assert suited.suited({"lengths": "pad"}, long)["steps"] == 400


def test_training_says_what_it_chose_and_keeps_it(series, tmp_path, capsys):
    words = ["--hidden", "16", "--epochs", "2", "--out", str(tmp_path / "run")]
    assert main(["train", "--dataset", str(series), *words]) == 0
    said = capsys.readouterr().err
    assert "chosen for 48 training samples (what you give stays): batch_size 8, learning_rate 0.002" in said
    assert "hidden" not in said.split("chosen for")[1].splitlines()[0]
    e = load(tmp_path / "run").experiment
    assert (e.coding.steps, e.coding.population, e.training.batch_size, e.network.hidden) == (90, 8, 8, (16,))
    # A file of settings is complete without the data.
    again = ["train", "--config", str(tmp_path / "own.toml"), "--out", str(tmp_path / "again"), "--epochs", "1"]
    (tmp_path / "own.toml").write_text('dataset = "iris"\nhidden = [4]\n')
    assert main(again) == 0
    assert "chosen for" not in capsys.readouterr().err
    assert load(tmp_path / "again").experiment.training.batch_size == 256


@pytest.mark.slow
def test_a_comparison_says_it_once_and_resumes_by_it(tmp_path, capsys):
    words = ["compare", "--dataset", "iris", "--neurons", "lif,normalized:readout=spikes", "--seeds", "0,1", "--epochs"]
    assert main([*words, "1", "--hidden", "8", "--out", str(tmp_path / "c")]) == 0
    assert capsys.readouterr().err.count("chosen for 120 training samples") == 1
    runs = [load(folder).experiment for folder in sorted((tmp_path / "c").rglob("seed-*")) if folder.is_dir()]
    assert {(e.neurons.neuron, e.network.readout) for e in runs} == {("lif", "current"), ("normalized", "spikes")}
    assert {e.training.batch_size for e in runs} == {8}
    assert main(["compare", "--resume", "--epochs", "2", "--out", str(tmp_path / "c")]) == 0


@pytest.mark.slow
def test_iris_is_learned_at_defaults(tmp_path):
    assert main(["train", "--dataset", "iris", "--out", str(tmp_path / "run"), "--quiet"]) == 0
    assert load(tmp_path / "run").progress.history[-1]["test_accuracy"] > 0.85


def test_a_network_at_chance_is_told_what_to_try(iris, tmp_path, capsys):
    words = ["--batch-size", "256", "--epochs", "1", "--readout", "spikes", "--calibrate", "1e-3", "--out"]
    assert main(["train", "--dataset", "iris", *words, str(tmp_path / "run"), "--json", str(tmp_path / "r.json")]) == 0
    said = capsys.readouterr().err
    line = (
        "at chance: 33.3 % of the test samples, where the commonest class is 33.3 %, logistic regression 96.7 %; try "
    )
    assert f"warning: {line}--batch-size 16 --epochs 50 --readout current --learning-rate 5e-4" in said
    assert line in (tmp_path / "r.json").read_text()
    assert line in (tmp_path / "run" / "report.md").read_text()


def test_chance_is_the_commonest_class_and_its_noise(iris):
    e = experiment({"dataset": "iris", "calibrate": 0.5})
    labels = torch.tensor([0] * 60 + [1] * 40)
    dataset = replace(iris, test=replace(iris.test.subset(torch.arange(100) % 30), labels=labels))
    limit = 0.6 + 2 * (0.6 * 0.4 / 100) ** 0.5
    samples = dataset.train, dataset.test
    assert len(chance.remarks(e, *samples, limit - 1e-3)) == 1
    assert chance.remarks(e, *samples, limit + 1e-3) == []
    assert chance.remarks(e, *samples, None) == []
    one_class = dataset.train.subset(dataset.train.labels == 1)
    [line] = chance.remarks(e, one_class, dataset.test, limit - 1e-3)
    assert "logistic regression" not in line


def test_a_search_at_chance_says_it_of_its_best_trial_by_validation_samples(tmp_path, capsys):
    out = tmp_path / "tune"
    words = ["--batch-size", "256", "--epochs", "1", "--readout", "spikes", "--calibrate", "1e-3", "--trials", "2"]
    assert main(["tune", "--dataset", "iris", "--neurons", "lif", *words, "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert said.count("warning: lif: at chance: ") == 1
    assert "% of the validation samples, where the commonest class is " in said
    assert "- lif: at chance: " in (out / "report.md").read_text()
    best = json.loads((out / "trials.json").read_text())["variants"][0]
    assert best["warnings"][0].startswith(f"at chance: {100 * best['accuracy']:.1f} % of the validation samples")


def test_a_study_says_it_of_each_run_and_keeps_it(tmp_path, capsys):
    file = tmp_path / "study.toml"
    file.write_text("""
trials = 1
seeds = [0, 1]
search = "slope=2..3"
[settings]
hidden = [8]
epochs = 1
steps = 4
calibrate = 1e-3
[variants.LIF]
neuron = "lif"
[tasks.flowers]
dataset = "iris"
""")
    words = ["study", str(file), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    line = "at chance: 33.3 % of the test samples, where the commonest class is 33.3 %, logistic regression 9"
    assert capsys.readouterr().err.count(f"warning: {line}") == 2
    kept = [json.loads(row) for row in (tmp_path / "out" / "flowers.jsonl").read_text().splitlines()]
    assert ["warnings" in row for row in kept] == [False, True, True]
    report = (tmp_path / "out" / "report.md").read_text()
    assert f"- LIF: {line}" in report
    assert main([*words, "--report"]) == 0
    assert (tmp_path / "out" / "report.md").read_text() == report
