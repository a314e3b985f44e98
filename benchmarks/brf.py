"""Published balanced resonate-and-fire networks in Izhi, in plain torch, with 8-bit weights and in integers.

    python benchmarks/brf.py [smnist psmnist] [--images 10000] [--integers 1000] [--batch 500] [--state-bits 16]

The weights are those of $IZHI_DATA/brf/NAME.npz, the images those of MNIST's test set, pixel by pixel. Higuchi et al.
2024 read S-MNIST's answer from the last step of the readout, and PS-MNIST's from the mean over the steps.

The first table compares Izhi with plain torch, both in float32. They round sums in another order, and a spike that the
rounding decides changes the spikes after it. The margin is |v − 1 − q|, in double precision, of the neurons whose
spikes are the first of an image to differ. Images whose spikes differ are evaluated again, by both in double precision.

The second table has 8-bit weights and states of a few bits, in torch and in integers (izhi.fixed), on the first images.
A pixel is given as its 8 bits, each an input of its own whose weight is a power of two times the pixel's. The formats
are calibrated on 32 training images.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from izhi import data, fixed, quantization
from izhi.errors import SlowKernelWarning
from izhi.network import Network, resonators

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "network"))
plain = import_module("test_balanced").plain

WEIGHTS = ("omega", "b_offset", "weight", "tau", "out")
#: Significance of the bits of a pixel.
POWERS = 2 ** torch.arange(7, -1, -1)
CALIBRATION = 32


class Task(NamedTuple):
    """A published network and its images."""

    weights: dict[str, Any]
    permutation: Tensor
    reads_last_step: bool

    @classmethod
    def load(cls, name: str) -> Task:
        with np.load(Path(os.environ["IZHI_DATA"], "brf", f"{name}.npz")) as arrays:
            order = arrays["permutation"] if "permutation" in arrays else np.arange(784)
            weights = {key: arrays[key] for key in WEIGHTS}
        return cls(weights, torch.from_numpy(order), "permutation" not in arrays)

    def pixels(self, images: Tensor) -> Tensor:
        """Whole numbers (784, B, 1) from 0 to 255."""
        return images.flatten(1)[:, self.permutation].T[..., None].int()

    def predict(self, output: Tensor) -> Tensor:
        """Classes of outputs (T, B, classes)."""
        return (output[-1] if self.reads_last_step else output.mean(0)).argmax(1)


@dataclass
class Comparison:
    """Sums over batches: float32 in plain torch and in Izhi, and double precision where spikes of float32 differ."""

    right: list[int] = field(default_factory=lambda: [0, 0])
    spikes: list[int] = field(default_factory=lambda: [0, 0])
    other_classes: int = 0
    odd_images: int = 0
    odd_spikes: int = 0
    odd_in_double: int = 0
    margin: float = 0.0


def batches(task: Task, images: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Pixels and labels of the first test images."""
    test = data.load("mnist").test
    assert isinstance(test, data.Samples)
    for begin in range(0, images, size):
        chosen = slice(begin, min(begin + size, images))
        yield task.pixels(test.inputs[chosen]), test.labels[chosen]


def first_margin(weights: dict[str, Any], x: Tensor, a: Tensor, b: Tensor) -> float:
    """The greatest |v − 1 − q| of the neurons whose spikes in a and b (T, B, N) differ first, in double precision.

    The recurrence gets the spikes of a, as inputs.
    """
    count = len(weights["omega"])
    without = torch.cat([weights["weight"], torch.zeros(count, count)], 1)
    layer = resonators(**{**weights, "weight": without}).double().layers[0]
    inputs = torch.cat([x, torch.cat([torch.zeros_like(a[:1]), a[:-1]]).double()], 2)
    first = (a != b).any(2).int().argmax(0)
    largest, state = 0.0, None
    for t in range(int(first.max()) + 1):
        q = 0.0 if state is None else state.q
        _, state = layer(inputs[t : t + 1], state)
        differs = (a[t] != b[t]) & (first == t)[:, None]
        if differs.any():
            largest = max(largest, float((state.v - 1 - q).abs()[differs].max()))
    return largest


def compare(task: Task, images: int, size: int) -> Comparison:
    """Evaluate the first test images in float32, and in double precision those whose spikes differ."""
    single: dict[str, Any] = {key: torch.from_numpy(value.copy()) for key, value in task.weights.items()}
    double = {key: value.double() for key, value in single.items()}
    network, precise = resonators(**single), resonators(**single).double()
    sums = Comparison()
    for pixels, labels in batches(task, images, size):
        x = pixels.float() / 255
        (expected, known), (spikes, output) = plain(x, **single), run(network, x)
        classes = [task.predict(known), task.predict(output)]
        sums.right = [n + int((one == labels).sum()) for n, one in zip(sums.right, classes, strict=True)]
        sums.spikes = [n + int(z.sum()) for n, z in zip(sums.spikes, (expected, spikes), strict=True)]
        sums.other_classes += int((classes[0] != classes[1]).sum())
        sums.odd_spikes += int((spikes != expected).sum())
        odd = (spikes != expected).any(2).any(0)
        if odd.any():
            x, a, b = x[:, odd].double(), expected[:, odd], spikes[:, odd]
            sums.odd_images += int(odd.sum())
            sums.odd_in_double += int((plain(x, **double)[0] != run(precise, x)[0]).sum())
            sums.margin = max(sums.margin, first_margin(single, x, a, b))
    return sums


def run(network: Network, x: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes and outputs of a network."""
    recording = network.record(x)
    return recording.spikes[0], recording.output


def in_bits(pixels: Tensor) -> Tensor:
    """Whole numbers (T, B, 1) as bits (T, B, 8)."""
    return ((pixels & POWERS.int()) > 0).float()


def quantise(task: Task, images: int, size: int, per_neuron: bool, state_bits: int, fraction: int) -> list[str]:
    """Rows of float32, of torch with 8-bit weights, and of integers."""
    weight = task.weights["weight"]
    planes = weight[:, :1] * POWERS.numpy().astype(np.float32) / 255
    whole = resonators(**{**task.weights, "weight": np.concatenate([planes, weight[:, 1:]], 1)})
    layers, train = Network([whole.layers[0]]), data.load("mnist").train
    assert isinstance(train, data.Samples)
    training = in_bits(task.pixels(train.inputs[:CALIBRATION]))
    formats = quantization.formats(layers, training, state_bits, fraction=fraction)
    rounded = quantization.quantized(layers, 8, formats, per_neuron=per_neuron).eval()
    integers = quantization.in_integers(rounded)
    out = task.weights["out"]
    scale = np.abs(out).max() / 127
    of_rounded = np.rint(out / scale) * scale
    readouts = [
        Network([], resonators(**{**task.weights, "out": one}).readout) for one in (out, of_rounded, of_rounded)
    ]
    rows = {name: [0, 0, 0] for name in ("float32", "8-bit weights in torch", "integers")}
    odd = 0
    for pixels, labels in batches(task, images, size):
        x = in_bits(pixels)
        spikes = [layers(x)[0], rounded(x)[0]]
        of_integers = fixed.run(integers, x.numpy().astype(np.uint8)).spikes[0]
        spikes.append(torch.from_numpy(of_integers).float())
        odd += int((spikes[1] != spikes[2]).sum())
        for name, z, readout in zip(rows, spikes, readouts, strict=True):
            classes = task.predict(readout(z)[0])
            rows[name][0] += len(labels)
            rows[name][1] += int((classes == labels).sum())
            rows[name][2] += int(z.sum())
    lines = [
        f"| {name} | {100 * right / count:.1f} % | {spikes / count:,.1f} |"
        for name, (count, right, spikes) in rows.items()
    ]
    return [f"formats {formats[0].states}, spikes that differ between torch and integers: {odd}", *lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["smnist", "psmnist"], metavar="NAME")
    parser.add_argument("--images", type=int, default=10_000, help="test images of the first table")
    parser.add_argument("--integers", type=int, default=1000, help="test images of the second")
    parser.add_argument("--batch", type=int, default=500, help="images of a batch")
    parser.add_argument("--state-bits", type=int, default=16, help="bits of v, u and q")
    parser.add_argument("--fraction", type=int, default=14, help="bits behind the point of coefficients")
    options = parser.parse_args()
    warnings.simplefilter("ignore", SlowKernelWarning)
    torch.set_num_threads(1)
    with torch.no_grad():
        for name in options.names:
            task = Task.load(name)
            sums, count = compare(task, options.images, options.batch), options.images
            print(f"{name}, {count:,} images in float32\n")
            print("| evaluation | accuracy | spikes an image |\n|---|---:|---:|")
            for label, right, spikes in zip(("plain torch", "Izhi"), sums.right, sums.spikes, strict=True):
                print(f"| {label} | {100 * right / count:.2f} % | {spikes / count:,.1f} |")
            print(f"\nother classes: {sums.other_classes}; images with other spikes: {sums.odd_images},", end=" ")
            print(
                f"with {sums.odd_spikes:,} of {sums.spikes[0]:,} spikes; greatest margin: {sums.margin:.1e};", end=" "
            )
            print(f"in double precision {sums.odd_in_double} of their spikes differ", flush=True)
            for per_neuron in (False, True):
                scales = "each neuron" if per_neuron else "the layer"
                print(f"\n{name}, {options.integers:,} images, a scale of weights for {scales};", end=" ")
                note, *lines = quantise(
                    task, options.integers, options.batch, per_neuron, options.state_bits, options.fraction
                )
                print(f"{note}\n\n| network | accuracy | spikes an image |\n|---|---:|---:|")
                print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
