"""Inputs that are huge, infinite or no numbers: kernels give what the reference gives, and spikes stay 0 and 1."""

import importlib.util
import math

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from izhi import LIF, Izhikevich, preset
from izhi.kernels import Synapse, SynapticInput
from izhi.spec import ORDERS

HAS_TRITON = importlib.util.find_spec("triton") is not None
CUDA = pytest.param(
    "cuda", marks=[pytest.mark.slow, pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed")]
)
#: Compiled kernels take such inputs in ``test_plans.py``.
KERNELS = pytest.mark.parametrize("kernel", ["numpy", CUDA], indirect=True)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
EXTREME = st.sampled_from([0.0, 0.5, -2.0, 30.0, *(s * x for x in (1e10, 1e19, 1e30, 3e38, math.inf) for s in (1, -1))])
INPUTS = st.lists(st.lists(EXTREME | st.just(math.nan), min_size=3, max_size=3), min_size=1, max_size=5)
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numpy, in Triton's interpreter
few = settings(
    max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


def outcome(neuron, current, conductance, device, learns):
    """Spikes, state, and the gradient of the current."""
    x = torch.tensor(current).unsqueeze(1).to(device).requires_grad_(learns)
    drive = SynapticInput(x)
    if conductance is not None:
        held = torch.full_like(x, conductance).detach()
        drive = SynapticInput(x, held, synapse=Synapse(torch.tensor(0.9, device=device), 0.5))
    spikes, state = neuron.to(device)(drive)
    found = [spikes.detach(), *(s.detach() for s in state if isinstance(s, torch.Tensor))]
    if learns:
        found += torch.autograd.grad(spikes.sum() + state.v.sum(), x)
    return [t.cpu() for t in found]


def check(make, kernel, *inputs, learns):
    device = DEVICE if kernel == "cuda" else "cpu"
    mine, wanted = (outcome(make(name), *inputs, device, learns) for name in (kernel, "reference"))
    assert set(mine[0].unique().tolist()) <= {0.0, 1.0}
    for a, b in zip(mine, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6, equal_nan=True)


@KERNELS
@pytest.mark.parametrize("order", ORDERS)
@few
@given(
    INPUTS, st.sampled_from(["normalized", "RS"]), st.sampled_from([1.0, 1e30]), st.booleans(),
    st.sampled_from(["value", "subtract", "none", "smooth"]),
)  # fmt: skip
def test_izhikevich(kernel, order, current, name, gain, learns, reset):
    p = preset(name).replace(order=order, reset=reset)
    check(lambda kernel: Izhikevich(p, gain=gain, kernel=kernel), kernel, current, None, learns=learns)


@KERNELS
@pytest.mark.parametrize("reset", ["subtract", "soft", "zero", "value", "none"])
@few
@given(INPUTS, st.booleans(), st.booleans())
def test_lif(kernel, reset, current, delay, learns):
    v_reset = -0.3 if reset == "value" else 0.0

    def make(kernel):
        return LIF(reset=reset, v_reset=v_reset, reset_delay=delay, kernel=kernel)

    check(make, kernel, current, None, learns=learns)


@KERNELS
@few
@given(INPUTS, st.sampled_from([0.0, 1.0, 1e30, math.inf]), st.booleans())
def test_behind_a_synapse(kernel, current, conductance, learns):
    check(lambda kernel: Izhikevich(kernel=kernel), kernel, current, conductance, learns=learns)


@pytest.mark.parametrize("learns", [False, True])
def test_the_reference_clamps_an_infinite_state_whether_or_not_it_keeps_gradients(learns):
    neuron = Izhikevich("normalized", kernel="reference")
    x = torch.full((3, 1, 2), math.inf).requires_grad_(learns)
    spikes, state = neuron(x)
    assert spikes[:, 0, 0].tolist() == [0, 1, 0]
    assert state.v.tolist() == [[pytest.approx(neuron.settings.constants.v_high)] * 2]
