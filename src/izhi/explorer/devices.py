"""The artifacts of a folder: their numbers, and a sample on the emulator and the simulated core, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from bokeh.document import Document
from bokeh.layouts import column
from bokeh.models import Button, Select, Spinner
from numpy.typing import NDArray

from izhi.errors import DataError, SettingError
from izhi.explorer import widgets
from izhi.explorer.folder import artifacts, inside
from izhi.hardware import artifact, devices, networks
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.devices.device import Counters
from izhi.hardware.fixed import FixedPoint, Outcome

AnyArtifact: TypeAlias = artifact.Artifact[networks.HardwareNetwork]
#: Devices that a program is: of an artifact in integers, and of one of the FPGA IP.
_PROGRAMS = ("emulator", "simulator", "hls-ip")
#: The most spikes of one layer that are drawn.
_MOST_SPIKES = 20_000


class DevicesPage:
    """The tab of devices."""

    def __init__(self, document: Document, folder: Path) -> None:
        self.folder = folder
        self._loaded: tuple[str, AnyArtifact] | None = None
        self._open: dict[str, devices.Device[Any]] = {}
        self.artifact = Select(name="artifact", title="artifact", options=[], sizing_mode="stretch_width")
        self.number = Spinner(name="vector", title="test vector", low=0, value=0, step=1, width=110)
        self.load = Button(name="load-artifact", label="read it")
        self.run = Button(
            name="run-vector",
            label="run the vector on every device",
            button_type="primary",
        )
        self.refresh = Button(name="refresh-artifacts", label="read the folder again")
        self.status = widgets.text("device-status")
        self.formats = widgets.text("formats")
        self.agreement = widgets.text("agreement")
        self.figures = column(sizing_mode="stretch_width", name="device-figures")
        self.task = widgets.BackgroundTask(document, [self.load, self.run], lambda html: self.status.update(text=html))
        self.refresh.on_click(self.read)
        self.load.on_click(lambda: self.task.start("reading it", self._load_chosen, self._describe))
        self.run.on_click(self._run)
        self.view = column(
            widgets.text("", f"<p>Artifacts (<code>.izhi</code>) in <code>{escape(str(folder))}</code> and below. The"
                       " core is simulated cycle for cycle; it is compiled when it is first run, which takes a"
                       " minute or two.</p>"),
            widgets.beside(self.artifact, self.refresh, self.load, least=150),
            widgets.beside(self.number, self.run, least=150),
            self.status, self.formats, self.agreement, self.figures, sizing_mode="stretch_width",
        )  # fmt: skip
        self.read()
        document.on_session_destroyed(lambda context: self._close())

    def read(self) -> None:
        """Read the folder."""
        self.artifact.options = artifacts(self.folder)
        if self.artifact.value not in self.artifact.options:
            self.artifact.value = next(iter(self.artifact.options), "")
        self.status.text = "" if self.artifact.options else "<p>There is none; izhi export RUN writes one.</p>"

    def _load_chosen(self) -> AnyArtifact:
        """The chosen artifact, from its file; in another thread."""
        name = str(self.artifact.value)
        if name not in self.artifact.options:
            raise SettingError("no artifact is chosen")
        if self._loaded is None or self._loaded[0] != name:
            self._close()
            self._loaded = name, artifact.load(inside(self.folder, self.folder / name))
        return self._loaded[1]

    def _close(self) -> None:
        for device in self._open.values():
            device.close()
        self._open.clear()

    def _describe(self, deployed: AnyArtifact) -> None:
        self.number.high = max(0, len(deployed.test_scores) - 1)
        self.formats.text = description(deployed)

    def _run(self) -> None:
        number = int(self.number.value or 0)
        self.task.start("running it on every device", lambda: self._answers(number), lambda result: self._show(*result))

    def _answers(self, number: int) -> tuple[AnyArtifact, int, Mapping[str, tuple[Outcome, Counters]]]:
        """The outcome of a test vector on each software device; in another thread."""
        deployed = self._load_chosen()
        inputs, labels = devices.own_samples(deployed)
        if not 0 <= number < len(labels):
            raise DataError(f"test vector is {number}, expected 0 to {len(labels) - 1:,}")
        batched = inputs[:, number : number + 1] if inputs.ndim == 3 else inputs[number : number + 1]
        answers = {}
        for name in (x for x in deployed.devices if x in _PROGRAMS):
            if name not in self._open:
                self._open[name] = devices.open(name, deployed)
            device = self._open[name]
            device.clear()
            answers[name] = device.run(batched, sends_spikes=True), device.counters
        return deployed, _last(labels[number]), answers

    def _show(self, deployed: AnyArtifact, label: int, answers: Mapping[str, tuple[Outcome, Counters]]) -> None:
        self._describe(deployed)
        self.agreement.text = agreement(deployed, label, answers)
        outcomes = {name: outcome for name, (outcome, _) in answers.items()}
        layers = min(len(outcome.spikes) for outcome in outcomes.values())
        figures = [
            _spikes(k, {name: outcome.spikes[k][:, 0] for name, outcome in outcomes.items()}) for k in range(layers)
        ]
        self.figures.children = [widgets.beside(*figures)] if figures else []


def description(deployed: AnyArtifact) -> str:
    """What an artifact holds, as HTML."""
    network = deployed.network
    sizes = " – ".join(f"{x:,}" for x in (network.inputs, *(readout.outputs for readout in network.projections)))
    words = (
        f"<p>{escape(deployed.about)}: {sizes}, T = {deployed.steps}, {len(deployed.test_scores):,} test vectors.</p>"
    )
    if not isinstance(deployed, IntegerArtifact):
        return words
    rows: list[Sequence[object]] = []
    for number, layer in enumerate(deployed.network.layers, start=1):
        states = {"I": layer.current_format, **layer.neuron.formats}
        if layer.synapse is not None:
            states["trace"] = layer.synapse.number
        sizes_of = (layer.inputs, layer.outputs, layer.weight_bits)
        rows.append((f"layer {number}", layer.neuron.kind, _formats(states), *sizes_of))
    if deployed.network.readout is not None:
        readout = deployed.network.readout
        own = readout.membrane
        states = {} if own is None else {"I": own.current_format, "trace": own.number}
        rows.append(("readout", "none", _formats(states), readout.inputs, readout.outputs, readout.weight_bits))
    headings = ("part", "neuron", "states", "inputs", "outputs", "weight bits")
    return words + widgets.table(headings, rows, words=3)


def _formats(states: Mapping[str, FixedPoint]) -> str:
    """Formats by name, as text."""
    return ", ".join(f"{name} {x.width} bits, unit 2^-{x.fraction}" for name, x in states.items())


def _last(classes: NDArray[np.int64]) -> int:
    """The class of a sample, or of its last step."""
    return int(np.reshape(classes, -1)[-1])


def agreement(deployed: AnyArtifact, label: int, answers: Mapping[str, tuple[Outcome, Counters]]) -> str:
    """Answers, spikes, cycles, and how many spikes differ from the first device's, as HTML."""
    first, _ = next(iter(answers.values()))
    rows = []
    for name, (outcome, counters) in answers.items():
        different = sum(int((a != b).sum()) for a, b in zip(outcome.spikes, first.spikes, strict=True))
        spikes = sum(int(x.sum()) for x in outcome.spikes)
        cycles = "–" if counters.cycles is None else f"{counters.cycles:,}"
        scores = "yes" if np.array_equal(outcome.scores, first.scores) else "no"
        answer = deployed.classes[_last(outcome.classes[0])]
        rows.append((name, answer, f"{spikes:,}", f"{different:,}", scores, cycles))
    headings = ("device", "answer", "spikes", "spikes that differ", "same scores", "cycles")
    right = f"<p>the vector's own scores name the class <b>{escape(deployed.classes[label])}</b></p>"
    return right + widgets.table(headings, rows, words=2)


def _spikes(layer: int, by_device: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    """Spikes (T, N) of a layer as each device gave them, one mark within the other."""
    looks = (("square", 9, widgets.BLUE, 0.35), ("cross", 9, widgets.ORANGE, 1.0))
    steps, count = next(iter(by_device.values())).shape
    drawn = widgets.chart(
        "time step", "neuron", height=260, title=f"layer {layer + 1}", x_range=(0, steps + 1), y_range=(-1, count)
    )
    for (name, spikes), (marker, size, colour, alpha) in zip(by_device.items(), looks, strict=False):
        when, neurons = np.nonzero(spikes)
        drawn.scatter(
            when[:_MOST_SPIKES] + 1, neurons[:_MOST_SPIKES], marker=marker, size=size, color=colour, alpha=alpha,
            legend_label=name,
        )  # fmt: skip
    widgets.legend_outside(drawn, orientation="horizontal")
    return drawn
