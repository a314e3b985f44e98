"""What commands leave in their folders, for pages and figures: in text, read without torch and on trust in nothing.

Each kind of folder is a class of ``Result`` in a module of its own here, named in ``KINDS``: by it ``izhi report``
makes a page, and ``izhi redraw`` its figures.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from izhi.errors import RunFolderError
from izhi.experiments.results.adaptation import Adaptation
from izhi.experiments.results.comparison import Comparison
from izhi.experiments.results.evolution import Evolution
from izhi.experiments.results.result import Result
from izhi.experiments.results.run import Run
from izhi.experiments.results.sweep import Sweep
from izhi.experiments.results.tuning import Tuning

#: In the order in which they are looked for.
KINDS: Sequence[type[Result]] = (Comparison, Tuning, Sweep, Evolution, Adaptation, Run)


def of(folder: Path) -> Result:
    """The results in a folder; no checkpoint is opened.

    Raises:
        FileError, RunFolderError: if there are none, or they are damaged.
    """
    for kind in KINDS:
        if os.path.lexists(folder / kind.FILE):
            return kind.read(folder)
    *names, last = (kind.FILE for kind in KINDS)
    raise RunFolderError(
        f"{folder} holds none of {', '.join(names)} and {last}, expected the folder of a command that came to its end"
    )


__all__ = ["KINDS", "of"]
