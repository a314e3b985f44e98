"""Figures of what a network in integers does with samples: inputs, spikes of each layer, answers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from izhi.experiments.plots import COLOURS
from izhi.experiments.sample_trace import SampleTrace, draw_raster, draw_scores
from izhi.hardware.devices.evaluation import Labels
from izhi.hardware.fixed import Outcome
from izhi.hardware.networks import Inputs


def image_of(inputs: NDArray[np.float64], shape: Sequence[int]) -> NDArray[np.float64] | None:
    """Input spikes (T, inputs) as the image that they are of; None for inputs that are none.

    Args:
        shape: of a step, channels first; an image that is read pixel by pixel over time has one input.
    """
    steps = len(inputs)
    if len(shape) == 1 and shape[0] == 1 and math.isqrt(steps) ** 2 == steps:
        return inputs.reshape(math.isqrt(steps), -1)
    size = inputs.shape[1] if len(shape) == 1 else math.prod(shape[-2:])
    side = math.isqrt(size)
    if side < 8 or side**2 != size:
        return None
    return np.asarray(inputs.mean(0).reshape(-1, side, side).sum(0))


def trace_of(number: int, inputs: Inputs, outcome: Outcome, labels: Labels, classes: Sequence[str]) -> SampleTrace:
    """A sample by its number as a trace without membranes, of inputs (T, B, inputs) and their outcome."""
    scores = outcome.scores[number].astype(np.float64)
    return SampleTrace(number, labels[number], tuple(classes), np.asarray(inputs[:, number], np.float64), [], scores)


def draw_sample(name: str, shape: Sequence[int], trace: SampleTrace, spikes_of: Sequence[NDArray[np.uint8]]) -> Figure:
    """One sample: its input, the spikes of each layer over time, and the scores.

    Args:
        name: of the network.
        shape: of a step of the inputs, channels first.
        trace: see ``trace_of``.
        spikes_of: of each layer, (T, N).
    """
    one = trace.inputs
    image, layers = image_of(one, shape), [spikes.astype(np.float64) for spikes in spikes_of]
    rows = (image is not None) + len(layers) + 2
    figure = Figure(figsize=(7.5, 1.5 * rows + 0.6), layout="constrained")
    grid = figure.subplots(rows, 1, squeeze=False)[:, 0]
    if image is not None:
        _draw_image(grid[0], image)
    rasters = [("input", one), *((f"layer {k}", spikes) for k, spikes in enumerate(layers, start=1))]
    for axes, (title, spikes) in zip(grid[image is not None :], rasters, strict=False):
        of = "input" if title == "input" else "neuron"
        count = f"{spikes.sum():,.0f} spikes" if spikes.max(initial=0) <= 1 else "values"
        draw_raster(axes, spikes, f"{title}: {spikes.shape[1]:,} {of}{'s' * (spikes.shape[1] > 1)}, {count}", of)
    grid[-2].set_xlabel("time step")
    draw_scores(grid[-1], trace)
    figure.suptitle(f"{name}, in integers: {trace.verdict}", fontsize=11)
    return figure


def draw_samples(
    name: str, shape: Sequence[int], inputs: Inputs, outcome: Outcome, labels: Labels, classes: Sequence[str]
) -> Figure:
    """Several samples side by side: the image, the spikes of each layer over time, and the scores; see ``draw_sample``.

    A right answer is green, a wrong one orange.
    """
    count, layers = len(labels), len(outcome.spikes)
    figure = Figure(figsize=(1.15 * count + 0.9, 1.25 * (layers + 2) + 0.5), layout="constrained")
    grid = figure.subplots(
        layers + 2, count, squeeze=False, gridspec_kw={"height_ratios": [1.0] * (layers + 1) + [0.8]}
    )
    for k in range(count):
        one = np.asarray(inputs[:, k], np.float64)
        image = image_of(one, shape)
        assert image is not None
        _draw_image(grid[0, k], image)
        answer, label = int(outcome.classes[k]), int(labels[k])
        colour = COLOURS[2] if answer == label else COLOURS[1]
        title = classes[answer] if answer == label else f"{classes[answer]}, is {classes[label]}"
        grid[0, k].set_title(title, fontsize=13, color=colour, weight="bold")
        for axes, spikes in zip(grid[1:-1, k], outcome.spikes, strict=True):
            draw_raster(axes, spikes[:, k].astype(np.float64))
            axes.set_ylabel("")
        scores = outcome.scores[k].astype(np.float64)
        grid[-1, k].bar(
            range(len(scores)), scores, color=[colour if c == answer else "grey" for c in range(len(scores))]
        )
        grid[-1, k].axhline(0, color="black", lw=0.6)
        grid[-1, k].set_xlabel("class", fontsize=8)
        for row, axes in enumerate(grid[1:, k], start=1):
            axes.tick_params(labelsize=7)
            if k or row == layers + 1:
                axes.set_yticks([])
        grid[layers, k].set_xlabel("time step", fontsize=8)
    for number, axes in enumerate(grid[1:-1, 0], start=1):
        axes.set_ylabel(f"layer {number},\nneuron", fontsize=8)
    grid[-1, 0].set_ylabel("score", fontsize=8)
    figure.suptitle(f"{name}: {count} test samples, in integers", fontsize=11)
    return figure


def _draw_image(axes: Axes, image: NDArray[np.float64]) -> None:
    axes.imshow(image, cmap="Greys", vmin=0)
    axes.set_axis_off()
