"""Operations of a trained network per sample, and an estimate of their energy; no measurement.

The names are those of NeuroBench (J. Yik et al., "The NeuroBench framework for benchmarking neuromorphic computing
algorithms and systems", Nature Communications 16, 2025), per sample over all its steps:

- effective ACs and MACs: products of a nonzero weight and a nonzero input; accumulations alone where every input of the
  layer is a spike (0, 1 or −1), else multiply-accumulates;
- dense: the number of operations if no weight and no input were zero. Biases do not count;
- activation sparsity: share of neurons and steps without a spike; connection sparsity: share of weights that are 0;
- footprint: bytes of all parameters and buffers in memory.

Differences from NeuroBench: whether a layer's inputs are spikes is decided for all steps of a batch, not for each step;
feedback counts as connections, from the second step on; a weight that is trained with rounding is zero if it is rounded
to 0. With delays, spikes that would arrive after the last step count.

Beyond NeuroBench: updates of neurons, and words that an event-driven implementation reads and writes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from izhi.data import stream
from izhi.experiments.results.comparison import ENERGY_HEADINGS, Estimate
from izhi.experiments.tables import Table
from izhi.experiments.trained import Trained
from izhi.hardware.core.energy import ACCESS, ADDITION, FLOAT_ADDITION, FLOAT_PRODUCT, FPGA, PRODUCT
from izhi.kernels import Spikes
from izhi.network import Layer, Network
from izhi.network.connections import Connection
from izhi.network.encoders import EventEncoder, RowEncoder, SeriesEncoder
from izhi.network.synapses import ConductanceSynapse
from izhi.seeds import Purpose, derive_seed
from izhi.training import EVALUATION_BATCH

#: What is counted over all samples.
_COUNTED = ("macs", "acs", "dense", "spikes", "updates")
#: Bits of weights and states for the energy of integers, if the network is not quantised.
USUAL_BITS = (8, 16)


@dataclass
class LayerCounts:
    """Operations of a layer of neurons, or of the readout, for all samples."""

    name: str  #: such as "layer 1"
    macs: float = 0  #: effective synaptic operations
    acs: float = 0  #: effective synaptic operations of spikes
    dense: float = 0  #: synaptic operations if nothing were zero
    once: float = 0  #: dense operations of one step, without feedback
    spikes: float = 0
    updates: float = 0  #: neurons times steps
    states: int = 0  #: words of state of a neuron
    products: int = 0  #: number of products of an update of a neuron
    additions: int = 0  #: number of additions of an update of a neuron
    outputs: int = 0  #: neurons, or outputs of the readout

    @property
    def reads(self) -> float:
        """Words: a weight for each effective operation, and the states of each updated neuron."""
        return self.macs + self.acs + self.updates * self.states

    @property
    def writes(self) -> float:
        """Words of states."""
        return self.updates * self.states


@dataclass(frozen=True)
class Technology:
    """Energy of operations."""

    name: str
    source: str  #: publications of the numbers
    addition: float  #: pJ of an addition in synapses and neurons
    product: float  #: pJ of a product in neurons
    multiply: float  #: pJ of a product of a weight and an input
    weight: float  #: pJ of a weight that is read
    state: float  #: pJ of a word of state that is read or written
    factor: float = 1.0  #: multiplies the sum

    def nanojoules(self, layers: Sequence[LayerCounts]) -> float:
        """Energy of layers' operations."""
        picojoules = 0.0
        for x in layers:
            picojoules += x.acs * self.addition + x.macs * (self.multiply + self.addition)
            picojoules += x.updates * (x.products * self.product + x.additions * self.addition)
            picojoules += (x.acs + x.macs) * self.weight + 2 * x.writes * self.state
        return self.factor * picojoules / 1000

    def nanojoules_of_twin(self, layers: Sequence[LayerCounts], inputs: int, passes: int) -> float:
        """Energy of a network of the same widths with ReLU, for so many dense passes."""
        products = sum(x.once for x in layers)
        words = inputs + 2 * sum(x.outputs for x in layers)  # each is written, and read by the next layer
        picojoules = products * (self.multiply + self.addition + self.weight) + words * self.state
        return self.factor * passes * picojoules / 1000


HOROWITZ = "M. Horowitz, ISSCC 2014, doi 10.1109/ISSCC.2014.6757323"
KUON = "I. Kuon and J. Rose, IEEE TCAD 26(2), 2007, doi 10.1109/TCAD.2006.884574"


def technologies(weight_bits: int | None, state_bits: int | None) -> list[Technology]:
    """The technologies of the estimate, for weights and states of such bits; None for ``USUAL_BITS``."""
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
class OperationCounts:
    """Operations of a network per sample, on average."""

    samples: int  #: number of samples counted
    steps: int  #: time steps of a sample
    inputs: int  #: features of a step
    layers: list[LayerCounts]  #: of neurons, then the readout; numbers are per sample
    footprint: int  #: bytes
    connection_sparsity: float  #: share of weights that are 0
    activation_sparsity: float  #: share of neurons and steps without a spike
    weight_bits: int | None = None  #: None for float weights
    state_bits: int | None = None  #: None for float states
    passes: int = 1  #: passes of the dense twin: one for values, one at each step for samples over time

    def total(self, name: str) -> float:
        """Sum over all layers."""
        return float(sum(getattr(layer, name) for layer in self.layers))

    def energies(self) -> list[tuple[Technology, float, float]]:
        """Each technology with nJ of a sample, and of the dense twin."""
        return [
            (x, x.nanojoules(self.layers), x.nanojoules_of_twin(self.layers, self.inputs, self.passes))
            for x in technologies(self.weight_bits, self.state_bits)
        ]

    def summary(self) -> dict[str, object]:
        """Plain values for --json, under NeuroBench's names where it has one."""
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
            "dense_twin_MACs": self.passes * self.total("once"),
            "estimated_nanojoules": [
                {"technology": x.name, "source": x.source, "network": own, "dense_twin": twin}
                for x, own, twin in self.energies()
            ],
        }  # fmt: skip


@dataclass
class _Counter:
    """Counts the operations of a layer, or of a connection without neurons, by its weights as 0 and 1."""

    connection: Connection
    counts: LayerCounts
    weight: Tensor = field(init=False)
    feedback: Tensor | None = field(init=False)

    def __post_init__(self) -> None:
        own, weight = self.connection, (self.connection.weight.detach() != 0).float()
        self.weight, self.feedback = weight, None
        if own.feedback is not None:
            self.feedback = (own.feedback.weight.detach() != 0).float()
        elif getattr(own, "recurrent", False):  # rounded in one tensor with the others
            self.weight, self.feedback = weight[:, : own.inputs], weight[:, own.inputs :]

    def add(self, inputs: Spikes, spikes: Tensor | None) -> None:
        """Count the operations for inputs (T, B, *features) and the layer's own spikes."""
        x = inputs if isinstance(inputs, Tensor) else inputs.dense()
        own, (steps, batch) = self.counts, x.shape[:2]
        effective, own.once = self._operations(x, self.weight)
        own.dense += steps * batch * own.once
        if bool(((x == 0) | (x.abs() == 1)).all()):
            own.acs += effective
        else:
            own.macs += effective
        if spikes is None:
            own.outputs = len(self.weight)
            return
        own.spikes += float((spikes != 0).sum(dtype=torch.float64))
        own.updates += spikes.numel()
        own.outputs = math.prod(spikes.shape[2:])
        if self.feedback is not None:
            effective, once = self._operations(spikes[:-1], self.feedback, back=True)
            own.acs += effective
            own.dense += (steps - 1) * batch * once

    def _operations(self, x: Tensor, weight: Tensor, *, back: bool = False) -> tuple[float, float]:
        """The pairs of a nonzero input and a nonzero weight: of all samples, and of one step if none were zero."""
        module = self.connection.feedback if back and self.connection.feedback is not None else self.connection.input

        def count(x: Tensor, weight: Tensor) -> float:
            x = x.flatten(0, 1)
            if isinstance(module, nn.Linear):
                return float(x.sum(0, dtype=torch.float64) @ weight.sum(0, dtype=torch.float64))
            convolve: Any = nn.functional.conv1d if isinstance(module, nn.Conv1d) else nn.functional.conv2d
            window = (module.stride, module.padding, module.dilation, module.groups)
            return float(convolve(x, weight, None, *window).sum(dtype=torch.float64))

        one_step = torch.ones((1, 1, *x.shape[2:]))
        return count((x != 0).float(), weight), count(one_step, torch.ones_like(weight))


def _counters(network: Network) -> dict[nn.Module, _Counter]:
    """Counters by module: layers, shortcuts that are connections, and the readout."""
    counters: dict[nn.Module, _Counter] = {}
    for layer in network.spiking:
        neuron: Any = layer.neuron
        # A quantised neuron counts as the float neuron does.
        spec, synapse = getattr(neuron, "neuron", neuron).spec, layer.connection.synapse
        traces = 0 if synapse is None else 2 if isinstance(synapse, ConductanceSynapse) else 1
        products, additions = (n + traces for n in spec.operations)
        states = len(spec.states) + traces
        counts = LayerCounts(layer.name, states=states, products=products, additions=additions)
        counters[layer] = _Counter(layer.connection, counts)
    in_layers = {id(layer.connection) for layer in network.spiking}
    for module in network.modules():
        if isinstance(module, Connection) and id(module) not in in_layers:
            counters[module] = _Counter(module, LayerCounts("readout" if module is network.readout else "shortcut"))
    return counters


def count(run: Trained, samples: int | None = None) -> OperationCounts:
    """Count the operations of a trained network for test samples, which are encoded as in evaluation.

    Args:
        run: the network, on a CPU.
        samples: number of samples, from the first; None for all.
    """
    network, test = run.network, run.dataset.test
    number = len(test) if samples is None else min(samples, len(test))
    by_module = _counters(network)
    counters = list(by_module.values())

    def add(layer: nn.Module, given: tuple[Any, ...], result: Any) -> None:
        by_module[layer].add(given[0], result[0] if isinstance(layer, Layer) else None)

    hooks = [module.register_forward_hook(add) for module in by_module]
    classifier, seed = run.classifier, run.experiment.training.seed
    dtype = next(network.parameters()).dtype
    try:
        with torch.no_grad():
            for step, (values, _) in enumerate(stream(test, torch.split(torch.arange(number), EVALUATION_BATCH))):
                values = values.to(dtype) if isinstance(values, Tensor) and dtype == torch.float64 else values
                classifier(values, derive_seed(seed, Purpose.TEST, step, 0))
    finally:
        for hook in hooks:
            hook.remove()
    weights = [x for one in counters for x in (one.weight, one.feedback) if x is not None]
    zeros = sum(float((x == 0).sum()) for x in weights) / sum(x.numel() for x in weights)
    spikes, updates = sum(x.counts.spikes for x in counters), sum(x.counts.updates for x in counters)
    layers = [replace(x.counts, **{name: getattr(x.counts, name) / number for name in _COUNTED}) for x in counters]
    is_over_time = isinstance(run.encoder, (EventEncoder, RowEncoder, SeriesEncoder))
    tensors, bits = [*network.parameters(), *network.buffers()], run.experiment.quantization
    return OperationCounts(
        number, run.experiment.coding.steps, run.encoder.features, layers,
        sum(x.numel() * x.element_size() for x in tensors), zeros, 1 - spikes / updates if updates else 1.0,
        bits.weight_bits, bits.state_bits, run.experiment.coding.steps if is_over_time else 1,
    )  # fmt: skip


#: Columns of the tables of a run and of several, and their numbers.
LAYER_HEADINGS = ("", "effective ACs", "effective MACs", "dense", "spikes", "neuron updates", "words read")
_NUMBERS = ("acs", "macs", "dense", "spikes", "updates", "reads")


def total_cells(counts: OperationCounts) -> list[str]:
    """The numbers of all layers."""
    return [f"{counts.total(name):,.0f}" for name in _NUMBERS]


def layer_table(counts: OperationCounts) -> Table:
    """A row for each layer, and one of all."""
    rows = [(x.name, *(f"{getattr(x, name):,.0f}" for name in _NUMBERS)) for x in counts.layers]
    return Table(LAYER_HEADINGS, [*rows, ("all", *total_cells(counts))])


def energy_table(counts: OperationCounts) -> Table:
    """A row for each technology."""
    estimates = [Estimate(technology=x.name, network=own, dense_twin=twin) for x, own, twin in counts.energies()]
    return Table(ENERGY_HEADINGS, [x.cells() for x in estimates])


#: The note below every table of energy.
CAVEAT = (
    "An estimate from published energies of additions, products and accesses to a memory of 8 kB"
    f" ({HOROWITZ}), and of FPGAs against integrated circuits ({KUON}); no measurement. Clocks, leakage, pins and"
    " transport are left out. The dense twin has the same widths and ReLU, and is passed once; it is not trained, and"
    " its accuracy is not known."
)
#: What follows it where the twin of samples over time is passed at each step; the rows of studies count one pass.
OVER_TIME = "For samples over time the dense twin is passed once a step."
