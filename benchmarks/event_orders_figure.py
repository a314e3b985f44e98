"""docs/results/event-orders.png: what each event order does within a time step, and docs/event-orders.md's example.

python benchmarks/event_orders_figure.py docs/results/event-orders.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

import izhi
from izhi.experiments import plots
from izhi.spec.parameters import EventOrder

#: The neuron of the page, and its current.
NEURON = izhi.IzhikevichParameters(a1=1, a2=0, a3=-1, a4=0, b1=0.25, b2=-0.5, b3=0, c=0, d=0.5, threshold=1)
CURRENT, STEPS = 0.5, 8
#: Boxes by the first word of what they say.
COLOURS = {"spike": plots.COLOURS[1], "reset": plots.COLOURS[2], "v": plots.COLOURS[0], "u": "0.55"}


def events(order: EventOrder) -> list[str]:
    """What happens within a step, in its order, read from the fields of the order itself."""
    spike, reset = "spike if\nv ≥ threshold", "reset if\nv ≥ threshold" + (",\nand rest" if order.rests else "")
    size = "" if order.substeps == 1 else ", ½ dt"
    found = [spike] if order.spike_on == "old v" else []
    found += [reset] if order.reset == "before" else []
    is_one_step = order.u_from == "old v" and order.substeps == 1
    of_substep = ["v and u"] if is_one_step else [f"v{size}", *([f"u{size}"] if order.u_from == "old v" else [])]
    found += of_substep * order.substeps
    found += ["u"] if order.u_from == "new v" else []
    found += [spike] if order.spike_on == "new v" else []
    return found + ([reset] if order.reset == "after" else [])


def draw_events(axes: Axes) -> None:
    for row, order in enumerate(izhi.ORDERS.values()):
        x = 0.0
        axes.plot([-0.15, 7.4], [row, row], color="0.75", lw=1, zorder=0)
        for text in events(order):
            width = 0.62 if len(text) < 3 else 0.85 if text[0] in "uv" else 1.35
            colour = COLOURS[text.split()[0].rstrip(",")]
            axes.add_patch(
                FancyBboxPatch(
                    (x + 0.05, row - 0.38), width - 0.1, 0.76, boxstyle="round,pad=0,rounding_size=0.08",
                    facecolor=colour, edgecolor="none",
                )
            )  # fmt: skip
            axes.text(x + width / 2, row, text, ha="center", va="center", fontsize=7.5, color="white")
            x += width
    axes.set_yticks(range(len(izhi.ORDERS)), list(izhi.ORDERS))
    axes.set_xlim(-0.2, 7.4)
    axes.set_ylim(len(izhi.ORDERS) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_xlabel("within one time step, from the state before it to the state after it →")
    axes.spines[["top", "right", "bottom", "left"]].set_visible(False)
    axes.tick_params(length=0)


def draw_traces(axes: Axes) -> None:
    steps = range(1, STEPS + 1)
    for place, name in enumerate(izhi.ORDERS):
        neuron = izhi.Izhikevich(NEURON.replace(order=name))
        spikes, v, _ = (x.flatten().tolist() for x in neuron.trace(torch.full((STEPS, 1, 1), CURRENT)))
        base = 3.2 * (len(izhi.ORDERS) - 1 - place)
        axes.plot(
            [0.6, STEPS + 0.4], [base + 1] * 2, ":", color="0.6", lw=1, label="threshold, at 1" if not place else None
        )
        labels = (None, None) if place else ("v after the step", "a spike is sent")
        axes.plot(steps, [base + x for x in v], "o-", color=COLOURS["v"], ms=3.5, lw=1, label=labels[0])
        fired = [t for t, s in zip(steps, spikes, strict=True) if s]
        axes.plot(fired, [base + 1.95] * len(fired), "v", color=COLOURS["spike"], ms=6, label=labels[1])
    axes.set_yticks([3.2 * (len(izhi.ORDERS) - 1 - k) + 0.5 for k in range(len(izhi.ORDERS))], list(izhi.ORDERS))
    axes.tick_params(axis="y", length=0)
    axes.set_xticks(list(steps))
    axes.set_xlabel("time step (the current of 0.5 begins in step 1)")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=3, fontsize=8, frameon=False)


def main(out: str) -> None:
    figure = Figure(figsize=(8.5, 9), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(1, 1.5))
    draw_events(above)
    draw_traces(below)
    plots.save(figure, Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
