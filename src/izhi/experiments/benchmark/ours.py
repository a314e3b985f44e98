"""Izhi itself, by the very functions that its training loop calls; and bare layers without neurons, the floor."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import torch
from torch import Tensor, nn

from izhi.experiments.benchmark.work import SIDE, Steps, Work, torch_steps
from izhi.kernels import routes
from izhi.kernels.routes import RecordedRoute
from izhi.network.sequence import each_step

#: Settings of the hidden layers.
_LAYERS: dict[str, Callable[[Work], dict[str, object]]] = {
    "linear": lambda work: {"hidden": work.widths[1:-1]},
    "convolutional": lambda work: {"layers": "conv 12x5, pool 2, conv 64x5, pool 2"},
}


def _izhi(**settings: object) -> Callable[[Work], Steps]:
    def build(work: Work) -> Steps:
        from izhi import training
        from izhi.experiments import build as construct
        from izhi.experiments.settings import experiment
        from izhi.network.encoders import ValueEncoder

        e = experiment(
            {
                "dataset": "mnist", "steps": work.steps, "batch_size": work.batch,
                "accelerator": "cpu", "readout": "spikes", **_LAYERS[work.network](work), **settings,
            }
        )  # fmt: skip
        shape = (work.inputs,) if work.network == "linear" else (SIDE, SIDE)
        encoder = ValueEncoder("rate", work.steps, shape)
        network = construct.network(e, encoder.grid, work.classes)
        fabric = construct.fabric(e)
        model, optimizer = fabric.setup(training.Classifier(encoder, network), construct.optimizer(e)(network))
        step = training.Step(fabric, model, optimizer, training.LOSSES["count"])
        seeds = count()

        def train(values: Tensor, labels: Tensor) -> None:
            if not model.training:
                model.train()
            seed = next(seeds)
            loss, _ = step(values, labels, seed, "here")
            loss.item()

        def infer(values: Tensor) -> None:
            if model.training:
                model.eval()
            with torch.inference_mode():
                output, _ = model(values, next(seeds))
                output.sum().item()

        return Steps(train, infer)

    return build


def _bare(dtype: torch.dtype) -> Callable[[Work], Steps]:
    """The network's layers on precomputed spikes, with loss and optimiser; no neurons."""

    def build(work: Work) -> Steps:
        layers = nn.ModuleList(module for module in work.row() if module is not None)
        values, _ = work.samples()
        spikes = torch.bernoulli(values.expand(work.steps, *values.shape)).to(dtype)
        mixed = torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16)

        def count(values: Tensor) -> Tensor:
            x = spikes
            with mixed:
                for layer in layers:
                    x = each_step(layer, x)
            return x.sum(0, dtype=torch.float32)

        return torch_steps(count, layers.parameters())

    return build


#: Display name → builder.
OURS: dict[str, Callable[[Work], Steps]] = {
    "Izhi normalized": _izhi(neuron="normalized"),
    "Izhi biological": _izhi(neuron="biological"),
    "Izhi LIF": _izhi(neuron="lif"),
    "Izhi normalized, exponential": _izhi(neuron="normalized", connection="exponential"),
    "Izhi normalized, conductance": _izhi(neuron="normalized", connection="conductance"),
    "Izhi normalized, recurrent": _izhi(neuron="normalized", connection="recurrent"),
    "Izhi normalized, learned": _izhi(
        neuron="normalized", learn=("a1", "a2", "a3", "b1", "b2", "c", "d", "threshold", "gain"), per_neuron=True
    ),
    "Izhi normalized, fp32": _izhi(neuron="normalized", precision="32-true"),
    "Izhi normalized, bf16": _izhi(neuron="normalized", precision="bf16-mixed"),
    "Izhi normalized, 16-bit states": _izhi(neuron="normalized", state_bits=16),
    "Izhi normalized, 16-bit states, 4-bit weights": _izhi(neuron="normalized", state_bits=16, weight_bits=4),
    "Izhi LIF, 16-bit states": _izhi(neuron="lif", state_bits=16),
    "linear layers, bf16": _bare(torch.bfloat16),
    "linear layers, fp32": _bare(torch.float32),
    "layers without neurons, bf16": _bare(torch.bfloat16),
    "layers without neurons, fp32": _bare(torch.float32),
}
#: Those of convolutional networks.
WITH_CONVOLUTIONS = (
    "Izhi normalized", "Izhi biological", "Izhi LIF", "Izhi normalized, fp32", "layers without neurons, bf16",
    "layers without neurons, fp32",
)  # fmt: skip


def explained(name: str, work: Work) -> list[RecordedRoute]:
    """The kernels of one training step of a contender of ``OURS``, and why: of each product and layer of neurons."""
    torch.manual_seed(0)
    steps = OURS[name](work)
    with routes.recorded() as records:
        steps.train(*work.samples())
    return records
