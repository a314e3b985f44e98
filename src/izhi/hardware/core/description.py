"""The description of a core as a file, core.json, which ``izhi rtl`` writes and drivers read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from izhi.equation.integers import IntegerStep
from izhi.errors import SettingError, shown
from izhi.files import problem
from izhi.hardware.core.shape import CoreShape, LayerShape, MembraneShape, ReadoutShape
from izhi.hardware.fixed import NEURONS, FixedPoint, Pool, Window
from izhi.hardware.fixed.bounds import MOST_BITS, MOST_DELAY, MOST_FRACTION, MOST_NEURONS
from izhi.hardware.fixed.network import MOST_INPUT, MOST_STEPS

#: Of the file; another one has other fields.
_VERSION = 2
#: Of a list, such as the bits of each constant of a neuron; layers are limited by the file.
_MOST_VALUES = 64
#: The least and the most of each number that core.json may hold, and bytes of the file.
_LIMITS = {
    **dict.fromkeys(
        ("inputs", "outputs", "channels", "height", "width of a window", "kernel", "stride", "lanes", "units"),
        (1, MOST_NEURONS),
    ),
    "padding": (0, MOST_NEURONS), "steps": (1, MOST_STEPS), "largest_input": (1, MOST_INPUT), "weight_bits": (2, 8),
    "width": (2, MOST_BITS), "fraction": (0, MOST_FRACTION), "shift": (0, 63), "constants": (1, 64),
    "multiplier_bits": (1, 64), "bias_bits": (1, 64), "decay_bits": (1, 64), "delay": (0, MOST_DELAY), "spikes": (1, 2),
}  # fmt: skip
_MOST_BYTES = 1 << 20
#: Fields that a layer has only if the kind of its neurons has no name.
_OF_STEP = ("step", "initial", "others")
#: Fields that a readout has only if its scores are not sums of weights over time.
_OF_READING = ("membrane", "reads")


def to_json(shape: CoreShape) -> str:
    """A shape as text, for ``read``."""
    named = replace(shape, layers=tuple(replace(layer, step=None) for layer in shape.layers))
    table = {"izhi core": _VERSION, **asdict(named)}
    for layer, described in zip(shape.layers, table["layers"], strict=True):
        formats = {name: getattr(layer, name) for name in ("current", "v", "u", "trace")}
        described.update({name: None if x is None else x._asdict() for name, x in formats.items()})
        if layer.step is None:
            for name in _OF_STEP:
                del described[name]
        else:
            described.update(step=layer.step.table(), others=[x._asdict() for x in layer.others])
    if shape.readout is not None:
        _describe_reading(shape.readout, table["readout"])
    return json.dumps(table, indent=2) + "\n"


def _describe_reading(r: ReadoutShape, described: dict[str, Any]) -> None:
    """Leave out what older files do not have, where it is as there."""
    if r.membrane is None:
        del described["membrane"]
    else:
        described["membrane"].update(trace=r.membrane.trace._asdict(), current=r.membrane.current._asdict())
    if r.reads == "sum":
        del described["reads"]


def read(path: str | Path) -> CoreShape:
    """The shape in a file, core.json, that ``izhi rtl`` wrote.

    Raises:
        SettingError: if there is no such file, or it holds something else.
    """
    try:
        if Path(path).stat().st_size > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES:,} bytes")
        return _shape(_table(json.loads(Path(path).read_text())))
    except OSError as error:
        raise SettingError(f"cannot read {path}: {problem(error)}") from None
    except (ValueError, RecursionError) as error:
        raise SettingError(f"{path} describes no core ({error}), expected the core.json that izhi rtl writes") from None


def _shape(table: dict[str, object]) -> CoreShape:
    """The shape that a table describes; ValueError if it describes none."""
    if table.pop("izhi core", None) != _VERSION:
        raise ValueError("another version")
    if set(table) != _types(CoreShape).keys() or not isinstance(table["layers"], list):
        raise ValueError("other fields")
    shape: CoreShape = _decode(CoreShape, "a core", table)
    for layer in shape.layers:
        _check_layer(layer)
    if any(after.inputs != before.outputs for before, after in zip(shape.layers, shape.projections[1:], strict=False)):
        raise ValueError("layers of other sizes than those before them")
    if shape.readout is not None:
        _check_windows(shape.readout.pools, shape.readout.inputs)
        if shape.readout.steps != shape.steps:
            raise ValueError("a readout of other steps")
        if shape.readout.reads == "steps":
            raise ValueError("reads 'steps', not sum, max or last")
    return shape


def _decode(kind: Any, name: str, value: object) -> Any:
    """A value of a field's type; ValueError if it is none."""
    arguments = get_args(kind)
    if get_origin(kind) in (Union, UnionType):  # or None
        return None if value is None else _decode(arguments[0], name, value)
    if get_origin(kind) is tuple:
        return tuple(_decode(arguments[0], name, one) for one in _list(name, value, arguments))
    if kind is int:
        return _number(name, value)
    choices = {str: tuple(NEURONS), bool: (False, True)}.get(kind, arguments)
    if kind in (str, bool) or get_origin(kind) is Literal:
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            raise ValueError(f"{'neurons of kind' if kind is str else name} {shown(value)}")
        return value
    return _object(kind, name, _table(value))


def _object(kind: Any, name: str, table: dict[str, object]) -> Any:
    types, own = dict(_types(kind)), dict[str, Any]()
    if kind is LayerShape:
        own = _of_step(table) if "step" in table else {}
        table = {field: value for field, value in table.items() if field not in own}
        types = {field: of for field, of in types.items() if field not in (*_OF_STEP, *own)}
    if kind is ReadoutShape:
        types = {field: of for field, of in types.items() if field in table or field not in _OF_READING}
    if set(table) != types.keys():
        if kind in (LayerShape, ReadoutShape):
            raise ValueError(f"fields {shown(sorted(set(table) ^ types.keys()))} too many or too few")
        raise ValueError(f"{_ARTICLES[kind] or name} {shown(table)}{', not width and fraction' * (kind is FixedPoint)}")
    limits = {"width": "width of a window"} if kind is Window else {}
    return kind(**own, **{field: _decode(of, limits.get(field, field), table[field]) for field, of in types.items()})


def _of_step(table: dict[str, object]) -> dict[str, Any]:
    """The fields of a layer whose neurons' kind has no name."""
    step = IntegerStep.of_table(_table(table["step"]))
    initial = _list("initial", table.get("initial"), (str, Ellipsis))
    if not set(map(str, initial)) <= {f"{x}0" for x in step.states}:
        raise ValueError(f"initial {shown(initial)}, not names of states with a 0")
    others = _decode(tuple[FixedPoint, ...], "others", table.get("others"))
    if len(others) != max(0, len(step.states) - 2):
        raise ValueError(f"formats of {2 + len(others)} states, not of {len(step.states)}")
    return {"kind": str(table.get("kind")), "step": step, "initial": tuple(map(str, initial)), "others": others}


_ARTICLES = {FixedPoint: "", Window: "a window", Pool: "a pool", MembraneShape: "a membrane"}


@cache
def _types(kind: Any) -> dict[str, Any]:
    """The type of each field."""
    hints, own = get_type_hints(kind), getattr(kind, "_fields", None)
    return {name: hints[name] for name in own or [field.name for field in fields(kind)]}


def _list(name: str, value: object, arguments: Sequence[Any]) -> list[object]:
    """A list of as many values as a type has, or of a few."""
    if not isinstance(value, list) or (len(value) > _MOST_VALUES and name != "layers"):
        raise ValueError(f"{name} {shown(value)}, not a list of a few")
    if arguments[-1] is not Ellipsis and len(value) != len(arguments):
        raise ValueError(f"{name} {shown(value)}, not two numbers")
    return value


def _check_layer(layer: LayerShape) -> None:
    _check_windows([*layer.pools, *([] if layer.window is None else [layer.window])], layer.inputs)
    if layer.window is not None and (layer.recurrent or layer.outputs % layer.places):
        raise ValueError("a window that its layer cannot have")
    if len(layer.constants) != len(layer.names):
        raise ValueError(f"constants {shown(list(layer.constants))}, not the bits of {len(layer.names)}")


def _check_windows(windows: Sequence[Pool | Window], inputs: int) -> None:
    """Raise ValueError unless each window fits the features behind the one before."""
    for each in windows:
        window = each.window if isinstance(each, Pool) else each
        if window.inputs != inputs or not window.fits:
            raise ValueError(f"a window {shown(asdict(window))}, which does not fit {inputs:,} features")
        inputs = window.channels * window.places


def _number(name: str, value: object) -> int:
    low, high = _LIMITS[name]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} {shown(value)}, not a whole number from {low:,} to {high:,}")
    return value


def _table(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} in place of a table")
    return dict(value)
