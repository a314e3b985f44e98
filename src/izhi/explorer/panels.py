"""A neuron of the explorer: its controls, its figures, and the lines of code that give the same spikes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, TypeAlias

import numpy as np
from bokeh.models import ColumnDataSource, Model, Range1d, Select, Slider

from izhi.equation import NeuronModel
from izhi.errors import IzhiError
from izhi.explorer import widgets
from izhi.explorer.figures import PhaseLine, PhasePlane, RateCurve, Response, TimeFigures
from izhi.explorer.simulation import START, AnyNeuron, Numbers, firing_rates, impulse_response, traced
from izhi.neurons import LIF, Izhikevich
from izhi.neurons.simulation import pulse
from izhi.spec import ORDERS, PATTERNS, PRESETS, IzhikevichParameters, Resonators

#: Currents of an f–I curve.
_CURRENTS = 61
#: Name of the current's slider of a neuron whose other sliders are named by its model.
_CURRENT = " I"
#: Stimuli: a constant current, and that of a firing pattern.
CONSTANT, OWN = "constant", "the pattern's"
#: Title, low, high, step and first value of a slider.
_Limits: TypeAlias = tuple[str, float, float, float, float]
#: Sliders by name, for each neuron. A preset with a value outside extends the slider.
_SLIDERS: Mapping[str, Mapping[str, _Limits]] = {
    "biological": {
        "a": ("a (1/ms)", 0, 0.2, 0.001, 0), "b": ("b (1/ms)", -0.5, 0.5, 0.005, -0.5),
        "c": ("c (mV)", -80, -30, 0.5, -80), "d": ("d (mV/ms)", -5, 15, 0.05, -5),
        "I": ("I (mV/ms)", -20, 60, 0.25, 10),
    },
    "normalised": {
        "a": ("a", 0, 0.2, 0.001, 0), "b": ("b", -3, 3, 0.05, -3), "c": ("c", -0.3, 0.65, 0.005, -0.3),
        "d": ("d", -1, 2, 0.02, -1), "I": ("I", -0.1, 0.5, 0.005, 0.1),
    },
    "resonator": {
        "frequency": ("ω (per step)", 0.01, 3.1, 0.005, 0.01),
        "decay": ("1 − r", 0.0005, 0.3, 0.0005, 0.0005), "d": ("d", -1, 2, 0.02, -1),
        "I": ("I", -0.1, 0.5, 0.005, 0.12),
    },
    "LIF": {
        "beta": ("β", 0, 1, 0.005, 0.95), "threshold": ("threshold", 0.05, 3, 0.05, 1.0),
        "I": ("I", -0.2, 1, 0.005, 0.1),
    },
}  # fmt: skip
#: A sentence about each neuron.
_ABOUT: Mapping[str, str] = {
    "biological": "Izhikevich's model in mV and ms. A picture sets the neuron and its stimulus.",
    "normalised": "The same equations with a threshold near 1, one step at a time, as layers of networks begin.",
    "resonator": "Without v²: (v, u) turns by ω and shrinks to r in each step. A layer spreads ω and r.",
    "LIF": "It has no u: v decays to β v in each step, and a spike subtracts the threshold.",
}


@dataclass(frozen=True)
class Shared:
    """What all neurons share: the duration of constant currents, the range of time, and the time of the play."""

    duration: Any  #: slider of the duration, ms or steps
    time: Range1d  #: range of every figure over time
    now: ColumnDataSource  #: the time at which the page plays, which its script sets


def slider(name: str, title: str, low: float, high: float, step: float, value: float) -> Any:
    """A slider of the tab of neurons."""
    return Slider(
        name=name, title=title, start=low, end=high, step=step, value=value, format="0[.]0[0000]",
        sizing_mode="stretch_width", margin=(2, 5, 2, 5),
    )  # fmt: skip


class NeuronPanel:
    """A neuron. Its figures and controls are roots of the page, each by a name that begins with the neuron's.

    Args:
        name: of the neuron.
        limits: of its sliders.
        shared: what all neurons share.
        states: names of its states, v first.
        in_mv: whether v is in mV.
    """

    def __init__(
        self, name: str, limits: Mapping[str, _Limits], shared: Shared, states: Sequence[str], *, in_mv: bool = False
    ) -> None:
        self.name, self.about = name, _ABOUT.get(name, "A neuron of your own.")
        self._limits, self._shared, self._is_quiet = limits, shared, False
        self.status, self.lines = widgets.text(f"{name}-status"), widgets.text(f"{name}-lines")
        self.sliders = {key: slider(f"{name}-{key}", *values) for key, values in self._limits.items()}
        self.traces = TimeFigures(name, states, shared.time, shared.now, in_mv=in_mv)
        #: The end of its trace, ms or steps.
        self.end = 0.0
        #: Phase plane or line, and rates or responses.
        self.plane_figures: list[Any] = []
        self.side_figures: list[Any] = []

    def arrange(self, *selects: Any) -> None:
        """Connect the controls, lay them out, and compute."""
        for control in (*selects, *self.sliders.values()):
            control.on_change("value", lambda attribute, old, new: self.update())
        self.controls = widgets.beside(*self.sliders.values(), *selects, least=118, name=f"{self.name}-controls")
        self.update()

    @property
    def roots(self) -> list[Model]:
        """All that the page has of it."""
        figures = [*self.traces.figures, *self.plane_figures, *self.side_figures]
        return [self.controls, self.status, self.lines, *figures]

    def update(self) -> None:
        """Compute and show, all in one message to the browser; a mistake leaves the figures as they are."""
        if self._is_quiet:
            return
        document = self.status.document
        if document is not None:
            document.hold("combine")
        try:
            spikes, python, command = self._run(float(self._shared.duration.value))
            self.status.text = f"<b>{spikes} spike{'s' if spikes != 1 else ''}</b>"
            self.lines.text = "".join(f"<pre>{escape(x)}</pre>" for x in ("\n".join(python), shlex.join(command)))
        except IzhiError as error:
            self.status.text = widgets.mistake(error)
        finally:
            if document is not None:
                document.unhold()

    def _show(
        self, current: Numbers, spikes: Numbers, states: Sequence[Numbers], threshold: float,
        plane: tuple[Numbers, Numbers], dt: float = 1.0,
    ) -> None:  # fmt: skip
        self.end = dt * len(current)
        self.traces.show(dt, current, spikes, states, threshold, plane)

    def _values(self) -> dict[str, float]:
        return {name: float(slider.value) for name, slider in self.sliders.items()}

    def _run(self, duration: float) -> tuple[int, list[str], list[str]]:
        """The number of spikes; the lines of Python and the words of the command that reproduce them."""
        raise NotImplementedError

    def _rates(self, curve: RateCurve, neuron: AnyNeuron, *, per: float, dt: float = 1.0) -> None:
        """Show the firing rates over the currents of its slider, per so many ms or steps."""
        slider = self.sliders.get("I") or self.sliders[_CURRENT]
        currents = np.linspace(slider.start, slider.end, _CURRENTS)
        chosen = None if slider.disabled else float(slider.value)
        curve.show(currents, per * firing_rates(neuron, currents, dt), chosen)


def _constant(steps: int, dt: float, amplitude: float) -> list[str]:
    """The lines of Python that make a constant current."""
    return [f"current = torch.zeros({steps}, 1, 1)", f"current[{round(START / dt)}:] = {amplitude!r}"]


def _settings(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in changes.items())


class IzhikevichPanel(NeuronPanel):
    """An Izhikevich neuron, biological or normalised; it begins with the preset ``usual``."""

    def __init__(self, name: str, parameters: Mapping[str, IzhikevichParameters], usual: str, shared: Shared) -> None:
        in_mv = parameters[usual].unit == "mV"
        super().__init__(name, _SLIDERS[name], shared, ("v", "u"), in_mv=in_mv)
        self._amplitude = self.sliders["I"].value
        self.parameters = parameters

        def select(what: str, options: list[str], title: str = "", **others: Any) -> Any:
            return Select(
                name=f"{name}-{what}", title=title or what, options=options, sizing_mode="stretch_width",
                margin=(2, 5, 2, 5), **others,
            )  # fmt: skip

        self.preset = select("preset", list(parameters), value=usual, visible=False)
        self.stimulus = select("stimulus", [CONSTANT], value=CONSTANT, visible=in_mv)
        self.order = select("order", list(ORDERS), "order of events", value="fpga-ip")
        self.plane = PhasePlane(name, in_mv=in_mv)
        self.plane_figures = [self.plane.figure]
        self._prepare(in_mv)
        self._set_to(usual)
        self.preset.on_change("value", lambda attribute, old, new: self._set_to(new))
        self.arrange(self.preset, self.stimulus, self.order)

    def _prepare(self, in_mv: bool) -> None:
        """Make the figures beside the phase plane."""
        self.curve = RateCurve(self.name, in_mv=in_mv)
        self.side_figures = [self.curve.figure]

    def _usual(self, p: IzhikevichParameters) -> dict[str, float]:
        """The parameters of a preset that have sliders."""
        return {"c": p.c, "d": p.d, **({"a": p.a, "b": p.b} if p.b2 else {})}

    def _set_to(self, name: str) -> None:
        """Set the controls to a preset."""
        p = self.parameters[name]
        self._is_quiet = True
        self.stimulus.options = [OWN, CONSTANT] if p.unit == "mV" and name in PATTERNS else [CONSTANT]
        self.stimulus.value = self.stimulus.options[0]
        self.order.value = p.order
        self.usual = self._usual(p)
        for slider_name, (_, low, high, *_rest) in self._limits.items():
            slider, value = self.sliders[slider_name], {"I": self._amplitude, **self.usual}.get(slider_name, 0.0)
            slider.update(start=min(low, value), end=max(high, value), value=value)
            slider.visible = slider_name == "I" or slider_name in self.usual
        self._is_quiet = False

    def _changed(self, p: IzhikevichParameters, changes: Mapping[str, Any]) -> tuple[IzhikevichParameters, str]:
        """The chosen neuron, and the words of Python that make it of the preset ``p``."""
        settings = _settings(changes)
        return p.replace(**changes), f".replace({settings})" if settings else ""

    def _run(self, duration: float) -> tuple[int, list[str], list[str]]:
        name, own, values = str(self.preset.value), self.stimulus.value == OWN, self._values()
        p, amplitude = self.parameters[name], values["I"]
        changes: dict[str, Any] = {key: values[key] for key, usual in self.usual.items() if values[key] != usual}
        self.sliders["I"].disabled = own
        order = {} if self.order.value == p.order else {"order": str(self.order.value)}
        made = f"izhi.PATTERNS[{name!r}].parameters" if p is not PRESETS.get(name) else f"izhi.preset({name!r})"
        p, words = self._changed(p, {**changes, **order})
        current = (
            PATTERNS[name].current() if own else pulse(amplitude, start=START, stop=None, duration=duration, dt=p.dt)
        )
        neuron = Izhikevich(p, gain=1.0)
        spikes, v, u = traced(neuron, current)
        self._show(current, spikes, (v, u), p.threshold, (np.minimum(v, p.threshold), u), p.dt)
        self.plane.show(p, float(current[-1]), spikes, v, u)
        self._beside(p, neuron)
        line = f"current = torch.tensor(izhi.PATTERNS[{name!r}].current()).float().reshape(-1, 1, 1)"
        python = [
            "import torch, izhi", f"neuron = izhi.Izhikevich({made}{words}, gain=1)",
            *([line] if own else _constant(round(duration / p.dt), p.dt, amplitude)),
            "spikes, v, u = neuron.trace(current)",
        ]  # fmt: skip
        command = ["izhi", "simulate", name]
        command += ["--pattern"] if name in PRESETS and p.unit != PRESETS[name].unit else []
        command += [] if own else ["--current", repr(amplitude), "--duration", f"{duration:g}"]
        command += ["--order", order["order"]] if order else []
        command += ["--set", _settings(changes).replace(", ", ",")] if changes else []
        return int(spikes.sum()), python, command

    def _beside(self, p: IzhikevichParameters, neuron: Izhikevich) -> None:
        """Show the figures beside the phase plane."""
        self._rates(self.curve, neuron, per=1000.0 if p.unit == "mV" else 100.0, dt=p.dt)


class ResonatorPanel(IzhikevichPanel):
    """A neuron of a layer of resonators, by its frequency and decay."""

    def __init__(self, shared: Shared) -> None:
        super().__init__("resonator", {"resonator": PRESETS["resonator"]}, "resonator", shared)

    def _prepare(self, in_mv: bool) -> None:
        self.response = Response(self.name)
        self.side_figures = self.response.figures

    def _usual(self, p: IzhikevichParameters) -> dict[str, float]:
        return {"d": p.d, **{one.name: one.middle for one in Resonators().spreads}}

    def _changed(self, p: IzhikevichParameters, changes: Mapping[str, Any]) -> tuple[IzhikevichParameters, str]:
        values = self._values()
        limits = {key: values[key] for key in Resonators.DOMAIN}
        order = {key: value for key, value in changes.items() if key == "order"}
        middle = Resonators(**limits).middle(p.replace(**order))  # type: ignore[arg-type]
        rest = {key: value for key, value in changes.items() if key not in limits}
        _, words = super()._changed(p, rest)
        return middle.replace(**rest), f"{words}, distribution=izhi.Resonators({_settings(limits)})"

    def _beside(self, p: IzhikevichParameters, neuron: Izhikevich) -> None:
        values = self._values()
        self.response.show(values["frequency"], values["decay"], impulse_response(p, values["decay"]))


class LIFPanel(NeuronPanel):
    """A leaky integrate-and-fire neuron."""

    def __init__(self, shared: Shared) -> None:
        super().__init__("LIF", _SLIDERS["LIF"], shared, ("v",))
        self.plane, self.curve = PhaseLine(self.name), RateCurve(self.name, in_mv=False)
        self.plane_figures, self.side_figures = [self.plane.figure], [self.curve.figure]
        self.arrange()

    def _run(self, duration: float) -> tuple[int, list[str], list[str]]:
        beta, threshold, amplitude = self._values().values()
        current = pulse(amplitude, start=START, stop=None, duration=duration, dt=1.0)
        neuron = LIF(beta, threshold)
        spikes, v = traced(neuron, current)
        self._show(current, spikes, (v,), threshold, (v, (beta - 1) * v + current))
        self.plane.show(beta, float(current[-1]), threshold, v)
        self._rates(self.curve, neuron, per=100.0)
        python = ["import torch, izhi", f"neuron = izhi.LIF(beta={beta!r}, threshold={threshold!r})",
                  *_constant(len(current), 1.0, amplitude), "spikes, v = neuron.trace(current)"]  # fmt: skip
        command = ["izhi", "simulate", "lif", "--current", repr(amplitude), "--duration", f"{len(current):g}",
                   "--set", f"beta={beta!r},threshold={threshold!r}"]  # fmt: skip
        return int(spikes.sum()), python, command


class CustomPanel(NeuronPanel):
    """A neuron that ``@izhi.neuron`` made."""

    def __init__(self, model: NeuronModel, shared: Shared) -> None:
        self._model = model
        limits = {name: (name, *self._range(name), value) for name, value in model.parameters.items()}
        limits[_CURRENT] = ("I", -1, 2, 0.005, 0.1)
        super().__init__(model.reference, limits, shared, model.states)
        self.curve = RateCurve(self.name, in_mv=False)
        self.side_figures = [self.curve.figure]
        self.plane = None
        if len(model.states) > 1:
            self.plane = PhasePlane(self.name, in_mv=False, u=model.states[1], has_nullclines=False)
            self.plane_figures = [self.plane.figure]
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
        current = pulse(amplitude, start=START, stop=None, duration=duration, dt=1.0)
        neuron = self._model(**changes)
        spikes, *states = traced(neuron, current)
        plane = (states[0], states[1] if len(states) > 1 else np.full_like(states[0], np.nan))
        self._show(current, spikes, states, values.get("threshold", np.inf), plane)
        if self.plane is not None:
            self.plane.show_trajectory(*plane, np.flatnonzero(spikes > 0) + 1)
        self._rates(self.curve, neuron, per=100.0)
        module, _, name = reference.partition(":")
        python = ["import torch", f"from {module} import {name}", f"neuron = {name}({_settings(changes)})",
                  *_constant(len(current), 1.0, amplitude), "spikes, *states = neuron.trace(current)"]  # fmt: skip
        command = ["izhi", "simulate", reference, "--current", repr(amplitude), "--duration", f"{len(current):g}"]
        command += ["--set", _settings(changes).replace(", ", ",")] if changes else []
        return int(spikes.sum()), python, command


__all__ = ["CONSTANT", "OWN", "CustomPanel", "IzhikevichPanel", "LIFPanel", "NeuronPanel", "ResonatorPanel", "Shared"]
