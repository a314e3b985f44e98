"""The tab of neurons: every control does what it says, and the lines below give what is drawn."""

import json
import re
import shlex
from html import unescape
from itertools import pairwise

import numpy as np
import pytest

from izhi import ORDERS, PATTERNS, preset
from izhi.cli import main
from izhi.equation import literature
from izhi.explorer.neuron import NeuronPage
from izhi.neurons.simulation import run_pattern
from tiers import slow_but

BIOLOGICAL, NORMALISED, RESONATOR, LIF = "biological", "normalised", "resonator", "LIF"


@pytest.fixture
def page() -> NeuronPage:
    return NeuronPage()  # for each test: one that another left set shows other spikes


def lines(panel) -> tuple[str, str]:
    """Of Python and of the shell."""
    python, command = panel.lines.text.removeprefix("<pre>").removesuffix("</pre>").split("</pre><pre>")
    return unescape(python), unescape(command)


def times(panel) -> list[float]:
    return list(panel.traces.spikes.data["time"])


def check(panel, tmp_path) -> None:
    """The lines of Python give the spikes that are drawn; the command too, but for its double precision."""
    python, command = lines(panel)
    names: dict = {}
    exec(python, names)
    fired = names["spikes"].flatten().numpy() > 0
    drawn = np.isin(panel.traces.over_time.data["time"], times(panel))
    assert np.array_equal(fired, drawn)
    file = tmp_path / "spikes.json"
    arguments = shlex.split(command)[1:]
    assert main([*arguments, "--out", str(tmp_path / "x.png"), "--json", str(file)]) == 0
    found = json.loads(file.read_text())["spike_times"]
    assert abs(len(found) - len(times(panel))) <= 1
    for one, other in zip(found, times(panel), strict=False):
        assert one == pytest.approx(other, abs=4)


@pytest.mark.slow
@pytest.mark.parametrize("name", [BIOLOGICAL, NORMALISED, RESONATOR, LIF])
def test_every_slider_changes_what_is_drawn_and_the_lines(page, name, tmp_path):
    panel = page.panels[name]
    check(panel, tmp_path)
    for slider_name, slider in panel.sliders.items():
        if not slider.visible:  # of other presets
            continue
        before, was = panel.traces.over_time.data["v"], slider.value
        status, written = panel.status.text, lines(panel)
        slider.value = was + 8 * slider.step
        assert not np.array_equal(before, panel.traces.over_time.data["v"]), slider_name
        assert all(a != b for a, b in zip(lines(panel), written, strict=True)), slider_name
        assert "spike" in status
        check(panel, tmp_path)
        slider.value = was
        assert np.array_equal(before, panel.traces.over_time.data["v"])
        assert lines(panel) == written


@pytest.mark.slow
def test_the_resonator_shows_its_response(page, tmp_path):
    panel = page.panels[RESONATOR]
    before = panel.traces.over_time.data["v"]
    assert {x for x, slider in panel.sliders.items() if slider.visible} == {"d", "frequency", "decay", "I"}
    for one, value in (("frequency", 0.3), ("decay", 0.02), ("d", 0.2)):
        panel.sliders[one].value = value
    check(panel, tmp_path)
    assert not np.array_equal(before, panel.traces.over_time.data["v"])
    v = np.array(panel.response.impulse.data["v"])
    time = np.arange(len(v))
    crossings = np.flatnonzero(np.diff(np.sign(v)))
    assert np.diff(crossings).mean() == pytest.approx(np.pi / 0.3, rel=0.02)
    period = round(2 * np.pi / 0.3)
    assert np.abs(v[period:]).max() / np.abs(v).max() == pytest.approx(0.98**period, rel=0.1)
    waves, gain = (np.array(panel.response.tuning.data[name]) for name in ("frequency", "gain"))
    assert waves[gain.argmax()] == pytest.approx(0.3, rel=0.02)
    wave = 0.3
    assert gain[np.abs(waves - wave).argmin()] == pytest.approx(np.abs(np.sum(v * np.exp(-1j * wave * time))), rel=0.05)


@pytest.mark.slow
def test_the_firing_pattern_of_the_name_of_the_resonator(page, tmp_path):
    panel = page.panels[BIOLOGICAL]
    panel.preset.value = "resonator"
    check(panel, tmp_path)
    assert "--pattern" in lines(panel)[1]


@pytest.mark.parametrize("order", slow_but(["fpga-ip"], ORDERS))
def test_event_orders(page, order, tmp_path):
    panel = page.panels[BIOLOGICAL]
    panel.preset.value = "CH"
    panel.order.value = order
    assert times(panel)
    assert (f"order='{order}'" in lines(panel)[0]) == (order != "izhikevich")
    check(panel, tmp_path)
    v, u = panel.plane.trajectory.data["v"], panel.plane.trajectory.data["u"]
    assert np.isnan(v).sum() == np.isnan(u).sum() >= len(times(panel)) - 1
    # Within a part of the way nothing jumps back from the threshold.
    steps = np.diff(v)
    assert np.nanmin(steps) > -40


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rebound burst", "accommodation", "class 2 excitable"])
def test_a_pattern_has_its_own_stimulus(page, name, tmp_path):
    panel = page.panels[BIOLOGICAL]
    panel.preset.value = name
    current = panel.traces.over_time.data["current"]
    assert np.array_equal(current, PATTERNS[name].current())
    assert panel.sliders["I"].disabled
    assert panel.sliders["a"].visible == (preset(name).b2 != 0)
    check(panel, tmp_path)
    panel.sliders["c"].value -= 2
    check(panel, tmp_path)
    panel.stimulus.value = "constant"
    assert not panel.sliders["I"].disabled
    assert set(panel.traces.over_time.data["current"]) == {0, 10}
    check(panel, tmp_path)


def test_all_presets_can_be_chosen(page):
    for name in (BIOLOGICAL, NORMALISED):
        panel = page.panels[name]
        for chosen in panel.preset.options:
            panel.preset.value = chosen
            assert "spike" in panel.status.text, chosen
            assert all(s.start <= s.value <= s.end for s in panel.sliders.values())
            assert repr(chosen) in lines(panel)[0]


def test_the_duration_is_that_of_constant_currents(page):
    for panel, chosen in ((page.panels[BIOLOGICAL], "RS"), (page.panels[NORMALISED], "normalized")):
        panel.preset.value = chosen
    page.duration.value = 500
    assert {len(c.traces.over_time.data["time"]) for c in page.panels.values()} == {500}


def test_all_neurons_share_one_time_axis(page):
    over_time = [figure for panel in page.panels.values() for figure in panel.traces.figures]
    assert len({figure.x_range.id for figure in over_time}) == 1
    assert len({(figure.min_border_left, figure.min_border_right) for figure in over_time}) == 1
    axis = over_time[0].x_range
    assert axis.end == 300
    page.panels[BIOLOGICAL].preset.value = "tonic spiking"
    assert (axis.end, page.duration.value) == (100, 100)
    assert page.panels[LIF].traces.over_time.data["time"][-1] == 99
    page.panels[BIOLOGICAL].preset.value = "RS"
    assert axis.end == 300
    page.duration.value = 500
    page.panels[BIOLOGICAL].preset.value = "CH"  # whose current is constant as well
    assert axis.end == 500


def test_rates_are_those_of_single_currents(page):
    for name, per in ((LIF, 100), (NORMALISED, 100), (BIOLOGICAL, 1000)):
        panel = page.panels[name]
        rates, currents = (np.array(panel.curve.curve.data[x]) for x in ("rate", "current"))
        page.duration.value, amplitude = 1000, currents[np.abs(currents - panel.sliders["I"].value).argmin()]
        panel.sliders["I"].value = float(amplitude)
        expected = rates[currents == amplitude][0]
        assert len(times(panel)) == pytest.approx(expected / per * 990, abs=2)
        assert list(panel.curve.chosen.data["current"]) == [amplitude]
        assert np.all(rates[currents < 0] == 0)


def test_each_step_has_a_point_in_the_phase_plane(page):
    for name, panel in page.panels.items():
        shown = panel.traces.over_time.data
        assert len(shown["plane_x"]) == len(shown["plane_y"]) == len(shown["time"]), name
    shown = page.panels[BIOLOGICAL].traces.over_time.data
    np.testing.assert_array_equal(shown["plane_y"], shown["u"])
    shown, line = (x.data for x in (page.panels[LIF].traces.over_time, page.panels[LIF].plane.line))
    late = shown["time"] > 20
    expected = np.interp(shown["plane_x"][late], line["v"], line["change"])
    np.testing.assert_allclose(shown["plane_y"][late], expected, atol=1e-6)


def test_pictures_of_presets_are_of_their_neurons(page):
    pictured = page.presets
    assert {name: [one.name for one in presets] for name, presets in pictured.items()} == {
        name: page.panels[name].preset.options for name in (BIOLOGICAL, NORMALISED)
    }
    assert {*PATTERNS} <= {one.name for one in pictured[BIOLOGICAL]}
    drawings = [one.svg for one in pictured[BIOLOGICAL]]
    assert len({*drawings}) == len(drawings)
    spiking = next(one.svg for one in pictured[BIOLOGICAL] if one.name == "tonic spiking")
    trace = re.search(r'class="trace" points="([^"]*)"', spiking)[1]
    heights = [float(point.split(",")[1]) for point in trace.split()]
    tops = sum(here == 1 and before != 1 for before, here in pairwise(heights))
    assert tops == run_pattern("tonic spiking").spikes.sum()


def test_a_mistake_is_said_and_leaves_the_figures(page):
    panel = page.panels[NORMALISED]
    panel.preset.value = "normalized"
    before = panel.traces.over_time.data["v"]
    panel.sliders["c"].end = 2.0
    panel.sliders["c"].value = 0.9
    assert "expected more than the reset value c = 0.9" in panel.status.text
    assert panel.traces.over_time.data["v"] is before
    panel.preset.value = "hls-ip"
    assert "spike" in panel.status.text


@pytest.mark.slow
@pytest.mark.parametrize("model", [literature.multi_timescale_threshold, literature.exponential])
def test_a_neuron_of_the_users_own(model, tmp_path):
    panel = NeuronPage(model).panels[model.reference]
    panel.sliders[" I"].value = 0.3
    assert times(panel)
    assert set(panel.traces.over_time.data) == {
        "time", "current", "v", *model.states[1:], "plane_x", "plane_y",
    }  # fmt: skip
    for name, slider in panel.sliders.items():
        written, was = lines(panel), slider.value
        slider.value = min(was + 20 * slider.step, slider.end)
        assert lines(panel) != written, name
        check(panel, tmp_path)
        slider.value = was
        assert lines(panel) == written


def test_the_explorer_refuses_a_preset_as_the_users_own(capsys, tmp_path):
    assert main(["explore", str(tmp_path), "--neuron", "lif", "--no-browser"]) == 2
    assert "neuron is 'lif', expected module:name of your own" in capsys.readouterr().err
