"""Connections: spikes of one layer → drive of the next. Any of them works with any neuron.

Each is called with spikes (T, B, in_features), dense or packed, and returns a ``Drive``: the weighted spikes of every
step, and what happens between them and the neuron, which integrates it with its own state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from izhi.errors import SettingError, ShapeError
from izhi.kernels import Drive, Spikes, Synapse, delayed, delayed_product, product

Product = Callable[[Spikes, Tensor], Tensor]

#: Time steps handled by one matrix product of the exponential filter.
_CHUNK = 64


def exponential_filter(x: Tensor, decay: Tensor | float, state: Tensor | None = None) -> Tensor:
    """y[t] = decay·y[t−1] + x[t] for all t at once, (T, B, N) → (T, B, N).

    Within a chunk of steps the filter is a product with the triangular matrix decay^(t−k), which runs at
    the speed of matrix products and is differentiable in x, decay and state.
    """
    shape = x.shape
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


class Connection(nn.Module):
    """Base of all connections: sizes, weights, and the check of its input.

    Args:
        in_features: presynaptic neurons.
        out_features: postsynaptic neurons.
        bias: whether a constant current is added (and learned).
        recurrent: whether the layer's own spikes z come back a step later: R·z[t−1] is added to W·s[t] in the
            equations of every connection, so that they pass through its synapse too. ``feedback`` is R.
    """

    feedback: nn.Linear | None

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, recurrent: bool = False) -> None:
        super().__init__()
        for name, value in (("in_features", in_features), ("out_features", out_features)):
            if value < 1:
                raise SettingError(f"{name} is {value!r}, expected at least 1")
        self.in_features, self.out_features = in_features, out_features
        self.input = nn.Linear(in_features, out_features, bias=bias)
        self.feedback = nn.Linear(out_features, out_features, bias=False) if recurrent else None

    @property
    def weight(self) -> Tensor:
        """(out_features, in_features)."""
        return self.input.weight

    @property
    def kind(self) -> str:
        """What it is, for messages."""
        return ("" if self.feedback is None else "recurrent ") + type(self).__name__

    def check(self, spikes: Spikes) -> None:
        """Raise ShapeError unless spikes is (T, B, in_features) with T ≥ 1."""
        if spikes.dim() != 3:
            raise ShapeError(f"spikes have shape {tuple(spikes.shape)}, expected 3 dimensions: (T, B, features)")
        if spikes.shape[2] != self.in_features:
            raise ShapeError(f"spikes are {spikes.shape[2]} wide, expected {self.in_features} (in_features)")
        if spikes.shape[0] == 0:
            raise ShapeError("spikes have T = 0, expected at least one time step")

    def forward(self, spikes: Spikes, product: Product = product) -> Drive:
        """The drive of spikes (T, B, in_features).

        Args:
            spikes: dense or packed.
            product: (spikes, weight) → weighted spikes; that of a SynapticDelay where synapses delay.
        """
        raise NotImplementedError

    def drive(self, current: Tensor, conductance: Tensor | None = None, synapse: Synapse | None = None) -> Drive:
        """The drive of weighted spikes, with what the connection adds to them: bias and feedback."""
        feedback = None if self.feedback is None else self.feedback.weight
        return Drive(current, conductance, self.input.bias, synapse, feedback)

    def extra_repr(self) -> str:
        return f"{self.in_features} → {self.out_features}"


class Linear(Connection):
    """I[t] = W·s[t] + bias: a spike acts in its own step only."""

    def forward(self, spikes: Spikes, product: Product = product) -> Drive:
        self.check(spikes)
        return self.drive(product(spikes, self.weight))


class ExponentialSynapse(Connection):
    """A current that decays after each spike (Galindo & Nunez-Yanez 2017).

        s[t] = s[t−1]·(1 − 1/τ) + spike[t],   I[t] = (W·s[t])/τ + bias

    The factor 1/τ gives the current of one spike the area that it has through Linear, so that weights
    and learning rates of the two are alike; without it (as in S2NN-HLS, whose weights are W/τ) a step
    of the optimiser is τ times too large. s is linear in the spikes, so the neuron keeps it, behind the
    weights, as it does with its v and u.

    Args:
        tau: decay time in steps, above 1.
        learn_tau: whether τ is learned.

    In S2NN-HLS a spike also takes one step from layer to layer, which in a feed-forward network only
    shifts each layer in time; here it arrives in its own step.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        tau: float = 10.0,
        learn_tau: bool = False,
        recurrent: bool = False,
    ) -> None:
        super().__init__(in_features, out_features, bias, recurrent=recurrent)
        if not (math.isfinite(tau) and tau > 1):
            raise SettingError(f"tau is {tau!r}, expected a finite number of steps above 1")
        decay = torch.tensor(1 - 1 / tau)
        self.logit = nn.Parameter(torch.logit(decay), requires_grad=learn_tau)

    @property
    def decay(self) -> Tensor:
        """1 − 1/τ, the part of s that is left after a step."""
        return torch.sigmoid(self.logit)

    @property
    def synapse(self) -> Synapse:
        """What the neuron integrates."""
        return Synapse(self.decay)

    def forward(self, spikes: Spikes, product: Product = product) -> Drive:
        self.check(spikes)
        return self.drive(product(spikes, self.weight), synapse=self.synapse)


class ConductanceSynapse(ExponentialSynapse):
    """A conductance that decays after each spike (Galindo & Nunez-Yanez 2017).

        s[t] = s[t−1]·(1 − 1/τ) + spike[t]
        g_exc = W⁺·s/(τ·(E_exc − v_rest)),   g_inh = W⁻·s/(τ·(v_rest − E_inh))
        I = (g_exc·(E_exc − v) + g_inh·(E_inh − v)) / (1 + κ·(g_exc + g_inh)) + bias

    W⁺ and W⁻ are the positive and negative parts of the weights, both taken as positive. Three things
    make it optimise like Linear; hardware folds the constants into its weights:

    - the divisors E − v_rest: at rest a weight gives the current that it gives through Linear;
    - κ: explicit Euler (κ = 0, as in S2NN-HLS) is unstable once dt·gain·g passes 2, which an ordinary
      initialisation does; with κ = dt·gain the step is the implicit one, which cannot overshoot;
    - W = strength·weight: conductances of both signs shunt each other, so that larger changes are needed
      than of currents; strength gives them at the learning rate of the other connections.

    Args:
        reversal: (E_inh, v_rest, E_exc) of the neuron, its ``reversal``.
        tau: decay time in steps, above 1.
        inhibitory: None to let each weight have its own sign; or the share, 0 to 1, of presynaptic
            neurons (the last ones) whose weights are all inhibitory, the others' all excitatory, as
            in S2NN-HLS, where it is 0.1.
        implicit: κ, dt·gain of the neuron; 0 for explicit Euler.
    """

    strength = 8.0
    sign: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        reversal: tuple[float, float, float] = (-85.0, -65.0, 0.0),
        tau: float = 10.0,
        inhibitory: float | None = None,
        implicit: float = 1.0,
        recurrent: bool = False,
    ) -> None:
        super().__init__(in_features, out_features, bias, tau=tau, recurrent=recurrent)
        low, rest, high = reversal
        if not low < rest < high:
            raise SettingError(f"reversal is {reversal!r}, expected E_inh < v_rest < E_exc")
        if inhibitory is not None and not 0 <= inhibitory <= 1:
            raise SettingError(f"inhibitory is {inhibitory!r}, expected a share from 0 to 1")
        if not (math.isfinite(implicit) and implicit >= 0):
            raise SettingError(f"implicit is {implicit!r}, expected a finite number, 0 or more")
        self.reversal, self.implicit = reversal, implicit
        with torch.no_grad():
            self.weight.div_(self.strength)
        sign = None
        if inhibitory is not None:
            sign = torch.ones(in_features)
            sign[in_features - round(inhibitory * in_features) :] = -1
        self.register_buffer("sign", sign)

    @property
    def synapse(self) -> Synapse:
        """What the neuron integrates."""
        return Synapse(self.decay, self.implicit)

    @property
    def signed_weight(self) -> Tensor:
        """W: strength·weight, with the sign that the presynaptic neuron allows."""
        weight = self.weight if self.sign is None else self.weight.abs() * self.sign
        return self.strength * weight

    def forward(self, spikes: Spikes, product: Product = product) -> Drive:
        self.check(spikes)
        low, rest, high = self.reversal
        weight = self.signed_weight
        excitatory = weight.clamp(min=0) / (high - rest)
        inhibitory = (-weight).clamp(min=0) / (rest - low)
        # The current at v = 0, and the conductance.
        current = product(spikes, excitatory * high + inhibitory * low)
        conductance = product(spikes, excitatory + inhibitory)
        return self.drive(current, conductance, self.synapse)


class Delay(nn.Module):
    """Base of all delays: how long spikes travel to a layer, in steps, learned.

    Args:
        shape: of the delays.
        largest: the longest delay D, at least 1.
        learn: whether delays are learned.

    Delays are real numbers from 0 to D, and are rounded where they act. They begin between 0 and half
    of the longest, evenly at random; the gradient is that of a spike train moved by a small time.
    """

    def __init__(self, *shape: int, largest: int, learn: bool = True) -> None:
        super().__init__()
        for name, value in zip(("in_features", "out_features"), reversed(shape), strict=False):
            if value < 1:
                raise SettingError(f"{name} is {value!r}, expected at least 1")
        if largest < 1:
            raise SettingError(f"largest is {largest!r}, expected at least 1")
        self.in_features, self.largest = shape[-1], largest
        self.steps = nn.Parameter(0.5 * largest * torch.rand(*shape), requires_grad=learn)

    def forward(self, spikes: Spikes, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What arrives at a connection, which is to weigh it by ``product``.

        Args:
            spikes: (T, B, in_features), dense or packed.
            past: the second value of an earlier call, to go on from; None to start anew.

        Returns:
            What arrives, and the last steps that came in, (steps, B, in_features).
        """
        raise NotImplementedError

    def product(self, arriving: Spikes, weight: Tensor) -> Tensor:
        """Arriving spikes weighted by weight (out_features, in_features): (T, B, out_features)."""
        raise NotImplementedError

    def _with_past(self, spikes: Spikes, past: Tensor | None, steps: int) -> tuple[Tensor, Tensor]:
        x = spikes if isinstance(spikes, Tensor) else spikes.dense()
        return x, x.new_zeros(steps, *x.shape[1:]) if past is None else past

    def extra_repr(self) -> str:
        return f"{' × '.join(str(n) for n in self.steps.shape)}, up to {self.largest} steps"


class AxonalDelay(Delay):
    """Spikes of each presynaptic neuron arrive some steps later, at all of the layer's neurons.

        y[t] = x[t − round(d)],   0 ≤ d ≤ largest

    Args:
        in_features: presynaptic neurons.
        largest: the longest delay, in steps, at least 1.
        learn: whether delays are learned.
    """

    def __init__(self, in_features: int, largest: int, *, learn: bool = True) -> None:
        super().__init__(in_features, largest=largest, learn=learn)

    def forward(self, spikes: Spikes, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, past = self._with_past(spikes, past, self.largest + 1)
        return delayed(x, past, self.steps), torch.cat([past, x])[-self.largest - 1 :]

    def product(self, arriving: Spikes, weight: Tensor) -> Tensor:
        return product(arriving, weight)


class SynapticDelay(Delay):
    """Each synapse has its own delay: I_j[t] = Σ_i w_ji·x_i[t − round(d_ji)] (Hammouamri et al. 2024).

    A layer costs largest + 1 times the products of one without delays.

    Args:
        in_features: presynaptic neurons.
        out_features: postsynaptic neurons.
        largest: the longest delay, in steps, at least 1.
        learn: whether delays are learned.
    """

    def __init__(self, in_features: int, out_features: int, largest: int, *, learn: bool = True) -> None:
        super().__init__(out_features, in_features, largest=largest, learn=learn)

    def forward(self, spikes: Spikes, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, past = self._with_past(spikes, past, self.largest)
        whole = torch.cat([past, x])
        return whole, whole[-self.largest :]

    def product(self, arriving: Spikes, weight: Tensor) -> Tensor:
        return delayed_product(cast(Tensor, arriving), weight, self.steps, self.largest)


def currents(drive: Drive, trace: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The currents (T, B, N) of a drive that reaches no neuron, such as a readout's.

    Args:
        drive: without conductance and feedback, which need a neuron.
        trace: of an earlier call, to go on from; None to start anew.

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
            x = current.float() if current.dtype == torch.bfloat16 else current
            y = exponential_filter(x, drive.synapse.decay, trace)
            current, trace_after = (1 - drive.synapse.decay) * y, y[-1]
    if drive.bias is not None:
        current = current + drive.bias
    return current, trace_after


#: Connections that a configuration can name: the class, and whether it is recurrent.
CONNECTIONS: dict[str, tuple[type[Connection], bool]] = {
    "linear": (Linear, False),
    "exponential": (ExponentialSynapse, False),
    "conductance": (ConductanceSynapse, False),
    "recurrent": (Linear, True),
    "recurrent-exponential": (ExponentialSynapse, True),
    "recurrent-conductance": (ConductanceSynapse, True),
}
