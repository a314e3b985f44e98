"""Networks: layers of connection and neuron in a row, and a readout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from izhi.errors import SettingError, ShapeError, shown, unknown
from izhi.kernels import Spikes, SynapticInput, is_repeated, once, pool
from izhi.network.connections import Connection
from izhi.network.delays import Delay, SynapticDelay
from izhi.network.normalization import BatchNorm
from izhi.network.synapses import ConductanceSynapse, currents
from izhi.neurons import Neuron, NeuronState
from izhi.neurons.neuron import NeuronLayer
from izhi.neurons.silence import SilenceWatch

#: What a module of a row goes on from: that of a layer, a list of those of a residual block, None of others.
State: TypeAlias = Any
#: Modules that give the same for the same step.
_SAME_EACH_STEP = (nn.Flatten, nn.Unflatten, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d)


class LayerState(NamedTuple):
    """State of a layer with delays: its neurons', and the last steps (steps, B, in_features) that came in."""

    neuron: NeuronState
    past: Tensor


class Layer(nn.Module):
    """A connection and the neurons that it drives; if wished with delays before and normalisation behind it.

    Called with spikes (T, B, *features) and a state or None; returns the layer's spikes and the next state: the
    neurons', or a LayerState where there are delays.
    A layer that stays silent while it is trained says so in a SilentLayerWarning, once.

    Args:
        connection: weights, with synapse and recurrence.
        neuron: of any kind.
        delay: of the spikes that come in; None for none.
        norm: of the weighted spikes; None for none.

    Raises:
        ShapeError: for delays of other sizes than the connection's.
        SettingError: for normalised conductances, or synaptic delays of a convolution in groups.
    """

    connection: Connection
    neuron: Neuron
    delay: Delay | None
    norm: BatchNorm | None
    #: How messages call it.
    name: str = "a layer"

    def __init__(
        self, connection: Connection, neuron: Neuron, delay: Delay | None = None, norm: BatchNorm | None = None
    ) -> None:
        super().__init__()
        if delay is not None and delay.steps.shape not in ((connection.inputs,), connection.weight.shape):
            raise ShapeError(
                f"delays have shape {tuple(delay.steps.shape)}, expected ({connection.inputs},) or"
                f" {tuple(connection.weight.shape)}, those of the connection"
            )
        if norm is not None and isinstance(connection.synapse, ConductanceSynapse):
            raise SettingError("norm is set, but conductances are not normalised; use a current")
        if isinstance(delay, SynapticDelay) and getattr(connection.input, "groups", 1) > 1:
            raise SettingError("delays of each synapse are set, which a convolution in groups has not; use AxonalDelay")
        self.connection, self.neuron, self.delay, self.norm = connection, neuron, delay, norm
        self.watch = SilenceWatch()

    def forward(
        self, spikes: Spikes, state: State = None, more: Tensor | None = None
    ) -> tuple[Tensor, NeuronState | LayerState]:
        """Run over time; ``more`` is added to the weighted spikes."""
        out, after = self._run(spikes, state, more)
        if self.training and not self.watch.is_over:
            self.watch.see(out, len(out), f"{self.name} ({self.connection.sizes}, {self.neuron.kind})", stacklevel=5)
        return out, after

    def _run(self, spikes: Spikes, state: State, more: Tensor | None) -> tuple[Tensor, NeuronState | LayerState]:
        before = state if self.delay is None else state or LayerState(None, None)  # type: ignore[arg-type]
        drive, past = self.drive(spikes, None if self.delay is None else before.past, more)
        if self.delay is None:
            return self.neuron(drive, before)
        out, after = self.neuron(drive, before.neuron)
        return out, LayerState(after, cast(Tensor, past))

    def drive(
        self, spikes: Spikes, past: Tensor | None = None, more: Tensor | None = None
    ) -> tuple[SynapticInput, Tensor | None]:
        """What the neurons receive from spikes and, with delays, from the steps before them; with ``more`` added."""
        if self.delay is None:
            found, past = self.connection(spikes), None
        else:
            self.connection.check(spikes)
            arriving, past = self.delay(spikes, past)
            found = self.connection(arriving, self.delay)
        if self.norm is not None:
            found = found._replace(current=self.norm(found.current))
        if more is not None:
            found = found._replace(current=found.current + more)
        return found, past


class NetworkOutput(NamedTuple):
    """What a network returns.

    Attributes:
        output: what the loss reads, (T, B, classes): spikes of the last layer, or the readout's currents.
        spikes: spikes of every layer of neurons, (T, B, *features) each; empty if not recorded.
        state: the last state of everything in the row, to continue from.
    """

    output: Tensor
    spikes: list[Tensor]
    state: list[State]


@dataclass
class _Pass:
    """What one call of a network keeps while its row runs.

    Attributes:
        keep: share of neurons that dropout leaves; 1 for no dropout.
        last: the layer whose spikes are the output, which dropout leaves alone; None for a readout's.
        record: whether spikes are recorded.
        masks: what the spikes of each layer are multiplied by, (B, *features), drawn when it first runs.
        spikes: recorded so far.
    """

    keep: float
    last: Layer | None
    record: bool
    masks: dict[Layer, Tensor] = field(default_factory=dict)
    spikes: list[Tensor] = field(default_factory=list)

    def fired(self, layer: Layer, out: Tensor) -> Tensor:
        """The spikes of a layer as the next one sees them."""
        if self.record:
            self.spikes.append(out)
        if self.keep == 1 or layer is self.last:
            return out
        if layer not in self.masks:
            self.masks[layer] = (torch.rand(out.shape[1:], device=out.device) < self.keep) / self.keep
        return out * self.masks[layer].to(out.dtype)


def _run(
    modules: Iterable[nn.Module], spikes: Spikes, states: Sequence[State], now: _Pass
) -> tuple[Spikes, list[State]]:
    """Run modules in a row; what comes out, and the state of each."""
    after: list[State] = []
    for module, state in zip(modules, states, strict=False):
        if isinstance(module, Layer):
            try:
                out, state = module(spikes, state)
            except ShapeError as error:
                raise ShapeError(f"{module.name}: {error}") from None
            spikes = now.fired(module, out)
        elif isinstance(module, Residual):
            spikes, state = module.run(spikes, state, now)
        else:
            spikes = each_step(module, spikes)
        after.append(state)
    return spikes, after


def each_step(module: nn.Module, spikes: Spikes) -> Tensor:
    """A module that keeps no state, such as pooling, on every step of every sample.

    Args:
        module: called with (T·B, *features).
        spikes: (T, B, *features).

    Raises:
        ShapeError: if the module does not take them, or gives back no tensor of as many steps.
    """
    if is_repeated(spikes) and (isinstance(module, _SAME_EACH_STEP) or getattr(module, "is_deterministic", False)):
        return once(partial(each_step, module), spikes)
    x = spikes if isinstance(spikes, Tensor) else spikes.dense()
    name = type(module).__name__
    try:
        given = x.flatten(0, 1)
        found = pool(module, given)
        out = module(given) if found is None else found
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ShapeError(f"{name} does not take spikes of features {tuple(x.shape[2:])} ({reason})") from None
    if not isinstance(out, Tensor):
        raise ShapeError(f"{name} gives {type(out).__name__}, expected a tensor; a module in the row keeps no state")
    if len(out) != x.shape[0] * x.shape[1]:
        raise ShapeError(f"{name} gives {len(out)} samples of {x.shape[0] * x.shape[1]}, expected as many")
    return out.view(*x.shape[:2], *out.shape[1:])


class Residual(nn.Module):
    """Modules in a row, whose outcome what came in is added to.

        "spikes":    out = row(x) + shortcut(x)
        "currents":  the last layer of the row is driven by shortcut(x) as well

    Sums of spikes are 0, 1 or 2.

    Args:
        layers: of the row: layers, and modules without state.
        shortcut: of spikes a module without state, such as pooling; of currents a connection without synapse or
            recurrence; None to add what came in as it is.
        add: ``"spikes"`` or ``"currents"``.

    Raises:
        SettingError: for another kind of addition or shortcut, or currents added to what is no layer.
    """

    def __init__(
        self, layers: Sequence[nn.Module], shortcut: nn.Module | None = None, *,
        add: Literal["spikes", "currents"] = "spikes",
    ) -> None:  # fmt: skip
        super().__init__()
        if add not in ("spikes", "currents"):
            raise unknown("add", add, ("spikes", "currents"))
        if add == "currents" and not (layers and isinstance(layers[-1], Layer)):
            raise SettingError("currents are added, but the row ends in no layer of neurons; end it in one")
        fits = (
            isinstance(shortcut, Connection) and shortcut.is_plain
            if add == "currents"
            else not isinstance(shortcut, (Connection, Layer, NeuronLayer))
        )
        if shortcut is not None and not fits:
            wanted = "a connection without synapse and recurrence" if add == "currents" else "a module without state"
            raise SettingError(f"the shortcut of {add} is {type(shortcut).__name__}, expected {wanted}")
        self.layers, self.shortcut, self.add = nn.ModuleList(layers), shortcut, add
        _check_row(layers)

    def forward(self, spikes: Spikes, state: State = None) -> tuple[Tensor, list[State]]:
        """Run spikes (T, B, *features) alone, outside of a network."""
        return self.run(spikes, state, _Pass(1.0, None, False))

    def run(self, spikes: Spikes, state: State, now: _Pass) -> tuple[Tensor, list[State]]:
        """See ``forward``; ``now`` is the network's call."""
        x = spikes if isinstance(spikes, Tensor) else spikes.dense()
        states = state or [None] * len(self.layers)
        if self.add == "spikes":
            out, after = _run(self.layers, x, states, now)
            return _sum(cast(Tensor, out), x if self.shortcut is None else each_step(self.shortcut, x)), after
        *inner, last = self.layers
        own = cast(Layer, last)
        middle, after = _run(inner, x, states, now)
        more = x if self.shortcut is None else currents(self.shortcut(x), None)[0]
        fired, state_of_last = own(middle, states[-1], more)
        return now.fired(own, fired), [*after, state_of_last]


def _sum(one: Tensor, other: Tensor) -> Tensor:
    if one.shape != other.shape:
        raise ShapeError(
            f"a row gives features {tuple(one.shape[2:])}, and its shortcut {tuple(other.shape[2:])}, expected the same"
        )
    return one + other


def _check_row(modules: Sequence[object]) -> None:
    """Raise SettingError for what cannot stand in a row, naming its place."""
    for place, module in enumerate(modules, start=1):
        what = type(module).__name__
        if not isinstance(module, nn.Module):
            raise SettingError(f"number {place} of the row is {shown(module)}, expected a Layer or a module")
        if isinstance(module, NeuronLayer):
            raise SettingError(
                f"number {place} of the row is the neuron {what} alone; join it to its connection:"
                f" Layer(Linear(…), {what}(…))"
            )
        if isinstance(module, Connection):
            raise SettingError(
                f"number {place} of the row is the connection {what} alone; join it to its neurons:"
                f" Layer({what}(…), LIF()), or make it the readout"
            )
        if not isinstance(module, (Layer, Residual)) and _keeps_state(module):
            raise SettingError(
                f"number {place} of the row is {what}, which keeps a state of its own from step to step,"
                " expected a Layer or a module without state"
            )


def _keeps_state(module: nn.Module) -> bool:
    """Whether it, or a part of it, is recurrent as torch, snnTorch, Norse or SpikingJelly have it."""
    recurrent = (nn.RNNBase, nn.RNNCellBase)
    return any(
        isinstance(part, recurrent)
        or any(hasattr(part, name) for name in ("init_hidden", "state_fallback", "_memories"))
        for part in module.modules()
    )


class Network(nn.Module):
    """Layers in a row, then a readout.

    Args:
        layers: at least one Layer, unless there is a readout. Between layers any module that keeps no state may
            stand: it is called with (T·B, *features), so that ``nn.MaxPool2d(2)``, ``nn.Flatten()``,
            ``nn.Unflatten(1, (1, 28, 28))`` and ``nn.BatchNorm2d(8)``, over time and batch, do what they say.
        readout: a connection without neurons, whose currents are the output (for example Linear:
            weighted spikes, summed over time by the loss; with an ExponentialSynapse: a leaky membrane). None
            to read the spikes of the last layer.
        keep_every: None to keep, for the backward pass, what each step needs; k to keep the states of
            every k-th step only and to run the steps between them again, which makes the memory of
            long sequences k steps' and costs a second forward pass.
        dropout: share of the neurons of each layer that are silenced while training, for a whole
            sample; the others' spikes count 1/(1 − dropout).
        is_exact: whether it is evaluated in float32 whatever the precision of training, in which
            integers, and so quantised networks, are exact.

    Raises:
        ShapeError: for a row without layers.
        SettingError: for what cannot stand in a row, and numbers out of range.
    """

    readout: Connection | None

    def __init__(
        self,
        layers: Sequence[nn.Module],
        readout: Connection | None = None,
        *,
        keep_every: int | None = None,
        dropout: float = 0.0,
        is_exact: bool = False,
    ) -> None:
        super().__init__()
        if keep_every is not None and keep_every < 1:
            raise SettingError(f"keep_every is {keep_every!r}, expected at least 1 step, or None")
        if not 0 <= dropout < 1:
            raise SettingError(f"dropout is {dropout!r}, expected a share from 0 to below 1")
        _check_row(layers)
        self.layers = nn.ModuleList(layers)
        if not self.spiking and readout is None:
            raise ShapeError("a network of no layers, expected at least one layer or a readout")
        for number, layer in enumerate(self.spiking, start=1):
            layer.name = f"layer {number}"
        kinds = (BatchNorm, nn.modules.batchnorm._BatchNorm)
        if keep_every is not None and any(isinstance(x, kinds) for x in self.modules()):
            raise SettingError("keep_every is set, but normalisation needs all steps at once; leave one of them out")
        self.readout = readout
        self.keep_every, self.dropout, self.is_exact = keep_every, dropout, is_exact

    @property
    def spiking(self) -> list[Layer]:
        """The layers of neurons, in their order, those of residual blocks among them."""
        return [x for x in self.layers.modules() if isinstance(x, Layer)]

    @property
    def outputs(self) -> int | None:
        """How many outputs it has, such as classes; None if the shape of what comes in decides it."""
        last = self.readout if self.readout is not None else self.spiking[-1].connection
        ends = self.readout is not None or isinstance(self.layers[-1], Layer)
        return len(last.weight) if ends and isinstance(last.input, nn.Linear) else None

    def neurons(self, *features: int) -> list[int]:
        """How many neurons each layer has, for inputs of those features, found by a step of nothing."""
        own, training = next(self.parameters()), self.training
        self.eval()
        try:
            with torch.no_grad():
                found = self(own.new_zeros(1, 1, *features)).spikes
        finally:
            self.train(training)
        return [x[0, 0].numel() for x in found]

    def forward(self, spikes: Spikes, state: Sequence[State] | None = None, *, record: bool = True) -> NetworkOutput:
        """Run spikes (T, B, *features) through every layer.

        Args:
            spikes: what arrives at the first layer.
            state: of an earlier output, to go on from; None to start anew.
            record: whether the output holds the spikes of every layer.
        """
        before = list(state) if state else [None] * (len(self.layers) + 1)
        masks: dict[Layer, Tensor] = {}
        if not self.keep_every or not torch.is_grad_enabled() or len(spikes) <= self.keep_every:
            return self._run(spikes, before, masks, record)
        parts = []
        for part in spikes.split(self.keep_every):
            out = cast(
                NetworkOutput,
                checkpoint(
                    self._run,
                    part,
                    before,
                    masks,
                    record,
                    use_reentrant=False,
                    preserve_rng_state=False,
                ),
            )
            parts.append(out)
            before = out.state
        recorded = [torch.cat(x) for x in zip(*(part.spikes for part in parts), strict=True)]
        return NetworkOutput(torch.cat([part.output for part in parts]), recorded, before)

    def _run(self, spikes: Spikes, before: list[State], masks: dict[Layer, Tensor], record: bool) -> NetworkOutput:
        keep = 1 - self.dropout if self.training else 1.0
        last = self.spiking[-1] if keep < 1 and self.readout is None else None
        now = _Pass(keep, last, record, masks)
        out, after = _run(self.layers, spikes, before, now)
        if self.readout is None:
            return NetworkOutput(cast(Tensor, out), now.spikes, after)
        try:
            current, traces = currents(self.readout(out), before[len(self.layers)])
        except ShapeError as error:
            raise ShapeError(f"the readout: {error}") from None
        after.append(traces)
        return NetworkOutput(current, now.spikes, after)


def shape_of_inputs(row: Iterable[nn.Module]) -> tuple[int, ...] | None:
    """The features that a row of modules takes, as its first one says; None if it does not."""
    first = next(iter(row), None)
    if isinstance(first, nn.Unflatten):
        return tuple(first.unflattened_size)
    connection = first.connection if isinstance(first, Layer) else first
    if isinstance(connection, Connection) and isinstance(connection.input, nn.Linear):
        return (connection.inputs,)
    return None


def with_shapes(
    row: Iterable[nn.Module], features: Sequence[int]
) -> Iterator[tuple[nn.Module, tuple[int, ...], tuple[int, ...]]]:
    """Each module of a row with the features that it is given, and gives; found by weights alone, no neuron runs.

    Raises:
        ShapeError: for a module that does not take what comes to it.
    """
    x = torch.zeros(1, 1, *features)
    with torch.no_grad():
        for module in row:
            given = tuple(x.shape[2:])
            if isinstance(module, Layer):
                module.connection.check(x)
                x = torch.zeros_like(module.connection(x).current)
            elif isinstance(module, Residual):
                last = [found for _, _, found in with_shapes(module.layers, given)]
                x = torch.zeros(1, 1, *last[-1])
            else:
                was_training = module.training
                x = each_step(module.eval(), x)
                module.train(was_training)
            yield module, given, tuple(x.shape[2:])


def walk(network: Network, spikes: Spikes) -> Iterator[tuple[Layer | Connection, Spikes]]:
    """Each layer of neurons, then the readout if there is one, with the spikes that arrive at it.

    A layer runs when the next one is asked for, so that it may be changed before.

    Raises:
        SettingError: for a network with residual blocks, which is no plain row.
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


def watched(network: Network, spikes: Spikes, see: Callable[[Layer, SynapticInput, Tensor], None]) -> Tensor:
    """Run spikes through a network; its output. ``see`` is shown each layer, its drive and its spikes."""

    def show(layer: nn.Module, given: tuple[Any, ...], found: tuple[Tensor, ...]) -> None:
        own, (arriving, _, *more) = cast(Layer, layer), given
        see(own, own.drive(arriving, None, *more)[0], found[0])

    hooks = [layer.register_forward_hook(show) for layer in network.spiking]
    try:
        output: Tensor = network(spikes).output
        return output
    finally:
        for hook in hooks:
            hook.remove()


def first_nonfinite(network: Network, spikes: Spikes) -> str | None:
    """Where a forward pass first leaves the finite numbers: ``"layer 1, time step 3"``, or None."""
    if isinstance(spikes, Tensor) and not torch.isfinite(spikes).all():
        return "the input"
    places: list[str] = []

    def look(name: str, *tensors: Tensor | None) -> None:
        for tensor in tensors:
            if tensor is not None and not places and not torch.isfinite(tensor).all():
                places.append(f"{name}, time step {_first_step(tensor)}")

    def of_layer(layer: Layer, drive: SynapticInput, found: Tensor) -> None:
        look(layer.name, drive.current, drive.conductance, found)

    with torch.no_grad():
        output = watched(network, spikes, of_layer)
        if network.readout is not None:
            look("the readout", output)
    return places[0] if places else None


def _first_step(tensor: Tensor) -> int:
    bad = ~torch.isfinite(tensor).flatten(1).all(dim=1)
    return int(bad.nonzero()[0])


__all__ = [
    "Layer",
    "LayerState",
    "Network",
    "NetworkOutput",
    "Residual",
    "each_step",
    "first_nonfinite",
    "shape_of_inputs",
    "walk",
    "watched",
    "with_shapes",
]
