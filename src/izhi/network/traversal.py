"""Networks layer by layer: shapes, spikes and inputs of neurons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from izhi.errors import SettingError
from izhi.kernels import Spikes, SynapticInput
from izhi.network.connections import Connection
from izhi.network.layers import Layer
from izhi.network.network import Network, hooked
from izhi.network.sequence import Residual, each_step


def input_features(modules: Iterable[nn.Module | None]) -> tuple[int, ...]:
    """The features of the input of a network's modules, from the first of them.

    Raises:
        SettingError: if it accepts any number of features.
    """
    first = next((x for x in modules if x is not None), None)
    if isinstance(first, nn.Unflatten):
        return tuple(first.unflattened_size)
    connection = first.connection if isinstance(first, Layer) else first
    if isinstance(connection, Connection) and isinstance(connection.input, nn.Linear):
        return (connection.inputs,)
    raise SettingError(
        f"the network begins with {type(first).__name__}, which does not say how many inputs there are;"
        " begin it with nn.Unflatten(1, (channels, height, width))"
    )


def walk(network: Network, spikes: Spikes) -> Iterator[tuple[Layer | Connection, Spikes]]:
    """Each layer of neurons, then the readout if any, with its input spikes.

    A layer runs when the next one is requested, so that it may be changed before.

    Raises:
        SettingError: for a network with residual blocks.
    """
    for module in network.layers:
        if isinstance(module, Residual):
            raise SettingError("the network has a residual block, which integers do not have; leave it out")
        if isinstance(module, Layer):
            yield module, spikes
            spikes, _ = module(spikes)
        else:
            spikes = each_step(module, spikes)
    if network.readout is not None:
        yield network.readout, spikes


def run_with_hooks(network: Network, spikes: Spikes, see: Callable[[Layer, SynapticInput, Tensor], None]) -> Tensor:
    """Run spikes through a network; its output. ``see`` receives each layer, its input and its spikes."""

    def show(layer: nn.Module, inputs: tuple[Any, ...], outputs: tuple[Tensor, ...]) -> None:
        own, (arriving, _, *more) = cast(Layer, layer), inputs
        see(own, own.drive(arriving, None, *more)[0], outputs[0])

    with hooked(network.spiking, show):
        output: Tensor = network(spikes).output
    return output


def first_nonfinite(network: Network, spikes: Spikes) -> str | None:
    """The layer and time step of the first number that is not finite: ``"layer 1, time step 3"``, or None."""
    if isinstance(spikes, Tensor) and not torch.isfinite(spikes).all():
        return "the input"
    positions: list[str] = []

    def check(name: str, *tensors: Tensor | None) -> None:
        for tensor in tensors:
            if tensor is not None and not positions and not (finite := torch.isfinite(tensor)).all():
                step = int((~finite.flatten(1).all(dim=1)).nonzero()[0])
                positions.append(f"{name}, time step {step}")

    def of_layer(layer: Layer, drive: SynapticInput, fired: Tensor) -> None:
        check(layer.name, drive.current, drive.conductance, fired)

    with torch.no_grad():
        output = run_with_hooks(network, spikes, of_layer)
        if network.readout is not None:
            check("the readout", output)
    return positions[0] if positions else None
