"""Old names work, and warn with the new ones where they are used."""

from __future__ import annotations

import sys
import types
import warnings

import pytest

from izhi.deprecation import (
    RenamedWarning,
    renamed_arguments,
    renamed_attribute,
    renamed_keys,
    renamed_names,
    warn_renamed,
)
from izhi.errors import SettingError


@renamed_arguments(unit="scale")
def scaled(value: float, scale: float = 1.0, other: int = 0) -> float:
    return value * scale + other


class Tank:
    level = 3
    height = renamed_attribute("height", "level")

    @renamed_arguments(volume="size")
    def __init__(self, size: int = 1) -> None:
        self.size = size


def warned(function: object, *args: object, **kwargs: object) -> tuple[object, str]:
    with pytest.warns(RenamedWarning) as caught:
        result = function(*args, **kwargs)  # type: ignore[operator]
    assert [x.filename for x in caught] == [__file__], "a warning names the line that uses the old name"
    return result, str(caught[0].message)


def test_a_module_has_its_old_names(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("tank")
    monkeypatch.setitem(sys.modules, "tank", module)
    module.Vessel = Tank  # type: ignore[attr-defined]
    get = renamed_names("tank", {"Tub": "Vessel", "floor": "math:floor"})
    result, message = warned(lambda: get("Tub"))
    assert result is Tank
    assert message.startswith("tank.Tub is now tank.Vessel;")
    result, message = warned(lambda: get("floor"))
    assert result(1.5) == 1
    assert "math.floor" in message
    with pytest.raises(AttributeError, match="module 'tank' has no attribute 'Cup'"):
        get("Cup")
    assert renamed_names("tank", {}, lambda name: name.upper())("cup") == "CUP"


def test_a_function_takes_old_keyword_arguments() -> None:
    assert scaled(2, scale=3) == 6
    result, message = warned(lambda: scaled(2, unit=3, other=1))  # type: ignore[call-arg]
    assert result == 7
    assert message.startswith("the argument 'unit' of scaled is now 'scale';")
    tank, message = warned(lambda: Tank(volume=5))  # type: ignore[call-arg]
    assert tank.size == 5
    assert "of Tank" in message
    with pytest.raises(SettingError, match="'unit' is given beside 'scale'"), pytest.warns(RenamedWarning):
        scaled(2, unit=3, scale=4)  # type: ignore[call-arg]


def test_settings_take_old_keys() -> None:
    assert renamed_keys({"size": 1}, {"width": "size"}) == {"size": 1}
    result, message = warned(lambda: renamed_keys({"width": 1, "other": 2}, {"width": "size"}, "the setting {}"))
    assert result == {"size": 1, "other": 2}
    assert message.startswith("the setting 'width' is now 'size';")
    with pytest.raises(SettingError, match="'width' is given beside 'size'"), pytest.warns(RenamedWarning):
        renamed_keys({"width": 1, "size": 2}, {"width": "size"})


def test_an_attribute_has_its_old_name() -> None:
    result, message = warned(lambda: Tank().height)
    assert result == 3
    assert message.startswith("Tank.height is now Tank.level;")


def test_a_line_warns_once() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            warn_renamed("old", "new", stacklevel=1)
    assert [x.category for x in caught] == [RenamedWarning]
