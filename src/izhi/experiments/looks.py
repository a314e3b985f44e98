"""A trained network looked at: one sample's spikes, membranes and answer, firing rates, weights of a convolution.

Each drawing function takes a matplotlib axis, so that figures of one's own can be made of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from izhi.errors import SettingError
from izhi.experiments.plots import COLOURS
from izhi.experiments.trained import Trained
from izhi.kernels import Drive, Spikes
from izhi.network import Layer, Network
from izhi.network.layers import watched
from izhi.seeds import Purpose, derive_seed
from izhi.training import LOSSES

#: The most rows of a raster; those of a larger layer are the means of neighbours.
_MOST_ROWS = 200


@dataclass(frozen=True)
class LayerLook:
    """What a layer of neurons did for one sample.

    Attributes:
        name: ``"layer 1"``.
        spikes: (T, N).
        v: membranes, (T, N), after every step.
        threshold: of each neuron, (N,).
        unit: of v, ``"mV"`` or ``"1"``.
    """

    name: str
    spikes: NDArray[np.float64]
    v: NDArray[np.float64]
    threshold: NDArray[np.float64]
    unit: str


@dataclass(frozen=True)
class Look:
    """What a network did for one sample.

    Attributes:
        sample: number of the test sample.
        label: its class.
        classes: their names.
        inputs: spikes or currents that came in, (T, inputs).
        layers: of neurons, in their order.
        scores: of each class.
    """

    sample: int
    label: int
    classes: tuple[str, ...]
    inputs: NDArray[np.float64]
    layers: list[LayerLook]
    scores: NDArray[np.float64]

    @property
    def answer(self) -> int:
        """The class of the largest score."""
        return int(self.scores.argmax())


def look(run: Trained, sample: int) -> Look:
    """Run one test sample through a trained network.

    Raises:
        SettingError: if there is no such sample.
    """
    count = len(run.dataset.test)
    if not 0 <= sample < count:
        raise SettingError(f"sample is {sample}, expected 0 to {count - 1:,}, a test sample of {run.dataset.name}")
    values, labels = run.dataset.test.batch(torch.tensor([sample]))
    classifier = run.classifier
    with torch.no_grad():
        spikes = classifier.encode(values, derive_seed(run.experiment.training.seed, Purpose.TEST, sample))
        found, output = _inside(classifier.network, spikes)
        output = classifier.counted(output, values)
    scores = LOSSES[run.experiment.training.loss].scores(output)[0]
    x = spikes if isinstance(spikes, Tensor) else spikes.dense()
    return Look(sample, int(labels[0]), run.dataset.classes, _rows(x), found, scores.double().numpy())


def _rows(x: Tensor) -> NDArray[np.float64]:
    found: NDArray[np.float64] = x[:, 0].flatten(1).double().numpy()
    return found


def _inside(network: Network, spikes: Spikes) -> tuple[list[LayerLook], Tensor]:
    """What every layer does, and the network's output (T, 1, classes)."""
    found: list[LayerLook] = []

    def see(layer: Layer, drive: Drive, spikes: Tensor) -> None:
        state, v = None, []
        for t in range(len(drive.current)):
            _, state = layer.neuron.step(drive.step(t), state)
            v.append(state.v)
        threshold = torch.as_tensor(layer.neuron.coefficients().threshold).expand(v[0].shape[1:])
        found.append(
            LayerLook(
                layer.name, _rows(spikes), _rows(torch.stack(v)), threshold.flatten().double().numpy(),
                layer.neuron.unit_of_v,
            )
        )  # fmt: skip

    return found, watched(network, spikes, see)


def condensed(spikes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spikes or currents (T, N) as at most 200 columns, of many neurons the means of neighbours."""
    steps, neurons = spikes.shape
    each = -(-neurons // _MOST_ROWS)
    padded = np.pad(spikes, ((0, 0), (0, -neurons % each)), mode="edge")
    found: NDArray[np.float64] = padded.reshape(steps, -1, each).mean(2)
    return found


def busiest(layer: LayerLook) -> list[int]:
    """The four neurons of a layer that fire most."""
    found: list[int] = sorted(np.argsort(-layer.spikes.sum(0), kind="stable")[:4].tolist())
    return found


def layer_of(look: Look, number: int) -> LayerLook:
    """A layer by its number, from 1; SettingError for one that is not there."""
    if not 1 <= number <= len(look.layers):
        raise SettingError(f"layer is {number}, expected 1 to {len(look.layers)}")
    return look.layers[number - 1]


def check_neurons(layer: LayerLook, neurons: Sequence[int]) -> None:
    """Raise SettingError for a neuron that the layer does not have."""
    count = layer.v.shape[1]
    for neuron in neurons:
        if not 0 <= neuron < count:
            raise SettingError(f"neurons names {neuron}, expected 0 to {count - 1}, neurons of {layer.name}")


def draw_raster(axes: Axes, spikes: NDArray[np.float64], title: str = "", of: str = "neuron") -> None:
    """Spikes or currents (T, N) over time, black where they are largest; of many neurons the means of neighbours."""
    steps, neurons = spikes.shape
    axes.imshow(
        condensed(spikes).T, aspect="auto", cmap="Greys", origin="lower", interpolation="nearest", vmin=0,
        extent=(0.5, steps + 0.5, -0.5, neurons - 0.5),
    )  # fmt: skip
    axes.set_ylabel(of)
    axes.set_title(title, fontsize=9)


def draw_membranes(axes: Axes, layer: LayerLook, neurons: Sequence[int]) -> None:
    """Membranes of some neurons of a layer over time, and where they spike.

    Raises:
        SettingError: for a neuron that the layer does not have.
    """
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


def draw_scores(axes: Axes, look: Look) -> None:
    """The score of each class; the right one is marked."""
    colours = [COLOURS[2] if k == look.label else COLOURS[0] for k in range(len(look.scores))]
    axes.bar(range(len(look.scores)), look.scores, color=colours)
    axes.set_xticks(range(len(look.classes)), look.classes, rotation=0 if len(look.classes) < 15 else 90, fontsize=7)
    right = "right" if look.answer == look.label else f"it is {look.classes[look.label]}"
    axes.set_title(f"answer: {look.classes[look.answer]} ({right}; its bar is green)", fontsize=9)
    axes.set_ylabel("score")
    axes.axhline(0, color="black", lw=0.6)


def draw_kernels(axes: Axes, weight: NDArray[np.float64]) -> None:
    """The kernels (channels, height, width) of a convolution, side by side: blue inhibits, red excites."""
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


def draw(found: Look, run: Trained, layer: int = 1, neurons: Sequence[int] | None = None) -> Figure:
    """A sample on its way: what comes in, every layer's spikes, some membranes, the scores.

    Args:
        found: see ``look``.
        run: the network.
        layer: whose membranes are drawn, from 1.
        neurons: of them; None for the four that fire most.

    Raises:
        SettingError: for a layer or neuron that is not there.
    """
    chosen = layer_of(found, layer)
    if neurons is None:
        neurons = busiest(chosen)
    kernels = _first_kernels(run.network)
    rasters = [("input", found.inputs), *((x.name, x.spikes) for x in found.layers)]
    rows = len(rasters) + 2
    figure = Figure(figsize=(7.5, 1.6 * rows + (1.2 if kernels is not None else 0)), layout="constrained")
    grid = figure.subplots(rows + (kernels is not None), 1, squeeze=False)[:, 0]
    for axes, (name, spikes) in zip(grid, rasters, strict=False):
        of, count = "input" if name == "input" else "neuron", spikes.shape[1]
        rate = f"{spikes.mean():.3f} spikes per {of} and step" if np.isin(spikes, (0, 1)).all() else "currents"
        draw_raster(axes, spikes, f"{name}: {count:,}, {rate}", of)
    draw_membranes(grid[len(rasters)], chosen, neurons)
    grid[len(rasters)].set_xlabel("time step")
    draw_scores(grid[len(rasters) + 1], found)
    if kernels is not None:
        draw_kernels(grid[-1], kernels)
    title = f"{run.dataset.name}, test sample {found.sample}: {run.experiment.neurons.neuron}"
    figure.suptitle(title, fontsize=11)
    return figure


def _first_kernels(network: Network) -> NDArray[np.float64] | None:
    """Of the first layer, if it is a convolution over images of one channel."""
    weight = network.spiking[0].connection.weight.detach()
    if weight.dim() != 4 or weight.shape[1] != 1:
        return None
    found: NDArray[np.float64] = weight[:, 0].double().numpy()
    return found


__all__ = [
    "LayerLook", "Look", "busiest", "check_neurons", "condensed", "draw", "draw_kernels", "draw_membranes",
    "draw_raster", "draw_scores", "layer_of", "look",
]  # fmt: skip
