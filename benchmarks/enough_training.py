"""Whether the tasks of a study are trained for long enough: validation accuracies after shorter and longer training.

    python benchmarks/enough_training.py benchmark --times 0.5,1,2 --tasks vowels,ecg

Every variant named is trained for so many times the epochs of each task, with learning rates that decay over them, and
is judged by the samples that judge the trials of the study. A task is trained for long enough if twice the epochs bring
the best variant little. Test samples are not opened.
"""

from __future__ import annotations

import argparse
import time
from statistics import mean

from izhi.errors import DivergenceError, IzhiError, unknown
from izhi.experiments.planned import Resources
from izhi.experiments.study.protocol import Protocol, Task, find, read
from izhi.experiments.study.run import validation_accuracy
from izhi.experiments.variants import Variant


def accuracy(
    protocol: Protocol, task: Task, variant: Variant, chosen: dict[str, object], times: float, resources: Resources
) -> float:
    """Mean validation accuracy, 0 to 1, after so many times the epochs of a task; 0 if training diverges."""
    planned = protocol.of_trial(task, variant, chosen)
    longer = [e.replace(epochs=max(1, round(times * e.training.epochs))) for e in planned]
    try:
        return mean(validation_accuracy(e, resources) for e in longer)
    except DivergenceError:
        return 0.0


def variants_of(protocol: Protocol, labels: str) -> list[Variant]:
    """The variants of those labels, separated by semicolons, all if there are none; SettingError for an unknown one."""
    known = {variant.label: variant for variant in protocol.variants}
    wanted = [label for label in labels.split(";") if label] or list(known)
    for label in wanted:
        if label not in known:
            raise unknown("variant", label, known, separator="; ")
    return [known[label] for label in wanted]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("protocol", help="TOML file, or benchmark, Izhi's own")
    parser.add_argument("--tasks", default="", help="comma-separated; default: all")
    parser.add_argument("--variants", default="", help="semicolon-separated; default: all")
    parser.add_argument("--times", default="0.5,1,2", help="factors on the epochs")
    parser.add_argument(
        "--trial", type=int, default=0, help="number of the trial of the study whose settings are taken"
    )
    options = parser.parse_args()
    names = [name.strip() for name in options.tasks.split(",") if name.strip()]
    try:
        protocol = read(find(options.protocol), names)
        tasks = protocol.chosen(names)
        variants = variants_of(protocol, options.variants)
        times = [float(x) for x in options.times.split(",")]
    except (IzhiError, ValueError) as error:
        parser.error(str(error))
    if not 0 <= options.trial < protocol.trials:
        parser.error(f"trial is {options.trial}, expected 0 to {protocol.trials - 1}")
    resources = Resources()
    print(f"| task | epochs | variant | {' | '.join(f'× {x:g} (%)' for x in times)} | seconds |")
    print(f"|---|---:|---|{'---:|' * len(times)}---:|")
    for task in tasks:
        for variant in variants:
            chosen = protocol.tried(task, variant)[options.trial]
            began = time.perf_counter()
            found = [accuracy(protocol, task, variant, chosen, x, resources) for x in times]
            taken = time.perf_counter() - began
            cells = " | ".join(f"{100 * x:.1f}" for x in found)
            epochs = protocol.of_trial(task, variant, chosen)[0].training.epochs
            print(f"| {task.name} | {epochs} | {variant.label} | {cells} | {taken:.0f} |", flush=True)


if __name__ == "__main__":
    main()
