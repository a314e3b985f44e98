"""Modules in sequence: layers, modules without state between them, and residual blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from izhi.errors import SettingError, ShapeError, shown
from izhi.kernels import Spikes, drop, is_repeated, once, pool, pool_bits
from izhi.kernels.lazy import LazyTensor
from izhi.kernels.tracing import has_hooks
from izhi.network.connections import Connection
from izhi.network.delays import Delay
from izhi.network.layers import BatchNorm, Layer, ModuleState
from izhi.network.synapses import currents
from izhi.neurons.neuron import NeuronLayer
from izhi.spec.modules import check_addition

#: The weights of a layer.
_WEIGHTS = (nn.Linear, nn.Conv1d, nn.Conv2d, Connection)
#: Modules that give the same for the same step.
_SAME_EACH_STEP = (nn.Flatten, nn.Unflatten, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d)


@dataclass
class Dropout:
    """Neurons that one call of a network silences."""

    keep: float = 1.0  #: share of neurons that remain active; 1 for no dropout
    last: Layer | None = None  #: the layer whose spikes are the output, which keeps all neurons; None for none
    #: the neurons of each layer that remain active, (B, *features), drawn when it first runs
    masks: dict[Layer, Tensor] = field(default_factory=dict)

    def __call__(self, layer: Layer, spikes: Tensor) -> Tensor:
        """The spikes of a layer as the next module receives them."""
        if self.keep == 1 or layer is self.last:
            return spikes
        if layer not in self.masks:
            self.masks[layer] = torch.rand(spikes.shape[1:], device=spikes.device) < self.keep
        return drop(spikes, self.masks[layer], 1 / self.keep)


def run_sequence(
    modules: Iterable[nn.Module], spikes: Spikes, states: Sequence[ModuleState], dropout: Dropout
) -> tuple[Spikes, list[ModuleState]]:
    """Run modules one after another; the last one's output, and the next state of each."""
    after: list[ModuleState] = []
    for module, state in zip(modules, states, strict=False):
        if isinstance(module, Layer):
            try:
                out, state = module(spikes, state)
            except ShapeError as error:
                raise ShapeError(f"{module.name}: {error}") from None
            spikes = dropout(module, out)
        elif isinstance(module, Residual):
            spikes, state = module.run(spikes, state, dropout)
        else:
            spikes = each_step(module, spikes)
        after.append(state)
    return spikes, after


def each_step(module: nn.Module, spikes: Spikes) -> Tensor:
    """Apply a module without state, such as pooling, to every step of every sample.

    Args:
        module: called with (T·B, *features).
        spikes: (T, B, *features).

    Raises:
        ShapeError: if the module rejects this shape, or does not return a tensor of as many steps.
    """
    if is_repeated(spikes) and (isinstance(module, _SAME_EACH_STEP) or getattr(module, "is_deterministic", False)):
        return once(partial(each_step, module), spikes)
    x = spikes if isinstance(spikes, Tensor) else spikes.dense()
    name = type(module).__name__
    if (found := _as_bits(module, x)) is not None:
        return found
    try:
        steps = x.flatten(0, 1)
        pooled = pool(module, steps)
        out = module(steps) if pooled is None else pooled
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ShapeError(f"{name} does not take spikes of features {tuple(x.shape[2:])} ({reason})") from None
    if not isinstance(out, Tensor):
        raise ShapeError(f"{name} gives {type(out).__name__}, expected a tensor; a module in the row keeps no state")
    if len(out) != x.shape[0] * x.shape[1]:
        raise ShapeError(f"{name} gives {len(out)} samples of {x.shape[0] * x.shape[1]}, expected as many")
    return out.view(*x.shape[:2], *out.shape[1:])


def _as_bits(module: nn.Module, spikes: Tensor) -> Tensor | None:
    """What a module gives for each step of spikes (T, B, *features) that are kept as bits, as bits; else None."""
    is_flatten = isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1)
    if is_flatten and isinstance(spikes, LazyTensor) and not has_hooks(module):
        return spikes.flatten(2)
    return pool_bits(module, spikes)


class Residual(nn.Module):
    """Modules in sequence, with the input added to their output.

        "spikes":    out = layers(x) + shortcut(x)
        "currents":  shortcut(x) is added to the current of the last layer

    Sums of spikes are 0, 1 or 2.

    Args:
        layers: layers, or weights and the neurons behind them, and modules without state.
        shortcut: for spikes a module without state, such as pooling; for currents a connection without synapse or
            recurrence; None for the identity.
        add: ``"spikes"`` or ``"currents"``.

    Raises:
        SettingError: for another kind of addition or shortcut, or currents if the last module is no layer.
    """

    def __init__(
        self, layers: Sequence[nn.Module], shortcut: nn.Module | None = None, *,
        add: Literal["spikes", "currents"] = "spikes",
    ) -> None:  # fmt: skip
        super().__init__()
        layers = layers_of(layers)
        check_addition(add, ends_in_layer=bool(layers) and isinstance(layers[-1], Layer))
        fits = (
            isinstance(shortcut, Connection) and shortcut.is_plain
            if add == "currents"
            else not isinstance(shortcut, (Connection, Layer, NeuronLayer))
        )
        if shortcut is not None and not fits:
            wanted = "a connection without synapse and recurrence" if add == "currents" else "a module without state"
            raise SettingError(f"the shortcut of {add} is {type(shortcut).__name__}, expected {wanted}")
        self.layers, self.shortcut, self.add = nn.ModuleList(layers), shortcut, add

    def forward(self, spikes: Spikes, state: ModuleState = None) -> tuple[Tensor, list[ModuleState]]:
        """Run spikes (T, B, *features) alone, outside of a network."""
        return self.run(spikes, state, Dropout())

    def run(self, spikes: Spikes, state: ModuleState, dropout: Dropout) -> tuple[Tensor, list[ModuleState]]:
        """Like ``forward``, with the dropout of the network's call."""
        x = spikes if isinstance(spikes, Tensor) else spikes.dense()
        states = state or [None] * len(self.layers)
        if self.add == "spikes":
            out, after = run_sequence(self.layers, x, states, dropout)
            beside = x if self.shortcut is None else each_step(self.shortcut, x)
            if out.shape != beside.shape:
                features = f"features {tuple(out.shape[2:])}, and its shortcut {tuple(beside.shape[2:])}"
                raise ShapeError(f"a row gives {features}, expected the same")
            return cast(Tensor, out) + beside, after
        *inner, last = self.layers
        own = cast(Layer, last)
        middle, after = run_sequence(inner, x, states, dropout)
        more = x if self.shortcut is None else currents(self.shortcut(x), None)[0]
        fired, state_of_last = own(middle, states[-1], more)
        return dropout(own, fired), [*after, state_of_last]


def layers_of(modules: Sequence[nn.Module]) -> list[nn.Module]:
    """A sequence in which weights and the neurons behind them are joined to layers, the others as they are.

    A layer is made of ``nn.Linear``, ``nn.Conv1d``, ``nn.Conv2d`` or a Connection, if a neuron follows, with a Delay
    before it and a BatchNorm between them if there are any.

    Raises:
        SettingError: for a module that a network cannot hold, with its position.
    """
    joined: list[nn.Module] = []
    position = 0
    while position < len(modules):
        parts = _parts_of_layer(modules[position:])
        if parts:
            weights = parts[Connection]
            connection = weights if isinstance(weights, Connection) else Connection.of(weights)
            joined.append(Layer(connection, parts[NeuronLayer], parts.get(Delay), parts.get(BatchNorm)))
        else:
            _check_module(modules[position], position + 1)
            joined.append(modules[position])
        position += len(parts) or 1
    return joined


def are_weights(module: object) -> bool:
    """Whether a module is a connection, or one of torch's that does no more than its class."""
    plain = (nn.Linear, nn.Conv1d, nn.Conv2d)
    return isinstance(module, Connection) or any(
        isinstance(module, kind) and type(module).forward is kind.forward for kind in plain
    )


def _parts_of_layer(modules: Sequence[nn.Module]) -> dict[type, Any]:
    """The first modules by their role in a layer; none if they are no layer."""
    parts: dict[type, Any] = {}
    rest = iter(modules)
    module = next(rest, None)
    for role, kinds in ((Delay, Delay), (Connection, _WEIGHTS), (BatchNorm, BatchNorm), (NeuronLayer, NeuronLayer)):
        if isinstance(module, kinds):
            parts[role], module = module, next(rest, None)
    return parts if Connection in parts and NeuronLayer in parts else {}


def _check_module(module: object, position: int) -> None:
    name = type(module).__name__
    if not isinstance(module, nn.Module):
        problem = f"{shown(module)}, expected a Layer or a module"
    elif isinstance(module, NeuronLayer):
        fix = f"Layer(Linear(…), {name}(…)), or put its weights, such as nn.Linear(…), before it"
        problem = f"the neuron {name} alone; join it to its connection: {fix}"
    elif isinstance(module, Connection):
        fix = f"Layer({name}(…), neurons), put neurons behind it, or make it the readout"
        problem = f"the connection {name} alone; join it to its neurons: {fix}"
    elif not isinstance(module, (Layer, Residual)) and _keeps_state(module):
        expected = "expected a Layer or a module without state"
        problem = f"{name}, which keeps a state of its own from step to step, {expected}"
    else:
        return
    raise SettingError(f"number {position} of the row is {problem}")


def _keeps_state(module: nn.Module) -> bool:
    """Whether it, or a part of it, is recurrent as torch, snnTorch, Norse or SpikingJelly have it."""
    recurrent = (nn.RNNBase, nn.RNNCellBase)
    return any(
        isinstance(part, recurrent)
        or any(hasattr(part, name) for name in ("init_hidden", "state_fallback", "_memories"))
        for part in module.modules()
    )


@contextmanager
def hooked(modules: Iterable[nn.Module], function: Callable[..., None]) -> Iterator[None]:
    """Within it, modules call a function of module, inputs and outputs after each forward pass."""
    hooks = [module.register_forward_hook(function) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
