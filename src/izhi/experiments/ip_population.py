"""A population on the arithmetic of the existing FPGA IP, all members in one pass."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from izhi.errors import SettingError
from izhi.experiments.settings import Experiment
from izhi.hardware import ip
from izhi.kernels import Spikes
from izhi.network import Network
from izhi.training.evolution import Genome

#: The only values that the IP leaves of these settings.
_WANTED = {"neuron": "hls-ip", "readout": "spikes", "encoding": "constant", "steps": ip.STEPS, "learn": (), "gain": 1.0}


def check(e: Experiment) -> None:
    """Raise SettingError unless the IP can measure populations of an experiment."""
    if e.training.loss != "count":
        raise SettingError(f"loss is {e.training.loss!r}, but the IP gives counts; set it to count")
    for name, value in _WANTED.items():
        if e.get(name) != value:
            raise SettingError(f"{name} is {e.get(name)!r}, expected {value!r}, all that the IP runs")


class IpPopulation:
    """Runs many members of one genome on the IP's arithmetic; SettingError for samples that change over time.

    Args:
        network: whose values the members have where the genome has none.
        is_constant: whether all steps of a sample are the same, as the IP has it.
    """

    def __init__(self, network: Network, genome: Genome, is_constant: bool) -> None:
        if not is_constant:
            raise SettingError("samples change over time, expected constant currents for the IP")
        self.network, self.genome = network, genome

    def outputs(self, spikes: Spikes, x: Tensor) -> Iterator[Tensor]:
        """Spike counts (1, B, classes) of each member x (P, n) on constant currents (T, B, inputs)."""
        currents = spikes if isinstance(spikes, Tensor) else spikes.dense()
        values = self.genome.whole(self.network, x)
        places = [f"layers.{number}.connection.input" for number in range(len(self.network.layers))]
        scores = ip.run_population(
            [values[f"{place}.weight"].cpu().numpy() for place in places],
            [values[f"{place}.bias"].cpu().numpy() for place in places],
            currents[0].float().cpu().numpy(),
        )
        yield from torch.from_numpy(scores).float()[:, None].to(currents.device)
