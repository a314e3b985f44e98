"""A step in C beside the same step in numpy."""

import ctypes
import subprocess

import numpy as np

from izhi.equation.c import HEADER, c_function


def check_c(folder, neuron, random, batch, *options):
    """Compiled C gives the states and spikes of integer neurons from random states and currents."""
    formats = list(neuron.formats.values())
    source, library = folder / "step.c", folder / "step.so"
    source.write_text(HEADER + c_function(neuron.operations, formats, neuron.fraction, "step"))
    flags = ["-Wall", "-Werror", *options, "-std=c99", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, source, "-o", library], check=True)
    step, pointer = ctypes.CDLL(str(library)).step, ctypes.POINTER(ctypes.c_int32)
    count = neuron.start(1).shape[2]
    z = np.stack([random.integers(x.lowest, x.highest + 1, (batch, count)) for x in formats])
    current = random.integers(formats[0].lowest, formats[0].highest + 1, (batch, count))
    after, fired = neuron.step(z, current)
    constants = np.stack([getattr(neuron, x.name) for x in neuron.operations.constants]).astype(np.int32)
    for b in range(batch):
        for j in range(count):
            own, p = z[:, b, j].astype(np.int32), np.ascontiguousarray(constants[:, j])
            fires = step(own.ctypes.data_as(pointer), int(current[b, j]), p.ctypes.data_as(pointer))
            assert (fires, own.tolist()) == (fired[b, j], after[:, b, j].tolist())
