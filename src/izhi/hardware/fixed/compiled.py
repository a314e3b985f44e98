"""The operations of izhi.hardware.fixed.arithmetic for Numba, which compiles them for single numbers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from numba.extending import overload, register_jitable

from izhi.hardware.fixed import arithmetic

#: What Numba computes with, in types of its own.
Value: TypeAlias = Any

for _word in (arithmetic.rounded_shift, arithmetic.aligned, arithmetic.clamped, arithmetic.saturated):
    register_jitable(_word)


@overload(arithmetic.chosen, strict=False)  # type: ignore[untyped-decorator]
def _chosen(condition: Value, yes: Value, no: Value) -> Value:
    return lambda condition, yes, no: yes if condition else no


def source_number(*modules: ModuleType, text: str = "") -> int:
    """A hash of the sources of modules, and of a text.

    Numba's cache on disk identifies a function by its own file and its closure. A kernel made of functions of other
    files has their hash in its closure, and is compiled again when they change.
    """
    sources = b"".join(Path(str(module.__file__)).read_bytes() for module in modules)
    return int.from_bytes(hashlib.sha256(sources + text.encode()).digest()[:7], "little")
