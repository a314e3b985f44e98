"""What a comparison reports: comparison.json, figures, report.md and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from izhi.data.catalogue import FOLDS
from izhi.experiments import energy, plots, trained
from izhi.experiments.comparison import VariantResult, folder_of
from izhi.experiments.planned import Resources
from izhi.experiments.results.comparison import DIFFERENCE_HEADINGS, ENERGY_HEADINGS, ComparisonResult, DifferenceRow
from izhi.experiments.run_folder import RunFolder, load, versions
from izhi.experiments.statistics import Difference, paired
from izhi.experiments.tables import markdown, percent


def write(
    rows: Sequence[VariantResult], folder: Path, command: str = "", reference: str | None = None,
    resources: Resources | None = None,
) -> None:  # fmt: skip
    """Write comparison.json, accuracy.png, outcomes.png and report.md of a finished comparison.

    Args:
        rows: the results of each variant.
        folder: folder of the comparison, with its runs.
        command: the command that began it.
        reference: label of the variant that the others are compared with; None for the first.
        resources: resources of this process.
    """
    resources = resources or Resources()
    counted = [_count_energy(row, folder, resources) for row in rows]
    estimates = {row.variant.label: counts.summary() for row, counts in zip(rows, counted, strict=True)}
    kept = ComparisonResult.keep(folder, {"command": command, **summary(rows, reference), "energy": estimates})
    plots.save(kept.accuracy(kept.title), folder / "accuracy.png")
    plots.save(kept.outcomes(kept.title), folder / "outcomes.png")
    lines = [f"# Comparison on {rows[0].experiment.data.dataset}", "", *([f"    {command}", ""] if command else [])]
    lines += [table(rows), "", "![test accuracy over epochs](accuracy.png)", "",
              "![test accuracy after the last epoch](outcomes.png)", ""]  # fmt: skip
    lines += _difference_lines(rows, reference)
    lines += _energy_lines(rows, counted)
    remarks = [f"- {row.variant.label}: {w}" for row in rows for w in row.results[-1].warnings]
    lines += [*remarks, ""] if remarks else []
    lines += ["Versions: " + ", ".join(f"{k} {v}" for k, v in versions().items()), ""]
    RunFolder(folder).write("report.md", "\n".join(lines))


def _count_energy(row: VariantResult, folder: Path, resources: Resources) -> energy.OperationCounts:
    """What the network of a variant's first run computes for a sample."""
    saved = load(folder_of(folder, row.variant, row.experiment))
    return energy.count(trained.of(saved, resources.dataset(row.experiment)), ENERGY_SAMPLES)


def differences(rows: Sequence[VariantResult], reference: str | None = None) -> list[Difference]:
    """How much each other variant exceeds the reference in test accuracy, paired by seeds; none for single runs.

    Args:
        rows: the results of each variant.
        reference: label of the reference; None for the first variant.
    """
    chosen = next(row for row in rows if reference in (None, row.variant.label))
    # In five folds, each test fold has a quarter of the samples that its network learns from.
    overlap = 0.0 if chosen.experiment.data.fold is None else 1 / (FOLDS - 1)
    if len(chosen.results) < 2:
        return []
    return [paired(row.variant.label, row.accuracies, chosen.accuracies, overlap) for row in rows if row is not chosen]


#: The difference for which the table lists the number of seeds that would show it.
_HALF_A_POINT = 0.005


def difference_cells(difference: Difference) -> tuple[str, ...]:
    """A row of the table of differences."""
    return DifferenceRow.model_validate(_difference_values(difference)).cells()


def _difference_values(difference: Difference) -> dict[str, object]:
    """A difference as comparison.json holds it."""
    return {
        **asdict(difference),
        "within_noise": difference.is_noise,
        "verdict": difference.verdict,
        "seeds_for_it": difference.seeds_for(difference.mean),
        "seeds_for_half_a_point": difference.seeds_for(_HALF_A_POINT),
    }


def _difference_lines(rows: Sequence[VariantResult], reference: str | None) -> list[str]:
    """The section of report.md about differences; empty for one variant."""
    if len(rows) < 2:
        return []
    name = rows[0].variant.label if reference is None else reference
    against = differences(rows, reference)
    if not against:
        return ["Each variant was run once, which says nothing about noise; give several --seeds.", ""]
    first = against[0]
    of_what = "seeds" if not first.overlap else "seeds and folds (Nadeau and Bengio's correction for shared samples)"
    return [
        f"## Against {name}", "", markdown(DIFFERENCE_HEADINGS, map(difference_cells, against)), "",
        f"Test accuracy, paired over {first.pairs} {of_what}: t intervals and p of a paired t test, of each variant"
        " alone. A difference is within noise if its interval includes 0. The last columns: with how many"
        f" {'runs' if first.overlap else 'seeds'} such a test at 5 % shows a difference of the size that was found,"
        " and of 0.5 points, with a power of 80 %, if differences spread as these do; from few seeds a rough number."
        " All runs have the same test samples, whose choice is no part of these intervals.",
        "",
    ]  # fmt: skip


#: Test samples for which the operations of each variant are counted.
ENERGY_SAMPLES = 256


def _energy_lines(rows: Sequence[VariantResult], counted: Sequence[energy.OperationCounts]) -> list[str]:
    """The section of report.md about operations and energy."""
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


def headings(rows: Sequence[VariantResult]) -> tuple[str, ...]:
    """The columns of the table: among them one for each group of test samples."""
    groups = [f"{name.replace('_', ' ')} (%)" for name in rows[0].groups()]
    return (
        "neuron", "connection", "readout", "test accuracy (%)", "least … most", *groups, "parameters",
        "spikes/sample", "s/epoch",
    )  # fmt: skip


def cells(row: VariantResult) -> tuple[str, ...]:
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


def table(rows: Sequence[VariantResult]) -> str:
    """The table of a comparison in Markdown."""
    return markdown(headings(rows), map(cells, rows))


def summary(rows: Sequence[VariantResult], reference: str | None = None) -> dict[str, object]:
    """A comparison as plain values, for --json."""
    return {
        "versions": versions(),
        "reference": rows[0].variant.label if reference is None else reference,
        "differences": [_difference_values(one) for one in differences(rows, reference)],
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
