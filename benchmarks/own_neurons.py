"""Training steps of neurons that ``@izhi.neuron`` made, against loops over time in torch.

    python benchmarks/own_neurons.py [--turns 9] [--steps 25,100] [--neurons exponential,parametric_lif]

A network 784-512-10 of each neuron of ``izhi.equation.literature``, a batch of 128 rate-coded samples, float32:
forward, backward. The loop multiplies all time steps by the weights at once, then takes the neurons through them one
by one, as tests/equation/test_literature.py has them. Times alternate; a ratio is the median of the turns, with its
quartiles.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from izhi.equation import literature
from izhi.network import Network

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "equation"))
loops = import_module("test_literature")

SIZES, BATCH = (784, 512, 10), 128


class Loop(nn.Module):
    """Neurons step by step."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer, self.step = layer, getattr(loops, layer.model.function.__name__)

    def forward(self, current: Tensor) -> tuple[Tensor, None]:
        """Currents (T, B, N) → spikes of the same shape."""
        state, p, spikes = list(self.layer.initial_state(current[0]))[:-1], self.layer.coefficients(), []
        for now in current:
            state, s = self.step(state, now, p)
            spikes.append(s)
        return torch.stack(spikes), None


def step_of(network: Callable[[Tensor], Any], spikes: Tensor, weights: list[nn.Parameter]) -> Callable[[], None]:
    """A training step without its optimiser."""

    def run() -> None:
        for weight in weights:
            weight.grad = None
        network(spikes)[0].sum().backward()

    return run


def networks(model: Any) -> tuple[Network, nn.Sequential]:
    """The same network of the neuron's kernels, and of its loop."""
    scale = loops.INPUTS.get(model.function.__name__, (0.4, 0.2))[0]
    first, second = nn.Linear(*SIZES[:2]), nn.Linear(*SIZES[1:])
    with torch.no_grad():
        first.weight.mul_(4 * scale)
        second.weight.mul_(4 * scale)
    one, other = model(), model()

    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, None]:
            hidden, _ = Loop(one)(first(x))
            output: tuple[Tensor, None] = Loop(other)(second(hidden))
            return output

    return Network([first, one, second, other]), Pair()  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--steps", default="25,100")
    parser.add_argument("--neurons", default=",".join(model.function.__name__ for model in literature.NEURONS))
    arguments = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, median of {arguments.turns} turns")
    for steps in map(int, arguments.steps.split(",")):
        generator = torch.Generator().manual_seed(0)
        spikes = (torch.rand(steps, BATCH, SIZES[0], generator=generator) < 0.15).float()
        for model in (getattr(literature, name) for name in arguments.neurons.split(",")):
            torch.manual_seed(0)
            network, loop = networks(model)
            weights = list(network.parameters())
            contenders = step_of(network, spikes, weights), step_of(loop, spikes, weights)
            for contender in contenders:
                contender()
            times: list[list[float]] = [[], []]
            for _ in range(arguments.turns):
                for contender, own in zip(contenders, times, strict=True):
                    begin = time.perf_counter()
                    contender()
                    own.append(time.perf_counter() - begin)
            ratios = [other / own for own, other in zip(*times, strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            print(
                f"T = {steps:3}  {model.function.__name__:28} {1e3 * statistics.median(times[0]):7.1f} ms,"
                f" loop {1e3 * statistics.median(times[1]):8.1f} ms: {middle:.1f} ({low:.1f} … {high:.1f}) times",
                flush=True,
            )


if __name__ == "__main__":
    main()
