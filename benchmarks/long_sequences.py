"""Resonators over hundreds of time steps: a training step of ours against a loop in TorchScript. A Markdown table.

    python benchmarks/long_sequences.py
    python benchmarks/long_sequences.py --networks recurrent --neurons balanced --batch 128 --threads 1

An image's pixels come one after the other, as in S-MNIST: networks of 1 input, 256 neurons that are fed back, and 10
outputs ("recurrent"), or of two such layers without feedback ("two layers"). Neurons are resonators without reset or
balanced resonate-and-fire neurons, of fixed frequencies, and fire in 6 to 15 % of the steps; the answer is the mean of
the readout over the steps. The loop in TorchScript has the same weights, neurons and surrogate gradient; "online" is
training by ``izhi.training.Online`` with segments of --segment steps, whose gradient is another one behind a spike that
reaches neurons in a later segment. The first step's loss, and the length of its gradients, stand beside the times of
all. Each measurement is a process of its own, and they take turns; times are medians of the steps of all rounds.
"peak MB" is what a step takes beside what was there before the first one.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import izhi
from izhi import training
from izhi.connections import Linear
from izhi.network import Layer, Network

NETWORKS, NEURONS, WAYS = (
    ("recurrent", "two layers"), ("resonators", "balanced"), ("float32", "bfloat16", "online", "loop")
)  # fmt: skip
CLASSES, WARM_UP = 10, 2
#: One step of training: inputs (T, B, 1), labels → loss.
Step = Callable[[Tensor, Tensor], Tensor]
#: Of weights, at which some per cent of a layer's neurons fire in a step.
SCALES = {"resonators": 0.5, "balanced": 300.0}


def network_of(kind: str, neuron: str, width: int) -> Network:
    """A network of one kind of neurons, of fixed frequencies."""

    def neurons() -> izhi.Izhikevich:
        spread = izhi.BalancedResonators() if neuron == "balanced" else izhi.Resonators()
        return izhi.Izhikevich(spread, parameter_shape=width)

    torch.manual_seed(0)
    layers = [Layer(Linear(1, width, bias=False, recurrent=kind == "recurrent"), neurons())]
    if kind == "two layers":
        layers.append(Layer(Linear(width, width, bias=False), neurons()))
    network = Network(layers, nn.Linear(width, CLASSES, bias=False))
    with torch.no_grad():
        for layer in layers:
            inputs, feedback = layer.connection.input.weight, layer.connection.feedback
            nn.init.uniform_(inputs, -1, 1)
            inputs.mul_(SCALES[neuron] / math.sqrt(inputs.shape[1]))
            if feedback is not None:
                feedback.weight.mul_(0.2)
    return network


@torch.jit.script
def spike(x: Tensor) -> Tensor:
    """1 where x ≥ 0; the gradient is that of arctan(π·x)/π."""
    soft = torch.atan(math.pi * x) / math.pi
    return soft + ((x >= 0).to(x.dtype) - soft).detach()


@torch.jit.script
def loop(
    inputs: Tensor, weights: list[Tensor], feedback: Tensor, a2: list[Tensor], turn: list[Tensor], gain: float,
    damping: float, q_decay: float, out: Tensor,
) -> Tensor:  # fmt: skip
    """The mean readout (B, classes) of inputs (T, B, 1): of resonators where the damping is 0, else of balanced ones.

    ``feedback`` has no elements where the layer has none.
    """
    layers, steps = len(weights), inputs.size(0)
    zeros = torch.zeros(inputs.size(1), weights[0].size(0))
    v, u, q, z = [zeros] * layers, [zeros] * layers, [zeros] * layers, zeros
    total = torch.zeros(inputs.size(1), out.size(0))
    for t in range(steps):
        x = inputs[t]
        for k in range(layers):
            current = x @ weights[k].t()
            if feedback.numel() > 0:
                current = current + z @ feedback.t()
            if damping > 0:
                before = v[k]
                v[k] = before + (a2[k] - damping * q[k]) * before - turn[k] * u[k] + gain * current
                u[k] = u[k] + turn[k] * before + (a2[k] - damping * q[k]) * u[k]
                z = spike(v[k] - 1.0 - q[k])
                q[k] = q_decay * q[k] + z
            else:
                v[k] = v[k] + a2[k] * v[k] - turn[k] * u[k] + gain * current
                u[k] = u[k] + turn[k] * v[k] + a2[k] * u[k]
                z = spike(v[k] - 1.0)
            x = z
        total = total + x @ out.t()
    return total / steps


def in_torchscript(network: Network) -> Callable[[Tensor], Tensor]:
    """The same network as a loop, which takes (T, B, 1) and gives (B, classes)."""
    layers: list[Any] = list(network.layers)
    each, readout = [layer.neuron.coefficients() for layer in layers], network.readout
    assert readout is not None
    damping, q_decay = (float(getattr(each[0], name, 0.0)) for name in ("q_damping", "q_decay"))
    a2, turn, gain = [p.a2.detach() for p in each], [p.b1.detach() for p in each], float(each[0].gain)
    weights = [layer.connection.input.weight for layer in layers]
    recurrent = layers[0].connection.feedback
    feedback = torch.empty(0) if recurrent is None else recurrent.weight
    return lambda inputs: loop(
        inputs, weights, feedback, a2, turn, gain, damping, q_decay, readout.weight
    )  # fmt: skip


def backpropagated(network: Network, optimizer: torch.optim.Optimizer, way: str) -> Step:
    """A step of training by backpropagation: inputs, labels → loss."""
    run = in_torchscript(network) if way == "loop" else lambda x: network(x)[0].mean(0)

    def step(values: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=way == "bfloat16"):
            loss = nn.functional.cross_entropy(run(values).float(), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss

    return step


class AsTheyAre(nn.Module):
    """The encoder of inputs that are currents already."""

    def forward(self, samples: Tensor, seed: int, **others: object) -> Tensor:
        return samples


def online(network: Network, optimizer: torch.optim.Optimizer, segment: int) -> Step:
    """A step of online training."""
    fabric = training.make_fabric("cpu", precision="32-true")
    trainer = training.Trainer(training.Online(segment=segment), fabric, loss=training.LOSSES["mean"])
    model, wrapped = fabric.setup(training.Classifier(AsTheyAre(), network, trainer.measure), optimizer)  # type: ignore[arg-type]
    step = trainer.method.start_step(trainer, model, wrapped)  # type: ignore[attr-defined]
    return lambda values, labels: step(values, labels, 0, "")[0]


def measured(a: argparse.Namespace) -> dict[str, object]:
    """Seconds of each step, the peak of memory above what was there before, and the first step's loss and gradients."""
    torch.set_num_threads(a.threads)
    network = network_of(a.networks, a.neurons, a.width)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    step = online(network, optimizer, a.segment) if a.way == "online" else backpropagated(network, optimizer, a.way)
    values = torch.rand(a.steps, a.batch, 1).masked_fill_(torch.rand(a.steps, a.batch, 1) < 0.8, 0)
    labels = torch.randint(CLASSES, (a.batch,))
    seconds, first, before = [], {}, _peak()
    for number in range(WARM_UP + a.repeats):
        began = time.perf_counter()
        loss = step(values, labels)
        seconds.append(time.perf_counter() - began)
        if number == 0:
            gradients = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
            first = {"loss": loss.item(), "gradients": gradients.double().norm().item()}
    return {"seconds": seconds[WARM_UP:], "peak": _peak() - before, **first}


def _peak() -> float:
    """The most memory of this process since it started, in MB."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, known in (("networks", NETWORKS), ("neurons", NEURONS), ("ways", WAYS)):
        usual = ",".join(x for x in known if x != "online")
        parser.add_argument(f"--{name}", default=usual, help=f"of: {', '.join(known)} [{usual}]")
    parser.add_argument("--width", type=int, default=256, help="neurons of a layer [256]")
    parser.add_argument("--steps", type=int, default=784, help="time steps [784]")
    parser.add_argument("--batch", type=int, default=256, help="images of a step [256]")
    parser.add_argument("--segment", type=int, default=56, help="time steps of a segment of online training [56]")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3, help="processes of each way [3]")
    parser.add_argument("--repeats", type=int, default=5, help="training steps of a process that count [5]")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    a = parser.parse_args()
    for name, known in (("networks", NETWORKS), ("neurons", NEURONS), ("ways", WAYS)):
        if unknown := [x for x in getattr(a, name).split(",") if x not in known]:
            parser.error(f"--{name}: {unknown[0]!r} is none of {', '.join(known)}")
    if a.way:
        print(json.dumps(measured(a)))
        return
    print(f"T = {a.steps}, batch {a.batch}, {a.threads} threads, {a.rounds} rounds of {a.repeats} steps\n")
    print("| network | neurons | way | ms a step | times as fast as the loop | peak MB | loss | gradients |")
    print("|---|---|---|---:|---:|---:|---:|---:|")
    for kind in a.networks.split(","):
        for neuron in a.neurons.split(","):
            _print_rows(a, kind, neuron)


def _print_rows(a: argparse.Namespace, kind: str, neuron: str) -> None:
    ways, rounds = a.ways.split(","), []
    words = [sys.executable, __file__, f"--networks={kind}", f"--neurons={neuron}"]
    words += [f"--{x}={getattr(a, x)}" for x in ("width", "steps", "batch", "segment", "threads", "repeats")]
    for _ in range(a.rounds):
        said = {
            way: subprocess.run([*words, "--way", way], check=True, capture_output=True, text=True).stdout
            for way in ways
        }
        rounds.append({way: json.loads(text) for way, text in said.items()})
    for way in ways:
        medians = [statistics.median(one[way]["seconds"]) for one in rounds]
        ratio = "–"
        if "loop" in ways:
            slow = [statistics.median(one["loop"]["seconds"]) for one in rounds]
            ratio = f"{statistics.median(y / x for x, y in zip(medians, slow, strict=True)):.2f}"
        milliseconds, one = 1000 * statistics.median(medians), rounds[0][way]
        peak = statistics.median(one[way]["peak"] for one in rounds)
        print(
            f"| {kind} | {neuron} | {way} | {milliseconds:.0f} | {ratio} | {peak:,.0f} | {one['loss']:.6f}"
            f" | {one['gradients']:.6f} |", flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
