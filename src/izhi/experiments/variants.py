"""The variants of an experiment that a command compares or tunes, and the values over which it searches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from izhi.errors import SettingError, unknown
from izhi.experiments.settings import FIELDS, Mark, marked
from izhi.experiments.settings.choices import USUAL_NEURONS, USUAL_SEARCH
from izhi.experiments.settings.fields import comma_separated
from izhi.spec import preset_names

if TYPE_CHECKING:
    from optuna import Trial


@dataclass(frozen=True)
class Variant:
    """A variant: a label and the settings in which it differs from the others."""

    label: str  #: its name
    settings: Mapping[str, object]  #: the settings in which it differs
    named: bool = False  #: whether the user chose the label; tables then show it in place of the settings


def parse_variants(neurons: str, connections: str | None) -> list[Variant]:
    """The variants that the command line names.

    Args:
        neurons: comma-separated ``neuron[:setting=value]…``, a neuron of one's own as ``module:name``, for example
            ``biological,normalized:jacobian_limit=inf``; lists within a value are joined by ``+``.
        connections: comma-separated kinds; each neuron that names no connection gets all of them. None: such a neuron
            has the connection of the other settings.
    """
    variants: dict[str, Variant] = {}
    kinds = [None] if connections is None else _kinds(connections)
    items = comma_separated(neurons)
    if not items:
        raise SettingError(f"neurons names nothing, expected neurons such as {USUAL_NEURONS}")
    for item, kind in product(items, kinds):
        name, *changes = item.split(":")
        if changes and "=" not in changes[0] and name not in preset_names():  # module:name
            name = f"{name}:{changes.pop(0)}"
        settings: dict[str, str] = {"neuron": name, **({} if kind is None else {"connection": kind})}
        for change in changes:
            key, equals, value = change.partition("=")
            if not equals or not value:
                raise SettingError(f"{change!r} in {item!r} is no setting, expected setting=value")
            settings[key.strip().replace("-", "_")] = value.strip().replace("+", ",")
        notes = [f"{k}={v}" for k, v in settings.items() if k not in ("neuron", "connection")]
        connection = settings.get("connection", "linear")
        label = name if connection == "linear" else f"{name} {connection}"
        label += f" ({', '.join(notes)})" if notes else ""
        variants.setdefault(label, Variant(label, settings))
    return list(variants.values())


def named_variants(tables: object, connections: str | None = None) -> list[Variant]:
    """The variants of a TOML file: a table ``[variants."label"]`` of settings for each.

    Args:
        tables: the file's ``variants``.
        connections: comma-separated kinds, each of which every variant gets; None: what the file says.
    """
    if not isinstance(tables, Mapping) or not tables:
        raise SettingError('variants is no table, expected one or more [variants."label"]')
    for label, settings in tables.items():
        if not isinstance(settings, Mapping):
            raise SettingError(f"variants holds {label!r}, expected a table [variants.{label!r}]")
    named = [Variant(label, dict(settings), named=True) for label, settings in tables.items()]
    if connections is None:
        return named
    return [
        Variant(
            variant.label if kind == "linear" else f"{variant.label}, {kind}",
            {**variant.settings, "connection": kind},
            named=True,
        )
        for kind in _kinds(connections)
        for variant in named
    ]


def _kinds(connections: str) -> list[str]:
    kinds = comma_separated(connections)
    if not kinds:
        raise SettingError("connections names nothing, expected kinds such as linear,recurrent")
    return list(dict.fromkeys(kinds))


def check_reference(variants: Sequence[Variant], reference: str | None) -> None:
    """Raise SettingError for a reference that is none of the variants."""
    labels = [variant.label for variant in variants]
    if reference is not None and reference not in labels:
        raise unknown("reference", reference, labels, separator="; ")


_LOGARITHMIC = 10.0


@dataclass(frozen=True)
class Range:
    """Values that a setting may take: from low to high, or one of some choices."""

    neuron: str | None  #: the only neuron whose variants it concerns; None for all
    name: str  #: name of the setting
    low: float = 0.0  #: lower limit, included
    high: float = 0.0  #: upper limit, included; from ten times the lower one, the search is by its logarithm
    choices: tuple[str, ...] = ()  #: given in place of limits

    @property
    def is_whole(self) -> bool:
        """Whether the setting takes whole numbers only."""
        return FIELDS[self.name].annotation is int

    def concerns(self, neuron: str) -> bool:
        """Whether the search applies to variants of that neuron."""
        return self.neuron in (None, neuron)

    def holds(self, value: object) -> bool:
        """Whether the search includes a value."""
        if self.choices:
            return str(value) in self.choices
        return isinstance(value, (int, float)) and self.low <= value <= self.high

    @property
    def is_logarithmic(self) -> bool:
        """Whether it is searched by its logarithm."""
        return self.low > 0 and self.high >= _LOGARITHMIC * self.low

    def suggest(self, trial: Trial) -> object:
        """A value for a trial."""
        if self.choices:
            return trial.suggest_categorical(self.name, self.choices)
        if self.is_whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.is_logarithmic)
        return trial.suggest_float(self.name, self.low, self.high, log=self.is_logarithmic)

    def at(self, share: float) -> object:
        """The value at a share between low and high, 0 to below 1; of choices the one at that share."""
        if self.choices:
            return self.choices[
                int(share * len(self.choices) + 1e-9)
            ]  # a border counts as passed, whatever its last bits
        if self.is_logarithmic:
            value = self.low * (self.high / self.low) ** share
        else:
            value = self.low + share * (self.high - self.low)
        return round(value) if self.is_whole else float(f"{value:.4g}")


def parse_search(text: str) -> list[Range]:
    """Ranges from ``[neuron.]setting=low..high`` or ``=one|another``, comma-separated.

    Raises:
        SettingError: for what is not of that form, an unknown setting, or one that must not differ
            between trials.
    """
    ranges = []
    for item in comma_separated(text):
        left, equals, values = item.partition("=")
        neuron, dot, name = left.strip().rpartition(".")
        name = name.replace("-", "_")
        if not equals or not values:
            raise SettingError(f"search has {item!r}, expected setting=low..high or setting=a|b")
        if name not in FIELDS:
            raise unknown("setting", name, FIELDS)
        if name in marked(Mark.SAME_IN_TRIALS):
            raise SettingError(f"search names {name}, which is the same in all trials; leave it out")
        only = neuron if dot else None
        if ".." not in values:
            ranges.append(Range(only, name, choices=tuple(v.strip() for v in values.split("|"))))
            continue
        try:
            low, high = (float(v) for v in values.split(".."))
        except ValueError:
            raise SettingError(f"search has {item!r}, expected numbers low..high") from None
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise SettingError(f"search has {item!r}, expected low below high")
        ranges.append(Range(only, name, low, high))
    if not ranges:
        raise SettingError("search names no setting, expected some such as " + USUAL_SEARCH)
    return ranges
