"""The figures of one neuron: states over time, phase plane or phase line, firing rates, a resonator's response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, DataRange1d, Range1d
from numpy.typing import NDArray

from izhi.explorer import widgets
from izhi.spec import ORDERS, IzhikevichParameters

Numbers = NDArray[np.float64]

#: Height of a state over time without and with the time axis, and of a figure beside both, in pixels.
_STATE, _LAST, _BESIDE = 105, 145, 250
#: The left margin of all figures over time, which aligns their axes across neurons.
_MARGIN = 64
#: And of those beside them.
_MARGIN_BESIDE = 56
#: The share of the figure of v below the trace, where the current is drawn.
_FOOT = 0.3


def moving_point(figure: Any, name: str) -> None:
    """A point of a phase plane that the page moves while it plays: of the source ``{name}-point``."""
    source = ColumnDataSource({"x": [], "y": []}, name=f"{name}-point", syncable=False)
    figure.scatter("x", "y", source=source, size=11, color=widgets.MARK, line_color="white", level="overlay")


class TimeFigures:
    """The states over time, one figure each, with the current below v.

    Args:
        name: of the neuron.
        states: names of its states, v first.
        time: range of time that all neurons share.
        now: source of the time at which the page plays.
        in_mv: whether v is in mV and time in ms.
    """

    def __init__(self, name: str, states: Sequence[str], time: Range1d, now: ColumnDataSource, *, in_mv: bool) -> None:
        self._states = tuple(states)
        columns = dict.fromkeys(("time", "current", "v", *states[1:], "plane_x", "plane_y"), ())
        self.over_time = ColumnDataSource(columns, name=f"{name}-trace")
        self.spikes = ColumnDataSource({"time": [], "v": []}, name=f"{name}-spikes")
        axis = "time (ms)" if in_mv else "time (steps)"
        height = {1: _STATE + _LAST}.get(len(states), _STATE)
        self._v_range, self._current_range = Range1d(0, 1), Range1d(0, 1)
        figure = widgets.chart(
            axis, "v (mV)" if in_mv else states[0], height=height, x_range=time, y_range=self._v_range,
            name=f"{name}-v", min_border_left=_MARGIN,
        )  # fmt: skip
        figure.extra_y_ranges = {"current": self._current_range}
        figure.line(
            "time", "current", source=self.over_time, y_range_name="current", color=widgets.GREY, line_width=1.2
        )
        line = figure.line("time", "v", source=self.over_time, color=widgets.BLUE, line_width=1.5)
        widgets.point_out(figure, line, (axis, "@time"), ("v", "@v{0.000}"), ("I", "@current{0.000}"))
        figure.scatter("time", "v", source=self.spikes, marker="triangle", size=7, color=widgets.ORANGE)
        self.figures = [figure]
        for state in states[1:]:
            below = widgets.chart(
                axis, f"{state} (mV/ms)" if in_mv else state, height=_STATE if state != states[-1] else _LAST,
                x_range=time, y_range=DataRange1d(), name=f"{name}-{state}", min_border_left=_MARGIN,
            )  # fmt: skip
            below.line("time", state, source=self.over_time, color=widgets.GREEN, line_width=1.5)
            self.figures.append(below)
        for figure in self.figures:
            figure.vspan("time", source=now, color=widgets.MARK, line_width=1.5, level="overlay")
            figure.yaxis.ticker.desired_num_ticks = 4
        for figure in self.figures[:-1]:
            figure.xaxis.visible = False

    def show(
        self, dt: float, current: Numbers, spikes: Numbers, states: Sequence[Numbers], threshold: float,
        plane: tuple[Numbers, Numbers],
    ) -> None:  # fmt: skip
        """Show a trace; spikes are drawn up to the threshold, if it is finite, in every order of events.

        Args:
            plane: coordinates of each step in the phase plane.
        """
        v, *others = states
        time, fired = dt * np.arange(len(v)), spikes > 0
        top = threshold if np.isfinite(threshold) else v
        drawn = np.where(fired, top, np.minimum(v, threshold))
        self.over_time.data = {
            "time": time, "current": current, "v": drawn, **dict(zip(self._states[1:], others, strict=True)),
            "plane_x": plane[0], "plane_y": plane[1],
        }  # fmt: skip
        self.spikes.data = {"time": time[fired], "v": drawn[fired]}
        _fit(self._v_range, drawn, _FOOT, 0.08)
        _fit(self._current_range, current, 0.1, 1 / _FOOT)


def _fit(axis: Range1d, values: Numbers, below: float, above: float) -> None:
    """Set an axis to the values, with margins in parts of their span."""
    low, high = float(values.min()), float(values.max())
    span = high - low or 1.0
    axis.update(start=low - below * span, end=high + above * span)


class PhasePlane:
    """v against u: the trajectory of the state, and the nullclines.

    Args:
        has_nullclines: False for a neuron of the user's own.
    """

    def __init__(self, name: str, *, in_mv: bool, u: str = "u", has_nullclines: bool = True) -> None:
        self.trajectory = ColumnDataSource({"v": [], "u": []}, name=f"{name}-trajectory")
        self.nullclines = ColumnDataSource({"v": [], "of_v": [], "of_u": []}, name=f"{name}-nullclines")
        x, y = ("v (mV)", "u (mV/ms)") if in_mv else ("v", u)
        ranges: Mapping[str, Any] = {"x_range": Range1d(0, 1), "y_range": Range1d(0, 1)} if has_nullclines else {}
        self.figure = widgets.chart(
            x, y, height=_BESIDE, name=f"{name}-plane", min_border_left=_MARGIN_BESIDE, **ranges
        )
        if has_nullclines:
            for y, label, colour in (("of_v", "v' = 0", widgets.BLUE), ("of_u", "u' = 0", widgets.GREEN)):
                self.figure.line("v", y, source=self.nullclines, legend_label=label, color=colour, line_dash="dashed")
        self.figure.line("v", "u", source=self.trajectory, legend_label="state", color=widgets.ORANGE, line_width=1.2)
        moving_point(self.figure, name)
        widgets.legend_above(self.figure)

    def show(self, p: IzhikevichParameters, current: float, spikes: Numbers, v: Numbers, u: Numbers) -> None:
        """Show a trajectory, broken where a spike resets v, and the nullclines under the last current."""
        order = ORDERS[p.order]
        jumps = np.flatnonzero(spikes > 0) + (order.spike_on == "new v" and order.reset == "before")
        self.show_trajectory(np.minimum(v, p.threshold), u, jumps if p.reset != "none" else jumps[:0])
        low, high = min(float(v.min()), p.c), p.threshold
        grid = np.linspace(low - 0.1 * (high - low), high, 300)
        nothing = np.full_like(grid, np.nan)
        of_v = -(p.a1 * grid**2 + p.a2 * grid + p.a4 + current) / p.a3 if p.a3 else nothing
        of_u = -(p.b1 * grid + p.b3) / p.b2 if p.b2 else nothing
        self.nullclines.data = {"v": grid, "of_v": of_v, "of_u": of_u}
        turn = np.nanmin(of_v, initial=np.inf) if p.a1 else np.inf  # where the parabola turns, if there is one
        bottom, top = min(float(u.min()), turn), max(float(u.max()), turn if np.isfinite(turn) else -np.inf)
        margin = 0.15 * (top - bottom) or 1.0
        self.figure.x_range.update(start=grid[0], end=grid[-1])
        self.figure.y_range.update(start=bottom - margin, end=top + margin)

    def show_trajectory(self, v: Numbers, u: Numbers, jumps: NDArray[np.int64]) -> None:
        """Show a trajectory that is broken before each of the steps ``jumps``."""
        jumps = jumps[jumps < len(v)]
        self.trajectory.data = {name: np.insert(values, jumps, np.nan) for name, values in (("v", v), ("u", u))}


class PhaseLine:
    """How v changes in a step, over v, without u: v rests where the line crosses 0, unless it fires before."""

    def __init__(self, name: str) -> None:
        self.line = ColumnDataSource({"v": [], "change": []}, name=f"{name}-line")
        self.zero = ColumnDataSource({"v": [], "zero": []})
        self.threshold = ColumnDataSource({"v": []})
        self.figure = widgets.chart(
            "v",
            "change of v per step",
            height=_BESIDE,
            name=f"{name}-plane",
            x_range=Range1d(0, 1),
            min_border_left=_MARGIN_BESIDE,
        )
        self.figure.line("v", "zero", source=self.zero, color=widgets.GREY, line_dash="dashed", legend_label="0")
        self.figure.vspan("v", source=self.threshold, color=widgets.GREEN, line_dash="dashed", legend_label="threshold")
        self.figure.line(
            "v", "change", source=self.line, color=widgets.ORANGE, line_width=1.5, legend_label="(β − 1) v + I"
        )
        moving_point(self.figure, name)
        widgets.legend_above(self.figure)

    def show(self, beta: float, current: float, threshold: float, v: Numbers) -> None:
        """Show the line under the last current."""
        low, high = min(float(v.min()), 0.0), max(threshold, float(v.max()))
        grid = np.array([low - 0.05 * (high - low), high + 0.15 * (high - low)])
        self.line.data = {"v": grid, "change": (beta - 1) * grid + current}
        self.zero.data = {"v": grid, "zero": np.zeros(2)}
        self.threshold.data = {"v": [threshold]}
        self.figure.x_range.update(start=grid[0], end=grid[-1])


class RateCurve:
    """The firing rate over a constant current, and the current that is chosen."""

    def __init__(self, name: str, *, in_mv: bool) -> None:
        self.curve = ColumnDataSource({"current": [], "rate": []}, name=f"{name}-rates")
        self.chosen = ColumnDataSource({"current": []})
        x, y = ("I (mV/ms)", "spikes per second") if in_mv else ("I", "spikes per 100 steps")
        self.figure = widgets.chart(
            x, y, height=_BESIDE, name=f"{name}-side", title="f–I curve", min_border_left=_MARGIN_BESIDE
        )
        line = self.figure.line("current", "rate", source=self.curve, color=widgets.BLUE, line_width=2)
        self.figure.vspan("current", source=self.chosen, color=widgets.GREY, line_dash="dashed")
        widgets.point_out(self.figure, line, ("I", "@current{0.000}"), (y, "@rate{0.0}"))

    def show(self, currents: Numbers, rates: Numbers, chosen: float | None) -> None:
        """Show the curve; no mark if the current is none that is constant."""
        self.curve.data = {"current": currents, "rate": rates}
        self.chosen.data = {"current": [] if chosen is None else [chosen]}


class Response:
    """What a resonator makes of an impulse, and of waves of each frequency."""

    def __init__(self, name: str) -> None:
        self.impulse = ColumnDataSource({"time": [], "v": []}, name=f"{name}-impulse")
        self.tuning = ColumnDataSource({"frequency": [], "gain": []}, name=f"{name}-tuning")
        self.frequency = ColumnDataSource({"frequency": []})
        common = {"height": _BESIDE // 2, "min_border_left": _MARGIN_BESIDE}
        above = widgets.chart("time (steps)", "v", name=f"{name}-impulse", title="impulse response", **common)
        above.line("time", "v", source=self.impulse, color=widgets.BLUE)
        below = widgets.chart(
            "ω (radians per step)", "gain", name=f"{name}-tuning", title="frequency tuning", x_axis_type="log",
            x_range=Range1d(0.005, np.pi), **common,
        )  # fmt: skip
        below.line("frequency", "gain", source=self.tuning, color=widgets.BLUE, line_width=1.5)
        below.vspan("frequency", source=self.frequency, color=widgets.GREY, line_dash="dashed")
        self.figures = [above, below]
        for figure in self.figures:
            figure.yaxis.ticker.desired_num_ticks = 3

    def show(self, frequency: float, decay: float, response: Numbers) -> None:
        """Show the response (T,) to an impulse of 1 in the first step.

        A linear neuron of two states has z ↦ (h₀ + (h₁ − 2 r cos ω h₀) z⁻¹) / (1 − 2 r cos ω z⁻¹ + r² z⁻²) as its
        transfer function, whose absolute value on the unit circle is the gain.
        """
        turn, kept = 2 * (1 - decay) * np.cos(frequency), (1 - decay) ** 2
        waves = np.geomspace(0.005, np.pi, 400)
        z = np.exp(-1j * waves)
        gain = np.abs((response[0] + (response[1] - turn * response[0]) * z) / (1 - turn * z + kept * z * z))
        self.impulse.data = {"time": np.arange(len(response)), "v": response}
        self.tuning.data = {"frequency": waves, "gain": gain}
        self.frequency.data = {"frequency": [frequency]}


__all__ = ["PhaseLine", "PhasePlane", "RateCurve", "Response", "TimeFigures"]
