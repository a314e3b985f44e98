"""docs/results/resonators.png: impulse responses, frequency tuning, and what a layer of resonators keeps of a digit.

python benchmarks/resonators_figure.py docs/results/resonators.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import Tensor

import izhi
from izhi.experiments import plots

#: Frequencies (radians per step) and decays (per step) of the neurons of the first two panels.
EXAMPLES = ((0.05, 0.01), (0.15, 0.01), (0.5, 0.03))
STEPS = 200


def resonators(frequency: tuple[float, float], decay: tuple[float, float], size: int) -> izhi.Izhikevich:
    """Neurons whose v passes no threshold, so that their linear response is seen."""
    p = izhi.preset("resonator").replace(threshold=1e9, v_min=-1e9, v_max=1e9)
    ranges = izhi.Resonators(frequency=frequency, decay=decay, seed=0)
    return izhi.Izhikevich(p, distribution=ranges, parameter_shape=size)


def response(frequency: float, decay: float, current: Tensor) -> Tensor:
    """v of one resonator under a current (T,)."""
    with torch.no_grad():
        _, v, _ = resonators((frequency,) * 2, (decay,) * 2, 1).trace(current.reshape(-1, 1, 1))
    return v.flatten()


def draw_impulses(axes: Axes) -> None:
    current = torch.zeros(STEPS)
    current[5] = 1.0
    for colour, (frequency, decay) in zip(plots.COLOURS, EXAMPLES, strict=False):
        axes.plot(response(frequency, decay, current), color=colour, lw=1.3, label=f"ω = {frequency}, 1 − r = {decay}")
    axes.set_title("response to a current of 1 in one step", fontsize=10)
    axes.set_xlabel("time (steps)")
    axes.set_ylabel("v")
    axes.legend(fontsize=8, loc="upper right")


def draw_tuning(axes: Axes) -> None:
    drives, time = np.geomspace(0.02, 2.0, 120), torch.arange(1500.0)
    for colour, (frequency, decay) in zip(plots.COLOURS, EXAMPLES, strict=False):
        gains = [float(response(frequency, decay, torch.sin(w * time))[1000:].abs().max()) for w in drives.tolist()]
        axes.loglog(drives, gains, color=colour, lw=1.3)
        axes.axvline(frequency, color=colour, lw=0.8, ls=":")
    axes.set_title("amplitude of v under a sine of amplitude 1", fontsize=10)
    axes.set_xlabel("frequency of the current (radians per step)")
    axes.set_ylabel("amplitude of v")


def draw_layer(figure: Figure, axes: Axes, pixels: Axes) -> None:
    image = torch.from_numpy(load_digits().images[2] / 16).float()
    image = torch.nn.functional.interpolate(image[None, None], size=28, mode="bilinear")[0, 0]
    current = image.flatten() - image.mean()
    layer = resonators((0.01, 2.0), (0.003, 0.03), 64)
    with torch.no_grad():
        _, v, _ = layer.trace(current.reshape(-1, 1, 1).expand(-1, 1, 64).contiguous())
    order = layer.get_buffer("mixed_frequency").argsort()
    scaled = (v[:, 0] / v[:, 0].std(0))[:, order].T
    pixels.plot(image.flatten(), color="0.3", lw=0.8)
    pixels.set_ylabel("pixel", fontsize=9)
    pixels.set_title("64 resonators, ω spread over 0.01 to 2, while they see a digit pixel by pixel", fontsize=10)
    drawn = axes.imshow(scaled, aspect="auto", cmap="RdBu_r", vmin=-2.5, vmax=2.5, origin="lower")
    marked = [0, 16, 32, 48, 63]
    axes.set_yticks(marked, [f"{x:.2g}" for x in layer.get_buffer("mixed_frequency")[order][marked].tolist()])
    axes.set_ylabel("ω of the neuron")
    axes.set_xlabel("time (steps: pixels, row by row)")
    figure.colorbar(drawn, ax=[pixels, axes], label="v / its standard deviation", fraction=0.03, pad=0.01)


def main() -> None:
    figure = Figure(figsize=(9, 7), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=(1.25, 0.35, 1.5))
    draw_impulses(figure.add_subplot(grid[0, 0]))
    draw_tuning(figure.add_subplot(grid[0, 1]))
    pixels = figure.add_subplot(grid[1, :])
    layer = figure.add_subplot(grid[2, :], sharex=pixels)
    pixels.tick_params(labelbottom=False)
    draw_layer(figure, layer, pixels)
    plots.save(figure, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
