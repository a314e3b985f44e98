"""The groups of an experiment's settings. Names are unique, so the command line gives them flat."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from pydantic import field_serializer
from pydantic.fields import FieldInfo

from izhi.data import DATASETS
from izhi.data.catalogue import FOLDS
from izhi.experiments.settings.choices import SEARCHES
from izhi.experiments.settings.fields import (
    Group,
    Mark,
    Names,
    Widths,
    marks_of,
    setting,
)
from izhi.experiments.settings.layers import Layers, LayerSettings
from izhi.experiments.settings.neurons import NeuronSettings
from izhi.hardware.networks import GRADED

Readout = Literal["spikes", "current", "membrane"]


class DataSettings(Group):
    """The data set, and which of its training samples are held out."""

    dataset: str = setting(
        "digits",
        "data set: " + ", ".join(DATASETS)
        + "; or ts:NAME of the UCR and UEA archives, a file .npz or .ts, a folder of classes, or module:function",
        Mark.CODES | Mark.SHAPES | Mark.SAME_IN_TRIALS | Mark.SAME_IN_VARIANTS,
    )  # fmt: skip
    validation: float = setting(
        0.1,
        "share of the training samples held out for validation",
        Mark.SAME_IN_TRIALS,
        ge=0,
        lt=1,
    )
    validation_speaker: int | None = setting(
        None, "hold out the training samples of this speaker or subject for validation, in place of a share",
        Mark.OF_EVENTS | Mark.OF_SERIES, ge=0, lt=2**32,
    )  # fmt: skip
    fold: int | None = setting(
        None,
        "test on this fifth of an embedded data set, 0 to 4; default: its usual test samples",
        Mark.CODES | Mark.SHAPES | Mark.SAME_IN_VARIANTS | Mark.OF_EMBEDDED, ge=0, lt=FOLDS,
    )  # fmt: skip
    best_inputs: int | None = setting(
        None,
        "keep the N inputs of an embedded data set with the largest ANOVA F; default: all",
        Mark.CODES | Mark.SHAPES | Mark.OF_EMBEDDED, ge=1, le=1_000_000,
    )  # fmt: skip
    train_samples: int | None = setting(
        None, "train on so many of the training samples, drawn by the split's seed; default: all",
        Mark.SAME_IN_TRIALS, ge=1,
    )  # fmt: skip
    split_seed: int = setting(0, "seed of the training/validation split", Mark.SAME_IN_TRIALS, ge=0, lt=2**32)
    without: Names = setting((), "classes left out of training, comma-separated")


class CodingSettings(Group):
    """How a sample becomes spikes over time."""

    encoding: Literal["rate", "latency", "constant", "rows", "pixels", "events", "current", "delta", "level"] | None = (
        setting(
            None,
            "encoding of the inputs; default: rate, for recordings events, for time series current",
            Mark.CODES | Mark.SHAPES,
        )
    )
    population: int = setting(
        0, "Gaussian receptive fields per input; 0 for none, else 3 or more",
        Mark.CODES | Mark.SHAPES, ge=0, le=1000,
    )  # fmt: skip
    levels: int = setting(
        255, "whole numbers that a current takes (constant, current) in a network of quantised weights",
        Mark.CODES | Mark.SHAPES | Mark.OF_QUANTIZING, ge=1, le=255,
    )  # fmt: skip
    permutation: int | None = setting(
        None, "seed of one fixed order of the pixels of all images (rows, pixels); default: as they are",
        Mark.CODES | Mark.SHAPES, ge=0, lt=2**32,
    )  # fmt: skip
    steps: int = setting(25, "time steps T", Mark.CODES | Mark.SHAPES, ge=1, le=1_000_000)
    window: float | None = setting(
        None, "milliseconds of a recording that fill the steps; default: by data set",
        Mark.CODES | Mark.SHAPES | Mark.OF_EVENTS, gt=0,
    )  # fmt: skip
    pool: int = setting(
        1, "merge N neighbouring channels or pixels of events into one input",
        Mark.CODES | Mark.SHAPES | Mark.OF_EVENTS, ge=1, le=1000,
    )  # fmt: skip
    normalize_time: bool = setting(
        False, "time normalisation: the middle nine tenths of a recording's events fill the same span",
        Mark.CODES | Mark.SHAPES | Mark.OF_EVENTS,
    )  # fmt: skip
    counts: bool = setting(
        False, "inputs are the numbers of events in a step, not only whether any came; also of delta",
        Mark.CODES | Mark.SHAPES | Mark.OF_EVENTS,
    )  # fmt: skip
    lengths: Literal["resample", "pad"] = setting(
        "resample", "time series: averaged to the steps, or as they are, where output after their end does not count",
        Mark.CODES | Mark.SHAPES | Mark.OF_SERIES,
    )  # fmt: skip
    delta: float = setting(
        0.1, "send-on-delta: change of a channel that sends a spike, as a share of its range (delta)",
        Mark.CODES | Mark.SHAPES | Mark.OF_SERIES, gt=0, le=1,
    )  # fmt: skip
    crossings: int = setting(
        8, "levels of a channel of which each sends a spike when it is crossed (level)",
        Mark.CODES | Mark.SHAPES | Mark.OF_SERIES, ge=1, le=1000,
    )  # fmt: skip

    @property
    def is_graded(self) -> bool:
        """Whether inputs are values as currents, which hardware takes as whole numbers, ``levels`` of them."""
        return self.encoding in GRADED


class AugmentationSettings(Group):
    """Data augmentation: random changes of samples while training."""

    shift: int = setting(
        0, "augmentation: largest shift of recordings or images, in channels or pixels",
        ge=0, le=1000,
    )  # fmt: skip
    stretch: float = setting(0.0, "augmentation: random tempo, times ± this share", Mark.OF_EVENTS, ge=0, lt=1)
    drop: float = setting(0.0, "augmentation: share of events dropped", Mark.OF_EVENTS, ge=0, lt=1)
    equalize: float = setting(
        0.0, "augmentation of counts: log-spread of a smooth random gain over channels",
        Mark.OF_EVENTS, ge=0, le=10,
    )  # fmt: skip
    onset: float = setting(
        0.0, "augmentation: recordings begin up to this many milliseconds earlier or later",
        Mark.OF_EVENTS, ge=0,
    )  # fmt: skip
    warp: float = setting(
        0.0, "augmentation: time warp, t/window becomes (t/window)^γ, |ln γ| up to this",
        Mark.OF_EVENTS, ge=0, le=2,
    )  # fmt: skip


class NetworkSettings(Group):
    """Layers, and how they are connected."""

    hidden: Widths = setting((512,), "widths of the hidden layers, comma-separated", Mark.SHAPES)
    layers: Layers | None = setting(
        None, "hidden layers one by one, in place of hidden, such as 'conv 16x5, pool 2, conv 32x5 norm, pool 2, 128'",
        Mark.SHAPES,
    )  # fmt: skip
    modules: tuple[dict[str, Any], ...] | None = setting(
        None, "the whole network module by module, as a run of izhi nir import has it, in place of layers and neurons",
        Mark.SHAPES | Mark.OF_FILES, max_length=1000,
    )  # fmt: skip
    connection: Literal[
        "linear", "exponential", "conductance",
        "recurrent", "recurrent-exponential", "recurrent-conductance",
    ] = setting("linear", "connection into every layer of neurons", Mark.SHAPES)  # fmt: skip
    tau: float = setting(10.0, "synaptic decay time, steps", gt=1)
    delays: int = setting(
        0, "largest learned delay into each layer of neurons, in steps; 0 for none", Mark.SHAPES,
        ge=0, le=10_000,
    )  # fmt: skip
    delay_type: Literal["axonal", "synaptic"] = setting(
        "axonal", "one delay for each presynaptic neuron, or one for each synapse", Mark.SHAPES
    )
    inhibitory: float | None = setting(
        None, "share of inhibitory presynaptic neurons (conductance); default: free signs",
        ge=0, le=1,
    )  # fmt: skip
    readout: Readout | None = setting(
        None, "what the loss reads; default: by neuron (spikes, biological: current)", Mark.SHAPES
    )
    dropout: float = setting(
        0.0,
        "dropout: share of hidden neurons silenced for a whole sample while training",
        ge=0,
        lt=1,
    )
    keep_every: int | None = setting(
        None, "activation checkpointing: keep every k-th state for the backward pass; default: all",
        ge=1, le=1_000_000,
    )  # fmt: skip

    @property
    def rows(self) -> tuple[LayerSettings, ...]:
        """The hidden layers, one by one."""
        return self.layers if self.layers is not None else tuple(LayerSettings(size=width) for width in self.hidden)

    @field_serializer("layers")
    def _tables(self, layers: tuple[LayerSettings, ...] | None) -> list[dict[str, object]] | None:
        return None if layers is None else [layer.table() for layer in layers]


class QuantizationSettings(Group):
    """Quantisation-aware training: bits of weights and states."""

    weight_bits: int | None = setting(
        None, "bits of a weight, trained with its rounding (QAT); default: float", Mark.SHAPES,
        ge=2, le=8,
    )  # fmt: skip
    weight_scale: Literal["layer", "neuron"] = setting(
        "neuron",
        "one weight scale for each neuron, or one for the layer",
        Mark.SHAPES | Mark.OF_QUANTIZING,
    )
    state_bits: int | None = setting(
        None, "bits of v, u and currents, trained with their rounding (QAT); default: float",
        Mark.SHAPES, ge=4, le=24,
    )  # fmt: skip

    @property
    def is_quantized(self) -> bool:
        """Whether weights or states are rounded."""
        return self.weight_bits is not None or self.state_bits is not None

    @property
    def is_whole(self) -> bool:
        """Whether weights and states are both rounded, as hardware needs them."""
        return self.weight_bits is not None and self.state_bits is not None


class TrainingSettings(Group):
    """Loss, optimiser and learning rates."""

    epochs: int = setting(
        10, "passes over the training samples",
        Mark.MAY_CHANGE | Mark.SAME_IN_TRIALS | Mark.OF_QUANTIZING | Mark.ON_DEVICE,
        ge=1, le=1_000_000,
    )  # fmt: skip
    patience: int | None = setting(
        None, "early stopping: end after so many epochs without a better validation accuracy; default: never",
        Mark.MAY_CHANGE | Mark.OF_QUANTIZING, ge=1, le=1_000_000,
    )  # fmt: skip
    batch_size: int = setting(256, "samples per step", Mark.ON_DEVICE, ge=1, le=1_000_000)
    loss: Literal["count", "step", "max", "rate_mse"] = setting(
        "count", "cross-entropy of counts, of each step, of maxima; or MSE of rates"
    )
    optimizer: Literal["adam", "adamw", "sgd", "snes", "cma-es", "ga"] = setting(
        "adam",
        "optimiser; snes, cma-es and ga search by evolution: an epoch is one generation",
        Mark.ON_DEVICE,
    )
    learning_rate: float = setting(5e-4, "learning rate of the weights", Mark.OF_QUANTIZING, gt=0)
    dynamics_rate: float = setting(5e-3, "learning rate of neuron coefficients, in units of their size", gt=0)
    delay_rate: float = setting(0.05, "learning rate of delays, in steps", gt=0)
    schedule: Literal["constant", "cosine"] = setting(
        "constant", "learning rates over the run: constant, or cosine decay to 0"
    )
    weight_decay: float = setting(0.0, "weight decay", ge=0)
    gradient_clip: float | None = setting(None, "clip the gradient to this norm; default: none", gt=0)
    seed: int = setting(
        0, "seed of weights, sample order and coding",
        Mark.CODES | Mark.SAME_IN_TRIALS | Mark.SAME_IN_VARIANTS | Mark.OF_QUANTIZING
        | Mark.ON_DEVICE,
        ge=0, lt=2**32,
    )  # fmt: skip

    @property
    def evolves(self) -> bool:
        """Whether it is trained by evolution, without gradients."""
        return self.optimizer in SEARCHES


class EvolutionSettings(Group):
    """What evolution searches, and what measures the fitness of its populations."""

    members: int = setting(64, "population size (evolution)", Mark.ON_DEVICE, ge=4, le=1_000_000)
    step_size: float = setting(
        0.3,
        "initial spread of the population, in units of 1/√inputs of a weight, 0.1 of a coefficient's"
        " size (evolution)",
        Mark.ON_DEVICE, gt=0,
    )  # fmt: skip
    searched: Literal["all", "weights", "neurons"] = setting(
        "all", "what evolves: weights, the neuron coefficients in learn, or both (evolution)"
    )
    measured_on: Literal["torch", "hls-ip"] = setting(
        "torch", "what measures fitness: torch, or the arithmetic of the FPGA IP (evolution)"
    )
    actors: int = setting(
        0, "Ray actors that share a population; 0 for none (evolution)",
        ge=0, le=65536,
    )  # fmt: skip


class MachineSettings(Group):
    """Devices, precision, and logs."""

    precision: Literal["auto", "32-true", "64-true", "bf16-mixed", "16-mixed"] = setting(
        "auto", "precision (auto: bf16 where the machine multiplies it fast, else float32)",
        Mark.SAME_IN_VARIANTS | Mark.OF_EVALUATION | Mark.OF_QUANTIZING,
    )  # fmt: skip
    accelerator: str = setting(
        "auto", "Fabric's accelerator: auto, cpu, cuda, mps",
        Mark.SAME_IN_TRIALS | Mark.SAME_IN_VARIANTS | Mark.OF_EVALUATION,
    )  # fmt: skip
    devices: int = setting(1, "devices per machine", Mark.SAME_IN_TRIALS | Mark.SAME_IN_VARIANTS, ge=1, le=1024)
    nodes: int = setting(
        1, "machines (start one process on each)", Mark.SAME_IN_TRIALS | Mark.SAME_IN_VARIANTS,
        ge=1, le=65536,
    )  # fmt: skip
    tensorboard: bool = setting(False, "also write TensorBoard logs", Mark.MAY_CHANGE)


#: Groups, in the order in which people read them.
GROUPS: Mapping[str, type[Group]] = {
    "data": DataSettings,
    "coding": CodingSettings,
    "augmentation": AugmentationSettings,
    "neurons": NeuronSettings,
    "network": NetworkSettings,
    "quantization": QuantizationSettings,
    "training": TrainingSettings,
    "evolution": EvolutionSettings,
    "machine": MachineSettings,
}
#: Every setting by its name, and the group that it is in.
FIELDS: Mapping[str, FieldInfo] = {
    name: field for group in GROUPS.values() for name, field in group.model_fields.items()
}
GROUP_OF: Mapping[str, str] = {name: place for place, group in GROUPS.items() for name in group.model_fields}


@cache
def marked(mark: Mark) -> tuple[str, ...]:
    """Names of the settings that have a mark."""
    return tuple(name for name, field in FIELDS.items() if mark & marks_of(field))
