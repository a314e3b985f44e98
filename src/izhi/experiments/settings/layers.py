"""Layers of a network, one by one: a table for each in TOML, or a short form such as ``conv 16x5, pool 2, 128``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from izhi.errors import SettingError, shown, unknown
from izhi.experiments.settings.fields import Group, comma_separated
from izhi.experiments.settings.neurons import NeuronSettings
from izhi.spec import entry_of_preset, neuron_spec, preset_names
from izhi.spec.assembly import WORDS, LayerKind, short_form

#: Settings of a network that a layer may have of its own, beside all of [neurons].
_OF_NETWORK = ("connection", "tau", "delays", "delay_type", "inhibitory")


class LayerSettings(Group):
    """One layer; a missing setting has the value of the network's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: LayerKind = "linear"  #: ``linear``, ``conv``, ``max-pool`` or ``average-pool``
    size: int | None = Field(default=None, ge=1, le=1_000_000)  #: neurons of a linear layer, channels of a convolution
    #: size of the window of a convolution or pool, in each direction
    kernel: int | None = Field(default=None, ge=1, le=10_000)
    #: of the window; a pool's is its kernel where it is not given
    stride: int | None = Field(default=None, ge=1, le=10_000)
    padding: int = Field(default=0, ge=0, le=10_000)  #: zeros around what a convolution sees
    norm: bool = False  #: whether currents are normalised over time and batch (see ``izhi.network.BatchNorm``)
    #: of this layer's weights, where the network's are quantised, in place of theirs
    weight_bits: int | None = Field(default=None, ge=2, le=8)
    #: settings of [neurons], and of connection and delays, that this layer has of its own
    own: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _sorted(cls, value: object) -> object:
        """Settings of neurons and connection into ``own``."""
        if isinstance(value, int) and not isinstance(value, bool):
            return {"size": value}
        if not isinstance(value, Mapping):
            return value
        known = {name for name in NeuronSettings.model_fields if name != "kernel"} | set(_OF_NETWORK)
        found: dict[str, Any] = {}
        own = dict(value.get("own") or {})
        for name, one in value.items():
            if name in known:
                own[name] = one
            elif name in cls.model_fields:
                found[name] = one
            else:
                raise ValueError(str(unknown("setting of a layer", name, [*cls.model_fields, *sorted(known)])))
        return {**found, "own": own}

    @model_validator(mode="after")
    def _whole(self) -> LayerSettings:
        """Refuse what a layer of its kind does not have, or lacks."""
        needs: dict[str, tuple[str, ...]] = {"linear": ("size",), "conv": ("size", "kernel")}
        for name in needs.get(self.kind, ("kernel",)):
            if getattr(self, name) is None:
                raise ValueError(f"a {self.kind} layer with its {name}")
        lacks: dict[str, tuple[str, ...]] = {"conv": (), "linear": ("kernel", "stride", "padding")}
        for name in lacks.get(self.kind, ("size", "padding", "norm", "weight_bits", "own")):
            if getattr(self, name):
                raise ValueError(f"a {self.kind} layer without {name}")
        return self

    @property
    def text(self) -> str:
        """Its short form, without settings of its own."""
        return short_form(self)

    def table(self) -> dict[str, object]:
        """As TOML and JSON have it: what was given, and nothing else."""
        given = self.model_dump(mode="json", exclude_defaults=True)
        own = given.pop("own", {})
        return {"kind": self.kind, **given, **own}


def parsed(text: str) -> list[dict[str, object]]:
    """The tables of a short form; ValueError naming the layer that is none.

    conv 16x5, pool 2, conv 32x5 norm neuron=RS learn=a+b, average 2, 128
    """
    return [_table(part) for part in comma_separated(text)]


def _table(part: str) -> dict[str, object]:
    first, *words = part.split()
    if first not in WORDS:
        words = [first, *words]
        first = "linear"
    size = words.pop(0) if words else ""
    pattern = r"(?P<size>\d{1,7})x(?P<kernel>\d{1,7})" if first == "conv" else r"(?P<size>\d{1,7})"
    match = re.fullmatch(pattern, size)
    if match is None:
        raise ValueError(
            f"{shown(part)} among its layers, expected layers such as conv 16x5 (channels x kernel), pool 2, average 2"
            " or 128 (neurons)"
        )
    numbers = {name: int(value) for name, value in match.groupdict().items()}
    table: dict[str, object] = {"kind": WORDS[first], **numbers}
    if first in ("pool", "average"):
        table["kernel"] = table.pop("size")
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if word == "norm":
            table["norm"] = True
        elif equals:
            table[name] = value.replace("+", ",")
        else:
            raise ValueError(f"{shown(word)} in {shown(part)}, expected norm, or a setting such as stride=2")
    return table


Layers = Annotated[
    tuple[LayerSettings, ...],
    BeforeValidator(lambda value: parsed(value) if isinstance(value, str) else value),
    Field(max_length=1000),
]


def _resets_of(neurons: NeuronSettings, name: str) -> dict[str, Any]:
    """The default settings of the reset; none for a neuron of the network's model, if the network has a chosen one."""
    is_chosen = neurons.reset not in (None, neuron_spec(neurons.neuron).reset)
    if is_chosen and name in preset_names() and entry_of_preset(name) is entry_of_preset(neurons.neuron):
        return {}
    return {x: NeuronSettings.model_fields[x].default for x in ("reset", "v_reset", "q_decay", "q_damping")}


def own_groups(layer: LayerSettings, neurons: NeuronSettings, network: Group, place: str) -> tuple[Any, Any]:
    """Settings of neurons and network as they are for one layer; a SettingError names the layer."""
    of_network = {name: value for name, value in layer.own.items() if name in _OF_NETWORK}
    of_neurons = {name: value for name, value in layer.own.items() if name not in _OF_NETWORK}
    if "neuron" in of_neurons:  # what followed from the network's neuron follows from this one
        of_neurons = {"gain": None, "order": None, **_resets_of(neurons, str(of_neurons["neuron"])), **of_neurons}
    found = []
    for group, changes in ((neurons, of_neurons), (network, of_network)):
        try:
            found.append(type(group)(**{**group.model_dump(), **changes}))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = first["loc"][0] if first["loc"] else ""
            raise SettingError(f"{place}: {name} is {shown(first['input'])}; {first['msg']}") from None
    return found[0], found[1]
