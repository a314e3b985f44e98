"""Connections: spikes of one layer → drive of the next. Any of them works with any neuron, synapse and delay.

Each is called with spikes (T, B, *features), dense or packed, and returns a ``SynapticInput``: the weighted spikes of
every step, and what happens between them and the neuron, which integrates it with its own state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from izhi.errors import SettingError, ShapeError
from izhi.kernels import (
    SpikeProduct,
    Spikes,
    Synapse,
    SynapticInput,
    WeightedSpikes,
    convolve,
    is_repeated,
    once,
)
from izhi.network.delays import AxonalDelay, Delay, Product, SynapticDelay
from izhi.network.synapses import ConductanceSynapse, ExponentialSynapse, currents, exponential_filter
from izhi.spec import CONNECTIONS as _NAMED, ConnectionSpec, ConvolutionSpec, LinearSpec
from izhi.spec.connection import check_window


class _Kind(NamedTuple):
    """A kind of weights."""

    features: tuple[str, ...]  #: the dimensions of one step, by name
    inputs: str  #: the attribute of torch's module that holds the number of presynaptic neurons or channels

    @property
    def is_convolution(self) -> bool:
        """Whether the same weights are at every position."""
        return len(self.features) > 1


_KINDS: dict[type[nn.Module], _Kind] = {
    nn.Linear: _Kind(("in_features",), "in_features"),
    nn.Conv1d: _Kind(("in_channels", "length"), "in_channels"),
    nn.Conv2d: _Kind(("in_channels", "height", "width"), "in_channels"),
}


#: Forward pre-hooks by which torch computes a weight from other parameters.
_WEIGHT_HOOKS = (BasePruningMethod, SpectralNorm, WeightNorm)


def weight_of(module: nn.Module) -> Tensor:
    """The weight of a module that is not called itself, pruned or normalised as torch does at a call."""
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, _WEIGHT_HOOKS):
            hook(module, ())
    weight: Tensor = module.weight  # type: ignore[assignment]
    return weight


class Connection(nn.Module):
    """Base of all connections: weights, their synapse, and the check of the input.

    Args:
        weights: a linear or convolutional module of torch, of which weight and bias are used; the bias is a constant
            current.
        synapse: dynamics between weighted spikes and neuron; None for a current in the step of the spike alone.
        feedback: R of a recurrent layer: its own spikes z add R·z[t−1] to W·s[t] in the
            equations of every synapse, so that they pass through it too.
    """

    feedback: Any

    def __init__(
        self, weights: nn.Module, synapse: ExponentialSynapse | None = None, feedback: nn.Module | None = None
    ) -> None:
        super().__init__()
        self._kind = next(kind for module, kind in _KINDS.items() if isinstance(weights, module))
        self.input: Any = weights
        self.feedback, self.synapse = feedback, synapse
        if synapse is not None:
            if synapse.logit.dim():
                synapse.spec.check(len(weights.weight), is_linear=not self._kind.is_convolution)  # type: ignore[arg-type]
            with torch.no_grad():
                self.weight.div_(synapse.strength)

    @staticmethod
    def of(weights: nn.Module) -> Connection:
        """The connection with the weights of an ``nn.Linear``, ``nn.Conv1d`` or ``nn.Conv2d``, which share them.

        Raises:
            SettingError: for another module, or one that does more than its class: a ``forward`` or hooks of its own,
                another padding than with zeros, or weights whose shape is not known yet.
        """
        kind = next((x for x in (Linear, Conv1d, Conv2d) if isinstance(weights, x.module)), None)
        name = type(weights).__name__
        if kind is None or type(weights).forward is not kind.module.forward:
            raise SettingError(f"the weights are those of {name}, expected nn.Linear, nn.Conv1d or nn.Conv2d")
        if isinstance(weights.weight, nn.parameter.UninitializedParameter):
            raise SettingError(f"{name} has no weights yet; call it once with an input")
        if weights._forward_hooks or not all(isinstance(x, _WEIGHT_HOOKS) for x in weights._forward_pre_hooks.values()):
            raise SettingError(f"{name} has forward hooks, which a connection does not call; put them on the Layer")
        if getattr(weights, "padding_mode", "zeros") != "zeros":
            raise SettingError(f"padding_mode of {name} is {weights.padding_mode!r}, expected 'zeros'")
        connection = kind.__new__(kind)
        Connection.__init__(connection, weights)
        return connection

    @staticmethod
    def build(spec: ConnectionSpec) -> Connection:
        """The connection of a description, its weights drawn from torch's generator."""
        synapse = None if spec.synapse is None else ExponentialSynapse.of(spec.synapse)
        if isinstance(spec, ConvolutionSpec):
            kind = Conv1d if len(spec.kernel) == 1 else Conv2d
            convolution = kind.__new__(kind)
            convolution._set_up(spec, synapse, spec.padding)
            return convolution
        assert isinstance(spec, LinearSpec), "all others are linear"
        linear = Linear.__new__(Linear)
        linear._set_up(spec, synapse)
        return linear

    @property
    def weight(self) -> Tensor:
        """(outputs, inputs), with the size of the kernel behind that of a convolution."""
        return weight_of(self.input)

    def parameter(self) -> Tensor:
        """The weight, to be changed in place.

        Raises:
            SettingError: for one that torch computes from other parameters.
        """
        if "weight" not in self.input._parameters:
            raise SettingError(
                f"the weights of {self.kind} are pruned or parametrized, expected a parameter; do this before, or make"
                " them permanent by prune.remove or parametrize.remove_parametrizations"
            )
        return self.weight

    @property
    def inputs(self) -> int:
        """Presynaptic neurons, or channels."""
        return int(getattr(self.input, self._kind.inputs))

    @property
    def outputs(self) -> int:
        """Postsynaptic neurons, or channels."""
        return len(self.input.weight)

    @property
    def kind(self) -> str:
        """Its kind in messages."""
        synapse = "" if self.synapse is None else f" with {type(self.synapse).__name__}"
        return ("" if self.feedback is None else "recurrent ") + type(self).__name__ + synapse

    @property
    def sizes(self) -> str:
        """Numbers of inputs and outputs, for messages."""
        kernel = "" if not self._kind.is_convolution else f" channels, {'×'.join(map(str, self.input.kernel_size))}"
        return f"{self.inputs} → {self.outputs}{kernel}"

    def read_out(self, spikes: Spikes, trace: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The currents of a readout without neurons, and the trace of its synapse, see ``currents``."""
        return currents(self(spikes), trace)

    @property
    def is_plain(self) -> bool:
        """Whether it has no synapse and no feedback."""
        return self.synapse is None and self.feedback is None

    def check(self, spikes: Spikes) -> None:
        """Raise ShapeError unless spikes is (T, B, *features) with T ≥ 1, of as many features as there are weights."""
        names, rank = self._kind.features, spikes.dim()
        if rank != 2 + len(names):
            hint = "; put nn.Flatten() before it" if rank > 2 + len(names) == 3 else ""
            hint = "; put nn.Unflatten(1, (channels, …)) before it" if rank == 3 else hint
            raise ShapeError(
                f"spikes have shape {tuple(spikes.shape)}, expected {2 + len(names)} dimensions:"
                f" (T, B, {', '.join(names)}){hint}"
            )
        if spikes.shape[2] != self.inputs:
            raise ShapeError(f"spikes are {spikes.shape[2]} wide, expected {self.inputs} ({names[0]})")
        if spikes.shape[0] == 0:
            raise ShapeError("spikes have T = 0, expected at least one time step")
        own = self.input
        if self._kind.is_convolution and not isinstance(own.padding, str):
            check_window(names[1:], tuple(spikes.shape[3:]), own.kernel_size, own.padding, own.dilation)

    def product(self, spikes: Spikes, weight: Tensor) -> Tensor:
        """Spikes (T, B, *features) times such weights: (T, B, *features of the next layer)."""
        return self._product_of(spikes)(weight)

    def _product_of(self, spikes: Spikes) -> Callable[[Tensor], Tensor]:
        """``product`` of these spikes, which are counted once for several weights."""
        if is_repeated(spikes):
            return lambda weight: once(partial(self.product, weight=weight), spikes)
        if not self._kind.is_convolution:
            return SpikeProduct(spikes)
        own = self.input
        return lambda weight: convolve(spikes, weight, own.stride, own.padding, own.dilation, own.groups)

    def forward(self, spikes: Spikes, delay: Delay | None = None) -> SynapticInput:
        """The input that spikes (T, B, *features), or the result of a delay, deliver to the neurons."""
        weights = (self.weight,) if self.synapse is None else self.synapse.weights(self.weight)
        if delay is None:
            self.check(spikes)
            product = self._product_of(spikes)
        else:
            product = partial(delay.weigh, spikes, product=self.product)
        return self.drive(*map(product, weights))

    def weigh(self, spikes: Spikes, delay: Delay | None = None) -> SynapticInput | WeightedSpikes:
        """The same; spikes and weights where a kernel may compute their product together with the neurons."""
        synapse = self.synapse
        is_current = synapse is None or (
            type(synapse).weights is ExponentialSynapse.weights and not synapse.filters_bias
        )
        if self._kind.is_convolution or is_repeated(spikes) or not is_current:
            return cast(SynapticInput, self(spikes, delay))
        if delay is None:
            self.check(spikes)
        weight, bias, own_synapse, gain = self._terms()
        weighted = WeightedSpikes.of(spikes, weight) if delay is None else delay.weigh(spikes, weight, WeightedSpikes)
        feedback = None if self.feedback is None else weight_of(self.feedback)
        return weighted._replace(bias=bias, synapse=own_synapse, gain=gain, feedback=feedback)

    def _terms(self) -> tuple[Tensor, Tensor | None, Synapse | None, Tensor | None]:
        """Weight, bias, synapse and gain of an input."""
        return (self.weight, *self._added(), None)

    def _added(self) -> tuple[Tensor | None, Synapse | None]:
        """Bias and synapse of an input."""
        bias = None if self.input.bias is None else self.at_every_place(self.input.bias)
        return bias, None if self.synapse is None else self.synapse.dynamics

    def drive(self, current: Tensor, conductance: Tensor | None = None) -> SynapticInput:
        """The input of weighted spikes to the neurons, with bias, synapse and feedback."""
        bias, synapse = self._added()
        feedback = None if self.feedback is None else weight_of(self.feedback)
        if bias is not None and self.synapse is not None and self.synapse.filters_bias:
            current, bias = current + bias, None
        return SynapticInput(current, conductance, bias, synapse, feedback)

    def at_every_place(self, values: Tensor) -> Tensor:
        """Values of each output or channel, as they broadcast over a step."""
        more = len(self._kind.features) - 1
        return values.view(-1, *[1] * more) if more else values

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        as_now(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *others)

    def extra_repr(self) -> str:
        return self.sizes


def as_now(state: dict[str, Any], prefix: str) -> None:
    """Give the entries of a connection, in a ``state_dict`` from when synapses were connections, today's names."""
    if f"{prefix}logit" in state:
        state[f"{prefix}synapse.logit"] = state.pop(f"{prefix}logit")
    state.pop(f"{prefix}sign", None)  # which neurons inhibit is a setting


class Linear(Connection):
    """I[t] = W·s[t] + bias.

    Args:
        in_features: presynaptic neurons.
        out_features: postsynaptic neurons.
        bias: whether a constant current is added (and learned).
        synapse: dynamics between weighted spikes and neuron, see ``Connection``.
        recurrent: whether the layer's own spikes are an input of the next step.
    """

    module = nn.Linear

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *,
        synapse: ExponentialSynapse | None = None, recurrent: bool = False,
    ) -> None:  # fmt: skip
        self._set_up(LinearSpec(inputs=in_features, outputs=out_features, bias=bias, recurrent=recurrent), synapse)

    def _set_up(self, spec: LinearSpec, synapse: ExponentialSynapse | None) -> None:
        weights = nn.Linear(spec.inputs, spec.outputs, bias=spec.bias)
        feedback = nn.Linear(spec.outputs, spec.outputs, bias=False) if spec.recurrent else None
        super().__init__(weights, synapse, feedback)


class _Convolution(Connection):
    """Base of the convolutions: the same weights at every position."""

    module: ClassVar[Any]

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1, padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1, groups: int = 1, bias: bool = True, *,
        synapse: ExponentialSynapse | None = None, recurrent: bool = False,
    ) -> None:  # fmt: skip
        rank = len(_KINDS[self.module].features) - 1
        spec = ConvolutionSpec(
            inputs=in_channels, outputs=out_channels, bias=bias, recurrent=recurrent, groups=groups,
            kernel=along(kernel_size, rank), stride=along(stride, rank), dilation=along(dilation, rank),
            padding=() if isinstance(padding, str) else along(padding, rank),
        )  # fmt: skip
        self._set_up(spec, synapse, padding if isinstance(padding, str) else spec.padding)

    def _set_up(self, spec: ConvolutionSpec, synapse: ExponentialSynapse | None, padding: str | Sequence[int]) -> None:
        sizes = (spec.kernel, spec.stride, padding, spec.dilation)
        weights = self.module(spec.inputs, spec.outputs, *sizes, spec.groups, spec.bias)
        feedback = None
        if spec.recurrent:
            feedback = self.module(spec.outputs, spec.outputs, spec.kernel, padding="same", bias=False)
        super().__init__(weights, synapse, feedback)


class Conv1d(_Convolution):
    """I[t] = W * s[t] + bias over (channels, length); arguments as those of ``torch.nn.Conv1d``, then as of Linear."""

    module = nn.Conv1d


class Conv2d(_Convolution):
    """I[t] = W * s[t] + bias over (channels, height, width); arguments as of ``torch.nn.Conv2d``, then as of Linear."""

    module = nn.Conv2d


def along(size: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """A size along each of so many dimensions."""
    return (size,) * rank if isinstance(size, int) else tuple(size)


_SYNAPSES = {None: None, "exponential": ExponentialSynapse, "conductance": ConductanceSynapse}
#: Linear connections that a configuration can name: their synapse, and whether they are recurrent.
CONNECTIONS: dict[str, tuple[type[ExponentialSynapse] | None, bool]] = {
    name: (_SYNAPSES[synapse], recurrent) for name, (synapse, recurrent) in _NAMED.items()
}

__all__ = [
    "CONNECTIONS", "AxonalDelay", "ConductanceSynapse", "Connection", "Conv1d", "Conv2d", "Delay", "ExponentialSynapse",
    "Linear", "Product", "SynapticDelay", "currents", "exponential_filter",
]  # fmt: skip
