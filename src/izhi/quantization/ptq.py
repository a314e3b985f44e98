"""Post-training quantisation: a trained float network rounded, calibrated and corrected, without training."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from izhi.data import Dataset
from izhi.experiments import build
from izhi.experiments.run_folder import RunFolder
from izhi.experiments.settings import Experiment
from izhi.kernels import Drive, Spikes
from izhi.network.layers import Layer, Network
from izhi.training.classifier import Classifier, inputs
from izhi.training.loop import Result, calibration, content, evaluate, training_samples
from izhi.training.optimizer import make_optimizer


def _mean_current(drive: Drive) -> Tensor:
    current = drive.current.double()
    if drive.gain is not None:
        current = current * drive.gain
    mean = current.mean((0, 1))
    return mean if drive.bias is None else mean + drive.bias


def correct_biases(network: Network, rounded: Network, spikes: Spikes) -> None:
    """Shift the rounded network's biases so that its mean currents are those of the float network.

    What rounding the weights changes in the mean, over these samples and with all that comes from the
    layers before, is taken out of each neuron; layers are corrected in order.
    """
    before, after = spikes, spikes
    with torch.no_grad():
        for a, b in zip(network.layers, rounded.layers, strict=True):
            one, two = cast(Layer, a), cast(Layer, b)
            _shift(two.connection, one.drive(before)[0], two.drive(after)[0])
            before, after = one(before)[0], two(after)[0]
        if network.readout is not None and rounded.readout is not None:
            _shift(rounded.readout, network.readout(before), rounded.readout(after))


def _shift(connection: nn.Module, wanted: Drive, found: Drive) -> None:
    bias = getattr(connection, "bias", None)
    if bias is None:
        return
    change = (_mean_current(wanted) - _mean_current(found)).to(bias)
    connection.bias = nn.Parameter(bias + change)


def quantize(
    fabric: Fabric, e: Experiment, dataset: Dataset, folder: RunFolder, weights: Mapping[str, Any]
) -> Result:
    """Round the float network of those weights as the experiment says, and evaluate it.

    The folder then holds a checkpoint as after training, of no epoch: it can be evaluated and exported.

    Args:
        fabric: see ``start_fabric``.
        e: the experiment, with the bits of weights and states.
        dataset: its data; training samples calibrate, test samples are evaluated.
        folder: of the run, opened.
        weights: of the float network.
    """
    samples = partial(calibration, e, training_samples(e, dataset)[0], dataset.shape)
    size = (inputs(e, dataset), len(dataset.classes))
    float_e = e.model_copy(update={"weight_bits": None, "state_bits": None})
    network = build.network(float_e, *size, start=weights)
    rounded = build.network(e, *size, start=weights, samples=samples)
    network.eval()
    rounded.eval()
    correct_biases(network, rounded, samples(network))
    optimizer = make_optimizer(e, rounded)
    model = fabric.setup(Classifier(e, rounded, dataset.shape))
    found = evaluate(fabric, e, model, dataset.test, groups=dataset.groups)
    row = {"epoch": 0, **found.as_metrics("test"), **found.rates()}
    warnings = found.activity.warnings()
    if fabric.is_global_zero:
        folder.save_epoch([row], content(e, dataset, rounded, optimizer, [row], warnings))
    fabric.barrier()
    return Result.of(e, rounded, [row], warnings)
