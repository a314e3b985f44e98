"""Checks of descriptions for what hardware does not have, without torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from izhi.equation import equation_of
from izhi.equation.integers import integer_step
from izhi.errors import SettingError
from izhi.spec import ConductanceSpec, CustomSpec, LayerSpec, LinearSpec, NetworkSpec, ResidualSpec

#: Levels of a current beside recurrent spikes, at most: a spike counts as much as all of them, and weights of the same
#: scale would be rounded to nothing.
MOST_RECURRENT_LEVELS = 15


def check(spec: NetworkSpec, weight_bits: Sequence[int] | None, state_bits: int | None, levels: int | None) -> None:
    """Raise SettingError for the first part of a network that hardware does not have.

    Args:
        spec: of the float network.
        weight_bits: of each layer; None for float weights.
        state_bits: of states; None for float states.
        levels: number of levels of an input current; None for spikes.
    """
    layers = spec.layers
    for number, module in enumerate(spec.modules, start=1):
        if isinstance(module, ResidualSpec) and weight_bits is not None:
            raise unsupported_module(number, "Residual")
    for number, layer in enumerate(layers):
        if weight_bits is not None:
            _check_layer(layer)
            if levels is not None and number == 0:
                check_levels(levels, weight_bits[0], math.prod(layer.connection.weight_shape[1:]))
                if layer.connection.recurrent and levels > MOST_RECURRENT_LEVELS:
                    raise SettingError(
                        f"levels is {levels}, and the first layer is recurrent: one sum holds currents of that many"
                        f" levels and spikes; choose at most {MOST_RECURRENT_LEVELS}, or inputs that are spikes"
                    )
        if state_bits is not None and isinstance(layer.neuron, CustomSpec):
            integer_step(equation_of(layer.neuron.kind))
    if spec.readout is not None and weight_bits is not None:
        is_leaky = not isinstance(spec.readout.synapse, ConductanceSpec)
        is_supported = isinstance(spec.readout, LinearSpec) and is_leaky and not spec.readout.recurrent
        check_readout(is_supported, spec.readout.label)


def _check_layer(layer: LayerSpec) -> None:
    if layer.delay is not None and layer.delay.kind == "synaptic":
        raise synaptic_delays()
    own = layer.connection
    if isinstance(own.synapse, ConductanceSpec) or (own.recurrent and not isinstance(own, LinearSpec)):
        raise unsupported_connection(own.label)


def synaptic_delays() -> SettingError:
    """The error for delays of each synapse."""
    return SettingError("each synapse has a delay of its own, which hardware does not have; choose axonal delays")


def unsupported_connection(label: str) -> SettingError:
    """The error for a conductance, or a recurrent convolution."""
    return SettingError(
        f"connection is {label}, which hardware does not have; choose Linear or Conv2d, with an exponential synapse or"
        " none, and recurrence in Linear alone"
    )


def unsupported_module(number: int, name: str) -> SettingError:
    """The error for a module of a network that integers do not have."""
    return SettingError(
        f"number {number} of the network is {name}, which integers do not have, expected convolutions,"
        " pooling, Flatten, Unflatten and linear layers"
    )


def check_readout(is_supported: bool, label: str) -> None:
    """Raise SettingError for a readout other than a linear one without recurrence and conductances."""
    if not is_supported:
        raise SettingError(f"the readout is {label}, expected Linear, with an exponential synapse or none")


def check_levels(levels: int, bits: int, sources: int) -> None:
    """Raise SettingError if float32, in which the network runs, does not hold the sums of integers exactly."""
    most = 2**24 // (sources << (bits - 1))
    if levels > most:
        raise SettingError(
            f"levels is {levels}, but float32 does not hold such sums over {sources:,} weights of {bits} bits;"
            f" choose at most {most}, or fewer bits"
        )
