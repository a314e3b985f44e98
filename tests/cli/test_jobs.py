"""izhi compare and izhi tune with several runs at once: the numbers, files and errors of one after another."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from izhi import files
from izhi.cli import main
from izhi.experiments import jobs
from izhi.experiments.run_folder import load

pytestmark = pytest.mark.usefixtures("preloaded_jobs", "forked_processes")

TINY = ["--dataset", "iris", "--hidden", "8", "--steps", "4", "--quiet"]
COMPARE = ["compare", *TINY, "--neurons", "lif,normalized", "--seeds", "0,1", "--epochs", "3"]


def refused(capsys, *words):
    """The last line of what a command says that is refused."""
    capsys.readouterr()
    assert main([str(x) for x in words]) == 2
    return capsys.readouterr().err.splitlines()


def numbers(out):
    """Of each run of a folder: metrics but for what a clock said, and weights."""
    found = {}
    for table in sorted(out.rglob("metrics.csv")):
        with table.open() as file:
            rows = [{k: v for k, v in row.items() if "seconds" not in k} for row in csv.DictReader(file)]
        found[str(table.parent.relative_to(out))] = rows, load(table.parent).progress.network
    return found


def names(out):
    return sorted(str(path.relative_to(out)) for path in out.rglob("*"))


def assert_same(one, other):
    ours, theirs = numbers(one), numbers(other)
    assert ours
    assert ours.keys() == theirs.keys()
    for run, (rows, weights) in ours.items():
        assert rows == theirs[run][0], run
        for name, weight in weights.items():
            assert torch.equal(weight, theirs[run][1][name]), (run, name)
    assert names(one) == names(other)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison, one run after another."""
    out = tmp_path_factory.mktemp("compared") / "c"
    assert main([*COMPARE, "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_runs_at_once_have_the_numbers_and_files_of_one_after_another(compared, tmp_path, capsys):
    out = tmp_path / "c"
    assert main([*COMPARE, "--jobs", "2", "--out", str(out)]) == 0
    assert_same(compared, out)
    one, other = (json.loads((folder / "comparison.json").read_text()) for folder in (compared, out))
    assert [row["label"] for row in one["rows"]] == [row["label"] for row in other["rows"]]
    assert one["differences"] == other["differences"]
    assert [row["test_accuracy"] for row in one["rows"]] == [row["test_accuracy"] for row in other["rows"]]


@pytest.mark.slow
def test_numbers_of_small_networks_do_not_depend_on_the_number_of_threads(compared, tmp_path, capsys):
    torch.set_num_threads(2)
    try:
        assert main([*COMPARE, "--out", str(tmp_path / "c")]) == 0
    finally:
        torch.set_num_threads(1)
    assert_same(compared, tmp_path / "c")


@pytest.mark.slow
def test_progress_of_all_runs_is_said(tmp_path, capsys):
    words = [word for word in COMPARE if word != "--quiet"]
    assert main([*words, "--jobs", "2", "--out", str(tmp_path / "c")]) == 0
    said = capsys.readouterr().err
    assert "2 at once, threads of each: 1" in said
    for run in ("lif, seed 0", "lif, seed 1", "normalized, seed 0", "normalized, seed 1"):
        assert said.count(f"{run}: epoch ") == 3
    assert all(f"[{k}/4]" in said for k in (1, 2, 3, 4))


@pytest.mark.slow
def test_runs_that_fail_are_named_and_the_others_go_on(tmp_path, capsys):
    out = tmp_path / "c"
    assert main([*COMPARE[:-1], "1", "--out", str(out)]) == 0
    damaged = [out / "lif" / "seed-1", out / "normalized" / "seed-0"]
    for folder in damaged:
        (folder / "checkpoint.pt").write_bytes(b"nothing")
    lines = refused(capsys, "compare", "--quiet", "--resume", "--epochs", "3", "--jobs", "2", "--out", out)
    assert len(lines) == 3
    for folder in damaged:
        assert any(line.startswith(f"{folder}: ") for line in lines[:2])
    assert lines[2].startswith(f"izhi: {damaged[0]}: ")
    assert lines[2].endswith("(1 more failed, see above)")
    epochs = {run: load(out / run).progress.history[-1]["epoch"] for run in ("lif/seed-0", "normalized/seed-1")}
    assert epochs == {"lif/seed-0": 3, "normalized/seed-1": 3}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_command_ends_all_its_processes_and_goes_on(compared, tmp_path, kind):
    out = tmp_path / "c"
    longer = [*COMPARE[:-1], "4000", "--jobs", "2", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "izhi", *longer], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 120
    while min(len([*out.rglob(name)]) for name in ("metrics.csv", "checkpoint.pt")) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    if kind == signal.SIGINT:
        os.killpg(process.pid, kind)  # as a terminal does
    else:
        os.kill(process.pid, kind)
    _, said = process.communicate(timeout=60)  # its processes hold the pipe as long as they are there
    if kind == signal.SIGINT:
        assert process.returncode == 130
        assert said.count("\n") == 1, said
        assert "--resume" in said
    runs = numbers(out)
    assert len(runs) >= 2
    for run in runs:
        with files.holding(out / run):
            pass  # nobody writes it any more
    with files.holding(out):
        pass
    for path in out.rglob("checkpoint.pt"):
        assert load(path).progress.history


@pytest.mark.slow
def test_what_is_finished_is_read_back(compared, tmp_path, capsys):
    out = tmp_path / "c"
    assert main([*COMPARE[:-1], "1", "--jobs", "2", "--out", str(out)]) == 0
    assert main(["compare", "--quiet", "--resume", "--epochs", "3", "--jobs", "2", "--out", str(out)]) == 0
    assert_same(compared, out)


@pytest.mark.slow
def test_a_folder_that_another_process_writes_is_refused(compared, tmp_path, capsys):
    out = tmp_path / "c"
    assert main([*COMPARE[:-1], "1", "--out", str(out)]) == 0
    with files.holding(out / "lif" / "seed-1"):
        said = refused(capsys, "compare", "--quiet", "--resume", "--epochs", "3", "--jobs", "2", "--out", out)
    assert "another process is writing" in said[-1]
    assert str(out / "lif" / "seed-1") in said[-1]


@pytest.mark.slow
def test_studies_at_once_try_the_same_settings_as_one_after_another(tmp_path, capsys):
    words = ["tune", *TINY, "--neurons", "lif,normalized", "--trials", "4", "--epochs", "3"]
    found = []
    for folder, more in (("one", []), ("two", ["--jobs", "2"])):
        assert main([*words, *more, "--out", str(tmp_path / folder)]) == 0
        lines = (tmp_path / folder / "report.md").read_text().splitlines()
        tuned = (tmp_path / folder / "tuned.toml").read_text().split("\n", 1)[1]
        found.append((lines[lines.index("## Every trial") :], tuned, names(tmp_path / folder)))
    assert found[0] == found[1]


@pytest.mark.slow
def test_formats_of_a_sweep_at_once_have_the_numbers_of_one_after_another(tmp_path, capsys):
    pytest.importorskip("brevitas", reason="the extra 'quantize' is not installed")
    assert main(["train", *TINY, "--neuron", "lif", "--epochs", "2", "--out", str(tmp_path / "run")]) == 0
    words = ["quantize", str(tmp_path / "run"), "--weights", "4,8", "--states", "16", "--epochs", "1", "--quiet"]
    assert "add --sweep, or leave them out" in refused(capsys, *words[:3], "4", "--jobs", "2")[-1]
    for folder, more in (("one", []), ("two", ["--jobs", "2"])):
        assert main([*words, "--sweep", *more, "--out", str(tmp_path / folder)]) == 0
    assert_same(tmp_path / "one", tmp_path / "two")
    one, two = (json.loads((tmp_path / folder / "sweep.json").read_text()) for folder in ("one", "two"))
    assert one["points"] == two["points"]


def test_each_process_has_an_equal_share_of_the_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert [jobs.threads(n) for n in (1, 3, 8, 20)] == [8, 2, 1, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert jobs.threads(3) == 8


def test_what_cannot_be_done_at_once_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "jobs is 0, expected at least 1" in refused(capsys, *COMPARE, "--jobs", "0")[-1]
    assert "leave jobs out" in refused(capsys, *COMPARE, "--jobs", "2", "--nodes", "2")[-1]
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'ray>=" in refused(capsys, *COMPARE, "--ray", "local")[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_cluster_of_two_processes_has_the_numbers_of_one_after_another(compared, tmp_path):
    pytest.importorskip("ray")
    out = tmp_path / "c"
    words = [sys.executable, "-m", "izhi", *COMPARE, "--ray", "local", "--jobs", "2", "--out", str(out)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert_same(compared, out)


def test_an_address_where_no_cluster_answers_is_refused(tmp_path, capsys, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    line = refused(capsys, *COMPARE, "--ray", "127.0.0.1:1")[-1]
    assert "ray is '127.0.0.1:1', where no cluster answers" in line
    assert not list(tmp_path.iterdir())
