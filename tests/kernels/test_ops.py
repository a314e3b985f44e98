"""What stands once for all kernels: formulas in ops, the order of constants, the direction of imports."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
import torch

from izhi.equation import lif
from izhi.kernels import cpu
from izhi.kernels.cpu import scalars
from izhi.kernels.cpu.lane import lane_functions
from izhi.kernels.ops import Surrogate
from izhi.kernels.plan import Constants, Formats, Grid, Plan, StepForm
from izhi.neurons import surrogate as ours

SURROGATES = [
    ours.ATan(2.0),
    ours.FastSigmoid(10.0),
    ours.Heaviside(),
    ours.Sigmoid(4.0),
    ours.SpikeRateEscape(2.0, 3.0),
    ours.StraightThrough(),
    ours.Triangular(0.7),
]


@pytest.mark.parametrize("surrogate", SURROGATES, ids=lambda s: type(s).__name__)
def test_a_compiled_formula_equals_the_derivative_in_torch(surrogate):
    formula = surrogate.formula(scalars.OPS)

    @numba.njit
    def each(x, first, second, out):
        for i in range(len(x)):
            out[i] = formula(x[i], first, second)

    x = np.linspace(-3, 3, 101, dtype=np.float32)
    out = np.empty_like(x)
    each(x, *(np.float32(k) for k in surrogate.constants), out)
    torch.testing.assert_close(torch.from_numpy(out), surrogate.derivative(torch.from_numpy(x)))


def test_exp_is_right_to_a_unit_in_the_last_place():
    """Of every 4099th float32, infinities and what is no number among them; results below 2⁻¹²⁵ may be 0."""

    @numba.njit
    def each(x, out):
        for i in range(len(x)):
            out[i] = scalars.exp(x[i])

    ends = np.float32([0.0, -0.0, 1.0, 88.72283, 88.72284, -86.6, -87.5, -104.0, np.inf, -np.inf, np.nan])
    x = np.concatenate((np.arange(0, 1 << 32, 4099, dtype=np.uint32).view(np.float32), ends))
    out = np.empty_like(x)
    each(x, out)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        exact = np.exp(x.astype(np.float64)).astype(np.float32)
    is_number = ~np.isnan(x)
    assert np.isnan(out[~is_number]).all()
    is_near = abs(out.view(np.int32).astype(np.int64) - exact.view(np.int32)) <= 1
    assert (is_near | ((out == 0) & (exact < 2.0**-125)))[is_number].all()


def test_surrogates_are_all_here_and_known_to_kernels():
    assert {type(s) for s in SURROGATES} == set(ours.ClosedForm.__subclasses__())
    assert all(isinstance(s, Surrogate) for s in SURROGATES)
    assert not isinstance(torch.relu, Surrogate)


def test_the_cpu_kernels_read_every_constant_in_order():
    plan = Plan(StepForm(lif("subtract", True)), ours.ATan, torch.float32, True, (0, 1, 2))
    every = tuple(range(len(Constants._fields)))
    assert lane_functions(plan).constants(every) == every


def test_the_gpu_kernels_take_constants_in_their_order():
    """Their names in each kernel's signature, and in the tuple made of them."""
    path = Path(cpu.__file__).parents[1] / "cuda" / "recurrence.py"
    tree = ast.parse(path.read_text())
    expected = list(Constants._fields)
    kernels = [
        x for x in ast.walk(tree)
        if isinstance(x, ast.FunctionDef) and x.name in ("forward", "backward")
        and "block" in (a.arg for a in x.args.args)
    ]  # fmt: skip
    assert len(kernels) == 2
    for kernel in kernels:
        names = [a.arg for a in kernel.args.args]
        end = names.index("block")
        assert names[end - len(expected) : end] == expected
        tuples = [
            x.value for x in ast.walk(kernel)
            if isinstance(x, ast.Assign) and getattr(x.targets[0], "id", "") == "s"
        ]  # fmt: skip
        assert [[name.id for name in t.elts] for t in tuples] == [expected]


def test_formats_become_constants_by_name():
    f = Formats(Grid(8.0, -7.0, 9.0), (Grid(8.0, -1.0, 2.0), Grid(4.0, -3.0, 5.0)))
    k = Constants(dt=0.5).quantized(f)
    assert (k.dt, k.v_scale, k.v_unit, k.u_scale, k.u_unit) == (0.5, 8.0, 0.125, 4.0, 0.25)
    assert (k.v_low, k.v_high, k.u_low, k.u_high, k.i_low, k.i_high) == (-1.0, 2.0, -3.0, 5.0, -7.0, 9.0)
    assert Constants(dt=0.5).quantized(None) == Constants(dt=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("module", ["izhi.kernels", "izhi.kernels.cuda"])
def test_kernels_are_imported_without_neurons(module):
    if module.endswith("cuda") and not importlib.util.find_spec("triton"):
        pytest.skip("Triton is not installed")
    code = f"import sys, {module}; print([m for m in sys.modules if m.startswith('izhi')])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = {name.split(".")[1] for name in ast.literal_eval(done.stdout) if "." in name}
    assert loaded <= {"kernels", "errors", "files", "version", "deprecation", "spec", "equation", "trust"}
