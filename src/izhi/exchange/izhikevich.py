"""The Izhikevich neuron as a node of NIR, which it lacks; specified in docs/nir.md."""

from __future__ import annotations

from dataclasses import dataclass

import nir
import numpy as np
from numpy.typing import NDArray

#: Arrays of the node, one number for each neuron.
COEFFICIENTS = ("a1", "a2", "a3", "a4", "b1", "b2", "b3", "c", "d", "v_threshold", "r", "v_0", "u_0", "v_min", "v_max")
#: What says the order of events within a step, by its texts.
EVENTS = {
    "spike_on": ("old v", "new v"),
    "reset": ("before", "after"),
    "u_from": ("old v", "new v"),
}


@dataclass(eq=False)
class Izhikevich(nir.NIRNode):
    """Izhikevich neuron model.

    The neuron is defined by the following equations:

        v' = a1·v² + a2·v + a3·u + a4 + R·I
        u' = b1·v + b2·u + b3
        z = 1 if v ≥ v_threshold, else 0
        v ← c and u ← u + d where z = 1

    Simulators that take steps of dt by Euler's method agree on every spike if they take them in the
    order of events that the node names. All arrays have the shape of the neurons.
    """

    a1: np.ndarray  # of v', per unit of v and time
    a2: np.ndarray  # of v', per time
    a3: np.ndarray  # of v', for each u
    a4: np.ndarray  # of v', constant
    b1: np.ndarray  # of u', for each v
    b2: np.ndarray  # of u', per time
    b3: np.ndarray  # of u', constant
    c: np.ndarray  # v after a spike
    d: np.ndarray  # What a spike adds to u
    v_threshold: np.ndarray  # v at which it fires
    r: np.ndarray  # Factor on the input current
    v_0: np.ndarray  # v before the first step
    u_0: np.ndarray  # u before the first step
    v_min: np.ndarray  # v is held above it after each integration
    v_max: np.ndarray  # v is held below it after each integration
    dt: float = 1.0  # Time step, in the unit of time of the coefficients
    spike_on: str = "new v"  # The v that is compared with the threshold: before or after the integration
    reset: str = "after"  # Whether it is reset before the integration, or after it
    rests: bool = False  # Whether a neuron that is reset leaves out the integration of that step
    substeps: int = 1  # Euler steps of dt/substeps that v takes in a step
    u_from: str = "new v"  # The v that drives u: the old one in every sub-step, or the new one once

    def __post_init__(self) -> None:
        shape = np.shape(self.a1)
        for name in COEFFICIENTS:
            values: NDArray[np.float64] = np.asarray(getattr(self, name), np.float64)
            if values.shape != shape:
                raise ValueError(f"{name} has shape {values.shape}, expected {shape}, that of a1")
            setattr(self, name, values)
        self.dt, self.rests, self.substeps = float(self.dt), bool(self.rests), int(self.substeps)
        if self.substeps not in (1, 2):
            raise ValueError(f"substeps is {self.substeps}, expected 1 or 2")
        for name, known in EVENTS.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of: {', '.join(known)}")
        self.input_type = {"input": np.array(shape)}
        self.output_type = {"output": np.array(shape)}


def register() -> None:
    """Let ``nir.read`` make such nodes, as if the format had them."""
    names: list[str] = nir.ir.__dict__["__all_ir"]
    if "Izhikevich" not in names:
        names.append("Izhikevich")
    nir.ir.__dict__["Izhikevich"] = Izhikevich


__all__ = ["COEFFICIENTS", "EVENTS", "Izhikevich", "register"]
