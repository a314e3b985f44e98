"""From a trained module of snnTorch to a network of ours: the same spikes in every step."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import snntorch as snn
import torch
from torch import Tensor, nn

from izhi.errors import ExchangeError, shown
from izhi.network import Layer, Network
from izhi.network.connections import Connection, Conv1d, Conv2d, ExponentialSynapse, Linear
from izhi.neurons import LIF, Izhikevich
from izhi.neurons.surrogate import recognised

#: Modules that weigh what comes in, and a connection of ours for each. Those of Brevitas are among them.
_WEIGHTS: dict[type[nn.Module], Any] = {nn.Linear: Linear, nn.Conv1d: Conv1d, nn.Conv2d: Conv2d}
#: Modules that do nothing once a network is trained.
_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
#: Modules that stand in a row of ours as they are.
_AS_THEY_ARE = (nn.Flatten, nn.Unflatten, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d)
#: What snnTorch's neurons keep from step to step.
_STATES = ("mem", "syn", "spk", "u")

Shape: TypeAlias = tuple[int, ...]


@dataclass
class _Call:
    """A module within a network, and the shapes of one sample that it was given, and gave."""

    name: str
    module: nn.Module
    given: Shape
    found: Shape

    def __str__(self) -> str:
        return f"{self.name} ({type(self.module).__name__})"


@dataclass
class _Weights:
    """Weights that wait for the neurons behind them."""

    call: _Call
    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, call: _Call) -> _Weights:
        own: Any = call.module
        if (
            isinstance(own.padding if hasattr(own, "padding") else 0, str)
            or getattr(own, "padding_mode", "zeros") != "zeros"
        ):
            raise ExchangeError(f"{call} pads by {own.padding!r}, {own.padding_mode!r}, expected zeros in numbers")
        weight = own.quant_weight().value if hasattr(own, "quant_weight") else own.weight
        bias = torch.zeros(len(weight)) if own.bias is None else own.bias
        return cls(call, weight.detach().double(), bias.detach().double())

    def times(self, factor: Tensor | float) -> None:
        """Multiply what goes out."""
        each = torch.as_tensor(factor, dtype=torch.float64).expand(len(self.weight))
        self.weight = self.weight * each.view(-1, *[1] * (self.weight.dim() - 1))
        self.bias = self.bias * each

    def connection(self, synapse: ExponentialSynapse | None = None, feedback: Tensor | None = None) -> Connection:
        own: Any = self.call.module
        make = next(make for kind, make in _WEIGHTS.items() if isinstance(own, kind))
        behind: dict[str, Any] = {"synapse": synapse, "recurrent": feedback is not None}
        found: Connection
        if make is Linear:
            found = Linear(own.in_features, own.out_features, **behind)
        else:
            found = make(
                own.in_channels, own.out_channels, own.kernel_size, own.stride, own.padding, own.dilation, own.groups,
                **behind,
            )  # fmt: skip
        with torch.no_grad():
            found.input.weight.copy_(self.weight)
            found.input.bias.copy_(self.bias)
            if feedback is not None:
                found.feedback.weight.copy_(feedback)
        return found


@dataclass
class _Row:
    """A network in the making."""

    modules: list[nn.Module] = field(default_factory=list)
    weights: _Weights | None = None


def convert(network: nn.Module, sample: Tensor | None = None) -> Network:
    """A trained network of torch and snnTorch as one of ours.

    Args:
        network: modules in a row: Linear and convolutions of torch or Brevitas, whose rounded weights are taken, with
            or without normalisation over the batch; ``snn.Leaky``, ``RLeaky``, ``Synaptic`` and ``RSynaptic``, and the
            neurons of ``izhi.snntorch``; pooling behind neurons; Flatten. Its forward may loop over time steps.
        sample: a batch that its forward takes, by which the order of modules and their shapes are found; None where
            the network begins with ``nn.Linear``, which says what it takes.

    Returns:
        A network that takes flat features (T, B, N); the modules' learned numbers are copied.

    Raises:
        ExchangeError: for what no network of ours has, naming the module and, where there is one, a remedy.
    """
    calls = _calls(network, _example(network) if sample is None else sample)
    row = _Row()
    if len(calls[0].given) > 1:
        row.modules.append(nn.Unflatten(1, calls[0].given))
    before = calls[0].given
    for call in calls:
        if call.given != before:
            if call.given != (math.prod(before),):
                raise ExchangeError(f"{call} gets features {call.given}, but those before it are {before}")
            row.modules.append(nn.Flatten())
        _add(row, call)
        before = call.found
    readout = None
    if row.weights is not None:
        if not isinstance(row.weights.call.module, nn.Linear):
            raise ExchangeError(f"the network ends in {row.weights.call}, expected neurons or Linear")
        readout = row.weights.connection()
    return Network(row.modules, readout)


def _example(network: nn.Module) -> Tensor:
    """A sample of zeros for a network that begins with a matrix."""
    first = next((x for x in network.modules() if isinstance(x, tuple(_WEIGHTS))), None)
    if not isinstance(first, nn.Linear):
        raise ExchangeError(
            f"the network begins with {type(first).__name__}, which does not say what it takes; give a sample: a batch"
            " that its forward takes"
        )
    return torch.zeros(1, first.in_features)


def _calls(network: nn.Module, sample: Tensor) -> list[_Call]:
    """The modules of one time step in the order in which they run, each on what the one before gave."""
    names = {module: name for name, module in network.named_modules()}
    calls: list[_Call] = []
    last: list[Tensor] = []

    def see(module: nn.Module, given: tuple[Any, ...], found: Any) -> None:
        if not given or not isinstance(given[0], Tensor):
            raise ExchangeError(f"{names[module]} ({type(module).__name__}) is not called with a tensor, expected one")
        x, out = given[0], found[0] if isinstance(found, tuple) else found
        call = _Call(names[module] or "the network", module, tuple(x.shape[1:]), tuple(out.shape[1:]))
        if any(call.module is one.module for one in calls):
            repeats.append(call)
            return
        if repeats:
            raise ExchangeError(f"{call} runs for the first time behind {repeats[0]}, which ran before; expected a row")
        if last and (x.data_ptr() != last[-1].data_ptr() or x.numel() != last[-1].numel()):
            raise ExchangeError(
                f"{call} is not given what {calls[-1]} gives: something happens between them that no module shows;"
                " make a module of it, such as nn.MaxPool2d"
            )
        calls.append(call)
        last.append(out)

    repeats: list[_Call] = []
    hooks = [module.register_forward_hook(see) for module in _leaves(network)]
    try:
        with _undisturbed(network), torch.no_grad():
            network(sample)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExchangeError(
            f"the network does not take a sample of shape {tuple(sample.shape)} ({reason}); give one that its forward"
            " takes"
        ) from None
    finally:
        for hook in hooks:
            hook.remove()
    if not calls:
        raise ExchangeError(f"{type(network).__name__} runs no modules, expected layers of torch and snnTorch")
    order = [one.module for one in calls]
    for place, call in enumerate(repeats):
        if call.module is not order[place % len(order)]:
            raise ExchangeError(f"{call} runs twice in a step, or in another order than before, expected a row")
    return calls


def _leaves(network: nn.Module) -> Iterator[nn.Module]:
    """Modules that are looked at as one: neurons, weights, and what has no modules within."""
    if isinstance(network, (snn.SpikingNeuron, *_WEIGHTS)) or not list(network.children()):
        yield network
        return
    for child in network.children():
        yield from _leaves(child)


@contextmanager
def _undisturbed(network: nn.Module) -> Iterator[None]:
    """Within it the network is in evaluation, and its neurons begin anew; afterwards all is as it was."""
    training = {module: module.training for module in network.modules()}
    states = {
        module: {name: getattr(module, name) for name in _STATES if isinstance(getattr(module, name, None), Tensor)}
        for module in network.modules() if isinstance(module, snn.SpikingNeuron)
    }  # fmt: skip
    try:
        network.eval()
        for module, own in states.items():
            for name, state in own.items():
                setattr(module, name, torch.zeros(0, device=state.device))
        yield
    finally:
        for module, was in training.items():
            module.training = was
        for module, own in states.items():
            for name, state in own.items():
                setattr(module, name, state)


def _add(row: _Row, call: _Call) -> None:
    module, waiting = call.module, row.weights
    if isinstance(module, _NOTHING):
        return
    if isinstance(module, snn.SpikingNeuron):
        if waiting is None:
            raise ExchangeError(f"{call} has no weights before it, expected Linear or a convolution")
        row.modules.append(_layer(waiting, call))
        row.weights = None
    elif isinstance(module, tuple(_WEIGHTS)):
        if waiting is not None:
            raise ExchangeError(f"{call} follows {waiting.call} without neurons between, expected them")
        row.weights = _Weights.of(call)
    elif isinstance(module, nn.modules.batchnorm._BatchNorm) and waiting is not None:
        _normalise(waiting, call)
    elif isinstance(module, _AS_THEY_ARE):
        if waiting is not None:
            raise ExchangeError(
                f"{call} stands between {waiting.call} and its neurons, where ours have none; put it behind the neurons"
            )
        row.modules.append(copy.deepcopy(module))
    else:
        raise ExchangeError(
            f"{call} is none that networks here have; expected Linear, convolutions, pooling, Flatten, Leaky, RLeaky,"
            " Synaptic, RSynaptic and izhi.snntorch's neurons"
        )


def _normalise(weights: _Weights, call: _Call) -> None:
    """Fold the normalisation of evaluation into weights: γ·(x − μ)/√(σ² + ε) + β."""
    own: Any = call.module
    if own.running_mean is None:
        raise ExchangeError(f"{call} keeps no running means, expected track_running_stats=True")
    factor = 1 / torch.sqrt(own.running_var.double() + own.eps)
    if own.weight is not None:
        factor = factor * own.weight.detach().double()
    weights.bias = weights.bias - own.running_mean.double()
    weights.times(factor)
    if own.bias is not None:
        weights.bias = weights.bias + own.bias.detach().double()


def _layer(weights: _Weights, call: _Call) -> Layer:
    module: Any = call.module
    factor = float(module.graded_spikes_factor) if module.graded_spikes_factor.numel() == 1 else math.nan
    for what, odd in (
        ("graded spikes", factor != 1), ("inhibition", module.inhibition), ("state_quant", bool(module.state_quant)),
    ):  # fmt: skip
        if odd:
            raise ExchangeError(f"{call} has {what}, which neurons here have not; set none")
    synapse, feedback = None, None
    if isinstance(module, (snn.Synaptic, snn.RSynaptic)):
        left = module.alpha.detach().double().clamp(0, 1)
        if left.numel() != 1 or not 0 < float(left) < 1:
            raise ExchangeError(f"{call} has alpha {shown(left.tolist())}, expected one above 0 and below 1 for all")
        synapse = ExponentialSynapse(1 / (1 - float(left)), filters_bias=True)
        synapse.logit.requires_grad_(isinstance(module.alpha, nn.Parameter))
    if hasattr(module, "recurrent"):
        feedback, bias = _recurrence(module.recurrent, call)
        weights.bias = weights.bias + bias
    if synapse is not None:
        # Its current is s itself, and ours (1 − alpha)·s.
        share = 1 / (1 - float(left))
        weights.times(share)
        feedback = None if feedback is None else feedback * share
    neuron = _izhikevich(call) if hasattr(module, "layer") else _lif(call)
    return Layer(weights.connection(synapse, feedback), neuron)


def _recurrence(own: Any, call: _Call) -> tuple[Tensor, Tensor]:
    """Weights by which spikes come back, and their bias."""
    if isinstance(own, (nn.Linear, nn.Conv2d)):
        return own.weight.detach().double(), 0 if own.bias is None else own.bias.detach().double()  # type: ignore[return-value]
    each = own.V.detach().double()
    if len(call.given) != 1 or each.numel() not in (1, call.given[0]):
        raise ExchangeError(f"{call} has V of shape {tuple(each.shape)} for features {call.given}, expected a row")
    return torch.diag(each.expand(call.given[0])), torch.zeros(1, dtype=torch.float64)


def _lif(call: _Call) -> LIF:
    module: Any = call.module
    if type(module) not in (snn.Leaky, snn.RLeaky, snn.Synaptic, snn.RSynaptic):
        raise ExchangeError(f"{call} is none of Leaky, RLeaky, Synaptic, RSynaptic and izhi.snntorch's neurons")
    late = bool(module.reset_delay)
    if module.reset_mechanism == "zero" and late and not isinstance(module, snn.Leaky):
        raise ExchangeError(
            f"{call} is reset to zero a step after its spike, in which snnTorch drops what comes in; train it with"
            " reset_delay=False, or Leaky"
        )
    values = {"beta": module.beta.detach().clamp(0, 1), "threshold": module.threshold.detach()}
    size = call.found if any(value.numel() > 1 for value in values.values()) else None
    # A reset to zero is the same in the step of the spike, and hardware has it in the one behind.
    late = late or module.reset_mechanism == "zero"
    neuron: LIF = _with(LIF, call, values, size, reset=module.reset_mechanism, reset_delay=late)
    return neuron


def _with(make: Any, call: _Call, values: dict[str, Tensor], size: Shape | None, **options: Any) -> Any:
    """Neurons with these coefficients, learned where they are parameters of the module, or differ."""
    module: Any = call.module
    learn = [
        name for name, value in values.items()
        if value.numel() > 1 or isinstance(getattr(module, name), nn.Parameter)
    ]  # fmt: skip
    first = {name: float(value.flatten()[0]) for name, value in values.items()}
    neuron = make(**first, size=size, learn=learn, surrogate=recognised(module.spike_grad), **options)
    with torch.no_grad():
        for name in learn:
            try:
                neuron.learned[name].copy_(
                    values[name].expand(size or ()) if values[name].numel() > 1 else values[name]
                )
            except RuntimeError:
                shape = tuple(values[name].shape)
                raise ExchangeError(f"{call} has {name} of shape {shape}, expected {size} or one number") from None
    return neuron


def _izhikevich(call: _Call) -> Izhikevich:
    """The layer within one of izhi.snntorch's neurons, with the threshold that snnTorch keeps."""
    module: Any = call.module
    layer: Izhikevich = copy.deepcopy(module.layer)
    threshold = float(module.threshold.detach())
    if threshold == layer.parameters_.threshold and not isinstance(module.threshold, nn.Parameter):
        return layer
    names = [*layer.learned, "threshold"]
    found = Izhikevich(
        layer.parameters_, learn=names, jacobian_limit=layer.settings.jacobian_limit,
        surrogate=recognised(module.spike_grad), kernel=layer.kernel,
    )  # fmt: skip
    with torch.no_grad():
        for name in layer.learned:
            found.learned[name].copy_(layer.learned[name])
        found.learned["threshold"].fill_(threshold)
    return found


__all__ = ["convert"]
