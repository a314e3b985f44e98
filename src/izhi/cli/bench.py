"""The command that times training steps."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from izhi.cli.common import make_folder, report_line, whole_numbers, write_json
from izhi.errors import SettingError
from izhi.experiments import benchmark


def bench(a: argparse.Namespace) -> None:
    names = benchmark.contenders(a.contenders, a.network)
    steps = whole_numbers("steps", a.steps, "25,100")
    works = [benchmark.Work(steps=x, batch=a.batch, hidden=a.hidden, network=a.network) for x in steps]
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
    contenders = []
    for work in works:
        for name in ours:
            print(f"{name}: {work.text}, T = {work.steps}, batch {work.batch}")
            routes = benchmark.explained(name, work)
            print(*(f"  {route}" for route in routes), sep="\n")
            rows = [dict(zip(("what", "way", "why"), route, strict=True)) for route in routes]
            contenders.append({"name": name, "work": asdict(work), "paths": rows})
    write_json(a.json, {"paths": contenders})
