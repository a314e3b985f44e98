"""Progress on the terminal: a bar with the time left, or a line per epoch where there is no terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from izhi.experiments.settings import Experiment
from izhi.training import Listener, ProgressEvent

#: The most lines that one run prints.
LINES = 100


class TerminalListener:
    """Shows the runs of a command on standard error, as one bar over all their epochs.

    Args:
        quiet: show warnings only.
        verbose: show the settings of each run, and the time and the firing rates of each epoch.
        about: a line to show before the first run.
        parallel: show a bar for each run below that of all runs, since several run at once.
    """

    def __init__(
        self, runs: int = 1, *, quiet: bool = False, verbose: bool = False, about: str = "", parallel: bool = False
    ) -> None:
        self.runs, self.quiet, self.verbose, self.about = runs, quiet, verbose and not quiet, about
        self.parallel = parallel
        # A bar needs the codes that NO_COLOR refuses.
        is_plain = bool(os.environ.get("NO_COLOR"))
        self.console = Console(stderr=True, highlight=False, color_system=None if is_plain else "auto")
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        left = (TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=False))
        is_hidden = quiet or is_plain or not sys.stderr.isatty()
        self.progress = Progress(*columns, *left, console=self.console, disable=is_hidden)
        self.task = self.progress.add_task("starting", total=None)
        self.begun = 0
        self._running: dict[str, Task] = {}  # by label

    def __enter__(self) -> TerminalListener:
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def __call__(self, event: ProgressEvent) -> None:
        """Show an event of a run, which is known by its label."""
        if event.kind == "start":
            self._start(event)
            return
        run = self._running[event.label]
        if event.kind == "step":
            self._advance(run, len(event.losses) / event.steps)
        elif event.kind == "epoch":
            self._print_epoch(run, event)
        else:
            self._advance(run, run.remaining or 0.0)
            self.progress.remove_task(run.id)
            del self._running[event.label]

    def _start(self, event: ProgressEvent) -> None:
        self.begun += 1
        label = f"[{self.begun}/{self.runs}] {event.label}"
        task = self.progress.add_task(label, total=event.epochs, visible=self.parallel)
        run = self._running[event.label] = next(x for x in self.progress.tasks if x.id == task)
        if self.verbose:
            self.report(f"{label}: {_describe_settings(event.settings)}")
        if self.about and not self.quiet:
            self.report(self.about)
        self.about = ""
        for note in () if self.quiet else event.notes:
            self.report(f"  {note}")
        description = "all runs" if self.parallel else label
        self.progress.update(self.task, description=description, total=self.runs * event.epochs)
        self._advance(run, event.epoch)

    def _advance(self, run: Task, epochs: float) -> None:
        for task in (self.task, run.id):
            self.progress.advance(task, epochs)

    def _print_epoch(self, run: Task, event: ProgressEvent) -> None:
        """A line about an epoch, and after the last one its warnings."""
        # An evolution has many generations; a line for each would say little.
        often = 1 if self.verbose else -(-event.epochs // LINES)
        is_last = event.epoch == event.epochs
        if self.quiet or (event.epoch % often and not is_last):
            return
        row = event.metrics
        accuracies = "".join(
            f", {name} {100 * row[f'{name}_accuracy']:.2f} %"
            for name in ("validation", "test")
            if row.get(f"{name}_accuracy") is not None
        )
        self.report(
            f"{run.description}: epoch {event.epoch}/{event.epochs}, loss {row['train_loss']:.4f}{accuracies},"
            f" {row['seconds']:.1f} s"
        )
        if self.verbose:
            self.report(f"  {_describe_details(row)}")
        for warning in event.warnings if is_last else ():
            self.report(f"  warning: {warning}")

    def report(self, line: str) -> None:
        """Print a line of its own."""
        self.console.print(line, markup=False, soft_wrap=True)


def report_epochs(describe: Callable[[ProgressEvent, float], str]) -> Listener:
    """A listener that prints what ``describe`` says of the event of an epoch and the seconds left; empty for none."""
    began, first = time.perf_counter(), 0

    def listen(event: ProgressEvent) -> None:
        nonlocal began, first
        if event.kind == "start":
            began, first = time.perf_counter(), event.epoch
        elif event.kind == "epoch":
            left = (time.perf_counter() - began) / (event.epoch - first) * (event.epochs - event.epoch)
            if line := describe(event, left):
                print(line, file=sys.stderr)

    return listen


#: Seconds between two lines about samples.
_SECONDS = 2.0


def report_samples(total: int | None, say: Callable[[str], None]) -> Callable[[int], None]:
    """Called with the number of finished samples, it says at most every two seconds how many are finished.

    Args:
        total: number of all samples, for the time left; None if unknown.
    """
    began = last = time.perf_counter()

    def report(done: int) -> None:
        nonlocal last
        now = time.perf_counter()
        is_last = done == total
        if now - last < _SECONDS and not is_last:
            return
        last = now
        of = "" if total is None else f" of {total:,}"
        left = "" if total is None or is_last else f", {(now - began) / done * (total - done):,.0f} s left"
        say(f"{done:,}{of} samples{left}")

    return report


def _describe_settings(settings: Mapping[str, object]) -> str:
    """The settings that are not the defaults."""
    defaults = Experiment().flat(plain=True)
    chosen = [f"{name} = {value}" for name, value in settings.items() if value != defaults[name]]
    return ", ".join(chosen) or "the usual settings"


def _describe_details(row: Mapping[str, float]) -> str:
    """Training time of an epoch, accuracy on training samples, and firing rates of the layers."""
    parts = [f"training {row['train_seconds']:.1f} s"] if "train_seconds" in row else []
    if "train_accuracy" in row:
        parts.append(f"on training samples {100 * row['train_accuracy']:.2f} %")
    rates = [f"{value:.4f}" for name, value in row.items() if name.startswith("rate_")]
    if rates:
        parts.append(f"spikes per neuron and step {', '.join(rates)}")
    return "; ".join(parts)
