"""States of few bits in a trained LIF network: Izhi's fixed-point numbers beside snnTorch's ``state_quant``.

    izhi train --dataset mnist --neuron lif --readout current --out runs/lif
    python benchmarks/state_quant.py runs/lif

Weights stay float; nothing is trained further. snnTorch rounds the membrane to one of 2^bits levels after
each step, here between limits of its defaults (−threshold … 1.2·threshold) and between the range that the
membrane really has; Izhi rounds and saturates current, leak and membrane as a datapath does. The class of a
sample is the one whose output, summed over time, is largest.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import snntorch
import torch
from snntorch.functional import quant
from torch import Tensor

from izhi import cli
from izhi.experiments import trained
from izhi.kernels import Spikes
from izhi.network.layers import Layer
from izhi.neurons import LIF
from izhi.quantization import calibration
from izhi.seeds import Purpose, derive_seed

#: Rounds a membrane; None leaves it as it is.
Quantizer = Callable[[Tensor], Tensor] | None
BATCH = 50


def layers_of(run: trained.Trained) -> list[tuple[Layer, float, float]]:
    """Each layer with the share that its membrane keeps and its threshold."""
    found = []
    for module in run.network.layers:
        layer = cast(Layer, module)
        decay, threshold = (float(x) for x in cast(LIF, layer.neuron).coefficients())
        found.append((layer, decay, threshold))
    return found


def in_snntorch(run: trained.Trained, quantizers: Sequence[Quantizer]) -> float:
    """Test accuracy of the network with snnTorch's neurons, one quantiser for each layer."""
    test = run.dataset.test
    right = 0
    for step, start in enumerate(range(0, len(test), BATCH)):
        values, labels = test.batch(slice(start, start + BATCH))
        spikes = run.encoder(values, derive_seed(0, Purpose.TEST, step))
        for (layer, decay, threshold), quantizer in zip(layers_of(run), quantizers, strict=True):
            drive, _ = layer.drive(spikes)
            neuron = snntorch.Leaky(beta=decay, threshold=threshold, state_quant=quantizer)
            membrane, fired = neuron.init_leaky(), []
            for current in drive.current if drive.bias is None else drive.current + drive.bias:
                now, membrane = neuron(current, membrane)
                fired.append(now)
            spikes = torch.stack(fired)
        right += int((output(run, spikes).sum(0).argmax(-1) == labels).sum())
    return right / len(test)


def output(run: trained.Trained, spikes: Spikes) -> Tensor:
    """What the network makes of its last layer's spikes: those, or the currents of its readout."""
    if run.network.readout is None:
        return cast(Tensor, spikes)
    drive = run.network.readout(spikes)
    return cast(Tensor, drive.current if drive.bias is None else drive.current + drive.bias)


def in_izhi(path: Path, bits: int) -> float:
    """Test accuracy with states of that many bits, formats chosen by calibration."""
    with tempfile.TemporaryDirectory() as place:
        result = Path(place) / "result.json"
        command = [
            "quantize",
            str(path),
            "--weights",
            "32",
            "--states",
            str(bits),
            "--method",
            "ptq",
        ]
        with contextlib.redirect_stdout(io.StringIO()):
            status = cli.main([*command, "--quiet", "--out", f"{place}/run", "--json", str(result)])
        if status:
            sys.exit(status)
        return float(json.loads(result.read_text())["test_accuracy"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--bits", default="8,7,6,5,4", help="comma-separated [%(default)s]")
    a = parser.parse_args(arguments)
    run = trained.load(a.run, {"precision": "32-true"})
    if not all(isinstance(layer.neuron, LIF) for layer in run.network.layers):
        parser.error(f"{a.run} has other neurons, expected a run of --neuron lif")
    values, _ = run.dataset.train.batch(slice(256))
    ranges = calibration.ranges(run.network, run.encoder(values, 0))
    thresholds = [threshold for _, _, threshold in layers_of(run)]
    with torch.no_grad():
        print(f"float: {100 * in_snntorch(run, [None] * len(ranges)):.2f} %")
        print("| bits | izhi | state_quant, default limits | state_quant, limits by range |")
        print("|---|---|---|---|")
        for bits in map(int, a.bits.split(",")):
            usual = [quant.state_quant(num_bits=bits, threshold=t) for t in thresholds]
            fitted = [
                quant.state_quant(num_bits=bits, threshold=t, lower_limit=v / t - 1, upper_limit=v / t - 1)
                for t, ((v, *_), _) in zip(thresholds, ranges, strict=True)
            ]  # fmt: skip
            found = [in_izhi(a.run, bits), *(in_snntorch(run, q) for q in (usual, fitted))]
            print(f"| {bits} | " + " | ".join(f"{100 * x:.2f}" for x in found) + " |", flush=True)


if __name__ == "__main__":
    main()
