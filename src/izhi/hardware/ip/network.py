"""Networks of the FPGA IP ``snn_izhikevich``, their neurons, and the limits of the IP.

The step of a neuron is a function that numpy runs on arrays and Numba compiles for single numbers; every operation is
rounded to float32 in the IP's order, and must not be fused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from izhi.errors import SettingError, ShapeError, unknown
from izhi.hardware.fixed.arithmetic import Booleans, chosen
from izhi.hardware.networks import HardwareNetwork, HardwareProjection

Floats = NDArray[np.float32]
Build = Literal["izhi", "lif"]

#: Time steps of every inference, neurons of a layer at most, layers at most, and input streams.
STEPS, WIDTH, LAYERS, STREAMS = 30, 16, 8, 4
#: The neuron with which an IP was built; it cannot be read from the IP.
BUILDS: tuple[Build, ...] = ("izhi", "lif")

THRESHOLD, A2, A3 = np.float32(0.7), np.float32(-0.210), np.float32(-0.019)
RESET, STEP_OF_U, DIVISOR = np.float32(0.105), np.float32(0.412), np.float32(32)
BETA = np.float32(0.95)

#: v, u and whether it fires, of v, u and I.
Step = Callable[[Floats, Floats, Floats], tuple[Floats, Floats, Booleans]]


def izhikevich(v: Floats, u: Floats, current: Floats) -> tuple[Floats, Floats, Booleans]:
    """A step of the build ``izhi``.

    spike = v ≥ 0.7
    if spike:  v ← 0.105,  u ← u + 0.412
    else:      v ← v + (((v·v − 0.21·v) − 0.019·u) + I),  u ← u + (−v/32 − u/32), the new v
    """
    fired = v >= THRESHOLD
    v_new = v + (((v * v + A2 * v) + A3 * u) + current)
    u_new = u + (-v_new / DIVISOR - u / DIVISOR)
    return chosen(fired, RESET, v_new), chosen(fired, u + STEP_OF_U, u_new), fired


def lif(v: Floats, u: Floats, current: Floats) -> tuple[Floats, Floats, Booleans]:
    """A step of the build ``lif``, which does not change u.

    spike = v > 0.7
    v ← I + 0.95·v,  and v ← v − 0.7 if spike
    """
    fired = v > THRESHOLD
    v_new = current + BETA * v
    return chosen(fired, v_new - THRESHOLD, v_new), u, fired


#: By the names of the builds.
NEURONS: Mapping[Build, Step] = {"izhi": izhikevich, "lif": lif}


def spikes_of(build: Build, current: Floats, steps: int) -> NDArray[np.float32]:
    """Spikes (steps, …) of neurons that begin at 0, for a current (steps or 1, …)."""
    v, u = np.zeros(current.shape[1:], np.float32), np.zeros(current.shape[1:], np.float32)
    spikes = np.empty((steps, *v.shape), np.float32)
    step = NEURONS[build]
    for t in range(steps):
        v, u, spikes[t] = step(v, u, current[t % len(current)])
    return spikes


@dataclass(frozen=True)
class IPLayer(HardwareProjection):
    """Weights and biases into the neurons of a layer.

    Attributes:
        weight: (n_out, n_prev), float32.
        bias: (n_out,), float32: a constant current.
    """

    weight: Floats
    bias: Floats

    @property
    def inputs(self) -> int:
        return int(self.weight.shape[1])

    @property
    def outputs(self) -> int:
        return len(self.weight)

    @property
    def learnable(self) -> dict[str, Floats]:
        return {"weight": self.weight, "bias": self.bias}

    @property
    def change(self) -> float:
        """By how much a change of one in a search changes a weight: 1/√inputs."""
        return float(self.weight.shape[1] ** -0.5)

    def rounded(self, values: NDArray[np.float64]) -> Floats:
        return values.astype(np.float32)

    def drawn(self, random: np.random.Generator) -> dict[str, Floats]:
        """Random weights and biases, within ±1/√inputs."""
        return {
            name: random.uniform(-self.change, self.change, x.shape).astype(np.float32)
            for name, x in self.learnable.items()
        }

    def checked(self, weight: Floats) -> Floats:
        if weight.shape != self.weight.shape:
            raise ShapeError(f"weights have shape {weight.shape}, expected {self.weight.shape}")
        return np.array(weight)


@dataclass(frozen=True)
class IPNetwork(HardwareNetwork):
    """Layers in a row, all of one kind of neuron; the scores are the last layer's spike counts.

    Attributes:
        layers: 1 to 8 of at most 16 neurons, after 1 to 16 inputs.
        build: the neuron, ``"izhi"`` or ``"lif"``.

    Raises:
        SettingError: for a network that the IP has no room for, or weights that are not finite.
        ShapeError: for weights and biases that do not fit each other.
    """

    layers: tuple[IPLayer, ...]
    build: Build = "izhi"

    def __post_init__(self) -> None:
        check_sizes([layer.weight.shape for layer in self.layers], self.build)
        for number, layer in enumerate(self.layers, start=1):
            if layer.bias.shape != layer.weight.shape[:1]:
                raise ShapeError(
                    f"layer {number} has biases of shape {layer.bias.shape}, expected"
                    f" ({len(layer.weight)},): one for each neuron"
                )
            for name, values in (("weight", layer.weight), ("bias", layer.bias)):
                if values.dtype != np.float32:
                    raise ShapeError(f"layer {number} has a {name} of {values.dtype}, expected float32")
                if not np.isfinite(values).all():
                    raise SettingError(
                        f"layer {number} has a {name} that is not finite in float32, expected finite"
                        " numbers; train again with a lower learning rate"
                    )

    @classmethod
    def of(cls, weights: Sequence[ArrayLike], biases: Sequence[ArrayLike], build: Build = "izhi") -> IPNetwork:
        """A network of array-likes: weights (n_out, n_prev) and biases (n_out,) of each layer.

        Values are rounded to float32.
        """
        if len(weights) != len(biases):
            raise ShapeError(f"{len(weights)} weights and {len(biases)} biases, expected one of each for every layer")
        pairs = [(_floats(w), _floats(b)) for w, b in zip(weights, biases, strict=True)]
        return cls(tuple(IPLayer(w, b) for w, b in pairs), build)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Neurons of each layer."""
        return tuple(len(layer.weight) for layer in self.layers)


def _floats(values: ArrayLike) -> Floats:
    try:
        array = np.asarray(values)
        with np.errstate(over="ignore"):
            return array.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"weights or biases are no array of numbers ({error})") from None


def check_sizes(shapes: Sequence[tuple[int, ...]], build: str) -> None:
    """Raise SettingError or ShapeError unless weights of these shapes, (n_out, n_prev) each, fit the IP."""
    if build not in BUILDS:
        raise unknown("build", build, BUILDS)
    if not 1 <= len(shapes) <= LAYERS:
        raise SettingError(f"the network has {len(shapes)} layers, expected 1 to {LAYERS}, for which the IP was built")
    before = None
    for number, shape in enumerate(shapes, start=1):
        if len(shape) != 2:
            raise ShapeError(f"layer {number} has weights of shape {shape}, expected (n_out, n_prev)")
        outputs, inputs = shape
        for name, size in (("neurons", outputs), ("inputs", inputs)):
            if not 1 <= size <= WIDTH:
                raise SettingError(
                    f"layer {number} has {size} {name}, expected 1 to {WIDTH}, for which the IP was built; choose fewer"
                )
        if before is not None and inputs != before:
            raise ShapeError(
                f"layer {number} has weights for {inputs} inputs, expected {before}, the neurons of the layer before"
            )
        before = outputs
