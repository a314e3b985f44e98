"""The page of what is known of GPUs without one: docs/results/gpu.md.

    python benchmarks/gpu_kernels.py --cases chosen --json build/chosen.json
    python benchmarks/gpu_page.py build/chosen.json --out docs/results/gpu.md

Variants × targets come from the files, launches and their CPU time from gpu_launches.py. Times of kernels are
estimated from bytes, a card's bandwidth, and the latency of a load in each time step.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from gpu_kernels import table


class Card(NamedTuple):
    """A card, by its data sheet; latency of a load from its memory, as microbenchmarks of its generation find it.

    Attributes:
        bandwidth: of its memory, bytes/s.
        multiprocessors: of the card.
        clock: Hz.
        latency: clocks.
    """

    name: str
    bandwidth: float
    multiprocessors: int
    clock: float
    latency: int


CARDS = (
    Card("H100 SXM", 3.35e12, 132, 1.7e9, 700), Card("A100 80 GB", 2.04e12, 108, 1.41e9, 650),
    Card("RTX 4090", 1.01e12, 128, 2.5e9, 650), Card("L4", 0.3e12, 58, 2.0e9, 650),
)  # fmt: skip
#: T, B, N: those of users, and of the benchmarks of Open Neuromorphic and of SpikingJelly.
SIZES = ((25, 256, 512), (100, 256, 512), (25, 256, 4096), (100, 256, 4096), (500, 16, 16_384), (32, 1, 65_536))
#: Lanes of a program, which is 128 threads, and steps between two kept states.
BLOCK, KEEP_EVERY = 256, 32


class Neuron(NamedTuple):
    """What the kernels of a neuron need: states, coefficients, registers of the passes, and clocks of a step's sums."""

    name: str
    states: int
    rows: int
    registers: tuple[int, int]
    clocks: tuple[int, int]


NEURONS = (Neuron("Izhikevich", 2, 11, (48, 72), (110, 310)), Neuron("LIF", 1, 2, (40, 64), (60, 180)))


def bytes_of(neuron: Neuron, size: tuple[int, int, int], item: int) -> tuple[float, float, float]:
    """Bytes of the forward and of the backward pass, and those of states between kept ones, which fit a cache."""
    steps, batch, width = size
    lanes = batch * width
    kept = -(-steps // KEEP_EVERY) * neuron.states * lanes * 4
    path = 2 * steps * neuron.states * lanes * 4
    return 2 * steps * lanes * item + kept, 4 * steps * lanes * item + kept, path


def microseconds(card: Card, neuron: Neuron, size: tuple[int, int, int], item: int) -> tuple[float, float]:
    """Of the forward and the backward pass: by bandwidth, or by the latency of the loads of all steps."""
    steps, batch, width = size
    programs = -(-batch * width // BLOCK)
    forward, backward, path = bytes_of(neuron, size, item)
    # Three times the bandwidth of memory for what stays in the second-level cache.
    by_bandwidth = (forward / card.bandwidth, backward / card.bandwidth + path / (3 * card.bandwidth))
    found = []
    for least, registers, clocks, loads in zip(by_bandwidth, neuron.registers, neuron.clocks, (1, 2), strict=True):
        resident = min(16, 65_536 // (-(-registers // 8) * 8 * 128))
        waves = -(-programs // (resident * card.multiprocessors))
        by_latency = waves * steps * (loads * card.latency + clocks) / card.clock
        found.append(max(least, by_latency) * 1e6)
    return found[0], found[1]


def traffic() -> str:
    """Bytes of a training step of one layer of neurons, and what gradients of coefficients added before."""
    lines = [
        "| neuron | T | B | N | format | forward, MB | backward, MB | coefficients learned, MB | before, MB |",
        "|---|---:|---:|---:|---|---:|---:|---:|---:|",
    ]
    for neuron in NEURONS:
        for size in SIZES[:4]:
            steps, batch, width = size
            for name, item in (("float32", 4), ("bfloat16", 2)):
                forward, backward, _ = bytes_of(neuron, size, item)
                once = (neuron.rows + 1) * batch * width * 4
                numbers = (forward, backward, once, 2 * steps * once)
                cells = " | ".join(f"{x / 1e6:,.1f}" for x in numbers)
                lines.append(f"| {neuron.name} | {steps} | {batch} | {width:,} | {name} | {cells} |")
    return "\n".join(lines)


def estimates() -> str:
    """Microseconds of a forward and backward pass of one layer of neurons on each card."""
    heads = " | ".join(f"{card.name}, µs" for card in CARDS)
    lines = [f"| neuron | T | B | N | format | {heads} |", "|---|---:|---:|---:|---|" + "---:|" * len(CARDS)]
    for neuron in NEURONS:
        for size in SIZES:
            steps, batch, width = size
            for name, item in (("float32", 4), ("16 bits", 2)):
                times = (sum(microseconds(card, neuron, size, item)) for card in CARDS)
                cells = " | ".join(f"{x:,.0f}" for x in times)
                lines.append(f"| {neuron.name} | {steps} | {batch} | {width:,} | {name} | {cells} |")
    return "\n".join(lines)


PAGE = """# On a GPU, without one

This page lists what can be known of the kernels for GPUs on a machine that has none: their machine
code, launches, and the CPU time of these. **No kernel was timed on a GPU.** Times of kernels are
estimates. To measure them on a CUDA machine, run

    make gpu

which checks spikes, gradients, float16, delays, pools, images, a second device, CUDA graphs and
`torch.compile`, times training steps beside snnTorch, SpikingJelly, Norse, sinabs, Rockpool and
spyx (and EXODUS, where it is installed), and writes `build/gpu/gpu.md` and `gpu.json`.
`make gpu SMALL=1` tries the script in Triton's interpreter.

The page is written by

    python benchmarks/gpu_kernels.py --cases chosen --json build/chosen.json
    python benchmarks/gpu_page.py build/chosen.json --out docs/results/gpu.md

## Machine code

Triton compiled every launch of some calls ahead of time, for NVIDIA's compute capability 7.5, 8.0
and 9.0 and for AMD's gfx942. No kernel divides approximately, contracts a product and a sum of the
recurrence, or adds atomically. Products of bits use matrix instructions where the target has them
for bfloat16; 7.5 has none, and its layer kernel needs all registers. Products of recurrent neurons
(`samples`) are in the format of their currents, in float32 by contractions where the target has no
unit for it. A spill is a store to local memory, on AMD a register. Tests compile the same
(`tests/kernels/test_cuda_assembly.py`).

{variants}

## Launches of a training step

Forward and backward pass of 784-512-10 in bfloat16 from bits, T = 100, batch 16
(`python benchmarks/gpu_launches.py`). Operations of torch include the check of the states and sums
over the batch. Before, a step of Izhikevich neurons with a learned gain had 9 launches of Triton
and waited for the GPU 30 times: 26 copies from the CPU, 4 reads. Recurrent neurons had a launch and
a product for each time step and pass, 400 here; now a launch has all time steps.

{launches}

CPU time of a launch, with kernel and driver stubbed, on one busy core: Triton's own, which looks up
every name that a kernel uses, against the direct launch of the compiled kernel.

{times}

Another batch or number of steps compiles nothing, but for lanes (B · N) that stop or start being
divisible by 16.

## Bytes

Of one layer of neurons, currents to spikes, with every 32nd state kept. Learned coefficients' sums
stay in registers and are written once; before, each step read and wrote them.

{traffic}

## Estimated times

Estimates, not measurements: the larger of bytes by the card's bandwidth, and one load of each step
(two in the backward pass) at the latency of its memory, with as many programs at once as registers
allow. Products and launches are left out.

{estimates}

Numbers to beat, as their authors report them, repeated by nobody here: SpikingJelly's LIF in Triton
3.37 ms (RTX 4090, float16, 65,536 neurons, T = 32); in the benchmark of Open Neuromorphic (16,384
neurons, T = 500, batch 16) spyx 47 ms, Norse compiled 109 ms, SpikingJelly with CuPy 118 ms. Their
networks have a linear layer and other batches, so that the columns above are no comparison.
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, nargs="+", help="files of gpu_kernels.py; the first has a target's rows")
    parser.add_argument("--out", type=Path, required=True, help="the page")
    options = parser.parse_args(arguments)
    rows: list[dict[str, object]] = []
    for path in options.rows:
        known = {row["target"] for row in rows}
        rows += [row for row in json.loads(path.read_text()) if row["target"] not in known]
    script = Path(__file__).with_name("gpu_launches.py")
    said = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout
    launches, times = said.strip().split("\n\n")
    text = PAGE.format(
        variants=table(rows), launches=launches, times=times, traffic=traffic(), estimates=estimates()
    )  # fmt: skip
    options.out.write_text(text)


if __name__ == "__main__":
    main()
