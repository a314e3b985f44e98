"""Windows, pools and weights of the integer model: what fits, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from izhi.errors import ArtifactError, ShapeError
from izhi.hardware import fixed
from izhi.hardware.fixed import IntegerNetwork, IntegerReadout, Pool, Window, fast


def ints(*values):
    return np.array(values, np.int64)


def readout(inputs, **changes):
    weight = np.ones((1, inputs), np.int64)
    return replace(IntegerReadout(weight, 4, ints(1), ints(0)), **changes)


#: Of 2 × 4 × 4 features: 2 × 2 × 2, and of these one for each channel.
FIRST, SECOND = Window(2, 4, 4, (2, 2), (2, 2), (0, 0)), Window(2, 2, 2, (2, 2), (2, 2), (0, 0))


def test_pools_that_fit_one_another():
    network = IntegerNetwork((), readout(2, pools=(Pool("max", FIRST), Pool("max", SECOND))))
    fixed.check_bounds(network)
    spikes = np.zeros((1, 1, 32), np.int64)
    spikes[0, 0, [0, 5, 31]] = 3, 7, 2  # of the first channel's first window, and of the last one of the second
    assert fixed.run(network, spikes).scores.tolist() == [[7 + 2]]
    assert fast.run(network, spikes).scores.tolist() == [[7 + 2]]


@pytest.mark.parametrize(
    ("pools", "inputs", "message"),
    [
        ((Pool("max", FIRST),), 2, "the readout has a pool of 8 features before one of 2"),
        ((Pool("max", FIRST), Pool("max", FIRST)), 8, "the readout has a pool of 8 features before one of 32"),
        ((Pool("max", FIRST), Pool("max", SECOND)), 8, "the readout has a pool of 2 features before one of 8"),
        ((Pool("max", replace(FIRST, kernel=(0, 2))),), 8, "the readout has a window of no places"),
        ((Pool("max", replace(FIRST, kernel=(5, 2))),), 8, "the readout has a window of no places"),
        ((Pool("sum", Window(1, 16, 17, (16, 17), (1, 1), (0, 0))),), 1, "may count 69,360 spikes of an input"),
    ],
)
def test_pools_that_do_not_fit(pools, inputs, message):
    with pytest.raises(ArtifactError, match=message):
        fixed.check_bounds(IntegerNetwork((), readout(inputs, pools=pools)))


@pytest.mark.parametrize(
    ("size", "kernel", "padding", "fits"),
    [
        ((4, 4), (4, 4), (0, 0), True), ((4, 4), (5, 4), (0, 0), False), ((4, 4), (4, 5), (0, 0), False),
        ((1, 1), (3, 3), (1, 1), True), ((1, 3), (4, 3), (1, 1), False), ((3, 1), (3, 4), (1, 1), False),
        ((9, 9), (2, 3), (2, 0), False), ((9, 9), (3, 2), (0, 2), False), ((9, 9), (3, 3), (2, 2), True),
    ],
)  # fmt: skip
def test_whether_a_kernel_lies_within_its_features(size, kernel, padding, fits):
    assert Window(1, *size, kernel, (1, 1), padding).fits == fits


def test_weights_of_a_search():
    found = readout(3)
    assert found.limits == (-8, 7)
    assert found.change == 4  # a quarter of 16 values
    for weight in (ints(-8, 0, 7), ints(7, 7, 7)):
        assert found.checked(weight[None]).tolist() == [weight.tolist()]
    for low, high in ((-9, 0), (0, 8), (-9, 8)):
        with pytest.raises(ShapeError, match=f"weights are {low} to {high}, expected -8 to 7: 4 bits"):
            found.checked(ints(low, 0, high)[None])
    with pytest.raises(ShapeError, match=r"weights are float64 of shape \(1, 3\), expected integers of shape"):
        found.checked(np.zeros((1, 3)))
    with pytest.raises(ShapeError, match=r"of shape \(1, 2\), expected integers of shape \(1, 3\)"):
        found.checked(ints(1, 2)[None])
    assert found.rounded(np.array([[-20.0, 0.4, 20.0]])).tolist() == [[-8, 0, 7]]


@pytest.mark.parametrize("shape", [(2, 3), (2, 1, 4), (2, 1, 3, 1), (2, 1, 3, 3), (0, 1, 3)])
def test_spikes_of_another_shape_are_refused(shape):
    with pytest.raises(ShapeError, match=r"expected \(T, batch, 3\) with T of at least 1"):
        fixed.run(IntegerNetwork((), readout(3)), np.zeros(shape, np.int64))
