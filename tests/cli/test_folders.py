"""Folders of runs: made once, held by one command, gone on with by themselves alone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from izhi import files
from izhi.cli import main
from izhi.errors import RunFolderError, SettingError
from izhi.experiments.run_folder import load

TINY = ["--dataset", "iris", "--hidden", "8", "--steps", "4", "--quiet"]


@pytest.fixture
def start():
    """Start commands, which take interrupts even where the tests themselves ignore them; none outlives its test."""
    started = []

    def start(*words, cwd):
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "izhi", *words], cwd=cwd, text=True, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        )  # fmt: skip
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def refused(capsys, *words):
    """The line by which a command is refused."""
    capsys.readouterr()
    assert main(words) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_new_folders_differ_whoever_asks_at_the_same_time(tmp_path):
    code = "import sys; from pathlib import Path; from izhi import files; print(files.new_folder(Path('runs'), 'same'))"
    asked = [
        subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    names = {x.communicate()[0].strip() for x in asked}
    assert names == {"runs/same", *(f"runs/same-{k}" for k in range(2, 9))}


def test_commands_of_one_process_have_folders_of_their_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["train", *TINY, "--epochs", "1"]) == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_training_goes_on_by_its_folder_alone(tmp_path, capsys):
    out, whole = str(tmp_path / "out"), str(tmp_path / "whole")
    settings = [*TINY, "--neuron", "lif", "--learning-rate", "1e-2"]
    assert main(["train", *settings, "--epochs", "1", "--out", out]) == 0
    assert main(["train", "--resume", "--out", out, "--epochs", "3", "--quiet"]) == 0
    assert main(["train", *settings, "--epochs", "3", "--out", whole]) == 0
    one, two = load(tmp_path / "out"), load(tmp_path / "whole")
    assert len(one.progress.history) == 3
    for a, b in zip(one.progress.history, two.progress.history, strict=True):
        assert {k: v for k, v in a.items() if "seconds" not in k} == {k: v for k, v in b.items() if "seconds" not in k}
    header = (tmp_path / "out" / "config.toml").read_text().splitlines()[1]
    assert "--resume" not in header, "the command that began it stays"
    assert "holds a run with steps = 4, not 5" in refused(capsys, "train", "--resume", "--out", out, "--steps", "5")


@pytest.mark.slow
def test_a_comparison_goes_on_by_its_plan(tmp_path, capsys):
    config, out = tmp_path / "exp.toml", tmp_path / "cmp"
    config.write_text(
        'dataset = "iris"\nhidden = [8]\nsteps = 4\n'
        '[variants."A"]\nneuron = "lif"\n[variants."B"]\nneuron = "lif"\nbeta = 0.5\n'
    )
    began = ["compare", "--config", str(config), "--epochs", "1", "--seeds", "3,4", "--quiet", "--out", str(out)]
    assert main(began) == 0
    before = json.loads((out / "comparison.json").read_text())
    report = (out / "report.md").read_text()
    assert main(["compare", "--resume", "--out", str(out), "--quiet"]) == 0
    after = json.loads((out / "comparison.json").read_text())
    assert [row["label"] for row in after["rows"]] == ["A", "B"]
    assert [row["test_accuracy"] for row in after["rows"]] == [row["test_accuracy"] for row in before["rows"]]
    assert (out / "report.md").read_text() == report
    names = sorted(x.name for x in out.iterdir())
    for words, message in [
        (["--seeds", "3"], "seeds = [3, 4], not [3]"),
        (["--neurons", "normalized"], "variants = "),
        (["--steps", "5"], "steps = 4, not 5"),
    ]:
        assert message in refused(capsys, "compare", "--resume", "--out", str(out), *words)
    assert sorted(x.name for x in out.iterdir()) == names
    assert "already holds a run" in refused(capsys, *began)
    assert "holds no runs of izhi tune" in refused(capsys, "tune", "--resume", "--out", str(out))


def test_a_folder_without_a_plan_is_not_gone_on_with(tmp_path, capsys):
    (tmp_path / "cmp" / "LIF").mkdir(parents=True)
    line = refused(capsys, "compare", *TINY, "--resume", "--out", str(tmp_path / "cmp"))
    assert "holds no plan.json" in line


def test_resume_needs_a_folder(capsys, tmp_path):
    assert "add --out" in refused(capsys, "train", "--resume")
    for command in ("train", "compare", "tune"):
        line = refused(capsys, command, "--resume", "--out", str(tmp_path / "none"))
        assert "to resume" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", *TINY, "--shift", "10"], "shift is 10, but iris holds no images"),
        (["train", *TINY, "--exclude-classes", "nope"], "unknown class 'nope'"),
        (["train", *TINY, "--encoding", "rows"], "holds no images"),
        (["train", *TINY, "--encoding", "pixels"], "encoding is 'pixels', but iris holds no images"),
        (["train", *TINY, "--permutation", "1"], "permutation is 1, but only images that are read over time have"),
        (["compare", *TINY, "--weight-bits", "4", "--connections", "conductance"], "with ConductanceSynapse, which"),
        (["tune", *TINY, "--neurons", "lif", "--exclude-classes", "nope"], "unknown class 'nope'"),
        (["train", *TINY, "--patience", "2", "--validation", "0"], "patience is 2, but validation is 0"),
    ],
)
def test_what_is_refused_writes_nothing(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *words)
    assert message in refused(capsys, *words, "--out", "out")
    assert list(tmp_path.iterdir()) == []


def test_one_command_holds_a_folder(tmp_path, capsys):
    words = ["train", *TINY, "--epochs", "1", "--out", str(tmp_path / "out")]
    with files.holding(tmp_path / "out"):
        assert "another process is writing" in refused(capsys, *words)
    assert main(words) == 0


@pytest.mark.usefixtures("forked_processes")
def test_a_held_folder_is_free_when_its_process_is_killed(tmp_path):
    code = (
        "import time; from pathlib import Path; from izhi import files\n"
        "with files.holding(Path('f')): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(RunFolderError, match="another process"), files.holding(tmp_path / "f"):
        pass
    process.kill()
    process.wait()
    with files.holding(tmp_path / "f"):
        assert list((tmp_path / "f").iterdir()) == []


def test_what_a_killed_process_left_unfinished_is_removed(tmp_path):
    (tmp_path / "f" / "run").mkdir(parents=True)
    (tmp_path / "f" / "run" / ".checkpoint.pt-abcd1234.part").write_bytes(b"half")
    (tmp_path / "f" / ".hidden").write_bytes(b"the user's")
    with files.holding(tmp_path / "f"):
        pass
    assert [x.name for x in (tmp_path / "f").rglob("*") if x.is_file()] == [".hidden"]


@pytest.mark.parametrize("error", [SettingError("no such task"), KeyboardInterrupt()])
def test_a_folder_in_which_nothing_came_about_is_not_left(error, tmp_path):
    (tmp_path / "there").mkdir()
    for name in ("a/b", "there", "there/a"):
        with pytest.raises(type(error)), files.holding(tmp_path / name):
            assert (tmp_path / name).is_dir()
            raise error
    assert [x.name for x in tmp_path.rglob("*")] == ["there"]
    with pytest.raises(type(error)), files.holding(tmp_path / "a" / "b"):
        files.write_bytes(tmp_path / "a" / "b" / "row", b"1")
        raise error
    assert (tmp_path / "a" / "b" / "row").read_bytes() == b"1"


@pytest.mark.slow
def test_an_interrupt_says_how_to_go_on(tmp_path, start):
    process = start("train", *TINY, "--epochs", "100000", cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/checkpoint.pt")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    folder = os.path.relpath(next(tmp_path.glob("runs/*")), tmp_path)
    line = said.splitlines()[-1]
    assert (
        line
        == f"izhi: interrupted; resume with: izhi {' '.join(['train', *TINY])} --epochs 100000 --out {folder} --resume"
    )


@pytest.mark.slow
def test_an_interrupt_while_libraries_are_loaded_is_no_traceback(tmp_path, start):
    process = start("train", *TINY, "--epochs", "100000", cwd=tmp_path)
    deadline = time.monotonic() + 60
    while "libtorch" not in Path(f"/proc/{process.pid}/maps").read_text():
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "izhi: interrupted; nothing was kept\n"


def test_json_alone_goes_to_standard_output(capsys):
    assert main(["data", "list", "iris", "--json", "-"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)[0]["name"] == "iris"
    assert "iris" in err


@pytest.mark.slow
def test_quantising_goes_on_by_its_folder_alone(tmp_path, capsys):
    run, out, swept = (str(tmp_path / name) for name in ("run", "out", "swept"))
    assert main(["train", *TINY, "--epochs", "2", "--out", run]) == 0
    assert "no run is named, expected the folder of a float network" in refused(capsys, "quantize")
    assert main(["quantize", run, "--weights", "8", "--out", out, "--quiet"]) == 0
    assert main(["quantize", "--resume", "--out", out, "--epochs", "3", "--quiet"]) == 0
    found = load(tmp_path / "out")
    assert found.experiment.quantization.weight_bits == 8
    assert len(found.progress.history) == 3
    assert "with weights = [8], not [4]" in refused(capsys, "quantize", "--resume", "--out", out, "--weights", "4")
    formats = ["--sweep", "--method", "ptq", "--weights", "8,4", "--states", "12"]
    assert main(["quantize", run, *formats, "--out", swept, "--quiet"]) == 0
    before = (tmp_path / "swept" / "sweep.json").read_bytes()
    (tmp_path / "swept" / "sweep.json").unlink()
    assert main(["quantize", "--resume", "--out", swept, "--quiet"]) == 0
    assert (tmp_path / "swept" / "sweep.json").read_bytes() == before
    assert sorted(x.name for x in (tmp_path / "swept").iterdir() if x.is_dir()) == ["ptq-w4-s12", "ptq-w8-s12"]
    assert "weights = [8, 4], not [3]" in refused(capsys, "quantize", "--resume", "--out", swept, "--weights", "3")


@pytest.mark.slow
def test_nothing_is_said_of_what_torch_and_lightning_do(tmp_path, start):
    process = start("train", *TINY, "--epochs", "1", "--out", str(tmp_path / "out"), cwd=tmp_path)
    out, err = process.communicate()
    assert process.returncode == 0
    assert err == ""
    assert out.count("\n") == 3
