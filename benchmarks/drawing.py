"""The networks and recordings of the page on which one draws digits, from those of the zoo; and how fast it runs.

    python benchmarks/drawing.py files src/izhi/explorer/web/draw  # writes them; needs a C compiler for WebAssembly
    python benchmarks/drawing.py speed                             # times steps and frames in Chromium

Recordings are the first test sample of each class, or the first test samples if each of their steps has a label; they
need the data sets. For the speed of 784-512-10, the page's networks have each hidden neuron four times, so that spikes
are as many as those of digits. Drives a Chromium that is installed, without a window, through Playwright.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import sys
import tempfile
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from izhi import zoo
from izhi.experiments import samples
from izhi.hardware.artifact import IntegerArtifact, load_integers
from izhi.hardware.c import webassembly

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
served = import_module("served").served

DRAWING = Path(__file__).parents[1] / "src" / "izhi" / "explorer" / "web" / "draw"
#: Networks that read digits, by their own artifacts, and those of the zoo.
OWN, ZOO = ("lif", "izhikevich"), ("ecg", "activities", "spoken-digits")
#: Recordings → the network of the zoo whose inputs they are, and how many test samples are searched for all classes.
RECORDED = {
    "digits": ("mnist-lif", 256), "ecg": ("ecg", 4), "activities": ("activities", 3200),
    "spoken-digits": ("spoken-digits", 3200),
}  # fmt: skip
#: Copies of each hidden neuron that make 512 of 128.
COPIES = 4
_PAGE = """<!doctype html><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<link rel="stylesheet" href="draw/draw.css"><div id="draw"><p role="status"></p></div>
<script type="module" src="draw/draw.js"></script>"""
#: Milliseconds of a step, the median of so many, and frames in a second.
_STEPS = """async (folders) => {
  const { Network, rate } = await import("/network.js"), { steps, samples } = await (
    await fetch("/draw/recordings/digits.json")).json(), found = {}
  for (const folder of folders) {
    const network = await Network.load(new URL(folder, location.origin))
    const inputs = network.stepsOf({ inputs: samples[0].inputs }), took = []
    for (let k = 0; k < 40; k++) {
      const started = performance.now()
      for (const x of inputs) network.step(x)
      took.push((performance.now() - started) / inputs.length)
      network.reset()
    }
    found[folder] = took.sort((a, b) => a - b)[20]
  }
  return found
}"""
_DRAWN = """() => {
  const once = [...document.querySelectorAll("#draw button")].find((x) => x.textContent === "One step"), took = []
  for (let k = 0; k < 200; k++) {
    const started = performance.now()
    once.click()
    took.push(performance.now() - started)
  }
  return took.sort((a, b) => a - b)[100]
}"""
_FRAMES = """() => new Promise((done) => {
  const times = [], see = (at) => {
    times.push(at)
    if (at - times[0] < 3000) requestAnimationFrame(see)
    else done((1000 * (times.length - 1)) / (at - times[0]))
  }
  requestAnimationFrame(see)
})"""


def text(numbers: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(numbers.tobytes()).decode()


def recordings(name: str, searched: int) -> dict[str, Any]:
    """Test samples of a network, their inputs and labels in base64, as the page reads them."""
    made = zoo.load(name).artifact
    inputs, labels = samples.joined(samples.batches(made, samples.dataset_of(made), searched))
    if labels.ndim > 1:
        chosen = list(range(searched))
    else:
        chosen = [int(np.flatnonzero(labels == k)[0]) for k in range(len(made.classes)) if (labels == k).any()]
    bits = 1 if inputs.max() <= 1 else 8
    taken = inputs[:, chosen].transpose(1, 0, 2).reshape(len(chosen), -1)
    packed = np.packbits(taken, axis=1, bitorder="little") if bits == 1 else taken
    return {
        "licence": zoo.card(name).licence, "input_bits": bits,
        "samples": [
            {"number": number, "inputs": text(one), "labels": text(np.atleast_1d(labels[number]).astype(np.int8))}
            for number, one in zip(chosen, packed, strict=True)
        ],
    }  # fmt: skip


def write(folder: Path) -> None:
    """Write networks and recordings into the folder of the page."""
    artifacts = {name: load_integers(DRAWING / name / "network.izhi") for name in OWN}
    artifacts |= {name: zoo.load(name).artifact for name in ZOO}
    for name, made in artifacts.items():
        with tempfile.TemporaryDirectory() as made_in:
            webassembly.write(made, Path(made_in))
            (folder / name).mkdir(parents=True, exist_ok=True)
            for file in ("network.json", "network.wasm"):
                shutil.copy(Path(made_in) / file, folder / name / file)
    (folder / "recordings").mkdir(exist_ok=True)
    for name, (network, searched) in RECORDED.items():
        (folder / "recordings" / f"{name}.json").write_text(json.dumps(recordings(network, searched)))


def widened(made: IntegerArtifact) -> IntegerArtifact:
    """An artifact of two layers with each hidden neuron so many times."""
    hidden, output = made.network.layers

    def tiled(owner: Any) -> Any:
        arrays = {
            x.name: getattr(owner, x.name) for x in fields(owner) if isinstance(getattr(owner, x.name), np.ndarray)
        }
        return replace(owner, **{name: np.concatenate([values] * COPIES) for name, values in arrays.items()})

    wide = replace(tiled(hidden), neuron=tiled(hidden.neuron))
    last = replace(output, weight=np.concatenate([output.weight] * COPIES, axis=1))
    return replace(
        made, network=replace(made.network, layers=(wide, last)), test_inputs=made.test_inputs[:, :0],
        test_scores=made.test_scores[:0],
    )  # fmt: skip


def speed() -> None:
    """Print how long a step takes, and how many frames a second the page shows, by the number of hidden neurons."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        sys.exit("no Chromium is installed")
    with tempfile.TemporaryDirectory() as given, sync_playwright() as playwright:
        folder = Path(given)
        shutil.copytree(DRAWING, folder / "draw")
        shutil.copy(webassembly.SCRIPT, folder)
        (folder / "page.html").write_text(_PAGE)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for hidden in (128, 128 * COPIES):
            if hidden > 128:
                for name in OWN:
                    webassembly.write(widened(load_integers(DRAWING / name / "network.izhi")), folder / "draw" / name)
            with served(folder) as address:
                page = browser.new_page(viewport={"width": 1400, "height": 900})
                page.goto(f"{address}/page.html")
                page.locator("#draw[data-ready]").wait_for(state="attached")
                frames = page.evaluate(_FRAMES)
                page.get_by_role("button", name="Pause").click()
                drawn = page.evaluate(_DRAWN)
                took = page.evaluate(_STEPS, [f"draw/{name}/" for name in OWN])
                page.close()
            steps = ", ".join(f"{name} {1000 * took[f'draw/{name}/']:.0f} µs" for name in OWN)
            print(
                f"784-{hidden}-10: a step takes {steps}; with its pictures, of both, {drawn:.1f} ms;"
                f" {frames:.1f} frames a second"
            )
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("files").add_argument("folder", type=Path)
    commands.add_parser("speed")
    chosen = parser.parse_args()
    write(chosen.folder) if chosen.command == "files" else speed()


if __name__ == "__main__":
    main()
