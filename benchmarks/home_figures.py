"""docs/home-digit.svg and docs/home-patterns.svg, the pictures of the first page, as vectors for light and dark pages.

python benchmarks/home_figures.py docs
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from izhi import files, zoo
from izhi.neurons.simulation import Trace, run_pattern
from izhi.zoo.picture import image_of

#: The network, and its test sample.
NETWORK, SAMPLE = "mnist-normalized", 0
#: Firing patterns whose names fit their columns, a row of four and another.
PATTERNS = ("tonic spiking", "tonic bursting", "mixed mode", "phasic bursting",
            "spike latency", "resonator", "rebound burst", "bistability")  # fmt: skip
#: Of a picture; a picture as wide as a telephone has letters of ten pixels.
WIDTH = 400

#: Colours of the page around the picture if it names any, else those of the reader's system. The time step of a spike
#: is --t: a digit's spikes and scores appear once, in two and a half seconds, and then stay.
STYLE = """
.izhi-picture { --ink: var(--pst-color-text-base, #1f2328); --pale: var(--pst-color-text-muted, #59636e);
  --first: var(--izhi-first, #0072b2); --second: var(--izhi-second, #c25400); --third: var(--izhi-third, #00785a);
  font-family: system-ui, sans-serif; }
.izhi-picture text { fill: var(--ink); font-size: 11px; }
.izhi-picture .pale { fill: var(--pale); }
.izhi-picture .line { fill: none; stroke-width: 1.1; stroke-linejoin: round; }
@media (prefers-color-scheme: dark) {
  .izhi-picture { --ink: var(--pst-color-text-base, #e6edf3); --pale: var(--pst-color-text-muted, #9198a1);
    --first: var(--izhi-first, #56b4e9); --second: var(--izhi-second, #f0a060); --third: var(--izhi-third, #3ecf9e); } }
@media (prefers-reduced-motion: no-preference) {
  .izhi-picture .step { animation: izhi-appear 0.1s calc(var(--t) * 0.1s) backwards; }
  .izhi-picture .score { animation: izhi-grow 2.5s linear backwards; } }
@keyframes izhi-appear { from { opacity: 0; } }
@keyframes izhi-grow { from { transform: scaleX(0); } }
"""


def picture(name: str, about: str, height: int, content: str) -> str:
    """A file of SVG, which a page may also hold as it is; ``about`` is for those who do not see it."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="izhi-picture {name}" viewBox="0 0 {WIDTH} {height}"'
        f' role="img" aria-label="{about}">\n<style>{STYLE}</style>\n{content}</svg>\n'
    )


def text(x: float, y: float, words: str, anchor: str = "start", attributes: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{attributes}>{words}</text>\n'


def ticks(points: NDArray[np.int64], x: float, y: float, across: float, down: float) -> str:
    """A path of ticks at (column, row), each as wide as four fifths of a column."""
    return "".join(f"M{x + across * c:.1f} {y + down * r:.1f}h{0.8 * across:.1f}" for c, r in points.tolist())


def pixels(image: NDArray[np.float64], x: float, y: float, side: float) -> str:
    """An image in four shades."""
    shades = np.ceil(4 * image / image.max()).astype(int)
    size, parts = side / len(image), []
    for shade in range(1, 5):
        rows, columns = np.nonzero(shades == shade)
        squares = "".join(
            f"M{x + size * c:.1f} {y + size * r:.1f}h{size:.1f}v{size:.1f}h{-size:.1f}z"
            for c, r in zip(columns, rows, strict=True)
        )
        parts.append(f'<path fill="var(--ink)" opacity="{shade / 4:g}" d="{squares}"/>\n')
    return "".join(parts)


def raster(
    spikes: NDArray[np.uint8], supports: NDArray[np.bool_], x: float, y: float, across: float, down: float
) -> str:
    """Spikes (T, N), those of neurons that support the answer in a colour of their own."""
    parts = []
    for t, fired in enumerate(spikes):
        for colour, chosen in (("third", supports), ("second", ~supports)):
            neurons = np.flatnonzero(fired.astype(bool) & chosen)
            if len(neurons):
                points = np.stack([np.full_like(neurons, t), neurons], 1)
                parts.append(
                    f'<path class="step" style="--t:{t}" stroke="var(--{colour})" stroke-width="1.5"'
                    f' d="{ticks(points, x, y, across, down)}"/>\n'
                )
    return "".join(parts)


def bars(scores: NDArray[np.int64], x: float, y: float, width: float, height: float) -> str:
    """Scores of the classes as bars from a common zero."""
    answer, scale = int(scores.argmax()), width / (scores.max() - scores.min())
    zero, each, parts = x - scale * scores.min(), height / len(scores), []
    for k, score in enumerate(scores.tolist()):
        top, colour = y + each * k, "third" if k == answer else "pale"
        parts.append(
            f'<rect class="score" style="transform-origin:{zero:.1f}px 0" x="{zero + scale * min(score, 0):.1f}"'
            f' y="{top + 2:.1f}" width="{scale * abs(score):.1f}" height="{each - 4:.1f}" fill="var(--{colour})"/>\n'
        )
        weight = ' font-weight="bold"' if k == answer else ' class="pale"'
        parts.append(text(x - 5, top + each / 2 + 4, str(k), "end", weight))
    parts.append(f'<path stroke="var(--ink)" stroke-width="0.8" d="M{zero:.1f} {y:g}v{height:g}"/>\n')
    return "".join(parts)


def digit() -> str:
    """A digit on its way: the image, the spikes of the hidden neurons, the scores in integers, the answer."""
    network = zoo.load(NETWORK)
    inputs, _ = network.samples()
    inputs = inputs[:, SAMPLE : SAMPLE + 1]
    outcome = network.artifact.run(inputs)
    readout = network.artifact.network.readout
    assert readout is not None
    spikes, scores, answer = outcome.spikes[0][:, 0], outcome.scores[0], int(outcome.classes[0])
    image = image_of(np.asarray(inputs[:, 0], np.float64), network.saved.shape)
    assert image is not None
    top, tall = 26, 168
    supports = readout.weight[answer] > 0
    below = top + tall + 17
    content = (
        text(2, 14, "a digit", attributes=' font-weight="bold"')
        + pixels(image, 0, top + 34, 92)
        + text(2, top + 34 + 92 + 16, f"{int((inputs > 0).sum()):,} spikes", attributes=' class="pale"')
        + text(102, 14, f"{spikes.shape[1]} Izhikevich neurons", attributes=' font-weight="bold"')
        + f'<path class="line" stroke="var(--pale)" d="M102 {top}v{tall}h176"/>\n'
        + raster(spikes, supports, 104, top + 1.5, 174 / len(spikes), (tall - 4) / spikes.shape[1])
        + text(102, below, f"{len(spikes)} time steps →", attributes=' class="pale"')
        + text(278, below, f"{int(spikes.sum())} spikes", "end", ' class="pale"')
        + text(290, 14, "integers", attributes=' font-weight="bold"')
        + bars(scores, 302, top, 98, tall)
        + text(400, below, f"{scores[answer]}: it is {answer}", "end", ' font-weight="bold"')
    )
    return picture(
        "digit",
        f"A handwritten {answer} becomes {int(spikes.sum())} spikes of {spikes.shape[1]} neurons in {len(spikes)} time"
        f" steps, and a score of each class; that of {answer} is the largest, {scores[answer]}.",
        below + 6, content,
    )  # fmt: skip


def curve(trace: Trace, x: float, y: float, width: float, height: float) -> str:
    """v of a neuron between −90 and 30 mV: the highest and the lowest value of each pixel in their order."""
    v = np.where(trace.spikes > 0, 30.0, np.minimum(trace.v, 30.0))
    columns = np.array_split(np.arange(len(v)), min(len(v), round(1.2 * width)))
    chosen = sorted({int(c[f(v[c])]) for c in columns for f in (np.argmin, np.argmax)})
    points = (f"{x + width * k / (len(v) - 1):.1f} {y + height * (30 - v[k]) / 120:.1f}" for k in chosen)
    return f'<path class="line" stroke="var(--first)" d="M{"L".join(points)}"/>\n'


def stimulus(trace: Trace, x: float, y: float, width: float, height: float) -> str:
    """The current below it, scaled; only where it changes its slope."""
    low, span = trace.current.min(), float(np.ptp(trace.current)) or 1.0
    level = (trace.current - low) / span
    corners = [0, *(np.flatnonzero(np.abs(np.diff(level, 2)) > 1e-6) + 1), len(level) - 1]
    points = (f"{x + width * k / (len(level) - 1):.1f} {y + height * (1 - level[k]):.1f}" for k in corners)
    return f'<path class="line" stroke="var(--second)" d="M{"L".join(points)}"/>\n'


def patterns() -> str:
    """Eight of the twenty firing patterns, in a row of four and another."""
    parts, across, down = [], 102.0, 92.0
    for number, name in enumerate(PATTERNS):
        trace, x, y = run_pattern(name), across * (number % 4), down * (number // 4)
        parts.append(text(x, y + 11, name))
        parts.append(curve(trace, x, y + 18, across - 10, 46))
        parts.append(stimulus(trace, x, y + 68, across - 10, 9))
    return picture(
        "patterns", f"v of eight neurons over time, and the current into each: {', '.join(PATTERNS)}.", 172,
        "".join(parts),
    )  # fmt: skip


def main(folder: str) -> None:
    for name, drawn in (("home-digit.svg", digit()), ("home-patterns.svg", patterns())):
        files.write_bytes(Path(folder) / name, drawn.encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
