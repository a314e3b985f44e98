"""From a trained module of snnTorch to a network of ours: the same spikes in every step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import snntorch as snn
import torch
from torch import Tensor, nn

from izhi.errors import ExchangeError, shown
from izhi.exchange.builder import NetworkBuilder, Numbers, PendingWeights, as_numbers
from izhi.network import Network
from izhi.network.sequence import hooked
from izhi.neurons.surrogate import recognised
from izhi.spec import FlattenSpec, IdentitySpec, IzhikevichSpec, LIFSpec, NeuronSpec, Shape, SynapseSpec

#: Modules that hold weights. Those of Brevitas are among them.
_WEIGHTS = (nn.Linear, nn.Conv1d, nn.Conv2d)
#: Modules without effect once a network is trained.
_WITHOUT_EFFECT = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
#: Modules without state that networks here run as they are.
_STATELESS = (nn.Flatten, nn.Unflatten, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d)
#: Names of the state of snnTorch's neurons.
_STATES = ("mem", "syn", "spk", "u")


class _Call(NamedTuple):
    """A module within a network, and the features of its input and its output."""

    name: str
    module: Any
    inputs: Shape
    out: Shape

    def __str__(self) -> str:
        return f"{self.name} ({type(self.module).__name__})"


def convert(network: nn.Module, sample: Tensor | None = None) -> Network:
    """Convert a trained network of torch and snnTorch.

    Args:
        network: modules in order: Linear and convolutions of torch or Brevitas, whose rounded weights are used, with
            or without normalisation over the batch; ``snn.Leaky``, ``RLeaky``, ``Synaptic`` and ``RSynaptic``, and the
            neurons of ``izhi.snntorch``; pooling behind neurons; Flatten. Its forward may loop over time steps.
        sample: a batch that its forward takes, by which the order of modules and their shapes are traced; None if
            the network begins with ``nn.Linear``, which has the number of features.

    Returns:
        A network for flat features (T, B, N); the modules' learned numbers are copied.

    Raises:
        ExchangeError: for a module that Izhi has no equivalent of, by its name and, where there is one, with a remedy.
    """
    calls = _trace(network, _example(network) if sample is None else sample)
    builder, before = NetworkBuilder(), calls[0].inputs
    for call in calls:
        if call.inputs != before:
            if call.inputs != (math.prod(before),):
                raise ExchangeError(f"{call} gets features {call.inputs}, but those before it are {before}")
            builder.add(FlattenSpec())
        _add(builder, call)
        before = call.out
    if builder.pending is not None:
        builder.add_readout()
    built = builder.build(calls[0].inputs)
    for layer, call in zip(built.spiking, (x for x in calls if isinstance(x.module, snn.SpikingNeuron)), strict=True):
        neuron: Any = layer.neuron
        neuron.settings = replace(neuron.settings, surrogate=recognised(call.module.spike_grad))
        if hasattr(call.module, "layer"):
            neuron.kernel = call.module.layer.kernel
    return built


def _example(network: nn.Module) -> Tensor:
    """A sample of zeros for a network that begins with a matrix."""
    first = next((x for x in network.modules() if isinstance(x, _WEIGHTS)), None)
    if not isinstance(first, nn.Linear):
        raise ExchangeError(
            f"the network begins with {type(first).__name__}, which does not say what it takes; give a sample: a batch"
            " that its forward takes"
        )
    return torch.zeros(1, first.in_features)


@dataclass
class _CallTrace:
    """The calls of a network's modules."""

    names: Mapping[nn.Module, str]  #: of the modules
    calls: list[_Call] = field(default_factory=list)  #: of one time step, in order
    repeats: list[_Call] = field(default_factory=list)  #: of later time steps
    last: Tensor | None = None  #: the output of the last call

    def record(self, module: nn.Module, inputs: tuple[Any, ...], result: Any) -> None:
        """Record one call, as a forward hook; ExchangeError if its input is not the output of the call before."""
        name = self.names[module] or "the network"
        if not inputs or not isinstance(inputs[0], Tensor):
            raise ExchangeError(f"{name} ({type(module).__name__}) is not called with a tensor, expected one")
        x, out = inputs[0], result[0] if isinstance(result, tuple) else result
        call = _Call(name, module, tuple(x.shape[1:]), tuple(out.shape[1:]))
        if any(module is one.module for one in self.calls):
            self.repeats.append(call)
            return
        if self.repeats:
            raise ExchangeError(
                f"{call} runs for the first time behind {self.repeats[0]}, which ran before; expected a row"
            )
        if self.last is not None and (x.data_ptr() != self.last.data_ptr() or x.numel() != self.last.numel()):
            raise ExchangeError(
                f"{call} is not given what {self.calls[-1]} gives: something happens between them that no module shows;"
                " make a module of it, such as nn.MaxPool2d"
            )
        self.calls.append(call)
        self.last = out


def _trace(network: nn.Module, sample: Tensor) -> list[_Call]:
    """The modules of one time step in the order in which they run, each on the output of the one before."""
    trace = _CallTrace({module: name for name, module in network.named_modules()})
    try:
        with _preserved(network), torch.no_grad(), hooked(_leaves(network), trace.record):
            network(sample)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExchangeError(
            f"the network does not take a sample of shape {tuple(sample.shape)} ({reason}); give one that its forward"
            " takes"
        ) from None
    if not trace.calls:
        raise ExchangeError(f"{type(network).__name__} runs no modules, expected layers of torch and snnTorch")
    order = [one.module for one in trace.calls]
    for index, call in enumerate(trace.repeats):
        if call.module is not order[index % len(order)]:
            raise ExchangeError(f"{call} runs twice in a step, or in another order than before, expected a row")
    return trace.calls


def _leaves(network: nn.Module) -> Iterator[nn.Module]:
    """Modules that are converted as one: neurons, weights, and those without children."""
    if isinstance(network, (snn.SpikingNeuron, *_WEIGHTS)) or not list(network.children()):
        yield network
        return
    for child in network.children():
        yield from _leaves(child)


@contextmanager
def _preserved(network: nn.Module) -> Iterator[None]:
    """Put a network in evaluation with neurons of no state, and restore both at the end."""
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


def _add(builder: NetworkBuilder, call: _Call) -> None:
    module, pending = call.module, builder.pending
    if isinstance(module, _WITHOUT_EFFECT):
        return
    if isinstance(module, snn.SpikingNeuron):
        if pending is None:
            raise ExchangeError(f"{call} has no weights before it, expected Linear or a convolution")
        _add_layer(builder, pending, call)
    elif isinstance(module, _WEIGHTS):
        builder.add_weights(_weights(call))
    elif isinstance(module, nn.modules.batchnorm._BatchNorm) and pending is not None:
        _normalise(pending, call)
    elif isinstance(module, _STATELESS):
        if pending is not None:
            raise ExchangeError(
                f"{call} stands between {pending.label} and its neurons, where ours have none; put it behind the"
                " neurons"
            )
        builder.add(IdentitySpec(), module)
    else:
        raise ExchangeError(
            f"{call} is none that networks here have; expected Linear, convolutions, pooling, Flatten, Leaky, RLeaky,"
            " Synaptic, RSynaptic and izhi.snntorch's neurons"
        )


def _weights(call: _Call) -> PendingWeights:
    own, window = call.module, {}
    if not isinstance(own, nn.Linear):
        if isinstance(own.padding, str) or own.padding_mode != "zeros":
            raise ExchangeError(f"{call} pads by {own.padding!r}, {own.padding_mode!r}, expected zeros in numbers")
        window = {name: getattr(own, name) for name in ("stride", "padding", "dilation", "groups")}
    weight = as_numbers(own.quant_weight().value if hasattr(own, "quant_weight") else own.weight)
    bias = np.zeros(len(weight)) if own.bias is None else as_numbers(own.bias)
    return PendingWeights(str(call), weight, bias, call.out, window)


def _normalise(weights: PendingWeights, call: _Call) -> None:
    """Fold the normalisation of evaluation into weights: γ·(x − μ)/√(σ² + ε) + β."""
    own = call.module
    if own.running_mean is None:
        raise ExchangeError(f"{call} keeps no running means, expected track_running_stats=True")
    factor = 1 / np.sqrt(as_numbers(own.running_var) + own.eps)
    if own.weight is not None:
        factor = factor * as_numbers(own.weight)
    weights.bias = weights.bias - as_numbers(own.running_mean)
    weights.scale(factor)
    if own.bias is not None:
        weights.bias = weights.bias + as_numbers(own.bias)


def _add_layer(builder: NetworkBuilder, weights: PendingWeights, call: _Call) -> None:
    module = call.module
    factor = float(module.graded_spikes_factor) if module.graded_spikes_factor.numel() == 1 else math.nan
    for name, is_set in (
        ("graded spikes", factor != 1), ("inhibition", module.inhibition), ("state_quant", bool(module.state_quant)),
    ):  # fmt: skip
        if is_set:
            raise ExchangeError(f"{call} has {name}, which neurons here have not; set none")
    synapse, feedback, tau = None, None, 1.0
    if isinstance(module, (snn.Synaptic, snn.RSynaptic)):
        decay = module.alpha.detach().double().clamp(0, 1)
        if decay.numel() != 1 or not 0 < float(decay) < 1:
            raise ExchangeError(f"{call} has alpha {shown(decay.tolist())}, expected one above 0 and below 1 for all")
        tau = 1 / (1 - float(decay))
        synapse = SynapseSpec(tau, learn=isinstance(module.alpha, nn.Parameter), filters_bias=True)
    if hasattr(module, "recurrent"):
        feedback, bias = _recurrence(call)
        weights.bias = weights.bias + bias
        feedback = feedback * tau
    weights.scale(tau)  # snnTorch's current is s itself, and ours (1 − alpha)·s
    neuron, learned = _izhikevich(call) if hasattr(module, "layer") else _lif(call)
    builder.add_layer(neuron, learned, synapse=synapse, feedback=feedback)


def _recurrence(call: _Call) -> tuple[Numbers, Numbers]:
    """Recurrent weights, and their bias."""
    own = call.module.recurrent
    if isinstance(own, (nn.Linear, nn.Conv2d)):
        return as_numbers(own.weight), np.zeros(1) if own.bias is None else as_numbers(own.bias)
    each = as_numbers(own.V).ravel()
    if len(call.inputs) != 1 or each.size not in (1, call.inputs[0]):
        raise ExchangeError(f"{call} has V of shape {tuple(own.V.shape)} for features {call.inputs}, expected a row")
    return np.diag(np.broadcast_to(each, call.inputs)), np.zeros(1)


def _lif(call: _Call) -> tuple[NeuronSpec, dict[str, Numbers]]:
    """The description of snnTorch's neurons; coefficients are learned if they are parameters, or differ."""
    module = call.module
    if type(module) not in (snn.Leaky, snn.RLeaky, snn.Synaptic, snn.RSynaptic):
        raise ExchangeError(f"{call} is none of Leaky, RLeaky, Synaptic, RSynaptic and izhi.snntorch's neurons")
    reset, is_late = module.reset_mechanism, bool(module.reset_delay)
    if reset == "zero" and is_late and not isinstance(module, snn.Leaky):
        raise ExchangeError(
            f"{call} is reset to zero a step after its spike, in which snnTorch drops what comes in; train it with"
            " reset_delay=False, or Leaky"
        )
    values = {"beta": as_numbers(module.beta).clip(0, 1), "threshold": as_numbers(module.threshold)}
    learn = [name for name, x in values.items() if x.size > 1 or isinstance(getattr(module, name), nn.Parameter)]
    size = call.out if any(x.size > 1 for x in values.values()) else None
    first: dict[str, Any] = {name: float(x.ravel()[0]) for name, x in values.items()}
    # A reset to zero has the same effect in the step of the spike and in the one behind, which hardware has.
    is_late = is_late or reset == "zero"
    spec = LIFSpec(**first, size=size, learn=tuple(learn), reset=reset, reset_delay=is_late)
    return spec, {name: x.ravel()[0] if x.size == 1 else x for name, x in values.items()}


def _izhikevich(call: _Call) -> tuple[NeuronSpec, dict[str, Numbers]]:
    """The description of one of izhi.snntorch's neurons, with the threshold that snnTorch keeps."""
    module = call.module
    own, threshold = module.layer, float(module.threshold.detach())
    learned = {name: as_numbers(value) for name, value in own.learned.items()}
    if threshold != own.base_parameters.threshold or isinstance(module.threshold, nn.Parameter):
        learned["threshold"] = np.array(threshold)
    limit = own.settings.constants.jacobian_limit
    return IzhikevichSpec(parameters=own.base_parameters, learn=tuple(learned), jacobian_limit=limit), learned
