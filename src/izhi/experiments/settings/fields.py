"""How a setting is declared: its default, what it is, and what it decides; and types that text can give."""

from __future__ import annotations

import math
from contextlib import suppress
from enum import Flag, auto
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationError,
)
from pydantic.fields import FieldInfo


class Mark(Flag):
    """What a setting decides. Every list of settings in the program is made from these."""

    NONE = 0
    #: Listed by --help, not only by --help-all.
    COMMON = auto()
    #: How samples become spikes: an artifact keeps it.
    CODES = auto()
    #: Shape or meaning of the weights: a checkpoint of another value is another network's.
    SHAPES = auto()
    #: May differ when a run is resumed.
    MAY_CHANGE = auto()
    #: The same in all trials of a search.
    SAME_IN_TRIALS = auto()
    #: The same in all variants of a comparison.
    SAME_IN_VARIANTS = auto()
    #: May be chosen anew when a trained network is evaluated, or quantised.
    OF_EVALUATION = auto()
    OF_QUANTIZING = auto()
    #: Of evolution on a device, where the artifact decides all others.
    ON_DEVICE = auto()
    #: Of files alone: no text of a command line holds it.
    OF_FILES = auto()
    #: Of recorded events alone, of time series, or of embedded data sets.
    OF_EVENTS = auto()
    OF_SERIES = auto()
    OF_EMBEDDED = auto()


class Group(BaseModel):
    """Settings that belong together."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def setting(default: Any, about: str, marks: Mark = Mark.NONE, **limits: Any) -> Any:
    """A field of a Group.

    Args:
        default: None for what is chosen from other settings.
        marks: what it decides.
        limits: of pydantic's Field, such as ``ge=1``.
    """
    if any(limit in limits for limit in ("gt", "ge", "lt", "le")):
        limits.setdefault("allow_inf_nan", False)
    return Field(default, description=about, json_schema_extra={"marks": marks.value}, **limits)


def marks_of(field: FieldInfo) -> Mark:
    """The marks that a field was declared with."""
    extra = field.json_schema_extra
    value = extra.get("marks", 0) if isinstance(extra, dict) else 0
    return Mark(value if isinstance(value, int) else 0)


def comma_separated(text: str) -> list[str]:
    """The parts of a text between commas, but for empty ones."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _parts(value: object) -> object:
    """A comma-separated string as a list, so that one syntax serves the command line."""
    return comma_separated(value) if isinstance(value, str) else value


def _limits(value: object) -> object:
    """One number as a range of both its limits."""
    parts = _parts(value)
    if isinstance(parts, (int, float)):
        return [parts, parts]
    return parts * 2 if isinstance(parts, list) and len(parts) == 1 else parts


def _shares(value: object) -> object:
    """``RS=.5,FS=.5`` as a mapping."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in comma_separated(value)]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError("expected shares such as RS=.5,FS=.5")
    return {name.strip(): share.strip() for name, _, share in pairs}


_SEED = TypeAdapter(Annotated[int, Field(ge=0, lt=2**32)])


def _seed_or_file(value: object) -> int | str:
    if isinstance(value, str) and value.endswith(".npz"):
        return value
    with suppress(ValidationError, OverflowError):
        if not isinstance(value, bool):
            return _SEED.validate_python(value)
    raise ValueError(f"expected a seed from 0 to {2**32 - 1}, or a file .npz")


def _not_nan(value: float) -> float:
    if math.isnan(value):
        raise ValueError("expected a number above 0, or inf")
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_parts)]
Widths = Annotated[
    tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...], BeforeValidator(_parts), Field(max_length=1000)
]
#: Two numbers above 0.
Range = Annotated[
    tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], Annotated[float, Field(gt=0, allow_inf_nan=False)]],
    BeforeValidator(_limits),
]
Shares = Annotated[dict[str, Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]], BeforeValidator(_shares)]
#: The seed that draws something, or the file that holds it.
SeedOrFile = Annotated[int | str, PlainValidator(_seed_or_file)]
#: A number above 0 that may be infinite, which JSON holds as the text "inf".
MaybeInfinite = Annotated[
    float, Field(gt=0), AfterValidator(_not_nan),
    PlainSerializer(lambda value: "inf" if math.isinf(value) else value, when_used="json"),
]  # fmt: skip
