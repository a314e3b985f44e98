"""The command that does studies."""

from __future__ import annotations

import argparse
from pathlib import Path

from izhi.cli import quieten
from izhi.cli.common import hold, print_table, report_line, write_json
from izhi.experiments import jobs, ranking
from izhi.experiments.study import protocol, report
from izhi.experiments.study.run import Study


def study(a: argparse.Namespace) -> None:
    found = protocol.read(Path(a.protocol))
    names = [name.strip() for name in (a.tasks or "").split(",") if name.strip()]
    folder, together = Path(a.out), None
    if a.ray is not None or a.jobs not in (None, 1):
        for task in found.tasks:
            jobs.check(found.of_run(task, found.variants[0], {}, 0))
        together = jobs.Together(a.jobs, a.ray, jobs.SilentJob, report_line, quieten)
    with hold(folder):
        done = Study(found, folder, (lambda line: None) if a.quiet else report_line, together)
        if not a.report:
            done.go_on(names)
        findings = report.write(done, f"izhi study {a.protocol} --out {a.out}")
    if findings.is_enough:
        title = f"ranks over {len(findings.tasks)} tasks"
        print_table(title, ranking.headings(findings.ranking), ranking.cells(findings.ranking), left=1)
        if findings.contrasts:
            print_table("contrasts", report.CONTRAST_HEADINGS, [x.cells() for x in findings.contrasts], left=1)
    print(f"tasks finished: {len(findings.tasks)} of {len(found.tasks)}\nreport: {folder / report.REPORT}")
    write_json(a.json, findings.summary())
