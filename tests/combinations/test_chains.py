"""Whole chains of commands with random settings: each succeeds with sound numbers, or refuses in one line, and never
after it has trained."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from combinations.domains import LEFT_OUT, context, values
from commands import run, succeed
from izhi.experiments.settings import FIELDS
from izhi.trust import trust

NAMES = [name for name in FIELDS if name not in {*LEFT_OUT, "kernel"}]
SMALL = {"dataset": "iris", "neuron": "lif", "hidden": (5,), "steps": 6, "epochs": 1, "train_samples": 40,
         "batch_size": 16}  # fmt: skip


def text_of(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={share}" for name, share in value.items())
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value).lower()


def options(draw: random.Random) -> list[str]:
    given: dict[str, Any] = {}
    for name in draw.sample(NAMES, draw.randint(1, 6)):
        given = {**context(name, given.get(name, draw.choice(values(name)))), **given}
    given = {**SMALL, **given}
    if "layers" in given:
        del given["hidden"]
    return [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", text_of(value))]


def chain(draw: random.Random, folder: Path) -> bool:
    """Train and use what was trained in every way; whether training was not refused."""
    one, rounded, artifact = folder / "run", folder / "rounded", folder / "rounded" / "network.izhi"
    words = options(draw)
    answer = run("train", *words, "--quiet", "--out", one)
    if answer.refusal is not None:
        assert not one.exists() or "is not finite" in answer.refusal, answer
        return False
    succeed("evaluate", one)
    for command in ("show", "dynamics", "report"):
        run(command, one)
    run("evaluate", one, "--energy")
    run("nir", "export", one, folder / "n.nir")
    bits = ("--weights", draw.choice([2, 4, 8]), "--states", draw.choice([8, 12, 16]))
    answer = run("quantize", one, *bits, "--epochs", 1, "--quiet", "--out", rounded)
    if answer.refusal is not None:
        assert not rounded.exists() or "is not finite" in answer.refusal, answer
        return True
    succeed("evaluate", rounded)
    succeed("export", rounded)
    succeed("evaluate", artifact, "--against", rounded)
    succeed("run", artifact, "--samples", 5, "--compare")
    succeed("trace", artifact, "--out", folder / "t.csv")
    succeed("report", rounded)
    return True


@pytest.fixture(autouse=True)
def trusted():
    trust("combinations.datasets:series", "combinations.datasets:steps", "combinations.datasets:events")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_chains(seed, tmp_path):
    draw, trained = random.Random(seed), 0
    for number in range(20):
        trained += chain(draw, tmp_path / str(number))
        if trained == 2:
            return
    raise AssertionError("nearly all were refused")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
def test_many_chains(seed, tmp_path):
    draw = random.Random(seed)
    for number in range(50):
        chain(draw, tmp_path / str(number))
