"""Progress of a training as a bar with the time left, on a terminal or in a notebook."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from izhi.training.evaluation import Row


class Bar:
    """A listener that shows one bar over all epochs; nothing where there is neither a notebook nor a terminal."""

    def __init__(self, epochs: int) -> None:
        self.epochs, self.steps = epochs, 1
        console = Console(stderr=not _is_notebook())
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), console=console,
            disable=not (console.is_jupyter or (sys.stderr.isatty() and not os.environ.get("NO_COLOR"))),
        )  # fmt: skip
        self.task = self.progress.add_task("epoch 1", total=epochs)

    def begin(self, steps: int, finished: int) -> None:
        """See ``Listener``."""
        self.steps = steps
        self.progress.start()
        self.progress.update(self.task, completed=finished)
        self._stop_at(finished)

    def step(self, loss: float) -> None:
        """See ``Listener``."""
        self.progress.advance(self.task, 1 / self.steps)

    def epoch(self, row: Row, warnings: Sequence[str]) -> None:
        """See ``Listener``."""
        accuracies = [f"{name} {100 * row[f'{name}_accuracy']:.1f} %" for name in ("validation", "test")
                      if f"{name}_accuracy" in row]  # fmt: skip
        text = ", ".join([f"epoch {row['epoch']:.0f}/{self.epochs}", f"loss {row['train_loss']:.3f}", *accuracies])
        self.progress.update(self.task, description=text, completed=row["epoch"])
        self._stop_at(int(row["epoch"]))

    def _stop_at(self, epoch: int) -> None:
        if epoch >= self.epochs:
            self.progress.stop()


def _is_notebook() -> bool:
    return "ipykernel" in sys.modules
