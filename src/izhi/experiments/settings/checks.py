"""What settings must be together: each check names the value, what was expected, and the fix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from izhi.data import EMBEDDED, has_events, require_known
from izhi.errors import SettingError, unknown
from izhi.experiments.settings.fields import Mark
from izhi.experiments.settings.groups import FIELDS, marked
from izhi.experiments.settings.kinds import check_neurons, kind
from izhi.neurons import ORDERS

if TYPE_CHECKING:
    from izhi.experiments.settings.experiment import Experiment


def check(e: Experiment) -> None:
    """Raise SettingError for the first setting that does not fit the others."""
    require_known(e.data.dataset)
    _check_samples(e)
    n, coding = e.neurons, e.coding
    chosen = kind(n.neuron)
    if n.order is not None and n.order not in ORDERS:
        raise unknown("event order", n.order, ORDERS)
    if 0 < coding.population < 3:
        raise SettingError(f"population is {coding.population}, expected 0 or at least 3 fields")
    check_neurons(n)
    if e.training.patience is not None and not e.data.validation and e.data.validation_speaker is None:
        raise SettingError(
            f"patience is {e.training.patience}, but validation is 0, by which it would stop; hold some out"
        )
    _check_evolution(e)
    if e.network.layers is not None and e.network.hidden != FIELDS["hidden"].default:
        raise SettingError("hidden and layers are both given, expected the hidden layers once; leave one out")
    if e.network.modules is not None and not (
        e.network.layers is None and e.network.hidden == FIELDS["hidden"].default
    ):
        raise SettingError("modules are given beside hidden or layers, expected the network once; leave these out")
    if not e.network.rows and (e.network.readout, chosen.readout) == (None, "current"):
        raise SettingError("hidden names no layer and the readout has no neurons; add a width")


def _check_evolution(e: Experiment) -> None:
    optimizer = e.training.optimizer
    if not e.training.evolves:
        usual = type(e.evolution)()
        for name, value in e.evolution:
            if value != getattr(usual, name):
                raise SettingError(
                    f"{name} is {value!r}, but the optimiser {optimizer} does not evolve; choose snes, cma-es or ga"
                )
        return
    if e.quantization.is_quantized:
        raise SettingError(
            f"optimizer is {optimizer!r}, but weights or states are rounded; evolve the exported artifact"
        )
    for name in ("devices", "nodes"):
        if e.get(name) != 1:
            raise SettingError(f"{name} is {e.get(name)}, but evolution runs on one; share a population by actors")


def _check_samples(e: Experiment) -> None:
    dataset, coding = e.data.dataset, e.coding
    if dataset not in EMBEDDED:
        for name in marked(Mark.OF_EMBEDDED):
            if e.get(name) is not None:
                raise SettingError(
                    f"{name} is {e.get(name)}, but {dataset} is none of {', '.join(EMBEDDED)}; leave it out"
                )
    if has_events(dataset):
        _check_events(e)
        return
    if coding.encoding == "events":
        raise SettingError(f"encoding is 'events', but {dataset} has none; choose rate or another")
    for name in marked(Mark.OF_EVENTS):
        if e.get(name) not in (None, FIELDS[name].default):
            raise SettingError(f"{name} is {e.get(name)!r}, but {dataset} has no recorded events; leave it out")


def _check_events(e: Experiment) -> None:
    dataset, coding = e.data.dataset, e.coding
    if coding.encoding not in (None, "events"):
        raise SettingError(f"encoding is {coding.encoding!r}, but {dataset} holds recorded events; leave it out")
    if coding.population:
        raise SettingError(f"population is {coding.population}, but {dataset} holds recorded events; leave it out")
    if e.augmentation.equalize and not coding.counts:
        raise SettingError(f"equalize is {e.augmentation.equalize:g}, but only counts have gains; add counts")
