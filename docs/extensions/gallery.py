"""The cards of the gallery from those of the zoo: picture, numbers, commands and files of each network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import generated_part

from izhi import zoo
from izhi.experiments import plots
from izhi.experiments.tables import percent
from izhi.zoo.catalogue import FILE, GOLDEN, INTEGERS, NIR, SAMPLES, WEIGHTS
from izhi.zoo.picture import draw_sample, trace_of

FOLDER = Path(__file__).parents[1] / "reference" / "gallery"
#: Inches of a picture that a telephone shows in letters of ten pixels, and of each of its rows.
_WIDTH, _ROW = 4.6, 1.1
_FILES = {
    INTEGERS: "integers",
    WEIGHTS: "weights",
    NIR: "NIR",
    GOLDEN: "golden spikes",
    SAMPLES: "samples",
    FILE: "card",
}


def sample_of(number: int, count: int) -> int:
    """The sample of a network's picture: by the network's place in the list, whatever its answer."""
    return number % count


def draw(name: str, sample: int, path: Path) -> str:
    """Draw a network's input, spikes and answer; the answer in words."""
    network = zoo.load(name)
    inputs, labels = network.samples()
    chosen = slice(sample, sample + 1)
    outcome = network.artifact.run(inputs[:, chosen])
    trace = trace_of(0, inputs[:, chosen], outcome, labels[chosen], network.classes)
    figure = draw_sample(name, network.saved.shape, trace, [spikes[:, 0] for spikes in outcome.spikes])
    figure.set_size_inches(_WIDTH, _ROW * len(figure.axes) + 0.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    plots.save(figure, path)
    return trace.verdict


def energies(card: zoo.Card) -> str:
    """The estimates in nanojoules, each beside that of a dense network of the same shape."""
    return "; ".join(
        f"{technology} {own:,.0f} nJ (dense {dense:,.0f})" for technology, (own, dense) in card.nanojoules.items()
    )


def facts(card: zoo.Card) -> dict[str, str]:
    """The numbers of a card, by what they are."""
    seeds = f"seeds {', '.join(map(str, card.seeds))}" if len(card.seeds) > 1 else "one seed"
    size = (card.folder / INTEGERS).stat().st_size
    layers = f"{len(card.layers)} layer{'s' * (len(card.layers) > 1)}"
    cycles = "" if card.cycles is None else f", {card.cycles:,} clock cycles"
    return {
        "accuracy, float": f"{percent(card.accuracies)} % ({seeds})",
        "accuracy, integers": f"{100 * card.integer_accuracy:.2f} % (seed {card.seeds[0]}; {card.weight_bits}-bit"
        f" weights, {card.state_bits}-bit states; {size / 1000:,.0f} kB)",
        "network": f"{sum(card.layers):,} neurons in {layers}, {card.parameters:,} parameters",
        "a sample": f"{card.steps:,} time steps, {card.spikes:,.0f} spikes{cycles}",
        "its energy, an estimate": energies(card),
        "data": card.licence,
        "limits": card.limits,
    }  # fmt: skip


def section(card: zoo.Card, sample: int) -> str:
    """The card of one network in Markdown; its picture is drawn beside it."""
    verdict = draw(card.name, sample, FOLDER / f"{card.name}.svg")
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts(card).items())
    files = ", ".join(f"{{download}}`{about} </{_of_site(card.folder / x)}>`" for x, about in _FILES.items())
    return f"""## {card.name}

{card.about[:1].upper()}{card.about[1:]}.

    izhi zoo run {card.name} --sample {sample}
    izhi zoo evaluate {card.name}

<div class="network">
<div>

![input, spikes of each layer and scores of test sample {sample}: {verdict}](reference/gallery/{card.name}.svg)

</div>
<div>

| | |
|---|---|
{rows}

Files: {files}.

</div>
</div>
"""


def _of_site(path: Path) -> str:
    return path.relative_to(Path(__file__).parents[2]).as_posix()


def sections() -> str:
    """The cards of all networks."""
    cards = zoo.cards()
    return "\n".join(
        section(card, sample_of(number, len(zoo.load(card.name).samples()[1]))) for number, card in enumerate(cards)
    )


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    generated_part.insert(app, "docs/gallery", "<!-- the networks -->", sections)
    return {"parallel_read_safe": True}
