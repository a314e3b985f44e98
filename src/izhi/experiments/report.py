"""The report of a single run: report.md and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from izhi.errors import SettingError
from izhi.experiments import build, plots
from izhi.experiments.results import run as of_run
from izhi.experiments.run import Result
from izhi.experiments.run_folder import RunFolder, load, versions
from izhi.experiments.settings import Experiment
from izhi.experiments.tables import Table, write_report
from izhi.experiments.trained import network_of
from izhi.network import Network, firing
from izhi.network.firing import LayerDynamics
from izhi.spec import entry_of_preset, neuron_spec
from izhi.training import best_epoch


def write(result: Result, folder: RunFolder, command: str, before: Mapping[str, float] | None = None) -> None:
    """report.md of a finished run, and accuracy.png if it was trained.

    Args:
        command: the present command, for a folder that does not name the one that began the run.
        before: accuracies of the network before the run.
    """
    e, history = result.experiment, result.history
    title = of_run.title(e.flat())
    last = {**(before or {}), **history[-1]}
    figure: str = ""
    learned: tuple[str | Table, ...] = ()
    if history[-1]["epoch"]:
        plots.save(of_run.accuracy(history, title), folder.path / "accuracy.png")
        figure = "![accuracy over epochs](accuracy.png)"
    if e.neurons.learn:
        learned = (dynamics_table(*dynamics(folder)), "![coefficients before and after](dynamics.png)")
    write_report(
        folder.path / "report.md", f"# {title}", f"    {folder.command or command}",
        Table(("after the last epoch", ""), list(map(_metric, last.items()))),
        f"The {best(history)}: `best.pt`." if "validation_accuracy" in history[-1] else "", figure,
        "\n".join(f"- {warning}" for warning in result.warnings), *learned,
        "Versions: " + ", ".join(f"{k} {v}" for k, v in versions().items()),
    )  # fmt: skip


def best(history: Sequence[Mapping[str, float]]) -> str:
    """The epoch that is best on the validation samples, in words."""
    row = history[best_epoch([row["validation_accuracy"] for row in history])]
    return (
        f"best validation accuracy {100 * row['validation_accuracy']:.2f} % after epoch {row['epoch']:.0f},"
        f" test {100 * row['test_accuracy']:.2f} %"
    )


def per_class(confusion: Sequence[Sequence[float]], classes: Sequence[str]) -> list[str]:
    """A line for each class with test samples: its accuracy, and the class with which it is confused most often.

    Args:
        confusion: (classes, classes): how many samples of a class, in rows, were given a class, in columns.
    """
    lines = []
    for name, row, own in zip(classes, confusion, range(len(classes)), strict=True):
        if count := int(sum(row)):
            others = [0 if k == own else n for k, n in enumerate(row)]
            worst = max(range(len(others)), key=others.__getitem__)
            mistaken = f", most often taken for {classes[worst]} ({others[worst]:,.0f})" if others[worst] else ""
            lines.append(f"class {name}: {100 * row[own] / count:.2f} % of {count:,}{mistaken}")
    return lines


def _metric(item: tuple[str, float]) -> tuple[str, str]:
    """A metric by its name, with its unit."""
    name, value = item
    words = name.replace("_", " ")
    if name.endswith("_steps"):
        return words, f"{value:,.0f}, each with a label: accuracy is that of steps"
    if "accuracy" in name:
        return words, f"{100 * value:.2f} %"
    if name.startswith("rate_"):
        return f"layer {name.removeprefix('rate_')}", f"{value:.4f} spikes per neuron and step"
    if name.endswith("seconds"):
        return f"time of the epoch{', training alone' if name == 'train_seconds' else ''}", f"{value:.1f} s"
    return words, f"{value:.4g}"


def dynamics_table(before: list[LayerDynamics], after: list[LayerDynamics]) -> Table:
    """Each learned coefficient before and after training, and the firing classes."""
    rows = [
        (str(number), *cells)
        for number, (old, new) in enumerate(zip(before, after, strict=True), start=1)
        for cells in firing.changes(old, new)
    ]
    return Table(("layer", "coefficient", "before", "after"), rows)


def trained(path: Path) -> tuple[Experiment, Network, Network]:
    """The experiment of a checkpoint, its network as it began and as it is; CheckpointError if it has none."""
    saved = load(path)
    e, size = saved.experiment, (saved.shape, len(saved.classes))
    after = network_of(saved, *size)
    return e, build.network(e, *size), after


def dynamics(folder: RunFolder) -> tuple[list[LayerDynamics], list[LayerDynamics]]:
    """Coefficients and firing classes before and after training, drawn in dynamics.png; SettingError without any."""
    e, *networks = trained(folder.checkpoint)
    before, after = (firing.of_network(network) for network in networks)
    if not any(layer.coefficients or layer.classes for layer in after):
        raise SettingError(f"{folder.path} has learned no coefficient of a neuron; train with learn")
    name = e.neurons.neuron
    units = entry_of_preset(name).units if neuron_spec(name).unit_of_v == "mV" else {}
    drawn = []
    for old, new in zip(before, after, strict=True):
        values = {
            name + (f" ({units[name]})" if name in units else ""): (
                old.coefficients[name].numpy(),
                new.coefficients[name].numpy(),
            )
            for name in new.coefficients
        }
        drawn.append((values, (old.count(), new.count())))
    plots.save(plots.dynamics(drawn), folder.path / "dynamics.png")
    return before, after
