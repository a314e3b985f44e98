"""Is a training loop of one's own as fast as Izhi's, and what does it take from the system? A Markdown table.

    python benchmarks/own_loop.py
    python benchmarks/own_loop.py --steps 100 --rounds 5

The loop is that of a PyTorch user: spikes by ``izhi.encoding.rate``, a network of 784-512-10 normalised neurons, cross
entropy of the counts, Adam, batch 256. "plain" is it as it stands; "kept" calls ``keep_freed_memory`` first, as Izhi's
own training does; "fresh" gives the kernels' memory back before each step, as if they kept none; "trainer" is the step
of Izhi's trainer; "dropout" is the plain loop with a fifth of the neurons silenced. Each measurement is a process of
its own, and they take turns; times are medians of the steps of all rounds, ratios the medians of the ratios within a
round. Page faults are pages that the system cleared, in a step.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import nn

import izhi
from izhi.experiments.benchmark.ours import OURS
from izhi.experiments.benchmark.work import Work
from izhi.kernels import release_memory
from izhi.network import Network
from izhi.training import keep_freed_memory

WAYS = ("plain", "kept", "fresh", "trainer", "dropout")
WIDTHS, BATCH, WARM_UP = (784, 512, 10), 256, 4


def own_step(steps: int, dropout: float = 0.0) -> Callable[[torch.Tensor, torch.Tensor], None]:
    """One training step as a PyTorch user writes it."""
    network = Network(
        [
            nn.Linear(*WIDTHS[:2]), izhi.Izhikevich("normalized"),
            nn.Linear(*WIDTHS[1:]), izhi.Izhikevich("normalized"),
        ],
        dropout=dropout,
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-4)

    def step(values: torch.Tensor, labels: torch.Tensor) -> None:
        output, _ = network(izhi.encoding.rate(values, steps=steps))
        loss = nn.functional.cross_entropy(output.sum(0), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def measured(way: str, steps: int, threads: int, repeats: int) -> dict[str, object]:
    """Seconds of each step, page faults in one, and the peak of memory."""
    torch.set_num_threads(threads)
    if way in ("kept", "trainer"):
        keep_freed_memory()
    torch.manual_seed(0)
    work = Work(steps=steps, batch=BATCH)
    values, labels = work.samples()
    dropout = 0.2 if way == "dropout" else 0.0
    step = OURS["Izhi normalized, fp32"](work).train if way == "trainer" else own_step(steps, dropout)
    seconds, before = [], 0
    for number in range(WARM_UP + repeats):
        if way == "fresh":
            release_memory()
        if number == WARM_UP:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        began = time.perf_counter()
        step(values, labels)
        seconds.append(time.perf_counter() - began)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": seconds[WARM_UP:], "faults": (used.ru_minflt - before) / repeats, "peak": used.ru_maxrss / 1024,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=25, help="time steps of a sample [25]")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3, help="processes of each way [3]")
    parser.add_argument("--repeats", type=int, default=20, help="steps of a process that count [20]")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.way:
        print(json.dumps(measured(a.way, a.steps, a.threads, a.repeats)))
        return
    words = [sys.executable, __file__, *(f"--{x}={getattr(a, x)}" for x in ("steps", "threads", "repeats"))]
    rounds = []
    for _ in range(a.rounds):
        found = {}
        for way in WAYS:
            said = subprocess.run([*words, "--way", way], check=True, capture_output=True, text=True).stdout
            found[way] = json.loads(said)
        rounds.append(found)
    print(f"T = {a.steps}, {a.threads} threads, {a.rounds} rounds of {a.repeats} steps\n")
    print("| way | ms a step | of trainer's | page faults a step | peak MB |\n|---|---:|---:|---:|---:|")
    for way in WAYS:
        medians = [statistics.median(one[way]["seconds"]) for one in rounds]
        of_trainer = [x / statistics.median(one["trainer"]["seconds"]) for x, one in zip(medians, rounds, strict=True)]
        every = [x for one in rounds for x in one[way]["seconds"]]
        faults, peak = (statistics.median(one[way][key] for one in rounds) for key in ("faults", "peak"))
        ratio = statistics.median(of_trainer)
        print(f"| {way} | {1000 * statistics.median(every):.1f} | {ratio:.2f} | {faults:,.0f} | {peak:,.0f} |")


if __name__ == "__main__":
    main()
