"""Made tasks whose memory is known: ``memory-NAME`` has 200 steps, ``memory-NAME:1000`` as many as it says.

adding
    A value in each step, and a mark in one step of the first and one of the last quarter: in which fifth of all sums
    does the sum of the two marked values lie? Memory: T/2 to T.
copy
    One of 8 symbols in each of the first 10 steps, and a cue before the last 10: the symbols, one a step. Memory:
    T − 10.
match
    One of 4 channels in the first and in the last 10 steps, and spikes of chance between: is it the same channel?
    Memory: T − 20.
frequency
    A sine of any phase in noise of twice its power: which of 5 frequencies, spaced in logs from 4/T to 1/5, has it?
    Memory: its period.
coincidence
    Two trains of spikes, half of which are in both, some steps earlier in one: is the second −T/10, −T/20, 0, T/20 or
    T/10 steps later? Memory: T/10.

All samples are drawn from one seed, so that a name is the same data everywhere.

Sources: S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997) 1735 (adding);
M. Arjovsky, A. Shah, Y. Bengio, Unitary evolution recurrent neural networks, ICML 2016 (copy).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from izhi.data.catalogue import MEMORY, MEMORY_TASKS, memory_task
from izhi.data.dataset import Dataset
from izhi.data.samples import NO_LABEL
from izhi.data.source import Source
from izhi.seeds import Purpose, derive_seed

#: Samples of both parts.
TRAIN, TEST = 2_000, 1_000
SYMBOLS, SHOWN = 8, 10
#: Sums of two uniform numbers below which a fifth, two, three and four fifths of them lie.
FIFTHS = (0.4**0.5, 0.8**0.5, 2 - 0.8**0.5, 2 - 0.4**0.5)

#: Inputs (samples, T, channels), and labels (samples,) or (samples, T).
_Made: TypeAlias = tuple[NDArray[np.float32], NDArray[np.int64]]


def _adding(random: np.random.Generator, count: int, steps: int) -> _Made:
    x = np.zeros((count, steps, 2), np.float32)
    x[..., 0] = random.random((count, steps))
    quarter, each = steps // 4, np.arange(count)
    marked = np.stack([random.integers(0, quarter, count), random.integers(steps - quarter, steps, count)])
    x[each, marked, 1] = 1
    return x, np.searchsorted(FIFTHS, x[each, marked, 0].sum(0, dtype=np.float64))


def _copy(random: np.random.Generator, count: int, steps: int) -> _Made:
    symbols = random.integers(0, SYMBOLS, (count, SHOWN))
    x = np.zeros((count, steps, SYMBOLS + 1), np.float32)
    x[:, :SHOWN, :SYMBOLS] = np.eye(SYMBOLS)[symbols]
    x[:, -SHOWN - 1, SYMBOLS] = 1
    y = np.full((count, steps), NO_LABEL)
    y[:, -SHOWN:] = symbols
    return x, y


def _match(random: np.random.Generator, count: int, steps: int) -> _Made:
    channels = 4
    first, other, same = random.integers(0, channels, count), random.integers(1, channels, count), random.random(count)
    y = (same < 0.5).astype(np.int64)
    last = np.where(y, first, (first + other) % channels)
    x = (random.random((count, steps, channels)) < 0.05).astype(np.float32)
    x[:, :SHOWN], x[:, -SHOWN:] = np.eye(channels)[first][:, None], np.eye(channels)[last][:, None]
    return x, y


def _frequency(random: np.random.Generator, count: int, steps: int) -> _Made:
    y, phase = random.integers(0, 5, count), random.random(count)
    frequency = np.geomspace(4 / steps, 0.2, 5)[y]
    angle = 2 * np.pi * (frequency[:, None] * np.arange(steps) + phase[:, None])
    return (np.sin(angle) + random.normal(0, 1, (count, steps)))[..., None].astype(np.float32), y


def _coincidence(random: np.random.Generator, count: int, steps: int) -> _Made:
    lags = np.linspace(-(steps // 10), steps // 10, 5).astype(np.int64)
    y, margin = random.integers(0, 5, count), steps // 10
    common = random.random((count, steps + 2 * margin)) < 0.05
    own = random.random((count, steps, 2)) < 0.05
    later = margin + np.arange(steps) - lags[y][:, None]
    shared = np.stack([common[:, margin : margin + steps], np.take_along_axis(common, later, 1)], -1)
    return (own | shared).astype(np.float32), y


_TASKS: dict[str, tuple[Callable[[np.random.Generator, int, int], _Made], tuple[str, ...]]] = {
    "adding": (_adding, ("lowest", "low", "middle", "high", "highest")),
    "copy": (_copy, tuple("ABCDEFGH")),
    "match": (_match, ("different", "same")),
    "frequency": (_frequency, ("lowest", "low", "middle", "high", "highest")),
    "coincidence": (_coincidence, ("long before", "before", "together", "after", "long after")),
}


@dataclass(frozen=True)
class MemoryTask(Source):
    """A made task; see ``izhi.data.source.Source``."""

    name: str  #: with ``memory-`` before it
    over_time = True

    @property
    def about(self) -> str:  # type: ignore[override]
        return MEMORY_TASKS[MEMORY + memory_task(self.name)[0]]

    def files(self, folder: Path) -> Sequence[Path]:
        return ()

    def check(self, folder: Path) -> list[tuple[Path, str | None]]:
        return []

    def load(self, folder: Path) -> Dataset:
        """The data set; nothing is read from the folder."""
        task, steps = memory_task(self.name)
        make, classes = _TASKS[task]
        parts = []
        for purpose, count in ((Purpose.ORDER, TRAIN), (Purpose.TEST, TEST)):
            seed = derive_seed(sorted(_TASKS).index(task), purpose, steps)
            parts.append(make(np.random.default_rng(seed), count, steps))
        return Dataset.of(*parts[0], test=parts[1], classes=classes, over_time=True, name=self.name)
