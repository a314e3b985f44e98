"""Train the networks of the zoo again, and write their files and cards into src/izhi/zoo/networks.

    python benchmarks/zoo.py                       # all; make zoo does this
    python benchmarks/zoo.py mnist-lif ecg --build build/zoo

Each network has a table in experiments/zoo/networks.toml, and its settings in the file of its name beside it. What a
stopped build has finished stays, and the same command goes on. One thread, with which the same numbers come again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from izhi.cli import main as izhi
from izhi.data.catalogue import data_root
from izhi.experiments import run_folder, trained
from izhi.training import checkpoint
from izhi.zoo.catalogue import FILE, FOLDER, GOLDEN, INTEGERS, NIR, SAMPLES, WEIGHTS, Card
from izhi.zoo.pretrained import write_weights

SETTINGS = Path(__file__).resolve().parents[1] / "experiments" / "zoo"
#: Test samples that come with a network, those of its golden spikes, and those that the core simulates.
CARRIED, GOLDEN_SAMPLES, ON_CORE = 10, 2, 2


def run(words: list[str], result: Path) -> Any:
    """The result of a command, which runs unless it has been finished before."""
    if not result.exists():
        print("izhi " + shlex.join(words), flush=True)
        if status := izhi([*words, "--json", str(result)]):
            raise SystemExit(status)
    return json.loads(result.read_text())


def made(name: str, about: dict[str, Any], build: Path, place: Path) -> Card:
    """Train, quantise, export and measure a network; its card, whose files are in the folder ``build``."""
    build.mkdir(parents=True, exist_ok=True)
    imported = shlex.split(about.get("imported", ""))
    settings = ["--config", str(place / f"{name}.toml")]
    words, begin = ["train", *settings], "izhi train"
    if imported:
        file, *options = imported
        words, begin = (
            ["nir", "import", str(data_root() / file), *options, *settings],
            f"izhi nir import {about['imported']}",
        )
    command = f"{begin} --config experiments/zoo/{name}.toml"
    accuracies = []
    for seed in about["seeds"]:
        of_seed = [] if imported else ["--seed", str(seed), "--quiet", "--resume"]
        result = run([*words, *of_seed, "--out", str(build / f"seed-{seed}")], build / f"seed-{seed}.json")
        accuracies.append(result["test_accuracy"])
    first, whole = build / f"seed-{about['seeds'][0]}", build / "quantised"
    bits = [
        "--weights",
        str(about["weights"]),
        "--states",
        str(about["states"]),
        "--method",
        about.get("method", "qat-after-ptq"),
    ]
    resumed = ["--resume"] if whole.exists() else []
    run(["quantize", str(first), *bits, "--quiet", *resumed, "--out", str(whole)], build / "quantised.json")
    artifact, carried = build / INTEGERS, str(CARRIED)
    run(["export", str(whole), "--out", str(artifact), "--samples", carried], build / "export.json")
    run(["nir", "export", str(first), str(build / NIR), "--samples", str(GOLDEN_SAMPLES)], build / "nir.json")
    tested = run(["run", str(artifact)], build / "integers.json")
    core = None
    if about.get("core", True):
        words_of_core = ["run", str(artifact), "--device", "simulator", "--samples", str(ON_CORE), "--compare"]
        core = run(words_of_core, build / "core.json")
    energy = run(["evaluate", str(whole), "--energy"], build / "energy.json")
    content = checkpoint.load(first / checkpoint.NAME)
    write_weights(build / WEIGHTS, content)
    saved = run_folder.saved_of(first, content)
    network = trained.network_of(saved, saved.shape, len(saved.classes))
    counted = tested["counters"]
    files = (WEIGHTS, INTEGERS, NIR, GOLDEN, SAMPLES)
    nanojoules = {
        x["technology"]: (round(x["network"], 1), round(x["dense_twin"], 1))
        for x in energy["energy"]["estimated_nanojoules"]
    }
    return Card(
        name=name, about=about["about"], dataset=saved.experiment.data.dataset, licence=about["licence"],
        limits=about["limits"], command=command, seeds=tuple(about["seeds"]),
        accuracies=tuple(round(x, 6) for x in accuracies),
        integer_accuracy=round(tested["accuracy"], 6), weight_bits=about["weights"], state_bits=about["states"],
        layers=tuple(network.neurons(saved.inputs)),
        parameters=sum(x.numel() for x in network.parameters() if x.requires_grad),
        spikes=round(counted["spikes"] / tested["samples"], 1),
        nanojoules=nanojoules, cycles=None if core is None else round(core["counters"]["cycles"] / core["samples"]),
        steps=saved.experiment.coding.steps, versions=run_folder.versions(),
        files={file: hashlib.sha256((build / file).read_bytes()).hexdigest() for file in files},
    )  # fmt: skip


def main() -> None:
    """Make the networks that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks [all]")
    parser.add_argument("--build", type=Path, default=Path("build/zoo"))
    parser.add_argument("--settings", type=Path, default=SETTINGS, help="folder of networks.toml")
    parser.add_argument("--networks", type=Path, default=FOLDER, help="folder of the results")
    options = parser.parse_args()
    tables = tomllib.loads((options.settings / "networks.toml").read_text())
    for name in options.names or tables:
        card = made(name, tables[name], options.build / name, options.settings)
        folder = options.networks / name
        folder.mkdir(parents=True, exist_ok=True)
        for file in card.files:
            shutil.copy(options.build / name / file, folder / file)
        (folder / FILE).write_text(json.dumps(card.model_dump(mode="json"), indent=1) + "\n")
        print(f"{folder}: {sum(x.stat().st_size for x in folder.iterdir()):,} bytes")


if __name__ == "__main__":
    main()
