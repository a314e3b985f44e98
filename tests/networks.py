"""Random networks in integers, for tests of everything that runs or stores them."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np

from izhi.hardware.fixed import (
    NEURONS,
    FixedPoint,
    IntegerLayer,
    IntegerMembrane,
    IntegerNetwork,
    IntegerReadout,
    IntegerSynapse,
    IzhikevichNeuron,
    Pool,
    Window,
)


def random_network(
    seed,
    sizes=(12, 9, 5),
    *,
    kind="izhikevich",
    recurrent=False,
    readout=False,
    bits=4,
    width=12,
    classes=4,
    synapse=None,
    delay=0,
    membrane=None,
    reads="sum",
):
    """A network whose neurons spike, saturate and reset; its constants are drawn near useful ones."""
    random = np.random.default_rng(seed)
    layers = []
    half = 1 << (bits - 1)
    point = width - 4
    one = 1 << point
    for inputs, outputs in pairwise(sizes):

        def near(value, spread, n=outputs):
            return np.rint(random.normal(value, spread, n)).astype(np.int64)

        v = FixedPoint(width, point)
        if kind == "izhikevich":
            u = FixedPoint(width, point - 1)
            f = 1 << 12
            neuron = IzhikevichNeuron(
                v, u, 12, near(f, f / 9), near(-0.2 * f, f / 20), near(-0.04 * f, f / 50),
                near(0, 9 * one), near(-f / 64, f / 99), near(-f / 32, f / 99), near(0, one),
                near(0.1 * one, 2), near(0.2 * one, 3), near(0.7 * one, 5), near(0, 3), near(0, 3),
            )  # fmt: skip
        else:
            begins = {"reset": near(-0.2 * one, one / 9)} if kind == "lif-value" else {}
            neuron = NEURONS[kind](v, 12, near(3500, 300), near(0, 9 * one), near(one, 9), **begins)
            for name in neuron.natural:
                neuron = replace(neuron, **{name: np.abs(getattr(neuron, name))})
        layers.append(
            IntegerLayer(
                random.integers(-half, half, (outputs, inputs)), bits, random.integers(0, 900, outputs),
                int(random.integers(0, 8)), FixedPoint(width, point), neuron,
                random.integers(-half, half, (outputs, outputs)) if recurrent else None,
                synapse=None if synapse is None else IntegerSynapse(synapse, random.integers(0, 1 << 12, outputs)),
                delay=random.integers(0, delay + 1, inputs) if delay else None,
            )
        )  # fmt: skip
    last = None
    if readout:
        last = IntegerReadout(
            random.integers(-half, half, (classes, sizes[-1])), bits, random.integers(1, 99, classes),
            random.integers(-999, 999, classes),
        )  # fmt: skip
    if membrane is not None:  # a format of its sums
        decay, shift = random.integers(0, (1 << 12) + 1, classes), int(random.integers(0, 12))
        current = FixedPoint(int(random.integers(6, 20)), 3)
        last = replace(last, membrane=IntegerMembrane(membrane, decay, 12, shift, current))
    return IntegerNetwork(tuple(layers), last, reads)


def with_windows(network, features):
    """The network with a convolution of a 2 × 2 kernel as its first layer, behind a pool, and a pool before its last.

    Args:
        network: whose first layer has three neurons for each place of that convolution.
        features: (channels, height, width) that come in; height and width even.
    """
    channels, height, width = features
    pool = Pool("max", Window(channels, height, width, (2, 2), (2, 2)))
    window = Window(channels, pool.window.down, pool.window.across, (2, 2), (1, 1), (1, 0))
    first, *others = network.layers
    kernel = np.resize(first.weight, (first.outputs // window.places, window.sources))
    others[-1] = replace(others[-1], pools=(Pool("sum", Window(1, 1, first.outputs, (1, 1), (1, 1))),))
    return replace(network, layers=(replace(first, weight=kernel, window=window, pools=(pool,)), *others))


def convolutional_network(
    seed, features=(2, 6, 8), *, kind="izhikevich", first="max", then="sum", kernel=(2, 3), stride=(1, 1),
    padding=(1, 0), readout=True, synapse=None, delay=0,
):  # fmt: skip
    """Pools and convolutions in turn, then two matrices; the same neurons at every place.

    Args:
        features: (channels, height, width) that come in.
        first, then: kinds of the pools before the first convolution, of 2 × 2 (None for none), and before the second,
            of 1 × 2.
        kernel, stride, padding: of the first convolution.
        delay: the longest before each convolution and behind the last pool.
    """
    random = np.random.default_rng(seed)
    pools = () if first is None else (Pool(first, Window(*features, (2, 2), (2, 2))),)
    down, across = (pools[0].window.down, pools[0].window.across) if pools else features[1:]
    window = Window(features[0], down, across, kernel, stride, padding)
    second_pool = Pool(then, Window(3, window.down, window.across, (1, 2), (1, 2)))
    second = Window(3, second_pool.window.down, second_pool.window.across, (2, 2), (1, 1), (0, 1))
    last_pool = Pool("sum", Window(5, second.down, second.across, (2, 1), (2, 1)))
    sizes = (math.prod(features), 3 * window.places, 5 * second.places, 7, 4)
    network = random_network(seed, sizes, kind=kind, readout=readout, synapse=synapse)

    def changed(layer, window, pools, channels, sources):
        own = layer if window is None else _same_at_every_place(layer, window.places)
        features = pools[0].outputs if pools else window.inputs
        late = random.integers(0, delay + 1, features) if delay else None
        weight = random.integers(-8, 8, (channels, sources))
        return replace(own, weight=weight, window=window, pools=pools, delay=late)

    one, two, three, four = network.layers
    layers = (
        changed(one, window, pools, 3, window.sources), changed(two, second, (second_pool,), 5, second.sources),
        changed(three, None, (last_pool,), 7, last_pool.outputs), four,
    )  # fmt: skip
    return replace(network, layers=layers)


def _same_at_every_place(layer, places):
    def same(values):
        return np.repeat(values[::places], places)

    constants = {name: same(values) for name, values in layer.neuron.values.items()}
    synapse = None if layer.synapse is None else replace(layer.synapse, decay=same(layer.synapse.decay))
    return replace(
        layer, multiplier=same(layer.multiplier), neuron=layer.neuron.with_values(constants), synapse=synapse
    )


def random_spikes(seed, steps, batch, inputs, *, most=1):
    random = np.random.default_rng(seed)
    fires = random.random((steps, batch, inputs)) < 0.3
    return (fires * random.integers(1, most + 1, fires.shape)).astype(np.uint8)
