"""The existing FPGA IP ``snn_izhikevich``: its networks, streams, registers and arithmetic. Needs numpy alone.

    network = izhi.hls_ip.IPNetwork.of(weights, biases)        # float32, at most 8 layers of 16 neurons
    scores = izhi.hls_ip.run(network, currents).scores         # equal to the IP bit for bit
    words = izhi.hls_ip.pack(network)                          # the words of its four streams

``izhi.board.open("hls-ip", artifact)`` gives the IP as a device, emulated or on a board.
"""

from izhi.hardware.ip.arithmetic import run, run_population
from izhi.hardware.ip.emulator import EmulatedIP
from izhi.hardware.ip.network import BUILDS, LAYERS, STEPS, STREAMS, WIDTH, IPLayer, IPNetwork
from izhi.hardware.ip.registers import IPOverlay, RegisterMap, read_hwh
from izhi.hardware.ip.streams import input_words, last, output_words, pack, pack_spikes, unpack, unpack_network

__all__ = [
    "BUILDS", "LAYERS", "STEPS", "STREAMS", "WIDTH", "EmulatedIP", "IPLayer", "IPNetwork", "IPOverlay",
    "RegisterMap", "input_words", "last", "output_words", "pack", "pack_spikes", "read_hwh", "run",
    "run_population", "unpack", "unpack_network",
]  # fmt: skip
