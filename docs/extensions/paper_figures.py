"""Figures that a paper can take, as SVG and PDF, for the page of figures and by ``make figures``.

python docs/extensions/paper_figures.py build/figures
"""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import generated_part
import yaml

from izhi import cli

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "reference" / "figures"
FORMATS = ("svg", "pdf")


@dataclass(frozen=True)
class PaperFigure:
    """A figure.

    Attributes:
        name: of its files.
        caption: what a paper says below it.
        command: that draws it; OUT is the file.
        page: with the method, below docs/.
    """

    name: str
    caption: str
    command: str
    page: str


FIGURES = (
    PaperFigure(
        "firing-patterns",
        "Twenty firing patterns of the Izhikevich neuron (parameters and stimuli of Izhikevich, 2004). Blue: membrane"
        " potential v; green: current, scaled.",
        "izhi simulate --all --out OUT", "neurons.md",
    ),
    PaperFigure(
        "digit-in-integers",
        "A test image of MNIST in a network of 784-128-10 normalised Izhikevich neurons with 4-bit weights and 16-bit"
        " states: rate-coded input, spikes of the hidden layer, and integer scores of the classes.",
        "izhi zoo run mnist-normalized --out OUT", "zoo.md",
    ),
    PaperFigure(
        "electrocardiogram",
        "An electrocardiogram of the QT Database as level crossings of two leads, the spikes of two layers of"
        " resonators (8-bit weights), and the wave named at each step beside its label.",
        "izhi zoo run ecg --sample 1 --out OUT", "results/ecg.md",
    ),
    PaperFigure(
        "event-orders",
        "Above: the order of operations within a time step in six implementations. Below: v and spikes of one neuron"
        " under one current in each of them.",
        "python benchmarks/event_orders_figure.py OUT", "event-orders.md",
    ),
    PaperFigure(
        "resonators",
        "Impulse responses and frequency tuning of resonators, and the states of 64 resonators of spread frequencies"
        " that see a digit pixel by pixel.",
        "python benchmarks/resonators_figure.py OUT", "neurons.md",
    ),
    PaperFigure(
        "temporal-ranks",
        "Mean ranks of test accuracy of twelve variants over twelve temporal tasks; bars join variants that do not"
        " differ by Nemenyi's critical difference.",
        'izhi redraw docs/results/temporal --figure ranks --title "mean rank of test accuracy, 12 tasks" --out OUT',
        "results/temporal.md",
    ),
    PaperFigure(
        "training-step",
        "Time of a training step of 784-512-10, batch 256, on two threads of an AMD EPYC, float32 unless stated:"
        " medians of three rounds. Grey: linear layers without neurons.",
        "python benchmarks/speed_figure.py docs/results/benchmarks/amd-epyc-2-threads.json OUT", "results/speed.md",
    ),
)  # fmt: skip


def draw(figure: PaperFigure, path: Path) -> None:
    """Run the command of a figure in this process; RuntimeError if it fails."""
    program, *words = (str(path.resolve()) if word == "OUT" else word for word in shlex.split(figure.command))
    before, arguments = Path.cwd(), sys.argv
    os.chdir(ROOT)
    sys.argv = words
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            if program == "python":
                runpy.run_path(words[0], run_name="__main__")
            elif cli.main(words):
                raise RuntimeError(f"{figure.command} failed, expected {path}")
    finally:
        os.chdir(before)
        sys.argv = arguments


def draw_all(folder: Path) -> None:
    """Every figure in each format."""
    folder.mkdir(parents=True, exist_ok=True)
    for figure in FIGURES:
        for ending in FORMATS:
            draw(figure, folder / f"{figure.name}.{ending}")


def section(figure: PaperFigure) -> str:
    """A figure on the page, with its caption, its command and its files."""
    title = figure.name.replace("-", " ")
    files = ", ".join(f"{{download}}`{x.upper()} <reference/figures/{figure.name}.{x}>`" for x in FORMATS)
    return f"""## {title[:1].upper()}{title[1:]}

![{figure.caption}](reference/figures/{figure.name}.svg)

{figure.caption} [Method]({figure.page}). {files}.

    {figure.command}
"""


def bibtex(citation: Mapping[str, Any]) -> str:
    """An entry of BibTeX from the content of CITATION.cff."""
    names = (x.get("name") or f"{x['family-names']}, {x['given-names']}" for x in citation["authors"])
    fields = {
        "author": " and ".join(f"{{{name}}}" for name in names),
        "title": f"{{{citation['title']}}}",
        "version": citation["version"],
        "year": str(citation["date-released"])[:4] if "date-released" in citation else None,
        "doi": citation.get("doi"),
        "url": citation.get("repository-code") or citation.get("url"),
    }
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
    return f"@software{{izhi,\n{lines}}}\n"


def sections() -> str:
    """All figures, and how to cite Izhi."""
    draw_all(FOLDER)
    entry = bibtex(yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8")))
    cited = f"## Cite Izhi\n\nFrom `CITATION.cff`:\n\n```bibtex\n{entry}```\n"
    return "\n".join([cited, *map(section, FIGURES)])


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    generated_part.insert(app, "docs/figures", "<!-- citation and figures -->", sections)
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    draw_all(Path(sys.argv[1]))
