"""The common interface of the results in folders, for pages and figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from matplotlib.figure import Figure
from pydantic import BaseModel, Field, ValidationError

from izhi import files
from izhi.errors import RunFolderError, SettingError, shown
from izhi.experiments import plots, saved
from izhi.experiments.charts import Chart
from izhi.experiments.settings import FIELDS, GROUPS, experiment
from izhi.experiments.tables import Table

#: Bytes of a file of results, and characters of a text in a figure.
_LARGEST, LONGEST = 64 << 20, 200

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=1 << 53)]
#: The value of a setting that a search tried, or that a command was given.
Plain = bool | int | Number | str | None

#: A figure with that title, and labels in place of its own, if any.
Drawing = Callable[[str, Sequence[str] | None], Figure]
Value = TypeVar("Value")
R = TypeVar("R", bound="FolderResult")


@dataclass(frozen=True)
class Chosen:
    """Settings under a name, and their default values where they have one."""

    name: str
    values: Mapping[str, object]
    usual: Mapping[str, object]


class FolderResult(BaseModel):
    """The results of a command in a text file of its folder."""

    FILE: ClassVar[str]  #: name of the file
    PICTURES: ClassVar[Mapping[str, str]]  #: figures that commands write beside it, and their captions

    command: str = ""  #: the command line; empty if unknown
    versions: dict[str, str] = {}  #: versions of the packages that its numbers depend on

    @classmethod
    def read(cls: type[R], folder: Path) -> R:
        """The results in a folder.

        Raises:
            FileError: if they cannot be read.
            RunFolderError: if they are damaged or too large.
        """
        path = folder / cls.FILE
        try:
            result = cls.model_validate_json(saved.whole(path, _LARGEST))
        except ValidationError as error:
            mistake = error.errors(include_url=False)[0]
            field = ".".join(map(str, mistake["loc"])) or "it"
            raise RunFolderError(f"{path} is damaged: {shown(field)[1:-1]}: {mistake['msg']}") from None
        for text in (result.title, *result.labels()):
            if len(text) > LONGEST:
                raise RunFolderError(f"{path} has {shown(text)}, expected at most {LONGEST} characters in a figure")
        return result

    @classmethod
    def keep(cls: type[R], folder: Path, values: Mapping[str, object]) -> R:
        """Write values and their figures into a folder, each whole or not at all; the results that they contain."""
        files.write_bytes(folder / cls.FILE, (json.dumps(values, indent=2) + "\n").encode())
        result = cls.model_validate(values)
        for name, draw in result.drawings().items():
            plots.save(draw(result.title, None), folder / f"{name}.png")
        return result

    @property
    def title(self) -> str:
        """The title of its page and its figures."""
        raise NotImplementedError

    def labels(self) -> list[str]:
        """Labels of the lines in its figures; empty for fixed ones."""
        return []

    def tables(self) -> list[Table]:
        """Tables of its numbers, the most important ones first."""
        raise NotImplementedError

    def charts(self, labels: Sequence[str] | None = None) -> list[Chart]:
        """Its charts, with other labels in place of ``labels()`` if there are any."""
        raise NotImplementedError

    def chosen(self) -> list[Chosen]:
        """Its settings."""
        raise NotImplementedError

    def drawings(self) -> Mapping[str, Drawing]:
        """Its figures by name, the main one first; RunFolderError if it lacks their numbers."""
        return {next(iter(self.PICTURES)).removesuffix(".png"): self.figure}

    def figure(self, title: str, labels: Sequence[str] | None = None) -> Figure:
        """Its charts under a title, with other labels in place of ``labels()`` if there are any."""
        if labels is not None and not self.labels():
            (name,) = self.drawings()
            raise SettingError(f"labels are {shown('; '.join(labels))}, but those of {name} stay; leave them out")
        chosen = None if labels is None else list(labelled(dict.fromkeys(self.labels()), labels))
        return plots.panels(self.charts(chosen), title)


def in_groups(settings: Mapping[str, object]) -> list[Chosen]:
    """Settings of an experiment in their groups, with their defaults."""
    groups = {name: {n: settings[n] for n in group.model_fields if n in settings} for name, group in GROUPS.items()}
    resolved = _resolved(settings)
    return [
        Chosen(name, values, {n: resolved.get(n, v) for n, v in GROUPS[name]().model_dump(mode="json").items()})
        for name, values in groups.items() if values
    ]  # fmt: skip


#: Settings whose default follows from others; saved configurations hold what was chosen.
_RESOLVED = ("encoding", "window", "gain", "order", "reset", "readout")


def _resolved(settings: Mapping[str, object]) -> dict[str, object]:
    """The defaults that follow from the other settings; none of them if these are not known or do not fit."""
    if not {"dataset", "neuron"} <= settings.keys():
        return {}
    try:
        e = experiment({n: v for n, v in settings.items() if n in FIELDS and n not in _RESOLVED})
    except SettingError:
        return {}
    return {name: e.get(name) for name in _RESOLVED}


def shared(configs: Sequence[Mapping[str, Any]]) -> list[Chosen]:
    """Settings that several experiments have in common, in their groups; unknown ones are left out."""
    first, *others = configs
    same = {n: v for n, v in first.items() if n in FIELDS and all(n in x and x[n] == v for x in others)}
    return in_groups(same)


def labelled(curves: Mapping[str, Value], labels: Sequence[str] | None) -> dict[str, Value]:
    """The same under other labels, if any are given; SettingError if they are not as many."""
    if labels is None:
        return dict(curves)
    if len(labels) != len(curves) or len({*labels}) != len(labels) or not all(labels):
        raise SettingError(
            f"labels are {shown('; '.join(labels))}, expected {len(curves)} different ones, separated by semicolons,"
            f" for {shown('; '.join(curves))}"
        )
    return dict(zip(labels, curves.values(), strict=True))


def per_cent(shares: Sequence[float]) -> list[float]:
    """Shares in per cent."""
    return [100 * x for x in shares]
