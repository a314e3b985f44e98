"""Progress on the terminal: a bar with the time left, or a line per epoch where there is no terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from izhi.experiments.settings import Experiment

#: The most lines that one run prints.
LINES = 100


class TerminalListener:
    """Shows the runs of a command on standard error, as one bar over all their epochs.

    Args:
        runs: number of runs that the command will do.
        quiet: to show nothing but warnings.
        verbose: to show the settings of each run, and of each epoch its time and its spikes.
        about: a line to show when the first run begins.
    """

    def __init__(self, runs: int = 1, *, quiet: bool = False, verbose: bool = False, about: str = "") -> None:
        self.runs, self.quiet, self.verbose, self.about = runs, quiet, verbose and not quiet, about
        # A bar needs the codes that NO_COLOR refuses.
        is_plain = bool(os.environ.get("NO_COLOR"))
        self.console = Console(stderr=True, highlight=False, color_system=None if is_plain else "auto")
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=self.console,
            disable=quiet or is_plain or not sys.stderr.isatty(),
        )
        self.task = self.progress.add_task("starting", total=None)
        self.label, self.steps, self.epochs, self.begun = "", 1, 1, 0

    def __enter__(self) -> TerminalListener:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def announce(self, e: Experiment, label: str = "") -> None:
        self.begun += 1
        self.epochs = e.training.epochs
        label = label or f"{e.neurons.neuron} {e.network.connection}, seed {e.training.seed}"
        self.label = f"[{self.begun}/{self.runs}] {label}"
        self.introduce(self.label, e)

    def introduce(self, label: str, e: Experiment) -> None:
        """The settings of a run that are not the usual ones, for who wants to see more."""
        if self.verbose:
            usual = Experiment().flat(plain=True)
            chosen = [f"{name} = {value}" for name, value in e.flat(plain=True).items() if value != usual[name]]
            self.report(f"{label}: {', '.join(chosen) or 'the usual settings'}")

    def begin(self, steps: int, finished: int) -> None:
        if self.about and not self.quiet:
            self.console.print(self.about, markup=False, soft_wrap=True)
        self.about = ""
        self.steps = steps
        done = (self.begun - 1) * self.epochs + finished
        self.progress.update(self.task, description=self.label, total=self.runs * self.epochs, completed=done)

    def step(self, loss: float) -> None:
        self.progress.advance(self.task, 1 / self.steps)

    def epoch(self, row: dict[str, float], warnings: Sequence[str]) -> None:
        self.say(self.label, self.epochs, row, warnings)

    def say(self, label: str, epochs: int, row: dict[str, float], warnings: Sequence[str]) -> None:
        """A line about an epoch of a run, and its warnings after the last one."""
        # Generations of an evolution are many; a line for each would say little.
        often = 1 if self.verbose else -(-epochs // LINES)
        if self.quiet or (row["epoch"] % often and row["epoch"] != epochs):
            return
        validation = row.get("validation_accuracy")
        shown = f", validation {100 * validation:.2f} %" if validation is not None else ""
        test = row.get("test_accuracy")
        shown += f", test {100 * test:.2f} %" if test is not None else ""
        self.console.print(
            f"{label}: epoch {row['epoch']:.0f}/{epochs}, loss {row['train_loss']:.4f}{shown}, {row['seconds']:.1f} s",
            markup=False,
            soft_wrap=True,
        )
        if self.verbose:
            self.report(f"  {_more(row)}")
        if row["epoch"] == epochs:
            for warning in warnings:
                self.console.print(f"  warning: {warning}", markup=False, soft_wrap=True)

    def report(self, line: str) -> None:
        """A line of its own."""
        self.console.print(line, markup=False, soft_wrap=True)

    def beside(self) -> Beside:
        """A listener for runs that others run beside, with a bar of their own."""
        return Beside(self)


def _more(row: dict[str, float]) -> str:
    """What else an epoch gave: how long training took of it, accuracy on training samples, spikes of each layer."""
    parts = [f"training {row['train_seconds']:.1f} s"] if "train_seconds" in row else []
    if "train_accuracy" in row:
        parts.append(f"on training samples {100 * row['train_accuracy']:.2f} %")
    rates = [f"{value:.4f}" for name, value in row.items() if name.startswith("rate_")]
    if rates:
        parts.append(f"spikes per neuron and step {', '.join(rates)}")
    return "; ".join(parts)


class Beside:
    """Shows the runs of one of several jobs at once, below one bar for all of them.

    Args:
        whole: the listener of the command, which has that bar.
    """

    def __init__(self, whole: TerminalListener) -> None:
        self.whole = whole
        self.task: TaskID | None = None
        self.label, self.steps, self.epochs, self.done = "", 1, 1, 0.0

    def announce(self, e: Experiment, label: str = "") -> None:
        self.end()
        self.whole.begun += 1
        self.epochs, self.done = e.training.epochs, 0.0
        self.label = f"[{self.whole.begun}/{self.whole.runs}] {label}"
        self.whole.introduce(self.label, e)
        self.task = self.whole.progress.add_task(self.label, total=self.epochs)
        self.whole.progress.update(self.whole.task, description="all runs", total=self.whole.runs * self.epochs)

    def begin(self, steps: int, finished: int) -> None:
        if self.whole.about and not self.whole.quiet:
            self.whole.console.print(self.whole.about, markup=False, soft_wrap=True)
        self.whole.about = ""
        self.steps = steps
        self._advance(finished)

    def step(self, loss: float) -> None:
        self._advance(1 / self.steps)

    def epoch(self, row: dict[str, float], warnings: Sequence[str]) -> None:
        self.whole.say(self.label, self.epochs, row, warnings)

    def end(self) -> None:
        """Its run is over, also one that was stopped early."""
        if self.task is not None:
            self._advance(self.epochs - self.done)
            self.whole.progress.remove_task(self.task)
        self.task = None

    def _advance(self, epochs: float) -> None:
        self.done += epochs
        self.whole.progress.advance(self.whole.task, epochs)
        if self.task is not None:
            self.whole.progress.advance(self.task, epochs)
