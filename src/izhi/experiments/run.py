"""One run: an experiment trained, or quantised, in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from lightning_fabric import Fabric
from torch import Tensor

from izhi import training
from izhi.data import AnySamples, Dataset
from izhi.errors import CheckpointError, RunFolderError, SettingError, install
from izhi.experiments import build, chance
from izhi.experiments.run_folder import RunFolder
from izhi.experiments.settings import Experiment
from izhi.experiments.settings.description import describe
from izhi.hardware.core import chosen
from izhi.kernels import Spikes
from izhi.network import Network
from izhi.network.encoders import Encoder
from izhi.seeds import Purpose
from izhi.training import Classifier, Data, Evaluation, Listener, Progress, ProgressEvent, checkpoint, ignore_progress

if TYPE_CHECKING:
    from izhi.quantization import StateFormats

#: Samples by which formats of quantised states are chosen.
_CALIBRATION_SAMPLES = 512

Row = dict[str, float]


@dataclass
class Result:
    """A finished run: a row of metrics per epoch, and remarks about the last one."""

    experiment: Experiment  #: its settings
    history: list[Row]  #: metrics of each epoch
    warnings: list[str] = field(default_factory=list)  #: warnings of the last epoch
    parameters: int = 0  #: numbers that were learned
    neurons: tuple[int, ...] = ()  #: number of neurons of each layer

    @classmethod
    def of(cls, e: Experiment, network: Network, inputs: int, progress: Progress) -> Result:
        """The result of a network, with its parameters and the neurons of its layers."""
        learned = sum(p.numel() for p in network.parameters() if p.requires_grad)
        return cls(e, progress.history, progress.warnings, learned, tuple(network.neurons(inputs)))

    @property
    def test_accuracy(self) -> float:
        """After the last epoch, which no result chose."""
        return self.history[-1]["test_accuracy"]

    @property
    def spikes(self) -> float:
        """Spikes that a test sample causes in all layers of neurons."""
        last, steps = self.history[-1], self.experiment.coding.steps
        rates = [last[f"rate_{number}"] for number in range(1, len(self.neurons) + 1)]
        return steps * sum(rate * count for rate, count in zip(rates, self.neurons, strict=True))


def train(
    fabric: Fabric, e: Experiment, dataset: Dataset, folder: RunFolder, listener: Listener = ignore_progress, *,
    start: Mapping[str, Tensor] | None = None, formats: list[StateFormats] | None = None, label: str = "",
) -> Result:  # fmt: skip
    """Train the experiment to its last epoch, and resume the folder's checkpoint if it has one.

    After every epoch the folder holds its metrics and a checkpoint. The test accuracy of each epoch is
    recorded for the figure; the run's result is that of the last epoch.

    Args:
        start: weights of a trained float network to begin with, which a quantised one rounds.
        formats: of quantised states, which were chosen before; None to choose them by training samples.
        label: name of the run among those of a command.

    Raises:
        DivergenceError: if a loss or gradient is not finite, naming epoch, step and layer.
        CheckpointError: if the folder's checkpoint is of another network.
        RunFolderError: if it is of a network that was rounded or imported, and not trained there.
        FileError: if the folder cannot be written.
    """
    samples, validation = build.training_samples(e.data, dataset)
    encoder, saved = build.encoder(e, dataset), folder.progress(e)
    if start is None and saved is None and e.training.calibrate is not None and e.quantization.is_quantized:
        start = _scaled_weights(fabric, e, encoder, dataset, samples)
    choose = partial(_choose_formats, e, encoder, samples) if formats is None else lambda network: formats
    network = _begin(e, encoder, dataset, folder, saved, start, choose)
    network.keep_every = build.steps_to_keep(e, describe(e, encoder.grid, len(dataset.classes)), len(samples))
    if e.machine.tensorboard and fabric.is_global_zero:
        listener = _with_tensorboard(listener, folder)
    try:
        trainer = build.trainer(e, fabric)
        if start is not None:  # those weights suit their neurons already
            trainer = replace(trainer, calibrate=None)
        remarks = cache(partial(chance.remarks, e, samples, dataset.test))
        progress = trainer.fit(
            network, Data(samples, dataset.test, validation, dataset.groups), encoder,
            start=saved, keep=partial(folder.keep, about(e, encoder, dataset)),
            listener=_named(listener, e, label, remarks),
        )  # fmt: skip
    except CheckpointError as error:
        raise CheckpointError(f"{folder.checkpoint}: {error}; start anew") from None
    result = Result.of(e, network, encoder.features, progress)
    return replace(result, warnings=[*result.warnings, *remarks(result.history[-1].get("test_accuracy"))])


def _scaled_weights(
    fabric: Fabric, e: Experiment, encoder: Encoder, dataset: Dataset, samples: AnySamples
) -> Mapping[str, Tensor]:
    """Weights of the float network, scaled by samples before they are rounded."""
    in_floats = e.replace(weight_bits=None, state_bits=None)
    network = build.network(in_floats, encoder.grid, len(dataset.classes))
    build.trainer(in_floats, fabric).scale_weights(network, samples, encoder)
    return network.state_dict()


def _begin(
    e: Experiment, encoder: Encoder, dataset: Dataset, folder: RunFolder, saved: Progress | None,
    start: Mapping[str, Tensor] | None, formats: Callable[[Network], list[StateFormats]],
) -> Network:  # fmt: skip
    """The network of a run with the weights of its checkpoint, else with those to begin with."""
    if saved is not None and saved.history and not saved.history[0]["epoch"]:
        raise RunFolderError(
            f"{folder.path} holds a network that was not trained there, and has no epoch to resume; begin a run"
            " with its weights: izhi train --start RUN"
        )
    network = build.network(
        e, encoder.grid, len(dataset.classes), start=None if saved else start,
        formats=None if saved else formats,
        # Weights, gradients, and what an optimiser keeps: Adam's two moments.
        copies=1 if e.training.evolves else 4,
    )  # fmt: skip
    if saved is not None:
        if e.machine.precision == "64-true":
            network.double()  # before it gets weights of that precision, which would lose it
        checkpoint.load_weights(folder.checkpoint, network, saved.network)
    return network


def quantize(
    fabric: Fabric, e: Experiment, dataset: Dataset, folder: RunFolder, weights: Mapping[str, Tensor],
    result: Rounded | None = None,
) -> Result:  # fmt: skip
    """Round the float network of those weights as the experiment says, without training, and evaluate it.

    The folder then holds a checkpoint of epoch 0, as after training: it can be evaluated and exported. ``result`` is
    that of ``rounded`` if it was called before.
    """
    network = (result or rounded(e, dataset, weights)).network
    return _keep_as_it_is(fabric, e, build.encoder(e, dataset), network, dataset, folder)


def _keep_as_it_is(
    fabric: Fabric, e: Experiment, encoder: Encoder, network: Network, dataset: Dataset, folder: RunFolder
) -> Result:
    """Evaluate a network, and write a checkpoint of epoch 0."""
    optimizer = build.optimizer(e)(network)
    evaluation = evaluate(fabric, e, encoder, network, dataset.test, dataset.groups)
    row: Row = {"epoch": 0, **evaluation.as_metrics("test"), **evaluation.rates()}
    progress = Progress([row], evaluation.activity.warnings(), network.state_dict(), optimizer.state_dict())
    if fabric.is_global_zero:
        folder.keep(about(e, encoder, dataset), progress)
    fabric.barrier()
    return Result.of(e, network, encoder.features, progress)


def adopt(fabric: Fabric, e: Experiment, dataset: Dataset, folder: RunFolder, network: Network) -> Result:
    """Evaluate a network that was trained elsewhere, as the run of an experiment whose settings describe it.

    The folder then holds a checkpoint of epoch 0, as after training: it can be evaluated, quantised and exported.
    """
    encoder = build.encoder(e, dataset)
    described = build.network(e, encoder.grid, len(dataset.classes), start=network.state_dict())
    return _keep_as_it_is(fabric, e, encoder, described, dataset, folder)


def require_core(e: Experiment, dataset: Dataset, weights: Mapping[str, Tensor]) -> None:
    """Raise SettingError if no core runs the network, once weights and states are rounded as the experiment says."""
    from izhi.quantization import in_integers

    encoder = build.encoder(e, dataset)
    network = build.network(e, encoder.grid, len(dataset.classes), start=weights).eval()
    whole = in_integers(network, reads=build.reading(e, dataset))
    chosen.require_core(whole, largest_input=chosen.largest_input(e.flat()), steps=e.coding.steps)


def evaluate(
    fabric: Fabric, e: Experiment, encoder: Encoder, network: Network, samples: AnySamples,
    groups: Mapping[str, Tensor] | None = None, purpose: Purpose = Purpose.TEST,
) -> Evaluation:  # fmt: skip
    """Evaluate a network of an experiment on samples, and on groups of them; ``purpose`` seeds their encoding."""
    loss, seed = training.LOSSES[e.training.loss], e.training.seed
    model = fabric.setup(Classifier(encoder, network, loss))
    return training.evaluate(fabric, model, samples, loss, seed=seed, purpose=purpose, groups=groups or {})


class Rounded(NamedTuple):
    """A float network rounded by calibration.

    Attributes:
        network: quantised, its biases corrected.
        formats: of its states, before they depend on the weights; None for float states.
    """

    network: Network
    formats: list[StateFormats] | None


def rounded(e: Experiment, dataset: Dataset, weights: Mapping[str, Tensor]) -> Rounded:
    """Round the float network of those weights as the experiment says, by calibration on training samples."""
    from izhi.quantization import calibrate, shift_biases

    training.keep_freed_memory()
    encoder = build.encoder(e, dataset)
    size = (encoder.grid, len(dataset.classes))
    network = build.network(e.replace(weight_bits=None, state_bits=None), *size, start=weights)
    spikes = calibration(e, encoder, build.training_samples(e.data, dataset)[0], network)
    network.eval()
    formats, currents = calibrate(network, spikes, e.quantization.state_bits)
    rounded = build.network(e, *size, start=weights, formats=lambda network: formats or []).eval()
    shift_biases(rounded, spikes, currents)
    return Rounded(rounded, formats)


def _choose_formats(e: Experiment, encoder: Encoder, samples: AnySamples, network: Network) -> list[StateFormats]:
    """Formats of quantised states, by training samples."""
    from izhi.quantization import formats

    assert e.quantization.state_bits is not None
    return formats(network, calibration(e, encoder, samples, network), e.quantization.state_bits)


def calibration(e: Experiment, encoder: Encoder, samples: AnySamples, network: Network) -> Spikes:
    """Encoded training samples, by which the formats of quantised states are chosen."""
    return Classifier(encoder, network).some_spikes(samples, _CALIBRATION_SAMPLES, e.training.seed)


def about(e: Experiment, encoder: Encoder, dataset: Dataset) -> dict[str, object]:
    """What a checkpoint holds of the experiment, besides the run's progress."""
    return {
        "config": e.flat(plain=True),
        "inputs": encoder.features,
        "shape": list(encoder.grid),
        "classes": list(dataset.classes),
        "network": describe(e, encoder.grid, len(dataset.classes)).tables(),
        "encoder": build.encoder_spec(e, dataset).table(),
        **({} if dataset.scale is None else {"scale": dataset.scale.table()}),
    }


def _named(listener: Listener, e: Experiment, label: str, remarks: Callable[[float | None], list[str]]) -> Listener:
    """A listener whose events carry the run's label, the first one its settings, and the last epoch's all remarks."""
    label = label or f"{e.neurons.neuron} {e.network.connection}, seed {e.training.seed}"
    settings = e.flat(plain=True)

    def send(event: ProgressEvent) -> None:
        if event.kind == "epoch" and event.epoch == event.epochs:
            event = replace(event, warnings=[*event.warnings, *remarks(event.metrics.get("test_accuracy"))])
        listener(replace(event, label=label, settings=settings if event.kind == "start" else {}))

    return send


def _with_tensorboard(listener: Listener, folder: RunFolder) -> Listener:
    """A listener that also writes the metrics of each epoch for TensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise SettingError(f"tensorboard is set, but it is not installed; {install('tensorboard')}") from None
    writer: Any = SummaryWriter(str(folder.path / "tensorboard"))  # type: ignore[no-untyped-call,unused-ignore]

    def write(event: ProgressEvent) -> None:
        for name, value in event.metrics.items():
            writer.add_scalar(name, value, event.epoch)
        if event.kind == "end":
            writer.close()
        listener(event)

    return write
