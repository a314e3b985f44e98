"""What shells, pipes and terminals expect of a command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from commands import izhi
from izhi import __main__, cli
from izhi.version import __version__
from tiers import slow_but

IZHI = [sys.executable, "-m", "izhi"]
TRAIN = ["train", "--dataset", "iris", "--epochs", "2", "--hidden", "8", "--steps", "4"]


def on_a_terminal(code, **environment):
    """All that a Python program writes to a terminal, where its standard output and error go."""
    pty = pytest.importorskip("pty", reason="pseudo-terminals are of Unix")
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=its, stderr=its,
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )  # fmt: skip
    os.close(its)
    written = b""
    try:
        while part := os.read(ours, 4096):
            written += part
    except OSError:  # how Linux says that nobody writes any more
        pass
    os.close(ours)
    assert process.wait() == 0, written
    return written


@pytest.mark.usefixtures("forked_processes")
@pytest.mark.parametrize(("colors", "codes"), [({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)])
def test_no_color_means_no_escape_codes(tmp_path, colors, codes):
    code = (
        "from izhi.cli import common, main, progress\n"
        "from izhi.experiments.tables import Table\n"
        "common.print_table(Table(('one', 'two'), [('1', '2')]), 'a table')\n"
        f"main({[*TRAIN, '--out', str(tmp_path / 'run')]!r})"
    )
    written = on_a_terminal(code, **colors)
    assert b"a table" in written
    assert b"test accuracy" in written
    assert (b"\x1b" in written) == codes
    if not codes:
        assert b"epoch 2/2" in written


@pytest.mark.parametrize(
    "words",
    slow_but([["--version"]], [["data"], ["--version"], ["--help"], ["train", "--help"], ["completion", "bash"]]),
)
def test_output_that_nobody_reads_ends_in_silence(words):
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as closed:
        done = subprocess.run([*IZHI, *words], stdout=closed, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", slow_but([["--version"]], [["--version"], ["data", "list", "iris"]]))
def test_output_for_which_there_is_no_place_is_an_error_of_one_line(words):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*IZHI, *words], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_data_alone_lists(capsys):
    assert cli.main(["data"]) == 0
    alone = capsys.readouterr().out
    assert cli.main(["data", "list"]) == 0
    assert capsys.readouterr().out == alone
    assert "iris" in alone


def test_an_interrupt_before_the_command_is_read_is_one_line(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", interrupted)
    assert __main__.start() == 130
    assert capsys.readouterr() == ("", "izhi: interrupted\n")


def test_an_interrupt_is_one_line(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.parser, "run", interrupted)
    assert cli.main(["data", "list"]) == 130
    assert capsys.readouterr() == ("", "izhi: interrupted; nothing was kept\n")


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"izhi {__version__}\n"


@pytest.mark.slow
def test_verbose_says_more_and_quiet_nothing(tmp_path, capsys):
    def said(*more):
        words = [
            "train",
            "--dataset",
            "iris",
            "--neuron",
            "normalized",
            "--learn",
            "c",
            "--hidden",
            "6",
            "--epochs",
            "2",
        ]
        assert cli.main([*words, "--out", str(tmp_path / "".join(more)), *more]) == 0
        return capsys.readouterr().err.splitlines()

    usual, verbose = said(), said("--verbose")
    assert [line for line in verbose if line.partition(", ")[0] in {x.partition(", ")[0] for x in usual}]
    assert len(verbose) == len(usual) + 3
    (settings,) = (line for line in verbose if "hidden = [6]" in line)
    assert "learn = ['c']" in settings
    assert "seed =" not in settings
    assert sum("spikes per neuron and step" in line and "on training samples" in line for line in verbose) == 2
    assert said("--quiet") == []


def test_an_interrupted_study_says_how_it_resumes(monkeypatch, capsys, tmp_path):
    def interrupted(arguments):
        (tmp_path / "rows.csv").write_text("a row")
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.parser, "run", interrupted)
    words = ["study", "p.toml", "--out", str(tmp_path), "--jobs", "2"]
    assert cli.main(words) == 130
    assert capsys.readouterr() == ("", f"izhi: interrupted; resume with: izhi {' '.join(words)}\n")


def test_warnings_are_one_line_each(tmp_path, monkeypatch):
    monkeypatch.setattr("izhi.kernels.dispatch._warned", set())  # each is said once in a process
    words = [
        "train",
        "--dataset",
        "iris",
        "--neuron",
        "lif",
        "--hidden",
        "4",
        "--epochs",
        "1",
        "--precision",
        "64-true",
    ]
    done = izhi(*words, "--precision", "64-true", "--quiet", "--out", tmp_path / "run")
    assert done.returncode == 0
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["warning"]
    assert "float64, not float32" in done.stderr


@pytest.mark.slow
def test_threads_that_wait_give_way_unless_the_user_decides(monkeypatch, capsys):
    for set_before, expected in (({}, "30000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "active"}, None)):
        for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        for name, value in set_before.items():
            monkeypatch.setenv(name, value)
        assert cli.main(["data", "list"]) == 0
        assert os.environ.get("GOMP_SPINCOUNT") == expected
    program = "import sys, izhi.cli; sys.exit('torch' in sys.modules)"  # later it would have no effect
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
