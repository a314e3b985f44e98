"""The tab of neurons: every control does what it says, and the lines below give what is drawn."""

import json
import shlex
from html import unescape

import numpy as np
import pytest

from izhi import ORDERS, PATTERNS, preset
from izhi.cli import main
from izhi.equation import literature
from izhi.explorer.neuron import NeuronPage
from tiers import slow_but

BIOLOGICAL, NORMALISED, LIF = "biological", "normalised", "LIF"


@pytest.fixture(scope="module")
def page() -> NeuronPage:
    return NeuronPage()


def lines(column) -> tuple[str, str]:
    """Of Python and of the shell."""
    python, command = column.lines.text.removeprefix("<pre>").removesuffix("</pre>").split("</pre><pre>")
    return unescape(python), unescape(command)


def times(column) -> list[float]:
    return column.traces.spikes.data["time"].tolist()


def check(column, tmp_path) -> None:
    """The lines of Python give the spikes that are drawn; the command too, but for its double precision."""
    python, command = lines(column)
    names: dict = {}
    exec(python, names)
    fired = names["spikes"].flatten().numpy() > 0
    drawn = np.isin(column.traces.over_time.data["time"], times(column))
    assert np.array_equal(fired, drawn)
    file = tmp_path / "spikes.json"
    arguments = shlex.split(command)[1:]
    assert main([*arguments, "--out", str(tmp_path / "x.png"), "--json", str(file)]) == 0
    found = json.loads(file.read_text())["spike_times"]
    assert abs(len(found) - len(times(column))) <= 1
    for one, other in zip(found, times(column), strict=False):
        assert one == pytest.approx(other, abs=4)


@pytest.mark.parametrize("name", slow_but([LIF], [BIOLOGICAL, NORMALISED, LIF]))
def test_every_slider_changes_what_is_drawn_and_the_lines(page, name, tmp_path):
    column = page.columns[name]
    check(column, tmp_path)
    for slider_name, slider in column.sliders.items():
        if not slider.visible:  # of other presets
            continue
        before, was = column.traces.over_time.data["v"], slider.value
        status, written = column.status.text, lines(column)
        slider.value = was + 8 * slider.step
        assert not np.array_equal(before, column.traces.over_time.data["v"]), slider_name
        assert all(a != b for a, b in zip(lines(column), written, strict=True)), slider_name
        assert "spike" in status
        check(column, tmp_path)
        slider.value = was
        assert np.array_equal(before, column.traces.over_time.data["v"])
        assert lines(column) == written


@pytest.mark.parametrize(("name", "preset"), [(NORMALISED, "resonator"), (BIOLOGICAL, "resonator")])
def test_the_resonator_and_the_firing_pattern_of_that_name(name, preset, page, tmp_path):
    column = page.columns[name]
    column.preset.value = preset
    assert column.sliders["I"].visible
    check(column, tmp_path)
    if name == NORMALISED:
        before = column.traces.over_time.data["v"]
        assert {x for x, slider in column.sliders.items() if slider.visible} == {"d", "frequency", "decay", "I"}
        for one in ("frequency", "decay", "d"):
            column.sliders[one].value = column.sliders[one].value + 10 * column.sliders[one].step
            check(column, tmp_path)
        assert not np.array_equal(before, column.traces.over_time.data["v"])
    else:
        assert "--pattern" in lines(column)[1]
    column.preset.value = {NORMALISED: "normalized", BIOLOGICAL: "RS"}[name]


@pytest.mark.parametrize("order", ORDERS)
def test_event_orders(page, order, tmp_path):
    column = page.columns[BIOLOGICAL]
    column.preset.value = "CH"
    column.order.value = order
    assert times(column)
    assert (f"order='{order}'" in lines(column)[0]) == (order != "izhikevich")
    check(column, tmp_path)
    v, u = column.plane.trajectory.data["v"], column.plane.trajectory.data["u"]
    assert np.isnan(v).sum() == np.isnan(u).sum() >= len(times(column)) - 1
    # Within a part of the way nothing jumps back from the threshold.
    steps = np.diff(v)
    assert np.nanmin(steps) > -40


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rebound burst", "accommodation", "class 2 excitable"])
def test_a_pattern_has_its_own_stimulus(page, name, tmp_path):
    column = page.columns[BIOLOGICAL]
    column.preset.value = name
    current = column.traces.over_time.data["current"]
    assert np.array_equal(current, PATTERNS[name].current())
    assert column.sliders["I"].disabled
    assert column.sliders["a"].visible == (preset(name).b2 != 0)
    check(column, tmp_path)
    column.sliders["c"].value -= 2
    check(column, tmp_path)
    column.stimulus.value = "constant current"
    assert not column.sliders["I"].disabled
    assert set(column.traces.over_time.data["current"]) == {0, 10}
    check(column, tmp_path)


def test_all_presets_can_be_chosen(page):
    for name in (BIOLOGICAL, NORMALISED):
        column = page.columns[name]
        for chosen in column.preset.options:
            column.preset.value = chosen
            assert "spike" in column.status.text, chosen
            assert all(s.start <= s.value <= s.end for s in column.sliders.values())
            assert repr(chosen) in lines(column)[0]


def test_the_duration_is_that_of_constant_currents(page):
    for column, chosen in ((page.columns[BIOLOGICAL], "RS"), (page.columns[NORMALISED], "normalized")):
        column.preset.value = chosen
    page.duration.value = 500
    assert {len(c.traces.over_time.data["time"]) for c in page.columns.values()} == {500}
    page.duration.value = 300


def test_a_mistake_is_said_and_leaves_the_figures(page):
    column = page.columns[NORMALISED]
    column.preset.value = "normalized"
    before = column.traces.over_time.data["v"]
    column.sliders["c"].end = 2.0
    column.sliders["c"].value = 0.9
    assert "expected more than the reset value c = 0.9" in column.status.text
    assert column.traces.over_time.data["v"] is before
    column.preset.value = "hls-ip"
    assert "spike" in column.status.text


@pytest.mark.parametrize(
    "model", [pytest.param(literature.multi_timescale_threshold, marks=pytest.mark.slow), literature.exponential]
)
def test_a_neuron_of_the_users_own(model, tmp_path):
    column = NeuronPage(model).columns[model.reference]
    column.sliders[" I"].value = 0.3
    assert times(column)
    assert set(column.traces.over_time.data) == {"time", "current", "v", *model.states[1:]}
    for name, slider in column.sliders.items():
        written, was = lines(column), slider.value
        slider.value = min(was + 20 * slider.step, slider.end)
        assert lines(column) != written, name
        check(column, tmp_path)
        slider.value = was
        assert lines(column) == written


def test_the_explorer_refuses_a_preset_as_the_users_own(capsys, tmp_path):
    assert main(["explore", str(tmp_path), "--neuron", "lif", "--no-browser"]) == 2
    assert "neuron is 'lif', expected module:name of your own" in capsys.readouterr().err
