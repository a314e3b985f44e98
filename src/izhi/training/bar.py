"""Progress of a training: a bar with the time left on a terminal, a line that is written over in a notebook."""

from __future__ import annotations

import os
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from izhi.training.progress import Listener, ProgressEvent

#: Seconds between two updates of a notebook's line.
_OFTEN = 0.5


def choose_listener() -> Listener:
    """The listener that shows progress where the program runs."""
    return NotebookLine() if _is_notebook() else TerminalBar()


def _is_notebook() -> bool:
    """Whether a kernel of Jupyter runs this; it may be imported elsewhere too."""
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


def _describe_epoch(event: ProgressEvent) -> str:
    row = event.metrics
    accuracies = [f"{name} {100 * row[f'{name}_accuracy']:.1f} %" for name in ("validation", "test")
                  if f"{name}_accuracy" in row]  # fmt: skip
    return ", ".join([f"epoch {event.epoch}/{event.epochs}", f"loss {row['train_loss']:.3f}", *accuracies])


class TerminalBar:
    """A listener that shows one bar over all epochs on a terminal."""

    def __init__(self) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), console=Console(stderr=True),
            disable=not sys.stderr.isatty() or bool(os.environ.get("NO_COLOR")),
        )  # fmt: skip
        self.task = self.progress.add_task("epoch 1")

    def __call__(self, event: ProgressEvent) -> None:
        """Show an event."""
        if event.kind == "start":
            self.progress.start()
            self.progress.update(self.task, total=event.epochs, completed=event.epoch)
        elif event.kind == "step":
            self.progress.advance(self.task, len(event.losses) / event.steps)
        elif event.kind == "epoch":
            self.progress.update(self.task, description=_describe_epoch(event), completed=event.epoch)
        else:
            self.progress.stop()


class NotebookLine:
    """A listener that overwrites one line below a notebook's cell, in which the last epoch remains."""

    def __init__(self) -> None:
        self.step, self.last, self.text = 0, 0.0, ""

    def __call__(self, event: ProgressEvent) -> None:
        """Show an event."""
        if event.kind == "start":
            from IPython.display import display

            self.handle = display({"text/plain": ""}, raw=True, display_id=True)
        elif event.kind == "step":
            self.step += len(event.losses)
            if time.monotonic() - self.last > _OFTEN:
                now = f"step {self.step} of {event.steps}, loss {event.losses[-1]:.3f}"
                self._show("; ".join(filter(None, (self.text, now))))
        elif event.kind == "epoch":
            self.text, self.step = _describe_epoch(event), 0
            self._show(self.text)

    def _show(self, text: str) -> None:
        self.last = time.monotonic()
        self.handle.update({"text/plain": text}, raw=True)
