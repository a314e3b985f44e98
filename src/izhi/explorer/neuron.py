"""The tab of neurons: the biological Izhikevich model, the normalised one, a resonator, LIF, one of the user's own."""

from __future__ import annotations

from dataclasses import dataclass

from bokeh.models import ColumnDataSource, Model, Range1d

from izhi.equation import NeuronModel
from izhi.explorer.panels import CustomPanel, IzhikevichPanel, LIFPanel, NeuronPanel, ResonatorPanel, Shared, slider
from izhi.explorer.pictures import picture
from izhi.spec import PATTERNS, PRESETS, IzhikevichParameters

#: Duration of a constant current at first, ms or steps.
_DURATION = 300.0
#: The current under which the pictures of neurons without a stimulus of their own are drawn.
_PICTURED = {"mV": 10.0, "1": 0.1}


@dataclass(frozen=True)
class Preset:
    """A preset as a picture to choose it by."""

    name: str  #: its name
    svg: str  #: its picture
    is_chosen: bool  #: whether the page begins with it


class NeuronPage:
    """The tab of neurons.

    Args:
        own: a neuron of the user's own beside the others.
    """

    def __init__(self, own: NeuronModel | None = None) -> None:
        self.duration = slider("duration", "duration (ms, or steps)", 50, 1000, 5, _DURATION)
        now = ColumnDataSource({"time": []}, name="now", syncable=False)
        self._shared = Shared(self.duration, Range1d(0, _DURATION, name="time"), now)
        biological = IzhikevichPanel("biological", _parameters("mV"), "RS", self._shared)
        panels: list[NeuronPanel] = [
            biological,
            ResonatorPanel(self._shared),
            LIFPanel(self._shared),
            IzhikevichPanel("normalised", _parameters("1"), "normalized", self._shared),
        ]
        if own is not None:
            panels.insert(0, CustomPanel(own, self._shared))
        self.panels: dict[str, NeuronPanel] = {panel.name: panel for panel in panels}
        self.duration.on_change("value", lambda attribute, old, new: self._update())
        biological.preset.on_change("value", lambda attribute, old, new: self._last_as(old, new))
        biological.stimulus.on_change("value", lambda attribute, old, new: self._fit())
        self._fit()

    @property
    def roots(self) -> list[Model]:
        """All models of the tab, by whose names the page has a place for each."""
        return [self.duration, *(root for panel in self.panels.values() for root in panel.roots)]

    @property
    def presets(self) -> dict[str, list[Preset]]:
        """The pictures of the neurons that have some."""
        pictured = {}
        for name, panel in self.panels.items():
            if isinstance(panel, IzhikevichPanel) and len(panel.preset.options) > 1:
                pictured[name] = [
                    Preset(one, _picture(one, p), one == panel.preset.value) for one, p in panel.parameters.items()
                ]
        return pictured

    def _update(self) -> None:
        for panel in self.panels.values():
            panel.update()
        self._fit()

    def _last_as(self, before: str, preset: str) -> None:
        """Let constant currents last as long as the stimulus of a pattern does."""
        if preset in PATTERNS:
            self.duration.value = PATTERNS[preset].duration
        elif before in PATTERNS:
            self.duration.value = _DURATION
        self._fit()

    def _fit(self) -> None:
        """Let the figures end where the longest trace does."""
        self._shared.time.end = max(panel.end for panel in self.panels.values())


def _parameters(unit: str) -> dict[str, IzhikevichParameters]:
    """The presets of a unit of v, without second names and without the resonator, which has a panel of its own."""
    every = dict(PRESETS)
    if unit == "mV":
        every |= {name: pattern.parameters for name, pattern in PATTERNS.items()}
    every.pop("biological")
    return {name: p for name, p in every.items() if p.unit == unit and p is not PRESETS["resonator"]}


def _picture(name: str, p: IzhikevichParameters) -> str:
    return picture(p, name if p.unit == "mV" and name in PATTERNS else None, _PICTURED[p.unit])


__all__ = ["NeuronPage", "Preset"]
