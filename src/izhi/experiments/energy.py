"""What a trained network computes for a sample, and an estimate of the energy; no measurement.

The names are those of NeuroBench (J. Yik et al., "The NeuroBench framework for benchmarking neuromorphic computing
algorithms and systems", Nature Communications 16, 2025), per sample over all its steps:

- effective ACs and MACs: products of a nonzero weight and a nonzero input; accumulations alone where every input of the
  layer is a spike (0, 1 or −1), else multiply-accumulates;
- dense: as many as there would be if none were zero. Biases count in none of them;
- activation sparsity: share of neurons and steps without a spike; connection sparsity: share of weights that are 0;
- footprint: bytes of all parameters and buffers as they are in memory.

Different here: whether a layer's inputs are spikes is decided for all steps of a batch, not for each step; feedback is
counted as the connections that it is, from the second step on; of weights that are trained with rounding, those are
zero that are rounded to it. With delays, spikes count that would arrive after the last step.

Beyond NeuroBench: updates of neurons, and words that are read and written where a network runs by events.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from izhi.data import stream
from izhi.experiments.results.comparison import Estimate
from izhi.experiments.trained import Trained
from izhi.hardware.core.energy import ACCESS, ADDITION, FLOAT_ADDITION, FLOAT_PRODUCT, FPGA, PRODUCT
from izhi.kernels import Spikes
from izhi.network import Layer, Network
from izhi.network.connections import Connection
from izhi.network.synapses import ConductanceSynapse
from izhi.neurons import LIF
from izhi.seeds import Purpose, derive_seed
from izhi.training import EVALUATION_BATCH

#: Products and additions of a neuron's update: v² and the five terms of v and u; or the leak.
_IZHIKEVICH, _LIF = (6, 6), (1, 1)
#: Bits of weights and states for which the energy of integers is given where a network has none of its own.
USUAL_BITS = (8, 16)


@dataclass
class LayerCounts:
    """What a layer of neurons, or the readout, does for all samples that were counted.

    Attributes:
        name: such as "layer 1".
        macs, acs: effective synaptic operations.
        dense: synaptic operations if nothing were zero.
        once: of these, those of one step without feedback.
        spikes: that its neurons fire.
        updates: of neurons.
        states: words of state of a neuron.
        products, additions: of an update.
        outputs: neurons, or outputs of the readout.
    """

    name: str
    macs: float = 0
    acs: float = 0
    dense: float = 0
    once: float = 0
    spikes: float = 0
    updates: float = 0
    states: int = 0
    products: int = 0
    additions: int = 0
    outputs: int = 0

    @property
    def reads(self) -> float:
        """Words: a weight for each effective operation, and the states of each neuron that is updated."""
        return self.macs + self.acs + self.updates * self.states

    @property
    def writes(self) -> float:
        """Words of states."""
        return self.updates * self.states


@dataclass(frozen=True)
class Technology:
    """Energy of operations.

    Attributes:
        name: of it.
        source: where the numbers are from.
        addition, product: pJ of one in synapses and neurons.
        multiply: pJ of a product of a weight and an input.
        weight, state: pJ of a word that is read or written.
        factor: by which all of it is multiplied.
    """

    name: str
    source: str
    addition: float
    product: float
    multiply: float
    weight: float
    state: float
    factor: float = 1.0

    def nanojoules(self, layers: Sequence[LayerCounts]) -> float:
        """Of layers' counts."""
        picojoules = 0.0
        for x in layers:
            picojoules += x.acs * self.addition + x.macs * (self.multiply + self.addition)
            picojoules += x.updates * (x.products * self.product + x.additions * self.addition)
            picojoules += (x.acs + x.macs) * self.weight + 2 * x.writes * self.state
        return self.factor * picojoules / 1000

    def nanojoules_of_twin(self, layers: Sequence[LayerCounts], inputs: int) -> float:
        """Of a network of the same widths with ReLU: one pass, in which nothing is left out."""
        products = sum(x.once for x in layers)
        words = inputs + 2 * sum(x.outputs for x in layers)  # each is written, and read by the next layer
        picojoules = products * (self.multiply + self.addition + self.weight) + words * self.state
        return self.factor * picojoules / 1000


HOROWITZ = "M. Horowitz, ISSCC 2014, doi 10.1109/ISSCC.2014.6757323"
KUON = "I. Kuon and J. Rose, IEEE TCAD 26(2), 2007, doi 10.1109/TCAD.2006.884574"


def technologies(weight_bits: int | None, state_bits: int | None) -> list[Technology]:
    """Those for which an estimate is given, for weights and states of such bits; None for the usual ones."""
    w, s = weight_bits or USUAL_BITS[0], state_bits or USUAL_BITS[1]
    integers = (s * ADDITION, s * s * PRODUCT, w * s * PRODUCT, w * ACCESS, s * ACCESS)
    word = 32 * ACCESS
    return [
        Technology("45 nm, float32", HOROWITZ, FLOAT_ADDITION, FLOAT_PRODUCT, FLOAT_PRODUCT, word, word),
        Technology(f"45 nm, integers of {w} and {s} bits", HOROWITZ, *integers),
        Technology("the same in an FPGA, at least", f"{HOROWITZ}; {KUON}", *integers, factor=FPGA[0]),
        Technology("the same in an FPGA, at most", f"{HOROWITZ}; {KUON}", *integers, factor=FPGA[1]),
    ]


@dataclass(frozen=True)
class Counts:
    """What a network does for a sample, on average.

    Attributes:
        samples: that were counted.
        steps: of a sample.
        inputs: features of a step.
        layers: of neurons, then the readout; numbers are per sample.
        footprint: bytes.
        connection_sparsity, activation_sparsity: shares.
        weight_bits, state_bits: of a network that is quantised.
    """

    samples: int
    steps: int
    inputs: int
    layers: list[LayerCounts]
    footprint: int
    connection_sparsity: float
    activation_sparsity: float
    weight_bits: int | None = None
    state_bits: int | None = None

    def total(self, name: str) -> float:
        """Of all layers."""
        return float(sum(getattr(layer, name) for layer in self.layers))

    def energies(self) -> list[tuple[Technology, float, float]]:
        """Each technology with nJ of a sample, and of the dense twin."""
        return [
            (x, x.nanojoules(self.layers), x.nanojoules_of_twin(self.layers, self.inputs))
            for x in technologies(self.weight_bits, self.state_bits)
        ]

    def summary(self) -> dict[str, object]:
        """As plain values, for --json, under NeuroBench's names where there are such."""
        return {
            "samples": self.samples,
            "Footprint": self.footprint,
            "ConnectionSparsity": self.connection_sparsity,
            "ActivationSparsity": self.activation_sparsity,
            "SynapticOperations": {
                "Effective_MACs": self.total("macs"), "Effective_ACs": self.total("acs"), "Dense": self.total("dense"),
            },
            "spikes": self.total("spikes"),
            "neuron_updates": self.total("updates"),
            "memory_reads": self.total("reads"),
            "memory_writes": self.total("writes"),
            "layers": [{**asdict(x), "reads": x.reads, "writes": x.writes} for x in self.layers],
            "dense_twin_MACs": self.total("once"),
            "estimated_nanojoules": [
                {"technology": x.name, "source": x.source, "network": own, "dense_twin": twin}
                for x, own, twin in self.energies()
            ],
        }  # fmt: skip


@dataclass
class _Part:
    """A layer or the readout: its weights as 0 and 1, and its counts."""

    connection: Connection
    counts: LayerCounts
    weight: Tensor = field(init=False)
    feedback: Tensor | None = field(init=False)

    def __post_init__(self) -> None:
        own, weight = self.connection, (self.connection.weight.detach() != 0).float()
        self.weight, self.feedback = weight, None
        if own.feedback is not None:
            self.feedback = (own.feedback.weight.detach() != 0).float()
        elif getattr(own, "recurrent", False):  # rounded in one with the others
            self.weight, self.feedback = weight[:, : own.inputs], weight[:, own.inputs :]

    def see(self, arriving: Spikes, fired: Tensor | None) -> None:
        """Count what arrives, (T, B, *features), and the layer's own spikes."""
        x = arriving if isinstance(arriving, Tensor) else arriving.dense()
        own, some, all_of_it = self.counts, (x != 0).float(), torch.ones_like(x[:1, :1], dtype=torch.float32)
        steps, batch = x.shape[:2]
        effective = self._operations(some, self.weight)
        once = self._operations(all_of_it, torch.ones_like(self.weight))
        own.once, own.dense = once, own.dense + steps * batch * once
        if bool(((x == 0) | (x.abs() == 1)).all()):
            own.acs += effective
        else:
            own.macs += effective
        if fired is None:
            own.outputs = len(self.weight)
            return
        own.spikes += float((fired != 0).sum(dtype=torch.float64))
        own.updates += fired.numel()
        own.outputs = math.prod(fired.shape[2:])
        if self.feedback is not None:
            back = (fired[:-1] != 0).float()
            own.acs += self._operations(back, self.feedback, back=True)
            alone = torch.ones_like(fired[:1, :1], dtype=torch.float32)
            dense = self._operations(alone, torch.ones_like(self.feedback), back=True)
            own.dense += (steps - 1) * batch * dense

    def _operations(self, x: Tensor, weight: Tensor, *, back: bool = False) -> float:
        """How many pairs of one input and one weight, both 0 or 1, meet."""
        module = self.connection.feedback if back and self.connection.feedback is not None else self.connection.input
        if isinstance(module, nn.Linear):
            return float(x.flatten(0, 1).sum(0, dtype=torch.float64) @ weight.sum(0, dtype=torch.float64))
        convolve: Any = nn.functional.conv1d if isinstance(module, nn.Conv1d) else nn.functional.conv2d
        found = convolve(
            x.flatten(0, 1), weight, None, module.stride, module.padding, module.dilation, module.groups
        )  # fmt: skip
        return float(found.sum(dtype=torch.float64))


def _parts(network: Network) -> tuple[dict[nn.Module, _Part], list[_Part]]:
    """By the module whose calls are counted: layers, shortcuts that are connections, and the readout."""
    found: dict[nn.Module, _Part] = {}
    for layer in network.spiking:
        products, additions = _LIF if isinstance(layer.neuron, LIF) else _IZHIKEVICH
        synapse = layer.connection.synapse
        traces = 0 if synapse is None else 2 if isinstance(synapse, ConductanceSynapse) else 1
        states = (1 if isinstance(layer.neuron, LIF) else 2) + traces
        counts = LayerCounts(layer.name, states=states, products=products + traces, additions=additions + traces)
        found[layer] = _Part(layer.connection, counts)
    inside = {id(layer.connection) for layer in network.spiking}
    for module in network.modules():
        if isinstance(module, Connection) and id(module) not in inside:
            name = "readout" if module is network.readout else "shortcut"
            found[module] = _Part(module, LayerCounts(name))
    return found, list(found.values())


def count(run: Trained, samples: int | None = None) -> Counts:
    """Count what a trained network does for test samples, which are coded as in evaluation.

    Args:
        run: the network, on a CPU.
        samples: so many of the first; None for all.
    """
    network, test = run.network, run.dataset.test
    number = len(test) if samples is None else min(samples, len(test))
    by_module, parts = _parts(network)

    def of_layer(layer: nn.Module, given: tuple[Any, ...], found: Any) -> None:
        by_module[layer].see(given[0], found[0] if isinstance(layer, Layer) else None)

    hooks = [module.register_forward_hook(of_layer) for module in by_module]
    classifier, seed = run.classifier, run.experiment.training.seed
    batches = [x for x in torch.split(torch.arange(number), EVALUATION_BATCH)]
    wide = next(network.parameters()).dtype
    try:
        with torch.no_grad():
            for step, (values, _) in enumerate(stream(test, batches)):
                values = values.to(wide) if isinstance(values, Tensor) and wide == torch.float64 else values
                classifier(values, derive_seed(seed, Purpose.TEST, step, 0))
    finally:
        for hook in hooks:
            hook.remove()
    weights = [x for part in parts for x in (part.weight, part.feedback) if x is not None]
    zeros = sum(float((x == 0).sum()) for x in weights) / sum(x.numel() for x in weights)
    fired, updates = sum(x.counts.spikes for x in parts), sum(x.counts.updates for x in parts)
    kept = [*network.parameters(), *network.buffers()]
    bits = run.experiment.quantization
    return Counts(
        number, run.experiment.coding.steps, run.encoder.features, [_per_sample(x.counts, number) for x in parts],
        sum(x.numel() * x.element_size() for x in kept), zeros, 1 - fired / updates if updates else 1.0,
        bits.weight_bits, bits.state_bits,
    )  # fmt: skip


def _per_sample(x: LayerCounts, samples: int) -> LayerCounts:
    values = asdict(x)
    return LayerCounts(**{
        **values, **{name: values[name] / samples for name in ("macs", "acs", "dense", "spikes", "updates")}
    })  # fmt: skip


#: Columns of the tables of a run and of several.
LAYER_HEADINGS = ("", "effective ACs", "effective MACs", "dense", "spikes", "neuron updates", "words read")


def layer_cells(found: Counts) -> list[tuple[str, ...]]:
    """A row for each layer, and one of all."""
    names = ("acs", "macs", "dense", "spikes", "updates", "reads")
    rows = [(x.name, *(f"{getattr(x, name):,.0f}" for name in names)) for x in found.layers]
    return [*rows, ("all", *(f"{found.total(name):,.0f}" for name in names))]


def energy_cells(found: Counts) -> list[tuple[str, ...]]:
    """A row for each technology."""
    return [Estimate(technology=x.name, network=own, dense_twin=twin).cells() for x, own, twin in found.energies()]


#: What is said below every table of energy.
CAVEAT = (
    "An estimate from published energies of additions, products and accesses to a memory of 8 kB"
    f" ({HOROWITZ}), and of FPGAs against integrated circuits ({KUON}); no measurement. Clocks, leakage, pins and"
    " transport are left out. The dense twin has the same widths and ReLU, and is passed once; it is not trained, and"
    " its accuracy is not known."
)

__all__ = [
    "CAVEAT",
    "LAYER_HEADINGS",
    "Counts",
    "LayerCounts",
    "Technology",
    "count",
    "energy_cells",
    "layer_cells",
    "technologies",
]
