"""States of few bits in a trained LIF network: Izhi's fixed-point numbers beside snnTorch's ``state_quant``.

    izhi train --dataset mnist --neuron lif --readout current --out runs/lif
    python benchmarks/state_quant.py runs/lif

Weights stay float; nothing is trained further. snnTorch rounds the membrane to one of 2^bits levels after
each step, here between limits of its defaults (−threshold … 1.2·threshold) and between the range that the
membrane really has; Izhi rounds and saturates current, leak and membrane as a datapath does.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import snntorch as snn
import torch
from snntorch.functional import quant

from izhi import training
from izhi.experiments import trained
from izhi.experiments.sweep import FloatRun
from izhi.neurons import LIF
from izhi.quantization import calibration
from izhi.training import Classifier, RunFolder
from izhi.training.loop import TEST, derive_seed
from izhi.training.losses import predict


def in_snntorch(run: trained.Trained, quantizers: list[object], batch: int = 50) -> float:
    """Test accuracy of the network with snnTorch's neurons, one quantiser for each layer."""
    e, network = run.experiment, run.network.eval()
    encoder = Classifier(e, network, run.dataset.shape).eval()
    right = 0
    for step, index in enumerate(torch.arange(len(run.dataset.test)).split(batch)):
        values, labels = run.dataset.test.batch(index)
        spikes = encoder.encode(values, derive_seed(e.seed, TEST, step, 0))
        for layer, quantizer in zip(network.layers, quantizers, strict=True):
            drive, _ = layer.drive(spikes)
            current = drive.current + (0 if drive.bias is None else drive.bias)
            beta, threshold = (float(x) for x in layer.neuron.coefficients())
            neuron = snn.Leaky(beta=beta, threshold=threshold, state_quant=quantizer)
            membrane, out = neuron.init_leaky(), []
            for now in current:
                fired, membrane = neuron(now, membrane)
                out.append(fired)
            spikes = torch.stack(out)
        output = spikes if network.readout is None else network.readout(spikes)
        if network.readout is not None:
            output = output.current + (0 if output.bias is None else output.bias)
        right += int((predict(output, e.loss) == labels).sum())
    return right / len(run.dataset.test)


def ours(path: Path, bits: int) -> float:
    """Test accuracy with states of that many bits, formats chosen by calibration."""
    float_run = FloatRun.load(path)
    e = float_run.experiment.model_copy(update={"state_bits": bits})
    fabric = training.start_fabric(e)
    from izhi import data

    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder(Path(place) / "run")
        folder.open(e, resume=False)
        dataset = data.load(e.dataset)
        return training.quantize(fabric, e, dataset, folder, float_run.weights).test_accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--bits", default="8,7,6,5,4", help="comma-separated [%(default)s]")
    a = parser.parse_args()
    run = trained.load(a.run, {"precision": "32-true"})
    if not all(isinstance(layer.neuron, LIF) for layer in run.network.layers):
        parser.error(f"{a.run} has other neurons, expected a run of --neuron lif")
    values, _ = run.dataset.train.batch(torch.arange(256))
    encoder = Classifier(run.experiment, run.network, run.dataset.shape).eval()
    ranges = calibration.ranges(run.network, encoder.encode(values, 0))
    thresholds = [float(layer.neuron.coefficients()[1]) for layer in run.network.layers]
    with torch.no_grad():
        print(f"float: {100 * in_snntorch(run, [None] * len(ranges)):.2f} %")
        print("| bits | izhi | state_quant, default limits | state_quant, limits by range |")
        print("|---|---|---|---|")
        for bits in map(int, a.bits.split(",")):
            usual = [quant.state_quant(num_bits=bits, threshold=t) for t in thresholds]
            fitted = [
                quant.state_quant(num_bits=bits, threshold=t, lower_limit=v / t - 1, upper_limit=v / t - 1)
                for t, (v, _) in zip(thresholds, ranges, strict=True)
            ]  # fmt: skip
            found = [ours(a.run, bits), *(in_snntorch(run, q) for q in (usual, fitted))]
            print(f"| {bits} | " + " | ".join(f"{100 * x:.2f}" for x in found) + " |", flush=True)


if __name__ == "__main__":
    main()
