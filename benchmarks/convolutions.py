"""Are convolutions that visit what is not 0 faster than torch's? Two Markdown tables.

    python benchmarks/convolutions.py
    python benchmarks/convolutions.py --densities 0.02,0.1,0.3 --threads 1 --rounds 5

The first table is of single convolutions of binary images (T, B, C, H, W), by the share of 1 in them: forward pass,
gradient of the weights, gradient of the images from gradients of which none is 0. The second is a training step of the
network of NIR's paper, from the zoo, on test recordings of N-MNIST, if there are any. Both ways take turns in one
process, which keeps freed memory as Izhi's training does; with ``--fresh`` it does not, as in a loop of one's own.
Times are medians of the rounds, ratios the medians of the ratios within a round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from izhi import zoo
from izhi.data import load
from izhi.errors import IzhiError
from izhi.kernels import convolve, routes
from izhi.training import keep_freed_memory

#: T·B, channels, channels of the result, size, kernel and padding.
SHAPES = {
    "12C5 → 64 on 12 × 12": (3200, 12, 64, 12, 5, 0),
    "16C5 → 32 on 14 × 14": (3200, 16, 32, 14, 5, 2),
    "32C3 → 64 on 16 × 16": (1600, 32, 64, 16, 3, 1),
    "2C3 → 32 on 34 × 34": (1600, 2, 32, 34, 3, 1),
}
SUMS, TORCH = 1.1, 0.0


@contextmanager
def sums_below(density: float) -> Iterator[None]:
    """Convolutions visit what is not 0 in images of a lower density than this, and are torch's in others."""
    before = routes.DENSE_CONVOLUTION
    routes.DENSE_CONVOLUTION = dict.fromkeys(before, (density, density))
    try:
        yield
    finally:
        routes.DENSE_CONVOLUTION = before


def milliseconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - began)


def passes(name: str, density: float, images: int | None) -> list[Callable[[], object]]:
    """The three passes of a convolution."""
    count, inputs, outputs, size, kernel, padding = SHAPES[name]
    x = (torch.rand(25, (images or count) // 25, inputs, size, size) < density).float()
    weight = torch.randn(outputs, inputs, kernel, kernel) / kernel

    def forward(x: Tensor = x, weight: Tensor = weight) -> Tensor:
        return convolve(x, weight, (1, 1), (padding, padding), (1, 1))

    def backward(wanted: Tensor, current: Tensor) -> Callable[[], object]:
        g = torch.randn(current.shape)
        return lambda: torch.autograd.grad(current, wanted, g, retain_graph=True)

    learned, seen = weight.clone().requires_grad_(), x.clone().requires_grad_()
    return [forward, backward(learned, forward(weight=learned)), backward(seen, forward(seen))]


def compared(runs: dict[float, Callable[[], object]], rounds: int) -> str:
    """Medians of both ways, and of how many times as long torch's takes, as the cells of a row."""
    for limit, run in runs.items():
        with sums_below(limit):
            run()
    times: dict[float, list[float]] = {limit: [] for limit in runs}
    for _ in range(rounds):
        for limit, run in runs.items():
            with sums_below(limit):
                times[limit].append(milliseconds(run))
    ratio = statistics.median(b / a for a, b in zip(times[SUMS], times[TORCH], strict=True))
    return f"{statistics.median(times[SUMS]):.1f} | {statistics.median(times[TORCH]):.1f} | {ratio:.2f}"


def recordings(samples: int) -> tuple[Tensor, Tensor] | None:
    """Events of N-MNIST as the network of the zoo takes them, and labels; None without the data."""
    try:
        values, labels = load("nmnist").test.batch(torch.arange(samples))
    except IzhiError:
        return None
    spikes = zoo.load("nmnist-sinabs").encoder(values, seed=0)
    return (spikes if isinstance(spikes, Tensor) else spikes.dense()), labels


def training_step(spikes: Tensor, labels: Tensor) -> Callable[[], object]:
    network = zoo.load("nmnist-sinabs").network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-5)

    def step() -> None:
        loss = nn.functional.cross_entropy(network(spikes)[0].sum(0), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def shares(text: str) -> list[float]:
    found = [float(part) for part in text.split(",")]
    if not all(0 <= share <= 1 for share in found):
        raise ValueError
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--densities", type=shares, default="0.03,0.1,0.2,0.4", help="from 0 to 1, comma-separated")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, help="T·B of each convolution, T = 25; default: as named")
    parser.add_argument("--samples", type=int, default=32, help="recordings of a training step")
    parser.add_argument("--fresh", action="store_true", help="give freed memory back to the system")
    a = parser.parse_args()
    if not a.fresh:
        keep_freed_memory()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    ways = "sums (ms) | torch (ms) | ratio"
    print(f"| convolution | density | forward: {ways} | weights: {ways} | images: {ways} |")
    print("|---|" + "---:|" * 10)
    for name in SHAPES:
        for density in a.densities:
            found = {}
            for limit in (SUMS, TORCH):
                with sums_below(limit):
                    found[limit] = passes(name, density, a.images)
            cells = [compared({limit: found[limit][k] for limit in found}, a.rounds) for k in range(3)]
            print(f"| {name} | {density:g} | {' | '.join(cells)} |", flush=True)
    samples = recordings(a.samples)
    if samples is None:
        print("\nno training step: N-MNIST is not here, see izhi data nmnist")
        return
    print(f"\n| training step, {a.samples} recordings, T = {len(samples[0])} | {ways} |\n|---|---:|---:|---:|")
    step = training_step(*samples)
    print(f"| network of NIR's paper | {compared({SUMS: step, TORCH: step}, a.rounds)} |")


if __name__ == "__main__":
    main()
