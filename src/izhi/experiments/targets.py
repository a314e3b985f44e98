"""Targets of a run in hardware: their requirements, the run's network on them, and its artifact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from izhi.experiments import build, export, export_ip
from izhi.experiments.settings import Experiment
from izhi.experiments.trained import Trained
from izhi.hardware import networks
from izhi.hardware.artifact import Artifact


@dataclass(frozen=True)
class Target:
    """One kind of hardware."""

    expect: Callable[[Path, Experiment], None]  #: raises SettingError unless the hardware runs an experiment's network
    network: Callable[[Trained], networks.HardwareNetwork]  #: converts the network of a run
    artifact: Callable[[Trained], Artifact[networks.HardwareNetwork]]  #: makes the artifact of a run in memory


def _in_integers(run: Trained) -> networks.HardwareNetwork:
    from izhi import quantization

    return quantization.in_integers(run.network.eval(), reads=build.reading(run.experiment, run.dataset))


TARGETS = {
    "core": Target(export.expect_integers, _in_integers, export.of_run),
    "hls-ip": Target(export_ip.expect_ip, lambda run: export_ip.for_ip(run.network.eval()), export_ip.of_run),
}


def target_of(e: Experiment) -> Target:
    """The target of a run: the FPGA IP if its neuron is the IP's, else Izhi's own core."""
    return TARGETS["hls-ip" if e.neurons.neuron == "hls-ip" else "core"]


def artifact_of(run: Trained) -> Artifact[networks.HardwareNetwork]:
    """The artifact of a run; SettingError if the run is neither quantised nor made for the IP."""
    target = target_of(run.experiment)
    target.expect(run.path, run.experiment)
    return target.artifact(run)
