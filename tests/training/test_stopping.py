"""Early stopping, the best checkpoint, fewer samples, and what is mistaken for what."""

import json

import numpy as np
import pytest
import torch

from izhi import data
from izhi.cli import main
from izhi.errors import FileError
from izhi.experiments import build, plots, report
from izhi.experiments.run_folder import load
from izhi.experiments.settings import experiment
from izhi.training import best_epoch

FAST = ["--dataset", "iris", "--hidden", "12", "--steps", "6", "--neuron", "lif", "--batch-size", "16", "--quiet"]


def test_of_equal_epochs_the_first_is_the_best():
    assert [best_epoch(x) for x in ([], [0.5], [0.1, 0.7, 0.7, 0.2])] == [-1, 0, 1]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that stops early; its folder."""
    out = tmp_path_factory.mktemp("stopping") / "run"
    assert main(["train", *FAST, "--epochs", "60", "--patience", "3", "--validation", "0.3",
                 "--learning-rate", "2e-2", "--out", str(out)]) == 0  # fmt: skip
    return out


def test_training_stops_when_validation_no_longer_improves(stopped, capsys):
    history = load(stopped).progress.history
    found = [row["validation_accuracy"] for row in history]
    best = best_epoch(found)
    assert len(found) < 60
    assert len(found) - 1 - best == 3
    assert all(len(found[:k]) - 1 - best_epoch(found[:k]) < 3 for k in range(1, len(found)))
    assert main(["train", "--resume", "--out", str(stopped), "--quiet"]) == 0
    assert len(load(stopped).progress.history) == len(found), "resumed, it is finished"


def test_the_best_checkpoint_is_that_of_the_best_epoch(stopped, capsys):
    history = load(stopped).progress.history
    best = load(stopped / "best.pt").progress
    assert len(best.history) == best_epoch([row["validation_accuracy"] for row in history]) + 1
    capsys.readouterr()
    assert main(["evaluate", str(stopped / "best.pt"), "--json", str(stopped / "e.json")]) == 0
    found = json.loads((stopped / "e.json").read_text())
    assert found["test_accuracy"] == pytest.approx(best.history[-1]["test_accuracy"])
    assert "best.pt" in (stopped / "report.md").read_text()


def test_each_class_is_judged(stopped, capsys):
    assert main(["evaluate", str(stopped), "--json", str(stopped / "all.json")]) == 0
    found = json.loads((stopped / "all.json").read_text())
    counts = np.array(found["confusion"])
    labels = data.load("iris").test.labels
    assert counts.sum(axis=1).tolist() == torch.bincount(labels, minlength=3).tolist()
    assert counts.trace() / counts.sum() == pytest.approx(found["test_accuracy"])
    shown = capsys.readouterr().out
    assert all(f"class {name}: " in shown for name in found["classes"])
    assert (stopped / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_that_may_not_be_written_is_evaluated_all_the_same(stopped, capsys, monkeypatch):
    def refuse(figure, path):
        raise FileError(f"cannot write {path}: Permission denied")

    monkeypatch.setattr("izhi.experiments.plots.save", refuse)
    capsys.readouterr()
    assert main(["evaluate", str(stopped), "--json", "-"]) == 0
    shown = capsys.readouterr()
    assert "confusion" in json.loads(shown.out)
    assert "warning: no figure, cannot write" in shown.err


def test_for_what_a_class_is_taken():
    confusion = [[8, 2, 0], [0, 4, 0], [0, 0, 0]]
    assert report.per_class(confusion, ("a", "b", "c")) == [
        "class a: 80.00 % of 10, most often taken for b (2)",
        "class b: 100.00 % of 4",
    ]
    assert len(plots.confusion(np.array(confusion), ("a", "b", "c"), "title").axes) == 2


def test_fewer_training_samples():
    d = data.load("iris")
    sizes = {}
    for count in (None, 10, 40, 10_000):
        e = experiment({"dataset": "iris", "train_samples": count, "validation": 0.2})
        train, held = build.training_samples(e.data, d)
        sizes[count] = {tuple(x.tolist()) for x in train.inputs}
        assert len(held) == 24
        assert len(train) == min(count or 96, 96)
    assert sizes[10] < sizes[40] < sizes[10_000] == sizes[None]
