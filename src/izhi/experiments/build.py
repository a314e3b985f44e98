"""From settings to objects: the one place where names become modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from lightning_fabric import Fabric
from torch import Tensor

from izhi import data, training
from izhi.data import AnySamples, Dataset, Samples, SeriesSamples, has_step_labels, hold_out_speaker, split
from izhi.errors import SettingError, install, unknown
from izhi.experiments.settings import Experiment
from izhi.experiments.settings.description import describe, describe_encoder
from izhi.experiments.settings.groups import DataSettings
from izhi.hardware.fixed import Reading
from izhi.network import Network, builder, encoders
from izhi.network.encoders import Encoder
from izhi.seeds import Purpose, derive_seed
from izhi.spec import ORDERS, EncoderSpec, IzhikevichSpec, NetworkSpec, Shape
from izhi.training import Backprop, Evolution, Method, Online, Optimizer, Trainer, checkpoint
from izhi.training.evolution import Genome, Population
from izhi.training.labels import check_steps
from izhi.training.online import check_online, traces_of_sample

if TYPE_CHECKING:
    from izhi.quantization import StateFormats

#: Bytes that a training step takes for a step of an input or a neuron: current, spike, and their gradients.
_KEPT = 16
#: Share of the memory that a training step may take without parts, and bytes of a part.
_SHARE, _PART = 0.25, 2**31


def dataset(s: DataSettings, report: Callable[[str], None] = lambda line: None) -> Dataset:
    """The data set; ``report`` is told what is downloaded."""
    return data.load(s.dataset, report, fold=s.fold, best_inputs=s.best_inputs, over_time=s.over_time)


def training_samples(s: DataSettings, dataset: Dataset) -> tuple[AnySamples, AnySamples]:
    """Samples to learn from, and those held out for validation; neither of classes that are left out."""
    if s.validation_speaker is not None:
        parts = hold_out_speaker(dataset, s.validation_speaker)
    else:
        parts = split(dataset.train, s.validation, s.split_seed)
    if s.exclude_classes and has_step_labels(dataset.train):
        given = ",".join(s.exclude_classes)
        raise SettingError(f"exclude_classes is {given}, but {dataset.name} has a label for each step; leave it out")
    for name in s.exclude_classes:
        if name not in dataset.classes:
            raise unknown("class", name, dataset.classes)
    out = torch.tensor([dataset.classes.index(name) for name in s.exclude_classes])
    train, held = (x.subset(~torch.isin(x.labels, out)) if s.exclude_classes else x for x in parts)
    return train if s.train_samples is None else _some(train, s.train_samples, s.split_seed), held


def _some(samples: AnySamples, count: int, seed: int) -> AnySamples:
    """So many of the samples, all if there are no more; those of a smaller number are among those of a larger."""
    generator = torch.Generator().manual_seed(derive_seed(seed, Purpose.LIMIT))
    chosen = torch.zeros(len(samples), dtype=torch.bool)
    chosen[torch.randperm(len(samples), generator=generator)[:count]] = True
    return samples.subset(chosen)


def check(e: Experiment, dataset: Dataset) -> str:
    """Make what a run of the experiment needs, so that it is refused before anything is written.

    Returns:
        How many samples there are, and how the machine computes, for people.

    Raises:
        SettingError: naming what does not fit the data set or is not installed.
    """
    train, held = training_samples(e.data, dataset)
    coded = encoder_spec(e, dataset)
    spec = replace(describe(e, coded.grid, len(dataset.classes)), encoder=coded)
    for name, samples in (("sample", train), ("validation sample", held), ("test sample", dataset.test)):
        if len(samples):
            check_steps(name, samples, coded, training.LOSSES[e.training.loss])
    _check_memory(e, spec, 1)
    _check_latency(coded.steps, spec)
    if e.quantization.is_quantized:
        _require_brevitas()
        from izhi.quantization.requirements import check as check_quantized

        check_quantized(spec, _weight_bits(e, spec), e.quantization.state_bits, _levels(e))
    batch, segment = min(e.training.batch_size, len(train)), e.training.online
    _check_batch(batch, min(coded.steps, segment or coded.steps), coded, spec)
    _method(e)
    if segment is not None:
        learner = network(e, coded.grid, len(dataset.classes), spec=spec)
        check_online(learner)
        if segment < coded.steps and (excess := _excess(8 * batch * traces_of_sample(learner))):
            raise SettingError(f"batch_size is {batch}, whose eligibility traces {excess}; choose a smaller one")
    if e.training.evolves:  # refuses networks that it does not search
        evolved = network(e, coded.grid, len(dataset.classes), spec=spec)
        Population(evolved, Genome(evolved, e.evolution.evolve))
    machine = e.machine
    fabric = training.make_fabric(
        machine.accelerator, devices=machine.devices, nodes=machine.nodes, precision=precision(e)
    )
    if e.machine.tensorboard and find_spec("tensorboard") is None:
        raise SettingError(f"tensorboard is set, but it is not installed; {install('tensorboard')}")
    return (
        f"{dataset.name}: {len(train):,} training, {len(held):,} validation, {len(dataset.test):,} test"
        f" samples{_lengths(e, train)}{_arrays(e, dataset)};"
        f" {fabric.device.type} in {fabric.strategy.precision.precision}, threads: {torch.get_num_threads()}"
    )


def _check_batch(size: int, steps: int, coded: EncoderSpec, spec: NetworkSpec) -> None:
    """Raise SettingError if the least that is kept of a batch of this size, propagated so far, does not fit."""
    kept = size * (coded.steps * coded.features / 8 + steps * 4 * sum(spec.neurons))
    if excess := _excess(kept):
        raise SettingError(
            f"steps is {coded.steps} and batch_size {size}, whose spikes and currents {excess}; choose fewer of either"
        )


def _check_latency(steps: int, spec: NetworkSpec) -> None:
    """Raise SettingError if no input reaches the output: some neurons fire on the potential of the step before."""
    late = sum(
        isinstance(neuron := layer.neuron, IzhikevichSpec) and ORDERS[neuron.parameters.order].spike_on == "old v"
        for layer in spec.layers
    )
    if steps <= late:
        raise SettingError(
            f"steps is {steps}, but {late} layers fire a step after their input, so that none reaches the output;"
            f" choose at least {late + 1}"
        )


def _lengths(e: Experiment, train: object) -> str:
    """Of time series how long they are, and what becomes of that."""
    if not isinstance(train, SeriesSamples):
        return ""
    shortest, longest = int(train.lengths.min()), train.longest
    long = f"{longest:,}" if shortest == longest else f"{shortest:,} to {longest:,}"
    if e.coding.lengths == "resample" and (shortest, longest) != (e.coding.steps, e.coding.steps):
        return f" of {long} steps, which become T = {e.coding.steps:,} (--steps)"
    return f" of {long} steps"


def _arrays(e: Experiment, dataset: Dataset) -> str:
    """Of arrays that may be time series that they are read as values at once."""
    train = dataset.train
    if e.data.over_time is not None or not data.catalogue.is_path(e.data.dataset) or len(dataset.shape) != 2:
        return ""
    if not isinstance(train, Samples) or train.inputs.dtype == torch.uint8:
        return ""
    steps, features = dataset.shape
    return f", arrays {steps} × {features} as {steps * features:,} values at once (time series: --over-time)"


def encoder(e: Experiment, dataset: Dataset, spec: EncoderSpec | None = None) -> Encoder:
    """The encoder of a resolved experiment's samples.

    Args:
        spec: the description that a checkpoint holds; None for that of the settings.

    Raises:
        SettingError: for an encoding that the data set does not have.
    """
    return encoders.build_encoder(spec or encoder_spec(e, dataset), packs=e.neurons.kernel in ("auto", "cpu"))


def encoder_spec(e: Experiment, dataset: Dataset) -> EncoderSpec:
    """The description of a resolved experiment's encoder; SettingError for an encoding that the data set has not."""
    return describe_encoder(e, dataset.name, dataset.shape, is_series=isinstance(dataset.train, SeriesSamples))


def _check_memory(e: Experiment, spec: NetworkSpec, copies: int) -> None:
    """Raise SettingError if so many copies of a network's weights do not fit into the machine's memory."""
    if excess := _excess(4 * copies * spec.numbers):
        s = e.network
        given = f"{'hidden' if s.layers is None else 'layers'} is {','.join(layer.text for layer in s.rows)}"
        if s.modules is not None:
            given = f"modules are {len(s.modules)}"
        raise SettingError(f"{given}, whose weights {excess}; choose narrower layers")


def _excess(need: float) -> str:
    """That so many bytes do not fit into the machine's memory, in words; empty if they do."""
    there = training.memory_of_machine()
    return f"take {need / 1e9:,.0f} GB, but this machine has {there / 1e9:,.0f} GB" if need > there else ""


def steps_to_keep(e: Experiment, spec: NetworkSpec, samples: int) -> int | None:
    """Steps of a part of a training sequence, whose states are stored at once; None for all steps of a sequence.

    That is the setting ``keep_every``, else as many as ``_PART`` holds if all take more than ``_SHARE`` of the memory.
    Batch normalisation needs all steps at once, unless it is folded into rounded weights; online learning has segments.
    """
    has_norm = e.quantization.weight_bits is None and any(layer.norm is not None for layer in spec.layers)
    numbers = min(e.training.batch_size, samples) * ((spec.inputs or 0) + sum(spec.neurons))
    if e.network.keep_every is not None or has_norm or e.training.online is not None:
        return e.network.keep_every
    if _KEPT * e.coding.steps * numbers <= _SHARE * training.memory_of_machine():
        return None
    steps = max(1, _PART // (_KEPT * numbers))
    return steps - steps % 32 or steps


def reading(e: Experiment, dataset: Dataset) -> Reading:
    """What the integer model reads of its scores over time, as the loss of an experiment does."""
    return "steps" if has_step_labels(dataset.test) else training.LOSSES[e.training.loss].reads


def network(
    e: Experiment, features: int | Shape, classes: int, *, start: Mapping[str, Tensor] | None = None,
    formats: Callable[[Network], list[StateFormats]] | None = None, copies: int = 1, spec: NetworkSpec | None = None,
) -> Network:  # fmt: skip
    """The network of a resolved experiment, its weights drawn from the seed.

    Args:
        features: of an encoded sample, channels first: an encoder's ``grid``.
        start: weights of a float network of the same structure, to quantise in place of those drawn.
        formats: chooses those of quantised states for the float network; None for some that a checkpoint replaces.
        copies: of the weights that must fit into memory, such as gradients and what an optimiser keeps.
        spec: the network's description; None for that of the experiment.

    Raises:
        SettingError: if the weights do not fit into the machine's memory.
        CheckpointError: if those to start with are another network's.
    """
    spec = spec or describe(e, features, classes)
    _check_memory(e, spec, copies)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(e.training.seed, Purpose.WEIGHTS))
        float_network = builder.build(spec, e.neurons.kernel)
    if start is not None:
        checkpoint.load_weights("what it starts with", float_network, start)
    return _quantized(e, spec, float_network, formats) if e.quantization.is_quantized else float_network


def float_weights(e: Experiment, dataset: Dataset) -> Mapping[str, Tensor]:
    """The drawn weights of an experiment's float network."""
    coded = encoder_spec(e, dataset)
    return network(e.replace(weight_bits=None, state_bits=None), coded.grid, len(dataset.classes)).state_dict()


def _quantized(
    e: Experiment, spec: NetworkSpec, network: Network, choose: Callable[[Network], list[StateFormats]] | None
) -> Network:
    _require_brevitas()
    from izhi import quantization

    bits, formats = e.quantization, None
    if bits.state_bits is not None:
        formats = quantization.usual_formats(network, bits.state_bits) if choose is None else choose(network)
    return quantization.quantized(
        network, bits.weight_bits, formats, own=_weight_bits(e, spec), per_neuron=bits.weight_scale == "neuron",
        levels=_levels(e),
    )  # fmt: skip


def _require_brevitas() -> None:
    if find_spec("brevitas") is None:
        raise SettingError(f"brevitas is not installed; {install('quantize')}")


def _weight_bits(e: Experiment, spec: NetworkSpec) -> list[int] | None:
    """Of each layer; None where weights are not quantised."""
    bits = e.quantization.weight_bits
    return None if bits is None else [layer.weight_bits or bits for layer in spec.layers]


def _levels(e: Experiment) -> int | None:
    return e.coding.levels if e.coding.is_graded else None


def fabric(e: Experiment) -> Fabric:
    """Fabric for the machine of an experiment, launched."""
    s = e.machine
    return training.start_fabric(s.accelerator, devices=s.devices, nodes=s.nodes, precision=precision(e))


def precision(e: Experiment) -> str:
    """What an experiment computes in: the one that is set, or else the fastest for its network on this machine."""
    if e.machine.precision != "auto":
        return e.machine.precision
    if e.training.evolves:  # a population is measured in float32, and so is then what it found
        return "32-true"
    return training.fast_precision(e.machine.accelerator, convolutions=any(x.kind == "conv" for x in e.network.rows))


def optimizer(e: Experiment) -> Optimizer:
    """What makes the optimiser of an experiment that learns by gradients."""
    t = e.training
    return Optimizer(t.optimizer, t.learning_rate, t.weight_decay, t.dynamics_rate, t.delay_rate)


def trainer(e: Experiment, fabric: Fabric) -> Trainer:
    """The trainer of an experiment; quantised weights are scaled before they are rounded, by ``run.train``."""
    t = e.training
    calibrate = None if e.quantization.is_quantized else t.calibrate
    loss = training.LOSSES[t.loss]
    return Trainer(_method(e), fabric, t.epochs, t.batch_size, loss, t.seed, t.patience, calibrate=calibrate)


def _method(e: Experiment) -> Method:
    t, s = e.training, e.evolution
    if t.online is not None:
        return Online(optimizer(e), t.schedule, t.gradient_clip, t.online)
    if not t.evolves:
        return Backprop(optimizer(e), t.schedule, t.gradient_clip)
    if s.measured_on == "torch":
        return Evolution(t.optimizer, s.members, s.step_size, s.evolve, s.actors)
    from izhi.experiments import ip_population

    ip_population.check(e)
    return Evolution(t.optimizer, s.members, s.step_size, s.evolve, s.actors, ip_population.IpPopulation)
