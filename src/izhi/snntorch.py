"""The Izhikevich neuron for loops of snnTorch.

    spk, mem, u = neuron(current, mem, u)          # explicit state
    spk = neuron(current)                          # init_hidden=True

``snntorch.utils.reset`` and ``snntorch.backprop`` treat these neurons like snnTorch's own: they reset all neurons of a
class, in all networks. ``reset(network)`` resets the stateful neurons of one network alone, snnTorch's and Izhi's.
``convert(network)`` returns an izhi.network.Network of a trained network, for quantisation and hardware.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from itertools import zip_longest
from typing import Any, cast
from weakref import WeakSet

import torch
from snntorch import SLSTM, SpikingNeuron
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from izhi import kernels
from izhi.errors import SettingError, ShapeError
from izhi.exchange.modules import convert
from izhi.kernels import StepSettings
from izhi.kernels.tracing import is_in_trace, is_traced
from izhi.neurons import Izhikevich as IzhikevichLayer
from izhi.neurons.izhikevich import Coefficients, SmoothCoefficients
from izhi.neurons.neuron import check_current, names_in
from izhi.neurons.silence import SilenceWatch
from izhi.neurons.surrogate import FastSigmoid, SpikeGradient, recognised
from izhi.spec import PRESETS, IzhikevichParameters

__all__ = ["DEFAULT", "SURROGATE", "Izhikevich", "RIzhikevich", "convert", "reset"]

__dir__ = __all__.copy

#: The preset ``"normalized"`` for networks designed for ``snn.Leaky``. Events have snnTorch's order, so that a neuron
#: may fire in every step. 0.2 of v remains after a step, not 0.79: otherwise weak currents fire the neuron in the end,
#: which is noise at high learning rates. v is scaled by 4, since losses use membrane potentials as logits, and small
#: logits learn slowly. The gain is three quarters of the preset's.
DEFAULT = PRESETS["normalized"].replace(order="snntorch", a2=-0.8).scaled(4.0).replace(gain=3.0)
#: Its surrogate gradient. The arc tangent of snnTorch's neurons has long tails, which at high learning rates raise the
#: firing rates of active neurons further and further.
SURROGATE = FastSigmoid(25.0)


def _shapes_are_fixed(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Hide the warnings of torch.jit.trace about values of shapes and presets, which are constant in a trace."""

    @wraps(forward)
    def call(*arguments: Any, **named: Any) -> Any:
        if not is_in_trace():
            return forward(*arguments, **named)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TracerWarning)
            return forward(*arguments, **named)

    return call


class Izhikevich(SLSTM):  # type: ignore[misc]
    """``izhi.Izhikevich`` as a ``snntorch.SpikingNeuron``: one step per call.

    The equations, presets and event orders are those of ``izhi.Izhikevich``; mem is v.

    Args:
        parameters: a preset's name or IzhikevichParameters; the default is ``DEFAULT``.
        learn: coefficients to learn; the threshold through ``learn_threshold``.
        gain: factor on the input of a layer such as nn.Linear; None for the preset's gain·current_scale.
        jacobian_limit: limit of the membrane's Jacobian in the backward pass.
        kernel: ``"auto"`` for one fused kernel, or ``"reference"`` for torch's own operations; ``"auto"`` uses the
            reference inside torch.compile, torch.export, torch.jit.trace and torch.func.
        **options: of snnTorch's neurons: spike_grad [SURROGATE], surrogate_disable, init_hidden, learn_threshold,
            state_quant (applied to v and to u before the neuron fires), output,
            graded_spikes_factor, learn_graded_spikes_factor.

    Returns (of a call with current (B, *features)):
        spk, mem, u; with ``init_hidden`` spk alone, unless ``output`` asks for all three.

    Raises:
        SettingError: for options without a meaning for this neuron: threshold (the preset's),
            reset_mechanism (the parameters have a reset) and inhibition; for the reset "smooth".
        TypeError: if mem or u is passed with ``init_hidden``, as in snnTorch.
    """

    # snnTorch resets and trains a fixed list of classes; SLSTM is one of those that return three tensors.

    mem: Tensor
    u: Tensor
    spike_grad: SpikeGradient

    def __init__(
        self, parameters: str | IzhikevichParameters = DEFAULT, *, learn: Sequence[str] | str = (),
        gain: float | None = None, jacobian_limit: float = 1.0, kernel: str = "auto", **options: Any,
    ) -> None:  # fmt: skip
        for name, reason in (
            ("threshold", "it is the preset's; use parameters.replace(threshold=…)"),
            ("reset_mechanism", "an Izhikevich neuron resets v to c, or by parameters.replace(reset=…)"),
            ("inhibition", "use a layer of its own"),
        ):
            if options.get(name):
                raise SettingError(f"{name} is {options[name]!r}, expected none: {reason}")
        if "threshold" in names_in(learn):
            raise SettingError("learn names 'threshold', expected learn_threshold=True instead")
        layer = IzhikevichLayer(parameters, learn=learn, gain=gain, jacobian_limit=jacobian_limit, kernel=kernel)
        p = layer.base_parameters
        if p.reset == "smooth":
            raise SettingError(
                "reset is 'smooth', whose third state a snntorch.SpikingNeuron does not have; choose value, subtract or"
                " none, or izhi.Izhikevich"
            )
        if options.get("spike_grad") is None:
            options["spike_grad"] = SURROGATE
        SpikingNeuron.__init__(self, threshold=p.threshold, reset_mechanism="none", **options)
        self.spike_grad = recognised(self.spike_grad)
        SpikingNeuron.instances.remove(self)
        _enlist(self)
        self.layer, self.watch = layer, SilenceWatch()
        self._fixed = None if learn else layer.coefficients()
        self.register_buffer("mem", torch.zeros(0), persistent=False)
        self.register_buffer("u", torch.zeros(0), persistent=False)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        _enlist(self)

    @_shapes_are_fixed
    def forward(self, input_: Tensor, mem: Tensor | None = None, u: Tensor | None = None) -> Any:
        """One step: current (B, *features) → spk, mem, u (see the class)."""
        self._check(input_, mem=mem, u=u)
        spk, mem, u = self._fire(input_, mem, u)
        return spk if self.init_hidden and not self.output else (spk, mem, u)

    def _check(self, input_: Tensor, **state: Tensor | None) -> None:
        if self.init_hidden and any(x is not None for x in state.values()):
            names = ", ".join(f"`{name}`" for name in state)
            raise TypeError(f"{names} should not be passed as arguments while `init_hidden=True`")
        check_current(input_, time=False)

    def _fire(self, current: Tensor, mem: Tensor | None, u: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """spk, mem, u of one step from mem and u; None stands for the module's own state."""
        mem, u = self.mem if mem is None else mem, self.u if u is None else u
        if not mem.shape == u.shape == current.shape:
            start = self.layer.initial_state(current)
            mem, u = _kept(mem, start.v), _kept(u, start.u)
        traced = is_traced()
        coefficients = self._coefficients(traced)
        spk, mem, u = kernels.step(current, (mem, u), coefficients, self._settings(), self.layer.kernel)
        if self.init_hidden or not traced:  # a transform's own tensors must not outlive it
            self._buffers.update(mem=mem, u=u)
        if self.training and not self.watch.is_over:
            self.watch.see(spk, 1, f"a layer of {tuple(current.shape[1:])} Izhikevich neurons", stacklevel=7)
        factor = _number(self.graded_spikes_factor, traced)
        return spk if isinstance(factor, float) and factor == 1 else spk * factor, mem, u

    def _coefficients(self, traced: bool) -> Coefficients | SmoothCoefficients:
        """The coefficients now in use, of which the threshold is snnTorch's."""
        threshold = _number(self.threshold, traced)
        fixed = self._fixed
        if fixed is None or isinstance(threshold, Tensor):
            return (fixed or self.layer.coefficients())._replace(threshold=threshold)
        if fixed.threshold != threshold:
            self._fixed = fixed = fixed._replace(threshold=threshold)
        return fixed

    def _settings(self) -> StepSettings:
        """The settings with what snnTorch calls spike_grad and state_quant, which users may change."""
        s, quantised = self.layer.settings, self.state_quant or None
        if s.surrogate is not self.spike_grad or s.state_quant is not quantised:
            s = self.layer.settings = replace(s, surrogate=self.spike_grad, state_quant=quantised)
        return s

    def reset_mem(self) -> tuple[Tensor, ...]:
        """Put the state back to the preset's initial values; returns mem and u."""
        p = self.layer.base_parameters
        self.mem = torch.full_like(self.mem, p.v0).detach()
        self.u = torch.full_like(self.u, p.u0).detach()
        return self.mem, self.u

    def detach_mem(self) -> None:
        """Detach the state from the graph of the steps so far, for truncated backpropagation through time."""
        self.mem, self.u = self.mem.detach(), self.u.detach()

    @classmethod
    def reset_hidden(cls) -> None:
        """``reset_mem`` of every neuron of this class, as snnTorch's classes have it."""
        for neuron in (x for x in _neurons if isinstance(x, cls)):
            neuron.reset_mem()

    @classmethod
    def detach_hidden(cls) -> None:
        """``detach_mem`` of every neuron of this class, as snnTorch's classes have it."""
        for neuron in (x for x in _neurons if isinstance(x, cls)):
            neuron.detach_mem()


class RIzhikevich(Izhikevich):
    """The Izhikevich neuron with recurrence, as ``snntorch.RLeaky`` is that of ``snntorch.Leaky``.

    A step of ``Izhikevich`` at the current I[t] + V(spk[t−1]), where V is

    - a linear layer of ``linear_features`` inputs and outputs, or a convolution over ``conv2d_channels``
      with ``kernel_size``, padded to the size of its input, for ``all_to_all``;
    - otherwise the product with ``V``, a number or one for each neuron.

    Args:
        parameters: a preset's name or IzhikevichParameters; the default is ``DEFAULT``.
        V: weight of each neuron's own spike, where ``all_to_all`` is False.
        all_to_all: whether spikes go to other neurons too.
        linear_features: width of a layer of (B, features).
        conv2d_channels: channels of a layer of (B, channels, height, width).
        kernel_size: of the convolution, odd.
        learn_recurrent: whether V is learned.
        **options: of ``Izhikevich``.

    Returns (of a call with current (B, *features), and spk, mem and u unless ``init_hidden``):
        spk, mem, u; with ``init_hidden`` spk alone, unless ``output`` asks for all three.

    Raises:
        SettingError: unless exactly one form of V is described, and as for ``Izhikevich``.
        ShapeError: for a current that V does not fit.
    """

    spk: Tensor

    def __init__(
        self, parameters: str | IzhikevichParameters = DEFAULT, *, V: float | Tensor = 1.0, all_to_all: bool = True,
        linear_features: int | None = None, conv2d_channels: int | None = None,
        kernel_size: int | tuple[int, int] | None = None, learn_recurrent: bool = True, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(parameters, **options)
        self.recurrent = _recurrence(V, all_to_all, linear_features, conv2d_channels, kernel_size)
        self.recurrent.requires_grad_(learn_recurrent)
        self.register_buffer("spk", torch.zeros(0), persistent=False)

    @_shapes_are_fixed
    def forward(
        self, input_: Tensor, spk: Tensor | None = None, mem: Tensor | None = None, u: Tensor | None = None
    ) -> Any:
        """One step: current (B, *features) → spk, mem, u (see the class)."""
        self._check(input_, spk=spk, mem=mem, u=u)
        if not _fits(self.recurrent, input_):
            raise ShapeError(f"current has shape {tuple(input_.shape)}, expected one that {self.recurrent} takes")
        last = _kept(self.spk if spk is None else spk, torch.zeros_like(input_).detach())
        spk, mem, u = self._fire(input_ + self.recurrent(last), mem, u)
        if self.init_hidden or not is_traced():
            self.spk = spk
        return spk if self.init_hidden and not self.output else (spk, mem, u)

    def reset_mem(self) -> tuple[Tensor, ...]:
        """Put the state back to its initial values; returns spk, mem and u."""
        self.spk = torch.zeros_like(self.spk).detach()
        return self.spk, *super().reset_mem()

    def detach_mem(self) -> None:
        """Detach the state, and the last spikes, from the graph of the steps so far."""
        super().detach_mem()
        self.spk = self.spk.detach()


class _OneToOne(nn.Module):
    """Each neuron's own spike times V."""

    def __init__(self, V: float | Tensor) -> None:
        super().__init__()
        self.V = nn.Parameter(torch.as_tensor(V, dtype=torch.get_default_dtype()).detach().clone())

    def forward(self, spk: Tensor) -> Tensor:
        return spk * self.V

    def extra_repr(self) -> str:
        return f"V of shape {tuple(self.V.shape)}"


def _recurrence(
    V: float | Tensor, all_to_all: bool, linear_features: int | None, conv2d_channels: int | None,
    kernel_size: int | tuple[int, int] | None,
) -> nn.Module:  # fmt: skip
    """V of an ``RIzhikevich``."""
    sizes = {"linear_features": linear_features, "conv2d_channels": conv2d_channels, "kernel_size": kernel_size}
    chosen = {name for name, size in sizes.items() if size is not None}
    if not all_to_all:
        if chosen:
            raise SettingError(f"{min(chosen)} is given, expected none of {', '.join(sizes)} with all_to_all=False")
        return _OneToOne(V)
    if linear_features is not None and len(chosen) == 1:
        return nn.Linear(linear_features, linear_features)
    if conv2d_channels is not None and kernel_size is not None and len(chosen) == 2:
        height, width = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        if not height % 2 or not width % 2:
            raise SettingError(f"kernel_size is {kernel_size!r}, expected odd sizes, which keep height and width")
        padding = height // 2, width // 2
        return nn.Conv2d(conv2d_channels, conv2d_channels, (height, width), padding=padding)
    raise SettingError(
        f"given: {', '.join(sorted(chosen)) or 'no size'}, expected linear_features, or conv2d_channels and"
        " kernel_size, with all_to_all=True"
    )


def _fits(recurrence: nn.Module, current: Tensor) -> bool:
    """Whether the spikes of a layer with this current are what a recurrence takes."""
    if isinstance(recurrence, nn.Linear):
        return current.shape[-1] == recurrence.in_features
    if isinstance(recurrence, nn.Conv2d):
        return current.dim() == 4 and current.shape[1] == recurrence.in_channels
    sizes = cast(_OneToOne, recurrence).V.shape
    return all(x in (1, y) for x, y in zip_longest(reversed(sizes), reversed(current.shape), fillvalue=1))


def _number(value: Tensor, traced: bool) -> Tensor | float:
    """The number that a tensor holds, unless it is learned or traced, or reading it would make a GPU wait."""
    if traced or value.requires_grad or value.numel() != 1 or value.device.type != "cpu":
        return value
    return float(value)


def _kept(value: Tensor, initial: Tensor) -> Tensor:
    return value if value.shape == initial.shape else initial


class _Hidden(Tensor):
    """What snnTorch detaches in place of every state here."""

    def detach_(self) -> _Hidden:
        Izhikevich.detach_hidden()
        return self


class _Neurons(SLSTM):  # type: ignore[misc]
    """Stands in snnTorch's list for every neuron here: the list would keep the neurons themselves alive."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.syn = torch.zeros(0)

    @property
    def mem(self) -> Tensor:
        return torch.zeros(0).as_subclass(_Hidden)

    @mem.setter
    def mem(self, value: Tensor) -> None:
        Izhikevich.reset_hidden()


_neurons: WeakSet[Izhikevich] = WeakSet()
_stand_in = _Neurons()


def _enlist(neuron: Izhikevich) -> None:
    """Let snnTorch's resets and trainers find a neuron."""
    _neurons.add(neuron)
    if not any(x is _stand_in for x in SpikingNeuron.instances):
        SpikingNeuron.instances.append(_stand_in)


def reset(network: nn.Module) -> None:
    """Reset the hidden state of every stateful spiking neuron in this network, and in no other.

    Raises:
        SettingError: for a spiking neuron that cannot be reset, rather than skipping it.
    """
    for name, module in network.named_modules():
        if isinstance(module, SpikingNeuron):
            method = getattr(module, "reset_mem", None)
            if method is None:
                raise SettingError(f"{name} ({type(module).__name__}) has no reset_mem to call")
            method()
