"""A neuron of the user's own as a description: its reference, and values of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from izhi.errors import SettingError
from izhi.spec.neuron import NeuronOptions, NeuronSpec, entry_of
from izhi.spec.tables import Table


@dataclass(frozen=True, kw_only=True)
class CustomSpec(NeuronSpec):
    """Neurons that ``@izhi.neuron`` made."""

    kind: str  # type: ignore[misc]  #: "module:name"
    names: tuple[str, ...] = ()  #: names of the parameters
    values: tuple[float, ...] = ()  #: their values

    @property
    def reversal(self) -> tuple[float, float, float]:
        raise SettingError(f"neurons are {self.kind}, which have no reversal potentials; choose another connection")

    @property
    def implicit(self) -> float:
        """κ is 1: a current of 1 adds 1 to v."""
        return 1.0

    @property
    def nearest_preset(self) -> str:
        return self.kind

    def with_values(self, values: Mapping[str, float]) -> CustomSpec:
        every = {**dict(zip(self.names, self.values, strict=True)), **values}
        return self.replace(values=tuple(every[name] for name in self.names))

    def check_options(self, options: NeuronOptions) -> None:
        if options.order is not None:
            raise SettingError(f"order is {options.order!r}, but {options.neuron} has none; leave it out")
        if options.beta != NeuronOptions.beta:
            raise SettingError(
                f"beta is {options.beta:g}, which {options.neuron} has no use for; give its parameters in its module"
            )
        for name in ("frequency", "decay", "time_constants"):
            if getattr(options, name) is not None:
                raise SettingError(f"{name} is set, which {options.neuron} has no use for; leave it out")
        if options.reset is not None:
            raise SettingError(f"reset is {options.reset!r}, but {options.neuron} has its own; leave it out")
        if options.mixture:
            raise SettingError(f"mixture is set, but {options.neuron} has no classes; choose another neuron")

    def table(self) -> Table:
        return {**super().table(), "names": list(self.names), "values": list(self.values)}

    @classmethod
    def of_table(cls, table: Mapping[str, object], /, **known: object) -> CustomSpec:
        spec = super().of_table(table, **known)
        expected = tuple(x.name for x in entry_of(spec.kind).coefficients)
        if spec.names != expected or len(spec.values) != len(expected):
            raise SettingError(
                f"the parameters of {spec.kind} are {', '.join(spec.names)}, expected {', '.join(expected)} as its"
                " function has them"
            )
        return spec


__all__ = ["CustomSpec"]
