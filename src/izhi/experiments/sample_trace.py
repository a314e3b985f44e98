"""The trace of one sample through a trained network, and figures of it.

A trace holds spikes and membrane potentials of every layer, and the scores. Each drawing function takes a matplotlib
axis, so that you can compose figures of your own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from izhi.data import NO_LABEL
from izhi.errors import SettingError
from izhi.experiments.plots import COLOURS
from izhi.experiments.trained import Trained
from izhi.kernels import Spikes, SynapticInput
from izhi.network import Layer, Network
from izhi.network.network import run_with_hooks
from izhi.seeds import Purpose, derive_seed
from izhi.training import LOSSES
from izhi.training.losses import labelled

#: The most rows of a raster. A larger layer is drawn as the means of neighbours.
_MOST_ROWS = 200


@dataclass(frozen=True)
class LayerTrace:
    """Spikes and membrane potentials of a layer for one sample."""

    name: str  #: ``"layer 1"``
    spikes: NDArray[np.float64]  #: (T, N)
    v: NDArray[np.float64]  #: membrane potentials after every step, (T, N)
    threshold: NDArray[np.float64]  #: of each neuron, (N,)
    unit: str  #: of v, ``"mV"`` or ``"1"``


@dataclass(frozen=True)
class SampleTrace:
    """The trace of one sample through a network."""

    sample: int  #: number of the test sample
    label: NDArray[np.int64]  #: its class, (), or that of each step, (T,)
    classes: tuple[str, ...]  #: their names
    inputs: NDArray[np.float64]  #: input spikes or currents, (T, inputs)
    layers: list[LayerTrace]  #: of neurons, in their order
    scores: NDArray[np.float64]  #: of each class, (classes,), or of each step, (T, classes)

    @property
    def answer(self) -> NDArray[np.int64]:
        """The class of the largest score, (), or that of each step, (T,)."""
        return np.asarray(self.scores.argmax(-1))

    @property
    def has_step_labels(self) -> bool:
        """Whether each step has a label."""
        return self.label.ndim == 1

    @property
    def verdict(self) -> str:
        """Answer and label in words, or the share of steps whose class is right."""
        if self.has_step_labels:
            known = self.label != NO_LABEL
            share = (self.answer == self.label)[known].mean()
            return f"{100 * share:.1f} % of {known.sum():,} steps right"
        answer, label = self.classes[self.answer], self.classes[self.label]
        return f"answer {answer}, label {label}"


def trace_sample(run: Trained, sample: int) -> SampleTrace:
    """Record every layer of a trained network for one test sample; SettingError for a number out of range."""
    count = len(run.dataset.test)
    if not 0 <= sample < count:
        raise SettingError(f"sample is {sample}, expected 0 to {count - 1:,}, a test sample of {run.dataset.name}")
    values, labels = run.dataset.test.batch(torch.tensor([sample]))
    classifier = run.classifier
    with torch.no_grad():
        spikes = classifier.encode(values, derive_seed(run.experiment.training.seed, Purpose.TEST, sample))
        layers, output = _trace_layers(classifier.network, spikes)
        output = classifier.counted(output, values)
    if labels.dim() == 2:
        output, labels = labelled(output, labels)
        scores, wanted = output[:, 0], labels[0]
    else:
        scores, wanted = LOSSES[run.experiment.training.loss].scores(output)[0], labels[0]
    x = spikes if isinstance(spikes, Tensor) else spikes.dense()
    return SampleTrace(sample, wanted.numpy(), run.dataset.classes, _as_array(x), layers, scores.double().numpy())


def _as_array(x: Tensor) -> NDArray[np.float64]:
    """(T, 1, *features) as (T, N)."""
    return np.asarray(x[:, 0].flatten(1).double())


def _trace_layers(network: Network, spikes: Spikes) -> tuple[list[LayerTrace], Tensor]:
    """The trace of every layer, and the network's output (T, 1, classes)."""
    traces: list[LayerTrace] = []

    def record(layer: Layer, drive: SynapticInput, spikes: Tensor) -> None:
        state, v = None, []
        for t in range(len(drive.current)):
            _, state = layer.neuron.step(drive.step(t), state)
            v.append(state.v)
        threshold = torch.as_tensor(layer.neuron.coefficients().threshold).expand(v[0].shape[1:])
        traces.append(
            LayerTrace(
                layer.name, _as_array(spikes), _as_array(torch.stack(v)), threshold.flatten().double().numpy(),
                layer.neuron.unit_of_v,
            )
        )  # fmt: skip

    return traces, run_with_hooks(network, spikes, record)


def condensed(spikes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spikes or currents (T, N) as at most 200 columns; each column is the mean of neighbouring neurons."""
    steps, neurons = spikes.shape
    each = -(-neurons // _MOST_ROWS)
    padded = np.pad(spikes, ((0, 0), (0, -neurons % each)), mode="edge")
    return np.asarray(padded.reshape(steps, -1, each).mean(2))


def busiest(layer: LayerTrace) -> list[int]:
    """The four neurons of a layer that fire most."""
    return sorted(int(n) for n in np.argsort(-layer.spikes.sum(0), kind="stable")[:4])


def layer_of(trace: SampleTrace, number: int) -> LayerTrace:
    """A layer by its number, from 1; SettingError for a number out of range."""
    if not 1 <= number <= len(trace.layers):
        raise SettingError(f"layer is {number}, expected 1 to {len(trace.layers)}")
    return trace.layers[number - 1]


def check_neurons(layer: LayerTrace, neurons: Sequence[int]) -> None:
    """Raise SettingError for a neuron that the layer does not have."""
    count = layer.v.shape[1]
    for neuron in neurons:
        if not 0 <= neuron < count:
            raise SettingError(f"neurons names {neuron}, expected 0 to {count - 1}, neurons of {layer.name}")


def draw_raster(axes: Axes, spikes: NDArray[np.float64], title: str = "", of: str = "neuron") -> None:
    """Draw spikes or currents (T, N) over time, black where they are largest; see ``condensed`` for many neurons."""
    steps, neurons = spikes.shape
    axes.imshow(
        condensed(spikes).T, aspect="auto", cmap="Greys", origin="lower", interpolation="nearest", vmin=0,
        extent=(0.5, steps + 0.5, -0.5, neurons - 0.5),
    )  # fmt: skip
    axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True) if neurons > 1 else FixedLocator([0]))
    axes.set_ylabel(of)
    axes.set_title(title, fontsize=9)


def draw_membranes(axes: Axes, layer: LayerTrace, neurons: Sequence[int]) -> None:
    """Draw membrane potentials and spikes of some neurons of a layer; SettingError for one that it does not have."""
    check_neurons(layer, neurons)
    steps = len(layer.v)
    time = np.arange(1, steps + 1)
    for number, neuron in enumerate(neurons):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(time, layer.v[:, neuron], color=colour, lw=1.1, label=str(neuron))
        fired = layer.spikes[:, neuron] > 0
        axes.plot(time[fired], np.minimum(layer.v[fired, neuron], layer.threshold[neuron]), "^", color=colour, ms=5)
    thresholds = {round(float(layer.threshold[n]), 4) for n in neurons}
    for threshold in thresholds if len(thresholds) == 1 else ():
        axes.axhline(threshold, color="grey", lw=0.8, ls="--")
    axes.set_xlim(0.5, steps + 0.5)
    axes.set_ylabel("v (mV)" if layer.unit == "mV" else "v")
    axes.set_title(f"{layer.name}: membranes, spikes ▲, threshold - -", fontsize=9)
    axes.legend(
        title="neuron", fontsize=7, title_fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False
    )


def draw_scores(axes: Axes, trace: SampleTrace) -> None:
    """Draw the score of each class, the correct one in green; or answer and label of each step."""
    if trace.has_step_labels:
        _draw_steps(axes, trace)
        return
    label, answer = int(trace.label), int(trace.answer)
    colours = [COLOURS[2] if k == label else COLOURS[0] for k in range(len(trace.scores))]
    axes.bar(range(len(trace.scores)), trace.scores, color=colours)
    axes.set_xticks(range(len(trace.classes)), trace.classes, rotation=0 if len(trace.classes) < 15 else 90, fontsize=7)
    right = "right" if answer == label else f"it is {trace.classes[label]}"
    axes.set_title(f"answer: {trace.classes[answer]} ({right}; its bar is green)", fontsize=9)
    axes.set_ylabel("score")
    axes.axhline(0, color="black", lw=0.6)


def _draw_steps(axes: Axes, trace: SampleTrace) -> None:
    """Draw the answer of each step, and the label as a line behind it."""
    time = np.arange(1, len(trace.label) + 1)
    label = np.where(trace.label == NO_LABEL, np.nan, trace.label)
    axes.step(time, label, where="mid", color=COLOURS[2], lw=3, alpha=0.6, label="label")
    axes.step(time, trace.answer, where="mid", color="black", lw=0.8, label="answer")
    axes.set_yticks(range(len(trace.classes)), trace.classes, fontsize=7)
    axes.set_xlim(0.5, len(time) + 0.5)
    axes.set_xlabel("time step")
    axes.set_ylabel("class")
    axes.set_title(trace.verdict, fontsize=9)
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def draw_kernels(axes: Axes, weight: NDArray[np.float64]) -> None:
    """Draw the kernels (channels, height, width) of a convolution, side by side: blue inhibits, red excites."""
    count, height, width = weight.shape
    across = min(count, max(16, math.ceil(math.sqrt(4 * count))))
    sheet = np.full((-(-count // across) * (height + 1) - 1, across * (width + 1) - 1), np.nan)
    for k, kernel in enumerate(weight):
        y, x = (k // across) * (height + 1), (k % across) * (width + 1)
        sheet[y : y + height, x : x + width] = kernel
    largest = float(np.abs(weight).max()) or 1.0
    axes.imshow(sheet, cmap="RdBu_r", vmin=-largest, vmax=largest)
    axes.set_axis_off()
    axes.set_title(f"kernels of the first convolution, ±{largest:.2g}", fontsize=9)


def draw(trace: SampleTrace, run: Trained, layer: int = 1, neurons: Sequence[int] | None = None) -> Figure:
    """Draw a trace: input, every layer's spikes, some membrane potentials, the scores.

    Args:
        layer: number of the layer whose membrane potentials are drawn, from 1.
        neurons: of them; None for the four that fire most.

    Raises:
        SettingError: for a layer or neuron out of range.
    """
    chosen = layer_of(trace, layer)
    if neurons is None:
        neurons = busiest(chosen)
    kernels = _first_kernels(run.network)
    rasters = [("input", trace.inputs), *((x.name, x.spikes) for x in trace.layers)]
    rows = len(rasters) + 2
    figure = Figure(figsize=(7.5, 1.6 * rows + (1.2 if kernels is not None else 0)), layout="constrained")
    grid = figure.subplots(rows + (kernels is not None), 1, squeeze=False)[:, 0]
    for axes, (name, spikes) in zip(grid, rasters, strict=False):
        of, count = "input" if name == "input" else "neuron", spikes.shape[1]
        rate = f"{spikes.mean():.3f} spikes per {of} and step" if np.isin(spikes, (0, 1)).all() else "currents"
        draw_raster(axes, spikes, f"{name}: {count:,}, {rate}", of)
    draw_membranes(grid[len(rasters)], chosen, neurons)
    grid[len(rasters)].set_xlabel("time step")
    draw_scores(grid[len(rasters) + 1], trace)
    if kernels is not None:
        draw_kernels(grid[-1], kernels)
    title = f"{run.dataset.name}, test sample {trace.sample}: {run.experiment.neurons.neuron}"
    figure.suptitle(title, fontsize=11)
    return figure


def _first_kernels(network: Network) -> NDArray[np.float64] | None:
    """Kernels of the first layer if it is a convolution over images of one channel."""
    weight = network.spiking[0].connection.weight.detach()
    if weight.dim() != 4 or weight.shape[1] != 1:
        return None
    return np.asarray(weight[:, 0].double())
