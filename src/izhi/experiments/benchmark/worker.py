"""Measures one contender in a process of its own: ``python -m izhi.experiments.benchmark.worker``.

A process each keeps the libraries' thread pools apart and gives each its own peak of memory. The result
is one line of JSON on standard output.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from izhi import processes
from izhi.calls import with_room
from izhi.experiments.benchmark.ours import OURS
from izhi.experiments.benchmark.peers import PEERS
from izhi.experiments.benchmark.work import Work
from izhi.training.fabric import keep_freed_memory

_WARM_UP = 3


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _resident_bytes() -> int:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return _peak_bytes()
    return int(statm.read_text().split()[1]) * resource.getpagesize()


def _seconds(step: Callable[[], None], repeats: int) -> list[float]:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return times


@with_room
def measure(name: str, work: Work, threads: int, repeats: int) -> dict[str, object]:
    """Medians of a contender's steps in seconds, the first step's, and the peak of memory in bytes."""
    torch.set_num_threads(threads)
    keep_freed_memory()  # for every contender, though only Izhi's training loop does it by itself
    torch.manual_seed(0)
    steps = {**OURS, **PEERS}[name](work)
    values, labels = work.samples()
    before = _resident_bytes()
    first = _seconds(lambda: steps.train(values, labels), 1)
    _seconds(lambda: steps.train(values, labels), _WARM_UP - 1)
    train = _seconds(lambda: steps.train(values, labels), repeats)
    peak = max(0, _peak_bytes() - before)
    _seconds(lambda: steps.infer(values), _WARM_UP)
    infer = _seconds(lambda: steps.infer(values), repeats)
    return {
        "train": statistics.median(train),
        "infer": statistics.median(infer),
        "first": first[0],
        "peak_bytes": peak,
        "repeats": repeats,
    }


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    result = measure(request["name"], Work(**request["work"]), request["threads"], request["repeats"])
    print(json.dumps(result))
    processes.end(0)
