"""From settings to the description of a network, without torch."""

from __future__ import annotations

import math
from pathlib import Path

from izhi import files
from izhi.data.catalogue import data_root
from izhi.errors import DataError, SettingError, unknown
from izhi.experiments.settings.experiment import Experiment
from izhi.experiments.settings.layers import LayerSettings, own_groups
from izhi.spec.assembly import LayerOptions, assemble, network_of_tables
from izhi.spec.encoder import (
    CODES,
    SERIES_CODES,
    Augmentation,
    EncoderSpec,
    EventEncoderSpec,
    RowEncoderSpec,
    SeriesEncoderSpec,
    ValueEncoderSpec,
)
from izhi.spec.network import NetworkSpec
from izhi.spec.neuron import usual_options
from izhi.spec.tables import Shape


def describe(e: Experiment, features: int | Shape, classes: int) -> NetworkSpec:
    """The network of a resolved experiment.

    Args:
        features: of an encoded sample, channels first: an encoder's ``grid``.

    Raises:
        SettingError: naming the layer that does not fit what comes before it, or for a network given module by module
            that does not fit the data.
    """
    s, shape = e.network, (features,) if isinstance(features, int) else features
    if s.modules is not None:
        return network_of_tables(s.modules, math.prod(shape), classes, dropout=s.dropout, keep_every=s.keep_every)
    windows = [*s.rows, LayerSettings(size=classes)] if s.readout == "spikes" else s.rows
    layers = [_layer(e, window, number) for number, window in enumerate(windows, start=1)]
    return assemble(layers, shape, classes, s)


def _layer(e: Experiment, window: LayerSettings, number: int) -> LayerOptions:
    """The options of a layer: its own, and those of the network."""
    if not window.own:
        return LayerOptions(window, e.neurons, e.network)
    name = f"layer {number} ({window.text})"
    neurons, network = own_groups(window, e.neurons, e.network, name)
    try:
        usual_options(neurons)
    except SettingError as error:
        raise SettingError(f"{name}: {error}") from None
    return LayerOptions(window, neurons, network)


def describe_encoder(e: Experiment, name: str, shape: Shape, *, is_series: bool) -> EncoderSpec:
    """The encoder of a resolved experiment, for samples of that shape of the data set ``name``.

    Raises:
        SettingError: for rows or a shift of what is no image, a number of steps that its rows do not divide, or an
            encoding of other samples.
    """
    coding, change, is_image = e.coding, e.augmentation, len(shape) == 2 and not is_series
    code, steps = coding.encoding or ("current" if is_series else "rate"), coding.steps
    if code == "events" and not is_series:
        if change.equalize and len(shape) != 1:
            raise SettingError(f"equalize is {change.equalize:g}, but {name} is no row of channels; leave it out")
        return EventEncoderSpec(
            steps, shape, coding.window or 0.0, coding.pool, coding.counts, coding.normalize_time,
            Augmentation(**change.model_dump()),
        )  # fmt: skip
    if change.shift and not is_image:
        raise SettingError(f"shift is {change.shift}, but {name} holds no images; leave it out")
    if is_series:
        return _series_encoder(e, shape)
    if code == "rows" or code == "pixels":
        if not is_image:
            raise SettingError(f"encoding is {code!r}, but {name} holds no images")
        parts = math.prod(shape) if code == "pixels" else shape[0]
        if steps % parts:
            raise SettingError(f"steps is {steps}, expected a multiple of {parts}, the {code} of an image")
        return RowEncoderSpec(steps, shape, change.shift, code == "pixels", _order(coding.permutation))
    if code not in CODES:
        raise SettingError(f"encoding is {code!r}, but {name} holds no time series; choose rate or another")
    return ValueEncoderSpec(code, steps, shape, coding.population, change.shift)


def _order(permutation: int | str | None) -> int | tuple[int, ...] | None:
    """The seed of an order of pixels, or the order in a file, which may lie in the data root."""
    if not isinstance(permutation, str):
        return permutation
    path, known = Path(permutation), data_root() / permutation
    found = files.arrays(known if known.is_file() and not path.is_file() else path, 1, "order of pixels", "np.savez")
    order = found.get("permutation")
    if order is None or order.ndim != 1 or order.dtype.kind not in "iu":
        raise DataError(
            f"{permutation} holds {', '.join(sorted(found)) or 'nothing'}, expected permutation, whole numbers (H·W)"
        )
    return tuple(order.tolist())


def _series_encoder(e: Experiment, shape: Shape) -> SeriesEncoderSpec:
    coding, (longest, channels) = e.coding, shape
    if coding.lengths == "pad" and coding.steps < longest:
        raise SettingError(
            f"steps is {coding.steps}, but the longest training sample has {longest}, which pad would cut off; choose"
            f" {longest} steps, or lengths resample"
        )
    code = coding.encoding or "current"
    if code not in SERIES_CODES:
        raise unknown("encoding", code, SERIES_CODES)
    return SeriesEncoderSpec(
        code, coding.steps, channels, coding.population, coding.delta, coding.crossings, coding.counts,
        coding.lengths == "pad",
    )  # fmt: skip
