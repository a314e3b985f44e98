"""A folder of C files that compile together into a program, which checks the golden samples of an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from izhi import files
from izhi.errors import SettingError
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.c.network import CNetwork
from izhi.hardware.c.text import array
from izhi.hardware.fixed import IntegerNetwork, run_compiled

_GOLDEN = """/* Samples and the scores that the network must give for them. Written by Izhi. */
#include "network.h"
#include "golden.h"

#define SAMPLES {samples}

{inputs}
{scores}
{unpacking}
int golden_samples(void) {{ return SAMPLES; }}

int golden_check(void)
{{
    static uint8_t x[IZHI_INPUTS];
    int wrong = 0;
    for (uint32_t sample = 0; sample < SAMPLES; sample++) {{
        izhi_reset();
        for (uint32_t t = 0; t < IZHI_STEPS; t++) {{
            for (uint32_t i = 0; i < IZHI_INPUTS; i++)
                x[i] = input_at((sample * IZHI_STEPS + t) * IZHI_INPUTS + i);
            izhi_step(x);
        }}
        for (uint32_t j = 0; j < IZHI_CLASSES; j++)
            wrong += izhi_scores()[j] != scores[sample * IZHI_CLASSES + j];
    }}
    return wrong;
}}
"""
_GOLDEN_HEADER = """#ifndef IZHI_GOLDEN_H
#define IZHI_GOLDEN_H

/* How many samples there are, and how many of their scores the network gets wrong. */
int golden_samples(void);
int golden_check(void);

#endif
"""
_BITS = """static uint8_t input_at(uint32_t k) { return inputs[k >> 3] >> (k & 7) & 1; }
"""
_BYTES = """static uint8_t input_at(uint32_t k) { return inputs[k]; }
"""
_MAIN = """#include <stdio.h>
#include "golden.h"

int main(void)
{
    const int wrong = golden_check();
    printf("%d samples, %d scores differ\\n", golden_samples(), wrong);
    return wrong != 0;
}
"""
_MAKEFILE = """CC ?= cc
CFLAGS ?= -O2

check: network
\t./network

network: network.c golden.c main.c network.h arithmetic.h golden.h
\t$(CC) -std=c99 $(CFLAGS) network.c golden.c main.c -o $@

clean:
\trm -f network

.PHONY: check clean
"""
_README = """# {sizes} in C

A spiking network in integers for any C99 compiler: no memory allocation, no floating point, no
library but `stdint.h`. `make check` compiles it and compares {samples} golden samples.

    izhi_reset();
    for (int t = 0; t < IZHI_STEPS; t++)
        izhi_step(x[t]); /* uint8_t x[IZHI_STEPS][IZHI_INPUTS]: how often each input fires */
    class = izhi_class();

| | |
|---|---|
| network | {sizes}, {steps} steps |
| weights and constants (flash) | {flash:,} bytes, beside the code |
| states, sums and spikes (RAM) | {ram:,} bytes |
| additions of weights a sample | {additions:,} |
| updates of neurons a sample | {updates:,} |

`network.c`, `network.h` and `arithmetic.h` are the network; `golden.c`, `golden.h` and
`main.c` are the check. Additions are the mean of the golden samples. The program runs one sample
at a time: its state is static.
"""


def work(network: IntegerNetwork, spikes: NDArray[np.integer]) -> tuple[list[float], int]:
    """What samples (T, B, inputs) cost.

    Returns:
        The share of the inputs of each layer, and of the readout, that fire in a step; additions of weights a sample.
    """
    arriving, batch = [spikes, *run_compiled(network, spikes).spikes], max(1, spikes.shape[1])
    shares: list[float] = []
    additions = 0.0
    for number, projection in enumerate(network.projections):
        x = arriving[number]
        if projection.pools:
            x = projection.pooled(x.reshape(-1, projection.inputs).astype(np.int64))
        fired = np.count_nonzero(x)
        shares.append(float(fired / max(1, x.size)))
        additions += fired * projection.fan_in * projection.outputs / projection.features
        if getattr(projection, "feedback", None) is not None:
            additions += np.count_nonzero(arriving[number + 1]) * projection.outputs
    return shares, round(float(additions) / batch)


def golden_samples(artifact: IntegerArtifact) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Inputs (samples, T, inputs), and the scores (samples, classes) that a program has after the last step."""
    inputs, scores = artifact.test_inputs.transpose(1, 0, 2).astype(np.uint8), artifact.test_scores
    return inputs, scores[:, -1] if artifact.network.reads == "steps" else scores


def texts(artifact: IntegerArtifact) -> dict[str, str]:
    """The files of an artifact by name.

    Raises:
        SettingError: for an artifact without golden samples, or scores that 64 bits do not hold.
    """
    network, (spikes, scores) = artifact.network, golden_samples(artifact)
    if not len(scores):
        raise SettingError("the artifact has no golden samples, which the program checks; export the run again")
    shares, additions = work(network, artifact.test_inputs)
    c = CNetwork(network, artifact.steps, shares)
    is_binary = int(spikes.max(initial=0)) <= 1
    data = np.packbits(spikes.reshape(-1), bitorder="little") if is_binary else spikes
    golden = _GOLDEN.format(
        samples=len(scores),
        inputs=array("uint8_t", "inputs", data.reshape(-1).tolist()),
        scores=array("izhi_score", "scores", scores.reshape(-1).tolist()),
        unpacking=_BITS if is_binary else _BYTES,
    )
    sizes = "-".join(map(str, (network.inputs, *(x.outputs for x in network.projections))))
    readme = _README.format(
        sizes=sizes, samples=len(scores), steps=artifact.steps, flash=c.flash, ram=c.ram,
        additions=additions,
        updates=artifact.steps * sum(layer.outputs for layer in network.layers),
    )  # fmt: skip
    return {
        **c.texts, "golden.h": _GOLDEN_HEADER, "golden.c": golden, "main.c": _MAIN, "Makefile": _MAKEFILE,
        "README.md": readme,
    }  # fmt: skip


def write(artifact: IntegerArtifact, folder: Path) -> list[Path]:
    """Write the program of an artifact into a folder; its files.

    Raises:
        SettingError: as ``texts``.
        FileError: if a file cannot be written.
    """
    return write_files(folder, {name: text.encode() for name, text in texts(artifact).items()})


def write_files(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write files by name into a folder, which is made if needed; their paths."""
    files.make_folder(folder)
    for name, content in contents.items():
        files.write_bytes(folder / name, content)
    return [folder / name for name in contents]


__all__ = ["golden_samples", "texts", "work", "write", "write_files"]
