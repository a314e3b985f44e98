"""What a folder of several runs is for: kept in it, so that going on needs nothing but the folder."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from izhi import files
from izhi.errors import RunFolderError, shown
from izhi.experiments.run_folder import already_holds_a_run
from izhi.experiments.saved import PLAN

Plan = dict[str, object]


def agreed(
    folder: Path, stage: str, given: Mapping[str, object], *, resume: bool, may_change: Collection[str] = ()
) -> Plan:
    """The plan to follow in a folder: what is given and, to resume, what the folder holds.

    Args:
        folder: of the runs.
        stage: the command that they are of.
        given: by the command that now runs; what it leaves out is None.
        resume: whether the folder's runs are gone on with.
        may_change: names whose values may be given anew; the others must be those of the folder.

    Raises:
        RunFolderError: if the folder holds runs and ``resume`` is False, or if they are of another command,
            have another plan, or none that can be read.
    """
    now = {name: _plain(value) for name, value in given.items() if value is not None}
    if not files.is_in_use(folder):
        if resume and not now:
            raise RunFolderError(f"{folder} holds no runs to go on with; check the folder, or leave --resume out")
        return {"stage": stage, **now}
    if not resume:
        raise already_holds_a_run(folder)
    before = _read(folder)
    if before.get("stage") != stage:
        raise RunFolderError(
            f"{folder} holds no runs of izhi {stage}; go on with what it holds, or choose another --out"
        )
    for name, value in now.items():
        if name not in may_change and before.get(name) != value:
            raise RunFolderError(
                f"{folder} holds runs with {name} = {shown(before.get(name))}, not {shown(value)};"
                " leave it out to go on with them, or choose another --out"
            )
    return {**before, **now}


def keep(folder: Path, plan: Plan) -> None:
    """Write the plan into its folder."""
    files.write_bytes(folder / PLAN, (json.dumps(plan, indent=2) + "\n").encode())


def _plain(value: object) -> object:
    """As JSON gives it back."""
    plain: object = json.loads(json.dumps(value))
    return plain


def _read(folder: Path) -> Plan:
    path = folder / PLAN
    if not path.exists():
        raise RunFolderError(f"{folder} holds no {PLAN}, by which its runs could go on; choose another --out")
    try:
        with files.reading(path):
            plan = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        plan = None
    if not isinstance(plan, dict):
        raise RunFolderError(f"{path} is damaged, expected the plan of its runs; choose another --out")
    return plan
