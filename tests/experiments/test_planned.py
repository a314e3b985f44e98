"""The engine of planned runs: one after another, resources of a process, and histories that resume."""

import pytest
import torch

from izhi import data
from izhi.experiments import build
from izhi.experiments.planned import PlannedRun, Resources, SerialRunner, extend_history, without_test_samples
from izhi.experiments.settings import experiment
from izhi.kernels import routes


def test_a_serial_runner_keeps_each_outcome_before_the_next_run():
    order = []

    def execute(number):
        def run(resources, listener):
            order.append(f"run {number}")
            return number

        return run

    planned = [PlannedRun(str(k), execute(k)) for k in range(2)]
    assert SerialRunner().run(planned, lambda outcome: order.append(f"keep {outcome}")) == [0, 1]
    assert order == ["run 0", "keep 0", "run 1", "keep 1"]


def test_resources_are_loaded_once_for_runs_of_the_same_data(monkeypatch):
    loaded = []
    monkeypatch.setattr(build, "dataset", lambda settings, report: loaded.append(settings) or data.load("iris"))
    resources = Resources()
    first, same = experiment({"dataset": "iris", "seed": 0}), experiment({"dataset": "iris", "seed": 1})
    assert resources.dataset(first) is resources.dataset(same)
    assert resources.fabric(first) is resources.fabric(same)
    assert resources.dataset(experiment({"dataset": "iris", "fold": 1})) is resources.dataset(
        experiment({"dataset": "iris", "fold": 1})
    )
    assert len(loaded) == 2


@pytest.mark.parametrize(("unit", "of_convolutions"), [("vectors of bfloat16", "bf16-mixed"), (None, "32-true")])
def test_convolutions_are_in_bfloat16_where_a_cpu_multiplies_vectors_of_it(monkeypatch, unit, of_convolutions):
    monkeypatch.setattr(routes, "convolution_unit", lambda dtype: unit)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    resources, settings = Resources(), {"dataset": "mnist", "accelerator": "cpu"}
    found = [
        resources.fabric(experiment({**settings, **changes}))._precision.precision
        for changes in ({}, {"layers": "conv 4x3"}, {"layers": "conv 4x3", "precision": "32-true"})
    ]
    assert found == ["32-true", of_convolutions, "32-true"]


def test_a_data_set_without_test_samples_keeps_the_others():
    whole = data.load("iris")
    unseen = without_test_samples(whole)
    assert len(unseen.test) == 0
    assert torch.equal(unseen.train.labels, whole.train.labels)
    assert not unseen.groups


def test_a_history_is_extended_from_where_it_ended():
    events, saved, history = [], [], [{"loss": 3.0, "seconds": 1.0}]

    def run_epoch():
        return {"loss": 2.0 - len(history)}

    extend_history(history, 3, run_epoch, lambda: saved.append(len(history)), events.append)
    assert [row["loss"] for row in history] == [3.0, 1.0, 0.0]
    assert all("seconds" in row for row in history)
    assert saved == [2, 3]
    assert [(event.kind, event.epoch) for event in events] == [("start", 1), ("epoch", 2), ("epoch", 3), ("end", 3)]
