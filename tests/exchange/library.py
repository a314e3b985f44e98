"""Drives other spiking-network libraries through files of NIR, in an environment that has them.

Commands come in, one JSON list of arguments a line, and for each goes out a line of JSON, [status, message]: 0 if it
was done, 1 for an error of the library, 3 for what it does not have or does not write.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib.metadata
import io
import json
import logging
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, nn

LIBRARIES = ("snntorch", "norse", "sinabs", "rockpool", "spikingjelly")
CASES = ("lif-zero", "lif-subtract", "cuba-lif", "recurrent", "delay", "conv", "pooling")
STEPS, BATCH, PROBABILITY = 60, 4, 0.3
LOWEST, HIGHEST = 0.1, 0.4
DECAY, SYNAPSE_DECAY = 0.9, 0.8
GAINS = tuple(0.25 * 2 ** (k / 2) for k in range(16))

Network = Any
Neuron = Callable[[tuple[int, ...]], nn.Module]


class Refused(Exception):
    """The library has no module for the case, or its exporter does not write it."""


class Driver(ABC):
    def __init__(self, single_spike: bool, defaults: bool, resets: bool = False) -> None:
        self.single_spike = single_spike
        self.defaults = defaults
        self.resets = resets

    @abstractmethod
    def load(self, file: Path, dt: float | None, shape: tuple[int, int]) -> Network:
        """Imports a file, for an input of `shape` (time, batch)."""

    @abstractmethod
    def run(self, network: Network, data: Tensor) -> Tensor:
        """Runs an imported network that has no state yet on (T, B, *features)."""

    @abstractmethod
    def build(self, case: str) -> Network:
        """Makes the network of a case in the library."""

    @abstractmethod
    def simulate(self, network: Network, data: Tensor) -> Tensor:
        """Runs a network of `build` that has no state yet on (T, B, *features)."""

    @abstractmethod
    def export(self, network: Network, data: Tensor) -> nir.NIRGraph:
        """Makes the NIR graph of a network of `build`."""


def one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def input_shape(case: str) -> tuple[int, ...]:
    return (1, 8, 8) if case in ("conv", "pooling") else (10,)


def chain(
    case: str, neuron: Neuron, linear: type[nn.Module], conv: type[nn.Module], pool: nn.Module, flatten: nn.Module
) -> list[nn.Module]:
    """The layers of a case, with `neuron` making the neurons for a shape."""
    if case == "conv":
        return [
            conv(1, 4, 3, padding=1),
            neuron((4, 8, 8)),
            conv(4, 4, 3, stride=2),
            neuron((4, 3, 3)),
            flatten,
            linear(36, 10),
            neuron((10,)),
        ]
    if case == "pooling":
        return [conv(1, 4, 3, padding=1), neuron((4, 8, 8)), pool, flatten, linear(64, 10), neuron((10,))]
    if case in ("lif-zero", "lif-subtract"):
        return [linear(10, 10), neuron((10,)), linear(10, 10), neuron((10,))]
    return [linear(10, 10), neuron((10,))]


def amplify(network: nn.Module, gain: float) -> None:
    """Multiplies the weights and biases of linear and convolutional layers."""
    for module in nn.Module.modules(network):
        if isinstance(getattr(module, "weight", None), nn.Parameter):
            for parameter in module._parameters.values():
                if parameter is not None:
                    parameter.data.mul_(gain)


class SnnTorch(Driver):
    def load(self, file: Path, _dt: float | None, _shape: tuple[int, int]) -> Network:
        from snntorch.import_nir import import_from_nir

        graph = nir.read(file)
        network = import_from_nir(graph)
        network.unbatched = has_flatten(graph)
        return network

    def run(self, network: Network, data: Tensor) -> Tensor:
        if not network.unbatched:
            return stepped(network, data)
        # The importer keeps NIR's axes for Flatten, which count no batch, so each sample goes alone through a copy.
        samples = [stepped(copy.deepcopy(network), data[:, b]) for b in range(data.shape[1])]
        return torch.stack(samples, 1)

    def build(self, case: str) -> nn.Sequential:
        import snntorch as snn

        reset = "subtract" if case == "lif-subtract" else "zero"
        # The importer builds neurons that reset at once, so the file means these and not the library's default.
        common = {"init_hidden": True, "reset_mechanism": reset, "reset_delay": self.defaults}

        def neuron(shape: tuple[int, ...]) -> nn.Module:
            # Type inference on export refuses scalar parameters before a layer of neurons.
            beta, threshold = torch.full(shape, DECAY), torch.ones(shape)
            if case == "cuba-lif":
                return snn.Synaptic(torch.full(shape, SYNAPSE_DECAY), beta, threshold, **common)
            if case == "recurrent":
                return snn.RLeaky(beta, linear_features=10, threshold=threshold, **common)
            return snn.Leaky(beta, threshold, **common)

        if case == "delay":
            raise Refused("no module")
        # The importer takes no scalar kernel.
        return nn.Sequential(*chain(case, neuron, nn.Linear, nn.Conv2d, nn.AvgPool2d((2, 2)), nn.Flatten()))

    def simulate(self, network: nn.Sequential, data: Tensor) -> Tensor:
        return torch.stack([network(x) for x in data])

    def export(self, network: nn.Sequential, data: Tensor) -> nir.NIRGraph:
        from snntorch.export_nir import export_to_nir

        return export_to_nir(network, data[0], ignore_dims=[0])


class Norse(SnnTorch):
    def load(self, file: Path, dt: float | None, _shape: tuple[int, int]) -> Network:
        from norse.torch.utils.import_nir import from_nir

        graph = nir.read(file)
        network = check_imported(from_nir(graph, **({} if dt is None else {"dt": dt})), graph)
        network.unbatched = has_flatten(graph)
        return network

    def build(self, case: str) -> nn.Module:
        import norse.torch as norse
        from norse.torch.functional.reset import reset_subtract, reset_value
        from norse.torch.module.lif_box import LIFBoxCell, LIFBoxParameters

        def neuron(shape: tuple[int, ...]) -> nn.Module:
            membrane = {
                # HDF5 cannot compress the scalars that the default parameters hold.
                "tau_mem_inv": torch.full(shape, (1 - DECAY) / 1e-3),
                "v_leak": torch.zeros(shape),
                "v_th": torch.ones(shape),
                "v_reset": torch.zeros(shape),
            }
            if case == "cuba-lif":
                synapse = torch.full(shape, (1 - SYNAPSE_DECAY) / 1e-3)
                return norse.LIFCell(norse.LIFParameters(tau_syn_inv=synapse, **membrane))
            method = reset_subtract if case == "lif-subtract" else reset_value
            return LIFBoxCell(LIFBoxParameters(reset_method=method, **membrane))

        if case == "delay":
            raise Refused("no module")
        if case == "recurrent":
            return norse.SequentialState(
                nn.Linear(10, 10),
                norse.LIFRecurrentCell(10, 10, norse.LIFParameters(), dt=1e-3),
            )
        return norse.SequentialState(*chain(case, neuron, nn.Linear, nn.Conv2d, nn.AvgPool2d(2), nn.Flatten()))

    def simulate(self, network: nn.Module, data: Tensor) -> Tensor:
        return stepped(network, data)

    def export(self, network: nn.Module, data: Tensor) -> nir.NIRGraph:
        from norse.torch.utils.export_nir import to_nir

        # The exporter ignores no axis, so a sample without the batch keeps the file's types right.
        return to_nir(network, data[0, 0] if data.dim() == 3 else data[0])


class Sinabs(Driver):
    def load(self, file: Path, _dt: float | None, shape: tuple[int, int]) -> Network:
        import sinabs.layers as sl
        from sinabs.activation import MembraneReset, SingleSpike
        from sinabs.nir import from_nir

        graph = nir.read(file)
        network = check_imported(from_nir(graph, batch_size=shape[1], num_timesteps=shape[0]), graph)
        if self.single_spike:
            for module in network.modules():
                if isinstance(module, sl.LIF | sl.IAF):
                    module.spike_fn = SingleSpike
                    module.reset_fn = MembraneReset() if self.resets else module.reset_fn
        return network

    def run(self, network: Network, data: Tensor) -> Tensor:
        # The squeezed layers unfold (batch * time, ...) by themselves and start from no state.
        output, _ = network(data.transpose(0, 1).flatten(0, 1))
        return output.unflatten(0, (data.shape[1], data.shape[0])).transpose(0, 1)

    def build(self, case: str) -> nn.Sequential:
        import sinabs.layers as sl
        from sinabs.activation import MembraneReset, MembraneSubtract, MultiSpike, SingleSpike

        def neuron(shape: tuple[int, ...]) -> nn.Module:
            common: dict[str, Any] = {
                "tau_mem": torch.full(shape, -1 / np.log(DECAY)),
                "tau_syn": torch.full(shape, -1 / np.log(SYNAPSE_DECAY)) if case == "cuba-lif" else None,
                "spike_threshold": torch.ones(shape),
                "spike_fn": SingleSpike if self.single_spike else MultiSpike,
                "reset_fn": MembraneReset() if case in ("lif-zero", "conv") else MembraneSubtract(),
                # The importer always builds neurons that do not scale their input.
                "norm_input": self.defaults,
            }
            if case == "recurrent":
                return sl.LIFRecurrent(rec_connect=nn.Linear(10, 10), **common)
            return sl.LIFSqueeze(batch_size=BATCH, **common)

        if case == "delay":
            raise Refused("no module")
        return nn.Sequential(*chain(case, neuron, nn.Linear, nn.Conv2d, sl.SumPool2d(2), nn.Flatten()))

    def simulate(self, network: nn.Sequential, data: Tensor) -> Tensor:
        x = self.arrange(network, data)
        return network(x).reshape(data.shape[1], data.shape[0], -1).transpose(0, 1)

    def export(self, network: nn.Sequential, data: Tensor) -> nir.NIRGraph:
        from sinabs.nir import to_nir

        graph = to_nir(network, self.arrange(network, data))
        # The exporter leaves types open that nir cannot write.
        graph.infer_types()
        return graph

    def arrange(self, network: nn.Sequential, data: Tensor) -> Tensor:
        """Batch first, folded into the time for all but recurrent layers, which have no squeezed form."""
        import sinabs.layers as sl

        x = data.transpose(0, 1)
        return x if any(isinstance(m, sl.LIFRecurrent) for m in network) else x.flatten(0, 1)


class Rockpool(Driver):
    def load(self, file: Path, _dt: float | None, _shape: tuple[int, int]) -> Network:
        from rockpool.nn.modules.torch.nir import from_nir

        # Its own exporter writes batch and time axes into the types of Input and Output.
        graph = nir.read(file, type_check=False)
        network = check_imported(from_nir(graph), graph)
        if self.single_spike:
            for module in nn.Module.modules(network):
                if hasattr(module, "max_spikes_per_dt"):
                    module.max_spikes_per_dt = torch.tensor(1.0)
        return network

    def run(self, network: Network, data: Tensor) -> Tensor:
        # A layer keeps only the first sample's state between calls, so the whole sequence goes in at once.
        output, _ = network(data.transpose(0, 1))
        return output.transpose(0, 1)

    def build(self, case: str) -> Any:
        from rockpool.nn.combinators import Sequential
        from rockpool.nn.modules import LIFNeuronTorch, LIFTorch, LinearTorch

        dt = 1e-3
        limit = {"max_spikes_per_dt": torch.tensor(1.0)} if self.single_spike else {}
        common: dict[str, Any] = {"tau_mem": torch.full((10,), -dt / np.log(DECAY)), "dt": dt, **limit}
        synapse = {"tau_syn": torch.full((10, 1), -dt / np.log(SYNAPSE_DECAY))}
        if case == "lif-subtract":
            neurons = [LIFNeuronTorch((10,), **common) for _ in range(2)]
        elif case == "cuba-lif":
            neurons = [LIFTorch((10,), **common, **synapse)]
        elif case == "recurrent":
            neurons = [LIFTorch((10,), has_rec=True, **common, **synapse)]
        else:
            raise Refused("no module")
        return Sequential(*[layer for neuron in neurons for layer in (LinearTorch((10, 10), has_bias=True), neuron)])

    def simulate(self, network: Any, data: Tensor) -> Tensor:
        return network(data.transpose(0, 1))[0].transpose(0, 1)

    def export(self, network: Any, data: Tensor) -> nir.NIRGraph:
        from rockpool.nn.modules.torch.nir import to_nir

        return to_nir(network)


class SpikingJelly(Driver):
    def load(self, file: Path, dt: float | None, _shape: tuple[int, int]) -> Network:
        from spikingjelly.activation_based.nir_exchange import import_from_nir

        return import_from_nir(nir.read(file), **({} if dt is None else {"dt": dt}))

    def run(self, network: Network, data: Tensor) -> Tensor:
        return stepped(network, data)

    def build(self, case: str) -> nn.Sequential:
        from spikingjelly.activation_based import layer, neuron as neurons

        def neuron(_shape: tuple[int, ...]) -> nn.Module:
            if case == "cuba-lif":
                return neurons.CUBALIFNode(SYNAPSE_DECAY, DECAY, v_threshold=1.0)
            v_reset = None if case == "lif-subtract" else 0.0
            node = neurons.LIFNode(tau=1 / (1 - DECAY), decay_input=self.defaults, v_reset=v_reset)
            if case == "recurrent":
                return layer.LinearRecurrentContainer(node, 10, 10)
            return node

        layers = chain(case, neuron, layer.Linear, layer.Conv2d, layer.AvgPool2d(2), layer.Flatten())
        return nn.Sequential(*([layer.Delay(2)] if case == "delay" else []), *layers)

    def simulate(self, network: nn.Sequential, data: Tensor) -> Tensor:
        from spikingjelly.activation_based import functional

        output = torch.stack([network(x) for x in data])
        functional.reset_net(network)
        return output

    def export(self, network: nn.Sequential, data: Tensor) -> nir.NIRGraph:
        from spikingjelly.activation_based.nir_exchange import export_to_nir

        return export_to_nir(network, data[0])


DRIVERS: dict[str, type[Driver]] = {
    "snntorch": SnnTorch,
    "norse": Norse,
    "sinabs": Sinabs,
    "rockpool": Rockpool,
    "spikingjelly": SpikingJelly,
}


def has_flatten(graph: nir.NIRGraph) -> bool:
    """Whether there is a Flatten whose axes are counted from the front, where the importers count no batch."""
    return any(isinstance(node, nir.Flatten) and node.start_dim >= 0 for node in graph.nodes.values())


def check_imported(network: Network, graph: nir.NIRGraph) -> Network:
    """Refuses an executor of nirtorch that would pass over nodes which the importer does not know."""
    known = {node.name for node in network.execution_order if node.elem is not None}
    for name, node in graph.nodes.items():
        if name.replace(".", "_") not in known:
            raise NotImplementedError(f"the importer left out node {name!r} ({type(node).__name__})")
    return network


def stepped(network: Network, data: Tensor) -> Tensor:
    """Runs a network that takes and returns its state, step by step from none."""
    state = None
    outputs = []
    for x in data:
        output, state = network(x, state)
        outputs.append(output)
    return torch.stack(outputs)


def check_kept(case: str, graph: nir.NIRGraph) -> None:
    """Refuses a graph from which the exporter left out what the case is about."""
    for name, node in graph.nodes.items():
        if node is None:
            raise Refused(f"the exporter wrote nothing for module {name!r}")
    kinds = {type(node) for node in graph.nodes.values()}
    if case == "cuba-lif" and nir.CubaLIF not in kinds:
        raise Refused("the exporter left the synapse out: the file has no CubaLIF")
    if case == "delay" and nir.Delay not in kinds:
        raise Refused("the exporter left the delay out")
    pairs = {(a, b) for a, b in graph.edges}
    if case == "recurrent" and nir.NIRGraph not in kinds and not any((b, a) in pairs for a, b in pairs):
        raise Refused("the exporter left the recurrent weights out")


def exported(driver: Driver, case: str, network: Network, data: Tensor, file: Path) -> None:
    try:
        graph = driver.export(network, data)
        check_kept(case, graph)
        nir.write(file, graph)
    except Refused:
        raise
    except Exception as error:
        # nir.write leaves the part that it wrote before it failed.
        file.unlink(missing_ok=True)
        raise Refused(one_line(error)) from error


def make(library: str, case: str, folder: Path, single_spike: bool, defaults: bool) -> str:
    driver = DRIVERS[library](single_spike, defaults)
    generator = torch.Generator().manual_seed(0)
    shape = (STEPS, BATCH, *input_shape(case))
    data = (torch.rand(shape, generator=generator) < PROBABILITY).float()
    for gain in GAINS:
        torch.manual_seed(0)
        network = driver.build(case)
        amplify(network, gain)
        output = driver.simulate(network, data)
        rate = (output > 0).float().mean().item()
        if LOWEST <= rate <= HIGHEST:
            break
    else:
        raise RuntimeError(f"no gain gives a rate from {LOWEST} to {HIGHEST}")
    folder.mkdir(parents=True, exist_ok=True)
    exported(driver, case, network, data, folder / "network.nir")
    np.save(folder / "input.npy", data.numpy())
    np.save(folder / "output.npy", output.float().numpy())
    return f"rate {rate:.3f}, most spikes a step {int(output.max())}, weights times {gain:.3g}"


def run(
    library: str, file: Path, source: Path, target: Path, dt: float | None, single_spike: bool, resets: bool
) -> None:
    driver = DRIVERS[library](single_spike, False, resets)
    data = torch.from_numpy(np.load(source).astype(np.float32))
    network = driver.load(file, dt, (data.shape[0], data.shape[1]))
    np.save(target, driver.run(network, data).float().numpy())


def versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in (*LIBRARIES, "nir", "nirtorch")}


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run", help="run an input through a file of NIR")
    runner.add_argument("library", choices=LIBRARIES)
    runner.add_argument("file", type=Path)
    runner.add_argument("input", type=Path)
    runner.add_argument("output", type=Path)
    runner.add_argument("--dt", type=float)
    runner.add_argument(
        "--resets", action="store_true", help="with --single-spike, reset membranes after import (sinabs)"
    )
    maker = commands.add_parser("make", help="build a network and write its file, an input and its output")
    maker.add_argument("library", choices=LIBRARIES)
    maker.add_argument("case", choices=CASES)
    maker.add_argument("folder", type=Path)
    maker.add_argument(
        "--defaults",
        action="store_true",
        help="the library's defaults for reset_delay (snntorch), norm_input (sinabs) and decay_input (spikingjelly)",
    )
    for command in (runner, maker):
        command.add_argument("--single-spike", action="store_true", help="neurons that fire at most once a step")
    commands.add_parser("versions", help="say the versions")
    return parser.parse_args(words)


def done(arguments: argparse.Namespace) -> tuple[int, str]:
    """Do what a line asks for; status and message."""
    if arguments.command == "versions":
        return 0, json.dumps(versions())
    a = arguments
    try:
        with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            if a.command == "run":
                run(a.library, a.file, a.input, a.output, a.dt, a.single_spike, a.resets)
                return 0, ""
            return 0, make(a.library, a.case, a.folder, a.single_spike, a.defaults)
    except Refused as refusal:
        return 3, str(refusal)
    except Exception as error:
        return 1, one_line(error)


def main() -> None:
    # Importing the samna of PyPI makes pip reinstall it from another registry, and rockpool works without it.
    sys.modules["samna"] = None  # type: ignore[assignment]
    # What the libraries print would bury the one line that a caller reads.
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    answers = sys.stdout
    for line in sys.stdin:
        print(json.dumps(done(parse(json.loads(line)))), file=answers, flush=True)


if __name__ == "__main__":
    main()
