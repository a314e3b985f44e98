"""The command that does studies."""

from __future__ import annotations

import argparse
from datetime import timedelta
from pathlib import Path

from izhi.cli import quieten
from izhi.cli.common import hold, print_table, report_line, write_json
from izhi.cli.progress import report_epochs
from izhi.experiments import jobs, ranking
from izhi.experiments.planned import Runner, SerialRunner
from izhi.experiments.study import protocol, report
from izhi.experiments.study.run import Study
from izhi.training import ProgressEvent, ignore_progress


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
        rows = Study(plan, folder, ignore_progress if a.quiet else report_epochs(_describe), runner)
        if not a.report:
            rows.run_pending(names)
        findings = report.write(rows, f"izhi study {a.protocol} --out {a.out}")
    if findings.is_enough:
        print_table(ranking.table(findings.ranking), f"ranks over {len(findings.tasks)} tasks", left=1)
        if findings.contrasts:
            print_table(findings.contrasts_table(), left=1)
    print(f"tasks finished: {len(findings.tasks)} of {len(plan.tasks)}\nreport: {folder / report.REPORT}")
    write_json(a.json, findings.summary())


def _describe(event: ProgressEvent, left: float) -> str:
    part = "test" if "test_accuracy" in event.metrics else "validation"
    accuracy, seconds = 100 * event.metrics[f"{part}_accuracy"], event.metrics["seconds"]
    return (
        f"[{event.epoch}/{event.epochs}] {event.label}: {part} {accuracy:.2f} %, {seconds:.1f} s;"
        f" {timedelta(seconds=round(left))} left"
    )
