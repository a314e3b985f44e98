"""The experiment: groups of settings, read from TOML, overridden from the command line, saved.

Every setting is an option of the command line of the same name (``learning_rate``, ``--learning-rate``) and a
key of the TOML file, in the table of its group (``[training]``) or at the top. What is left at None is
chosen by ``Experiment.resolved`` from other settings, and the saved configuration holds what was chosen.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from izhi.data.catalogue import kind_of, require_known
from izhi.deprecation import renamed_keys
from izhi.errors import SettingError, shown, unknown
from izhi.experiments.settings import groups
from izhi.experiments.settings.checks import Samples, check
from izhi.experiments.settings.fields import Group
from izhi.experiments.settings.groups import FIELDS, GROUP_OF, GROUPS, RENAMED
from izhi.experiments.settings.neurons import NeuronSettings
from izhi.files import problem
from izhi.spec import NEURONS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


#: Mistakes of a file that its error names.
_MOST = 5
#: Kinds of mistakes with a good message of pydantic; ``_EXPECTED`` has messages for the others, by the first word.
_SAYS_IT = (
    "value_error", "literal_error", "finite_number", "greater_than", "greater_than_equal", "less_than",
    "less_than_equal",
)  # fmt: skip
_EXPECTED = {
    "int": "a whole number",
    "float": "a valid number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list",
    "dict": "a table of names and numbers",
}


class Experiment(Group):
    """Everything that decides the numbers of a run."""

    data: groups.DataSettings = groups.DataSettings()
    coding: groups.CodingSettings = groups.CodingSettings()
    augmentation: groups.AugmentationSettings = groups.AugmentationSettings()
    neurons: NeuronSettings = NeuronSettings()
    network: groups.NetworkSettings = groups.NetworkSettings()
    quantization: groups.QuantizationSettings = groups.QuantizationSettings()
    training: groups.TrainingSettings = groups.TrainingSettings()
    evolution: groups.EvolutionSettings = groups.EvolutionSettings()
    machine: groups.MachineSettings = groups.MachineSettings()

    def get(self, name: str) -> Any:
        """The setting of that name, whatever group it is in."""
        return getattr(getattr(self, GROUP_OF[name]), name)

    def flat(self, *, plain: bool = False) -> dict[str, object]:
        """All settings by their names; ``plain`` for values that JSON and checkpoints hold."""
        tables = self.model_dump(mode="json" if plain else "python")
        return {name: value for table in tables.values() for name, value in table.items()}

    def replace(self, **changes: object) -> Experiment:
        """A copy with some settings changed, checked as a whole; SettingError if they do not fit."""
        return experiment({**self.flat(), **changes})

    def resolved(self) -> Experiment:
        """A copy in which dependent settings are chosen, checked as a whole; SettingError if they do not fit."""
        coding, neurons, network = self.coding, self.neurons, self.network
        window, is_series = kind_of(self.data.dataset)
        if self.data.over_time is not None:
            is_series = self.data.over_time
        samples: Samples = "events" if window is not None else "series" if is_series else "values"
        usual = check(self, samples)
        chosen: dict[str, dict[str, object]] = {
            "coding": {
                "encoding": coding.encoding or {"events": "events", "series": "current", "values": "rate"}[samples],
                "window": coding.window or window,
            },
            "neurons": {
                "gain": usual.gain if neurons.gain is None else neurons.gain,
                "order": neurons.order or usual.order,
                "reset": neurons.reset or usual.reset,
            },
            "network": {"readout": network.readout or usual.readout},
        }
        return self.model_copy(
            update={place: getattr(self, place).model_copy(update=values) for place, values in chosen.items()}
        )

    def to_toml(self, header: str = "") -> str:
        """The configuration as TOML text, a table for each group, headed by comment lines."""
        comment = "".join(f"# {line}\n" for line in header.splitlines())
        tables = {
            place: {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in table.items()
                if value is not None
            }
            for place, table in self.model_dump().items()
        }
        return comment + str(tomli_w.dumps(tables))


def flattened(values: Mapping[str, object], *, warn: bool = False) -> dict[str, object]:
    """Settings in tables of their groups, at the top, or both, all at the top and under their present names.

    Args:
        values: settings by name, or tables of them by group.
        warn: whether old names give a ``RenamedWarning``.

    Raises:
        SettingError: for a group that is no table, a setting in another group's table, or one given twice.
    """
    found: dict[str, object] = {}
    values = _renamed(values, warn)
    for name, value in values.items():
        if name not in GROUPS:
            found[name] = value
            continue
        if not isinstance(value, Mapping):
            raise SettingError(f"{name} is {shown(value)}, expected a table [{name}] of settings")
        for own, inner in _renamed(value, warn).items():
            if own in GROUP_OF and GROUP_OF[own] != name:
                raise SettingError(f"{own} stands in [{name}], expected [{GROUP_OF[own]}], or the top of the file")
            if own in values:
                raise SettingError(f"{own} is given at the top and in [{name}]; leave one out")
            found[own] = inner
    return _with_own_resets(found)


#: Settings of a whole configuration that was saved before every neuron had resets, and one that it lacks.
_SAVED, _LACKS = {"neuron", "beta", "reset", "slope", "jacobian_limit"}, "q_decay"


def _with_own_resets(values: dict[str, object]) -> dict[str, object]:
    """Settings as they are now; whole ones that were saved before hold a reset which LIF alone had, and others ignored.

    It stays at what is LIF, and is left out at what is not: all those neurons were reset to a value of their own.
    """
    if _LACKS in values or not values.keys() >= _SAVED:
        return values
    usual, presets = {"reset": "subtract", "v_reset": 0.0}, NEURONS["lif"].presets
    is_lif = values["neuron"] in presets
    own = {} if is_lif else {name: values[name] for name, x in usual.items() if values.get(name, x) != x}

    def of_layer(layer: object) -> object:
        if not isinstance(layer, Mapping):
            return layer
        if layer.get("neuron", values["neuron"]) in presets:
            return {**own, **layer}
        return {name: x for name, x in layer.items() if name not in usual}

    layers = values.get("layers")
    if isinstance(layers, Sequence) and not isinstance(layers, str):
        values["layers"] = [of_layer(layer) for layer in layers]
    if not is_lif:
        values = {name: x for name, x in values.items() if name not in usual}
    return {**values, _LACKS: FIELDS[_LACKS].default}


def _renamed(values: Mapping[str, object], warn: bool) -> Mapping[str, object]:
    """Settings under their present names."""
    if warn:
        return renamed_keys(values, RENAMED, "the setting {}", stacklevel=3)
    for old, new in RENAMED.items():
        if old in values and new in values:
            raise SettingError(f"{old!r} is given beside {new!r}, its new name; leave {old!r} out")
    return {RENAMED.get(name, name): value for name, value in values.items()}


def experiment(values: Mapping[str, object]) -> Experiment:
    """A checked, resolved Experiment; every mistake in values in one SettingError of one line."""
    return _of(values).resolved()


def saved_experiment(values: Mapping[str, object]) -> Experiment:
    """The Experiment of a saved run; as it is where its data set is not known here, since it was resolved with it."""
    e = _of(values)
    try:
        require_known(e.data.dataset)
    except SettingError:
        return e
    return e.resolved()


def _of(values: Mapping[str, object]) -> Experiment:
    """An Experiment whose settings are each of their type, and not yet checked together."""
    flat = flattened(values)
    odd = [str(unknown("setting", name, FIELDS)) for name in flat if name not in FIELDS]
    tables: dict[str, dict[str, object]] = {}
    for name, value in flat.items():
        if name in FIELDS:
            tables.setdefault(GROUP_OF[name], {})[name] = value
    try:
        found = Experiment(**tables)  # type: ignore[arg-type]
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
        more = [f"and {len(mistakes) - _MOST} more"] if len(mistakes) > _MOST else []
        raise SettingError("; ".join([*odd, *map(_mistake, mistakes[:_MOST]), *more])) from None
    except OverflowError:  # of pydantic, for a whole number that no float holds
        name, value = next((n, v) for n, v in flat.items() if isinstance(v, int) and abs(v) > 2**63)
        raise SettingError(f"{name} is {shown(value)}, expected a number of at most 64 bits") from None
    if odd:
        raise SettingError("; ".join(odd))
    return found


def typed(values: Mapping[str, object]) -> dict[str, object]:
    """Settings as plain values of their own types, where the command line gives text."""
    plain = _of(values).flat(plain=True)
    return {name: plain[name] for name in flattened(values)}


def _mistake(error: ErrorDetails) -> str:
    name = ".".join(str(part) for part in error["loc"][1:])
    kind = error["type"]
    if kind in _SAYS_IT:
        text = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ").removeprefix("expected ")
    elif kind == "too_long":
        text = f"at most {error['ctx']['max_length']} of them"
    else:
        text = _EXPECTED.get(kind.partition("_")[0], "a value of another kind")
    return f"{name} is {shown(error['input'])}, expected {text}"


def read(path: Path, *, warn: bool = False) -> dict[str, object]:
    """The settings of a TOML file, see ``flattened``; SettingError if it is missing or no TOML."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SettingError(f"cannot read {path}: {problem(error)}") from None
    return parsed(data, path, warn=warn)


def parsed(data: bytes, path: Path, *, warn: bool = False) -> dict[str, object]:
    """The settings in the content of a TOML file, see ``flattened``; SettingError if it is no TOML."""
    try:
        return flattened(tomllib.loads(data.decode()), warn=warn)
    except RecursionError:
        raise SettingError(f"{path} holds values within values without end, expected tables of settings") from None
    except ValueError as error:  # no TOML, no UTF-8, or a number that is too long
        raise SettingError(f"{path} is not valid TOML: {error}") from None
