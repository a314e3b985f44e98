"""Figures of the benchmark: bars, growth and ratios."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.figure import Figure

from izhi.experiments.plots import COLOURS


def bars(
    panels: Mapping[str, Sequence[tuple[str, float, float | None]]], label: str, is_ours: Callable[[str], bool]
) -> Figure:
    """Horizontal bars on a logarithmic axis, fastest first, a panel per title, one below the other.

    Args:
        panels: title → (name, value, times the yardstick or None).
        is_ours: whether a name is drawn in the first colour.
    """
    rows = sum(len(entries) for entries in panels.values())
    figure = Figure(figsize=(7.4, 0.9 * len(panels) + 0.23 * rows), layout="constrained")
    heights = [max(1, len(entries)) for entries in panels.values()]
    all_axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (title, entries) in zip(all_axes, panels.items(), strict=True):
        ordered = sorted(entries, key=lambda entry: entry[1])
        colours = [
            "#7F7F7F" if name.startswith("linear") else COLOURS[0] if is_ours(name) else COLOURS[1]
            for name, _, _ in ordered
        ]
        drawn = axes.barh([name for name, _, _ in ordered], [x for _, x, _ in ordered], color=colours)
        axes.bar_label(
            drawn,
            [f"{x:,.{1 if x < 100 else 0}f} ms" + (f"  ×{r:.1f}" if r else "") for _, x, r in ordered],
            padding=3, fontsize=8,
        )  # fmt: skip
        axes.tick_params(axis="y", labelsize=8)
        axes.invert_yaxis()
        axes.margins(y=0.01)
        axes.set_xscale("log")
        axes.set_xlim(1, 40 * max((x for _, x, _ in ordered), default=1))
        axes.set_title(title, fontsize=10)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    figure.supxlabel(label, fontsize=9)
    return figure


def curves(
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], label: str, *, is_ratio: bool = False
) -> Figure:
    """Lines over several quantities, a panel each, on logarithmic axes.

    A dotted line shows what is in proportion; of ratios, whose vertical axis is linear, a dashed one is at 1.

    Args:
        panels: label of the horizontal axis → name → (x, y) points.
    """
    rows = -(-len(panels) // 2)
    figure = Figure(figsize=(7.4, 0.4 + 2.6 * rows), layout="constrained")
    every = list(figure.subplots(rows, 2, squeeze=False, sharey=True).flat)
    for axes in every[len(panels) :]:
        axes.remove()
    for axes, (title, lines) in zip(every, panels.items(), strict=False):
        for number, (name, points) in enumerate(lines.items()):
            x, y = zip(*sorted(points), strict=True)
            axes.plot(x, y, "o-", markersize=4 if is_ratio else 3, color=COLOURS[number], label=name)
            if number == 0 and not is_ratio:
                axes.plot(x, [y[-1] * value / x[-1] for value in x], ":", color="0.5", lw=1, label="in proportion")
        axes.set_xscale("log")
        measured = sorted({x for points in lines.values() for x, _ in points})
        axes.set_xticks(measured, [f"{value:g}" for value in measured])
        axes.set_xticks([], minor=True)
        axes.set_xlabel(title)
        axes.grid(alpha=0.3, which="both")
        if is_ratio:
            axes.axhline(1, ls="--", color="0.5", lw=1)
            axes.set_ylim(bottom=0)
        else:
            axes.set_yscale("log")
    if not is_ratio:
        every[0].legend(fontsize=8)
    figure.supylabel(label, fontsize=10)
    return figure
