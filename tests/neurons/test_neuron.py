"""What every neuron is: the protocol that networks are typed by."""

import pytest
import torch

from izhi import LIF, IzhiError, Izhikevich
from izhi.hardware.fixed import FixedPoint
from izhi.kernels import SynapticInput
from izhi.quantization import QuantizedNeuron, StateFormats

FORMATS = StateFormats(FixedPoint(16, 12), FixedPoint(16, 12))
NEURONS = {
    "izhikevich": lambda: Izhikevich(learn=("a2",)),
    "lif": lambda: LIF(learn=("beta",)),
    "quantised izhikevich": lambda: QuantizedNeuron(Izhikevich(learn=("a2",)), FORMATS),
    "quantised lif": lambda: QuantizedNeuron(LIF(learn=("beta",)), FORMATS),
}


@pytest.mark.parametrize("name", NEURONS)
def test_every_neuron_follows_the_protocol(name):
    neuron = NEURONS[name]()
    assert neuron.kind == name.split()[-1]
    assert neuron.parameter_shape is None
    assert neuron.kernel == "auto"
    assert neuron.unit_of_v == "1"
    assert neuron.implicit == 1
    (learned,) = neuron.learned
    assert neuron.parameter_scale(learned) > 0
    assert neuron.coefficients()._asdict()[learned] is not None
    assert 0 < float(neuron.coefficients().threshold) <= 1
    low, rest, high = neuron.reversal
    assert low < rest < high


@pytest.mark.parametrize("name", NEURONS)
def test_steps_are_those_of_the_call(name):
    neuron = NEURONS[name]()
    gain = torch.tensor(2.0**-4) if name.startswith("quantised") else None
    drive = SynapticInput(torch.randint(-4, 12, (20, 2, 3)).float(), bias=torch.full((3,), 0.1), gain=gain)
    if gain is None:
        drive = drive._replace(current=drive.current / 16)
    with torch.no_grad():
        whole, last = neuron(drive)
        state, steps = None, []
        for t in range(20):
            spikes, state = neuron.step(drive.step(t), state)
            steps.append(spikes)
    assert whole.sum() > 0
    assert torch.equal(torch.stack(steps), whole)
    torch.testing.assert_close(state.v, last.v)


def test_what_conductances_need_is_in_the_unit_of_v():
    assert Izhikevich("RS").unit_of_v == "mV"
    assert Izhikevich("RS", gain=3.0).implicit == 3.0 * Izhikevich("RS").base_parameters.dt


@pytest.mark.parametrize("make", [Izhikevich, LIF])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": "fpga"}, "unknown kernel 'fpga'"),
        ({"spread": -1.0, "parameter_shape": 3}, "spread is -1.0, expected a finite number"),
        ({"spread": 0.1}, "expected 0 unless each neuron has its own"),
    ],
)
def test_settings_that_no_neuron_takes(make, arguments, message):
    with pytest.raises(IzhiError, match=message):
        make(**arguments)


@pytest.mark.parametrize("make", [Izhikevich, LIF])
def test_a_current_of_another_width_is_refused(make):
    with pytest.raises(IzhiError, match="expected \\(3,\\), the neuron's parameter_shape"):
        make(parameter_shape=3)(torch.zeros(4, 2, 5))


@pytest.mark.parametrize(
    "neuron",
    [
        LIF(),
        LIF(reset="zero", reset_delay=False),
        Izhikevich(parameter_shape=3, learn=("c",)),
        Izhikevich("RS", gain=1),
    ],
    ids=["lif", "hard", "normalised", "biological"],
)
def test_a_trace_by_a_kernel_is_that_of_single_steps(neuron):
    current = torch.rand(100, 2, 3) * (15 if neuron.unit_of_v == "mV" else 0.3)
    by_steps = neuron.trace(current)
    with torch.no_grad():
        by_kernel = neuron.trace(current)
        rest = neuron.trace(current[40:], neuron(current[:40])[1])
    assert by_kernel[0].sum() > 0
    for one, other, later in zip(by_steps, by_kernel, rest, strict=True):
        assert torch.equal(one, other)
        assert torch.equal(other[40:], later)
