"""Runs contenders side by side, each in a process of its own, and writes table, JSON and figures.

A machine's speed drifts, so rounds are interleaved: every contender runs once in each round. Medians over rounds are
reported, of times and of the ratios within a round.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias, cast

import torch
from matplotlib.figure import Figure

from izhi.errors import RunFolderError, SettingError, unknown
from izhi.experiments import plots
from izhi.experiments.benchmark import figures, ours, peers
from izhi.experiments.benchmark.ours import OURS
from izhi.experiments.benchmark.peers import PEERS
from izhi.experiments.benchmark.work import Work
from izhi.experiments.tables import markdown
from izhi.files import make_folder, reading, write_bytes
from izhi.training.fabric import fast_precision

#: What JSON holds of measurements.
Results: TypeAlias = dict[str, Any]

#: What every ratio is against.
YARDSTICK = "Izhi normalized"
#: Contenders of convolutional networks.
CONVOLUTIONAL = [*ours.WITH_CONVOLUTIONS, *peers.WITH_CONVOLUTIONS]
#: Contenders of the figures of growth.
GROWING = (YARDSTICK, "linear layers, bf16", "linear layers, fp32", peers.GROWING)
GROWTH: dict[str, tuple[int, ...]] = {
    "steps": (10, 25, 50, 100, 250, 500, 1000),
    "hidden": (64, 128, 256, 512, 1024, 2048, 4096),
    "batch": (16, 32, 64, 128, 256, 512, 1024),
    "layers": (1, 2, 3),
}
#: Columns of the table.
_HEADINGS = ("contender", "training step (ms)", "times Izhi's", "inference (ms)", "times Izhi's", "peak memory (MB)")
_LABELS = {"steps": "time steps T", "hidden": "hidden neurons", "batch": "batch size", "layers": "hidden layers"}
_PACKAGES = (
    "izhi", "torch", "numba", "numpy", "snntorch", "spikingjelly", "norse", "spyx", "jax", "sinabs",
    "rockpool",
)  # fmt: skip

Report = Callable[[str], None]


@dataclass
class ContenderMeasurement:
    """One contender at one piece of work: seconds and bytes of every round."""

    name: str
    work: Work
    train: list[float] = field(default_factory=list)
    infer: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    peak_bytes: list[int] = field(default_factory=list)
    problem: str = ""

    def add(self, result: Results) -> None:
        for key in ("train", "infer", "first", "peak_bytes"):
            getattr(self, key).append(result[key])

    def milliseconds(self, mode: str) -> float:
        """Median over rounds of a step's median time."""
        return float(1000 * statistics.median(getattr(self, mode)))

    def ratio(self, other: ContenderMeasurement, mode: str) -> float:
        """The ratio of this contender's time to the other's, median over rounds."""
        pairs = zip(getattr(self, mode), getattr(other, mode), strict=True)
        return float(statistics.median(a / b for a, b in pairs))


def contenders(names: str | None, network: str = "linear") -> list[str]:
    """Names from a list separated by semicolons; None for all of such a network; SettingError for another."""
    floors = [name for name in OURS if name.startswith("layers")]
    convolutional = network == "convolutional"
    known = CONVOLUTIONAL if convolutional else [name for name in [*OURS, *PEERS] if name not in floors]
    if names is None:
        return known
    chosen = [name.strip() for name in names.split(";") if name.strip()]
    for name in chosen:
        if name not in known:
            raise unknown("contender", name, known, separator="; ")
    return list(dict.fromkeys(chosen))


def _run(name: str, work: Work, threads: int, repeats: int) -> Results:
    request = {"name": name, "work": asdict(work), "threads": threads, "repeats": repeats}
    variables = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), str(threads))
    eigen = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "izhi.experiments.benchmark.worker", json.dumps(request)],
        capture_output=True, text=True, env={**os.environ, **variables, "XLA_FLAGS": eigen}, check=False,
    )  # fmt: skip
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return {"problem": lines[-1]}
    result: Results = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def measure(
    jobs: Iterable[tuple[str, Work]], *, rounds: int, threads: int, repeats: int, report: Report
) -> list[ContenderMeasurement]:
    """Every job once per round; a contender that fails is left out of later rounds, with its reason."""
    rows = [ContenderMeasurement(name, work) for name, work in jobs]
    for number in range(1, rounds + 1):
        for index, row in enumerate(rows, start=1):
            if row.problem:
                continue
            result = _run(row.name, row.work, threads, repeats)
            if "problem" in result:
                row.problem = result["problem"]
                report(f"round {number}: {row.name}: left out, {row.problem}")
                continue
            row.add(result)
            report(
                f"round {number}/{rounds}, {index}/{len(rows)}: {row.name}, T={row.work.steps}:"
                f" {1000 * result['train']:.1f} ms"
            )
    return rows


def machine(threads: int) -> Results:
    """The machine of the measurements."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    of_core = dict([x.strip() for x in line.split(":", 1)] for line in reversed(lines) if ":" in line)
    flags = of_core.get("flags", "").split()
    return {
        "processor": of_core.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "features": sorted({*flags} & {"avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8"}),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "fast precision": "bf16" if getattr(torch.cpu, "_is_amx_tile_supported", bool)() else "fp32",
        "versions": versions,
    }


def check(works: Sequence[Work], **counts: int) -> None:
    """Raise SettingError for an empty piece of work, or for none of what is counted."""
    numbers = [(name, value) for work in works for name, value in asdict(work).items() if isinstance(value, int)]
    for name, value in [*counts.items(), *numbers]:
        if value < 1:
            raise SettingError(f"{name} is {value!r}, expected at least 1")


def benchmark(
    names: Sequence[str], folder: Path, works: Sequence[Work], *, rounds: int, threads: int,
    repeats: int, growth: bool, report: Report,
) -> list[ContenderMeasurement]:  # fmt: skip
    """Measure the contenders at each piece of work, and how cost grows, and write the results into ``folder``.

    bench.json has every number, bench.md the table, speed.png, growth.png and ratio.png the figures.

    Raises:
        SettingError: for no rounds, threads or repeats, or an empty piece of work.
        FileError: if the folder cannot be written.
    """
    check(works, rounds=rounds, threads=threads, repeats=repeats)
    make_folder(folder)
    about = machine(threads)
    content: Results = {"machine": about, "rounds": rounds, "repeats": repeats}
    jobs = [(name, work) for work in works for name in names]
    rows = measure(jobs, rounds=rounds, threads=threads, repeats=repeats, report=report)
    content["comparison"] = [asdict(row) for row in rows]
    _write(folder, content)
    write_bytes(folder / "bench.md", table(rows, about, rounds, repeats).encode())
    plots.save(figure(rows), folder / "speed.png")
    chosen = [name for name in GROWING if name in names] if growth else []
    if chosen:
        grid = [(name, value) for name, values in GROWTH.items() for value in values]
        pieces = [replace(Work(), **cast("dict[str, Any]", {name: value})) for name, value in grid]
        ladder = dict.fromkeys((name, work) for work in pieces for name in chosen)
        grown = measure(ladder, rounds=1, threads=threads, repeats=min(repeats, 7), report=report)
        content["growth"] = [asdict(row) for row in grown]
        _write(folder, content)
        plots.save(growth_figure(grown), folder / "growth.png")
        plots.save(ratio_figure(grown, fast_precision("cpu")), folder / "ratio.png")
    return rows


def _write(folder: Path, content: Results) -> None:
    write_bytes(folder / "bench.json", (json.dumps(content, indent=2) + "\n").encode())


def read_results(path: Path) -> tuple[list[ContenderMeasurement], Results]:
    """The comparison of a bench.json, and all that the file holds.

    Raises:
        FileError: if it cannot be read.
        RunFolderError: if it is no result of ``izhi bench``.
    """
    with reading(path):
        text = path.read_text(encoding="utf-8")
    try:
        content: Results = json.loads(text)
        rows = [ContenderMeasurement(**{**row, "work": Work(**row["work"])}) for row in content["comparison"]]
    except (ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{path} is no result of izhi bench: {error}; write one by izhi bench --json") from None
    for missing in {"machine", "rounds", "repeats"} - content.keys():
        raise RunFolderError(f"{path} has no {missing}, expected a result of izhi bench --json")
    return rows, content


def _base(rows: Sequence[ContenderMeasurement], work: Work) -> ContenderMeasurement | None:
    return next((x for x in rows if x.name == YARDSTICK and x.work == work and not x.problem), None)


def table(rows: Sequence[ContenderMeasurement], about: Results, rounds: int, repeats: int) -> str:
    """The comparison in Markdown."""
    lines = [
        f"{about['processor']}, {about['threads']} threads, {', '.join(about['features'])};"
        f" Python {about['python']}; median of {rounds} rounds of {repeats} steps.",
        "",
    ]
    for work in dict.fromkeys(row.work for row in rows):
        base, own = _base(rows, work), [row for row in rows if row.work == work]
        cells: list[Sequence[object]] = []
        for row in sorted((row for row in own if not row.problem), key=lambda row: row.milliseconds("train")):
            train, infer = (
                (f"{row.milliseconds(mode):.1f}", f"{row.ratio(base, mode):.2f}" if base else "")
                for mode in ("train", "infer")
            )
            cells.append((row.name, *train, *infer, f"{statistics.median(row.peak_bytes) / 1e6:.0f}"))
        cells += [(row.name, f"not measured: {row.problem}", "", "", "", "") for row in own if row.problem]
        table = markdown(_HEADINGS, cells, right=range(1, len(_HEADINGS)))
        lines += [f"### {work.text}, T = {work.steps}, batch {work.batch}", "", table, ""]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return "\n".join([*lines, f"Versions: {versions}.", ""])


def figure(rows: Sequence[ContenderMeasurement]) -> Figure:
    """Training steps of all contenders as bars, a panel per number of steps."""
    panels: dict[str, list[tuple[str, float, float | None]]] = {}
    for work in dict.fromkeys(row.work for row in rows):
        base = _base(rows, work)
        panels[f"T = {work.steps}"] = [
            (row.name, row.milliseconds("train"), row.ratio(base, "train") if base else None)
            for row in rows
            if row.work == work and not row.problem
        ]
    label = f"training step (ms); × times that of {YARDSTICK}"
    return figures.bars(panels, label, lambda name: name in OURS)


def _ladder(
    rows: Sequence[ContenderMeasurement], dimension: str
) -> dict[str, list[tuple[float, ContenderMeasurement]]]:
    """The measurements of each contender in which only this dimension differs from the default, and its value."""
    points: dict[str, list[tuple[float, ContenderMeasurement]]] = {}
    for row in rows:
        value = getattr(row.work, dimension)
        if not row.problem and value in GROWTH[dimension] and row.work == replace(Work(), **{dimension: value}):
            points.setdefault(row.name, []).append((float(value), row))
    return points


def growth_figure(rows: Sequence[ContenderMeasurement]) -> Figure:
    """Time of a training step over T, width, batch and hidden layers, each on logarithmic axes."""
    panels = {
        label: {
            name: [(value, row.milliseconds("train")) for value, row in points]
            for name, points in _ladder(rows, dimension).items()
        }
        for dimension, label in _LABELS.items()
    }
    return figures.curves(panels, "training step (ms)")


def ratio_figure(rows: Sequence[ContenderMeasurement], precision: str) -> Figure:
    """A training step over that of bare linear layers in the same format, over T, width, batch and hidden layers."""
    bare = "linear layers, bf16" if precision == "bf16-mixed" else "linear layers, fp32"
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for dimension, label in _LABELS.items():
        ladder = _ladder(rows, dimension)
        floor = dict(ladder.get(bare, []))
        points = [(x, row.ratio(floor[x], "train")) for x, row in ladder.get(YARDSTICK, []) if x in floor]
        panels[label] = {YARDSTICK: points} if points else {}
    return figures.curves(panels, f"training step / {bare}", is_ratio=True)
