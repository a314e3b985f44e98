"""A population on the arithmetic of the existing FPGA IP, all members in one pass."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from izhi.errors import SettingError
from izhi.experiments.settings import Experiment
from izhi.hardware import ip as hls_ip
from izhi.kernels import Spikes
from izhi.network.layers import Network
from izhi.training.evolution.population import Genome


class IpPopulation:
    """Runs many members of one genome on the IP's arithmetic.

    Args:
        e: settings of the network; as the IP runs it.
        network: whose values the members have where the genome has none.
        genome: of the members.

    Raises:
        SettingError: for a network that the IP cannot run.
    """

    def __init__(self, e: Experiment, network: Network, genome: Genome) -> None:
        wanted = {"neuron": "hls-ip", "readout": "spikes", "encoding": "constant", "steps": hls_ip.STEPS,
                  "learn": (), "gain": 1.0}  # fmt: skip
        for name, value in wanted.items():
            if getattr(e, name) != value:
                raise SettingError(
                    f"{name} is {getattr(e, name)!r}, expected {value!r}, all that the IP runs"
                )
        self.network, self.genome = network, genome

    def outputs(self, spikes: Spikes, x: Tensor) -> Iterator[Tensor]:
        """Spike counts (1, B, classes) of each member x (P, n) on constant currents (T, B, inputs)."""
        currents = spikes if isinstance(spikes, Tensor) else spikes.dense()
        values = self.genome.whole(self.network, x)
        places = [f"layers.{number}.connection.input" for number in range(len(self.network.layers))]
        scores = hls_ip.run_population(
            [values[f"{place}.weight"].cpu().numpy() for place in places],
            [values[f"{place}.bias"].cpu().numpy() for place in places],
            currents[0].float().cpu().numpy(),
        )
        yield from torch.from_numpy(scores).float()[:, None].to(currents.device)


__all__ = ["IpPopulation"]
