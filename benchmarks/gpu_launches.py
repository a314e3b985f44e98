"""What a training step on a GPU costs the CPU, measured without a GPU.

    python benchmarks/gpu_launches.py

Two tables: launches, operations of torch, reads by the host and copies from it in the forward and backward pass of
small networks; and microseconds of CPU time for each launch of a kernel, by Triton's own way and by Izhi's. Kernels
and driver do nothing here, so what they take is left out.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

if __name__ == "__main__":
    os.environ.pop("TRITON_INTERPRET", None)  # which has neither driver nor compiler

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from triton.runtime.jit import JITFunction

import gpu_kernels
from izhi import LIF, Izhikevich
from izhi.connections import ExponentialSynapse, Linear
from izhi.kernels import PackedSpikes
from izhi.kernels.cuda import launch
from izhi.kernels.deferred import DeferredFlags
from izhi.network import Layer, Network, network as of_networks

T, B, SIZES = 100, 16, (784, 512, 10)
NETWORKS: dict[str, Callable[[], Network]] = {
    "Izhikevich": lambda: _network(Izhikevich),
    "LIF": lambda: _network(LIF),
    "Izhikevich, gain learned": lambda: _network(lambda: Izhikevich(learn=("gain",))),
    "Izhikevich, three coefficients learned": lambda: _network(lambda: Izhikevich(learn=("a2", "b1", "gain"))),
    "Izhikevich, synapses with τ learned": lambda: _network(Izhikevich, lambda: ExponentialSynapse(learn_tau=True)),
    "Izhikevich, recurrent": lambda: _network(Izhikevich, recurrent=True),
}
#: Operations that launch nothing.
_FREE = {
    "empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "detach", "alias", "_local_scalar_dense",
    "lift_fresh", "_unsafe_view", "is_same_size",
}  # fmt: skip


def _network(
    neuron: Callable[[], Any], synapse: Callable[[], ExponentialSynapse] | None = None, recurrent: bool = False
) -> Network:  # fmt: skip
    """All layers but the last may be recurrent."""
    return Network([
        Layer(Linear(a, b, synapse=synapse and synapse(), recurrent=recurrent and b != SIZES[-1]), neuron())
        for a, b in itertools.pairwise(SIZES)
    ])  # fmt: skip


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations of torch, reads of numbers by the host, and tensors that are made of its numbers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.launched: Counter[str] = Counter()
        self.reads: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        is_view = any(x.alias_info is not None and not x.alias_info.is_write for x in func._schema.returns)
        if name == "_local_scalar_dense":
            self.reads[_caller()] += 1
        elif name == "lift_fresh":
            self.copies[_caller()] += 1
        elif isinstance(result, Tensor) and not is_view and name not in _FREE:
            self.launched[name] += 1
        return result


def _caller() -> str:
    """The line of Izhi that an operation comes from."""
    frame = sys._getframe(2)
    while frame.f_back is not None and "/izhi/" not in frame.f_code.co_filename:
        frame = frame.f_back
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"


@contextmanager
def waiting() -> Iterator[None]:
    """The CPU's memory counts as that of a device that a read waits for; flags arrive by themselves."""

    def read(self: DeferredFlags) -> list[bool]:
        return [False] * len(self._flags)

    with mock.patch.object(of_networks, "waits_for", return_value=True), mock.patch.object(DeferredFlags, "read", read):
        yield


def step(network: Network, spikes: PackedSpikes | Tensor) -> None:
    """Forward and backward pass."""
    with torch.autocast("cpu", torch.bfloat16, enabled=spikes.dtype == torch.bfloat16):
        output = network(spikes).output
    output.float().sum().backward()


def counted(network: Network, spikes: PackedSpikes | Tensor) -> Operations:
    """The operations of a step, when an earlier one has filled caches."""
    with gpu_kernels.played_gpu(), waiting():
        step(network, spikes)
        network.zero_grad()
        if isinstance(spikes, PackedSpikes):  # those of another batch have not been listed
            spikes = PackedSpikes(spikes.words, spikes.steps, spikes.dtype, checked=True)
        operations = Operations()
        with operations:
            step(network, spikes)
    return operations


def counts(launches: list[str]) -> str:
    """A row for each network."""
    lines = [
        "| network | launches of Triton | operations of torch | reads by the host | copies from the host |",
        "|---|---|---|---|---|",
    ]
    for name, make in NETWORKS.items():
        network = make()
        words = torch.zeros(B, -(-T // 32), SIZES[0], dtype=torch.int32)
        spikes = PackedSpikes(words, T, torch.bfloat16, checked=True)
        launches.clear()
        found = counted(network, spikes)
        numbers = (len(launches) // 2, found.launched.total(), found.reads.total(), found.copies.total())
        lines.append(f"| {name} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines)


def _best(call: Callable[[], None], times: int = 200, rounds: int = 9) -> float:
    """Microseconds of a call, the least of several rounds."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(times):
            call()
        found.append((time.perf_counter() - began) / times)
    return min(found) * 1e6


def times(run_of_triton: Callable[..., Any]) -> str:
    """A row for each kernel."""
    calls: dict[str, tuple[Any, ...]] = {}
    ours = launch.launch

    def note(function: Any, grid: tuple[int, ...], *arguments: Any, **named: Any) -> None:
        name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        calls.setdefault(name, (function, grid, arguments, named))
        ours(function, grid, *arguments, **named)

    modules = [
        sys.modules[f"izhi.kernels.cuda.{name}"] for name in ("delay", "events", "recurrence", "samples", "weighted")
    ]
    for module in modules:
        mock.patch.object(module, "launch", note).start()
    words = torch.zeros(B, -(-T // 32), SIZES[0], dtype=torch.int32)
    with gpu_kernels.played_gpu(), waiting():
        for network in ("Izhikevich", "Izhikevich, recurrent"):
            step(NETWORKS[network](), PackedSpikes(words, T, torch.bfloat16, checked=True))

    def compile(self: Any, key: str, signature: Any, device: int, *_: Any) -> gpu_kernels.NoKernel:
        self.cache_key  # noqa: B018  (finds the names that the kernel uses, which every launch then checks)
        kernel: gpu_kernels.NoKernel = gpu_kernels.NoKernel(self.__name__, [])
        self.device_caches[device][0][key] = kernel
        return kernel

    lines = ["| kernel | arguments | Triton's launch, µs | this launch, µs |", "|---|---|---|---|"]
    for name, (function, grid, arguments, named) in sorted(calls.items()):
        with mock.patch.multiple(JITFunction, run=run_of_triton, _do_compile=compile):
            theirs = _best(lambda: function[grid](*arguments, **named, **launch.OPTIONS))  # noqa: B023
        own = _best(lambda: ours(function, grid, *arguments, **named))  # noqa: B023
        lines.append(f"| `{name}` | {len(arguments)} | {theirs:.1f} | {own:.1f} |")
    return "\n".join(lines)


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    run_of_triton, recorder = JITFunction.run, gpu_kernels.Recorder()
    recorder.install()
    print(counts(recorder.launches))
    print()
    print(times(run_of_triton))


if __name__ == "__main__":
    main()
