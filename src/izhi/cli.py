"""The command line: one sub-command per stage. Exit status 0 done, 2 bad usage or input, 1 a bug."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from izhi import benchmark, comparison, data, firing, plots, report, simulation, training, tuning
from izhi.build import network as build_network
from izhi.config import Experiment, experiment, read
from izhi.errors import DataError, IzhiError, SettingError, unknown
from izhi.neurons import LIF, ORDERS, PATTERNS, PRESETS, preset
from izhi.progress import TerminalListener
from izhi.training import Classifier, RunFolder, checkpoint
from izhi.training.run_folder import already_holds_a_run, versions
from izhi.version import __version__

DESCRIPTION = "Spiking networks of Izhikevich neurons: train, compare with LIF, take to hardware."


class Parser(argparse.ArgumentParser):
    """argparse with errors of one line."""

    def error(self, message: str) -> NoReturn:
        raise SettingError(f"{message}; see {self.prog} --help")


def add_settings(parser: Parser, *, without: Sequence[str] = ()) -> None:
    """An option for every setting of an experiment."""
    group = parser.add_argument_group("settings (each also a key of the TOML file)")
    for name, field in Experiment.model_fields.items():
        if name in without:
            continue
        default = "" if field.default is None else f" [{_shown(field.default)}]"
        group.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            metavar="VALUE",
            help=(field.description or "").replace("%", "%%") + default,
        )


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return str(default).lower() if isinstance(default, bool) else str(default)


def settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Settings from the TOML file, if one is named, overridden by those of the command line."""
    file = getattr(arguments, "config", None)
    values = read(Path(file)) if file else {}
    given = {n: getattr(arguments, n, None) for n in Experiment.model_fields}
    return {**values, **{name: value for name, value in given.items() if value is not None}}


def make_folder(arguments: argparse.Namespace, name: str) -> Path:
    """--out, or a folder named by time below runs/; $IZHI_RUN carries it to further processes."""
    if arguments.out:
        return Path(arguments.out)
    stamp = os.environ.setdefault("IZHI_RUN", f"{datetime.now():%Y%m%d-%H%M%S}")
    return Path("runs") / f"{stamp}-{name}"


def write_json(path: str | None, value: Any) -> None:
    if path:
        checkpoint.write_bytes(Path(path), (json.dumps(value, indent=2) + "\n").encode())


def whole_numbers(name: str, text: str, example: str) -> list[int]:
    """The different numbers of a comma-separated list."""
    try:
        return list(dict.fromkeys(int(part) for part in str(text).split(",")))
    except ValueError:
        raise SettingError(
            f"{name} is {text!r}, expected whole numbers such as {example}"
        ) from None


def is_first_process() -> bool:
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def variants_of(a: argparse.Namespace, values: dict[str, Any]) -> list[comparison.Variant]:
    """The variants of the file, taken out of its values; those of --neurons if it has none or both."""
    tables = values.pop("variants", None)
    if tables is None or a.neurons is not None:
        return comparison.parse_variants(a.neurons or "lif,normalized,biological", a.connections)
    return comparison.named_variants(tables)


def compare(a: argparse.Namespace) -> None:
    values = settings(a)
    seeds = whole_numbers("seeds", a.seeds, "0,1,2")
    variants = variants_of(a, values)
    planned = comparison.plan(variants, seeds, values)
    folder = make_folder(a, f"compare-{planned[0][1][0].dataset}")
    with TerminalListener(
        len(planned) * len(seeds), quiet=a.quiet or not is_first_process()
    ) as listener:
        rows = comparison.compare(
            planned, folder, listener, resume=a.resume, command=command_line()
        )
    if not is_first_process():
        return
    table = Table(title=f"{planned[0][1][0].dataset}: test accuracy after the last epoch")
    for number, heading in enumerate(comparison.headings(rows)):
        table.add_column(heading, justify="left" if number < 3 else "right")
    for row in rows:
        table.add_row(*comparison.cells(row))
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    print(f"figures: {folder / 'accuracy.png'}, outcomes.png\nreport: {folder / 'report.md'}")
    write_json(a.json, comparison.summary(rows))


def tune(a: argparse.Namespace) -> None:
    values = settings(a)
    variants = variants_of(a, values)
    ranges = tuning.parse_search(a.search)
    planned = tuning.check(variants, ranges, values, a.trials)
    folder = make_folder(a, f"tune-{planned[0].dataset}")
    storage = a.storage or str(folder / "studies.log")
    if not a.storage and Path(storage).exists() and not a.resume:
        raise already_holds_a_run(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with TerminalListener(len(variants) * a.trials, quiet=a.quiet) as listener:
        best = tuning.tune(
            variants, ranges, values, trials=a.trials, storage=storage, listener=listener
        )
    table = Table(title=f"{planned[0].dataset}: best of {a.trials} trials, validation accuracy")
    for heading in ("variant", "validation (%)", "settings found"):
        table.add_column(heading)
    for row in best:
        found = ", ".join(
            f"{k} = {v:.4g}" if isinstance(v, float) else f"{k} = {v}" for k, v in row.found.items()
        )
        table.add_row(row.variant.label, f"{100 * row.accuracy:.2f}", found)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    tuned = folder / "tuned.toml"
    checkpoint.write_bytes(tuned, tuning.to_toml(values, best, command_line()).encode())
    print(f"studies: {storage}\ncompare them on the test samples: izhi compare --config {tuned}")
    write_json(a.json, [
        {"label": row.variant.label, "validation_accuracy": row.accuracy, "found": dict(row.found),
         "trials": row.trials}
        for row in best
    ])  # fmt: skip


def train(a: argparse.Namespace) -> None:
    e = experiment(settings(a))
    dataset = data.load(e.dataset, report_line)
    folder = RunFolder(make_folder(a, f"train-{e.dataset}-{e.neuron.replace(' ', '-')}"))
    fabric = training.start_fabric(e)
    if fabric.is_global_zero:
        folder.open(e, resume=a.resume, command=command_line())
    fabric.barrier()
    with TerminalListener(quiet=a.quiet or not fabric.is_global_zero) as listener:
        result = training.train(fabric, e, dataset, folder, listener)
    if not fabric.is_global_zero:
        return
    report.write(result, folder, command_line())
    print(f"test accuracy after epoch {len(result.history)}: {100 * result.test_accuracy:.2f} %")
    print(f"run: {folder.path}")
    write_json(
        a.json,
        {
            "config": e.model_dump(mode="json"), "versions": versions(), "history": result.history,
            "test_accuracy": result.test_accuracy, "warnings": result.warnings,
            "folder": str(folder.path),
        },
    )  # fmt: skip


def evaluate(a: argparse.Namespace) -> None:
    path = Path(a.folder)
    path = path / checkpoint.NAME if path.is_dir() else path
    content = checkpoint.load(path)
    changes = {n: v for n, v in settings(a).items() if n in ("accelerator", "precision", "kernel")}
    e = experiment({**content["config"], **changes, "devices": 1, "nodes": 1})
    dataset = data.load(e.dataset, report_line)
    network = build_network(e, training.inputs(e, dataset), len(dataset.classes))
    checkpoint.load_weights(path, network, content["model"])
    fabric = training.start_fabric(e)
    model = fabric.setup(Classifier(e, network, dataset.shape))
    found = training.evaluate(fabric, e, model, dataset.test, groups=dataset.groups)
    activity = found.activity
    print(
        f"{e.dataset} test accuracy: {100 * found.accuracy:.2f} % of {len(dataset.test):,},"
        f" loss {found.loss:.4f}"
    )
    for group, accuracy in found.groups.items():
        print(f"{group.replace('_', ' ')}: {100 * accuracy:.2f} %")
    for number, layer in enumerate(activity.layers, start=1):
        print(
            f"layer {number}: {layer.rate:.4f} spikes per neuron and step, {layer.silent:.1%} silent"
        )
    for warning in activity.warnings():
        print(f"warning: {warning}", file=sys.stderr)
    rates = [layer.rate for layer in activity.layers]
    write_json(a.json, {"test_accuracy": found.accuracy, "test_loss": found.loss, "rates": rates,
                        **{f"test_accuracy_{k}": v for k, v in found.groups.items()},
                        "config": e.model_dump(mode="json"), "versions": versions()})  # fmt: skip


def dynamics(a: argparse.Namespace) -> None:
    folder = RunFolder(Path(a.folder))
    before, after = report.dynamics(folder)
    print("\n".join(firing.table(before, after)))
    print(f"figure: {folder.path / 'dynamics.png'}")
    layers = [
        {
            "before": {name: x.tolist() for name, x in old.coefficients.items()},
            "after": {name: x.tolist() for name, x in new.coefficients.items()},
            "classes_before": old.classes,
            "classes_after": new.classes,
        }
        for old, new in zip(before, after, strict=True)
    ]
    write_json(a.json, layers)


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


def _simulated(a: argparse.Namespace) -> tuple[plots.Trace, str]:
    if a.neuron not in ("lif", *PRESETS):
        raise unknown("neuron", a.neuron, ("lif", *PRESETS))
    if a.neuron in PATTERNS and a.current is None:
        for name in ("dt", "order", "duration"):
            if getattr(a, name) is not None:
                raise SettingError(
                    f"{name} is set, but {a.neuron!r} runs its own stimulus; add --current"
                )
        return simulation.run_pattern(a.neuron), a.neuron
    if a.neuron == "lif":
        amplitude = 0.1 if a.current is None else a.current
        current = simulation.pulse(
            amplitude, start=a.start, stop=a.stop, duration=a.duration or 200, dt=1.0
        )
        return simulation.run_lif(LIF(), current), f"LIF, I = {amplitude:g}"
    p = preset(a.neuron)
    if a.dt is not None:
        p = p.replace(dt=a.dt)
    if a.order is not None:
        p = p.replace(order=a.order)
    amplitude = (10.0 if p.unit == "mV" else 0.1) if a.current is None else a.current
    current = simulation.pulse(
        amplitude, start=a.start, stop=a.stop, duration=a.duration or 200, dt=p.dt
    )
    unit = " mV/ms" if p.unit == "mV" else ""
    return simulation.run(p, current), f"{a.neuron}, I = {amplitude:g}{unit}, order {p.order}"


def data_command(a: argparse.Namespace) -> None:
    names = a.names or [*data.DATASETS, *data.found()]
    for name in names:
        data.require_known(name)
    rows = []
    for name in names:
        if a.action == "fetch":
            if not a.names:
                raise SettingError(
                    "fetch names no data set, expected one or more of: " + ", ".join(data.FILES)
                )
            data.fetch(name, report_line)
        # A list of many recordings must not take the time to read them all.
        quick = a.action == "list" and data.has_events(name) and data.is_there(name)
        files = [] if quick else data.check(name)
        problems = [f"{path}: {problem}" for path, problem in files if problem]
        if not files:
            state = "there" if quick else "embedded"
        elif all(problem == "not there" for _, problem in files):
            state = "not there"
        else:
            state = "damaged" if problems else "verified"
        about = data.DATASETS.get(name, "recordings in the format of the Spiking Heidelberg Digits")
        rows.append({"name": name, "state": state, "about": about, "problems": problems})
        print(f"{name:14} {state:10} {about}")
    print(f"data root: {data.data_root()}")
    write_json(a.json, rows)
    broken = [p for row in rows for p in row["problems"]]
    if broken and a.action == "verify" and (a.names or any(r["state"] == "damaged" for r in rows)):
        raise DataError(broken[0] + (f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""))


def bench(a: argparse.Namespace) -> None:
    names = benchmark.contenders(a.contenders)
    folder = make_folder(a, "bench")
    works = [
        benchmark.Work(steps=steps, batch=a.batch, hidden=a.hidden)
        for steps in whole_numbers("steps", a.steps, "25,100")
    ]
    rows = benchmark.benchmark(
        names, folder, works, rounds=a.rounds, threads=a.threads, repeats=a.repeats,
        growth=not a.no_growth, report=report_line,
    )  # fmt: skip
    print((folder / "bench.md").read_text(), end="")
    print(f"figures and numbers: {folder}")
    write_json(a.json, json.loads((folder / "bench.json").read_text()))
    if all(row.problem for row in rows):
        raise SettingError(f"no contender ran: {rows[0].name}: {rows[0].problem}")


def report_line(line: str) -> None:
    print(line, file=sys.stderr)


def command_line() -> str:
    """The command as it was typed."""
    return shlex.join(["izhi", *sys.argv[1:]])


def parser() -> Parser:
    """The whole command line."""
    top = Parser(prog="izhi", description=DESCRIPTION)
    top.add_argument("--version", action="version", version=f"izhi {__version__}")
    commands = top.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=Parser
    )

    def command(name: str, run: Callable[[argparse.Namespace], None], about: str) -> Parser:
        sub: Parser = commands.add_parser(name, help=about, description=about, allow_abbrev=False)
        sub.set_defaults(run=run)
        sub.add_argument("--json", metavar="FILE", help="write the result for scripts")
        return sub

    def run_options(sub: Parser) -> None:
        sub.add_argument("--config", metavar="FILE", help="TOML file of settings")
        sub.add_argument("--out", metavar="FOLDER", help="run folder [runs/TIME-NAME]")
        sub.add_argument("--resume", action="store_true", help="go on with the runs in --out")
        sub.add_argument("--quiet", action="store_true", help="no progress")

    sub = command("compare", compare, "train several neurons or connections and compare them")
    sub.add_argument("--neurons", metavar="LIST",
                     help="neuron[:setting=value]…, comma-separated [the file's variants, or all three]")  # fmt: skip
    sub.add_argument("--connections", default="linear", metavar="LIST",
                     help="kinds of connection, comma-separated [%(default)s]")  # fmt: skip
    sub.add_argument("--seeds", default="0", metavar="LIST", help="comma-separated [%(default)s]")
    run_options(sub)
    add_settings(sub, without=("neuron", "connection", "seed"))
    sub = command("tune", tune, "search settings on validation samples, by Optuna")
    sub.add_argument("--neurons", metavar="LIST",
                     help="variants as in compare, each with the same budget")  # fmt: skip
    sub.add_argument("--connections", default="linear", metavar="LIST",
                     help="kinds of connection, comma-separated [%(default)s]")  # fmt: skip
    sub.add_argument("--search", default=tuning.USUAL, metavar="LIST",
                     help="[neuron.]setting=low..high or =a|b, comma-separated [%(default)s]")  # fmt: skip
    sub.add_argument("--trials", type=int, default=20, help="of each variant [%(default)s]")
    sub.add_argument("--storage", metavar="PLACE",
                     help="a file that processes share, or a data base's address [studies.log in --out]")  # fmt: skip
    run_options(sub)
    add_settings(sub, without=("neuron", "connection"))
    sub = command("train", train, "train one network")
    run_options(sub)
    add_settings(sub)
    sub = command("evaluate", evaluate, "test accuracy of a trained network")
    sub.add_argument("folder", metavar="RUN", help="run folder or checkpoint")
    for name in ("accelerator", "precision", "kernel"):
        sub.add_argument(
            f"--{name}", metavar="VALUE", help=Experiment.model_fields[name].description
        )
    sub = command(
        "dynamics", dynamics, "neurons of a trained network: coefficients, firing classes"
    )
    sub.add_argument("folder", metavar="RUN", help="run folder; dynamics.png is written into it")
    sub = command("simulate", simulate, "draw v, u and spikes of one neuron under a current")
    sub.add_argument(
        "neuron", nargs="?", default="biological", help="lif, a preset or a firing pattern"
    )
    sub.add_argument("--all", action="store_true", help="the twenty firing patterns on one sheet")
    for name, about in (("current", "amplitude, mV/ms for biological presets"), ("start", "begin, ms [10]"),
                        ("stop", "end, ms [the end]"), ("duration", "ms [200]"), ("dt", "step, ms")):  # fmt: skip
        sub.add_argument(
            f"--{name}", type=float, default=10.0 if name == "start" else None, help=about
        )
    sub.add_argument("--order", help="event order: " + ", ".join(ORDERS))
    sub.add_argument("--out", metavar="FILE", help="figure (.png, .svg or .pdf)")
    sub = command("bench", bench, "time a training step against other libraries")
    sub.add_argument("--contenders", metavar="LIST",
                     help="names as in the table, separated by semicolons [all]")  # fmt: skip
    for name, default, about in (
        ("rounds", 3, "how often each contender runs"),
        ("repeats", 8, "steps measured in each round"),
        ("threads", os.cpu_count() or 1, "threads of every library"),
        ("batch", 256, "samples per step"),
        ("hidden", 512, "hidden neurons"),
    ):
        sub.add_argument(f"--{name}", type=int, default=default, help=f"{about} [{default}]")
    sub.add_argument("--steps", default="25,100", metavar="LIST",
                     help="time steps, comma-separated [%(default)s]")  # fmt: skip
    sub.add_argument("--no-growth", action="store_true", help="leave out the figure of growth")
    sub.add_argument("--out", metavar="FOLDER", help="folder of results [runs/TIME-bench]")
    sub = command("data", data_command, "list, fetch and verify data sets")
    sub.add_argument("action", choices=("list", "fetch", "verify"))
    sub.add_argument("names", nargs="*", metavar="NAME", help="data sets [all]")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning_fabric")
    try:
        parsed = parser().parse_args(arguments)
        parsed.run(parsed)
    except IzhiError as error:
        print(f"izhi: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except OSError as error:  # a full or read-only disk, wherever it is met first
        name = f" {error.filename}" if error.filename else ""
        print(f"izhi: cannot write{name}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("izhi: interrupted; go on with --resume", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
