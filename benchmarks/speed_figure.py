"""The figure of training steps, from a file of ``izhi bench --json``.

python benchmarks/speed_figure.py docs/results/benchmarks/amd-epyc-2-threads.json speed.pdf
"""

from __future__ import annotations

import sys
from pathlib import Path

from izhi.experiments import plots
from izhi.experiments.benchmark.runner import figure, read_results


def main(results: str, out: str) -> None:
    rows, _ = read_results(Path(results))
    plots.save(figure(rows), Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
