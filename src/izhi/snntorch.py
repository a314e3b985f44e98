"""The Izhikevich neuron for people who write snnTorch loops.

    spk, mem, u = neuron(current, mem, u)          # explicit state
    spk = neuron(current)                          # init_hidden=True

``reset(network)`` clears the state of every stateful neuron of one network, snnTorch's and ours, and of
no other; ``snntorch.utils.reset`` knows a fixed list of classes and clears them in all networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from snntorch import SpikingNeuron
from torch import Tensor, nn

from izhi.errors import SettingError
from izhi.kernels import Drive
from izhi.kernels.reference import izhikevich_step
from izhi.neurons import Izhikevich as IzhikevichLayer
from izhi.neurons import IzhikevichParameters
from izhi.neurons.neuron import check_current

__all__ = ["Izhikevich", "reset"]


class Izhikevich(SpikingNeuron):  # type: ignore[misc]
    """``izhi.Izhikevich`` as a ``snntorch.SpikingNeuron``: one step per call.

    The equations, presets and event orders are those of ``izhi.Izhikevich``; mem is v.

    Args:
        parameters: a preset's name or IzhikevichParameters.
        learn: coefficients to learn; the threshold through ``learn_threshold``.
        gain: factor on the input current in place of the preset's.
        jacobian_limit: limit of the membrane's Jacobian in the backward pass.
        **options: of snnTorch's neurons: spike_grad, surrogate_disable, init_hidden, learn_threshold,
            state_quant (applied to v and to u before the neuron fires), output,
            graded_spikes_factor, learn_graded_spikes_factor.

    Returns (of a call with current (B, *features)):
        spk, mem, u; with ``init_hidden`` spk alone, unless ``output`` asks for all three.

    Raises:
        SettingError: for options that have no meaning here: threshold (it is the preset's),
            reset_mechanism (v ← c, u ← u + d is the model's own) and inhibition.
        TypeError: if mem or u is passed with ``init_hidden``, as in snnTorch.
    """

    mem: Tensor
    u: Tensor

    def __init__(
        self,
        parameters: str | IzhikevichParameters = "normalized",
        *,
        learn: Sequence[str] = (),
        gain: float | None = None,
        jacobian_limit: float = 1.0,
        **options: Any,
    ) -> None:
        for name, reason in (
            ("threshold", "it is the preset's; use parameters.replace(threshold=…)"),
            ("reset_mechanism", "an Izhikevich neuron resets v to c and adds d to u"),
            ("inhibition", "use a layer of its own"),
        ):
            if options.get(name):
                raise SettingError(f"{name} is {options[name]!r}, expected none: {reason}")
        if "threshold" in learn:
            raise SettingError("learn names 'threshold', expected learn_threshold=True instead")
        layer = IzhikevichLayer(parameters, learn=learn, gain=gain, jacobian_limit=jacobian_limit)
        p = layer.parameters_
        super().__init__(threshold=p.threshold, reset_mechanism="none", **options)
        # snnTorch's class list would keep this neuron alive, and let other networks reset it.
        SpikingNeuron.instances.remove(self)
        self.layer = layer
        self.register_buffer("mem", torch.zeros(0), persistent=False)
        self.register_buffer("u", torch.zeros(0), persistent=False)

    def forward(self, input_: Tensor, mem: Tensor | None = None, u: Tensor | None = None) -> Any:
        """One step: current (B, *features) → spk, mem, u (see the class)."""
        if self.init_hidden and (mem is not None or u is not None):
            raise TypeError("`mem` and `u` should not be passed as arguments while `init_hidden=True`")
        check_current(input_, time=False)
        v0, u0, _ = self.layer.initial_state(input_)
        self.mem = self._kept(self.mem if mem is None else mem, v0)
        self.u = self._kept(self.u if u is None else u, u0)
        settings = replace(
            self.layer.settings,
            surrogate=self.spike_grad,
            state_quant=self.state_quant or None,
        )
        coefficients = self.layer.coefficients()._replace(threshold=self.threshold)
        spk, self.mem, self.u = izhikevich_step(Drive(input_), self.mem, self.u, coefficients, settings)
        spk = spk.to(input_.dtype) * self.graded_spikes_factor
        if self.init_hidden and not self.output:
            return spk
        return spk, self.mem, self.u

    @staticmethod
    def _kept(value: Tensor, initial: Tensor) -> Tensor:
        return value if value.shape == initial.shape else initial

    def reset_mem(self) -> tuple[Tensor, Tensor]:
        """Put the state back to the preset's initial values; returns mem and u."""
        p = self.layer.parameters_
        self.mem = torch.full_like(self.mem, p.v0).detach()
        self.u = torch.full_like(self.u, p.u0).detach()
        return self.mem, self.u


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
