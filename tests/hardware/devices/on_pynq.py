"""Runs in PYNQ's own environment, without torch: the driver, PYNQ's classes, DMA, and the simulated core.

python on_pynq.py FOLDER    with core.json, core.so, izhi.bit, network.izhi, other.izhi and spikes.npz
"""

import sys
from pathlib import Path

import handoff
import numpy as np
from simulated_pynq import SimulatedDevice, overlay

from izhi.errors import DeviceError
from izhi.hardware import artifact, devices as board, fixed
from izhi.hardware.core.boards import BOARDS
from izhi.hardware.core.description import read
from izhi.hardware.core.simulated import SimulatedCore
from izhi.hardware.devices.pynq import IzhiCore


def main(folder):
    assert "torch" not in sys.modules
    pynq = SimulatedDevice(SimulatedCore(folder / "core.so", read(folder / "core.json"), pauses=(20, 20)))
    first, other = (artifact.load(folder / f"{name}.izhi") for name in ("network", "other"))
    spikes = np.load(folder / "spikes.npz")["spikes"]
    device = board.open("pynq", first, folder=folder, pynq_device=pynq)
    assert isinstance(device.block.overlay.izhi, IzhiCore)
    assert pynq.downloaded == [str(folder / "izhi.bit")]
    for name, found in BOARDS.items():
        (folder / f"{name}.hwh").write_text(handoff.hwh(name))
        blocks, addresses = overlay(folder / f"{name}.bit").ip_dict, handoff.ADDRESSES[found.family]
        assert tuple(blocks[block]["phys_addr"] for block in ("izhi", "dma")) == addresses, name
    for found in (first, other, first):
        device.load(found)
        for sends_spikes in (False, True):
            outcome = device.run(spikes, sends_spikes=sends_spikes)
            expected = fixed.run(found.network, spikes)
            assert np.array_equal(outcome.scores, expected.scores)
            assert len(outcome.spikes) == (len(expected.spikes) if sends_spikes else 0)
            pairs = zip(outcome.spikes, expected.spikes, strict=False)
            assert all(np.array_equal(a, b) for a, b in pairs)
    counters = device.counters
    assert counters.inferences == 2 * spikes.shape[1]
    assert counters.events == 2 * spikes.sum()
    assert counters.cycles > counters.events
    weight = -first.network.layers[0].weight - 1
    device.write_weights(0, weight)
    changed = fixed.run(device.network, spikes).scores
    assert not np.array_equal(changed, fixed.run(first.network, spikes).scores)
    assert np.array_equal(device.run(spikes).scores, changed)
    # A DMA that does not come to an end is one error, and the overlay can be loaded anew.
    device.block.patience, pynq.is_stuck = 0.05, True
    resets = pynq.resets
    found = ""
    try:
        device.run(spikes)
    except DeviceError as error:
        found = str(error)
    assert "the core did not send a packet within 0.05 s" in found
    assert pynq.resets > resets
    device.close()
    pynq.is_stuck = False
    with board.open("pynq", first, folder=folder, pynq_device=pynq) as device:
        assert np.array_equal(device.run(spikes).scores, fixed.run(first.network, spikes).scores)
    print("equal:", spikes.shape[1], "samples,", counters.cycles, "cycles")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
