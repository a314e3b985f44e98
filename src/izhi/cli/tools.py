"""Commands beside training: single neurons, data sets, and speed."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from izhi import data
from izhi.cli.common import make_folder, report_line, whole_numbers, write_json
from izhi.cli.parser import parser
from izhi.errors import DataError, SettingError, shown, unknown
from izhi.experiments import benchmark, plots
from izhi.experiments.settings.kinds import kind
from izhi.neurons import LEARNABLE, LIF, PATTERNS, simulation

#: Parameters of the quadratic map that ``izhi simulate --set`` changes; the current has its amplitude for a gain.
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
        out = Path(a.out or f"{a.neuron.replace(' ', '-')}.png")
        plots.save(plots.trace(trace, title), out)
        print(f"{len(trace.spike_times)} spikes")
        write_json(a.json, {"neuron": a.neuron, "spike_times": trace.spike_times.tolist()})
    print(f"figure: {out}")


def _simulated(a: argparse.Namespace) -> tuple[simulation.Trace, str]:
    p = kind(a.neuron).parameters
    if p is None:
        changes = _changes(a.set, ("beta", "threshold"))
        amplitude = 0.1 if a.current is None else a.current
        current = simulation.pulse(amplitude, start=a.start, stop=a.stop, duration=a.duration or 200, dt=1.0)
        return simulation.run_lif(LIF(**changes), current), f"LIF, I = {amplitude:g}{_told(changes)}"
    changes = _changes(a.set, _CHANGEABLE)
    p = p.replace(**changes, order=a.order or p.order)
    if a.neuron in PATTERNS and a.current is None:
        for name in ("dt", "duration"):
            if getattr(a, name) is not None:
                raise SettingError(f"{name} is set, but {a.neuron!r} runs its own stimulus; add --current")
        return simulation.run(p, PATTERNS[a.neuron].current()), f"{a.neuron}, order {p.order}{_told(changes)}"
    if a.dt is not None:
        p = p.replace(dt=a.dt)
    amplitude = (10.0 if p.unit == "mV" else 0.1) if a.current is None else a.current
    current = simulation.pulse(amplitude, start=a.start, stop=a.stop, duration=a.duration or 200, dt=p.dt)
    unit = " mV/ms" if p.unit == "mV" else ""
    return simulation.run(p, current), f"{a.neuron}, I = {amplitude:g}{unit}, order {p.order}{_told(changes)}"


def _changes(text: str | None, known: Sequence[str]) -> dict[str, Any]:
    """Parameters of ``--set``, each of them one that is known."""
    found: dict[str, float] = {}
    for part in text.split(",") if text else ():
        name, equals, value = (x.strip() for x in part.partition("="))
        try:
            found[name] = float(value) if name and equals else float("nan")
        except ValueError:
            found[name] = float("nan")
        if not math.isfinite(found[name]):
            raise SettingError(f"set has {shown(part)}, expected name=value, such as a=0.1")
        if name not in known:
            raise unknown("parameter", name, known)
    return found


def _told(changes: Mapping[str, float]) -> str:
    return "".join(f", {name} = {value:g}" for name, value in changes.items())


def data_sets(a: argparse.Namespace) -> None:
    names = a.names or [*data.DATASETS, *data.CARRIED, *data.found()]
    for name in names:
        data.require_known(name)
    rows = []
    for name in names:
        if a.action == "fetch":
            if not a.names:
                raise SettingError("fetch names no data set, expected one or more of: " + ", ".join(data.FILES))
            data.fetch(name, report_line)
        rows.append(_looked_at(name, quick=a.action == "list"))
        print(rows[-1])
    print(f"data root: {data.data_root()}")
    write_json(a.json, [asdict(row) for row in rows])
    broken = [problem for row in rows for problem in row.problems]
    if broken and a.action == "verify" and (a.names or any(row.state == "damaged" for row in rows)):
        raise DataError(broken[0] + (f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""))


@dataclass
class _Row:
    """A data set's state, what is wrong with it, and how many samples are there, where they were counted."""

    name: str
    state: str
    about: str
    problems: list[str]
    train: int | None = None
    test: int | None = None

    def __str__(self) -> str:
        # A subset is as sound as what was published, and less.
        about = f"published: {self.about}" if self.name in (*data.FILES, *data.CARRIED) else self.about
        if self.train is not None:
            about = f"{self.train:,} training and {self.test:,} test samples ({about})"
        return f"{self.name:24} {self.state:10} {about}"


def _looked_at(name: str, *, quick: bool) -> _Row:
    """Quick: without the time that it takes to read many recordings, or to count."""
    unread = quick and data.has_events(name) and data.is_there(name)
    files = [] if unread else data.check(name)
    row = _Row(
        name, "verified", data.source_of(name).about, [f"{path}: {problem}" for path, problem in files if problem]
    )
    if not files:
        row.state = "there" if unread else "embedded"
    elif row.problems:
        row.state = "not there" if all(problem == "not there" for _, problem in files) else "damaged"
    if not quick and not row.problems:
        row.train, row.test = data.count(name)
    return row


def bench(a: argparse.Namespace) -> None:
    names = benchmark.contenders(a.contenders, a.network)
    works = [
        benchmark.Work(steps=steps, batch=a.batch, hidden=a.hidden, network=a.network)
        for steps in whole_numbers("steps", a.steps, "25,100")
    ]
    if a.explain:
        _explain(names, works, a)
        return
    folder = make_folder(a, "bench")
    rows = benchmark.benchmark(
        names, folder, works, rounds=a.rounds, threads=a.threads, repeats=a.repeats,
        growth=not a.no_growth and a.network == "linear", report=report_line,
    )  # fmt: skip
    print((folder / "bench.md").read_text(), end="")
    print(f"figures and numbers: {folder}")
    write_json(a.json, json.loads((folder / "bench.json").read_text()))
    if all(row.problem for row in rows):
        raise SettingError(f"no contender ran: {rows[0].name}: {rows[0].problem}")


def _explain(names: list[str], works: list[benchmark.Work], a: argparse.Namespace) -> None:
    ours = [name for name in names if name.startswith("Izhi")]
    if not ours:
        raise SettingError("no contender is Izhi's, expected at least one to explain; name some by --contenders")
    benchmark.check(works)
    found = []
    for work in works:
        for name in ours:
            print(f"{name}: {work.text}, T = {work.steps}, batch {work.batch}")
            paths = benchmark.explained(name, work)
            print(*(f"  {path}" for path in paths), sep="\n")
            found.append({"name": name, "work": asdict(work), "paths": [path._asdict() for path in paths]})
    write_json(a.json, {"paths": found})


def completion(a: argparse.Namespace) -> None:
    import shtab

    print(shtab.complete(parser(whole=True), a.shell))
