"""The command line: every command with good and with bad input."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from commands import izhi
from izhi.cli import main
from izhi.experiments.settings import FIELDS, Mark, marked
from izhi.training import checkpoint

FAST = [
    "--dataset",
    "iris",
    "--hidden",
    "16",
    "--epochs",
    "2",
    "--steps",
    "8",
    "--batch-size",
    "16",
]


def izhi_process(*arguments, cwd):
    command = [sys.executable, "-m", "izhi", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=180)


def refused(capsys, *arguments):
    """Run in this process; the one line of its error, after checking status 2."""
    status = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert status == 2, captured
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("izhi: ")
    return lines[0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small trained run; its folder."""
    where = tmp_path_factory.mktemp("cli")
    done = izhi("train", *FAST, "--out", "run", "--json", "run.json", cwd=where)
    assert done.returncode == 0, done.stderr
    return where / "run"


@pytest.mark.slow
def test_a_process_of_its_own_trains_the_same(trained, tmp_path):
    done = izhi_process("train", *FAST, "--out", "run", "--json", "run.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "run").iterdir()} == {p.name for p in trained.iterdir()}
    a, b = (json.loads((folder / "run.json").read_text()) for folder in (tmp_path, trained.parent))
    assert a["history"][-1]["test_accuracy"] == b["history"][-1]["test_accuracy"]


def test_train(trained):
    names = {p.name for p in trained.iterdir()}
    assert names == {"config.toml", "metrics.csv", "checkpoint.pt", "best.pt", "accuracy.png", "report.md"}
    result = json.loads((trained.parent / "run.json").read_text())
    assert len(result["history"]) == 2
    assert result["config"]["seed"] == 0
    assert "torch" in result["versions"]
    assert "izhi train --dataset iris" in (trained / "report.md").read_text()


def test_evaluate_agrees_with_training(trained):
    done = izhi("evaluate", trained, "--json", "e.json", cwd=trained.parent)
    assert done.returncode == 0, done.stderr
    result = json.loads((trained.parent / "e.json").read_text())
    run = json.loads((trained.parent / "run.json").read_text())
    assert result["test_accuracy"] == run["test_accuracy"]
    assert result["test_loss"] == pytest.approx(run["history"][-1]["test_loss"])


def test_a_saved_configuration_repeats_the_run(trained):
    done = izhi(
        "train",
        "--config",
        trained / "config.toml",
        "--out",
        "again",
        "--json",
        "again.json",
        cwd=trained.parent,
    )
    assert done.returncode == 0, done.stderr
    one, two = (json.loads((trained.parent / n).read_text())["history"] for n in ("run.json", "again.json"))
    for a, b in zip(one, two, strict=True):
        assert {k: v for k, v in a.items() if "seconds" not in k} == {k: v for k, v in b.items() if "seconds" not in k}


def test_the_command_line_overrides_the_file(trained, tmp_path):
    done = izhi(
        "train",
        "--config",
        trained / "config.toml",
        "--epochs",
        "1",
        "--out",
        "one",
        "--json",
        "one.json",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "one.json").read_text())["history"]) == 1


@pytest.mark.slow
def test_compare(tmp_path, capsys):
    done = izhi(
        "compare", *FAST, "--neurons", "lif,normalized:jacobian_limit=inf,biological", "--connections",
        "linear,exponential", "--seeds", "0,1", "--out", "c", "--json", "c.json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "c.json").read_text())["rows"]
    assert len(rows) == 6
    assert all(len(r["test_accuracy"]) == 2 and r["spread"] >= 0 for r in rows)
    width = rows[0]["config"]["hidden"][0]
    assert rows[0]["parameters"] == (4 + 1) * width + (width + 1) * 3
    last = [history[-1] for history in rows[0]["history"]]
    spikes = [rows[0]["config"]["steps"] * r["rate_1"] * width for r in last]
    assert rows[0]["spikes_per_sample"] == pytest.approx(sum(spikes) / 2)
    assert {r["config"]["readout"] for r in rows} == {"current"}
    for figure in ("accuracy.png", "outcomes.png"):
        assert (tmp_path / "c" / figure).read_bytes().startswith(b"\x89PNG")
    report = (tmp_path / "c" / "report.md").read_text()
    assert "normalized (jacobian_limit=inf)" in report
    assert "±" in done.stdout
    assert "epoch 2/2" in done.stderr
    assert "already holds a run" in refused(capsys, "compare", *FAST, "--out", tmp_path / "c")
    resumed = izhi(
        "compare", *FAST, "--neurons", "lif,normalized:jacobian_limit=inf,biological", "--connections",
        "linear,exponential", "--seeds", "0,1", "--out", "c", "--json", "d.json", "--resume", cwd=tmp_path,
    )  # fmt: skip
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads((tmp_path / "d.json").read_text())["rows"] == rows


def test_a_file_may_name_the_variants(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = 'dataset = "iris"\nhidden = [8]\nepochs = 1\nsteps = 5\nconnection = "recurrent"\n'
    file = tmp_path / "two.toml"
    file.write_text(common + '[variants."LIF, slow"]\nneuron = "lif"\nbeta = 0.99\n[variants.FS]\nneuron = "FS"\n')
    assert main(["compare", "--config", "two.toml", "--quiet", "--out", "c", "--json", "c.json"]) == 0
    rows = json.loads((tmp_path / "c.json").read_text())["rows"]
    assert [r["label"] for r in rows] == ["LIF, slow", "FS"]
    assert [(r["config"]["neuron"], r["config"]["beta"]) for r in rows] == [
        ("lif", 0.99),
        ("FS", 0.95),
    ]
    assert {r["config"]["connection"] for r in rows} == {"recurrent"}
    assert "| LIF, slow | recurrent | spikes |" in (tmp_path / "c" / "report.md").read_text()
    again = "compare --config two.toml --quiet --out d --json d.json --connections linear,recurrent"
    assert main(again.split()) == 0
    rows = json.loads((tmp_path / "d.json").read_text())["rows"]
    assert [(r["label"], r["config"]["connection"]) for r in rows] == [
        ("LIF, slow", "linear"),
        ("FS", "linear"),
        ("LIF, slow, recurrent", "recurrent"),
        ("FS, recurrent", "recurrent"),
    ]
    file.write_text(common + "variants = 3\n")
    assert "variants is no table" in refused(capsys, "compare", "--config", "two.toml")
    file.write_text(common + '[variants]\nlif = "fast"\n')
    assert "variants holds 'lif', expected a table" in refused(capsys, "compare", "--config", "two.toml")
    file.write_text(common + "[variants.x]\nseed = 3\n")
    assert "seed cannot differ between variants" in refused(capsys, "compare", "--config", "two.toml")


@pytest.mark.slow
def test_simulate(tmp_path):
    done = izhi("simulate", "RS", "--current", "10", "--json", "s.json", "--out", "rs.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    times = json.loads((tmp_path / "s.json").read_text())["spike_times"]
    assert len(times) >= 3
    assert (tmp_path / "rs.png").stat().st_size > 5000
    for more in (
        ["lif"],
        ["normalized"],
        ["rebound spike"],
        ["CH", "--order", "s2nn", "--dt", "0.5"],
        ["adlif", "--reset", "smooth", "--set", "q_decay=0.8"],
        ["lif", "--reset", "zero"],
    ):
        assert main(["simulate", *more, "--out", str(tmp_path / "x.svg")]) == 0


def test_simulate_with_other_parameters(tmp_path):
    found = []
    for arguments in (["RS", "--set", "a=0.1,d=2"], ["FS"], ["RS"], ["lif", "--set", "beta=0.5,threshold=0.15"]):
        file = tmp_path / "s.json"
        assert main(["simulate", *arguments, "--out", str(tmp_path / "x.svg"), "--json", str(file)]) == 0
        found.append(json.loads(file.read_text())["spike_times"])
    assert found[0] == found[1] != found[2]
    assert found[3]


@pytest.mark.slow
def test_simulate_all(tmp_path):
    done = izhi("simulate", "--all", "--json", "all.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "all.json").read_text())["spike_times_ms"]) == 20
    assert (tmp_path / "patterns.png").exists()


@pytest.mark.slow
def test_data(real_data, tmp_path, capsys, monkeypatch):
    listed = izhi_process("data", "list", cwd=tmp_path)
    assert listed.returncode == 0
    assert re.search("^digits +embedded", listed.stdout, re.MULTILINE)
    assert re.search("^mnist +verified", listed.stdout, re.MULTILINE)
    for action in ("verify", "fetch"):
        assert main(["data", action, "mnist"]) == 0
    capsys.readouterr()
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    assert "mnist" in refused(capsys, "data", "verify", "mnist")


def test_every_setting_is_an_option(capsys):
    with pytest.raises(SystemExit) as done:
        main(["train", "--help-all"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    for name in FIELDS:
        assert (f"  --{name.replace('_', '-')} " in text) != (name in marked(Mark.OF_FILES)), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--neuron", "normalised"], "unknown neuron 'normalised' (did you mean 'normalized'?)"),
        (["--dataset", "mnits"], "unknown data set 'mnits' (did you mean 'mnist'?)"),
        (["--epoch", "3"], "there is no option --epoch (did you mean --epochs?)"),
        (["--steps", "0"], "steps is '0', expected greater than or equal to 1"),
        (["--learning-rate", "-1"], "learning_rate is '-1', expected greater than 0"),
        (["--learning-rate", "nan"], "learning_rate is 'nan', expected a finite number"),
        (["--jacobian-limit", "nan"], "jacobian_limit is 'nan', expected greater than 0"),
        (["--tau", "inf"], "tau is 'inf', expected a finite number"),
        (["--gain", "abc"], "gain is 'abc', expected a valid number"),
        (["--hidden", "64,0"], "hidden.1 is '0', expected greater than or equal to 1"),
        (["--connection", "dense"], "unknown connection 'dense'; expected one of: linear, "),
        (["--order", "euler"], "unknown event order 'euler'"),
        (["--surrogate", "relu"], "unknown surrogate 'relu'; expected one of: atan, "),
        (["--learn", "zeta"], "unknown learnable coefficient 'zeta'"),
        (["--population", "2"], "population is 2, expected 0 or at least 3"),
        (["--validation", "1.5"], "validation is '1.5', expected less than 1"),
        (["--accelerator", "quantum"], "accelerator 'quantum'"),
        (["--config", "none.toml"], "cannot read none.toml: No such file"),
        (["--steps", "0", "--epochs", "0"], "epochs is '0'"),
    ],
)
def test_bad_settings_write_nothing(capsys, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    line = refused(capsys, "train", *options)
    assert message in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "--neurons", "lif,izh"], "unknown neuron 'izh'"),
        (["compare", "--neurons", "lif:beta"], "expected setting=value"),
        (["compare", "--neurons", "lif:bta=0.9"], "unknown setting 'bta' (did you mean 'beta'?)"),
        (["compare", "--seeds", "a"], "seeds is 'a', expected whole numbers"),
        (["compare", "--neurons", ","], "names nothing"),
        (["simulate", "RSS"], "unknown neuron 'RSS'"),
        (["simulate", "RS", "--dt", "0"], "dt is 0.0, expected a time step above 0"),
        (["simulate", "RS", "--current", "nan"], "current is nan, expected a finite number"),
        (["simulate", "RS", "--duration", "-3"], "duration is -3.0"),
        (["simulate", "RS", "--set", "a=x"], "set has 'a=x', expected name=value"),
        (["simulate", "RS", "--set", "gain=2"], "unknown parameter 'gain'"),
        (["simulate", "lif", "--set", "c=1"], "unknown parameter 'c'; expected one of: beta, threshold"),
        (["simulate", "RS", "--reset", "zero"], "reset is 'zero', which Izhikevich neurons do not have; choose value"),
        (["simulate", "lif", "--reset", "smooth"], "unknown reset mode 'smooth'"),
        (
            ["simulate", "izhi.equation.literature:parametric_lif", "--reset", "zero"],
            "reset is 'zero', but izhi.equation.literature:parametric_lif has its own; leave it out",
        ),
        (["simulate", "RS", "--set", "c=40"], "threshold is 30.0, expected more than the reset value c = 40"),
        (["simulate", "accommodation", "--current", "3", "--set", "a=1"], "b is not defined where b2 is 0"),
        (["simulate", "CH", "--set", "a=1,b1=2"], "a or b is given beside b1 or b2"),
        (["simulate", "RS", "--out", "x.docx"], "expected a figure's ending"),
        (["data", "fetch"], "fetch names no data set"),
        (["data", "verify", "nmist"], "unknown data set 'nmist'"),
        (["evaluate", "nowhere"], "nowhere is not there"),
        (["trian"], "unknown command 'trian' (did you mean 'train'?)"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_bad_arguments(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_file_with_mistakes(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text("steps = [")
    assert "bad.toml is not valid TOML" in refused(capsys, "train", "--config", "bad.toml")
    Path("odd.toml").write_text("stepz = 3\nepochs = 0\n")
    line = refused(capsys, "train", "--config", "odd.toml")
    assert "unknown setting 'stepz' (did you mean 'steps'?)" in line
    assert "epochs is 0, expected greater than or equal to 1" in line


def test_a_truncated_idx_file(capsys, tmp_path, monkeypatch):
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / f"{part}-ubyte").write_bytes(b"\x00\x00\x08\x01\x00\x00\xea\x60" + bytes(100))
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    line = refused(capsys, "train", "--dataset", "mnist", "--out", tmp_path / "run")
    assert "holds 108 bytes, expected 60,008" in line
    assert not (tmp_path / "run").exists()


def test_checkpoints_that_must_not_load(capsys, trained, tmp_path):
    whole = (trained / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(whole[: len(whole) // 2])
    assert "truncated or no checkpoint" in refused(capsys, "evaluate", tmp_path)
    line = refused(capsys, "train", *FAST, "--hidden", "17", "--out", trained, "--resume")
    assert "holds a run with hidden = (16,), not (17,)" in line
    other = tmp_path / "other"
    assert main(["train", *FAST, "--hidden", "17", "--out", str(other), "--quiet"]) == 0
    capsys.readouterr()
    (other / "checkpoint.pt").write_bytes(whole)
    line = refused(capsys, "train", *FAST, "--hidden", "17", "--out", other, "--resume")
    assert "from another network: hidden is [16] there, expected [17]" in line


def test_a_run_of_an_older_version_that_lacks_a_setting(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", *FAST, "--out", str(out), "--quiet"]) == 0
    saved = checkpoint.load(out / "checkpoint.pt")
    del saved["config"]["weight_scale"]
    checkpoint.save(out / "checkpoint.pt", {k: v for k, v in saved.items() if k != "format"})
    lines = (out / "config.toml").read_text().splitlines()
    (out / "config.toml").write_text("\n".join(line for line in lines if not line.startswith("weight_scale")))
    assert main(["train", *FAST, "--out", str(out), "--quiet", "--resume"]) == 0


class Hostile:
    def __reduce__(self):
        return print, ("hostile code ran",)


def test_a_checkpoint_that_holds_code(capsys, tmp_path):
    torch.save({"format": 1, "config": Hostile()}, tmp_path / "checkpoint.pt")
    assert "holds code or objects" in refused(capsys, "evaluate", tmp_path)
    assert "hostile" not in capsys.readouterr().out


def test_a_run_folder_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    line = refused(capsys, "train", *FAST, "--out", tmp_path / "file" / "run")
    assert "cannot write" in line
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.usefixtures("forked_processes")
def test_a_full_disk(tmp_path):
    """A limit on file sizes stands in for it: the checkpoint does not fit, what is there is whole."""
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
        "from izhi.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "train", *FAST, "--hidden", "400", "--out", "run", "--quiet"],
        capture_output=True, text=True, cwd=tmp_path, timeout=180,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "cannot write" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"config.toml"}


@pytest.mark.slow
def test_compare_cross_validates_gradients_and_evolution(tmp_path, capsys):
    options = ["--neurons", "normalized,normalized:optimizer=snes:members=8", "--dataset", "iris", "--folds",
               "--encoding", "latency", "--steps", "5", "--hidden", "4", "--epochs", "2", "--quiet"]  # fmt: skip
    file = tmp_path / "result.json"
    assert main(["compare", *options, "--out", str(tmp_path / "x"), "--json", str(file)]) == 0
    rows = json.loads(file.read_text())["rows"]
    assert [len(row["test_accuracy"]) for row in rows] == [5, 5]
    assert rows[0]["folds"] == [0, 1, 2, 3, 4]
    assert (tmp_path / "x" / "normalized" / "seed-0-fold-4" / "checkpoint.pt").exists()
    assert main(["train", "--dataset", "mnist", "--fold", "1"]) == 2
    assert "fold is 1, but mnist is none of digits, iris" in capsys.readouterr().err
    assert main(["train", "--dataset", "iris", "--fold", "5"]) == 2
    assert "fold is '5'" in capsys.readouterr().err
