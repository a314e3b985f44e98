"""The Izhikevich neuron as a description; its equation is that of ``izhi.Izhikevich``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, cast

from izhi.errors import SettingError, unknown
from izhi.spec.distribution import BalancedResonators, Distribution, Leaks, Resonators
from izhi.spec.neuron import (
    Coefficient,
    NeuronEntry,
    NeuronOptions,
    NeuronSpec,
    common_of_options,
    per_channel,
    register,
)
from izhi.spec.parameters import LEARNABLE, REFRACTORY, IzhikevichParameters, IzhikevichReset
from izhi.spec.presets import PRESETS, preset
from izhi.spec.tables import Shape, Table, read, write


@dataclass(frozen=True)
class MixtureSpec:
    """The presets with which the neurons of a layer start, and their shares.

    Raises:
        SettingError: for shares that are not above 0 or do not add up to 1, or presets of different units.
    """

    shares: tuple[tuple[str, float], ...]  #: (preset, share), in the order in which their neurons lie
    order: str | None = None  #: event order in place of the first preset's
    reset: IzhikevichReset | None = None  #: reset in place of the presets'

    def __post_init__(self) -> None:
        if not self.shares:
            raise SettingError("mixture is empty, expected shares such as RS=.5,FS=.5")
        for name, share in self.shares:
            if not (math.isfinite(share) and share > 0):
                raise SettingError(f"mixture gives {name} {share!r}, expected a share above 0")
        total = sum(share for _, share in self.shares)
        if abs(total - 1) > 1e-6:
            raise SettingError(f"the shares of mixture add up to {total:g}, expected 1")
        if len({p.unit for p in self.members}) > 1:
            raise SettingError("mixture holds presets in mV and normalised ones, expected one of the two")

    @property
    def members(self) -> tuple[IzhikevichParameters, ...]:
        """Parameters of each; their order is one for the layer."""
        presets = [preset(name) for name, _ in self.shares]
        order, reset = self.order or presets[0].order, self.reset or presets[0].reset
        return tuple(p.replace(order=order, reset=reset) for p in presets)

    def counts(self, size: int) -> list[int]:
        """Whole numbers of neurons of each in a layer of that size, by largest remainder.

        Raises:
            SettingError: for fewer neurons than members.
        """
        if size < len(self.shares):
            raise SettingError(f"a layer of {size} cannot hold a mixture of {len(self.shares)}")
        exact = [share * size for _, share in self.shares]
        counts = [math.floor(x) for x in exact]
        by_remainder = sorted(range(len(exact)), key=lambda k: counts[k] - exact[k])
        for k in by_remainder[: size - sum(counts)]:
            counts[k] += 1
        return counts


@dataclass(frozen=True, kw_only=True)
class IzhikevichSpec(NeuronSpec):
    """v' = a1·v² + a2·v + a3·u + a4 + gain·I, u' = b1·v + b2·u + b3; see ``izhi.Izhikevich``.

    Raises:
        SettingError: for a value out of range, coefficients that cannot be learned, or a mixture without a width.
    """

    #: coefficients, initial state, time step and event order; of a mixture its first member's
    parameters: IzhikevichParameters = PRESETS["normalized"]
    jacobian_limit: float = 1.0  #: of |∂v[t+1]/∂v[t]| in the backward pass, above 0; ``math.inf`` for none
    mixture: MixtureSpec | None = None  #: or None for neurons of one preset
    distribution: Distribution | None = None  #: or None for neurons that are alike at first

    kind: ClassVar[str] = "izhikevich"

    def __post_init__(self) -> None:
        super().__post_init__()
        limit, learn = self.jacobian_limit, self.learn
        if math.isnan(limit) or limit <= 0:
            raise SettingError(f"jacobian_limit is {limit!r}, expected a number above 0 or inf")
        for name in learn:
            if name not in self.learnable:
                raise unknown("learnable coefficient", name, self.learnable)
            if name in self.parameters.unused:
                raise SettingError(
                    f"learn names {name!r}, which the reset {self.parameters.reset!r} has no use for; leave it out"
                )
            if name in ("a", "b") and ("b1" in learn or "b2" in learn):
                raise SettingError(f"learn names {name!r} beside 'b1' or 'b2', expected one form only")
            if name in ("a", "b") and self.parameters.b2 == 0:
                raise SettingError(f"learn names {name!r}, but this preset has b2 = 0; learn b1 and b2")
        if self.distribution is not None:
            if self.mixture is not None:
                raise SettingError("mixture is set beside a distribution, expected one of the two")
            self.distribution.check(self.parameters)
        if self.mixture is not None:
            if self.size is None or len(self.size) != 1:
                raise SettingError(f"size is {self.size!r}, expected a width: a mixture needs one")
            self.mixture.counts(self.size[0])

    @property
    def learnable(self) -> tuple[str, ...]:
        """Names of the coefficients that can be learned; a distribution's stand for those that follow from them."""
        if self.distribution is None:
            return LEARNABLE
        derived = {*self.distribution.DERIVED, "a", "b"} - {*self.distribution.FREE}
        return (*self.distribution.DOMAIN, *(x for x in LEARNABLE if x not in derived))

    @property
    def unit_of_v(self) -> Literal["mV", "1"]:
        return self.parameters.unit

    @property
    def order(self) -> str | None:
        return self.parameters.order

    @property
    def reset(self) -> IzhikevichReset:
        return self.parameters.reset

    @property
    def states(self) -> tuple[str, ...]:
        return (*super().states, "q") if self.parameters.reset == "smooth" else super().states

    @property
    def operations(self) -> tuple[int, int]:
        """Of the reset "smooth" five products and four additions more: q, threshold + q, and the damping of v and u."""
        products, additions = super().operations
        return (products + 5, additions + 4) if self.parameters.reset == "smooth" else (products, additions)

    @property
    def gain(self) -> float:
        return self.parameters.connection_gain

    @property
    def reversal(self) -> tuple[float, float, float]:
        """−85, −65 and 0 mV (S2NN-HLS); normalised neurons take them through the map of RS, v = 142.9 mV·x − 65 mV."""
        if self.unit_of_v == "mV":
            return -85.0, -65.0, 0.0
        return -20 / (100 / 0.7), 0.0, 65 / (100 / 0.7)

    @property
    def implicit(self) -> float:
        """κ = dt·gain."""
        return self.parameters.dt * self.parameters.connection_gain

    @property
    def nearest_preset(self) -> str:
        return "normalized" if self.unit_of_v == "1" else "RS"

    def configured(self, options: NeuronOptions, shape: Shape) -> IzhikevichSpec:
        common, parameters, mixture = common_of_options(options, shape), self.parameters, None
        reset = cast("IzhikevichReset", options.reset or self.reset)
        if options.mixture:
            if len(shape) > 1:
                raise SettingError("mixture is set, which convolutions do not have; give it to linear layers alone")
            mixture = MixtureSpec(tuple(options.mixture.items()), options.order, reset)
            common["size"], parameters = shape, mixture.members[0]
        elif options.order is not None:
            parameters = parameters.replace(order=options.order)
        distribution = self._distribution(options)
        if distribution is not None:
            common["size"] = common["size"] or per_channel(shape)
        if reset == "smooth":
            parameters = parameters.replace(q_decay=options.q_decay, q_damping=options.q_damping)
        parameters = parameters.replace(reset=reset)
        if options.gain is not None:
            parameters = parameters.replace(gain=options.gain)
        return self.replace(
            **common, parameters=parameters, mixture=mixture, distribution=distribution,
            jacobian_limit=options.jacobian_limit,
        )  # fmt: skip

    def _distribution(self, options: NeuronOptions) -> Distribution | None:
        """The distribution that options name; SettingError for ranges that these neurons have no use for."""
        frequencies = {
            name: limits for name in ("frequency", "decay") if (limits := getattr(options, name)) is not None
        }
        if isinstance(self.distribution, Resonators):
            distribution: Distribution | None = replace(self.distribution, **frequencies)
        elif frequencies:
            name, limits = next(iter(frequencies.items()))
            raise SettingError(f"{name} is {limits}, which {options.neuron} has no use for; choose neuron resonator")
        else:
            distribution = None
        if options.time_constants is None:
            return distribution
        if distribution is not None or self.parameters.a1 or self.unit_of_v == "mV":
            raise SettingError(
                f"time_constants is {options.time_constants}, which {options.neuron} has no use for; choose lif or"
                " adlif"
            )
        return Leaks(tau_v=options.time_constants, tau_u=options.time_constants)

    def check_options(self, options: NeuronOptions) -> None:
        for name in options.mixture or ():
            if preset(name).unit != self.unit_of_v:
                raise SettingError(
                    f"mixture names {name!r}, but the neuron is {options.neuron!r}: one is in mV, the other is not"
                )
        if options.mixture:
            MixtureSpec(tuple(options.mixture.items()))
        self._distribution(options)
        if options.reset is not None:
            self.parameters.replace(reset=options.reset)  # refuses those of LIF alone
        if options.v_reset:
            raise SettingError(f"v_reset is {options.v_reset:g}, but {options.neuron} is reset to c; leave it out")

    def table(self) -> Table:
        whole = {**super().table(), "parameters": _written(self.parameters), "jacobian_limit": self.jacobian_limit}
        if self.mixture is not None:
            whole["mixture"] = {**write(self.mixture), "shares": dict(self.mixture.shares)}
        if self.distribution is not None:
            kind = next(name for name, one in _DISTRIBUTIONS.items() if isinstance(self.distribution, one))
            whole["distribution"] = {"kind": kind, **write(self.distribution)}
        return whole

    @classmethod
    def of_table(cls, table: Mapping[str, object], /, **known: object) -> IzhikevichSpec:
        mixture, distribution = (cast("Table | None", table.get(name)) for name in ("mixture", "distribution"))
        known |= {"mixture": None, "distribution": None}
        if mixture is not None:
            shares = cast("dict[str, float]", mixture["shares"])
            known["mixture"] = read(MixtureSpec, mixture, shares=tuple(shares.items()))
        if distribution is not None:
            kind = str(distribution.get("kind"))
            if kind not in _DISTRIBUTIONS:
                raise unknown("distribution", kind, _DISTRIBUTIONS)
            known["distribution"] = read(_DISTRIBUTIONS[kind], distribution)
        return super().of_table(table, **known)


def _written(p: IzhikevichParameters) -> Table:
    """The parameters as a table, without those of a reset that they do not have."""
    lacks = () if p.reset == "smooth" else ("reset", *REFRACTORY) if p.reset == "value" else REFRACTORY
    return {name: value for name, value in write(p).items() if name not in lacks}


_DISTRIBUTIONS: Mapping[str, type[Distribution]] = {
    "resonators": Resonators,
    "balanced": BalancedResonators,
    "leaks": Leaks,
}

#: Units of the coefficients where v is in mV, and time in ms.
_UNITS = {
    "a1": "1/(mV·ms)", "a2": "1/ms", "a4": "mV/ms", "b1": "1/ms²", "b2": "1/ms", "b3": "mV/ms²", "c": "mV",
    "d": "mV/ms", "threshold": "mV", "a": "1/ms", "b": "1/ms", "q_damping": "1/(mV·ms)",
}  # fmt: skip
_LIMITS = {**dict.fromkeys(("a", "a1", "q_damping"), (0.0, math.inf)), "q_decay": (0.0, 1.0)}

register(
    NeuronEntry(
        name="izhikevich",
        spec=IzhikevichSpec,
        states=("v", "u"),
        coefficients=tuple(
            Coefficient(name, _UNITS.get(name, "1"), *_LIMITS.get(name, (-math.inf, math.inf)))
            for name in (*LEARNABLE, *(name for one in _DISTRIBUTIONS.values() for name in one.DOMAIN))
        ),
        presets={
            name: IzhikevichSpec(parameters=p, distribution=Resonators() if name == "resonator" else None)
            for name, p in PRESETS.items()
        },
        operations=(6, 6),
        has_patterns=True,
        settings=(
            "order",
            "gain",
            "mixture",
            "reset",
            "q_decay",
            "q_damping",
            "jacobian_limit",
            "frequency",
            "decay",
            "time_constants",
        ),
        executors={
            "torch": "izhi.neurons.izhikevich:Izhikevich",
            "nir": "izhi.exchange.izhikevich:CODEC",
        },
    )
)

__all__ = ["IzhikevichSpec", "MixtureSpec"]
