"""docs/results/ablation.png from the comparisons of experiments/ablation-*.toml.

python benchmarks/ablation_figure.py MNIST/comparison.json ROWS/comparison.json docs/results/ablation.png
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from matplotlib.figure import Figure

from izhi.experiments import plots


def main(image: str, rows: str, out: str) -> None:
    figure = Figure(figsize=(8.5, 3.4), layout="constrained")
    for axes, path, title, colour in zip(
        figure.subplots(1, 2), (image, rows), ("image (rate coding)", "read row by row, no delays"),
        plots.COLOURS, strict=False,
    ):  # fmt: skip
        found = json.loads(Path(path).read_text())["rows"]
        names = [row["label"] for row in found]
        for place, row in enumerate(found):
            values = [100 * x for x in row["test_accuracy"]]
            axes.plot([place] * len(values), values, "o", color=colour, markersize=4, alpha=0.6)
            axes.plot([place - 0.3, place + 0.3], [100 * row["mean"]] * 2, "-", color=colour, lw=2)
        axes.axhline(100 * found[0]["mean"], ls=":", color="0.5", lw=1)
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axes.set_title(title, fontsize=10)
        axes.set_ylabel("test accuracy (%)")
        axes.set_xlabel("coefficients learned")
        axes.grid(axis="y", alpha=0.3)
    plots.save(figure, Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
