"""Progress of a training: a bar with the time left on a terminal, a line that is written over in a notebook."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from izhi.training.evaluation import Row

if TYPE_CHECKING:
    from izhi.training.trainer import Listener

#: Seconds between two updates of a notebook's line.
_OFTEN = 0.5


def shown(epochs: int) -> Listener:
    """The listener that shows progress where the program runs."""
    return Line(epochs) if _is_notebook() else Bar(epochs)


def _is_notebook() -> bool:
    """Whether a kernel of Jupyter runs this; that it was imported says little."""
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


def _about(row: Row, epochs: int) -> str:
    """An epoch in words."""
    accuracies = [f"{name} {100 * row[f'{name}_accuracy']:.1f} %" for name in ("validation", "test")
                  if f"{name}_accuracy" in row]  # fmt: skip
    return ", ".join([f"epoch {row['epoch']:.0f}/{epochs}", f"loss {row['train_loss']:.3f}", *accuracies])


class Bar:
    """A listener that shows one bar over all epochs; nothing where there is no terminal."""

    def __init__(self, epochs: int) -> None:
        self.epochs, self.steps = epochs, 1
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), console=Console(stderr=True),
            disable=not sys.stderr.isatty() or bool(os.environ.get("NO_COLOR")),
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
        self.progress.update(self.task, description=_about(row, self.epochs), completed=row["epoch"])
        self._stop_at(int(row["epoch"]))

    def _stop_at(self, epoch: int) -> None:
        if epoch >= self.epochs:
            self.progress.stop()


class Line:
    """A listener that shows one line below a notebook's cell, of which the last epoch remains."""

    def __init__(self, epochs: int) -> None:
        self.epochs, self.steps, self.place, self.last, self.text = epochs, 1, 0, 0.0, ""

    def begin(self, steps: int, finished: int) -> None:
        """See ``Listener``."""
        from IPython.display import display

        self.steps = steps
        self.handle = display({"text/plain": ""}, raw=True, display_id=True)

    def step(self, loss: float) -> None:
        """See ``Listener``."""
        self.place += 1
        if time.monotonic() - self.last > _OFTEN:
            now = f"step {self.place} of {self.steps}, loss {loss:.3f}"
            self._show("; ".join(filter(None, (self.text, now))))

    def epoch(self, row: Row, warnings: Sequence[str]) -> None:
        """See ``Listener``."""
        self.text, self.place = _about(row, self.epochs), 0
        self._show(self.text)

    def _show(self, text: str) -> None:
        self.last = time.monotonic()
        self.handle.update({"text/plain": text}, raw=True)
