"""What a single run leaves for its reader: its figures and report.md."""

from __future__ import annotations

from pathlib import Path

from izhi.errors import SettingError
from izhi.experiments import build, plots
from izhi.experiments.run import Result
from izhi.experiments.run_folder import RunFolder, load, versions
from izhi.experiments.settings import Experiment
from izhi.experiments.settings.kinds import kind
from izhi.experiments.tables import markdown
from izhi.experiments.trained import network_of
from izhi.network import Network, firing
from izhi.network.firing import LayerDynamics


def write(result: Result, folder: RunFolder, command: str) -> None:
    """accuracy.png and report.md of a finished run."""
    e, history = result.experiment, result.history
    curves = {"test": [[row["test_accuracy"] for row in history]]}
    for part in ("validation", "train"):
        if f"{part}_accuracy" in history[-1]:
            curves[part] = [[row[f"{part}_accuracy"] for row in history]]
    title = f"{e.neurons.neuron}, {e.network.connection}, {e.data.dataset}"
    plots.save(plots.accuracy(curves, title), folder.path / "accuracy.png")
    last = history[-1]
    metrics = [(name.replace("_", " "), f"{value:.4g}") for name, value in last.items()]
    lines = [f"# {title}", "", f"    {command}", ""]
    lines += [markdown(("after the last epoch", ""), metrics)]
    lines += ["", "![accuracy over epochs](accuracy.png)", ""]
    lines += [f"- {warning}" for warning in result.warnings]
    if e.neurons.learn:
        lines += [
            "",
            dynamics_table(*dynamics(folder)),
            "",
            "![coefficients before and after](dynamics.png)",
        ]
    lines += ["", "Versions: " + ", ".join(f"{k} {v}" for k, v in versions().items()), ""]
    folder.write("report.md", "\n".join(lines))


def dynamics_table(before: list[LayerDynamics], after: list[LayerDynamics]) -> str:
    """Each learned coefficient before and after training, and the firing classes, in Markdown."""
    rows = [
        (str(number), *cells)
        for number, (old, new) in enumerate(zip(before, after, strict=True), start=1)
        for cells in firing.changes(old, new)
    ]
    return markdown(("layer", "coefficient", "before", "after"), rows)


def trained(path: Path) -> tuple[Experiment, Network, Network]:
    """The experiment of a checkpoint, its network as it began and as it is.

    Raises:
        CheckpointError: if there is none, or it is of another network.
    """
    saved = load(path)
    e, size = saved.experiment, (saved.inputs, len(saved.classes))
    after = network_of(saved, *size)
    return e, build.network(e, *size), after


def dynamics(folder: RunFolder) -> tuple[list[LayerDynamics], list[LayerDynamics]]:
    """Coefficients and firing classes of a run before and after training; draws dynamics.png.

    Raises:
        SettingError: if the run's neurons have neither learned coefficients nor classes.
    """
    e, *networks = trained(folder.checkpoint)
    before, after = (firing.of_network(network) for network in networks)
    if not any(layer.coefficients or layer.classes for layer in after):
        raise SettingError(f"{folder.path} has learned no coefficient of a neuron; train with learn")
    units = firing.UNITS if kind(e.neurons.neuron).unit == "mV" else {}
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
