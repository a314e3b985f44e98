"""Is an Izhikevich neuron in a snnTorch loop as fast as ``snn.Leaky``? A Markdown table.

    python benchmarks/snntorch_loop.py
    python benchmarks/snntorch_loop.py --kernel reference --sizes 128x100 --turns 50

A network of linear layer, neurons, linear layer to 10 outputs and neurons runs over 25 time steps, one call
per step; once without gradients, and once with the backward pass. In each turn both neurons run once, in
random order, so that what else the machine does meets both alike. Times are medians over the turns, ratios the
medians of the ratios within a turn.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable

import snntorch as snn
import torch
from snntorch import SpikingNeuron
from torch import Tensor, nn

from izhi.snntorch import Izhikevich

INPUTS, OUTPUTS = 32, 10


class Loop:
    """A network of one kind of neurons, which runs over time on one batch."""

    def __init__(self, neuron: Callable[[], SpikingNeuron], batch: int, width: int, steps: int) -> None:
        self.linear = nn.Linear(INPUTS, width), nn.Linear(width, OUTPUTS)
        self.neurons = neuron(), neuron()
        self.values = torch.rand(steps, batch, INPUTS)

    def count(self) -> Tensor:
        """The sum of the last layer's spikes."""
        states = [_reset(neuron) for neuron in self.neurons]
        total = torch.zeros(())
        for spikes in self.values:
            for k, (linear, neuron) in enumerate(zip(self.linear, self.neurons, strict=True)):
                spikes, *states[k] = neuron(linear(spikes), *states[k])
            total = total + spikes.sum()
        return total

    def seconds(self, train: bool) -> float:
        """One run, forward alone or with its backward pass."""
        began = time.perf_counter()
        with torch.set_grad_enabled(train):
            total = self.count()
        if train:
            total.backward()  # type: ignore[no-untyped-call]
        return time.perf_counter() - began


def _reset(neuron: SpikingNeuron) -> list[Tensor]:
    state = neuron.reset_mem()
    return [state] if isinstance(state, Tensor) else list(state)


def row(size: str, kernel: str, turns: int, steps: int) -> str:
    """A row of the table: milliseconds of both neurons and their ratio, forward and training."""
    batch, width = map(int, size.split("x"))
    loops = (
        Loop(lambda: snn.Leaky(beta=0.95), batch, width, steps),
        Loop(lambda: Izhikevich("normalized", kernel=kernel), batch, width, steps),
    )
    cells = [size.replace("x", " × ")]
    for train in (False, True):
        times: list[list[float]] = [[], []]
        for turn in range(-3, turns):
            for k in random.sample((0, 1), 2):
                seconds = loops[k].seconds(train)
                if turn >= 0:
                    times[k].append(seconds)
        ratio = statistics.median(ours / theirs for theirs, ours in zip(*times, strict=True))
        cells += [f"{1000 * statistics.median(x):.1f}" for x in times] + [f"{ratio:.2f}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="128x100,256x100,128x1000,256x1000", help="batch x neurons, with commas")
    parser.add_argument("--kernel", default="auto", help="of the Izhikevich neurons: auto or reference")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    random.seed(0)
    print("| batch × neurons | forward, snn.Leaky (ms) | Izhikevich (ms) | ratio | training, snn.Leaky (ms) "
          "| Izhikevich (ms) | ratio |\n|---|---:|---:|---:|---:|---:|---:|")  # fmt: skip
    for size in a.sizes.split(","):
        print(row(size, a.kernel, a.turns, a.steps), flush=True)


if __name__ == "__main__":
    main()
