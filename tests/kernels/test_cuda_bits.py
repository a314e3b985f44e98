"""Spikes as bits on a GPU: encoder, lists, products and layers in Triton, here in its interpreter.

They are what dense products and kernels of neurons alone give, for any shape.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from hypothesis import assume, given, settings, strategies as st
from torch import Tensor, nn

from izhi import LIF, Izhikevich, preset
from izhi.kernels import PackedSpikes, Synapse, WeightedSpikes, packed, products, routes, takes_bits
from izhi.kernels.cpu import bits, events, rate
from izhi.kernels.packed import BinarySpikes
from izhi.network import Layer, Network
from izhi.network.connections import Linear
from izhi.network.encoders import ValueEncoder
from izhi.spec import ORDERS
from spikes import spikes_of_some

if not importlib.util.find_spec("triton"):
    pytest.skip("Triton is not installed", allow_module_level=True)

from triton.runtime.interpreter import InterpretedFunction

from izhi.kernels import cuda
from izhi.kernels.cuda import events as on_gpu

pytestmark = pytest.mark.slow
WHERE = "cuda" if torch.cuda.is_available() else "cpu"
quick = settings(deadline=None, max_examples=6)
#: Of bfloat16, relative; the interpreter cuts numbers off instead of rounding them.
ROUNDING = 2.0**-8 if WHERE == "cuda" else 2.0**-7
steps, batches, widths = st.integers(1, 70), st.integers(1, 5), st.integers(1, 80)


@pytest.fixture(autouse=True, scope="module")
def _gpu() -> Iterator[None]:
    """A GPU, or a CPU that plays one."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (packed, products):
            patch.setattr(module, "bits_on", lambda device: cuda.BITS)
        machine = routes.this_machine  # a GPU has a matrix unit, the CPU perhaps not
        patch.setattr(routes, "this_machine", lambda: machine()._replace(bf16_dot="matrix unit"))
        yield


@quick
@given(steps, batches, st.sampled_from([1, 3, 64, 601]), st.integers(0, 2**31))
def test_the_encoder_gives_the_bits_of_the_cpu(time: int, batch: int, width: int, seed: int) -> None:
    values = torch.rand(batch, width)
    values[:, ::3] = 0
    values[:, 1::3] = values[:, 1::3].round()
    assert torch.equal(cuda.rate(values.to(WHERE), time, seed, None).cpu(), rate(values, time, seed, None))


@quick
@given(steps, batches, st.sampled_from([1, 31, 32, 70, 1100]), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 99))
def test_words_and_lists_are_those_of_the_cpu(time: int, batch: int, inputs: int, active: float, seed: int) -> None:
    spikes = spikes_of_some((time, batch, inputs), 0.4, active, seed)
    words = on_gpu.packed(spikes.to(WHERE))
    assert torch.equal(words.cpu(), bits.packed_nonzero(spikes))
    assert torch.equal(on_gpu.dense(words, time, torch.bfloat16).cpu(), spikes)
    assert on_gpu.dense(words, time, torch.float32).is_contiguous()
    assert torch.equal(on_gpu.counted(words).cpu(), spikes.float().sum((0, 1)))
    one, two = on_gpu.listed(words, time), events.listed(words.cpu(), time)
    assert torch.equal(one.counts.cpu(), two.counts)
    assert one.totals.spikes == two.totals.spikes == int(spikes.sum(dtype=torch.float32))
    assert (one.density, one.active) == (two.density, two.active)
    for b, count in enumerate(two.counts.tolist()):
        assert torch.equal(one.places[b, :count].cpu(), two.places[b, :count])
        assert torch.equal(one.gathered[b, :, :count].cpu(), two.gathered[b, :, :count])


@quick
@given(
    steps, batches, widths, st.integers(1, 130), st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([0.1, 1.0]),
    st.integers(0, 99),
)  # fmt: skip
def test_products_and_gradients_are_those_of_dense_spikes(
    time: int, batch: int, inputs: int, outputs: int, density: float, active: float, seed: int
) -> None:
    spikes = spikes_of_some((time, batch, inputs), density, active, seed)
    found = on_gpu.listed(on_gpu.packed(spikes.to(WHERE)), time)
    weight, g = torch.randn(outputs, inputs), torch.randn(time, batch, outputs).bfloat16()
    out = on_gpu.product(found, weight.to(WHERE)).cpu()
    expected = spikes.double() @ weight.bfloat16().double().t()
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.double(), expected, rtol=ROUNDING, atol=1e-5)
    exact = g.double().flatten(0, 1).t() @ spikes.double().flatten(0, 1)
    gradient = on_gpu.weight_gradient(found, g.to(WHERE)).cpu()
    torch.testing.assert_close(gradient.double(), exact, rtol=1e-5, atol=1e-4)


#: Dynamics, what is learned, a synapse, a bias.
PLANS = [
    ("fpga-ip", "none", False, True), ("izhikevich-2004", "all", True, True), ("s2nn", "gain", False, False),
    ("subtract", "all", True, False), ("value", "none", False, True),
]  # fmt: skip


@pytest.mark.parametrize("plan", PLANS)
@settings(deadline=None, max_examples=4)
@given(st.integers(1, 40), st.integers(1, 4), widths, st.integers(17, 100), st.booleans(), st.integers(0, 99))
def test_a_layer_by_one_kernel_is_that_by_two(
    plan: tuple[str, str, bool, bool], time: int, batch: int, inputs: int, outputs: int, learns: bool, seed: int
) -> None:
    kind, learn, filtered, biased = plan
    torch.manual_seed(seed)
    spikes = spikes_of_some((time, batch, inputs), 0.4, 0.3, seed)
    assume(float((spikes > 0).any(0).float().mean()) < routes.ACTIVE)  # else the product is torch's
    found = on_gpu.listed(on_gpu.packed(spikes.to(WHERE)), time)
    if kind in ORDERS:
        names = {"none": (), "gain": ("gain",), "all": ("a1", "a", "c", "d", "threshold", "gain")}[learn]
        parameters, size = preset("normalized").replace(order=kind), outputs if learn == "all" else None
        neuron: nn.Module = Izhikevich(parameters, learn=names, parameter_shape=size, kernel="cuda")
    else:
        neuron = LIF(reset=kind, learn=("beta", "threshold") if learn == "all" else (), kernel="cuda")
    neuron.to(WHERE).requires_grad_(learns)

    def leaf(x: Tensor) -> nn.Parameter:
        return nn.Parameter(x.to(WHERE), requires_grad=learns)

    weight, decay = leaf(torch.randn(outputs, inputs) * 0.3), leaf(torch.tensor(0.8))
    bias = leaf(torch.randn(outputs) * 0.05) if biased else None
    state = neuron.initial_state(torch.zeros(batch, outputs))
    kind_of_state, first = type(state), [leaf(x.clone()) for x in state if isinstance(x, Tensor)]
    learned = [x for x in (*neuron.parameters(), *first, weight, decay, bias) if x is not None]

    def run(whole: bool) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        packed = PackedSpikes(found.words, time, torch.bfloat16)
        input_ = WeightedSpikes(packed, weight, bias, Synapse(decay, 0.0) if filtered else None)
        drive = input_ if whole else input_.multiplied(input_.counted())
        out, last = neuron(drive, kind_of_state(*first))
        assert isinstance(out, BinarySpikes) == whole
        states = [x for x in (*last, *last.memory.synapse) if isinstance(x, Tensor)]
        for x in learned:
            x.grad = None
        if learns:
            pull = torch.linspace(-1, 1, out.numel(), device=WHERE).view(out.shape)
            ((out.float() * pull).sum() + sum(0.01 * x.sum() for x in states)).backward()
        return out.float(), states, [torch.zeros_like(x) if x.grad is None else x.grad for x in learned]

    one, two = run(True), run(False)
    for x, y in zip((one[0], *one[1]), (two[0], *two[1]), strict=True):
        assert torch.equal(x, y)
    for x, y in zip(one[2], two[2], strict=True):
        torch.testing.assert_close(x, y, rtol=1e-3, atol=float(1e-4 * y.abs().max()) + 1e-6)


def test_a_network_learns_from_bits_as_from_dense_spikes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way of a GPU from encoder to gradients."""
    monkeypatch.setattr(routes, "takes_bits", lambda dtype, kind, machine=None: True)
    values = torch.rand(12, 90) * (torch.rand(12, 90) < 0.3)
    spikes = PackedSpikes(cuda.rate(values.to(WHERE), 40, 3, None), 40, torch.bfloat16)
    labels = torch.arange(12, device=WHERE) % 10

    def gradients(spikes: PackedSpikes | Tensor) -> tuple[float, list[Tensor]]:
        torch.manual_seed(0)
        neurons = [Izhikevich(learn=("gain",), kernel="cuda"), LIF(kernel="cuda"), LIF(kernel="cuda")]
        layers = [Layer(Linear(*sizes), n) for sizes, n in zip([(90, 40), (40, 20), (20, 10)], neurons, strict=True)]
        network = Network(layers).to(WHERE)
        with torch.autocast(WHERE, torch.bfloat16):
            out = network(spikes)
        loss = nn.functional.cross_entropy(out.output.float().sum(0), labels)
        loss.backward()
        return loss.item(), [p.grad for p in network.parameters() if p.grad is not None]

    one, two = gradients(spikes), gradients(spikes.dense())
    assert one[0] == pytest.approx(two[0], rel=1e-2)
    assert len(one[1]) == len(two[1]) == 7
    for x, y in zip(one[1], two[1], strict=True):
        assert (x - y).norm() <= 0.05 * y.norm()


def test_every_launch_is_on_the_device_of_its_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever device is the current one."""
    inside: list[Tensor] = []
    launched: list[str] = []

    @contextlib.contextmanager
    def device_of(tensor: Tensor) -> Iterator[None]:
        inside.append(tensor)
        yield
        inside.pop()

    run = InterpretedFunction.run

    def noted(self: InterpretedFunction, *arguments: object, **others: object) -> object:
        assert len(inside) == 1
        launched.append(self.fn.__name__)
        return run(self, *arguments, **others)

    monkeypatch.setattr(torch.cuda, "device_of", device_of)
    monkeypatch.setattr(InterpretedFunction, "run", noted)
    words = cuda.rate(torch.rand(2, 20), 3, 0, None)
    cuda.rate(torch.rand(2, 20), 3, 0, torch.float32)
    on_gpu.dense(words, 3, torch.bfloat16)
    found = on_gpu.listed(words, 3)
    on_gpu.weight_gradient(found, on_gpu.product(found, torch.rand(17, 20)))
    spikes, _ = Izhikevich(learn=("gain",), kernel="cuda")(torch.rand(3, 2, 5, requires_grad=True))
    spikes.sum().backward()
    layer = WeightedSpikes(PackedSpikes(words, 3, torch.bfloat16), torch.rand(17, 20), None, None)
    LIF(kernel="cuda")(layer)
    names = {"_encode_bits", "_encode", "_expand", "_list", "_product", "_gradient", "forward", "backward"}
    assert set(launched) == names


def test_which_spikes_are_bits_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert takes_bits(torch.bfloat16, "cuda")
    assert not takes_bits(torch.float32, "cuda")
    monkeypatch.setattr(routes, "has_triton", lambda: False)
    assert not takes_bits(torch.bfloat16, "cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_encoders_give_bits_on_a_gpu() -> None:
    values = torch.rand(4, 50, device="cuda")
    spikes = ValueEncoder("rate", 9, (50,))(values, 0, dtype=torch.bfloat16)
    assert isinstance(spikes, PackedSpikes)
    assert spikes.device.type == "cuda"
    assert torch.equal(spikes.dense(), ValueEncoder("rate", 9, (50,), packs=False)(values, 0, dtype=torch.bfloat16))


def test_bits_compile_for_a_gpu() -> None:
    """To assembly for compute capability 8.0, which needs no GPU."""
    script = """
import torch
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from izhi.kernels.cuda import events, weighted
from izhi.kernels.cuda.rate import _encode_bits
from izhi.equation import izhikevich, lif
from izhi.kernels.plan import Plan, StepForm
from izhi import ORDERS
from izhi.neurons import surrogate

def assembly(kernel, memory, constants):
    signature = {name: memory.get(name, "i32") for name in kernel.arg_names}
    signature.update(dict.fromkeys(constants, "constexpr"))
    print(len(compile(ASTSource(kernel, signature, constants), target=GPUTarget("cuda", 80, 32)).asm["ptx"]))

lists = {"words": "*i32", "places": "*i32", "counts": "*i32", "gathered": "*i32"}
tiles = {"block": 64, "group": 32}
assembly(events._list, lists, {"block": 1024})
assembly(events._expand, {**lists, "out": "*bf16"}, {"block": 64})
assembly(events._product, {**lists, "rows": "*bf16", "out": "*bf16"}, tiles)
assembly(events._gradient, {**lists, "g": "*bf16", "out": "*fp32"}, tiles)
assembly(_encode_bits, {"limits": "*i32", "words": "*i32"}, {"block": 256})
floats = dict.fromkeys(("bias", "p", "decay_at", "first", "kept", "last"), "*fp32")
equations = [izhikevich(ORDERS[name]) for name in ("fpga-ip", "s2nn")]
for equation in (*equations, *(lif(reset, False) for reset in ("subtract", "value"))):
    form = StepForm(equation, coupled=False, filtered=True, biased=True)
    plan = Plan(form, surrogate.ATan, torch.bfloat16, shared=False, learn=tuple(range(len(form.coefficients) + 1)))
    kernel = weighted._forward(plan)
    numbers = kernel.arg_names[kernel.arg_names.index("dt") : -2]
    memory = {**lists, **floats, "fired": "*i32", "rows": "*bf16", "currents": "*bf16"}
    memory.update(dict.fromkeys(numbers, "fp32"))
    assembly(kernel, memory, tiles)
"""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.split()) == 9
