"""The Izhikevich neuron, biological and normalised, as one module."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from izhi.deprecation import renamed_arguments, renamed_attribute
from izhi.equation import izhikevich
from izhi.kernels import Memory
from izhi.kernels.plan import Constants
from izhi.neurons.distribution import of_logarithm, sample, stable_coupling
from izhi.neurons.neuron import NeuronLayer, as_shape, at_rest, clamp_straight_through, names_in, step_settings
from izhi.neurons.state import Target, detach, moved
from izhi.neurons.surrogate import SpikeGradient, recognised, spec_of
from izhi.spec import (
    ORDERS,
    BalancedResonators,
    Distribution,
    IzhikevichParameters,
    IzhikevichSpec,
    Leaks,
    MixtureSpec,
    Resonators,
    preset,
    spectral_radius,
)
from izhi.spec.presets import BALANCED


class Coefficients(NamedTuple):
    """The coefficients of the quadratic map; floats, or tensors that broadcast over (B, N)."""

    a1: Tensor | float
    a2: Tensor | float
    a3: Tensor | float
    a4: Tensor | float
    b1: Tensor | float
    b2: Tensor | float
    b3: Tensor | float
    c: Tensor | float
    d: Tensor | float
    threshold: Tensor | float
    gain: Tensor | float


class SmoothCoefficients(NamedTuple):
    """The coefficients of the quadratic map with a refractory state q."""

    a1: Tensor | float
    a2: Tensor | float
    a3: Tensor | float
    a4: Tensor | float
    b1: Tensor | float
    b2: Tensor | float
    b3: Tensor | float
    c: Tensor | float
    d: Tensor | float
    threshold: Tensor | float
    gain: Tensor | float
    q_decay: Tensor | float
    q_damping: Tensor | float


#: Coefficients as kernels take them, by their names.
_COEFFICIENTS: dict[tuple[str, ...], type[Coefficients | SmoothCoefficients]] = {
    kind._fields: kind for kind in (Coefficients, SmoothCoefficients)
}


#: The parameters of neurons of a distribution alone.
_BASES: dict[type[Distribution], str | IzhikevichParameters] = {
    Resonators: "resonator",
    BalancedResonators: BALANCED,
    Leaks: "adlif",
}


class IzhikevichState(NamedTuple):
    """v and u of every neuron, (B, *features), and the memory of synapse and recurrence."""

    v: Tensor
    u: Tensor
    memory: Memory = Memory()

    def detach(self) -> IzhikevichState:
        """The same state without its history, see ``izhi.neurons.state.detach``."""
        return detach(self)

    def to(self, target: Target) -> IzhikevichState:
        """The same state on another device or in another dtype."""
        return moved(self, target)


class SmoothIzhikevichState(NamedTuple):
    """v, u and the refractory state q of every neuron of the reset "smooth", as ``IzhikevichState``."""

    v: Tensor
    u: Tensor
    q: Tensor
    memory: Memory = Memory()

    def detach(self) -> SmoothIzhikevichState:
        """The same state without its history, see ``izhi.neurons.state.detach``."""
        return detach(self)

    def to(self, target: Target) -> SmoothIzhikevichState:
        """The same state on another device or in another dtype."""
        return moved(self, target)


class Izhikevich(NeuronLayer[IzhikevichState | SmoothIzhikevichState, Coefficients | SmoothCoefficients]):
    """A layer of Izhikevich neurons.

        v' = a1·v² + a2·v + a3·u + a4 + gain·I,   u' = b1·v + b2·u + b3
        spike when v ≥ threshold;  after a spike v ← c, u ← u + d

    integrated by Euler steps of dt in the event order of the preset (``ORDERS``), which may have another reset
    (``IzhikevichParameters.reset``): the step is ``izhi.equation.izhikevich``. For the biological
    presets v is in mV, u and I in mV/ms, time in ms (Izhikevich 2003: v' = 0.04·v² + 5·v + 140 − u + I,
    u' = a·(b·v − u)). The normalised presets have no units.

    A tensor that is passed to the neuron is the current I itself. A connection, whose weights are of order 1, delivers
    I = current_scale·(W·s + bias): 200 mV/ms for a weighted sum of 1 where v is in mV, else 1.

    The backward pass replaces the derivative of the spike by a surrogate over
    x = (v − threshold)/(threshold − c), or over another ``surrogate_span``, and limits |∂v[t+1]/∂v[t]| to
    ``jacobian_limit``: the factor
    1 + dt·(2·a1·v + a2) exceeds 1 along the upstroke of a spike, so gradients explode without it.

    Args:
        parameters: a preset's name or IzhikevichParameters; or a mixture of them for the neurons of
            one layer, such as ``{"RS": 0.5, "FS": 0.3, "CH": 0.2}``; or ``izhi.Resonators(…)``, neurons whose
            frequencies and decays are spread, which the preset ``"resonator"`` has as well.
        parameter_shape: shape of the coefficients of each neuron, that of one step of one sample, with 1 along a
            dimension where neurons share them; None for one set for the layer.
        learn: names of the coefficients to learn (``LEARNABLE``; of resonators ``"frequency"`` and ``"decay"``, which
            are learned as logarithms, in place of a2, a3, b1, b2).
        spread: standard deviation of the learned coefficients' initial values between neurons, in
            units of ``parameter_scale``; needs a parameter_shape.
        surrogate: from ``izhi.surrogate`` or ``snntorch.surrogate``; None for ATan(2).
        gain: factor on every current. It is the whole factor on weighted spikes as well, unless ``current_scale`` is
            given; None for that of the parameters, 1 in all presets.
        current_scale: current of a weighted sum of 1; None for that of the parameters.
        jacobian_limit: above 0; ``math.inf`` for plain backpropagation through time.
        kernel: ``"auto"``, ``"reference"`` or ``"cpu"`` (see ``izhi.kernels``).
        distribution: distribution of coefficients over the neurons, for other parameters than the usual ones:
            ``izhi.Resonators(…)``, ``izhi.BalancedResonators(…)``, or ``izhi.Leaks(…)`` for time constants of v and u.

    Raises:
        SettingError: for an unknown preset, order, coefficient or kernel, or a value out of range.
    """

    kind: ClassVar[str] = IzhikevichSpec.kind
    spec: IzhikevichSpec
    base_parameters: IzhikevichParameters
    parameters_ = renamed_attribute("parameters_", "base_parameters")

    @renamed_arguments(size="parameter_shape")
    def __init__(
        self,
        parameters: str | IzhikevichParameters | Mapping[str, float] | MixtureSpec | Distribution = "normalized",
        *,
        parameter_shape: int | Sequence[int] | None = None,
        learn: Sequence[str] | str = (),
        spread: float = 0.0,
        surrogate: SpikeGradient | None = None,
        gain: float | None = None,
        current_scale: float | None = None,
        jacobian_limit: float = 1.0,
        kernel: str = "auto",
        distribution: Distribution | None = None,
    ) -> None:
        if isinstance(parameters, Distribution):
            distribution = parameters
            parameters = _BASES[type(distribution)]
        elif parameters == "resonator" and distribution is None:
            distribution = Resonators()
        mixture = parameters if isinstance(parameters, MixtureSpec) else None
        if isinstance(parameters, Mapping):
            mixture = MixtureSpec(tuple(parameters.items()))
        p = parameters if isinstance(parameters, IzhikevichParameters) else None
        p = p or (preset(str(parameters)) if mixture is None else mixture.members[0])
        p = p if gain is None else p.replace(gain=gain)
        p = p if current_scale is None else p.replace(current_scale=current_scale)
        form = recognised(surrogate)
        spec = IzhikevichSpec(
            parameters=p, mixture=mixture, distribution=distribution, jacobian_limit=jacobian_limit,
            size=as_shape(parameter_shape), learn=names_in(learn), spread=spread, surrogate=spec_of(form),
        )  # fmt: skip
        self._set_up(spec, form, kernel)

    def _configure(self, surrogate: SpikeGradient) -> None:
        spec = self.spec
        self.base_parameters = p = spec.parameters
        low, high = p.limits
        order = ORDERS[p.order]
        constants = Constants(
            dt=p.dt, substep=p.dt / order.substeps, v_low=low, v_high=high, jacobian_limit=spec.jacobian_limit,
            per_span=float(np.float32(1) / np.float32(p.surrogate_width)),
        )  # fmt: skip
        self.settings = step_settings(izhikevich(order, p.reset), surrogate, constants)
        if spec.distribution is not None and spec.size is not None:
            for one in spec.distribution.spreads:
                self.register_buffer(f"mixed_{one.name}", sample(one, spec.size))
        if spec.mixture is not None and spec.size is not None:
            self._mix(spec.mixture.members, torch.tensor(spec.mixture.counts(spec.size[0])))
        self._learn(spec.learn, self._initial)

    def _mix(self, members: Sequence[IzhikevichParameters], counts: Tensor) -> None:
        """Buffers (N,) of the coefficients and initial values in which the members of a mixture differ."""
        for name in (*self.base_parameters.coefficients, "v0", "u0"):
            each = [p.coefficient(name) for p in members]
            if len(set(each)) > 1:
                self.register_buffer(f"mixed_{name}", torch.tensor(each).repeat_interleave(counts))

    @property
    def mixture(self) -> MixtureSpec | None:
        """The presets with which neurons start; None for one."""
        return self.spec.mixture

    def _given(self, name: str) -> Tensor | float:
        """A coefficient or initial value of the presets: a float, or (N,) in a mixture."""
        mixed: Tensor | None = self._buffers.get(f"mixed_{name}")
        return self.base_parameters.coefficient(name) if mixed is None else mixed

    def _distributed(self) -> dict[str, Tensor]:
        """What the distribution distributes, as it is now; the coefficients that follow are derived from it."""
        assert self.spec.distribution is not None
        values: dict[str, Tensor] = {}
        for one in self.spec.distribution.spreads:
            _, low, high = self.spec.distribution.DOMAIN[one.name]
            if one.name in self.learned:
                values[one.name] = of_logarithm(self.learned[one.name], low, high)
            else:
                mixed: Tensor | None = self._buffers.get(f"mixed_{one.name}")
                values[one.name] = torch.tensor(one.middle) if mixed is None else mixed
        return values

    def _initial(self, name: str) -> Tensor | float:
        if self.spec.distribution is not None and name in self.spec.distribution.DOMAIN:
            return self._distributed()[name].log()
        if self.spec.distribution is not None and name in self.spec.distribution.FREE:
            derived: Tensor = self.spec.distribution.coefficients(self._distributed(), self.base_parameters, torch)[
                name
            ]
            return derived
        if name not in ("a", "b"):
            return self._given(name)
        return -self._given("b2") if name == "a" else self._given("b1") / -self._given("b2")

    def dynamics(self) -> dict[str, object]:
        """See ``NeuronLayer``; of a mixture the values of each member, and how many neurons each has."""
        p, k, m = self.base_parameters, self.settings.constants, self.mixture
        values: dict[str, object] = {
            name: [one.coefficient(name) for one in m.members] if m and f"mixed_{name}" in self._buffers
            else self._given(name)
            for name in (*p.coefficients, "v0", "u0") if name not in self.learned
        }  # fmt: skip
        if self.spec.distribution is not None:
            for one in self.spec.distribution.spreads:
                values[one.name] = [one.low, one.high]
        values.update(order=p.order, dt=float(p.dt), v_min=float(k.v_low), v_max=float(k.v_high))
        if p.reset != "value":
            values["reset"] = p.reset
        if m and self.parameter_shape:
            values["neurons"] = m.counts(self.parameter_shape[0])
        return values

    def parameter_scale(self, name: str) -> float:
        """The scale of a learned coefficient, see the function of this name; 1 of a logarithm."""
        if self.spec.distribution is not None and name in self.spec.distribution.DOMAIN:
            return 1.0
        return parameter_scale(self.base_parameters, name)

    def coefficients(self) -> Coefficients | SmoothCoefficients:
        """The coefficients now in use for weighted spikes: floats, or tensors where they are learned.

        The gain is gain·current_scale, learned as one number.

        Learned values are clamped to stable dynamics (a1 ≥ 0, 0 ≤ a ≤ 1/dt, −1/dt ≤ b2 ≤ 0 or the preset's b2,
        threshold ≥ c + 0.1·span, 0 ≤ q_decay ≤ 1, q_damping ≥ 0), with the gradient of the value itself; b1 may
        change sign.
        """
        p, distribution = self.base_parameters, self.spec.distribution
        if self.mixture is None and distribution is None and not self.learned:
            return _coefficients_of(p)
        values: dict[str, Tensor | float] = {name: self._given(name) for name in p.coefficients}
        if distribution is not None:
            values.update(distribution.coefficients(self._distributed(), p, torch))
        values.update({name: value for name, value in self.learned.items() if name in values})
        if "a" in self.learned or "b" in self.learned:
            a, b = -self._given("b2"), self._given("b1") / -self._given("b2")
            if "a" in self.learned:
                a = clamp_straight_through(self.learned["a"], min(0.0, -p.b2), 1 / p.dt)
            if "b" in self.learned:
                b = self.learned["b"]
            values["b1"], values["b2"] = a * b, -a
        if "a1" in self.learned:
            values["a1"] = clamp_straight_through(self.learned["a1"], 0.0, math.inf)
        if distribution is not None and ("a3" in self.learned or "b1" in self.learned):
            a2, a3, b1, b2 = (torch.as_tensor(values[x]) for x in ("a2", "a3", "b1", "b2"))
            values["b1"] = stable_coupling(a2, a3, b1, b2, p.dt)
        if "b2" in self.learned:
            values["b2"] = clamp_straight_through(self.learned["b2"], -1 / p.dt, max(0.0, p.b2))
        if "threshold" in self.learned or "c" in self.learned:
            least = values["c"] + 0.1 * p.span
            threshold = values["threshold"]
            if isinstance(threshold, Tensor):
                values["threshold"] = threshold + (least - threshold).detach().clamp(min=0)
            elif isinstance(least, Tensor):
                values["c"] = clamp_straight_through(self.learned["c"], -math.inf, threshold - 0.1 * p.span)
        for name, high in (("q_decay", 1.0), ("q_damping", math.inf)):
            if name in self.learned:
                values[name] = clamp_straight_through(self.learned[name], 0.0, high)
        return _COEFFICIENTS[p.coefficients](**values)

    def learned_values(self) -> dict[str, Tensor]:
        """See ``NeuronLayer``."""
        distributed = {} if self.spec.distribution is None else self._distributed()
        return {name: distributed.get(name, value) for name, value in super().learned_values().items()}

    def spectral_radius(self) -> Tensor | None:
        """What the states of each neuron grow by in a step without input; None where v² may hold them.

        It is the largest eigenvalue's modulus of the linear step, (1,) or one for each neuron; above 1 it diverges.
        """
        p = self.coefficients()
        if torch.as_tensor(p.a1).any():
            return None
        a2, a3, b1, b2 = (torch.as_tensor(x).detach().double().cpu().numpy() for x in (p.a2, p.a3, p.b1, p.b2))
        return torch.from_numpy(np.atleast_1d(spectral_radius(a2, a3, b1, b2, self.base_parameters)))

    def current_coefficients(self) -> Coefficients | SmoothCoefficients:
        """The coefficients now in use for a current that no connection scales."""
        p, scale = self.coefficients(), self.base_parameters.current_scale
        return p if scale == 1 else p._replace(gain=p.gain / scale)

    def initial_state(self, current_t: Tensor) -> IzhikevichState | SmoothIzhikevichState:
        """The preset's v0 and u0 for every neuron of one step of current, (B, *features); q begins at 0."""
        v, u = (at_rest(current_t, self._given(name)) for name in ("v0", "u0"))
        if self.base_parameters.reset == "smooth":
            return SmoothIzhikevichState(v, u, at_rest(current_t, 0.0))
        return IzhikevichState(v, u)

    def extra_repr(self) -> str:
        p, distribution = self.base_parameters, self.spec.distribution
        reset = "" if p.reset == "value" else f", reset={p.reset!r}"
        dynamics = f"a2={p.a2:g}"
        if distribution is not None:
            ranges = {name: np.atleast_1d(getattr(distribution, name)) for name in distribution.DOMAIN}
            dynamics = ", ".join(f"{name}={'…'.join(f'{x:g}' for x in values)}" for name, values in ranges.items())
        return f"{dynamics}, c={p.c:g}, d={p.d:g}, threshold={p.threshold:g}, order={p.order!r}{reset}"


@cache
def _coefficients_of(p: IzhikevichParameters) -> Coefficients | SmoothCoefficients:
    """The coefficients of a preset."""
    return _COEFFICIENTS[p.coefficients](**{name: p.coefficient(name) for name in p.coefficients})


def parameter_scale(p: IzhikevichParameters, name: str) -> float:
    """The scale of a coefficient: the unit of its spread and of its learning rate.

    A change of a tenth of it is visible; one of ten times of it changes the firing class. It is the coefficient's own
    size; for threshold and c a fifth of threshold − c; for q_decay 1 − q_decay; for the constants a4 and b3, which may
    be 0, the size of the terms beside them.
    """
    sizes = {
        "a": abs(p.b2),
        "b": abs(p.b1 / p.b2) if p.b2 else 1.0,
        "a4": p.a2**2 / (4 * p.a1) if p.a1 else 1.0,
        "b3": abs(p.b2) * p.span,
        "c": 0.2 * p.span,
        "threshold": 0.2 * p.span,
        "q_decay": max(1 - p.q_decay, 0.01),
    }
    return sizes[name] if name in sizes else abs(p.coefficient(name)) or 1.0
