"""Does ``izhi.snntorch.Izhikevich`` learn in the networks of snnTorch's tutorials? A Markdown table.

    python benchmarks/snntorch_tutorials.py
    python benchmarks/snntorch_tutorials.py --networks recurrent --seeds 0,1,2 --neurons Leaky,Izhikevich,RS
    python benchmarks/snntorch_tutorials.py --held-out 0.1    # judged by a tenth of the training samples: to choose

Each network, its loss, its learning rate and its batches are those of the tutorial that it is named after, and are
trained on MNIST for one epoch; what changes is the line that makes a neuron.

- connected: tutorial 5, 784-1000-10 over 25 steps, cross-entropy of the membrane in every step.
- convolutional: tutorial 6, 12C5-MP2-64C5-MP2-1024FC10 over 50 steps, cross-entropy of spike counts.
- recurrent: that of tutorial 5, whose hidden neurons are ``RLeaky``, or ``RIzhikevich``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import snntorch as snn
import torch
from snntorch import functional, surrogate
from torch import Tensor, nn

import izhi.snntorch
from izhi.data import load, split

#: Options of a neuron → the neuron.
Make = Callable[..., nn.Module]


@dataclass(frozen=True)
class Tutorial:
    """A network of a tutorial, and how it is trained.

    Attributes:
        build: the network, from what makes a neuron.
        steps: T.
        rate: of Adam.
        loss: of spikes and membranes (T, B, 10) and labels.
    """

    build: Callable[[Make], nn.Sequential]
    steps: int
    rate: float
    loss: Callable[[Tensor, Tensor, Tensor], Tensor]


def connected(neuron: Make) -> nn.Sequential:
    return nn.Sequential(nn.Linear(784, 1000), neuron(), nn.Linear(1000, 10), neuron(output=True))


def recurrent(neuron: Make) -> nn.Sequential:
    hidden = neuron(linear_features=100)
    return nn.Sequential(nn.Linear(784, 100), hidden, nn.Linear(100, 10), neuron(output=True))


def convolutional(neuron: Make) -> nn.Sequential:
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)), nn.Conv2d(1, 12, 5), nn.MaxPool2d(2), neuron(),
        nn.Conv2d(12, 64, 5), nn.MaxPool2d(2), neuron(), nn.Flatten(), nn.Linear(1024, 10), neuron(output=True),
    )  # fmt: skip


def of_membranes(spikes: Tensor, membranes: Tensor, labels: Tensor) -> Tensor:
    """Tutorial 5: the sum of the cross-entropy of every step."""
    return torch.stack([nn.functional.cross_entropy(step, labels) for step in membranes]).sum()


def of_rates(spikes: Tensor, membranes: Tensor, labels: Tensor) -> Tensor:
    """Tutorial 6."""
    found: Tensor = functional.ce_rate_loss()(spikes, labels)
    return found


TUTORIALS = {
    "connected": Tutorial(connected, 25, 5e-4, of_membranes),
    "convolutional": Tutorial(convolutional, 50, 1e-2, of_rates),
    "recurrent": Tutorial(recurrent, 25, 5e-4, of_membranes),
}
BATCH = 128


def maker(name: str, network: str) -> Make:
    """The line that changes: snnTorch's neuron as the tutorial has it, or ours at its defaults."""

    def make(**options: Any) -> nn.Module:
        is_recurrent = "linear_features" in options
        found: nn.Module
        if name != "Leaky":
            kind = izhi.snntorch.RIzhikevich if is_recurrent else izhi.snntorch.Izhikevich
            preset = () if name == "Izhikevich" else (name,)
            found = kind(*preset, init_hidden=True, **options)
            return found
        leaky = snn.RLeaky if is_recurrent else snn.Leaky
        if network == "convolutional":
            options = {"spike_grad": surrogate.fast_sigmoid(slope=25), **options}
        found = leaky(beta=0.5 if network == "convolutional" else 0.95, init_hidden=True, **options)
        return found

    return make


def run(network: nn.Sequential, values: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Spikes and membranes of the last layer, (T, B, 10), of values (B, 784) as currents of every step.

    What stands before the first neuron gives the same in every step, and runs once.
    """
    izhi.snntorch.reset(network)
    first = next(place for place, layer in enumerate(network) if isinstance(layer, snn.SpikingNeuron))
    current = network[:first](values)
    found = [network[first:](current)[:2] for _ in range(steps)]
    spikes, membranes = zip(*found, strict=True)
    return torch.stack(spikes), torch.stack(membranes)


def accuracy(name: str, neuron: str, seed: int, samples: int | None, held_out: float) -> tuple[float, float]:
    """Share of test samples, or of those held out, that are classified right after one epoch; minutes that took."""
    torch.manual_seed(seed)
    tutorial, data, began = TUTORIALS[name], load("mnist"), time.perf_counter()
    train, test = split(data.train, held_out, seed) if held_out else (data.train, data.test)
    network = tutorial.build(maker(neuron, name))
    optimizer = torch.optim.Adam(network.parameters(), lr=tutorial.rate, betas=(0.9, 0.999))
    order = torch.randperm(len(train))[:samples]
    for batch in torch.split(order, BATCH):
        values, labels = train.batch(batch)
        assert isinstance(values, Tensor)
        loss = tutorial.loss(*run(network, values, tutorial.steps), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    network.eval()
    right = 0
    with torch.no_grad():
        for part in torch.split(torch.arange(len(test))[:samples], 500):
            values, labels = test.batch(part)
            assert isinstance(values, Tensor)
            spikes, _ = run(network, values, tutorial.steps)
            right += int((spikes.sum(0).argmax(1) == labels).sum())
    return right / len(test.labels[:samples]), (time.perf_counter() - began) / 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(TUTORIALS))
    parser.add_argument("--neurons", default="Leaky,Izhikevich,biological")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--samples", type=int, help="of an epoch, and to test on; default: all")
    parser.add_argument("--held-out", type=float, default=0.0, help="share of training samples to test on instead")
    a = parser.parse_args()
    print("| network | neuron | test accuracy (%) | minutes |\n|---|---|---:|---:|", flush=True)
    for name in a.networks.split(","):
        for neuron in a.neurons.split(","):
            found = [accuracy(name, neuron, int(seed), a.samples, a.held_out) for seed in a.seeds.split(",")]
            shares, minutes = zip(*((100 * share, time) for share, time in found), strict=True)
            spread = f" ± {statistics.stdev(shares):.2f}" if len(shares) > 1 else ""
            text = f"{statistics.mean(shares):.2f}{spread}"
            print(f"| {name} | {neuron} | {text} | {statistics.mean(minutes):.1f} |", flush=True)


if __name__ == "__main__":
    main()
