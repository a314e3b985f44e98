"""A network in integers as WebAssembly, its C compiled for any browser, without a server or a library."""

from __future__ import annotations

import base64
import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from izhi.errors import SettingError
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.c.build import built
from izhi.hardware.c.network import CNetwork
from izhi.hardware.c.program import golden_samples, work, write_files

_HERE = Path(__file__).parent
#: The script that calls a network.
SCRIPT = _HERE / "web" / "network.js"
#: What a browser reads: the script that calls the network, and the page that checks its golden samples.
_PAGES = ("network.js", "index.html")
#: A step's inputs have a place in memory, which JavaScript cannot take by itself.
_INPUT = """#include "network.h"

static uint8_t input[IZHI_INPUTS];
uint8_t *izhi_input(void) { return input; }
void izhi_advance(void) { izhi_step(input); }
"""
_EXPORTED = (
    "izhi_reset", "izhi_input", "izhi_advance", "izhi_scores", "izhi_class", "izhi_spikes", "izhi_neurons",
    "izhi_membrane", "izhi_state",
)  # fmt: skip
#: Bytes of memory behind the constants and states.
_STACK = 1 << 14


def compiler() -> list[str] | None:
    """The command of a C compiler for WebAssembly: clang with its linker, or zig's, a Python package; else None."""
    clang = os.environ.get("WASM_CC") or shutil.which("clang")
    if clang is not None:
        asked = subprocess.run([clang, "-print-prog-name=wasm-ld"], capture_output=True, text=True)
        if shutil.which(asked.stdout.strip()):
            return [clang, "--target=wasm32"]
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "cc", "--target=wasm32-freestanding"]
    return None


def compiled(network: CNetwork) -> bytes:
    """The module of a network.

    Raises:
        SettingError: without a compiler.
        DeviceError: if the compiler refuses the network.
    """
    command = compiler()
    if command is None:
        raise SettingError(
            "no C compiler for WebAssembly is installed, expected clang with wasm-ld; install them, or"
            " pip install ziglang"
        )
    flags = ["-std=c99", "-O2", "-ffreestanding", "-nostdlib", "-mbulk-memory", "-Wl,--no-entry", "-Wl,--strip-all"]
    flags += [f"-Wl,-z,stack-size={_STACK}", *(f"-Wl,--export={name}" for name in _EXPORTED)]
    return built([*command, *flags], {**network.texts, "input.c": _INPUT}, "network.wasm", Path.read_bytes)


def description(artifact: IntegerArtifact) -> dict[str, Any]:
    """What a page must know of a network, network.json.

    Golden samples have their inputs, step by step, in base64: as bits, the first one lowest, or as bytes.
    """
    network, (inputs, scores) = artifact.network, golden_samples(artifact)
    bits = 1 if inputs.max(initial=0) <= 1 else 8
    data = (
        np.packbits(inputs.reshape(len(scores), math.prod(inputs.shape[1:])), axis=1, bitorder="little")
        if bits == 1
        else inputs
    )
    return {
        "inputs": network.inputs, "steps": artifact.steps, "classes": list(artifact.classes),
        "layers": [
            {
                "neurons": layer.outputs,
                "fraction": layer.neuron.fractions[layer.neuron.states()[0]],
                "states": {name: layer.neuron.fractions[name] for name in layer.neuron.states()},
            }
            for layer in network.layers
        ],
        "encoding": dict(artifact.encoding),
        "input_bits": bits,
        "golden": [
            {"inputs": base64.b64encode(one.tobytes()).decode(), "scores": [str(x) for x in row]}
            for one, row in zip(data, scores.tolist(), strict=True)
        ],
    }  # fmt: skip


def write(artifact: IntegerArtifact, folder: Path) -> list[Path]:
    """Write the module, its script and a page that checks it into a folder; its files.

    Raises:
        SettingError: without a compiler, or scores that 64 bits do not hold.
        DeviceError: if the compiler refuses the network.
        FileError: if a file cannot be written.
    """
    shares, _ = work(artifact.network, artifact.test_inputs) if len(artifact.test_scores) else (None, 0)
    network = CNetwork(artifact.network, artifact.steps, shares)
    about = {**description(artifact), "score_bits": network.score_bits}
    made = {"network.wasm": compiled(network), "network.json": json.dumps(about).encode()}
    made |= {name: (_HERE / "web" / name).read_bytes() for name in _PAGES}
    return write_files(folder, made)


__all__ = ["SCRIPT", "compiled", "compiler", "description", "write"]
