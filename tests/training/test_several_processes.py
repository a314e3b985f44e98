"""Runs of two processes, which exchange gradients by Gloo: the numbers of one process up to rounding."""

import csv
import os
import signal
import subprocess
import sys
import time

import pytest

#: An odd batch, which two processes do not share equally, and a last batch of one sample. The encoding draws nothing.
WORDS = ["train", "--dataset", "iris", "--neuron", "lif", "--hidden", "8", "--steps", "6", "--encoding", "constant",
         "--batch-size", "9", "--train-samples", "100", "--learning-rate", "5e-3", "--accelerator", "cpu",
         "--precision", "32-true", "--quiet"]  # fmt: skip


def start(out, *words):
    command = [sys.executable, "-m", "izhi", *WORDS, *map(str, words), "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment,
                            start_new_session=True)  # fmt: skip


def finished(process):
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said


def metrics(out):
    with (out / "metrics.csv").open() as file:
        rows = [{k: float(v) for k, v in row.items() if "seconds" not in k} for row in csv.DictReader(file)]
    # Rates are those of the first process's samples.
    return [{k: v for k, v in row.items() if not k.startswith("rate_")} for row in rows]


@pytest.mark.slow
def test_two_processes_have_the_numbers_of_one(tmp_path):
    for devices in (1, 2):
        finished(start(tmp_path / str(devices), "--devices", devices, "--epochs", 4))
    one, two = (metrics(tmp_path / str(devices)) for devices in (1, 2))
    assert len(one) == 4
    for row, other in zip(one, two, strict=True):
        assert row == pytest.approx(other, rel=1e-3)


@pytest.mark.slow
def test_two_processes_are_killed_and_resumed(tmp_path):
    words = ("--devices", 2, "--epochs", 12)
    finished(start(tmp_path / "whole", *words))
    process = start(tmp_path / "parts", *words, "--resume")
    file, limit = tmp_path / "parts" / "metrics.csv", time.monotonic() + 120
    while not (file.exists() and file.read_text().count("\n") > 2) and process.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.005)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(metrics(tmp_path / "parts")) < 13
    finished(start(tmp_path / "parts", *words, "--resume"))
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")
