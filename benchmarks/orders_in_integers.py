"""Izhikevich neurons of every event order and reset from training to integers and C, by the commands that a user types.

    python benchmarks/orders_in_integers.py [--dataset digits] [--epochs 10] [--samples 360] [--seed 0]
        [--neurons biological,normalized,resonator] [--orders …] [--resets value]

Each network trains with the defaults of its neuron, is rounded to weights of 8 bits and states of 16 without further
training, exported, compiled as C and run on test samples. The table has the accuracy of the float network and of the
integers on all test samples, and the spikes of each layer in C that differ from the integer model's; or why a
combination is refused.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from izhi import ORDERS, cli


def said(*command: object) -> str:
    """What a command prints.

    Raises:
        RuntimeError: with the last line of its errors, if it fails.
    """
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        status = cli.main([str(x) for x in command])
    if status:
        raise RuntimeError(errors.getvalue().strip().splitlines()[-1])
    return out.getvalue()


def row(a: argparse.Namespace, settings: Sequence[str], folder: Path) -> list[str]:
    """Accuracy in float and in integers, and the spikes of each layer that differ in C."""
    run, rounded, usual = folder / "run", folder / "rounded", folder / "usual.toml"
    usual.touch()  # a file of settings keeps the defaults, whatever the data
    options = ["--dataset", a.dataset, "--config", usual, "--hidden", a.hidden, "--epochs", a.epochs, "--steps", 25]
    said("train", *options, *settings, "--learning-rate", "3e-3", "--seed", a.seed, "--quiet", "--out", run)
    said("quantize", run, "--weights", 8, "--states", 16, "--method", "ptq", "--quiet", "--out", rounded)
    said("export", rounded)
    printed = said("run", rounded / "network.izhi", "--device", "c", "--samples", a.samples, "--compare")
    shares = [re.findall(r"accuracy: ([\d.]+) %", said("evaluate", x)) for x in (run, rounded)]
    spikes = re.findall(r"layer \d+: ([\d,]+ spikes, \d+) different", printed)
    return [*(f"{found[0]} %" for found in shares), "; ".join(spikes)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--hidden", default="32")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--samples", type=int, default=360)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--neurons", default="biological,normalized,resonator")
    parser.add_argument("--orders", default=",".join(ORDERS))
    parser.add_argument("--resets", default="value")
    a = parser.parse_args(arguments)
    print("| neuron | order | reset | float | integers | spikes of each layer in C; those that differ |")
    print("|---|---|---|---|---|---|", flush=True)
    for neuron, order, reset in itertools.product(a.neurons.split(","), a.orders.split(","), a.resets.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            try:
                cells = row(a, ["--neuron", neuron, "--order", order, "--reset", reset], Path(folder))
            except RuntimeError as error:
                cells = [str(error), "", ""]
        print(f"| {' | '.join([neuron, order, reset, *cells])} |", flush=True)


if __name__ == "__main__":
    main()
