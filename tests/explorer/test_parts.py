"""Parts of the explorer's pages, without a browser: figures, tables, answers."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("bokeh")

from izhi import PRESETS, zoo
from izhi.experiments.sample_trace import SampleTrace
from izhi.explorer import devices, figures, runs
from izhi.hardware.devices import own_samples


def trace(label, scores):
    """A sample's trace of three classes, whose last name could be markup."""
    label, scores = np.array(label), np.array(scores, float)
    return SampleTrace(0, label, ("one", "two", "<b>"), np.zeros((4, 2)), [], scores)


def test_an_answer_says_whether_it_is_right():
    assert runs._answer(trace(1, [0, 2, 1])) == "answer: <b>two</b> (right)"
    assert runs._answer(trace(0, [0, 1, 2])) == "answer: <b>&lt;b&gt;</b> (it is one)"
    assert runs._answer(trace([0, -1, 1], [[1, 0, 0], [1, 0, 0], [1, 0, 0]])) == "50.0 % of 2 steps right"


def test_the_right_class_is_green():
    [bars] = runs._scores(trace(1, [0, 2, 1])).renderers
    data = bars.data_source.data
    assert (list(data["x"]), list(data["top"])) == (["one", "two", "<b>"], [0, 2, 1])
    colours = list(data["fill_color"])
    assert colours[0] == colours[2] != colours[1]


@pytest.mark.parametrize(("count", "title"), [(2, "all runs; choose"), (40, "the first 12 of 40 runs")])
def test_the_figure_of_runs_reads_no_more_histories_than_it_draws(count, title, monkeypatch):
    opened = []

    def history(path):
        opened.append(path)
        return [{"epoch": epoch, "test_accuracy": 0.1 * epoch} for epoch in (1, 2)]

    monkeypatch.setattr(runs.saved, "history", history)
    listed = [SimpleNamespace(name=f"run {k}", path=k) for k in range(count)]
    figure = runs._curves(listed, every=True)
    assert len(opened) == len(figure.legend[0].items) == min(count, 12)
    assert figure.title.text.text.startswith(title)
    assert "izhi train" in runs._curves([], every=True).text


def test_answer_and_label_of_each_step_begin_at_step_one():
    label, answer = runs._scores(trace([2, -1, 1], [[1, 0, 0], [0, 1, 0], [0, 0, 1]])).renderers
    assert list(label.data_source.data["x"]) == list(answer.data_source.data["x"]) == [1, 2, 3]
    assert list(answer.data_source.data["y"]) == [0, 1, 2]
    np.testing.assert_array_equal(label.data_source.data["y"], [2, np.nan, 1])


@pytest.mark.parametrize("name", ["mnist-lif", "ecg"])
def test_an_artifact_is_described_layer_by_layer(name):
    made = zoo.load(name).artifact
    text = devices.description(made)
    assert f"T = {made.steps}, {len(made.test_scores)} test vectors" in text
    parts = re.findall(r"layer \d+|readout", text)
    assert parts == [*(f"layer {k}" for k in range(1, len(made.network.layers) + 1)), "readout"]
    for layer in made.network.layers:
        assert re.search(rf">{layer.inputs:,}<.*>{layer.outputs:,}<.*>{layer.weight_bits}<", text)


def test_the_class_of_a_sample_is_that_of_its_last_step():
    assert devices._last(np.array(3)) == 3
    assert devices._last(np.array([1, 1, 5])) == 5
    inputs, labels = own_samples(zoo.load("ecg").artifact)
    assert devices._last(labels[0]) == labels[0][-1]
    assert inputs.shape[1] == len(labels)


def test_the_plane_has_both_nullclines_and_the_state():
    plane = figures.PhasePlane("plane", in_mv=True)
    labels = [item.label.value for item in plane.figure.legend[0].items]
    assert labels == ["v' = 0", "u' = 0", "state"]
    p = PRESETS["RS"]
    v, u, spikes = np.array([-65.0, 30.0, -65.0]), np.array([-13.0, -12.0, -4.0]), np.array([0.0, 1.0, 0.0])
    plane.show(p, 10.0, spikes, v, u)
    of_v, of_u, grid = (np.array(plane.nullclines.data[name]) for name in ("of_v", "of_u", "v"))
    np.testing.assert_allclose(p.a1 * grid**2 + p.a2 * grid + p.a4 + 10 + p.a3 * of_v, 0, atol=1e-6)
    np.testing.assert_allclose(p.b1 * grid + p.b3 + p.b2 * of_u, 0, atol=1e-9)
    assert np.isnan(plane.trajectory.data["v"]).sum() == 1
