"""A whole population of networks as one wide network, which the kernels run in one pass.

Neurons of all members lie side by side. The first connection delivers the same input to the neurons of every member;
further connections are within a member.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from izhi.errors import SettingError, shown
from izhi.kernels import Spikes, SynapticInput, product
from izhi.network.connections import Linear
from izhi.network.layers import Layer
from izhi.network.network import Network
from izhi.neurons import Neuron
from izhi.neurons.neuron import NeuronLayer

#: Largest number of values (steps × samples × neurons) of a layer; larger populations run in parts.
_ROOM = 1 << 25


@dataclass(frozen=True)
class Gene:
    """An evolved tensor: its name in the network, its initial values, and the scale of a change."""

    name: str
    start: Tensor
    scale: float

    @property
    def kind(self) -> str:
        """``"weights"`` or ``"neurons"``."""
        return "neurons" if ".neuron." in self.name else "weights"

    def begun_at(self, start: Tensor) -> Gene:
        """The gene with the initial values of a checkpoint; ValueError for other shapes, or what is not finite."""
        if not isinstance(start, Tensor) or start.shape != self.start.shape or not torch.isfinite(start).all():
            shape = tuple(self.start.shape)
            raise ValueError(f"{self.name} is {shown(start)}, expected finite numbers of shape {shape}")
        return replace(self, start=start.to(self.start))


class Genome:
    """The evolved values of a network as one vector.

        value = start + scale·x

    so that one spread of x fits weights, 1/√inputs, and coefficients of neurons, a tenth of their unit.

    Args:
        network: of linear connections without delays.
        searched: ``"weights"``, ``"neurons"`` (their learned coefficients), or ``"all"``.
        start: initial values by name, instead of the network's own.

    Raises:
        SettingError: for another network, or one without values to evolve.
        ValueError: for initial values of another shape, or that are not finite.
    """

    def __init__(self, network: Network, searched: str = "all", start: Mapping[str, Tensor] | None = None) -> None:
        self.genes = [g for g in _genes(network) if searched in ("all", g.kind)]
        if start is not None:
            self.genes = [g.begun_at(start[g.name]) for g in self.genes]
        if not self.genes:
            raise SettingError(f"evolve is {searched!r}, but the network has none to change; add learn")
        self.size = sum(g.start.numel() for g in self.genes)

    def values(self, x: Tensor) -> dict[str, Tensor]:
        """Tensors (P, …) by name of vectors (P, n)."""
        parts = torch.split(x.to(self.genes[0].start), [g.start.numel() for g in self.genes], dim=1)
        return {
            g.name: g.start + g.scale * part.view(len(x), *g.start.shape)
            for g, part in zip(self.genes, parts, strict=True)
        }

    def whole(self, network: Network, x: Tensor) -> dict[str, Tensor]:
        """The same, and what a network has of its own, the same for all of them."""
        own = {n: p.detach().expand(len(x), *p.shape) for n, p in network.named_parameters()}
        return {**own, **self.values(x)}

    def write(self, network: Network, x: Tensor) -> None:
        """Put one vector (n,) into a network."""
        own = dict(network.named_parameters())
        with torch.no_grad():
            for name, value in self.values(x[None]).items():
                own[name].copy_(value[0])


def _genes(network: Network) -> Iterator[Gene]:
    connections: list[tuple[str, nn.Module]] = []
    for number, layer in enumerate(network.layers):
        if not isinstance(layer, Layer) or layer.norm is not None:
            raise SettingError(
                f"number {number + 1} of the network is {type(layer).__name__} or normalised, but evolution searches"
                " linear layers; set connection to linear"
            )
        if layer.delay is not None:
            raise SettingError("delays are set, which evolution does not search; leave them out")
        connections.append((f"layers.{number}.connection", layer.connection))
    if network.readout is not None:
        connections.append(("readout", network.readout))
    for prefix, connection in connections:
        if type(connection) is not Linear or not connection.is_plain:
            raise SettingError(
                f"{prefix} is {connection.kind}, but evolution searches linear connections; set connection to linear"
            )
        for name, value in connection.named_parameters():
            yield Gene(f"{prefix}.{name}", value.detach().clone(), connection.inputs**-0.5)
    for number, layer in enumerate(network.spiking):
        for name, value in layer.neuron.learned.items():
            prefix = f"layers.{number}.neuron.learned.{name}"
            yield Gene(prefix, value.detach().clone(), 0.1 * layer.neuron.parameter_scale(name))


@dataclass
class Population:
    """Runs many members of one genome on the same samples, as one wide network.

    Raises:
        SettingError: for neurons of a mixture or a distribution, whose constants differ.
    """

    network: Network  #: of the values that the genome does not hold
    genome: Genome  #: of the members
    is_constant: bool = False  #: whether all steps of a sample are the same, as of a constant current

    def __post_init__(self) -> None:
        is_mixture = any(getattr(x.neuron, "mixture", None) for x in self.network.spiking)
        if is_mixture or any(".mixed_" in name for x in self.network.spiking for name, _ in x.named_buffers()):
            kind = "mixture" if is_mixture else "distribution such as that of resonators"
            raise SettingError(f"a {kind} is set, which evolution cannot run; choose neurons that are alike at first")

    def outputs(self, spikes: Spikes, x: Tensor) -> Iterator[Tensor]:
        """Output (T, B, classes) of each member x (P, n) on spikes (T, B, inputs)."""
        widest = max((y.connection.outputs for y in self.network.spiking), default=1)
        at_once = max(1, _ROOM // (spikes.shape[0] * spikes.shape[1] * widest))
        with torch.no_grad():
            for part in torch.split(x, at_once):
                yield from self._run(spikes, part).unbind(2)

    def _run(self, spikes: Spikes, x: Tensor) -> Tensor:
        """(T, B, P, classes)."""
        members = len(x)
        values = self.genome.whole(self.network, x)
        out: Tensor | None = None
        for number, layer in enumerate(self.network.spiking):
            prefix = f"layers.{number}"
            current = self._currents(spikes if out is None else out, values, f"{prefix}.connection", out is None)
            learned = {
                name: values[f"{prefix}.neuron.learned.{name}"].view(members, -1) for name in layer.neuron.learned
            }
            neuron = _side_by_side(layer.neuron, learned, members, layer.connection.outputs)
            fired, _ = neuron(SynapticInput(current.flatten(2)))
            out = fired.view(*current.shape)
        if out is not None and self.network.readout is None:
            return out
        return self._currents(spikes if out is None else out, values, "readout", out is None)

    def _currents(self, spikes: Spikes, values: dict[str, Tensor], prefix: str, is_input: bool) -> Tensor:
        """Currents (T, B, P, M) of a layer: of the input for all members, or of each member's spikes (T, B, P, N)."""
        weight, bias = values[f"{prefix}.input.weight"], values[f"{prefix}.input.bias"]
        if not is_input:
            return torch.einsum("tbpn,pmn->tbpm", cast(Tensor, spikes), weight) + bias
        constant = isinstance(spikes, Tensor) and self.is_constant
        arriving = spikes[:1] if isinstance(spikes, Tensor) and constant else spikes
        current = product(arriving, weight.flatten(0, 1)) + bias.flatten()
        current = current.view(*current.shape[:2], *bias.shape)
        return current.expand(len(spikes), -1, -1, -1) if constant else current


def _side_by_side(neuron: Neuron, learned: Mapping[str, Tensor], members: int, width: int) -> NeuronLayer[Any, Any]:
    """A layer's neurons for all members, each member with learned coefficients of its own, (P, 1 or N)."""
    wide = copy.deepcopy(cast("NeuronLayer[Any, Any]", neuron))
    wide.parameter_shape = (members * width,) if learned else None
    for name, value in learned.items():
        every = value.expand(members, width).reshape(-1)
        wide.learned[name] = nn.Parameter(every.clone(), requires_grad=False)
    return wide
