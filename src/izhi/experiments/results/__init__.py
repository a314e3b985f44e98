"""The results in the folders of finished commands, for pages and figures: text files, read without torch and validated.

Each kind of folder is a subclass of ``FolderResult`` in a module of its own here, listed in ``KINDS``. ``izhi report``
makes a page from it, and ``izhi redraw`` its figures.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from izhi.errors import RunFolderError
from izhi.experiments.results.comparison import ComparisonResult
from izhi.experiments.results.devices import AdaptationResult, EvolutionResult
from izhi.experiments.results.ranks import RankingResult
from izhi.experiments.results.result import FolderResult
from izhi.experiments.results.run import RunResult
from izhi.experiments.results.searches import SweepResult, TuningResult

#: In the order in which they are looked for.
KINDS: Sequence[type[FolderResult]] = (
    ComparisonResult, TuningResult, SweepResult, EvolutionResult, AdaptationResult, RankingResult, RunResult,
)  # fmt: skip


def of(folder: Path) -> FolderResult:
    """The results in a folder; no checkpoint is opened.

    Raises:
        FileError, RunFolderError: if there are none, or they are damaged.
    """
    for kind in KINDS:
        if os.path.lexists(folder / kind.FILE):
            return kind.read(folder)
    *names, last = (kind.FILE for kind in KINDS)
    raise RunFolderError(
        f"{folder} holds none of {', '.join(names)} and {last}, expected the folder of a finished command"
    )


__all__ = ["KINDS", "of"]
