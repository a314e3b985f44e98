"""izhi tune: the search space, equal budgets, resuming, and that the test samples stay out of it."""

import json
import subprocess
import sys

import pytest

from izhi import cli, data
from izhi.errors import SettingError
from izhi.experiments import results, tuning
from izhi.experiments.variants import Variant, parse_search


def run(tmp_path, *options, out="tune"):
    return cli.main(["tune", "--dataset", "iris", "--hidden", "16", "--epochs", "2", "--batch-size", "16",
                     "--steps", "10", "--quiet", "--out", str(tmp_path / out),
                     "--neurons", "lif,normalized", "--json", str(tmp_path / "best.json"), *options])  # fmt: skip


def test_the_search_space_is_read():
    ranges = parse_search("learning-rate=1e-4..1e-2, lif.beta=.8..0.99,connection=linear|recurrent")
    assert [(r.neuron, r.name) for r in ranges] == [
        (None, "learning_rate"), ("lif", "beta"), (None, "connection"),
    ]  # fmt: skip
    assert ranges[2].choices == ("linear", "recurrent")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--search", "learning_rate"], "search has 'learning_rate', expected setting=low..high"),
        (
            ["--search", "learning_rat=1..2"],
            "unknown setting 'learning_rat' (did you mean 'learning_rate'?)",
        ),
        (["--search", "seed=1..2"], "search names seed, which is the same in all trials"),
        (["--search", "slope=2..1"], "search has 'slope=2..1', expected low below high"),
        (["--search", "slope=a..b"], "expected numbers low..high"),
        (["--search", "beta=.5..1.5"], "beta is 1.5, expected less than or equal to 1"),
        (["--search", "FS.slope=1..2"], "unknown neuron in search 'FS'"),
        (["--search", "connection=linear|direct"], "connection is 'direct'"),
        (["--search", ""], "search names no setting"),
        (["--trials", "0"], "trials is 0, expected at least 1"),
        (["--validation", "0"], "validation is 0, but trials are judged by validation samples"),
    ],
)
def test_bad_input(tmp_path, capsys, options, message):
    assert run(tmp_path, *options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "tune").exists()


@pytest.mark.slow
def test_every_variant_gets_the_same_budget_and_a_study_goes_on(tmp_path, capsys):
    options = ["--search", "learning_rate=1e-4..1e-1,lif.beta=.8..0.99"]
    assert run(tmp_path, "--trials", "3", *options) == 0
    first = json.loads((tmp_path / "best.json").read_text())
    assert [row["trials"] for row in first] == [3, 3]
    assert [set(row["found"]) for row in first] == [{"learning_rate", "beta"}, {"learning_rate"}]
    tuned = tmp_path / "tune" / "tuned.toml"
    assert f"compare them on the test samples: izhi compare --config {tuned}" in capsys.readouterr().out
    assert run(tmp_path, "--trials", "3", *options) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert run(tmp_path, "--trials", "5", "--resume", *options) == 0
    later = json.loads((tmp_path / "best.json").read_text())
    assert [row["trials"] for row in later] == [5, 5]
    assert all(b["validation_accuracy"] >= a["validation_accuracy"] for a, b in zip(first, later, strict=True))
    # Every trial is kept, for pages and figures.
    kept = results.of(tmp_path / "tune")
    assert [[t.number for t in row.trials] for row in kept.variants] == [[1, 2, 3, 4, 5]] * 2
    assert [row.accuracy for row in kept.variants] == [row["validation_accuracy"] for row in later]
    assert [row.found for row in kept.variants] == [row["found"] for row in later]
    assert (kept.title, kept.variants[0].config.steps) == ("iris: best of 5 trials, validation accuracy", 10)
    # What it writes is what compare takes; numbers are numbers, whatever the command line gave.
    assert "\nepochs = 2\n" in tuned.read_text()
    result = tmp_path / "compare.json"
    assert cli.main(["compare", "--config", str(tuned), "--epochs", "1", "--quiet", "--json", str(result),
                     "--out", str(tmp_path / "compare")]) == 0  # fmt: skip
    rows = json.loads(result.read_text())["rows"]
    assert [row["label"] for row in rows] == ["lif", "normalized"]
    assert [row["config"]["learning_rate"] for row in rows] == [row["found"]["learning_rate"] for row in later]


def test_the_first_trial_has_the_variants_own_settings(tmp_path):
    options = ["--search", "learning_rate=1e-4..1e-1,connection=linear|recurrent,slope=5..9"]
    own = ["--trials", "1", "--learning-rate", "0.0123", "--connections", "recurrent"]
    assert run(tmp_path, *own, *options) == 0
    found = json.loads((tmp_path / "best.json").read_text())[0]["found"]
    assert found["learning_rate"] == 0.0123
    assert found["connection"] == "recurrent"
    assert 5 <= found["slope"] <= 9  # its own 2 lies outside


@pytest.mark.slow
def test_the_same_seed_finds_the_same(tmp_path):
    found = []
    for out in ("a", "b"):
        assert run(tmp_path, "--trials", "3", "--neurons", "normalized", out=out) == 0
        found.append(json.loads((tmp_path / "best.json").read_text()))
    assert found[0] == found[1]


def test_trials_never_see_the_test_samples(tmp_path, monkeypatch):
    whole = data.load("iris")
    seen = []
    monkeypatch.setattr(tuning, "train", lambda fabric, e, dataset, *rest, **more: seen.append(dataset) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, "--trials", "1")
    assert len(seen[0].test) == 0
    assert len(seen[0].train) == len(whole.train)


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_two_processes_share_a_study(tmp_path):
    command = [sys.executable, "-m", "izhi", "tune", "--dataset", "iris", "--hidden", "8", "--epochs", "1",
               "--neurons", "lif", "--trials", "6", "--quiet", "--storage", str(tmp_path / "s.log")]  # fmt: skip
    running = [
        subprocess.Popen([*command, "--out", str(tmp_path / n), "--json", str(tmp_path / f"{n}.json")]) for n in "ab"
    ]
    assert [process.wait() for process in running] == [0, 0]
    for n in "ab":
        (row,) = json.loads((tmp_path / f"{n}.json").read_text())
        # A trial that was under way when the budget was spent still ends.
        assert 6 <= row["trials"] <= 7


def test_a_variant_whose_trials_all_diverge_is_an_error(monkeypatch, tmp_path):
    from izhi.errors import DivergenceError

    def diverges(*_, **__):
        raise DivergenceError("the loss is not finite")

    monkeypatch.setattr(tuning, "train", diverges)
    with pytest.raises(SettingError, match="no trial of lif finished"):
        tuning.tune(
            [Variant("lif", {"neuron": "lif"})], parse_search("slope=1..3"),
            {"dataset": "iris", "hidden": (8,)}, trials=2, storage=str(tmp_path / "s.log"),
        )  # fmt: skip


def kill_in_trial(tmp_path, number):
    """Begin a search and kill its process while that trial runs."""
    code = f"""
import os, sys
from izhi.cli import main
from izhi.experiments import tuning
whole, begun = tuning.train, []
def train(*arguments, **more):
    begun.append(1)
    if len(begun) == {number}:
        os.kill(os.getpid(), 9)
    return whole(*arguments, **more)
tuning.train = train
main(sys.argv[1:])
"""
    words = ["tune", "--dataset", "iris", "--hidden", "16", "--epochs", "2", "--batch-size", "16",
             "--steps", "10", "--neurons", "lif", "--trials", "4", "--learning-rate", "3e-3", "--quiet",
             "--out", str(tmp_path / "killed")]  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code, *words]).returncode == -9


def trials_of(folder):
    """The settings and accuracies in a report's table."""
    lines = (folder / "report.md").read_text().splitlines()
    return lines[lines.index("## Every trial") :]


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
@pytest.mark.parametrize("number", [1, 3])
def test_a_search_that_is_killed_goes_on_with_the_same_trials(tmp_path, number, capsys):
    kill_in_trial(tmp_path, number)
    assert cli.main(["tune", "--resume", "--out", str(tmp_path / "killed"), "--quiet"]) == 0
    assert run(tmp_path, "--trials", "4", "--neurons", "lif", "--learning-rate", "3e-3", out="whole") == 0
    found = trials_of(tmp_path / "killed")
    assert found == trials_of(tmp_path / "whole")
    assert "learning_rate = 0.003," in found[4], "the first trial has the settings that are to be beaten"
    assert (tmp_path / "killed" / "trials.png").read_bytes().startswith(b"\x89PNG")
