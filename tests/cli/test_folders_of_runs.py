"""izhi runs and izhi redraw: what they print, ask, refuse and write."""

import io
import json
import os
import pty
import subprocess
import sys
from types import SimpleNamespace

import pytest

from izhi import files
from izhi.cli import folders, main
from izhi.experiments import listing
from tiers import slow_but

TINY = ["--dataset", "iris", "--hidden", "8", "--steps", "4", "--quiet"]


def refused(capsys, *words):
    """The line by which a command is refused."""
    capsys.readouterr()
    assert main([str(x) for x in words]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder that holds a run and a comparison."""
    folder = tmp_path_factory.mktemp("trained") / "runs"
    compared = ["--neurons", "lif,normalized", "--epochs", "1", "--seeds", "0,1", "--out", str(folder / "cmp")]
    for words in (["train", *TINY, "--epochs", "2", "--out", str(folder / "one")], ["compare", *TINY, *compared]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["izhi", *words])  # which the run keeps
            assert main(words) == 0
    return folder


@pytest.fixture
def runs(trained, tmp_path, monkeypatch):
    """A copy of that folder, which is the usual one."""
    subprocess.run(["cp", "-rp", trained, tmp_path / "runs"], check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def test_runs_are_listed_in_plain_text(runs, capsys):
    capsys.readouterr()
    assert main(["runs", "--json", "list.json"]) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.startswith("run                    command  data set  neuron      connection  finished  when")
    assert [line.split()[:2] for line in lines] == [
        ["cmp/normalized/seed-1", "compare"], ["cmp/normalized/seed-0", "compare"], ["cmp/lif/seed-1", "compare"],
        ["cmp/lif/seed-0", "compare"], ["one", "train"],
    ]  # fmt: skip
    assert all(line.isascii() for line in (heading, *lines))
    assert "  0  2 of 2  " in lines[-1]
    found = json.loads((runs.parent / "list.json").read_text())
    assert found[-1]["config"]["dataset"] == "iris"
    assert found[-1] | {"config": 0, "when": 0, "test_accuracy": 0, "validation_accuracy": 0} == {
        "run": "one", "folder": "runs/one", "command": "train", "epochs": 2, "planned": 2, "finished": True,
        "test_accuracy": 0, "validation_accuracy": 0, "when": 0, "config": 0, "damaged": None,
    }  # fmt: skip


def test_some_runs_are_listed(runs, capsys):
    capsys.readouterr()
    assert main(["runs", "runs/cmp", "--filter", "neuron=lif", "--differs", "--sort", "name"]) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == ["run", "seed", "test", "(%)"]
    assert [line.split()[:2] for line in lines] == [["lif/seed-0", "0"], ["lif/seed-1", "1"]]
    assert main(["runs", "--unfinished"]) == 0
    assert capsys.readouterr().out == "runs: none of 5 runs is listed\n"
    (runs / "one" / "config.toml").write_text("# izhi 0\nx\x1b")
    assert main(["runs"]) == 0
    damaged = capsys.readouterr().out.splitlines()[-1]
    assert damaged.startswith("damaged: one: config.toml is not valid TOML")
    assert damaged.isprintable()
    assert main(["runs", "--finished", "--json", "-"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--filter", "neurn=lif"], "unknown setting 'neurn' (did you mean 'neuron'?)"),
        (["--sort", "accurcy"], "unknown sort 'accurcy' (did you mean 'accuracy'?)"),
        (["--finished", "--unfinished"], "not allowed with argument"),
        (["nowhere"], "cannot read nowhere: No such file or directory; check the path"),
        (["--remove"], "no terminal on which to ask first; add --yes"),
    ],
)
def test_what_is_refused_removes_nothing(words, message, runs, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    before = sorted(runs.rglob("*"))
    assert message in refused(capsys, "runs", *words)
    assert sorted(runs.rglob("*")) == before


def test_runs_are_removed(runs, capsys):
    (runs / "cmp" / "lif" / "seed-0" / "notes.txt").touch()
    (runs / "foreign").mkdir()
    (runs / "foreign" / "config.toml").write_text("[theirs]\n")
    with files.holding(runs / "cmp"):
        assert "another process is writing" in refused(capsys, "runs", "--remove", "--yes")
    assert len(list(runs.rglob("checkpoint.pt"))) == 5
    assert main(["runs", "--remove", "--yes", "--filter", "neuron=lif", "--json", "removed.json"]) == 0
    said = capsys.readouterr().out.splitlines()[-2:]
    assert said == ["removed: cmp/lif/seed-1", "removed: cmp/lif/seed-0, but for notes.txt"]
    assert [x["kept"] for x in json.loads((runs.parent / "removed.json").read_text())] == [[], ["notes.txt"]]
    assert sorted(os.listdir(runs / "cmp" / "lif")) == ["seed-0"]
    assert main(["runs", "--remove", "--yes"]) == 0
    assert "kept: foreign, which nothing says is a run; remove it by hand\n" in capsys.readouterr().out
    assert sorted(os.listdir(runs)) == ["cmp", "foreign"]
    assert (runs / "foreign" / "config.toml").exists()


def test_a_run_within_the_folder_of_another_is_removed_first(runs, capsys):
    subprocess.run(["cp", "-rp", runs / "cmp" / "lif" / "seed-0", runs / "one" / "inner"], check=True)
    assert main(["runs", "--remove", "--yes"]) == 0
    assert not (runs / "one").exists()
    said = capsys.readouterr().out
    assert said.index("removed: one/inner") < said.index("removed: one\n")


def test_a_table_of_one_run_and_of_several_has_a_title(capsys, monkeypatch):
    titles = []
    monkeypatch.setattr(folders, "print_table", lambda table, title, **rest: titles.append(title))
    one = SimpleNamespace(damage=None)
    monkeypatch.setattr(listing, "cells", lambda run: ())
    for count in (1, 2, 1_500):
        folders._print([one] * count, differs=False, none="")
    assert titles == ["1 run", "2 runs", "1,500 runs"]


@pytest.mark.parametrize(("answer", "left"), slow_but([(b"y\n", 1)], [(b"n\n", 5), (b"\n", 5), (b"y\n", 1)]))
def test_removing_asks_on_a_terminal(answer, left, runs):
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    words = ["runs", "--remove", "--filter", "epochs=1"]
    done = subprocess.run([sys.executable, "-m", "izhi", *words], stdin=theirs, capture_output=True, text=True)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "remove 4 of them? [y/N] "
    assert len(list(runs.rglob("checkpoint.pt"))) == left


@pytest.mark.usefixtures("drawn_figures")
def test_figures_are_drawn_again_as_they_were(runs, capsys):
    for folder, figure in (("one", "accuracy"), ("cmp", "accuracy"), ("cmp", "outcomes")):
        for name in ("checkpoint.pt", "best.pt"):
            for path in (runs / folder).rglob(name):
                path.write_bytes(b"not looked at")
        assert main(["redraw", f"runs/{folder}", "--figure", figure, "--out", "again.png"]) == 0
        assert (runs.parent / "again.png").read_bytes() == (runs / folder / f"{figure}.png").read_bytes()
    capsys.readouterr()
    words = ["--title", "Of two neurons", "--labels", "leaky, $\\beta$; quadratic", "--json", "-"]
    assert main(["redraw", "runs/cmp", "--out", "again.svg", *words]) == 0
    assert json.loads(capsys.readouterr().out) == {"figure": "again.svg"}
    assert "Of two neurons" in (runs.parent / "again.svg").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["runs/one"], "the following arguments are required: --out"),
        (["runs/one", "--out", "x.gif"], "expected a figure's ending: .png, .svg or .pdf"),
        (["runs", "--out", "x.png"], "runs holds none of comparison.json, "),
        (["runs/cmp", "--out", "x.png", "--labels", "a"], "expected 2 different ones, separated by semicolons"),
        (["runs/one", "--out", "x.png", "--figure", "outcome"], "unknown figure 'outcome' (did you mean 'outcomes'?)"),
    ],
)
def test_what_is_refused_draws_nothing(words, message, runs, capsys):
    assert message in refused(capsys, "redraw", *words)
    assert sorted(os.listdir(runs.parent)) == ["runs"]
