"""From settings to the description of a network, without torch."""

from __future__ import annotations

import math

from izhi.errors import SettingError
from izhi.experiments.settings.experiment import Experiment
from izhi.experiments.settings.layers import LayerSettings, own_groups
from izhi.spec import NetworkSpec, Shape, usual_options
from izhi.spec.assembly import LayerOptions, assemble, network_of_tables


def describe(e: Experiment, features: int | Shape, classes: int) -> NetworkSpec:
    """The network of a resolved experiment.

    Args:
        e: the experiment.
        features: of an encoded sample, channels first: an encoder's ``grid``.
        classes: number of classes.

    Raises:
        SettingError: naming the layer that does not fit what comes before it, or for a network given module by module
            that does not fit the data.
    """
    s, shape = e.network, (features,) if isinstance(features, int) else features
    if s.modules is not None:
        return network_of_tables(s.modules, math.prod(shape), classes, dropout=s.dropout, keep_every=s.keep_every)
    windows = [*s.rows, LayerSettings(size=classes)] if s.readout == "spikes" else s.rows
    layers = [_layer(e, window, number) for number, window in enumerate(windows, start=1)]
    readout = None if s.readout == "spikes" else s.tau if s.readout == "membrane" else 0.0
    return assemble(layers, shape, readout, classes, dropout=s.dropout, keep_every=s.keep_every)


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
