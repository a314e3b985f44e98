"""What a comparison reports: comparison.json, figures, report.md and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from izhi.data.catalogue import FOLDS
from izhi.experiments import energy, trained
from izhi.experiments.comparison import VariantResult, folder_of
from izhi.experiments.planned import Resources
from izhi.experiments.results.comparison import ENERGY_HEADINGS, ComparisonResult
from izhi.experiments.run_folder import load, versions
from izhi.experiments.statistics import Difference, paired
from izhi.experiments.tables import Table, percent, span, write_report


def write(
    rows: Sequence[VariantResult], folder: Path, command: str = "", reference: str | None = None,
    resources: Resources | None = None,
) -> ComparisonResult:  # fmt: skip
    """Write comparison.json, accuracy.png, outcomes.png and report.md; the contents of comparison.json.

    Args:
        reference: label of the variant that the others are compared with; None for the first.
    """
    resources = resources or Resources()
    counted = {}
    for row in rows:  # what the network of the first run computes for a sample
        saved = load(folder_of(folder, row.variant, row.experiment))
        counts = energy.count(trained.of(saved, resources.dataset(row.experiment)), ENERGY_SAMPLES)
        counted[row.variant.label] = counts
    estimates = {label: counts.summary() for label, counts in counted.items()}
    kept = ComparisonResult.keep(folder, {"command": command, **summary(rows, reference), "energy": estimates})
    write_report(
        folder / "report.md", f"# Comparison on {rows[0].experiment.data.dataset}", f"    {command}", table(rows),
        "![test accuracy over epochs](accuracy.png)", "![test accuracy after the last epoch](outcomes.png)",
        *_difference_blocks(kept), *_energy_blocks(counted),
        "\n".join(f"- {row.variant.label}: {w}" for row in rows for w in row.results[-1].warnings),
        "Versions: " + ", ".join(f"{k} {v}" for k, v in versions().items()),
    )  # fmt: skip
    return kept


def differences(rows: Sequence[VariantResult], reference: str | None = None) -> list[Difference]:
    """How much each variant exceeds the reference (the first) in accuracy, paired by seeds; none for single runs."""
    chosen = next(row for row in rows if reference in (None, row.variant.label))
    # In five folds, each test fold has a quarter of the samples that its network learns from.
    overlap = 0.0 if chosen.experiment.data.fold is None else 1 / (FOLDS - 1)
    if len(chosen.results) < 2:
        return []
    return [paired(row.variant.label, row.accuracies, chosen.accuracies, overlap) for row in rows if row is not chosen]


#: The difference for which the table lists the number of seeds that would show it.
_HALF_A_POINT = 0.005


def _difference_values(difference: Difference) -> dict[str, object]:
    """A difference as comparison.json holds it."""
    return {
        **asdict(difference),
        "within_noise": difference.is_noise,
        "verdict": difference.verdict,
        "seeds_for_it": difference.seeds_for(difference.mean),
        "seeds_for_half_a_point": difference.seeds_for(_HALF_A_POINT),
    }


def _difference_blocks(kept: ComparisonResult) -> list[str | Table]:
    """The section of report.md about differences; empty for one variant."""
    if len(kept.rows) < 2:
        return []
    if not kept.differences:
        return ["Each variant was run once, which says nothing about noise; give several --seeds."]
    first = kept.differences[0]
    of_what = "seeds" if not first.overlap else "seeds and folds (Nadeau and Bengio's correction for shared samples)"
    return [
        f"## Against {kept.reference}", *kept.differences_table(),
        f"Test accuracy, paired over {first.pairs} {of_what}: t intervals and p of a paired t test, of each variant"
        " alone. A difference is within noise if its interval includes 0. The last columns: with how many"
        f" {'runs' if first.overlap else 'seeds'} such a test at 5 % shows a difference of the size that was found,"
        " and of 0.5 points, with a power of 80 %, if differences spread as these do; from few seeds a rough number."
        " All runs have the same test samples, whose choice is no part of these intervals.",
    ]  # fmt: skip


#: Test samples for which the operations of each variant are counted.
ENERGY_SAMPLES = 256


def _energy_blocks(counted: Mapping[str, energy.OperationCounts]) -> list[str | Table]:
    """The section of report.md about operations and energy, of variants by their labels."""
    operations = [
        (label, *energy.total_cells(counts), f"{counts.activation_sparsity:.3f}") for label, counts in counted.items()
    ]
    estimates = [(label, *cells) for label, counts in counted.items() for cells in energy.energy_table(counts).rows]
    samples = next(iter(counted.values())).samples
    return [
        "## Operations and energy of a sample",
        Table(("variant", *energy.LAYER_HEADINGS[1:], "activation sparsity"), operations),
        f"Of the first run of each variant, on average over the first {samples} test samples.",
        Table(("variant", *ENERGY_HEADINGS), estimates), f"{energy.CAVEAT} {energy.OVER_TIME}",
    ]  # fmt: skip


def headings(rows: Sequence[VariantResult]) -> tuple[str, ...]:
    """The columns of the table: among them one for each group of test samples."""
    groups = [f"{name.replace('_', ' ')} (%)" for name in rows[0].groups()]
    return (
        "neuron", "connection", "readout", "test accuracy (%)", "least … most", *groups, "parameters",
        "spikes/sample", "s/epoch",
    )  # fmt: skip


def table(rows: Sequence[VariantResult]) -> Table:
    """The table of a comparison."""
    cells = []
    for row in rows:
        e, own = row.experiment, row.variant.settings
        notes = [f"{k}={v}" for k, v in own.items() if k not in ("neuron", "connection", "readout")]
        name = e.neurons.neuron + (f" ({', '.join(notes)})" if notes else "")
        cells.append((
            row.variant.label if row.variant.named else name, e.network.connection, e.network.readout or "",
            percent(row.accuracies), span(row.accuracies), *map(percent, row.groups().values()),
            f"{row.parameters:,}", f"{row.spikes:,.0f}", f"{row.seconds:.1f}",
        ))  # fmt: skip
    return Table(headings(rows), cells)


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
