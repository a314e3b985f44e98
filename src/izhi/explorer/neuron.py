"""Three neurons side by side: the biological Izhikevich model, the normalised one, and LIF."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from html import escape
from time import perf_counter
from typing import Any

import numpy as np
import torch
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, Range1d, Select, Slider
from numpy.typing import NDArray

from izhi.errors import IzhiError
from izhi.explorer import widgets
from izhi.neurons import LIF, Izhikevich
from izhi.neurons.simulation import pulse
from izhi.spec import ORDERS, PATTERNS, PRESETS, IzhikevichParameters, preset

Numbers = NDArray[np.float64]

#: When a constant current begins, ms or steps: as ``izhi simulate`` has it.
_START = 10.0
_CONSTANT, _OWN = "constant current", "the pattern's own"
#: Low, high and step of each slider by the unit of v. A preset with a value outside extends the slider.
_RANGES: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    "mV": {"a": (0, 0.2, 0.001), "b": (-0.5, 0.5, 0.005), "c": (-80, -30, 0.5), "d": (-5, 15, 0.05),
           "I": (-20, 60, 0.25)},
    "1": {"a": (0, 0.2, 0.001), "b": (-3, 3, 0.05), "c": (-0.3, 0.65, 0.005), "d": (-1, 2, 0.02),
          "I": (-0.1, 0.5, 0.005)},
}  # fmt: skip
_AMPLITUDE = {"mV": 10.0, "1": 0.1}


def _slider(name: str, title: str, limits: tuple[float, float, float], value: float) -> Any:
    low, high, step = limits
    return Slider(
        name=name, title=title, start=min(low, value), end=max(high, value), step=step, value=value,
        format="0[.]0[0000]", sizing_mode="stretch_width",
    )  # fmt: skip


def _number(value: float) -> str:
    return f"{value:g}"


class _Traces:
    """Figures of v and of u over time, and what they show."""

    def __init__(self, name: str, unit: str, *, recovers: bool) -> None:
        in_mv = unit == "mV"
        self.over_time = ColumnDataSource({"time": [], "v": [], "u": [], "current": []}, name=f"{name}-trace")
        self.spikes = ColumnDataSource({"time": [], "v": []}, name=f"{name}-spikes")
        time = "time (ms)" if in_mv else "time (steps)"
        self.v = widgets.chart(time, "v (mV)" if in_mv else "v", height=210)
        line = self.v.line("time", "v", source=self.over_time, color=widgets.BLUE, line_width=1.5)
        widgets.point_out(self.v, line, (time, "@time"), ("v", "@v{0.000}"), ("I", "@current{0.000}"))
        self.v.scatter("time", "v", source=self.spikes, marker="triangle", size=7, color=widgets.ORANGE)
        self.figures = [self.v]
        if recovers:
            self.u = widgets.chart(time, "u (mV/ms)" if in_mv else "u", height=150, x_range=self.v.x_range)
            self.u.line("time", "u", source=self.over_time, color=widgets.GREEN, line_width=1.5)
            self.figures.append(self.u)

    def show(self, dt: float, current: Numbers, spikes: Numbers, v: Numbers, u: Numbers, threshold: float) -> None:
        """Show a trace; spikes are drawn up to the threshold in every order of events."""
        time, fired = dt * np.arange(len(v)), spikes > 0
        drawn = np.where(fired, threshold, np.minimum(v, threshold))
        self.over_time.data = {"time": time, "v": drawn, "u": u, "current": current}
        self.spikes.data = {"time": time[fired], "v": np.full(int(fired.sum()), threshold)}


class _Plane:
    """v against u: where the state goes, and where either does not change."""

    def __init__(self, name: str, unit: str) -> None:
        self.trajectory = ColumnDataSource({"v": [], "u": []}, name=f"{name}-way")
        self.nullclines = ColumnDataSource({"v": [], "of_v": [], "of_u": []}, name=f"{name}-nullclines")
        in_mv = unit == "mV"
        self.figure = widgets.chart(
            "v (mV)" if in_mv else "v", "u (mV/ms)" if in_mv else "u", height=300,
            x_range=Range1d(0, 1), y_range=Range1d(0, 1),
        )  # fmt: skip
        for y, label, colour in (("of_v", "v' = 0", widgets.BLUE), ("of_u", "u' = 0", widgets.GREEN)):
            self.figure.line("v", y, source=self.nullclines, legend_label=label, color=colour, line_dash="dashed")
        self.figure.line("v", "u", source=self.trajectory, legend_label="state", color=widgets.ORANGE, line_width=1.2)
        legend = self.figure.legend[0]
        legend.orientation, legend.label_text_font_size = "horizontal", "11px"
        self.figure.add_layout(legend, "below")

    def show(self, p: IzhikevichParameters, current: float, spikes: Numbers, v: Numbers, u: Numbers) -> None:
        """The way is broken where a spike sets v back; nullclines are those under the last current."""
        order = ORDERS[p.order]
        jumps = np.flatnonzero(spikes > 0) + (order.spike_on == "new v" and order.reset == "before")
        jumps = jumps[jumps < len(v)]
        self.trajectory.data = {
            "v": np.insert(np.minimum(v, p.threshold), jumps, np.nan),
            "u": np.insert(u, jumps, np.nan),
        }
        low, high = min(float(v.min()), p.c), p.threshold
        grid = np.linspace(low - 0.1 * (high - low), high, 300)
        nothing = np.full_like(grid, np.nan)
        of_v = -(p.a1 * grid**2 + p.a2 * grid + p.a4 + current) / p.a3 if p.a3 else nothing
        of_u = -(p.b1 * grid + p.b3) / p.b2 if p.b2 else nothing
        self.nullclines.data = {"v": grid, "of_v": of_v, "of_u": of_u}
        turn = np.nanmin(of_v, initial=np.inf)  # where the parabola turns, or infinity where there is none
        bottom, top = min(float(u.min()), turn), max(float(u.max()), turn if np.isfinite(turn) else -np.inf)
        margin = 0.15 * (top - bottom) or 1.0
        self.figure.x_range.update(start=grid[0], end=grid[-1])
        self.figure.y_range.update(start=bottom - margin, end=top + margin)


class _Column:
    """A neuron: its controls, its figures, and the lines of code that reproduce them."""

    def __init__(self, title: str) -> None:
        self.status = widgets.text(f"{title}-status")
        self.lines = widgets.text(f"{title}-lines")
        self._is_quiet = False

    def changed(self, attribute: str, old: object, new: object) -> None:
        """The callback of every control."""
        if not self._is_quiet:
            self.update()

    def update(self) -> None:
        """Compute and show, all in one message to the browser; a mistake leaves the figures as they are."""
        document = self.status.document
        if document is not None:
            document.hold("combine")
        try:
            self._update()
        finally:
            if document is not None:
                document.unhold()

    def _update(self) -> None:
        started = perf_counter()
        try:
            spikes, python, command = self._run()
        except IzhiError as error:
            self.status.text = widgets.mistake(error)
            return
        milliseconds = 1000 * (perf_counter() - started)
        self.status.text = f"<b>{spikes} spike{'s' if spikes != 1 else ''}</b>, in {milliseconds:.1f} ms"
        self.lines.text = f"<pre>{escape(python)}</pre><pre>{escape(command)}</pre>"

    def _run(self) -> tuple[int, str, str]:
        """The number of spikes; the lines of Python and of the shell that reproduce them."""
        raise NotImplementedError


class _IzhikevichColumn(_Column):
    """An Izhikevich neuron, biological or normalised.

    Args:
        title: title of the column.
        unit: unit of v.
        usual: the preset that it begins with.
        duration: duration of a constant current.
    """

    def __init__(self, title: str, unit: str, usual: str, duration: Callable[[], float]) -> None:
        super().__init__(title)
        self.unit, self._duration = unit, duration
        names = [name for name, p in PRESETS.items() if p.unit == unit]
        self.preset = Select(name=f"{title}-preset", title="preset", options=names, value=usual)
        self.order = Select(name=f"{title}-order", title="order of events", options=list(ORDERS), value="fpga-ip")
        self.stimulus = Select(
            name=f"{title}-stimulus", title="stimulus", options=[_CONSTANT], value=_CONSTANT, visible=unit == "mV"
        )
        for select in (self.preset, self.order, self.stimulus):
            select.sizing_mode = "stretch_width"
        units = {"a": " (1/ms)", "b": " (1/ms)", "c": " (mV)", "d": " (mV/ms)", "I": " (mV/ms)"}
        self.sliders = {
            name: _slider(f"{title}-{name}", name + (units[name] if unit == "mV" else ""), limits, limits[0])
            for name, limits in _RANGES[unit].items()
        }
        self.traces, self.plane = _Traces(title, unit, recovers=True), _Plane(title, unit)
        self._take(usual)
        self.preset.on_change("value", self._choose)
        for control in (self.order, self.stimulus, *self.sliders.values()):
            control.on_change("value", self.changed)
        self.view = column(
            widgets.text("", f"<h3>{title}</h3>"), self.preset, self.stimulus, self.order, *self.sliders.values(),
            self.status, *self.traces.figures, self.plane.figure, self.lines, sizing_mode="stretch_width",
        )  # fmt: skip
        self.update()

    def _choose(self, attribute: str, old: str, new: str) -> None:
        self._take(new)
        self.update()

    def _take(self, name: str) -> None:
        """Set the controls to a preset."""
        p = preset(name)
        self._is_quiet = True
        pattern = name in PATTERNS
        self.stimulus.options = [_OWN, _CONSTANT] if pattern else [_CONSTANT]
        self.stimulus.value = self.stimulus.options[0]
        self.order.value = p.order
        self.usual = {"c": p.c, "d": p.d, **({"a": p.a, "b": p.b} if p.b2 else {})}
        for slider_name, slider in self.sliders.items():
            value = self.usual.get(slider_name, _AMPLITUDE[self.unit] if slider_name == "I" else 0.0)
            low, high, _ = _RANGES[self.unit][slider_name]
            slider.update(start=min(low, value), end=max(high, value), value=value)
            slider.visible = slider_name == "I" or slider_name in self.usual
        self._is_quiet = False

    def _run(self) -> tuple[int, str, str]:
        name, own = str(self.preset.value), self.stimulus.value == _OWN
        p = preset(name)
        changes: dict[str, Any] = {
            key: float(self.sliders[key].value) for key, usual in self.usual.items() if self.sliders[key].value != usual
        }
        self.sliders["I"].disabled = own
        order = {} if self.order.value == p.order else {"order": str(self.order.value)}
        p = p.replace(**changes, **order)
        amplitude, duration = float(self.sliders["I"].value), self._duration()
        current = (
            PATTERNS[name].current() if own else pulse(amplitude, start=_START, stop=None, duration=duration, dt=p.dt)
        )
        with torch.no_grad():
            seen = Izhikevich(p, gain=1.0).trace(torch.from_numpy(current).float().reshape(-1, 1, 1))
        spikes, v, u = (x.flatten().double().numpy() for x in seen)
        self.traces.show(p.dt, current, spikes, v, u, p.threshold)
        self.plane.show(p, float(current[-1]), spikes, v, u)
        return int(spikes.sum()), *_lines(name, {**changes, **order}, amplitude, duration, p.dt, own=own)


def _lines(
    name: str, changes: Mapping[str, object], amplitude: float, duration: float, dt: float, *, own: bool
) -> tuple[str, str]:
    """The lines of Python and of the shell that reproduce a trace."""
    settings = ", ".join(f"{k}={v!r}" for k, v in changes.items())
    made = f"izhi.preset({name!r})" + (f".replace({settings})" if settings else "")
    steps, start = round(duration / dt), round(_START / dt)
    current = (
        [f"current = torch.tensor(izhi.PATTERNS[{name!r}].current()).float().reshape(-1, 1, 1)"]
        if own
        else [f"current = torch.zeros({steps}, 1, 1)", f"current[{start}:] = {amplitude!r}"]
    )
    python = [
        "import torch, izhi",
        f"neuron = izhi.Izhikevich({made}, gain=1)",
        *current,
        "spikes, v, u = neuron.trace(current)",
    ]
    numbers = ",".join(f"{k}={v!r}" for k, v in changes.items() if k != "order")
    command = ["izhi", "simulate", name]
    command += [] if own else ["--current", repr(amplitude), "--duration", _number(duration)]
    command += ["--order", str(changes["order"])] if "order" in changes else []
    command += ["--set", numbers] if numbers else []
    return "\n".join(python), shlex.join(command)


class _LIFColumn(_Column):
    """A leaky integrate-and-fire neuron."""

    def __init__(self, title: str, duration: Callable[[], float]) -> None:
        super().__init__(title)
        self._duration = duration
        self.sliders = {
            "beta": _slider(f"{title}-beta", "β: decay of v per step", (0, 1, 0.005), 0.95),
            "threshold": _slider(f"{title}-threshold", "threshold", (0.05, 3, 0.05), 1.0),
            "I": _slider(f"{title}-I", "I", (-0.2, 1, 0.005), 0.1),
        }
        self.traces = _Traces(title, "1", recovers=False)
        for slider in self.sliders.values():
            slider.on_change("value", self.changed)
        self.view = column(
            widgets.text("", f"<h3>{title}</h3><p>It has no u: v decays at one rate, and a spike subtracts the"
                       " threshold.</p>"),
            *self.sliders.values(), self.status, *self.traces.figures, self.lines, sizing_mode="stretch_width",
        )  # fmt: skip
        self.update()

    def _run(self) -> tuple[int, str, str]:
        beta, threshold, amplitude = (float(self.sliders[name].value) for name in ("beta", "threshold", "I"))
        current = pulse(amplitude, start=_START, stop=None, duration=self._duration(), dt=1.0)
        with torch.no_grad():
            seen = LIF(beta, threshold).trace(torch.from_numpy(current).float().reshape(-1, 1, 1))
        spikes, v = (x.flatten().double().numpy() for x in seen)
        self.traces.show(1.0, current, spikes, v, np.zeros_like(v), threshold)
        python = "\n".join([
            "import torch, izhi",
            f"neuron = izhi.LIF(beta={beta!r}, threshold={threshold!r})",
            f"current = torch.zeros({len(current)}, 1, 1)",
            f"current[{round(_START)}:] = {amplitude!r}",
            "spikes, v = neuron.trace(current)",
        ])  # fmt: skip
        command = ["izhi", "simulate", "lif", "--current", repr(amplitude), "--duration", _number(len(current)),
                   "--set", f"beta={beta!r},threshold={threshold!r}"]  # fmt: skip
        return int(spikes.sum()), python, shlex.join(command)


class NeuronPage:
    """The tab of neurons."""

    def __init__(self) -> None:
        self.duration = _slider("duration", "duration of a constant current (ms, or steps)", (50, 1000, 10), 300)
        self.columns: dict[str, _Column] = {
            "biological": _IzhikevichColumn("biological", "mV", "RS", self._lasting),
            "normalised": _IzhikevichColumn("normalised", "1", "normalized", self._lasting),
            "LIF": _LIFColumn("LIF", self._lasting),
        }
        self.duration.on_change("value", self._changed)
        about = widgets.text(
            "",
            "<p>Currents begin after 10 ms (or steps). Traces are computed in single precision, as networks are. The"
            " lines below each neuron reproduce them; the command computes in double precision, so that late spikes may"
            " differ by some steps.</p>",
        )
        views = [one.view for one in self.columns.values()]  # type: ignore[attr-defined]
        self.view = column(about, self.duration, widgets.beside(*views, least=310), sizing_mode="stretch_width")

    def _lasting(self) -> float:
        return float(self.duration.value)

    def _changed(self, attribute: str, old: object, new: object) -> None:
        for one in self.columns.values():
            one.update()
