"""What a single run leaves for its reader: the figure and report.md."""

from __future__ import annotations

from izhi import plots
from izhi.training import Result, RunFolder
from izhi.training.run_folder import versions


def write(result: Result, folder: RunFolder, command: str) -> None:
    """accuracy.png and report.md of a finished run."""
    e, history = result.experiment, result.history
    curves = {"test": [[row["test_accuracy"] for row in history]]}
    for part in ("validation", "train"):
        if f"{part}_accuracy" in history[-1]:
            curves[part] = [[row[f"{part}_accuracy"] for row in history]]
    title = f"{e.neuron}, {e.connection}, {e.dataset}"
    plots.save(plots.accuracy(curves, title), folder.path / "accuracy.png")
    last = history[-1]
    lines = [f"# {title}", "", f"    {command}", "", "| after the last epoch | |", "|---|---|"]
    lines += [f"| {name.replace('_', ' ')} | {value:.4g} |" for name, value in last.items()]
    lines += ["", "![accuracy over epochs](accuracy.png)", ""]
    lines += [f"- {warning}" for warning in result.warnings]
    lines += ["", "Versions: " + ", ".join(f"{k} {v}" for k, v in versions().items()), ""]
    folder.write("report.md", "\n".join(lines))
