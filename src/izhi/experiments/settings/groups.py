"""The groups of an experiment's settings. Names are unique, so the command line gives them flat."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from pydantic import field_serializer
from pydantic.fields import FieldInfo

from izhi.data.catalogue import FOLDS
from izhi.experiments.settings.choices import SEARCHES
from izhi.experiments.settings.fields import Group, Mark, Names, Range, SeedOrFile, Widths, marks_of, setting
from izhi.experiments.settings.layers import Layers, LayerSettings
from izhi.experiments.settings.neurons import NeuronSettings
from izhi.hardware.networks import GRADED
from izhi.spec import ConnectionName

Readout = Literal["spikes", "current", "membrane"]
Encoding = Literal["rate", "latency", "constant", "rows", "pixels", "events", "current", "delta", "level"]

#: Of the encoding of samples; of networks alone that are common; of all runs of a command.
_ENCODING = Mark.CODES | Mark.SHAPES
_NETWORK = Mark.COMMON | Mark.SHAPES
_SAME = Mark.SAME_IN_TRIALS | Mark.SAME_IN_VARIANTS


class DataSettings(Group):
    """The data set, and which of its training samples are held out."""

    dataset: str = setting(
        "digits", "name in izhi data list, ts:NAME of UCR and UEA, .npz, .ts, folder of classes, or module:function",
        Mark.COMMON | _ENCODING | _SAME,
    )  # fmt: skip
    validation: float = setting(
        0.1, "training samples held out for validation, share", Mark.COMMON | Mark.SAME_IN_TRIALS, ge=0, lt=1
    )
    validation_speaker: int | None = setting(
        None, "speaker or subject held out for validation, in place of a share; default: none",
        Mark.OF_EVENTS | Mark.OF_SERIES, ge=0, lt=2**32,
    )  # fmt: skip
    fold: int | None = setting(
        None, "test fold of an embedded data set, 0 to 4; default: the usual test samples",
        _ENCODING | Mark.SAME_IN_VARIANTS | Mark.OF_EMBEDDED, ge=0, lt=FOLDS,
    )  # fmt: skip
    over_time: bool | None = setting(
        None, "arrays (T, features) of .npz files and folders as time series; default: as the file says",
        _ENCODING | Mark.SAME_IN_VARIANTS,
    )  # fmt: skip
    best_inputs: int | None = setting(
        None, "number of inputs kept of an embedded data set, by ANOVA F; default: all",
        _ENCODING | Mark.OF_EMBEDDED, ge=1, le=1_000_000,
    )  # fmt: skip
    train_samples: int | None = setting(
        None, "number of training samples, drawn with split_seed; default: all", Mark.SAME_IN_TRIALS, ge=1
    )
    split_seed: int = setting(0, "seed of the training/validation split", Mark.SAME_IN_TRIALS, ge=0, lt=2**32)
    exclude_classes: Names = setting((), "classes excluded from training, comma-separated")


class CodingSettings(Group):
    """How a sample becomes spikes over time."""

    encoding: Encoding | None = setting(
        None, "spike encoding; default: by data set: rate, events or current", Mark.COMMON | _ENCODING
    )
    population: int = setting(0, "Gaussian receptive fields per input: 0, or 3 and more", _ENCODING, ge=0, le=1000)
    levels: int = setting(
        255, "integer levels of an input current in a quantised network (constant, current, rows, pixels)",
        _ENCODING | Mark.OF_QUANTIZING, ge=1, le=255,
    )  # fmt: skip
    permutation: SeedOrFile | None = setting(
        None, "one pixel order for all images (rows, pixels), its seed or a file .npz; default: no permutation",
        _ENCODING,
    )  # fmt: skip
    steps: int = setting(25, "time steps T of a sample", Mark.COMMON | _ENCODING, ge=1, le=1_000_000)
    window: float | None = setting(
        None, "length of a recording, ms; default: by data set", _ENCODING | Mark.OF_EVENTS, gt=0
    )
    pool: int = setting(
        1, "neighbouring channels or pixels merged into one input (events)", _ENCODING | Mark.OF_EVENTS, ge=1, le=1000
    )
    normalize_time: bool = setting(
        False, "time normalisation: equal span for the middle 90 % of each recording's events",
        _ENCODING | Mark.OF_EVENTS,
    )  # fmt: skip
    counts: bool = setting(
        False, "event counts per step as inputs, in place of 0 and 1 (events, delta)", _ENCODING | Mark.OF_EVENTS
    )
    lengths: Literal["resample", "pad"] = setting(
        "resample", "time series of T steps by averaging, or padded with masked output", _ENCODING | Mark.OF_SERIES
    )
    delta: float = setting(
        0.1, "send-on-delta threshold, share of a channel's range (delta)", _ENCODING | Mark.OF_SERIES, gt=0, le=1
    )
    crossings: int = setting(
        8, "thresholds of a channel for level-crossing spikes (level)", _ENCODING | Mark.OF_SERIES, ge=1, le=1000
    )

    @property
    def is_graded(self) -> bool:
        """Whether inputs are values as currents, which hardware takes as whole numbers, ``levels`` of them."""
        return self.encoding in GRADED


class AugmentationSettings(Group):
    """Data augmentation: random changes of samples while training."""

    shift: int = setting(0, "largest random shift, channels or pixels", ge=0, le=1000)
    stretch: float = setting(0.0, "largest random change of tempo, ± share", Mark.OF_EVENTS, ge=0, lt=1)
    drop: float = setting(0.0, "share of events dropped at random", Mark.OF_EVENTS, ge=0, lt=1)
    equalize: float = setting(
        0.0, "log-spread of a smooth random gain over channels (counts)", Mark.OF_EVENTS, ge=0, le=10
    )
    onset: float = setting(0.0, "largest random shift in time, ms", Mark.OF_EVENTS, ge=0)
    warp: float = setting(0.0, "largest |ln γ| of the time warp t/window → (t/window)^γ", Mark.OF_EVENTS, ge=0, le=2)


class NetworkSettings(Group):
    """Layers, and how they are connected."""

    hidden: Widths = setting((512,), "widths of the hidden layers, comma-separated", _NETWORK)
    layers: Layers | None = setting(
        None, "hidden layers one by one, such as 'conv 16x5, pool 2, conv 32x5 norm, 128'; default: hidden", _NETWORK
    )
    modules: tuple[dict[str, Any], ...] | None = setting(
        None, "network module by module, in place of layers and neurons (runs of izhi nir import)",
        Mark.SHAPES | Mark.OF_FILES, max_length=1000,
    )  # fmt: skip
    connection: ConnectionName = setting("linear", "connection into each layer of neurons", _NETWORK)
    tau: float = setting(10.0, "synaptic decay time, steps", gt=1)
    delays: int = setting(0, "largest learned delay, steps; 0 for none", _NETWORK, ge=0, le=10_000)
    delay_type: Literal["axonal", "synaptic"] = setting(
        "axonal", "delays of presynaptic neurons (axonal), or of single synapses", Mark.SHAPES
    )
    inhibitory: float | None = setting(
        None, "share of inhibitory presynaptic neurons (conductance); default: free signs", ge=0, le=1
    )
    readout: Readout | None = setting(
        None, "input of the loss; default: spikes, current of biological neurons", Mark.SHAPES
    )
    readout_tau: Range | None = setting(
        None, "decay time of a membrane readout, steps: one, or lowest and highest of the classes; default: tau",
        Mark.SHAPES,
    )  # fmt: skip
    learn_readout: bool = setting(False, "learned decay time of each class (readout membrane)", Mark.SHAPES)
    dropout: float = setting(0.0, "share of hidden neurons silenced for a whole training sample", ge=0, lt=1)
    keep_every: int | None = setting(
        None, "activation checkpointing: interval of stored states, steps; default: every step", ge=1, le=1_000_000
    )

    @property
    def rows(self) -> tuple[LayerSettings, ...]:
        """The hidden layers, one by one."""
        return self.layers if self.layers is not None else tuple(LayerSettings(size=width) for width in self.hidden)

    @field_serializer("layers")
    def _tables(self, layers: tuple[LayerSettings, ...] | None) -> list[dict[str, object]] | None:
        return None if layers is None else [layer.table() for layer in layers]


class QuantizationSettings(Group):
    """Quantisation-aware training: bits of weights and states."""

    weight_bits: int | None = setting(None, "bits of a weight (QAT); default: float", _NETWORK, ge=2, le=8)
    weight_scale: Literal["layer", "neuron"] = setting(
        "neuron", "one weight scale per neuron, or per layer", Mark.SHAPES | Mark.OF_QUANTIZING
    )
    state_bits: int | None = setting(None, "bits of v, u and currents (QAT); default: float", _NETWORK, ge=4, le=24)

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
        10, "passes over the training samples, or generations",
        Mark.COMMON | Mark.MAY_CHANGE | Mark.SAME_IN_TRIALS | Mark.OF_QUANTIZING | Mark.ON_DEVICE, ge=1, le=1_000_000,
    )  # fmt: skip
    patience: int | None = setting(
        None, "early stopping: epochs without a better validation accuracy; default: never",
        Mark.MAY_CHANGE | Mark.OF_QUANTIZING, ge=1, le=1_000_000,
    )  # fmt: skip
    batch_size: int = setting(
        256, "samples of a batch", Mark.COMMON | Mark.OF_QUANTIZING | Mark.ON_DEVICE, ge=1, le=1_000_000
    )
    loss: Literal["count", "step", "max", "mean", "last", "rate_mse"] = setting(
        "count", "cross-entropy of sums over time, each step, maxima, means or the last step; or MSE of rates",
        Mark.COMMON,
    )  # fmt: skip
    optimizer: Literal["adam", "adamw", "sgd", "snes", "cma-es", "ga"] = setting(
        "adam", "gradient method, or evolution: snes, cma-es, ga", Mark.COMMON | Mark.ON_DEVICE
    )
    learning_rate: float = setting(5e-4, "learning rate of the weights", Mark.COMMON | Mark.OF_QUANTIZING, gt=0)
    dynamics_rate: float = setting(5e-3, "learning rate of neuron coefficients, share of their size", gt=0)
    delay_rate: float = setting(0.05, "learning rate of delays, steps", gt=0)
    schedule: Literal["constant", "cosine"] = setting(
        "constant", "schedule of the learning rates: constant, or cosine decay to 0"
    )
    weight_decay: float = setting(0.0, "weight decay", ge=0)
    calibrate: float | None = setting(
        None, "initial standard deviation of v without spikes, in thresholds, of weights scaled by training"
        " samples; default: weights as drawn", gt=0,
    )  # fmt: skip
    gradient_clip: float | None = setting(None, "largest norm of the gradient; default: none", gt=0)
    online: int | None = setting(
        None, "online learning by eligibility traces: steps of a segment; default: backpropagation through all", ge=1
    )
    seed: int = setting(
        0, "seed of weights, sample order and coding",
        Mark.COMMON | Mark.CODES | _SAME | Mark.OF_QUANTIZING | Mark.ON_DEVICE, ge=0, lt=2**32,
    )  # fmt: skip

    @property
    def evolves(self) -> bool:
        """Whether it is trained by evolution, without gradients."""
        return self.optimizer in SEARCHES


class EvolutionSettings(Group):
    """What evolution searches, and what measures the fitness of its populations."""

    members: int = setting(64, "population size", Mark.ON_DEVICE, ge=4, le=1_000_000)
    step_size: float = setting(
        0.3, "initial spread of the population, in 1/√inputs of a weight and 0.1 of a coefficient's size",
        Mark.ON_DEVICE, gt=0,
    )  # fmt: skip
    evolve: Literal["all", "weights", "neurons"] = setting(
        "all", "evolved parameters: weights, coefficients in learn (neurons), or both"
    )
    measured_on: Literal["torch", "hls-ip"] = setting("torch", "arithmetic of the fitness: torch, or the FPGA IP's")
    actors: int = setting(0, "Ray actors of a population; 0 for none", ge=0, le=65536)


class MachineSettings(Group):
    """Devices, precision, and logs."""

    precision: Literal["auto", "32-true", "64-true", "bf16-mixed", "16-mixed"] = setting(
        "auto", "precision; auto: bf16 where fast, else float32",
        Mark.COMMON | Mark.SAME_IN_VARIANTS | Mark.OF_EVALUATION | Mark.OF_QUANTIZING,
    )  # fmt: skip
    accelerator: str = setting(
        "auto", "Fabric accelerator: auto, cpu, cuda, mps", Mark.COMMON | _SAME | Mark.OF_EVALUATION
    )
    devices: int = setting(1, "devices per machine", _SAME, ge=1, le=1024)
    nodes: int = setting(1, "machines, with one process started on each", _SAME, ge=1, le=65536)
    tensorboard: bool = setting(False, "TensorBoard logs in the run folder", Mark.MAY_CHANGE)


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
#: Old names of settings → their names; configurations of earlier versions hold them.
RENAMED: Mapping[str, str] = {"without": "exclude_classes", "searched": "evolve"}
GROUP_OF: Mapping[str, str] = {name: place for place, group in GROUPS.items() for name in group.model_fields}


@cache
def marked(mark: Mark) -> tuple[str, ...]:
    """Names of the settings that have a mark."""
    return tuple(name for name, field in FIELDS.items() if mark & marks_of(field))
