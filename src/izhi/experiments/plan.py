"""The plan of several runs, kept in their folder, so that the folder alone suffices to resume them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from izhi import files
from izhi.errors import RunFolderError, shown
from izhi.experiments.run_folder import already_holds_a_run
from izhi.experiments.saved import PLAN
from izhi.experiments.settings import RENAMED

Plan = dict[str, object]


def agreed(
    folder: Path, stage: str, given: Mapping[str, object], *, resume: bool, may_change: Collection[str] = ()
) -> Plan:
    """The plan of a folder: the values of the command and, to resume, those that the folder holds.

    Args:
        folder: folder of the runs.
        stage: name of the command.
        given: values of the command; None for those that it leaves out.
        resume: whether the folder's runs resume.
        may_change: names whose values may differ from those of the folder.

    Raises:
        RunFolderError: if the folder holds runs and ``resume`` is False, or if they have another command, another
            plan, or no readable plan.
    """
    now = {name: _plain(value) for name, value in given.items() if value is not None}
    if not files.is_in_use(folder):
        if resume and not now:
            raise RunFolderError(f"{folder} holds no runs to resume; check the folder, or leave --resume out")
        return {"stage": stage, **now}
    if not resume:
        raise already_holds_a_run(folder)
    before = _read(folder)
    if before.get("stage") != stage:
        raise RunFolderError(
            f"{folder} holds no runs of izhi {stage}; resume the runs that it holds, or choose another --out"
        )
    for name, value in now.items():
        if name not in may_change and before.get(name) != value:
            raise RunFolderError(
                f"{folder} holds runs with {name} = {shown(before.get(name))}, not {shown(value)};"
                " leave it out to resume them, or choose another --out"
            )
    return {**before, **now}


def keep(folder: Path, plan: Plan) -> None:
    """Write the plan into its folder."""
    files.write_bytes(folder / PLAN, (json.dumps(plan, indent=2) + "\n").encode())


def _plain(value: object) -> object:
    """The value after a round trip through JSON."""
    plain: object = json.loads(json.dumps(value))
    return plain


def _read(folder: Path) -> Plan:
    path = folder / PLAN
    if not path.exists():
        raise RunFolderError(f"{folder} holds no {PLAN}, without which its runs cannot resume; choose another --out")
    try:
        with files.reading(path):
            plan = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        plan = None
    plan = {RENAMED.get(name, name): value for name, value in plan.items()} if isinstance(plan, dict) else None
    if plan is None:
        raise RunFolderError(f"{path} is damaged, expected the plan of its runs; choose another --out")
    return plan
