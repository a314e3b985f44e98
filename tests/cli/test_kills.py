"""Commands that are killed at random moments, again and again, end with the numbers of one that never was."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

#: Kills of each command; six commands make a hundred.
KILLS = 17


def izhi(*words):
    return subprocess.Popen(
        [sys.executable, "-m", "izhi", *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def done(*words):
    """Run a command to its end; the seconds that it took."""
    began = time.monotonic()
    process = izhi(*words)
    _, said = process.communicate(timeout=900)
    assert process.returncode == 0, said
    return time.monotonic() - began


def killed(words, out, seconds, draw):
    """Start a command and kill it at a random moment; whether it had come to its end."""
    process = izhi(*words, "--out", out, "--resume")
    try:
        _, said = process.communicate(timeout=draw.uniform(0, seconds))
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        return False
    assert process.returncode == 0, said
    return True


def rows(path):
    """A table of metrics without what a clock said."""
    with path.open() as file:
        return [{k: v for k, v in row.items() if "seconds" not in k} for row in csv.DictReader(file)]


def compared(out):
    found = json.loads((out / "comparison.json").read_text())["rows"]
    return [(row["label"], row["test_accuracy"], row["parameters"], row["spikes_per_sample"]) for row in found]


def searched(out):
    lines = (out / "report.md").read_text().splitlines()
    return lines[lines.index("## Every trial") :], (out / "tuned.toml").read_text().split("\n", 1)[1]


SMALL = ["--dataset", "iris", "--hidden", "12", "--steps", "8", "--batch-size", "16"]
COMMANDS = {
    "train": (["train", *SMALL, "--epochs", "60", "--neuron", "biological"], lambda out: rows(out / "metrics.csv")),
    "compare": (["compare", *SMALL, "--epochs", "12", "--seeds", "0,1", "--neurons", "lif,normalized"], compared),
    "quantize": (["quantize", "{float}", "--weights", "4", "--states", "12", "--epochs", "30"],
                 lambda out: rows(out / "metrics.csv")),
    "evolve": (["evolve", *SMALL, "--neuron", "lif", "--epochs", "150", "--members", "16"],
               lambda out: rows(out / "metrics.csv")),
    "adapt": (["adapt", "{quantized}", "--drift", "permute=0.5", "--samples", "120", "--batch", "4", "--every", "3",
               "--replay", "20", "--steps", "4"], lambda out: rows(out / "adaptation.csv")),
    "tune": (["tune", *SMALL, "--epochs", "8", "--neurons", "lif", "--trials", "6"], searched),
}  # fmt: skip


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """A float and a quantised run, to start from."""
    where = tmp_path_factory.mktemp("networks")
    float_run, quantized = where / "float", where / "quantized"
    done("train", *SMALL, "--epochs", "20", "--neuron", "lif", "--out", float_run, "--quiet")
    done("quantize", float_run, "--weights", "4", "--states", "12", "--method", "ptq", "--out", quantized, "--quiet")
    return {"float": str(float_run), "quantized": str(quantized)}


def files_of(out):
    return sorted(str(x.relative_to(out)) for x in out.rglob("*") if x.is_file())


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_ends_as_one_that_never_was(name, networks, tmp_path):
    words, numbers = COMMANDS[name]
    words = [*(word.format(**networks) for word in words), "--quiet"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    seconds = done(*words, "--out", whole)
    draw, kills = random.Random(name), 0
    while kills < KILLS:
        if killed(words, broken, 1.1 * seconds, draw):
            check(numbers, whole, broken)
            broken = Path(f"{broken}-")
        else:
            kills += 1
    done(*words, "--out", broken, "--resume")
    check(numbers, whole, broken)


def check(numbers, whole, broken):
    assert numbers(broken) == numbers(whole)
    assert files_of(broken) == files_of(whole)
