"""Training steps of neurons that ``@izhi.neuron`` made, against their loops over time in torch.

    python benchmarks/own_neurons.py [--turns 9] [--steps 25,100] [--neurons exponential,parametric_lif] [--spikes]

A network 784-512-10 of each neuron of ``izhi.equation.literature`` trains in float32 on a batch of 128 samples like
those of MNIST (``izhi.experiments.benchmark.work``). A training step is what ``izhi bench`` times: Bernoulli spikes,
forward pass, cross-entropy of the spike counts, backward pass, Adam. With ``--spikes`` both get the same dense tensor
of uniform random spikes, 15 % of them 1, and a step is forward and backward pass alone.

The loop is that of snnTorch's tutorials: ``torch.bernoulli`` encodes all time steps, and in each step a linear layer,
neurons, a linear layer and neurons run one after the other. Its neurons are those of tests/equation/test_literature.py.
``--at-once`` multiplies all time steps by the weights in one product, before the loop over the neurons.

In a turn both make ten steps in a row, as training does; a ratio is the median of the turns, with its quartiles. With
one thread times are those of the CPU, which other processes disturb less.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from izhi.equation import literature
from izhi.errors import SilentLayerWarning
from izhi.experiments.benchmark.work import Work, torch_steps
from izhi.network import Network
from izhi.network.encoders import ValueEncoder
from izhi.training import keep_freed_memory

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "equation"))
loops = import_module("test_literature")

#: Training steps of each contender in a turn.
IN_A_ROW = 10


class Loop(nn.Module):
    """The network step by step.

    Args:
        linear: its layers.
        neurons: behind each of them.
        at_once: whether a layer multiplies all time steps at once.
    """

    def __init__(self, linear: list[nn.Linear], neurons: list[Any], at_once: bool) -> None:
        super().__init__()
        self.linear, self.neurons, self.at_once = linear, neurons, at_once

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """Spikes (T, B, I) → spikes (T, B, O)."""
        if self.at_once:
            for linear, layer in zip(self.linear, self.neurons, strict=True):
                state, spikes = None, []
                for current in linear(x):
                    state, s = self._step(layer, state, current)
                    spikes.append(s)
                x = torch.stack(spikes)
            return x, None
        states: list[Any] = [None] * len(self.linear)
        outputs = []
        for s in x:
            for k, (linear, layer) in enumerate(zip(self.linear, self.neurons, strict=True)):
                states[k], s = self._step(layer, states[k], linear(s))
            outputs.append(s)
        return torch.stack(outputs), None

    @staticmethod
    def _step(layer: Any, state: Any, current: Tensor) -> tuple[Any, Tensor]:
        state = list(layer.initial_state(current))[:-1] if state is None else state
        step: Callable[..., tuple[Any, Tensor]] = getattr(loops, layer.model.function.__name__)
        return step(state, current, layer.coefficients())


def contenders(model: Any, work: Work, given: bool, at_once: bool) -> list[Callable[[], None]]:
    """Training steps of the neuron's kernels, and of its loop, with the same weights."""
    gain = 6 * loops.INPUTS.get(model.function.__name__, (0.4, 0.2))[0]
    torch.manual_seed(0)
    linear = [nn.Linear(a, b) for a, b in pairwise(work.widths)]
    for layer in linear:
        nn.init.uniform_(layer.weight, *(x * gain / layer.in_features**0.5 for x in (-1, 1)))
    neurons = [[model() for _ in linear] for _ in range(2)]
    network = Network([x for pair in zip(linear, neurons[0], strict=True) for x in pair])
    loop = Loop(linear, neurons[1], at_once)
    parameters = [parameter for layer in linear for parameter in layer.parameters()]
    if given:
        generator = torch.Generator().manual_seed(0)
        spikes = (torch.rand(work.steps, work.batch, work.inputs, generator=generator) < 0.15).float()

        def learn(network: Callable[[Tensor], Any]) -> None:
            for parameter in parameters:
                parameter.grad = None
            network(spikes)[0].sum().backward()

        return [lambda: learn(network), lambda: learn(loop)]
    (values, labels), seeds = work.samples(), count()
    encoder = ValueEncoder("rate", work.steps, (work.inputs,))
    steps = [
        torch_steps(lambda x: network(encoder(x, next(seeds)))[0].sum(0), parameters),
        torch_steps(lambda x: loop(torch.bernoulli(x.expand(work.steps, *x.shape)))[0].sum(0), parameters),
    ]
    return [partial(step.train, values, labels) for step in steps]


def ratios(both: list[Callable[[], None]], turns: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds of a step of both in each turn, and their ratios."""
    times: list[list[float]] = [[], []]
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    for contender in both:
        contender()
    for _ in range(turns):
        for contender, own in zip(both, times, strict=True):
            begin = clock()
            for _ in range(IN_A_ROW):
                contender()
            own.append((clock() - begin) / IN_A_ROW)
    return times[0], times[1], [loop / kernels for kernels, loop in zip(*times, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--steps", default="25,100", help="time steps T, with commas")
    parser.add_argument("--neurons", default=",".join(model.function.__name__ for model in literature.NEURONS))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--spikes", action="store_true", help="uniform random spikes, forward and backward pass alone")
    parser.add_argument("--at-once", action="store_true", help="the loop multiplies all time steps in one product")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()  # for both, as izhi bench
    warnings.simplefilter("ignore", SilentLayerWarning)
    print(f"{arguments.threads} threads, median of {arguments.turns} turns of {IN_A_ROW} steps")
    for steps in map(int, arguments.steps.split(",")):
        work = Work(steps=steps, batch=128)
        for name in arguments.neurons.split(","):
            both = contenders(getattr(literature, name), work, arguments.spikes, arguments.at_once)
            kernels, loop, quotients = ratios(both, arguments.turns)
            low, middle, high = statistics.quantiles(quotients, n=4)
            print(
                f"T = {steps:3}  {name:28} {1e3 * statistics.median(kernels):7.1f} ms,"
                f" loop {1e3 * statistics.median(loop):8.1f} ms: {middle:.1f} ({low:.1f} … {high:.1f}) times",
                flush=True,
            )


if __name__ == "__main__":
    main()
