"""What settings must be together: each check names the value, what was expected, and the fix."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, Literal

from izhi.data import EMBEDDED
from izhi.data.catalogue import is_path
from izhi.errors import SettingError, unknown
from izhi.experiments.settings.fields import Mark
from izhi.experiments.settings.groups import FIELDS, NetworkSettings, marked
from izhi.spec import ORDERS, UsualOptions, usual_options

if TYPE_CHECKING:
    from izhi.experiments.settings.experiment import Experiment

#: What a data set holds: recorded events, time series, or values.
Samples = Literal["events", "series", "values"]


def check(e: Experiment, samples: Samples) -> UsualOptions:
    """Raise SettingError for the first setting that does not fit the others, or the data set.

    Returns:
        The choices of the neuron where settings do not have them.
    """
    _check_samples(e, samples)
    n, coding = e.neurons, e.coding
    if n.order is not None and n.order not in ORDERS:
        raise unknown("event order", n.order, ORDERS)
    if 0 < coding.population < 3:
        raise SettingError(f"population is {coding.population}, expected 0 or at least 3 fields")
    if coding.permutation is not None and coding.encoding not in ("rows", "pixels"):
        raise SettingError(
            f"permutation is {coding.permutation}, but only images that are read over time have an order; choose the"
            " encoding rows or pixels, or leave it out"
        )
    usual = usual_options(n)
    if e.training.patience is not None and not e.data.validation and e.data.validation_speaker is None:
        raise SettingError(
            f"patience is {e.training.patience}, but validation is 0, by which it would stop; hold some out"
        )
    _check_evolution(e)
    _check_online(e)
    network, has_hidden = e.network, e.network.hidden != FIELDS["hidden"].default
    if network.layers is not None and has_hidden:
        raise SettingError("hidden and layers are both given, expected the hidden layers once; leave one out")
    if network.modules is not None and (network.layers is not None or has_hidden):
        raise SettingError("modules are given beside hidden or layers, expected the network once; leave these out")
    if not network.rows and (network.readout, usual.readout) == (None, "current"):
        raise SettingError("hidden names no layer and the readout has no neurons; add a width")
    _check_readout(network, network.readout or usual.readout)
    seen = {"max": "whose largest value is 1", "last": "of which the last step has few"}
    if e.training.loss in seen and (network.readout or usual.readout) == "spikes":
        raise SettingError(
            f"loss is {e.training.loss!r}, but the network answers with spikes, {seen[e.training.loss]}; choose the"
            " readout membrane or current, or another loss"
        )
    return usual


def _check_readout(network: NetworkSettings, readout: str) -> None:
    if readout != "membrane" and network.modules is None:
        for name in ("readout_tau", "learn_readout"):
            if value := getattr(network, name):
                shown = value if isinstance(value, bool) else ",".join(f"{x:g}" for x in value)
                raise SettingError(f"{name} is {shown}, but the readout is {readout}; choose the readout membrane")
    if network.readout_tau is not None and not 1 < network.readout_tau[0] <= network.readout_tau[1]:
        low, high = network.readout_tau
        raise SettingError(f"readout_tau is {low:g} to {high:g}, expected steps above 1, the lower one first")


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
    _check_one_process(e, "evolution runs on one; share a population by actors")


def _check_online(e: Experiment) -> None:
    steps = e.training.online
    if steps is None:
        return
    if e.training.evolves:
        raise SettingError(f"online is {steps}, but the optimiser {e.training.optimizer} has no gradient; leave it out")
    if e.quantization.is_quantized:
        raise SettingError(
            f"online is {steps}, but weights or states are rounded; train in floats, then use izhi quantize"
        )
    _check_one_process(e, "online learning runs in one process; leave online out")


def _check_one_process(e: Experiment, why: str) -> None:
    for name in ("devices", "nodes"):
        if e.get(name) != 1:
            raise SettingError(f"{name} is {e.get(name)}, but {why}")


def _check_samples(e: Experiment, samples: Samples) -> None:
    dataset, coding = e.data.dataset, e.coding
    if dataset not in EMBEDDED:
        for name in marked(Mark.OF_EMBEDDED):
            if e.get(name) is not None:
                raise SettingError(
                    f"{name} is {e.get(name)}, but {dataset} is none of {', '.join(EMBEDDED)}; leave it out"
                )
    events, series = marked(Mark.OF_EVENTS), marked(Mark.OF_SERIES)
    if samples == "events":
        _check_unused(e, {*series} - {*events}, "no time series")
        _check_events(e)
        return
    if coding.encoding == "events":
        raise SettingError(f"encoding is 'events', but {dataset} has none; choose rate or another")
    if samples == "series":
        _check_series(e)
        _check_unused(e, {*events} - {*series, *_USES}, "no recorded events")
        _check_padding(e)
        return
    _check_unused(e, {*events}, "no recorded events")
    _check_unused(e, {*series}, "no time series")
    if coding.encoding in ("current", "delta", "level"):
        fix = "choose rate or another" + (", or --over-time for arrays (T, features)" if is_path(dataset) else "")
        raise SettingError(f"encoding is {coding.encoding!r}, but {dataset} holds no time series; {fix}")


def _check_unused(e: Experiment, names: Set[str], why: str) -> None:
    """Raise SettingError for the first of those settings that is given."""
    for name in (x for x in FIELDS if x in names):
        if e.get(name) not in (None, FIELDS[name].default):
            raise SettingError(f"{name} is {e.get(name)!r}, but {e.data.dataset} has {why}; leave it out")


#: Settings of time series, and the encodings that have a use for them.
_USES = {"population": ("current", "rate"), "counts": ("delta",), "delta": ("delta",), "crossings": ("level",)}


def _check_series(e: Experiment) -> None:
    dataset, coding = e.data.dataset, e.coding
    encoding = coding.encoding or "current"
    if encoding not in ("current", "rate", "delta", "level"):
        raise SettingError(
            f"encoding is {encoding!r}, but {dataset} holds time series; choose current, rate, delta or level"
        )
    for name, encodings in _USES.items():
        if e.get(name) != FIELDS[name].default and encoding not in encodings:
            raise SettingError(
                f"{name} is {e.get(name)!r}, which the encoding {encoding!r} has no use for; choose"
                f" {' or '.join(encodings)}, or leave it out"
            )


def _check_padding(e: Experiment) -> None:
    if e.coding.lengths == "pad" and e.training.evolves:
        raise SettingError("lengths is 'pad', but evolution counts all steps; choose resample")
    if e.coding.lengths == "pad" and e.training.loss == "max":
        raise SettingError("lengths is 'pad', but the loss max would see what is after the end; choose resample")


def _check_events(e: Experiment) -> None:
    dataset, coding = e.data.dataset, e.coding
    if coding.encoding not in (None, "events"):
        raise SettingError(f"encoding is {coding.encoding!r}, but {dataset} holds recorded events; leave it out")
    if coding.population:
        raise SettingError(f"population is {coding.population}, but {dataset} holds recorded events; leave it out")
    if e.augmentation.equalize and not coding.counts:
        raise SettingError(f"equalize is {e.augmentation.equalize:g}, but only counts have gains; add counts")
