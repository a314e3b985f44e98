"""Neurons side by side: the biological Izhikevich model, the normalised one, LIF, and one of the user's own."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from html import escape
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
import torch
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, Range1d, Select, Slider
from numpy.typing import NDArray

from izhi.equation import NeuronModel
from izhi.errors import IzhiError
from izhi.explorer import widgets
from izhi.neurons import LIF, Izhikevich
from izhi.neurons.custom import CustomNeuron
from izhi.neurons.simulation import pulse
from izhi.spec import ORDERS, PATTERNS, PRESETS, IzhikevichParameters, Resonators

Numbers = NDArray[np.float64]

#: When a constant current begins, ms or steps: as ``izhi simulate`` has it.
_START = 10.0
#: Name of the current's slider in a column whose other sliders are named by its neuron.
_CURRENT = " I"
_CONSTANT, _OWN = "constant current", "the pattern's own"
#: Title, low, high, step and first value of a slider.
_Limits: TypeAlias = tuple[str, float, float, float, float]
#: Sliders by name, for each column. A preset with a value outside extends the slider.
_SLIDERS: Mapping[str, Mapping[str, _Limits]] = {
    "biological": {
        "a": ("a (1/ms)", 0, 0.2, 0.001, 0), "b": ("b (1/ms)", -0.5, 0.5, 0.005, -0.5),
        "c": ("c (mV)", -80, -30, 0.5, -80), "d": ("d (mV/ms)", -5, 15, 0.05, -5),
        "I": ("I (mV/ms)", -20, 60, 0.25, 10),
    },
    "normalised": {
        "a": ("a", 0, 0.2, 0.001, 0), "b": ("b", -3, 3, 0.05, -3), "c": ("c", -0.3, 0.65, 0.005, -0.3),
        "d": ("d", -1, 2, 0.02, -1), "frequency": ("ω: frequency (radians per step)", 0.01, 3.1, 0.005, 0.01),
        "decay": ("1 − r: decay per step", 0.0005, 0.3, 0.0005, 0.0005), "I": ("I", -0.1, 0.5, 0.005, 0.1),
    },
    "LIF": {
        "beta": ("β: decay of v per step", 0, 1, 0.005, 0.95), "threshold": ("threshold", 0.05, 3, 0.05, 1.0),
        "I": ("I", -0.2, 1, 0.005, 0.1),
    },
}  # fmt: skip


def _slider(name: str, title: str, low: float, high: float, step: float, value: float) -> Any:
    return Slider(
        name=name, title=title, start=low, end=high, step=step, value=value, format="0[.]0[0000]",
        sizing_mode="stretch_width",
    )  # fmt: skip


class _Traces:
    """Figures of the states over time, and what they show."""

    def __init__(self, name: str, states: Sequence[str], *, in_mv: bool) -> None:
        self._states = tuple(states)
        columns = dict.fromkeys(("time", "current", "v", *states[1:]), ())
        self.over_time = ColumnDataSource(columns, name=f"{name}-trace")
        self.spikes = ColumnDataSource({"time": [], "v": []}, name=f"{name}-spikes")
        time = "time (ms)" if in_mv else "time (steps)"
        figure = widgets.chart(time, "v (mV)" if in_mv else states[0], height=210)
        line = figure.line("time", "v", source=self.over_time, color=widgets.BLUE, line_width=1.5)
        widgets.point_out(figure, line, (time, "@time"), ("v", "@v{0.000}"), ("I", "@current{0.000}"))
        figure.scatter("time", "v", source=self.spikes, marker="triangle", size=7, color=widgets.ORANGE)
        self.figures = [figure]
        for state in states[1:]:
            below = widgets.chart(time, f"{state} (mV/ms)" if in_mv else state, height=150, x_range=figure.x_range)
            below.line("time", state, source=self.over_time, color=widgets.GREEN, line_width=1.5)
            self.figures.append(below)

    def show(self, dt: float, current: Numbers, spikes: Numbers, states: Sequence[Numbers], threshold: float) -> None:
        """Show a trace; spikes are drawn up to the threshold, if it is finite, in every order of events."""
        v, *others = states
        time, fired = dt * np.arange(len(v)), spikes > 0
        top = threshold if np.isfinite(threshold) else v
        drawn = np.where(fired, top, np.minimum(v, threshold))
        self.over_time.data = {
            "time": time, "current": current, "v": drawn, **dict(zip(self._states[1:], others, strict=True)),
        }  # fmt: skip
        self.spikes.data = {"time": time[fired], "v": drawn[fired]}


class _Plane:
    """v against u: the trajectory of the state, and the nullclines."""

    def __init__(self, name: str, *, in_mv: bool) -> None:
        self.trajectory = ColumnDataSource({"v": [], "u": []}, name=f"{name}-way")
        self.nullclines = ColumnDataSource({"v": [], "of_v": [], "of_u": []}, name=f"{name}-nullclines")
        x, y = ("v (mV)", "u (mV/ms)") if in_mv else ("v", "u")
        self.figure = widgets.chart(x, y, height=300, x_range=Range1d(0, 1), y_range=Range1d(0, 1))
        for y, label, colour in (("of_v", "v' = 0", widgets.BLUE), ("of_u", "u' = 0", widgets.GREEN)):
            self.figure.line("v", y, source=self.nullclines, legend_label=label, color=colour, line_dash="dashed")
        self.figure.line("v", "u", source=self.trajectory, legend_label="state", color=widgets.ORANGE, line_width=1.2)
        widgets.legend_outside(self.figure, orientation="horizontal", label_text_font_size="11px")

    def show(self, p: IzhikevichParameters, current: float, spikes: Numbers, v: Numbers, u: Numbers) -> None:
        """Show a trajectory, broken where a spike resets v, and the nullclines under the last current."""
        order = ORDERS[p.order]
        jumps = np.flatnonzero(spikes > 0) + (order.spike_on == "new v" and order.reset == "before")
        jumps = jumps[jumps < len(v)]
        broken = {"v": np.minimum(v, p.threshold), "u": u}
        self.trajectory.data = {name: np.insert(values, jumps, np.nan) for name, values in broken.items()}
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

    def __init__(
        self, title: str, limits: Mapping[str, _Limits], duration: Callable[[], float], states: Sequence[str], *,
        in_mv: bool = False, about: str = "",
    ) -> None:  # fmt: skip
        self._limits, self._duration, self._is_quiet = limits, duration, False
        self.status, self.lines = widgets.text(f"{title}-status"), widgets.text(f"{title}-lines")
        self.sliders = {name: _slider(f"{title}-{name}", *values) for name, values in self._limits.items()}
        self.traces = _Traces(title, states, in_mv=in_mv)
        self.head = [widgets.text("", f"<h3>{escape(title)}</h3>{about}")]
        self.foot: list[Any] = []

    def arrange(self, *selects: Any) -> None:
        """Connect the controls, lay them out, and compute."""
        for control in (*selects, *self.sliders.values()):
            control.on_change("value", lambda attribute, old, new: self.update())
        self.view = column(
            *self.head, *self.sliders.values(), self.status, *self.traces.figures, *self.foot, self.lines,
            sizing_mode="stretch_width",
        )  # fmt: skip
        self.update()

    def update(self) -> None:
        """Compute and show, all in one message to the browser; a mistake leaves the figures as they are."""
        if self._is_quiet:
            return
        document = self.status.document
        if document is not None:
            document.hold("combine")
        try:
            started = perf_counter()
            spikes, python, command = self._run(self._duration())
            milliseconds = 1000 * (perf_counter() - started)
            self.status.text = f"<b>{spikes} spike{'s' if spikes != 1 else ''}</b>, in {milliseconds:.1f} ms"
            self.lines.text = "".join(f"<pre>{escape(x)}</pre>" for x in ("\n".join(python), shlex.join(command)))
        except IzhiError as error:
            self.status.text = widgets.mistake(error)
        finally:
            if document is not None:
                document.unhold()

    def _values(self) -> dict[str, float]:
        return {name: float(slider.value) for name, slider in self.sliders.items()}

    def _run(self, duration: float) -> tuple[int, list[str], list[str]]:
        """The number of spikes; the lines of Python and the words of the command that reproduce them."""
        raise NotImplementedError


def _traced(neuron: LIF | Izhikevich | CustomNeuron, current: Numbers) -> list[Numbers]:
    """Spikes and states of a neuron under a current, in single precision."""
    with torch.no_grad():
        trace = neuron.trace(torch.from_numpy(current).float().reshape(-1, 1, 1))
    return [x.flatten().double().numpy() for x in trace]


def _constant(steps: int, dt: float, amplitude: float) -> list[str]:
    """The lines of Python that make a constant current."""
    return [f"current = torch.zeros({steps}, 1, 1)", f"current[{round(_START / dt)}:] = {amplitude!r}"]


class _IzhikevichColumn(_Column):
    """An Izhikevich neuron, biological or normalised; it begins with the preset ``usual``."""

    def __init__(self, title: str, unit: str, usual: str, duration: Callable[[], float]) -> None:
        super().__init__(title, _SLIDERS[title], duration, ("v", "u"), in_mv=unit == "mV")
        self._amplitude = self.sliders["I"].value
        patterns = {name: pattern.parameters for name, pattern in PATTERNS.items()}
        every = {**PRESETS, **patterns} if unit == "mV" else PRESETS
        self._parameters = {name: p for name, p in every.items() if p.unit == unit}
        names = list(self._parameters)

        def select(name: str, title: str, options: list[str], value: str, **others: Any) -> Any:
            return Select(name=name, title=title, options=options, value=value, sizing_mode="stretch_width", **others)

        self.preset = select(f"{title}-preset", "preset", names, usual)
        self.order = select(f"{title}-order", "order of events", list(ORDERS), "fpga-ip")
        self.stimulus = select(f"{title}-stimulus", "stimulus", [_CONSTANT], _CONSTANT, visible=unit == "mV")
        self.plane = _Plane(title, in_mv=unit == "mV")
        self.head += [self.preset, self.stimulus, self.order]
        self.foot.append(self.plane.figure)
        self._take(usual)
        self.preset.on_change("value", lambda attribute, old, new: self._take(new))
        self.arrange(self.preset, self.order, self.stimulus)

    def _take(self, name: str) -> None:
        """Set the controls to a preset."""
        p = self._parameters[name]
        self._is_quiet = True
        self.stimulus.options = [_OWN, _CONSTANT] if p.unit == "mV" and name in PATTERNS else [_CONSTANT]
        self.stimulus.value = self.stimulus.options[0]
        self.order.value = p.order
        self._ranges = Resonators() if p is PRESETS["resonator"] else None
        if self._ranges is not None:
            self.usual = {"d": p.d, **{one.name: one.middle for one in self._ranges.spreads}}
        else:
            self.usual = {"c": p.c, "d": p.d, **({"a": p.a, "b": p.b} if p.b2 else {})}
        for slider_name, (_, low, high, *_rest) in self._limits.items():
            slider, value = self.sliders[slider_name], {"I": self._amplitude, **self.usual}.get(slider_name, 0.0)
            slider.update(start=min(low, value), end=max(high, value), value=value)
            slider.visible = slider_name == "I" or slider_name in self.usual
        self._is_quiet = False

    def _run(self, duration: float) -> tuple[int, list[str], list[str]]:
        name, own, values = str(self.preset.value), self.stimulus.value == _OWN, self._values()
        p, amplitude = self._parameters[name], values["I"]
        changes: dict[str, Any] = {key: values[key] for key, usual in self.usual.items() if values[key] != usual}
        self.sliders["I"].disabled = own
        order = {} if self.order.value == p.order else {"order": str(self.order.value)}
        made = f"izhi.PATTERNS[{name!r}].parameters" if p is not PRESETS.get(name) else f"izhi.preset({name!r})"
        own_changes, ranges = changes, ""
        if self._ranges is not None:
            limits = {key: values[key] for key in self._ranges.DOMAIN}
            ranges = f", distribution=izhi.Resonators({', '.join(f'{k}={v!r}' for k, v in limits.items())})"
            p = Resonators(**limits).middle(p.replace(**order))  # type: ignore[arg-type]
            own_changes = {key: value for key, value in changes.items() if key not in limits}
        p = p.replace(**own_changes, **order)
        current = (
            PATTERNS[name].current() if own else pulse(amplitude, start=_START, stop=None, duration=duration, dt=p.dt)
        )
        spikes, v, u = _traced(Izhikevich(p, gain=1.0), current)
        self.traces.show(p.dt, current, spikes, (v, u), p.threshold)
        self.plane.show(p, float(current[-1]), spikes, v, u)
        settings = ", ".join(f"{k}={v!r}" for k, v in {**own_changes, **order}.items())
        made += (f".replace({settings})" if settings else "") + ranges
        line = f"current = torch.tensor(izhi.PATTERNS[{name!r}].current()).float().reshape(-1, 1, 1)"
        python = [
            "import torch, izhi", f"neuron = izhi.Izhikevich({made}, gain=1)",
            *([line] if own else _constant(round(duration / p.dt), p.dt, amplitude)),
            "spikes, v, u = neuron.trace(current)",
        ]  # fmt: skip
        command = [
            "izhi",
            "simulate",
            name,
            *(["--pattern"] if name in PRESETS and p.unit != PRESETS[name].unit else []),
        ]
        command += [] if own else ["--current", repr(amplitude), "--duration", f"{duration:g}"]
        command += ["--order", order["order"]] if order else []
        command += ["--set", ",".join(f"{k}={v!r}" for k, v in changes.items())] if changes else []
        return int(spikes.sum()), python, command


class _LIFColumn(_Column):
    def __init__(self, title: str, duration: Callable[[], float]) -> None:
        about = "<p>It has no u: v decays at one rate, and a spike subtracts the threshold.</p>"
        super().__init__(title, _SLIDERS[title], duration, ("v",), about=about)
        self.arrange()

    def _run(self, duration: float) -> tuple[int, list[str], list[str]]:
        beta, threshold, amplitude = self._values().values()
        current = pulse(amplitude, start=_START, stop=None, duration=duration, dt=1.0)
        spikes, v = _traced(LIF(beta, threshold), current)
        self.traces.show(1.0, current, spikes, (v,), threshold)
        python = ["import torch, izhi", f"neuron = izhi.LIF(beta={beta!r}, threshold={threshold!r})",
                  *_constant(len(current), 1.0, amplitude), "spikes, v = neuron.trace(current)"]  # fmt: skip
        command = ["izhi", "simulate", "lif", "--current", repr(amplitude), "--duration", f"{len(current):g}",
                   "--set", f"beta={beta!r},threshold={threshold!r}"]  # fmt: skip
        return int(spikes.sum()), python, command


class _CustomColumn(_Column):
    """A neuron that ``@izhi.neuron`` made."""

    def __init__(self, model: NeuronModel, duration: Callable[[], float]) -> None:
        self._model = model
        limits = {name: (name, *self._range(name), value) for name, value in model.parameters.items()}
        limits[_CURRENT] = ("I", -1, 2, 0.005, 0.1)
        super().__init__(model.reference, limits, duration, model.states)
        self.arrange()

    def _range(self, name: str) -> tuple[float, float, float]:
        """The lowest and highest value of a parameter's slider, and its step."""
        value = self._model.parameters[name]
        span = 2 * abs(value) or 1.0
        low, high = self._model.bounds.get(name, (value - span, value + span))
        low, high = max(low, value - 10 * span), min(high, value + 10 * span)
        return low, high, (high - low) / 400

    def _run(self, duration: float) -> tuple[int, list[str], list[str]]:
        values, reference = self._values(), self._model.reference
        amplitude = values.pop(_CURRENT)
        changes: dict[str, Any] = {k: value for k, value in values.items() if value != self._model.parameters[k]}
        current = pulse(amplitude, start=_START, stop=None, duration=duration, dt=1.0)
        spikes, *states = _traced(self._model(**changes), current)
        self.traces.show(1.0, current, spikes, states, values.get("threshold", np.inf))
        module, _, name = reference.partition(":")
        settings = ", ".join(f"{k}={v!r}" for k, v in changes.items())
        python = ["import torch", f"from {module} import {name}", f"neuron = {name}({settings})",
                  *_constant(len(current), 1.0, amplitude), "spikes, *states = neuron.trace(current)"]  # fmt: skip
        command = ["izhi", "simulate", reference, "--current", repr(amplitude), "--duration", f"{len(current):g}"]
        command += ["--set", ",".join(f"{k}={v!r}" for k, v in changes.items())] if changes else []
        return int(spikes.sum()), python, command


class NeuronPage:
    """The tab of neurons.

    Args:
        own: a neuron of the user's own beside the others.
    """

    def __init__(self, own: NeuronModel | None = None) -> None:
        about = widgets.text(
            "",
            "<p>Currents begin after 10 ms (or steps). Traces are computed in single precision, as networks are. The"
            " lines below each neuron reproduce them; the command computes in double precision, so that late spikes may"
            " differ by some steps.</p>",
        )
        self.duration = _slider("duration", "duration of a constant current (ms, or steps)", 50, 1000, 10, 300)

        def lasting() -> float:
            return float(self.duration.value)

        self.columns: dict[str, _Column] = {
            "biological": _IzhikevichColumn("biological", "mV", "RS", lasting),
            "normalised": _IzhikevichColumn("normalised", "1", "normalized", lasting),
            "LIF": _LIFColumn("LIF", lasting),
        }
        if own is not None:
            self.columns = {own.reference: _CustomColumn(own, lasting), **self.columns}
        for one in self.columns.values():
            self.duration.on_change("value", lambda attribute, old, new, one=one: one.update())
        views = [one.view for one in self.columns.values()]
        self.view = column(about, self.duration, widgets.beside(*views, least=310), sizing_mode="stretch_width")
