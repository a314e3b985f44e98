"""The variants of an experiment that a command compares or tunes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from izhi.errors import SettingError, unknown
from izhi.experiments.settings.choices import USUAL_NEURONS


@dataclass(frozen=True)
class Variant:
    """A variant: a label and the settings in which it differs from the others."""

    label: str  #: its name
    settings: Mapping[str, object]  #: the settings in which it differs
    named: bool = False  #: whether the user chose the label; tables then show it in place of the settings


def parse_variants(neurons: str, connections: str) -> list[Variant]:
    """The variants that the command line names.

    Args:
        neurons: comma-separated ``neuron[:setting=value]…``, for example
            ``biological,normalized:jacobian_limit=inf``; lists within a value are joined by ``+``.
        connections: comma-separated kinds; each neuron that names no connection gets all of them.
    """
    variants: dict[str, Variant] = {}
    kinds = _kinds(connections)
    items = [item.strip() for item in neurons.split(",") if item.strip()]
    if not items:
        raise SettingError(f"neurons names nothing, expected neurons such as {USUAL_NEURONS}")
    for item, kind in product(items, kinds):
        name, *changes = item.split(":")
        settings: dict[str, str] = {"neuron": name, "connection": kind}
        for change in changes:
            key, equals, value = change.partition("=")
            if not equals or not value:
                raise SettingError(f"{change!r} in {item!r} is no setting, expected setting=value")
            settings[key.strip().replace("-", "_")] = value.strip().replace("+", ",")
        notes = [f"{k}={v}" for k, v in settings.items() if k not in ("neuron", "connection")]
        label = " ".join([name, *([settings["connection"]] if settings["connection"] != "linear" else [])])
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
    kinds = [kind.strip() for kind in connections.split(",") if kind.strip()]
    if not kinds:
        raise SettingError("connections names nothing, expected kinds such as linear,recurrent")
    return list(dict.fromkeys(kinds))


def check_reference(variants: Sequence[Variant], reference: str | None) -> None:
    """Raise SettingError for a reference that is none of the variants."""
    labels = [variant.label for variant in variants]
    if reference is not None and reference not in labels:
        raise unknown("reference", reference, labels, separator="; ")
