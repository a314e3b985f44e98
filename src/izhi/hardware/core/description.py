"""The description of a core as a file, core.json, which ``izhi rtl`` writes and drivers read."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from izhi.errors import SettingError, shown
from izhi.files import problem
from izhi.hardware.core.shape import MOST_LAYERS, CoreShape, LayerShape, ReadoutShape, behind, names_of
from izhi.hardware.fixed import NEURONS, FixedPoint, Pool, Window
from izhi.hardware.fixed.bounds import MOST_DELAY, MOST_NEURONS

#: Fields of a layer that are formats.
_FORMATS = ("current", "v", "u")
#: Of the file; another one has other fields.
_VERSION = 2
#: The least and the most of each number that core.json may hold, and bytes of the file.
_LIMITS = {
    "inputs": (1, 1 << 16), "outputs": (1, 1 << 16), "steps": (1, 1_000_000), "largest_input": (1, 255),
    "weight_bits": (2, 8), "width": (2, 32), "fraction": (0, 30), "shift": (0, 63), "constants": (1, 64),
    "multiplier_bits": (1, 64), "bias_bits": (1, 64), "lanes": (1, 1 << 16), "units": (1, 1 << 16),
    "delay": (0, MOST_DELAY), "features": (1, MOST_NEURONS), "kernel": (1, MOST_NEURONS), "stride": (1, MOST_NEURONS),
    "padding": (0, MOST_NEURONS), "spikes": (1, 2),
}  # fmt: skip
_MOST_BYTES = 1 << 20


def to_json(shape: CoreShape) -> str:
    """A shape as text, for ``read``."""
    table = {"izhi core": _VERSION, **asdict(shape)}
    for layer, described in zip(shape.layers, table["layers"], strict=True):
        described.update({name: getattr(layer, name)._asdict() for name in _FORMATS})
        described["trace"] = None if layer.trace is None else layer.trace._asdict()
    return json.dumps(table, indent=2) + "\n"


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


def _shape(found: dict[str, object]) -> CoreShape:
    """The shape that a table describes; ValueError if it describes none."""
    if found.get("izhi core") != _VERSION:
        raise ValueError("another version")
    described = found.get("layers")
    if not isinstance(described, list) or set(found) != {"izhi core", *_names(CoreShape)}:
        raise ValueError("other fields")
    layers = tuple(_layer_shape(_table(layer)) for layer in described)
    readout, steps = None, _number("steps", found.get("steps"))
    if found["readout"] is not None:
        table = _table(found["readout"])
        _check_names(table, ReadoutShape)
        pools = _pools(table.pop("pools"), _number("inputs", table["inputs"]))
        readout = ReadoutShape(**{name: _number(name, value) for name, value in table.items()}, pools=pools)
    shape = CoreShape(layers, readout, steps)
    following = [layer.inputs for layer in layers[1:]] + ([] if readout is None else [readout.inputs])
    if following != [layer.outputs for layer in layers][: len(following)]:
        raise ValueError("layers of other sizes than those before them")
    if readout is not None and readout.steps != steps:
        raise ValueError("a readout of other steps")
    return shape


def _layer_shape(found: dict[str, object]) -> LayerShape:
    _check_names(found, LayerShape)
    kind, recurrent, constants = found.pop("kind"), found.pop("recurrent"), found.pop("constants")
    if not isinstance(kind, str) or kind not in NEURONS:
        raise ValueError(f"neurons of kind {shown(kind)}")
    if not isinstance(recurrent, bool):
        raise ValueError(f"recurrent {shown(recurrent)}")
    pools, window, trace = found.pop("pools"), found.pop("window"), found.pop("trace")
    values: dict[str, Any] = {name: _format(name, _table(found.pop(name))) for name in _FORMATS}
    values.update({name: _number(name, value) for name, value in found.items()})
    values["trace"] = None if trace is None else _format("trace", _table(trace))
    values["pools"] = _pools(pools, values["inputs"])
    values["window"] = None if window is None else _window(window, behind(values["pools"], values["inputs"]))
    if window is not None and (recurrent or values["outputs"] % values["window"].places):
        raise ValueError("a window that its layer cannot have")
    names = names_of(kind, trace is not None)
    if not isinstance(constants, list) or len(constants) != len(names):
        raise ValueError(f"constants {shown(constants)}, not the bits of {len(names)}")
    bits = tuple(_number("constants", value) for value in constants)
    return LayerShape(kind, recurrent=recurrent, constants=bits, **values)


def _pools(found: object, inputs: int) -> tuple[Pool, ...]:
    if not isinstance(found, list) or len(found) > MOST_LAYERS:
        raise ValueError(f"pools {shown(found)}, not a list of a few")
    pools: list[Pool] = []
    for one in found:
        table = _table(one)
        kind = table.get("kind")
        if set(table) != {"kind", "window"} or kind not in ("sum", "max"):
            raise ValueError(f"a pool {shown(table)}")
        pools.append(Pool(kind, _window(table["window"], inputs)))
        inputs = pools[-1].outputs
    return tuple(pools)


def _window(found: object, inputs: int) -> Window:
    """A window that has places, over so many features."""
    table = _table(found)
    if set(table) != {field.name for field in fields(Window)}:
        raise ValueError(f"a window {shown(table)}")
    sizes = [_number("features", table[name]) for name in ("channels", "height", "width")]
    pairs = {}
    for name in ("kernel", "stride", "padding"):
        pair = table[name]
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError(f"{name} {shown(pair)}, not two numbers")
        pairs[name] = (_number(name, pair[0]), _number(name, pair[1]))
    window = Window(sizes[0], sizes[1], sizes[2], **pairs)
    if window.inputs != inputs or not window.fits:
        raise ValueError(f"a window {shown(table)}, which does not fit {inputs:,} features")
    return window


def _format(name: str, found: dict[str, object]) -> FixedPoint:
    if set(found) != set(FixedPoint._fields):
        raise ValueError(f"{name} {shown(found)}, not width and fraction")
    return FixedPoint(_number("width", found["width"]), _number("fraction", found["fraction"]))


def _number(name: str, value: object) -> int:
    low, high = _LIMITS[name]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} {shown(value)}, not a whole number from {low:,} to {high:,}")
    return value


def _table(found: object) -> dict[str, object]:
    if not isinstance(found, dict):
        raise ValueError(f"{shown(found)} in place of a table")
    return found


def _names(kind: type[LayerShape | ReadoutShape | CoreShape]) -> set[str]:
    return {field.name for field in fields(kind)}


def _check_names(found: dict[str, object], kind: type[LayerShape | ReadoutShape]) -> None:
    if set(found) != _names(kind):
        raise ValueError(f"fields {shown(sorted(set(found) ^ _names(kind)))} too many or too few")
