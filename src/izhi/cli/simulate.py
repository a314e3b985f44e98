"""The command that simulates one neuron under a current."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from izhi.cli.common import write_json
from izhi.errors import SettingError, shown, unknown
from izhi.experiments import plots
from izhi.network.builder import build_neurons
from izhi.neurons import simulation
from izhi.spec import LEARNABLE, PATTERNS, Distribution, IzhikevichSpec, entry_of_preset, neuron_spec

#: Parameters of the quadratic map that ``izhi simulate --set`` changes; the amplitude takes the place of a gain.
_CHANGEABLE = (*(name for name in LEARNABLE if name != "gain"), "v0", "u0", "v_min", "v_max")


def simulate(a: argparse.Namespace) -> None:
    if a.all:
        traces = {name: simulation.run_pattern(name) for name in PATTERNS}
        out = Path(a.out or "patterns.png")
        plots.save(plots.pattern_sheet(traces), out)
        times = {name: trace.spike_times.tolist() for name, trace in traces.items()}
        write_json(a.json, {"spike_times_ms": times})
    else:
        trace, title = _simulated(a)
        out = Path(a.out or f"{a.neuron.replace(' ', '-').replace(':', '-')}.png")
        plots.save(plots.trace(trace, title), out)
        print(f"{len(trace.spike_times)} spikes")
        write_json(a.json, {"neuron": a.neuron, "spike_times": trace.spike_times.tolist()})
    print(f"figure: {out}")


def _simulated(a: argparse.Namespace) -> tuple[simulation.Trace, str]:
    entry, spec = entry_of_preset(a.neuron), neuron_spec(a.neuron)
    if a.pattern:
        if a.neuron not in PATTERNS:
            raise unknown("firing pattern", a.neuron, PATTERNS)
        spec = IzhikevichSpec(parameters=PATTERNS[a.neuron].parameters)
    if a.reset is not None and spec.reset is None:
        raise SettingError(f"reset is {a.reset!r}, but {a.neuron} has its own; leave it out")
    p, of_ranges = getattr(spec, "parameters", None), {}
    if p is None:
        spec = spec if a.reset is None else spec.replace(reset=a.reset)
        changes = _changes(a.set, getattr(spec, "names", ()))
        neuron: Any = build_neurons(spec.with_values(changes))
        dt, unit, name = 1.0, "1", a.neuron if ":" in a.neuron else a.neuron.upper()
        order = "" if a.reset is None else f", reset {a.reset}"
    else:
        ranges: Distribution | None = getattr(spec, "distribution", None)
        changes = _changes(a.set, (*_CHANGEABLE, *(() if ranges is None else ranges.DOMAIN)))
        p = p.replace(order=a.order or p.order, reset=a.reset or p.reset)
        if ranges is not None:
            of_ranges = {x.name: changes.pop(x.name, x.middle) for x in ranges.spreads}
            p = replace(ranges, **of_ranges).middle(p)
        p = p.replace(**changes)
        order = f", order {p.order}" + ("" if p.reset == "value" else f", reset {p.reset}")
        if a.current is None and a.neuron in PATTERNS and p.unit == "mV":
            for name in ("dt", "duration"):
                if getattr(a, name) is not None:
                    raise SettingError(f"{name} is set, but {a.neuron!r} runs its own stimulus; add --current")
            return simulation.run(p, PATTERNS[a.neuron].current()), f"{a.neuron}{order}{_suffix(changes)}"
        p = p if a.dt is None else p.replace(dt=a.dt)
        neuron, dt, unit, name = entry.load("torch")(p, gain=1.0), p.dt, p.unit, a.neuron
    amplitude = (10.0 if unit == "mV" else 0.1) if a.current is None else a.current
    current = simulation.pulse(amplitude, start=a.start, stop=a.stop, duration=a.duration or 200, dt=dt)
    title = f"{name}{_suffix(of_ranges)}, I = {amplitude:g}{' mV/ms' if unit == 'mV' else ''}{order}{_suffix(changes)}"
    return simulation.run_neuron(neuron, current, dt), title


def _changes(text: str | None, known: Sequence[str]) -> dict[str, Any]:
    """Parameters of ``--set``; SettingError for an unknown one."""
    changes: dict[str, float] = {}
    for change in text.split(",") if text else ():
        name, equals, value = (x.strip() for x in change.partition("="))
        try:
            changes[name] = float(value) if name and equals else float("nan")
        except ValueError:
            changes[name] = float("nan")
        if not math.isfinite(changes[name]):
            raise SettingError(f"set has {shown(change)}, expected name=value, such as a=0.1")
        if name not in known:
            raise unknown("parameter", name, known)
    return changes


def _suffix(changes: Mapping[str, float]) -> str:
    return "".join(f", {name} = {value:g}" for name, value in changes.items())
