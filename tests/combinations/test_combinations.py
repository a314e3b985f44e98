"""Every pair of settings trains, quantises and runs in integers with finite numbers, or is refused in a line.

``-m long`` tries thousands of larger combinations, also with compiled kernels.
"""

from __future__ import annotations

import math
import random
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from combinations.domains import LEFT_OUT, context, values
from izhi.data import Dataset
from izhi.errors import DivergenceError, IzhiError, SilentLayerWarning, SlowKernelWarning
from izhi.experiments import build, export, run as run_of, samples
from izhi.experiments.settings import FIELDS, Experiment, experiment
from izhi.experiments.settings.groups import DataSettings
from izhi.hardware import fixed
from izhi.hardware.artifact.integers import in_whole_numbers
from izhi.training import LOSSES, Data, make_fabric
from izhi.trust import trust

#: Settings that are varied, and the base that keeps runs small.
NAMES = [name for name in FIELDS if name not in LEFT_OUT]
BASE = {"dataset": "iris", "neuron": "lif", "hidden": (4,), "steps": 8, "epochs": 1, "kernel": "reference",
        "batch_size": 8, "train_samples": 12, "precision": "32-true"}  # fmt: skip
#: Samples of a test part.
FEW = 6


@cache
def dataset_of(settings: DataSettings) -> Dataset:
    dataset = build.dataset(settings)
    few = torch.arange(len(dataset.test)) < FEW
    return replace(dataset, test=dataset.test.subset(few), groups={})


@cache
def fabric_of(precision: str) -> Any:
    fabric = make_fabric("cpu", precision=precision)
    fabric.launch()
    return fabric


def chain(given: Mapping[str, Any]) -> None:
    """Train, evaluate, quantise and run in integers; an IzhiError before training is a refusal."""
    e = experiment({**BASE, **given})
    dataset = dataset_of(DataSettings(**{n: e.get(n) for n in ("dataset", "fold", "best_inputs", "over_time")}))
    build.check(e, dataset)
    train, held = build.training_samples(e.data, dataset)
    encoder = build.encoder(e, dataset)
    fabric = fabric_of(e.machine.precision)
    network = build.network(e, encoder.grid, len(dataset.classes), formats=calibrated(e, encoder, train))
    in_training(e, fabric, network, Data(train, dataset.test, held), encoder)
    if e.quantization.is_whole and is_for_hardware(e):
        try:
            in_integers(e, dataset, network)
        except IzhiError as error:
            raise AssertionError(f"refused after quantisation was trained: {error}") from error
    elif not e.quantization.is_quantized and not e.training.evolves:
        rounded = e.replace(weight_bits=3, state_bits=12, online=None)
        build.check(rounded, dataset)
        in_integers(rounded, dataset, run_of.rounded(rounded, dataset, network.state_dict()).network)


def is_for_hardware(e: Experiment) -> bool:
    """Whether hardware takes the samples, which a command says before it quantises."""
    try:
        export.expect_integers(Path("the network"), e)
    except IzhiError:
        return False
    return True


def calibrated(e: Experiment, encoder: Any, train: Any) -> Any:
    """Formats of a network's states, by training samples."""
    from izhi.quantization import formats

    return lambda network: formats(network, run_of.calibration(e, encoder, train, network), e.quantization.state_bits)


def in_training(e: Experiment, fabric: Any, network: Any, data: Data, encoder: Any) -> None:
    """Its metrics are finite and within their bounds; no error but a divergence is allowed."""
    try:
        progress = build.trainer(e, fabric).fit(network, data, encoder)
    except DivergenceError:
        return
    except IzhiError as error:
        raise AssertionError(f"refused after training began: {error}") from error
    for name, value in progress.history[-1].items():
        assert math.isfinite(value), (name, value)
        assert "accuracy" not in name or 0 <= value <= 1, (name, value)
        assert not name.startswith("rate_") or 0 <= value <= 1, (name, value)


def in_integers(e: Experiment, dataset: Dataset, network: Any) -> None:
    """The integer model fires and answers as the quantised network does, unless hardware does not take it."""
    from izhi import quantization

    export.require_hardware(e, dataset, network)
    encoder = build.encoder(e, dataset)
    reads, loss = build.reading(e, dataset), LOSSES[e.training.loss]
    integers = quantization.in_integers(network.eval(), reads=reads)
    spikes = samples.dense(encoder(dataset.test.batch(torch.arange(2))[0], 0))
    whole = in_whole_numbers(spikes, export.encoding_of(e))
    with torch.no_grad():
        expected = network.record(torch.from_numpy(spikes).to(next(network.parameters())))
    found, output = fixed.run(integers, whole), expected.output.double()
    for one, two in zip(found.spikes, expected.spikes, strict=True):
        np.testing.assert_array_equal(one, two.flatten(2).numpy())
    scores = output.transpose(0, 1) if reads == "steps" else loss.scores(output)
    np.testing.assert_array_equal(found.classes, scores.numpy().argmax(-1))


def refused(given: Mapping[str, Any]) -> str | None:
    """The line that refuses a combination; None if it runs."""
    with warnings.catch_warnings():
        for kind in (SlowKernelWarning, SilentLayerWarning):
            warnings.simplefilter("ignore", kind)
        try:
            chain(given)
        except IzhiError as error:
            return str(error)
    return None


def tried(given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a combination that ran, without those that lines refuse, one after another."""
    while given:
        try:
            message = refused(given)
        except Exception as error:
            raise AssertionError(f"{given}: {type(error).__name__}: {error}") from error
        if message is None:
            break
        named = [name for name in given if re.search(rf"\b{name}s?\b", message)]
        dropped = (named or list(given))[-1]
        given = {name: value for name, value in given.items() if name != dropped}
    return given


def drawn(draw: random.Random, names: Sequence[str]) -> dict[str, Any]:
    """Values of settings, and of those without which they have no use; the first settings decide."""
    given: dict[str, Any] = {}
    for name in names:
        given = {**context(name, given.get(name, draw.choice(values(name)))), **given}
    return given


@pytest.fixture(scope="module", autouse=True)
def trusted():
    trust("combinations.datasets:series", "combinations.datasets:steps", "combinations.datasets:events")


def test_every_setting_has_values():
    assert all(values(name) for name in NAMES)


@pytest.mark.slow(minutes=3)
def test_all_pairs(monkeypatch):
    """Each pair of settings, and eight others: they run, or one of them is refused."""
    monkeypatch.setattr(build.training, "make_fabric", cache(build.training.make_fabric))
    draw = random.Random(0)
    pending = [frozenset(pair) for pair in combinations(NAMES, 2)]
    draw.shuffle(pending)
    left = set(pending)
    for pair in pending:
        if pair in left:
            ran = tried(drawn(draw, [*sorted(pair), *draw.sample(NAMES, 8)]))
            left -= {pair, *map(frozenset, combinations(ran, 2))}


@pytest.mark.long
@pytest.mark.parametrize("seed", range(8))
def test_many_combinations(seed):
    draw = random.Random(seed)
    for _ in range(500):
        given = drawn(draw, draw.sample(NAMES, draw.randint(2, 12)))
        tried({**given, "kernel": draw.choice(["reference", "auto"])})
