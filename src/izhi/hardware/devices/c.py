"""The C program of a network as a device: compiled by the C compiler of this machine, and called sample by sample."""

from __future__ import annotations

import ctypes
import os
import shutil

import numpy as np
from numpy.typing import NDArray

from izhi.errors import SettingError, ShapeError
from izhi.hardware.c.build import built
from izhi.hardware.c.network import CNetwork
from izhi.hardware.devices.device import Device
from izhi.hardware.fixed import IntegerNetwork, Outcome
from izhi.hardware.fixed.network import check_input

_RUN = """#include "network.h"

void izhi_run(const uint8_t *x, uint32_t steps, uint32_t batch, int64_t *scores, uint32_t kept, uint8_t *const *spikes)
{
    for (uint32_t sample = 0; sample < batch; sample++, scores += kept * IZHI_CLASSES) {
        izhi_reset();
        for (uint32_t t = 0; t < steps; t++, x += IZHI_INPUTS) {
            izhi_step(x);
            for (uint32_t layer = 0; layer < IZHI_LAYERS; layer++)
                for (uint32_t j = 0; j < izhi_neurons(layer); j++)
                    spikes[layer][((uint64_t)sample * steps + t) * izhi_neurons(layer) + j] = izhi_spikes(layer)[j];
            for (uint32_t j = 0; j < IZHI_CLASSES; j++)
                scores[(kept > 1 ? t : 0) * IZHI_CLASSES + j] = izhi_scores()[j];
        }
    }
}
"""


def c_compiler() -> str | None:
    """``$CC``, or else cc, gcc or clang if one is installed."""
    return os.environ.get("CC") or next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


class CDevice(Device[IntegerNetwork]):
    """A network as C, compiled on this machine. New weights are compiled at the next run."""

    name = "c"
    remedy = "report it, with the compiler and its version"

    def __init__(self) -> None:
        self._library: ctypes.CDLL | None = None

    def _load(self, network: IntegerNetwork, steps: int) -> None:
        self._library = _compiled(CNetwork(network, steps))
        self.clear()

    def write_weights(self, layer: int, weight: NDArray[np.integer]) -> None:
        self._network, self._library = self.network.with_weights(layer, weight), None

    def run(self, inputs: NDArray[np.integer], *, sends_spikes: bool = False) -> Outcome:
        network = self.network
        check_input(network, inputs)
        steps, batch, _ = inputs.shape
        if steps > self._steps:
            raise ShapeError(f"a sample has {steps} steps, but the program is compiled for {self._steps}")
        if self._library is None:
            self._library = _compiled(CNetwork(network, self._steps))
        x = np.ascontiguousarray(inputs.transpose(1, 0, 2), np.uint8)
        kept = steps if network.reads == "steps" else 1
        scores = np.zeros((batch, kept, network.outputs), np.int64)
        spikes = [np.zeros((batch, steps, layer.outputs), np.uint8) for layer in network.layers]
        pointers = (ctypes.c_void_p * max(1, len(spikes)))(*(one.ctypes.data for one in spikes))
        self._library.izhi_run(
            ctypes.c_void_p(x.ctypes.data), ctypes.c_uint32(steps), ctypes.c_uint32(batch),
            ctypes.c_void_p(scores.ctypes.data), ctypes.c_uint32(kept), pointers,
        )  # fmt: skip
        self.counters = self.counters.after(inputs, spikes)
        if network.reads != "steps":
            scores = scores[:, 0]
        return Outcome(scores, [one.transpose(1, 0, 2) for one in spikes] if sends_spikes else [])


def _compiled(network: CNetwork) -> ctypes.CDLL:
    compiler = c_compiler()
    if compiler is None:
        raise SettingError("no C compiler is installed, expected cc, gcc or clang; install one, or set CC")
    command = [compiler, "-std=c99", "-O2", "-shared", "-fPIC"]
    return built(command, {**network.texts, "run.c": _RUN}, "network.so", lambda path: ctypes.CDLL(str(path)))
