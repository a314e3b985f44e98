"""The command that does studies."""

from __future__ import annotations

import argparse
from pathlib import Path

from izhi.cli import quieten
from izhi.cli.common import hold, print_table, report_line, write_json
from izhi.experiments import jobs, ranking
from izhi.experiments.planned import Runner, SerialRunner
from izhi.experiments.study import protocol, report
from izhi.experiments.study.run import Study


def study(a: argparse.Namespace) -> None:
    plan = protocol.read(Path(a.protocol))
    names = [name.strip() for name in (a.tasks or "").split(",") if name.strip()]
    folder = Path(a.out)
    runner: Runner = SerialRunner()
    if a.ray is not None or a.jobs not in (None, 1):
        for task in plan.tasks:
            jobs.check(plan.of_run(task, plan.variants[0], {}, 0))
        runner = jobs.ParallelRunner(a.jobs, a.ray, report_line, quieten)
    with hold(folder):
        rows = Study(plan, folder, (lambda line: None) if a.quiet else report_line, runner)
        if not a.report:
            rows.run_pending(names)
        findings = report.write(rows, f"izhi study {a.protocol} --out {a.out}")
    if findings.is_enough:
        title = f"ranks over {len(findings.tasks)} tasks"
        print_table(title, ranking.headings(findings.ranking), ranking.cells(findings.ranking), left=1)
        if findings.contrasts:
            print_table("contrasts", report.CONTRAST_HEADINGS, [x.cells() for x in findings.contrasts], left=1)
    print(f"tasks finished: {len(findings.tasks)} of {len(plan.tasks)}\nreport: {folder / report.REPORT}")
    write_json(a.json, findings.summary())
