"""Presets, the biological → normalised map, and what parameters refuse."""

import math

import pytest
import torch

from izhi import IzhiError, Izhikevich, biological, normalize, preset
from izhi.experiments.settings import experiment
from izhi.kernels import SynapticInput
from izhi.spec import CELLS_2007, PATTERNS, PRESETS


def test_map_gives_the_fpga_coefficients_from_rs():
    p = normalize(CELLS_2007["RS"], v_offset=-65)
    assert p.a1 == 1
    assert p.a2 == pytest.approx(-0.210)
    assert p.c == pytest.approx(0.105)
    assert p.threshold == pytest.approx(0.700)
    assert p.b1 == pytest.approx(-1 / 32, abs=5e-4)
    assert p.b2 == pytest.approx(-1 / 32, abs=2e-3)
    assert p.b3 == 0
    assert p.a4 == pytest.approx(0.0054, abs=1e-4)
    assert p.d == pytest.approx(0.368, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "a2", "b1", "b2", "c", "d", "threshold"),
    [("IB", -0.24, 0.0175, -0.01, 0.152, 0.365, 1.0), ("CH", -0.6, 0.0316, -0.03, 0.6, 4.74, 2.55)],
)
def test_map_of_other_cells(name, a2, b1, b2, c, d, threshold):
    p = preset(f"normalized-{name}")
    values = (p.a2, p.b1, p.b2, p.c, p.d, p.threshold)
    assert values == pytest.approx((a2, b1, b2, c, d, threshold), abs=0.006)


def test_map_is_a_change_of_variables_of_the_equations():
    """One Euler step of the 2007 form in mV and pA, mapped, is one step of the normalised form."""
    for name, offset in (("RS", -65.0), ("IB", -75.0), ("CH", -60.0)):
        cell, p = CELLS_2007[name], preset(f"normalized-{name}")
        lv = cell.C / cell.k
        lu = 0.019 * lv * cell.C
        u_offset = cell.b * (offset - cell.vr)
        v, u, current = -52.0, 30.0, 120.0
        dv = (cell.k * (v - cell.vr) * (v - cell.vt) - u + current) / cell.C
        du = cell.a * (cell.b * (v - cell.vr) - u)
        x, y, i = (v - offset) / lv, (u - u_offset) / lu, current / (lv * cell.C)
        assert p.a1 * x * x + p.a2 * x + p.a3 * y + p.a4 + i == pytest.approx(dv / lv)
        assert p.b1 * x + p.b2 * y + p.b3 == pytest.approx(du / lu)


@pytest.mark.parametrize("name", ["normalized", "RS", "qif"])
@pytest.mark.parametrize("kernel", ["reference", "cpu"])
def test_another_unit_of_v_changes_no_spike_and_no_gradient(name, kernel):
    one, other = (Izhikevich(p, kernel=kernel) for p in (preset(name), preset(name).scaled(4)))
    current = torch.rand(40, 3, 5, generator=torch.Generator().manual_seed(0))
    inputs = [current.clone().requires_grad_() for _ in range(2)]
    (spikes, state), (same, scaled) = (neuron(SynapticInput(x)) for neuron, x in zip((one, other), inputs, strict=True))
    assert spikes.sum() > 50
    assert torch.equal(spikes, same)
    assert torch.equal(4 * state.v, scaled.v)
    assert torch.equal(state.u, scaled.u)
    for found in (spikes, same):
        found.mul(torch.linspace(-1, 1, 40).view(-1, 1, 1)).sum().backward()
    assert torch.equal(inputs[0].grad, inputs[1].grad)


def test_a_unit_is_above_0():
    with pytest.raises(IzhiError, match=r"factor is 0.*expected a number above 0"):
        preset("RS").scaled(0)


def test_biological_form():
    p = biological(0.02, 0.2, -65, 8)
    assert (p.b1, p.b2, p.u0) == pytest.approx((0.004, -0.02, -14))
    assert p == PRESETS["RS"] == PRESETS["biological"]


@pytest.mark.parametrize("name", PRESETS)
def test_python_and_settings_have_one_gain(name):
    """Of presets in mV it is 200."""
    gain = 200.0 if preset(name).unit == "mV" else 1.0
    assert Izhikevich(name).coefficients().gain == gain
    assert experiment({"neuron": name}).resolved().neurons.gain == gain
    assert Izhikevich(name, gain=3.0).coefficients().gain == 3.0


def test_every_pattern_and_class_is_a_preset():
    assert len(PATTERNS) == 20
    assert set(PATTERNS) <= set(PRESETS)
    assert {"RS", "IB", "CH", "FS", "LTS", "TC", "RZ"} <= set(PRESETS)


def test_lower_limit_is_where_a_euler_step_overshoots():
    p = biological(0.02, 0.2, -65, 8, order="fpga-ip")
    low, high = p.limits
    step = low + p.a1 * low**2 + p.a2 * low + p.a3 * p.u0 + p.a4
    assert low == pytest.approx(-125, abs=1)
    assert step == pytest.approx(p.threshold)
    assert high > 400


def test_a_and_b_stand_for_the_recovery_of_u():
    p = preset("RS").replace(a=0.1, b=0.25)
    assert (p.b1, p.b2) == (pytest.approx(0.025), -0.1)
    assert (p.a, p.b) == (0.1, pytest.approx(0.25))
    assert preset("RS").replace(a=0.1).b == pytest.approx(0.2)
    assert preset("normalized").b == -1
    with pytest.raises(IzhiError, match="a or b is given beside b1 or b2"):
        preset("RS").replace(a=0.1, b2=-0.1)
    with pytest.raises(IzhiError, match="b is not defined where b2 is 0"):
        preset("accommodation").replace(a=0.1)
    with pytest.raises(IzhiError, match="a is nan, expected a finite number"):
        preset("RS").replace(a=math.nan)


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(IzhiError, match=r"unknown neuron preset 'normalised' \(did you mean 'normalized'"):
        preset("normalised")
    with pytest.raises(IzhiError, match="unknown event order"):
        preset("RS").replace(order="euler")
    with pytest.raises(IzhiError, match="unknown parameter 'e'"):
        preset("RS").replace(e=1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"d": math.nan}, "d is nan, expected a finite number"),
        ({"dt": 0.0}, "dt is 0.0, expected a time step above 0"),
        ({"dt": -1.0}, "dt is -1.0"),
        ({"threshold": -70.0}, "expected more than the reset value c = -65.0"),
        ({"v_min": 900.0}, "v_min is 900.0, expected less than"),
    ],
)
def test_values_out_of_range(change, message):
    with pytest.raises(IzhiError, match=message):
        preset("RS").replace(**change)
