"""The checks that need a GPU, and times of training steps on one: make gpu.

    python benchmarks/gpu.py --out build/gpu            # gpu.md and gpu.json there
    python benchmarks/gpu.py --out build/gpu --small    # without a GPU too: Triton's interpreter, at the smallest sizes

The exit status is 1 if a check fails. Other libraries are timed where they are installed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported

from torch import Tensor, nn

from izhi import LIF, Izhikevich, preset
from izhi.connections import ConductanceSynapse, Conv2d, ExponentialSynapse, Linear
from izhi.experiments.benchmark.peers import without_samna
from izhi.kernels import PackedSpikes, cpu, cuda, pool_bits
from izhi.kernels.packed import BinarySpikes, as_bits
from izhi.network import Layer, Network
from izhi.spec import ORDERS
from izhi.spec.lif import RESETS
from izhi.version import __version__

GPU = torch.cuda.is_available()
WHERE = torch.device("cuda" if GPU else "cpu")
INPUTS, NEURONS = 20, 32
#: T, B, N of one layer: those of users, and of the benchmarks of Open Neuromorphic and of SpikingJelly.
SIZES = ((25, 256, 512), (100, 256, 512), (100, 256, 4096), (500, 16, 16_384), (32, 1, 65_536))


class Skipped(Exception):
    """A check that this machine cannot run."""


@dataclass
class Result:
    """Of a check: "passed", "failed" or "skipped", and why."""

    name: str
    outcome: str
    detail: str = ""


@dataclass
class Time:
    """Of a training step of one layer of neurons, forward and backward, in milliseconds."""

    library: str
    format: str
    steps: int
    batch: int
    neurons: int
    milliseconds: float


def _neurons() -> dict[str, Callable[..., Any]]:
    """Neurons by name, for a kernel."""
    made: dict[str, Callable[..., Any]] = {"Izhikevich, RS": partial(Izhikevich, "RS")}
    for reset in RESETS:
        v_reset = -0.2 if reset == "value" else 0.0
        made[f"LIF, {reset}"] = partial(LIF, reset=reset, v_reset=v_reset, learn=("beta", "threshold"))
    for order in ORDERS:
        parameters = preset("normalized").replace(order=order)
        made[f"Izhikevich, {order}"] = partial(Izhikevich, parameters, learn=("a2", "b1", "gain"))
    return made


def _connections() -> dict[str, Linear]:
    return {
        "linear": Linear(INPUTS, NEURONS),
        "exponential synapse": Linear(INPUTS, NEURONS, synapse=ExponentialSynapse(learn_tau=True)),
        "conductance": Linear(INPUTS, NEURONS, synapse=ConductanceSynapse()),
        "recurrent": Linear(INPUTS, NEURONS, recurrent=True),
    }


def _step(layer: nn.Module, x: Tensor, device: torch.device) -> tuple[Tensor, list[Tensor]]:
    """Spikes and gradients of a layer on a device, on the CPU."""
    layer = layer.to(device)
    spikes, _ = layer(x.to(device))
    pull = torch.linspace(-1, 1, spikes.numel(), device=device).view_as(spikes)
    (spikes * pull).sum().backward()
    return spikes.detach().cpu(), [p.grad.cpu() for p in layer.parameters() if p.grad is not None]


def check_spikes_and_gradients(steps: int) -> None:
    """Of every plan, against the reference on the CPU."""
    for kind, make in _neurons().items():
        for name, connection in _connections().items():
            torch.manual_seed(0)
            x = (torch.rand(steps, 3, INPUTS) < 0.4).float()
            one = _step(Layer(deepcopy(connection), make(kernel="reference")), x, torch.device("cpu"))
            two = _step(Layer(deepcopy(connection), make(kernel="cuda")), x, WHERE)
            # A product on a GPU sums in another order, by which a potential at the threshold may fire or not.
            share = float((one[0] != two[0]).float().mean())
            assert share <= (1e-3 if GPU else 0), f"{kind}, {name}: {share:.2%} of spikes differ"
            for a, b in zip(one[1], two[1], strict=True):
                assert float((a - b).norm()) <= (0.05 if share else 1e-3) * float(a.norm()) + 1e-6, f"{kind}, {name}"


def check_bits(steps: int) -> None:
    """The encoder's bits are the CPU's; a network learns from them as from dense spikes."""
    values = torch.rand(4, INPUTS)
    words = cuda.rate(values.to(WHERE), steps, 3, None)
    assert torch.equal(words.cpu(), cpu.rate(values, steps, 3, None))
    torch.manual_seed(0)
    layers = [Layer(Linear(INPUTS, NEURONS), LIF(kernel="cuda")), Layer(Linear(NEURONS, 4), LIF(kernel="cuda"))]
    network, found = Network(layers).to(WHERE), []
    packed = PackedSpikes(words, steps, torch.bfloat16)
    for spikes in (packed, packed.dense()):
        network.zero_grad()
        with torch.autocast(WHERE.type, torch.bfloat16):
            output = network(spikes).output
        output.float().sum().backward()
        found.append([p.grad.float().cpu() for p in network.parameters() if p.grad is not None])
    for a, b in zip(*found, strict=True):
        assert float((a - b).norm()) <= 0.05 * float(b.norm()) + 1e-6


def check_float16(steps: int) -> None:
    """Spikes in float16 are those of the same currents in float32."""
    current, neuron = torch.rand(steps, 3, NEURONS).half().to(WHERE), LIF(kernel="cuda").to(WHERE)
    assert torch.equal(neuron(current)[0].float(), neuron(current.float())[0])


def check_delays_and_pools(steps: int) -> None:
    """Delayed spikes and pools, and their gradients, are the CPU's."""
    x, past = torch.rand(steps, 3, NEURONS), torch.rand(6, 3, NEURONS)
    delays, whole = torch.linspace(0, 5, NEURONS), torch.linspace(0, 5, NEURONS).round().long()
    arguments = x, past, delays, whole
    found = [(cpu, arguments), (cuda, tuple(a.to(WHERE) for a in arguments))]
    for one, two in zip(*(_delayed(kernels, *given) for kernels, given in found), strict=True):
        torch.testing.assert_close(one, two.cpu())
    images = (torch.rand(3 * steps, 9, 11) < 0.4).float()
    for kind in ("max", "mean"):
        moved = [(cpu, images), (cuda, images.to(WHERE))]
        for one, two in zip(*(_pooled(kernels, kind, given) for kernels, given in moved), strict=True):
            assert torch.equal(one, two.cpu()), kind


def _delayed(kernels: Any, x: Tensor, past: Tensor, delays: Tensor, whole: Tensor) -> list[Tensor]:
    out = kernels.DELAYS.forward(x, past, delays, whole)
    return [out, *kernels.DELAYS.backward(x, past, whole, out)]


def _pooled(kernels: Any, kind: str, x: Tensor) -> list[Tensor]:
    out, place = kernels.POOLS.forward(x, kind, (2, 3))
    return [out, place, kernels.POOLS.backward(out, place, kind, (2, 3), x.shape)]


def check_images(steps: int) -> None:
    """Neurons of images fire the CPU's bits, which are pooled; a convolution of bits learns as one of numbers."""
    torch.manual_seed(0)
    current, pull = torch.rand(steps, 3, 4, 9, 11), torch.randn(steps, 3, 4, 4, 3)
    found = []
    for kernel, where in (("cpu", torch.device("cpu")), ("cuda", WHERE)):
        x = current.to(where).requires_grad_()
        spikes = pool_bits(nn.MaxPool2d((2, 3)), LIF(kernel=kernel).to(where)(x)[0])
        assert isinstance(spikes, BinarySpikes)
        (of_current,) = torch.autograd.grad((spikes * pull.to(where)).sum(), x)
        found.append([spikes.detach().cpu(), of_current.cpu()])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two)
    bits, connection = as_bits((torch.rand(steps, 3, 4, 9, 11, device=WHERE) < 0.2).float()), Conv2d(4, 8, 3).to(WHERE)
    learned = []
    for x in (bits, bits + 0):
        connection.zero_grad()
        connection(x).current.square().sum().backward()
        learned.append([p.grad for p in connection.parameters()])
    for one, two in zip(*learned, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-2, atol=1e-2)


def check_second_device(steps: int) -> None:
    """A layer runs on the second GPU, whichever is the current one."""
    if torch.cuda.device_count() < 2:
        raise Skipped(f"it needs two GPUs, and there are {torch.cuda.device_count()}")
    x = torch.rand(steps, 3, NEURONS)
    spikes = [LIF(kernel="cuda").to(where)(x.to(where))[0].cpu() for where in ("cuda:0", "cuda:1")]
    assert torch.equal(*spikes)


def check_graph(steps: int) -> None:
    """A training step is captured in a CUDA graph, which gives its gradients."""
    if not GPU:
        raise Skipped("it needs a GPU")
    network = Network([Layer(Linear(INPUTS, NEURONS), Izhikevich(learn=("gain",)))]).to(WHERE)
    x = (torch.rand(steps, 3, INPUTS, device=WHERE) < 0.4).float()

    def step() -> None:
        network.zero_grad(set_to_none=False)
        network(x).output.sum().backward()

    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(8):  # until no layer looks for silence any more
            step()
    torch.cuda.current_stream().wait_stream(side)
    expected = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    for p in network.parameters():
        p.grad = p.grad if p.grad is None else p.grad.zero_()
    graph.replay()
    torch.cuda.synchronize()
    found = [p.grad for p in network.parameters() if p.grad is not None]
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b)


def check_compile(steps: int) -> None:
    """torch.compile captures a training step as one graph, with equal spikes."""
    torch.manual_seed(0)
    neuron, x = Izhikevich(learn=("gain",)).to(WHERE), torch.rand(steps, 3, NEURONS, device=WHERE)
    compiled = torch.compile(neuron, fullgraph=True, backend="inductor" if GPU else "aot_eager")
    expected, found = neuron(x)[0], compiled(x)[0]
    assert torch.equal(expected, found)
    found.sum().backward()


CHECKS = (
    check_spikes_and_gradients, check_bits, check_float16, check_delays_and_pools, check_images,
    check_second_device, check_graph, check_compile,
)  # fmt: skip


def checked(steps: int) -> list[Result]:
    """The result of each check."""
    results = []
    for check in CHECKS:
        name = (check.__doc__ or "").strip().rstrip(".")
        try:
            check(steps)
            results.append(Result(name, "passed"))
        except Skipped as reason:
            results.append(Result(name, "skipped", str(reason)))
        except Exception as error:
            traceback.print_exc()
            results.append(Result(name, "failed", f"{type(error).__name__}: {error}".splitlines()[0]))
        print(f"{results[-1].outcome}: {name}", file=sys.stderr, flush=True)
    return results


#: A forward and backward pass of one layer.
Pass: TypeAlias = Callable[[], object]


def _pass_of_torch(make: Callable[[int], Callable[[Tensor], Tensor]]) -> Callable[[Tensor], Pass]:
    """The pass of a layer that is a function of currents (T, B, N) for a width N."""

    def of_currents(x: Tensor) -> Pass:
        run = make(x.shape[2])

        def step() -> None:
            x.grad = None
            run(x).float().sum().backward()  # type: ignore[no-untyped-call]
            if GPU:
                torch.cuda.synchronize()

        return step

    return of_currents


def _ours(neuron: Callable[..., Any]) -> Callable[[int], Callable[[Tensor], Tensor]]:
    def make(width: int) -> Callable[[Tensor], Tensor]:
        layer = neuron(kernel="cuda").to(WHERE)

        def run(x: Tensor) -> Tensor:
            spikes: Tensor = layer(x)[0]
            return spikes

        return run

    return make


def _snntorch(width: int) -> Callable[[Tensor], Tensor]:
    import snntorch

    neuron = snntorch.Leaky(0.9).to(WHERE)

    def run(x: Tensor) -> Tensor:
        membrane, spikes = neuron.init_leaky(), []
        for current in x:
            out, membrane = neuron(current, membrane)
            spikes.append(out)
        return torch.stack(spikes)

    return run


def _spikingjelly(width: int) -> Callable[[Tensor], Tensor]:
    # It chooses its kernels itself: CUDA, else Triton, else torch.
    from spikingjelly.activation_based import functional, neuron

    layer = neuron.LIFNode(step_mode="m").to(WHERE)

    def run(x: Tensor) -> Tensor:
        functional.reset_net(layer)
        found: Tensor = layer(x)
        return found

    return run


def _norse(width: int) -> Callable[[Tensor], Tensor]:
    from norse.torch import LIFBoxCell

    layer = torch.compile(LIFBoxCell().to(WHERE)) if GPU else LIFBoxCell()

    def run(x: Tensor) -> Tensor:
        state, spikes = None, []
        for current in x:
            out, state = layer(current, state)
            spikes.append(out)
        return torch.stack(spikes)

    return run


def _sinabs(layers: str) -> Callable[[int], Callable[[Tensor], Tensor]]:
    def make(width: int) -> Callable[[Tensor], Tensor]:
        layer = import_module(layers).LIF(tau_mem=20.0, norm_input=False).to(WHERE)

        def run(x: Tensor) -> Tensor:
            layer.reset_states()
            spikes: Tensor = layer(x.transpose(0, 1))  # (B, T, N)
            return spikes

        return run

    return make


def _rockpool(width: int) -> Callable[[Tensor], Tensor]:
    without_samna()
    from rockpool.nn.modules import LIFTorch
    from rockpool.parameters import Constant

    constants = {"alpha": 0.9, "beta": 0.5, "bias": 0.0, "threshold": 1.0}
    layer = LIFTorch(width, leak_mode="decays", **{name: Constant(x) for name, x in constants.items()}).to(WHERE)

    def run(x: Tensor) -> Tensor:
        layer.reset_state()
        spikes: Tensor = layer(x.transpose(0, 1))[0]
        return spikes

    return run


def _spyx(x: Tensor) -> Pass:
    """By ``lax.scan`` in one ``jax.jit``."""
    import jax
    import jax.numpy as jnp
    import spyx
    from flax import nnx

    if GPU and jax.default_backend() != "gpu":
        raise RuntimeError("JAX sees no GPU, expected jax[cuda12]")
    layer = spyx.nn.LIF((x.shape[2],), beta=0.9, rngs=nnx.Rngs(0))
    graph, parameters = nnx.split(layer)
    values = jnp.asarray(x.detach().float().cpu().numpy())
    values = values.astype(jnp.float16 if x.dtype == torch.float16 else jnp.float32)

    def total(values: Any) -> Any:
        spikes, _ = spyx.nn.run(nnx.merge(graph, parameters), values)
        return spikes.astype(jnp.float32).sum()

    gradient = jax.jit(jax.grad(total))
    return lambda: jax.block_until_ready(gradient(values))


#: What makes a pass of currents (T, B, N).
LIBRARIES: dict[str, Callable[[Tensor], Pass]] = {
    "Izhi LIF": _pass_of_torch(_ours(LIF)),
    "Izhi Izhikevich": _pass_of_torch(_ours(Izhikevich)),
    "snnTorch": _pass_of_torch(_snntorch),
    "SpikingJelly": _pass_of_torch(_spikingjelly),
    "Norse, compiled": _pass_of_torch(_norse),
    "sinabs": _pass_of_torch(_sinabs("sinabs.layers")),
    "sinabs, EXODUS": _pass_of_torch(_sinabs("sinabs.exodus.layers")),
    "Rockpool": _pass_of_torch(_rockpool),
    "spyx": _spyx,
}


def timed(sizes: tuple[tuple[int, int, int], ...], turns: int) -> tuple[list[Time], dict[str, str]]:
    """Times of each library that runs here, and why the others do not."""
    times: list[Time] = []
    missing: dict[str, str] = {}
    for (steps, batch, width), dtype in ((size, dtype) for size in sizes for dtype in (torch.float32, torch.float16)):
        x = torch.rand(steps, batch, width, device=WHERE, dtype=dtype, requires_grad=True)
        for name, make in LIBRARIES.items():
            if name in missing:
                continue
            try:
                median = _milliseconds(make(x), turns)
            except Exception as error:  # of another library, whatever it is
                missing[name] = f"{type(error).__name__}: {error}".splitlines()[0][:120]
                continue
            times.append(Time(name, str(dtype).removeprefix("torch."), steps, batch, width, median))
    return times, missing


def _milliseconds(step: Pass, turns: int) -> float:
    """The median of a forward and backward pass."""
    found = []
    for turn in range(turns + 3):
        began = time.perf_counter()
        step()
        if turn >= 3 or turns == 1:
            found.append((time.perf_counter() - began) * 1e3)
    return statistics.median(found)


def page(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [
        "# On a GPU", "",
        f"Izhi {report['version']} on {report['device']}; torch {report['torch']}, Python {report['python']}.", "",
        "| check | outcome |", "|---|---|",
        *(f"| {x['name']} | {x['outcome']}{': ' + x['detail'] if x['detail'] else ''} |" for x in report["checks"]), "",
        "| library | format | T | B | N | forward and backward, ms |", "|---|---|---|---|---|---|",
        *(f"| {' | '.join(map(str, list(x.values())[:-1]))} | {x['milliseconds']:.3f} |" for x in report["times"]), "",
        *(f"- {name} did not run: {reason}" for name, reason in report["missing"].items()),
    ]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/gpu"), help="folder of gpu.md and gpu.json")
    parser.add_argument("--small", action="store_true", help="smallest sizes, also in Triton's interpreter")
    options = parser.parse_args(arguments)
    if not GPU and not options.small:
        raise SystemExit("no CUDA device is available, expected one: add --small to try the script without")
    warnings.simplefilter("ignore")
    checks = checked(5 if options.small else 60)
    times, missing = timed(((3, 2, 8),) if options.small else SIZES, 1 if options.small else 30)
    report = {
        "version": __version__, "torch": torch.__version__, "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if GPU else "Triton's interpreter, whose times mean nothing",
        "checks": [asdict(x) for x in checks], "times": [asdict(x) for x in times], "missing": missing,
    }  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gpu.json").write_text(json.dumps(report, indent=1))
    (options.out / "gpu.md").write_text(page(report))
    print(page(report))
    raise SystemExit(any(x.outcome == "failed" for x in checks))


if __name__ == "__main__":
    main()
