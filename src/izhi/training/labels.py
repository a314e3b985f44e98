"""Whether the labels of samples fit a network, a loss and an encoder."""

from __future__ import annotations

import torch

from izhi.data import NO_LABEL, AnySamples, SeriesSamples, has_step_labels
from izhi.errors import SettingError
from izhi.spec import EncoderSpec, SeriesEncoderSpec
from izhi.training.losses import Loss


def check_labels(name: str, samples: AnySamples, outputs: int | None) -> None:
    """Raise SettingError for the first label of samples, by their name, that is no class of a network."""
    labels, of_steps = samples.labels, has_step_labels(samples)
    has_shape = labels.dim() == 1 or (of_steps and isinstance(samples, SeriesSamples))
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool or not has_shape:
        raise SettingError(
            f"labels of {name}s are {labels.dtype} of shape {tuple(labels.shape)}, expected whole numbers (M,), or"
            " (M, T) of the steps of series; convert them by .long()"
        )
    each = labels.flatten(1) if of_steps else labels[:, None]
    if int(labels.min()) < (NO_LABEL if of_steps else 0):
        odd = int(each.amin(1).argmin()) if of_steps else int((labels < 0).int().argmax())
        raise SettingError(f"{name} {odd} has the label {int(each[odd].min())}, expected a whole number from 0")
    if outputs is not None and int(labels.max()) >= outputs:
        odd = int((each.amax(1) >= outputs).int().argmax())
        raise SettingError(
            f"{name} {odd} has the label {int(each[odd].max())}, but the network has {outputs} outputs,"
            " expected one for each class; widen its last layer"
        )


def check_steps(name: str, samples: AnySamples, encoder: EncoderSpec, loss: Loss) -> None:
    """Raise SettingError for labels of steps, of samples by their name, that the loss or the encoder cannot have."""
    if not has_step_labels(samples):
        return
    if not loss.has_steps:
        raise SettingError(f"{name}s have a label for each step, which the loss does not use; choose the loss step")
    if not isinstance(samples, SeriesSamples) or not isinstance(encoder, SeriesEncoderSpec):
        raise SettingError(f"{name}s have a label for each step, expected time series and a SeriesEncoder")
    shortest, longest = int(samples.lengths.min()), samples.longest
    if encoder.padded or shortest == longest == encoder.steps:
        return
    if shortest == longest:
        raise SettingError(
            f"steps is {encoder.steps}, but {name}s have a label for each of {longest:,} steps; choose steps {longest}"
        )
    raise SettingError(
        f"{name}s have a label for each of {shortest:,} to {longest:,} steps; choose lengths pad, and steps {longest}"
    )
