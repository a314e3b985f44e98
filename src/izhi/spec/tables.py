"""Dataclasses as tables of plain values, as JSON and TOML hold them, and tables as dataclasses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from izhi.errors import SettingError, shown, unknown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: Features of one step of one sample, channels first.
Shape = tuple[int, ...]
#: Plain values by name.
Table: TypeAlias = dict[str, object]
Spec = TypeVar("Spec")

_PLAIN = {int: "a whole number", float: "a number", str: "a text"}
_hints = cache(get_type_hints)


def write(spec: object, kind: type | None = None) -> Table:
    """The fields of a dataclass that are not None; only those of the class ``kind``, if one is given."""
    own = kind or type(spec)
    assert is_dataclass(own), "dataclasses have fields"
    values = {field.name: getattr(spec, field.name) for field in fields(own)}
    return {name: _plain(value) for name, value in values.items() if value is not None}


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(x) for x in value]
    return write(value) if is_dataclass(value) else value


def read(kind: Callable[..., Spec], table: object, /, **known: object) -> Spec:
    """The dataclass of a table, which may lack fields with a default, and hold others.

    Args:
        kind: the dataclass.
        table: values by the names of fields.
        known: fields that are not read from the table.

    Raises:
        SettingError: for a value of another type than its field.
    """
    if not isinstance(table, Mapping):
        raise SettingError(f"{shown(table)} is no table, expected names and values")
    names = {field.name for field in fields(cast("type[DataclassInstance]", kind))} & table.keys() - known.keys()
    return kind(**{name: _typed(name, table[name], _hints(kind)[name]) for name in names}, **known)


def _typed(name: str, value: object, hint: object) -> object:
    """A value as the annotation of its field has it."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):  # with None, or one value or many
        of_many = [x for x in inner if get_origin(x) is tuple]
        kind = of_many[0] if of_many and isinstance(value, (list, tuple)) else inner[0]
        return None if value is None else _typed(name, value, kind)
    if origin is Literal:
        if value not in inner:
            raise unknown(name, value, inner)
        return value
    if origin is tuple:
        if inner[0] is int:
            return sizes_of(value)
        return tuple(_typed(name, x, inner[0]) for x in value) if isinstance(value, (list, tuple)) else value
    if hint is bool:
        return bool(value)
    if isinstance(hint, type) and hint in _PLAIN:
        if isinstance(value, bool) or not isinstance(value, (int, float) if hint is float else hint):
            raise SettingError(f"{name} is {shown(value)}, expected {_PLAIN[hint]}")
        return value
    assert callable(hint), "all other fields are dataclasses"
    return read(hint, value)


def sizes_of(value: object) -> Shape:
    """Whole numbers, 0 or more, of one or a list; SettingError for anything else."""
    each: Sequence[object] = value if isinstance(value, (list, tuple)) else [value]
    sizes = tuple(x for x in each if type(x) is int and x >= 0)
    if len(sizes) < len(each):
        raise SettingError(f"a size is {shown(value)}, expected whole numbers")
    return sizes


__all__ = ["Shape", "Table"]
