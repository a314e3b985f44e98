"""The command that does studies."""

from __future__ import annotations

import argparse
from pathlib import Path

from izhi.cli.common import hold, report_line
from izhi.experiments.study import protocol
from izhi.experiments.study.run import Study


def study(a: argparse.Namespace) -> None:
    found = protocol.read(Path(a.protocol))
    names = [name.strip() for name in (a.tasks or "").split(",") if name.strip()]
    folder = Path(a.out)
    with hold(folder):
        done = Study(found, folder, (lambda line: None) if a.quiet else report_line)
        if not a.report:
            done.go_on(names)
