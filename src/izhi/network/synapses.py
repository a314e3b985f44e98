"""Synapses: the dynamics between weighted spikes and neurons."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from izhi.errors import SettingError
from izhi.kernels import Synapse, SynapticInput
from izhi.kernels.plan import Constants
from izhi.kernels.torch_step import is_plain, only_gradient, synapse_step
from izhi.neurons.distribution import sample
from izhi.spec import ConductanceSpec, Spread, SynapseSpec

#: Time steps handled by one matrix product of the exponential filter.
_CHUNK = 64


def exponential_filter(x: Tensor, decay: Tensor | float, state: Tensor | None = None) -> Tensor:
    """y[t] = decay·y[t−1] + x[t] for all t at once, (T, B, N) → (T, B, N), of one decay or of N.

    Within a chunk of steps the filter is a product with the triangular matrix decay^(t−k), which runs at
    the speed of matrix products and is differentiable in x, decay and state.
    """
    shape = x.shape
    if isinstance(decay, Tensor) and decay.dim():
        return _filter_each(x, decay, state)
    flat = x.reshape(shape[0], -1)
    last = None if state is None else state.reshape(1, -1)
    out = []
    for chunk in torch.split(flat, _CHUNK):
        t = torch.arange(len(chunk), device=x.device)
        lag = t[:, None] - t[None, :]
        base = torch.as_tensor(decay, dtype=x.dtype, device=x.device)
        kernel = torch.where(lag >= 0, base ** lag.clamp(min=0), torch.zeros((), dtype=x.dtype))
        y = kernel @ chunk
        if last is not None:
            y = y + (base ** (t + 1))[:, None] * last
        last = y[-1:]
        out.append(y)
    return torch.cat(out).reshape(shape)


def _filter_each(x: Tensor, decay: Tensor, state: Tensor | None) -> Tensor:
    """``exponential_filter`` with N decays: one product within chunks, and one over their ends."""
    steps, batch, outputs = x.shape
    size = min(_CHUNK, steps)
    chunks = -(-steps // size)
    padded = functional.pad(x, (0, 0, 0, 0, 0, chunks * size - steps)).view(chunks, size, batch, outputs)
    base = decay.to(x.dtype)
    within = _powers(base, size) @ padded.permute(3, 1, 0, 2).reshape(outputs, size, chunks * batch)
    within = within.view(outputs, size, chunks, batch)
    first = x.new_zeros(batch, outputs) if state is None else state.to(x.dtype)
    ends = torch.cat([first.T[:, None], within[:, -1, :-1]], 1)  # before each chunk, without those before
    before = _powers(base**size, chunks) @ ends
    fading = base[:, None] ** torch.arange(1, size + 1, device=x.device)
    y = within + fading[:, :, None, None] * before[:, None]
    return y.permute(2, 1, 3, 0).reshape(chunks * size, batch, outputs)[:steps]


def fixed_point_filter(x: Tensor, synapse: Synapse, state: Tensor | None = None) -> Tensor:
    """The sums of a synapse with a grid for all t, (T, B, N) → (T, B, N): s[t] = sat(round(decay·s[t−1] + x[t])).

    They are in double precision, with the gradients of ``exponential_filter``.
    """
    x, decay = x.double(), synapse.decay.double()
    step, k = synapse_step(False, True, False), Constants().traced(synapse.grid)._replace(decay=decay)  # type: ignore[arg-type]
    trace, held = torch.zeros_like(x[0]) if state is None else state.double(), torch.empty_like(x)
    with torch.no_grad():
        for t in range(len(x)):  # thousands of tensors in a list would make Python collect garbage
            trace, _ = step(x[t], None, (trace,), k)
            held[t] = trace
    return held if is_plain() else held + only_gradient(exponential_filter(x, decay, state))


def _powers(base: Tensor, size: int) -> Tensor:
    """base^(t−k) where t ≥ k, else 0: (N, size, size)."""
    t = torch.arange(size, device=base.device)
    lag = t[:, None] - t[None, :]
    return torch.where(lag >= 0, base[:, None, None] ** lag.clamp(min=0), torch.zeros((), dtype=base.dtype))


class ExponentialSynapse(nn.Module):
    """A current that decays after each spike (Galindo & Nunez-Yanez 2017).

        s[t] = s[t−1]·(1 − 1/τ) + spike[t],   I[t] = (W·s[t])/τ + bias

    The factor 1/τ gives the current of one spike the area that it has without a synapse, so that weights
    and learning rates of the two are alike; without it (as in S2NN-HLS, whose weights are W/τ) a step
    of the optimiser is τ times too large. s is linear in the spikes, so the neuron keeps it, behind the
    weights, as it does with its v and u.

    Args:
        tau: decay time in steps, above 1; with ``per_output`` also a distribution, ``izhi.spread(tau=(10, 30))``.
        per_output: the number of outputs of a readout, each of which has its own τ; None for one τ.
        learn_tau: whether τ is learned, as logit(1 − 1/τ), so that it stays above 1.
        filters_bias: whether the connection's bias passes through the synapse with the spikes, as in NIR's CubaLIF and
            snnTorch's Synaptic; else it is a constant current behind it. Integers always have it behind: the two
            differ in the first steps alone.

    In S2NN-HLS a spike also takes one step from layer to layer, which in a feed-forward network only
    shifts each layer in time; here it arrives in its own step.
    """

    #: Factor on weights, see ``ConductanceSynapse``.
    strength = 1.0

    def __init__(
        self, tau: float | Spread = 10.0, *, per_output: int | None = None, learn_tau: bool = False,
        filters_bias: bool = False,
    ) -> None:  # fmt: skip
        spread = tau if isinstance(tau, Spread) else None
        first = tau.middle if isinstance(tau, Spread) else tau
        self._set_up(SynapseSpec(first, learn_tau, filters_bias, per_output, spread))

    def _set_up(self, spec: SynapseSpec) -> None:
        super().__init__()
        self._spec, self.filters_bias = spec, spec.filters_bias
        shape = () if spec.outputs is None else (spec.outputs,)
        decay = torch.full(shape, 1 - 1 / spec.tau) if spec.spread is None else 1 - 1 / sample(spec.spread, shape)
        self.logit = nn.Parameter(torch.logit(decay), requires_grad=spec.learn)

    @staticmethod
    def of(spec: SynapseSpec) -> ExponentialSynapse:
        """The synapse of a description."""
        kind = ConductanceSynapse if isinstance(spec, ConductanceSpec) else ExponentialSynapse
        synapse = kind.__new__(kind)
        synapse._set_up(spec)
        return synapse

    @property
    def spec(self) -> SynapseSpec:
        """The description, with τ as it is now; with a τ of each output as it was at first."""
        if self._spec.outputs is not None:
            return replace(self._spec, learn=self.logit.requires_grad, filters_bias=self.filters_bias)
        # From its logit, so that rounding is not rounded again.
        tau = 1 / (1 - torch.sigmoid(self.logit.detach().double()).item())
        return replace(self._spec, tau=tau, learn=self.logit.requires_grad, filters_bias=self.filters_bias)

    @property
    def decay(self) -> Tensor:
        """1 − 1/τ, the part of s that is left after a step."""
        return torch.sigmoid(self.logit)

    @property
    def dynamics(self) -> Synapse:
        """The dynamics that the neuron integrates."""
        return Synapse(self.decay)

    def weights(self, weight: Tensor) -> tuple[Tensor, ...]:
        """The weights of a connection whose products with spikes are the current, and the conductance if it has one."""
        return (weight,)

    def extra_repr(self) -> str:
        tau = 1 / (1 - self.decay.detach())
        return f"tau={float(tau):g}" if not tau.dim() else f"tau={tau.min():g} to {tau.max():g}, per_output={len(tau)}"


class ConductanceSynapse(ExponentialSynapse):
    """A conductance that decays after each spike (Galindo & Nunez-Yanez 2017).

        s[t] = s[t−1]·(1 − 1/τ) + spike[t]
        g_exc = W⁺·s/(τ·(E_exc − v_rest)),   g_inh = W⁻·s/(τ·(v_rest − E_inh))
        I = (g_exc·(E_exc − v) + g_inh·(E_inh − v)) / (1 + κ·(g_exc + g_inh)) + bias

    W⁺ and W⁻ are the positive and negative parts of the weights, both taken as positive. Three things
    make it optimise like a current; hardware folds the constants into its weights:

    - the divisors E − v_rest: at rest a weight gives the current that it gives without a synapse;
    - κ: explicit Euler (κ = 0, as in S2NN-HLS) is unstable once dt·gain·g passes 2, which an ordinary
      initialisation does; with κ = dt·gain the step is the implicit one, which cannot overshoot;
    - W = strength·weight: conductances of both signs shunt each other, so that larger changes are needed
      than of currents; strength gives them at the learning rate of the others. A connection divides
      its first weights by it.

    Args:
        reversal: (E_inh, v_rest, E_exc) of the neuron, its ``reversal``.
        tau: decay time in steps, above 1.
        learn_tau: whether τ is learned.
        inhibitory: None to let each weight have its own sign; or the share, 0 to 1, of presynaptic
            neurons or channels (the last ones) whose weights are all inhibitory, the others' all
            excitatory, as in S2NN-HLS, where it is 0.1.
        implicit: κ, dt·gain of the neuron; 0 for explicit Euler.
    """

    strength = 8.0

    def __init__(
        self, tau: float = 10.0, *, learn_tau: bool = False,
        reversal: tuple[float, float, float] = (-85.0, -65.0, 0.0), inhibitory: float | None = None,
        implicit: float = 1.0,
    ) -> None:  # fmt: skip
        self._set_up(
            ConductanceSpec(tau, learn_tau, reversal=reversal, implicit=implicit, inhibitory=inhibitory)
        )  # fmt: skip

    def _set_up(self, spec: SynapseSpec) -> None:
        super()._set_up(spec)
        assert isinstance(spec, ConductanceSpec), "the description of a conductance"
        self.reversal, self.inhibitory, self.implicit = spec.reversal, spec.inhibitory, spec.implicit

    @property
    def dynamics(self) -> Synapse:
        return Synapse(self.decay, self.implicit)

    def signed(self, weight: Tensor) -> Tensor:
        """W: strength·weight, with the sign that the presynaptic neuron allows."""
        if self.inhibitory is not None:
            inputs = weight.shape[1]
            excites = torch.arange(inputs, device=weight.device) < inputs - round(self.inhibitory * inputs)
            across = (-1, *[1] * (weight.dim() - 2))
            weight = torch.where(excites.view(across), weight.abs(), -weight.abs())
        return self.strength * weight

    def weights(self, weight: Tensor) -> tuple[Tensor, ...]:
        """Those of the current at v = 0, and of the conductance."""
        low, rest, high = self.reversal
        signed = self.signed(weight)
        excitatory = signed.clamp(min=0) / (high - rest)
        inhibitory = (-signed).clamp(min=0) / (rest - low)
        return excitatory * high + inhibitory * low, excitatory + inhibitory


def currents(drive: SynapticInput, trace: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The currents (T, B, N) of an input without neurons, such as a readout's.

    Args:
        drive: the input, without conductance and feedback, which need neurons.
        trace: of an earlier call, to continue from; None for the initial state.

    Returns:
        The currents after the synapse, and its trace (B, N); None without a synapse.

    Raises:
        SettingError: for a drive with conductance or feedback.
    """
    if drive.conductance is not None or drive.feedback is not None:
        raise SettingError(
            "a readout without neurons is a conductance or recurrent connection, expected Linear or ExponentialSynapse"
        )
    current, trace_after = drive.current, None
    if drive.synapse is not None:
        with torch.autocast(current.device.type, enabled=False):
            x = current.float() if current.dtype in (torch.bfloat16, torch.float16) else current
            y = exponential_filter(x, drive.synapse.decay, trace)
            current, trace_after = (1 - drive.synapse.decay) * y, y[-1]
    if drive.bias is not None:
        current = current + drive.bias
    return current, trace_after
