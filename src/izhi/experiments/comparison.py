"""Comparisons: any set of variants of one experiment, several seeds each, one table and one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean, stdev

from lightning_fabric import Fabric

from izhi import files
from izhi.data import Dataset
from izhi.data.catalogue import FOLDS
from izhi.errors import SettingError, unknown
from izhi.experiments import build, energy, jobs, plots, trained
from izhi.experiments.results.comparison import DIFFERENCE_HEADINGS, ENERGY_HEADINGS, Comparison, Differing
from izhi.experiments.run import Result, RunListener, train
from izhi.experiments.run_folder import RunFolder, load, versions
from izhi.experiments.settings import Experiment, Mark, experiment, marked, typed
from izhi.experiments.statistics import Difference, paired
from izhi.experiments.tables import markdown, percent


@dataclass(frozen=True)
class Variant:
    """One row of a comparison: a label and the settings in which it differs from the others.

    Attributes:
        label: tells it from the others.
        settings: in which it differs.
        named: whether somebody chose the label, which then stands for the settings in the table.
    """

    label: str
    settings: Mapping[str, object]
    named: bool = False


def parse_variants(neurons: str, connections: str) -> list[Variant]:
    """The variants that the command line names.

    Args:
        neurons: comma-separated ``neuron[:setting=value]…``, for example
            ``lif,normalized:jacobian_limit=inf``; lists within a value are joined by ``+``.
        connections: comma-separated kinds; each neuron that names no connection gets all of them.
    """
    variants: dict[str, Variant] = {}
    kinds = _kinds(connections)
    items = [item.strip() for item in neurons.split(",") if item.strip()]
    if not items:
        raise SettingError("neurons names nothing, expected neurons such as lif,normalized")
    for item, kind in product(items, kinds):
        name, *changes = item.split(":")
        settings: dict[str, str] = {"neuron": name, "connection": kind}
        for change in changes:
            key, equals, value = change.partition("=")
            if not equals or not value:
                raise SettingError(f"{change!r} in {item!r} is no setting, expected setting=value")
            settings[key.strip().replace("-", "_")] = value.strip().replace("+", ",")
        notes = [f"{k}={v}" for k, v in settings.items() if k not in ("neuron", "connection")]
        label = " ".join([name, *([settings["connection"]] if settings["connection"] != "linear" else [])])
        label += f" ({', '.join(notes)})" if notes else ""
        variants.setdefault(label, Variant(label, settings))
    return list(variants.values())


def named_variants(tables: object, connections: str | None = None) -> list[Variant]:
    """The variants of a TOML file: a table ``[variants."label"]`` of settings for each.

    Args:
        tables: the file's ``variants``.
        connections: comma-separated kinds, each of which every variant gets; None: what the file says.
    """
    if not isinstance(tables, Mapping) or not tables:
        raise SettingError('variants is no table, expected one or more [variants."label"]')
    for label, settings in tables.items():
        if not isinstance(settings, Mapping):
            raise SettingError(f"variants holds {label!r}, expected a table [variants.{label!r}]")
    named = [Variant(label, dict(settings), named=True) for label, settings in tables.items()]
    if connections is None:
        return named
    return [
        Variant(
            variant.label if kind == "linear" else f"{variant.label}, {kind}",
            {**variant.settings, "connection": kind},
            named=True,
        )
        for kind in _kinds(connections)
        for variant in named
    ]


def _kinds(connections: str) -> list[str]:
    kinds = [kind.strip() for kind in connections.split(",") if kind.strip()]
    if not kinds:
        raise SettingError("connections names nothing, expected kinds such as linear,recurrent")
    return list(dict.fromkeys(kinds))


@dataclass
class Row:
    """A variant's results over its seeds."""

    variant: Variant
    experiment: Experiment
    results: list[Result]

    @property
    def accuracies(self) -> list[float]:
        """Test accuracy of each seed after the last epoch."""
        return [result.test_accuracy for result in self.results]

    @property
    def mean(self) -> float:
        return mean(self.accuracies)

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None for one seed."""
        return stdev(self.accuracies) if len(self.results) > 1 else None

    @property
    def spikes(self) -> float:
        """Spikes that a test sample causes in all layers, mean over seeds."""
        return mean(result.spikes for result in self.results)

    @property
    def parameters(self) -> int:
        """Numbers that are learned."""
        return self.results[0].parameters

    def groups(self) -> dict[str, list[float]]:
        """Test accuracy of each seed for every group of test samples that is reported apart."""
        start = "test_accuracy_"
        names = [k.removeprefix(start) for k in self.results[0].history[-1] if k.startswith(start)]
        return {name: [r.history[-1][start + name] for r in self.results] for name in names}

    @property
    def seconds(self) -> float:
        """Training time of an epoch: the median over all epochs."""
        times = sorted(row["train_seconds"] for r in self.results for row in r.history)
        return times[len(times) // 2]


def plan(
    variants: Sequence[Variant], seeds: Sequence[int], settings: Mapping[str, object],
    *, folds: bool = False,
) -> list[tuple[Variant, list[Experiment]]]:  # fmt: skip
    """Every experiment of a comparison, all checked before the first one starts.

    Args:
        variants: its rows.
        seeds: of each.
        settings: that they share.
        folds: whether each seed is run five times, each time with another fifth as test samples.
    """
    typed(settings)  # also what every variant replaces
    planned = []
    runs: list[dict[str, object]] = [{"seed": s} for s in seeds]
    if folds:
        runs = [{"seed": s, "fold": f} for s in seeds for f in range(FOLDS)]
    for variant in variants:
        for key in marked(Mark.SAME_IN_VARIANTS):
            if key in variant.settings:
                raise SettingError(f"{key} cannot differ between variants; give --{key}")
        planned.append((variant, [experiment({**settings, **variant.settings, **run}) for run in runs]))
    return planned


def _folder_name(label: str) -> str:
    return "".join(c if c.isalnum() or c in "._=-" else "-" for c in label).strip("-")


class Datasets:
    """The data sets of a comparison's experiments, of which the last one stays at hand."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._last: Dataset | None = None

    def of(self, e: Experiment) -> Dataset:
        """The data set of an experiment."""
        key = e.data.dataset, e.data.fold, e.data.best_inputs
        if self._last is None or key != self._key:
            self._key, self._last = key, build.dataset(e.data)
        return self._last


def check(planned: Sequence[tuple[Variant, list[Experiment]]], datasets: Datasets) -> str:
    """Raise for what a run of the comparison would stumble over, before anything is written.

    Returns:
        How many samples there are, for people.
    """
    counts = ""
    for _, (first, *_) in planned:  # seeds and folds change no structure
        counts = build.check(first, datasets.of(first))
    return counts


@dataclass(frozen=True)
class _Run:
    """One run of a comparison: its experiment, folder and label, and how the folder is opened."""

    experiment: Experiment
    folder: Path
    label: str
    resume: bool
    command: str


def _folder(folder: Path, variant: Variant, e: Experiment) -> Path:
    fold = "" if e.data.fold is None else f"-fold-{e.data.fold}"
    return folder / _folder_name(variant.label) / f"seed-{e.training.seed}{fold}"


def _label(variant: Variant, e: Experiment) -> str:
    fold = "" if e.data.fold is None else f", fold {e.data.fold}"
    return f"{variant.label}, seed {e.training.seed}{fold}"


def _run(run: _Run, fabric: Fabric, datasets: Datasets, listener: RunListener) -> Result:
    folder, e = RunFolder(run.folder), run.experiment
    if fabric.is_global_zero:
        folder.open(e, resume=run.resume, command=run.command)
    fabric.barrier()
    return train(fabric, e, datasets.of(e), folder, listener, label=run.label)


#: Of a process that does run after run.
_own_datasets = Datasets()


def _run_elsewhere(run: _Run, listener: RunListener) -> Result:
    """A run in a process of its own; what was killed may still be there, and then holds the folder."""
    with files.holding(run.folder):
        return _run(run, build.fabric(run.experiment), _own_datasets, listener)


def compare(
    planned: Sequence[tuple[Variant, list[Experiment]]],
    folder: Path,
    listener: RunListener,
    *,
    resume: bool = False,
    command: str = "",
    datasets: Datasets | None = None,
    reference: str | None = None,
    at_once: jobs.Together | None = None,
) -> list[Row]:
    """Run every experiment in a folder of its own under ``folder``; finished ones are read back.

    Args:
        planned: see ``plan``.
        folder: of the comparison.
        listener: told of every run.
        resume: whether runs that are there are gone on with.
        command: that began it.
        datasets: of the experiments.
        reference: label of the variant that the report sets the others against; None for the first.
        at_once: where several runs are done at once; None for one after another, in this process.

    Raises:
        FileError: if the folder cannot be written.
        RunFolderError: if it holds runs and ``resume`` is False, or runs of other settings.
    """
    datasets = datasets or Datasets()
    planned_runs = [
        [_Run(e, _folder(folder, variant, e), _label(variant, e), resume, command) for e in experiments]
        for variant, experiments in planned
    ]
    if at_once is not None:
        todo = [
            jobs.Job(str(run.folder), partial(_run_elsewhere, run)) for runs in planned_runs for run in runs
        ]  # fmt: skip
        found = iter(at_once.run(todo))
        is_first = True
    else:
        fabric = build.fabric(planned[0][1][0])
        found = (_run(run, fabric, datasets, listener) for runs in planned_runs for run in runs)
        is_first = fabric.is_global_zero
    rows = [Row(variant, experiments[0], [next(found) for _ in experiments]) for variant, experiments in planned]
    if is_first:
        counted = [
            energy.count(trained.of(load(runs[0].folder), datasets.of(runs[0].experiment)), ENERGY_SAMPLES)
            for runs in planned_runs
        ]
        write(rows, folder, command, reference, counted)
    return rows


def write(
    rows: Sequence[Row], folder: Path, command: str, reference: str | None = None,
    counted: Sequence[energy.Counts] = (),
) -> None:  # fmt: skip
    """comparison.json, accuracy.png, outcomes.png and report.md of a comparison.

    Args:
        rows: of it.
        folder: of it.
        command: that began it.
        reference: see ``compare``.
        counted: what a network of each row computes for a sample; empty to leave it out.
    """
    out = RunFolder(folder)
    values = {"command": command, **summary(rows, reference)}
    if counted:
        values["energy"] = {
            row.variant.label: counts.summary() for row, counts in zip(rows, counted, strict=True)
        }  # fmt: skip
    found = Comparison.keep(folder, values)
    plots.save(found.accuracy(found.title), folder / "accuracy.png")
    plots.save(found.outcomes(found.title), folder / "outcomes.png")
    lines = [f"# Comparison on {rows[0].experiment.data.dataset}", "", *([f"    {command}", ""] if command else [])]
    lines += [table(rows), "", "![test accuracy over epochs](accuracy.png)", "",
              "![test accuracy after the last epoch](outcomes.png)", ""]  # fmt: skip
    lines += _about_differences(rows, reference)
    lines += _about_energy(rows, counted)
    remarks = [f"- {row.variant.label}: {w}" for row in rows for w in row.results[-1].warnings]
    lines += [*remarks, ""] if remarks else []
    lines += ["Versions: " + ", ".join(f"{k} {v}" for k, v in versions().items()), ""]
    out.write("report.md", "\n".join(lines))


def check_reference(variants: Sequence[Variant], reference: str | None) -> None:
    """Raise SettingError for a reference that is none of the variants."""
    labels = [variant.label for variant in variants]
    if reference is not None and reference not in labels:
        raise unknown("reference", reference, labels, separator="; ")


def differences(rows: Sequence[Row], reference: str | None = None) -> list[Difference]:
    """What each other variant has more test accuracy than the reference, paired by seeds; none for single runs.

    Args:
        rows: of the comparison.
        reference: its label; None for the first variant.
    """
    chosen = next(row for row in rows if reference in (None, row.variant.label))
    # In five folds, each test fold has a quarter of the samples that its network learns from.
    overlap = 0.0 if chosen.experiment.data.fold is None else 1 / (FOLDS - 1)
    if len(chosen.results) < 2:
        return []
    return [
        paired(row.variant.label, row.accuracies, chosen.accuracies, overlap) for row in rows if row is not chosen
    ]  # fmt: skip


#: A difference of which the table says how many seeds would show it.
_HALF_A_POINT = 0.005


def difference_cells(found: Difference) -> tuple[str, ...]:
    """A row of the table of differences."""
    return Differing.model_validate(_kept(found)).cells()


def _kept(found: Difference) -> dict[str, object]:
    """A difference as comparison.json has it."""
    return {
        **asdict(found),
        "within_noise": found.is_noise,
        "verdict": found.verdict,
        "seeds_for_it": found.seeds_for(found.mean),
        "seeds_for_half_a_point": found.seeds_for(_HALF_A_POINT),
    }


def _about_differences(rows: Sequence[Row], reference: str | None) -> list[str]:
    """The part of report.md about differences; empty for one variant."""
    if len(rows) < 2:
        return []
    name = rows[0].variant.label if reference is None else reference
    found = differences(rows, reference)
    if not found:
        return ["Each variant was run once, which says nothing about noise; give several --seeds.", ""]
    pairs = found[0].pairs
    of_what = "seeds" if not found[0].overlap else "seeds and folds (Nadeau and Bengio's correction for shared samples)"
    return [
        f"## Against {name}", "", markdown(DIFFERENCE_HEADINGS, map(difference_cells, found)), "",
        f"Test accuracy, paired over {pairs} {of_what}: t intervals and p of a paired t test, of each variant alone. A"
        " difference is within noise if its interval includes 0. The last columns: with how many"
        f" {'runs' if found[0].overlap else 'seeds'} such a test at 5 % shows a difference of the size that was found,"
        " and of 0.5 points, with a power of 80 %, if differences spread as these do; from few seeds a rough number."
        " All runs have the same test samples, whose choice is no part of these intervals.",
        "",
    ]  # fmt: skip


#: Test samples for which the operations of each variant are counted.
ENERGY_SAMPLES = 256


def _about_energy(rows: Sequence[Row], counted: Sequence[energy.Counts]) -> list[str]:
    """The part of report.md about operations and energy."""
    if not counted:
        return []
    names = ("acs", "macs", "dense", "spikes", "updates", "reads")
    operations = [
        (row.variant.label, *(f"{counts.total(name):,.0f}" for name in names), f"{counts.activation_sparsity:.3f}")
        for row, counts in zip(rows, counted, strict=True)
    ]
    estimates = [
        (row.variant.label, *cells)
        for row, counts in zip(rows, counted, strict=True)
        for cells in energy.energy_cells(counts)
    ]
    return [
        "## Operations and energy of a sample", "",
        markdown(("variant", *energy.LAYER_HEADINGS[1:], "activation sparsity"), operations), "",
        f"Of the first run of each variant, on average over the first {counted[0].samples} test samples.", "",
        markdown(("variant", *ENERGY_HEADINGS), estimates), "", energy.CAVEAT, "",
    ]  # fmt: skip


def headings(rows: Sequence[Row]) -> tuple[str, ...]:
    """The columns of the table: among them one for each group of test samples."""
    groups = [f"{name.replace('_', ' ')} (%)" for name in rows[0].groups()]
    return (
        "neuron", "connection", "readout", "test accuracy (%)", "least … most", *groups, "parameters",
        "spikes/sample", "s/epoch",
    )  # fmt: skip


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table, as text."""
    e = row.experiment
    notes = [f"{k}={v}" for k, v in row.variant.settings.items() if k not in ("neuron", "connection", "readout")]
    name = e.neurons.neuron + (f" ({', '.join(notes)})" if notes else "")
    if row.variant.named:
        name = row.variant.label
    low, high = 100 * min(row.accuracies), 100 * max(row.accuracies)
    groups = [percent(x) for x in row.groups().values()]
    return (
        name, e.network.connection, e.network.readout or "", percent(row.accuracies), f"{low:.2f} … {high:.2f}",
        *groups, f"{row.parameters:,}", f"{row.spikes:,.0f}", f"{row.seconds:.1f}",
    )  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """The table of a comparison in Markdown."""
    return markdown(headings(rows), map(cells, rows))


def summary(rows: Sequence[Row], reference: str | None = None) -> dict[str, object]:
    """A comparison as plain values, for --json."""
    return {
        "versions": versions(),
        "reference": rows[0].variant.label if reference is None else reference,
        "differences": [_kept(found) for found in differences(rows, reference)],
        "rows": [
            {
                "label": row.variant.label,
                "config": row.experiment.flat(plain=True),
                "seeds": [r.experiment.training.seed for r in row.results],
                "folds": [r.experiment.data.fold for r in row.results],
                "test_accuracy": row.accuracies,
                "mean": row.mean,
                "spread": row.spread,
                "groups": row.groups(),
                "parameters": row.parameters,
                "spikes_per_sample": row.spikes,
                "seconds_per_epoch": row.seconds,
                "history": [r.history for r in row.results],
                "warnings": sorted({w for r in row.results for w in r.warnings}),
            }
            for row in rows
        ],
    }
