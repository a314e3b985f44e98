"""Is this tree slower than another one? Training steps of both, turn by turn, on the same machine.

    git worktree add ../other COMMIT
    python benchmarks/turns.py ../other                      # every contender of ours
    python benchmarks/turns.py ../other --contenders "Izhi LIF;Izhi normalized" --turns 40

Each tree trains in a process of its own; in each turn both make one step, in random order, so that what
else the machine does meets both alike. The ratio is the median over turns of this tree's time by the
other's, with its quartiles; beside it is the same ratio of this tree to itself, in a third process: what
differs between equals. Where the system puts a process's memory can make it some percent slower than its equal for
as long as it lives: --starts K makes all three anew K times.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]

#: Runs one training step for each line that it reads, and answers with its seconds. Both places of the
#: benchmark's modules are known, so that a commit from before the rooms can be the other tree.
STEPS = """
import os, sys, time, torch
try:
    from izhi.experiments.benchmark import ours, work
except ModuleNotFoundError:
    from izhi.benchmark import ours, work
torch.set_num_threads(int(sys.argv[2]))
torch.manual_seed(0)
layers = {"layers": int(sys.argv[4])} if sys.argv[4] != "1" else {}  # which the oldest trees do not know
work = work.Work(steps=int(sys.argv[3]), **layers)
steps, (values, labels) = ours.OURS[sys.argv[1]](work), work.samples()
answers, sys.stdout = sys.stdout, sys.stderr
for _ in sys.stdin:
    began = time.perf_counter()
    steps.train(values, labels)
    print(time.perf_counter() - began, file=answers, flush=True)
os._exit(0)  # which the end of torch takes a second for
"""


class Tree:
    """A process that trains one contender with the code of one tree."""

    def __init__(self, folder: Path, contender: str, threads: int, steps: int, layers: int) -> None:
        # The processes take turns: a thread that spins while it waits would take the other's core.
        quiet = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
        threads_of = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), str(threads))
        self.process = subprocess.Popen(
            [sys.executable, "-c", STEPS, contender, *map(str, (threads, steps, layers))],
            env={**os.environ, **quiet, **threads_of, "PYTHONPATH": str(folder / "src")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seconds(self) -> float:
        """One training step."""
        assert self.process.stdin
        assert self.process.stdout
        print(file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"the steps ended with status {self.process.wait()}")
        return float(answer)

    def end(self) -> None:
        """Let the process finish."""
        self.process.communicate()


def ratios(other: Path, contender: str, options: argparse.Namespace) -> str:
    """A row of the table: milliseconds of both trees, and both ratios."""
    order = random.Random(0)
    times: list[list[float]] = [[], [], []]
    for _ in range(options.starts):
        trees = [
            Tree(folder, contender, options.threads, options.steps, options.layers) for folder in (other, HERE, HERE)
        ]
        for turn in range(-3, options.turns):
            for k in order.sample(range(3), 3):
                seconds = trees[k].seconds()
                if turn >= 0:
                    times[k].append(seconds)
        for tree in trees:
            tree.end()
    before, after, again = times
    columns = [contender, f"{1e3 * statistics.median(before):.1f}", f"{1e3 * statistics.median(after):.1f}"]
    for a, b in ((after, before), (after, again)):
        low, middle, high = statistics.quantiles([x / y for x, y in zip(a, b, strict=True)], n=4)
        columns.append(f"{middle:.3f} ({low:.3f} … {high:.3f})")
    return f"| {' | '.join(columns)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="the folder of the other tree")
    parser.add_argument("--contenders", help="names, separated by semicolons")
    parser.add_argument("--turns", type=int, default=30, help="after each start")
    parser.add_argument("--starts", type=int, default=1, help="how often the processes are made anew")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--steps", type=int, default=25, help="time steps T of a sample")
    parser.add_argument("--layers", type=int, default=1, help="hidden layers")
    options = parser.parse_args()
    if not (options.other / "src/izhi").is_dir():
        parser.error(f"{options.other}: no folder with src/izhi; make one with git worktree add")
    if options.turns < 2:
        parser.error(f"--turns {options.turns}: at least 2 are needed for quartiles")
    for name in ("layers", "starts"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} {getattr(options, name)}: at least 1 is needed")
    from izhi.experiments.benchmark.ours import OURS

    print("| contender | other (ms) | this (ms) | this / other | this / itself |\n|---|---:|---:|---:|---:|")
    for name in options.contenders.split(";") if options.contenders else OURS:
        print(ratios(options.other.resolve(), name, options), flush=True)


if __name__ == "__main__":
    main()
