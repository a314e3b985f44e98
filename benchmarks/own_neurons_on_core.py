"""Neurons of the literature from training to a simulated core, by the commands that a user types.

    python benchmarks/own_neurons_on_core.py [--dataset digits] [--epochs 15] [--samples 100] [--seeds 0,1,2]
        [--neurons multi_timescale_threshold,symplectic_adaptive_lif,two_compartment_lif]

Each neuron of ``izhi.equation.literature`` that integers have trains with a learned first parameter, is quantised to
weights of 8 bits and states of 16 and trained further, exported, and run on a simulated core. The table has the
accuracy of the float network and of the quantised one on all test samples, and the spikes of each layer on the core
that differ from the integer model's.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from izhi import cli
from izhi.equation import literature

USUAL = "multi_timescale_threshold,symplectic_adaptive_lif,two_compartment_lif"


def said(*command: object) -> str:
    """What a command prints.

    Raises:
        SystemExit: if it fails.
    """
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = cli.main([str(x) for x in command])
    if status:
        raise SystemExit(f"izhi {' '.join(map(str, command))} failed:\n{out.getvalue()}")
    return out.getvalue()


def measured(a: argparse.Namespace, name: str, seed: int, folder: Path) -> tuple[float, float, list[str]]:
    """Accuracy in float and quantised, and the spikes of each layer that differ on the core."""
    run, rounded = folder / f"{name}-{seed}", folder / f"{name}-{seed}-rounded"
    model = getattr(literature, name)
    options = ["--dataset", a.dataset, "--neuron", model.reference, "--learn", next(iter(model.parameters))]
    options += ["--hidden", a.hidden, "--epochs", a.epochs, "--steps", 25, "--seed", seed, "--quiet"]
    usual = folder / "usual.toml"
    usual.touch()  # a file of settings keeps the defaults, whatever the data
    said("train", *options, "--config", usual, "--learning-rate", "3e-3", "--out", run)
    said("quantize", run, "--weights", 8, "--states", 16, "--out", rounded, "--quiet")
    said("export", rounded)
    printed = said("run", rounded / "network.izhi", "--device", "simulator", "--samples", a.samples, "--compare")
    shares = [re.findall(r"accuracy: ([\d.]+) %", said("evaluate", x)) for x in (run, rounded)]
    before, after = (float(found[0]) for found in shares)
    return before, after, re.findall(r"layer \d+: ([\d,]+ spikes, \d+) different", printed)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--hidden", default="48")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--neurons", default=USUAL)
    a = parser.parse_args(arguments)
    print(
        "| neuron | seed | float | 8-bit weights, 16-bit states | spikes of each layer on the core; those that differ |"
    )
    print("|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in a.neurons.split(","):
            for seed in map(int, a.seeds.split(",")):
                before, after, spikes = measured(a, name, seed, Path(folder))
                print(f"| {name} | {seed} | {before:.2f} % | {after:.2f} % | {'; '.join(spikes)} |", flush=True)


if __name__ == "__main__":
    main()
