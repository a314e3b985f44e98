"""The values over which hyperparameters are searched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from izhi.errors import SettingError, unknown
from izhi.experiments.settings import FIELDS, Mark, marked
from izhi.experiments.settings.choices import USUAL_SEARCH

if TYPE_CHECKING:
    from optuna import Trial

_LOGARITHMIC = 10.0


@dataclass(frozen=True)
class Range:
    """Values that a setting may take: from low to high, or one of some choices."""

    neuron: str | None  #: the only neuron whose variants it concerns; None for all
    name: str  #: name of the setting
    low: float = 0.0  #: limits, both included; high is ten times low or more: searched by its logarithm
    high: float = 0.0  #: limits, both included; high is ten times low or more: searched by its logarithm
    choices: tuple[str, ...] = ()  #: given in place of limits

    @property
    def is_whole(self) -> bool:
        """Whether the setting takes whole numbers only."""
        return FIELDS[self.name].annotation is int

    def concerns(self, neuron: str) -> bool:
        """Whether the search applies to variants of that neuron."""
        return self.neuron in (None, neuron)

    def holds(self, value: object) -> bool:
        """Whether the search includes a value."""
        if self.choices:
            return str(value) in self.choices
        return isinstance(value, (int, float)) and self.low <= value <= self.high

    @property
    def is_logarithmic(self) -> bool:
        """Whether it is searched by its logarithm."""
        return self.low > 0 and self.high >= _LOGARITHMIC * self.low

    def suggest(self, trial: Trial) -> object:
        """A value for a trial."""
        if self.choices:
            return trial.suggest_categorical(self.name, self.choices)
        if self.is_whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.is_logarithmic)
        return trial.suggest_float(self.name, self.low, self.high, log=self.is_logarithmic)

    def at(self, share: float) -> object:
        """The value at a share between low and high, 0 to below 1; of choices the one at that share."""
        if self.choices:
            return self.choices[
                int(share * len(self.choices) + 1e-9)
            ]  # a border counts as passed, whatever its last bits
        if self.is_logarithmic:
            value = self.low * (self.high / self.low) ** share
        else:
            value = self.low + share * (self.high - self.low)
        return round(value) if self.is_whole else float(f"{value:.4g}")


def parse_search(text: str) -> list[Range]:
    """Ranges from ``[neuron.]setting=low..high`` or ``=one|another``, comma-separated.

    Raises:
        SettingError: for what is not of that form, an unknown setting, or one that must not differ
            between trials.
    """
    ranges = []
    for item in (piece.strip() for piece in text.split(",") if piece.strip()):
        left, equals, values = item.partition("=")
        neuron, dot, name = left.strip().rpartition(".")
        name = name.replace("-", "_")
        if not equals or not values:
            raise SettingError(f"search has {item!r}, expected setting=low..high or setting=a|b")
        if name not in FIELDS:
            raise unknown("setting", name, FIELDS)
        if name in marked(Mark.SAME_IN_TRIALS):
            raise SettingError(f"search names {name}, which is the same in all trials; leave it out")
        only = neuron if dot else None
        if ".." not in values:
            ranges.append(Range(only, name, choices=tuple(v.strip() for v in values.split("|"))))
            continue
        try:
            low, high = (float(v) for v in values.split(".."))
        except ValueError:
            raise SettingError(f"search has {item!r}, expected numbers low..high") from None
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise SettingError(f"search has {item!r}, expected low below high")
        ranges.append(Range(only, name, low, high))
    if not ranges:
        raise SettingError("search names no setting, expected some such as " + USUAL_SEARCH)
    return ranges
