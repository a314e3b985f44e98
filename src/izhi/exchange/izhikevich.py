"""Izhikevich neurons as a node of their own, which NIR lacks; docs/nir.md specifies it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast, get_args

import nir
import numpy as np
import torch
from numpy.typing import NDArray

from izhi import neurons
from izhi.errors import ExchangeError, shown
from izhi.exchange.builder import Numbers
from izhi.exchange.conversion import ConversionState, NodeCodec, NodeTarget
from izhi.exchange.graph import LARGEST, Node
from izhi.spec import ORDERS, EventOrder, IzhikevichParameters, IzhikevichReset, IzhikevichSpec, Shape

#: Arrays of the node, one number for each neuron.
COEFFICIENTS = ("a1", "a2", "a3", "a4", "b1", "b2", "b3", "c", "d", "v_threshold", "r", "v_0", "u_0", "v_min", "v_max")
#: Those of the refractory state of the reset "smooth".
REFRACTORY = ("q_decay", "q_damping")
#: Their names in a description, where they differ, and those that all neurons of a layer share.
_OWN_NAMES = {"v_threshold": "threshold", "r": "gain", "v_0": "v0", "u_0": "u0"}
_FIXED = ("v0", "u0", "v_min", "v_max")
#: Fields for the order of events within a step, and their values.
EVENTS = {
    "spike_on": ("old v", "new v"), "reset": ("before", "after"), "u_from": ("old v", "new v"),
    "after_spike": get_args(IzhikevichReset),
}  # fmt: skip


@dataclass(eq=False)
class Izhikevich(nir.NIRNode):
    """Izhikevich neuron model.

    The neuron is defined by the following equations:

        v' = a1·v² + a2·v + a3·u + a4 + R·I
        u' = b1·v + b2·u + b3
        z = 1 if v ≥ v_threshold, else 0
        v ← c and u ← u + d where z = 1

    ``after_spike`` names another reset of v: v ← v − (v_threshold − c) ("subtract"), or none ("none"). With "smooth"
    neither v nor u is reset. A state q, 0 at first, has the new value q_decay·q + z in each step: z = 1 if
    v ≥ v_threshold + q, and −q_damping·q·v and −q_damping·q·u are in v' and u'.

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
    after_spike: str = "value"  # What a spike does to v: "value", "subtract", "none" or "smooth"
    q_decay: np.ndarray | None = None  # What is left of q after a step; of "smooth" alone
    q_damping: np.ndarray | None = None  # Damping of v and u, per q and time; of "smooth" alone

    def __post_init__(self) -> None:
        shape, is_smooth = np.shape(self.a1), self.after_spike == "smooth"
        for name in REFRACTORY:
            if (getattr(self, name) is None) == is_smooth:
                raise ValueError(f"{name} is {'missing' if is_smooth else 'given'}, expected it with 'smooth' alone")
        for name in (*COEFFICIENTS, *REFRACTORY * is_smooth):
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

    def to_dict(self) -> dict[str, Any]:
        """Its fields; those of other resets than to c are left out where it has none of them, as in earlier files."""
        lacks = () if self.after_spike == "smooth" else REFRACTORY
        lacks = ("after_spike", *lacks) if self.after_spike == "value" else lacks
        return {name: x for name, x in super().to_dict().items() if name not in lacks}


def _read(state: ConversionState, node: Node) -> None:
    order = EventOrder(
        node.text("spike_on") or "new v", node.text("reset") or "after",  # type: ignore[arg-type]
        bool(node.one("rests")), node.one("substeps"),  # type: ignore[arg-type]
        node.text("u_from") or "new v",  # type: ignore[arg-type]
    )  # fmt: skip
    name = next((name for name, known in ORDERS.items() if known == order), None)
    if name is None:
        raise ExchangeError(f"{node} has events in the order {tuple(order.__dict__.values())}, which none here has")
    reset = node.text("after_spike") or "value"
    if reset not in EVENTS["after_spike"]:
        raise ExchangeError(f"{node} has after_spike {shown(reset)}, expected {', '.join(EVENTS['after_spike'])}")
    names = (*COEFFICIENTS, *REFRACTORY * (reset == "smooth"))
    node.check_alike(*names)
    if (dt := node.numbers("dt")).size != 1:
        raise ExchangeError(f"{node} has a dt of shape {dt.shape}, expected one number")

    def make(each: dict[str, Numbers], size: Shape | None, learn: tuple[str, ...]) -> IzhikevichSpec:
        for own in _FIXED:
            if own in learn:
                raise ExchangeError(f"{own} differs between neurons, expected one for all of a layer")
        # The bounds of learned coefficients follow from these.
        first: dict[str, Any] = {own: float(one.max() if own == "b2" else one.ravel()[0]) for own, one in each.items()}
        return IzhikevichSpec(
            parameters=IzhikevichParameters(
                **first, dt=float(dt.ravel()[0]), order=name, reset=cast("IzhikevichReset", reset)
            ),
            size=size, learn=learn,
        )  # fmt: skip

    values = {_OWN_NAMES.get(name, name): node.numbers(name) for name in names}
    for limit in ("v_min", "v_max"):  # at the end of single precision there is none
        at = values[limit]
        values[limit] = np.where(np.abs(at) >= LARGEST, np.copysign(np.inf, at), at)
    state.add_neurons(node, values, make, np.ones(()))


def _write(neuron: neurons.Izhikevich, target: NodeTarget) -> tuple[nir.NIRNode, Numbers]:
    p, s, start = neuron.coefficients(), neuron.settings, neuron.initial_state(torch.zeros(1, *target.features))
    order, reset = ORDERS[neuron.base_parameters.order], neuron.base_parameters.reset
    if s.formats is not None or s.state_quant is not None:
        raise ExchangeError(f"{target.label} has quantised states, which NIR does not have; write the float network")
    values = {
        **p._asdict(),
        "v0": start.v[0],
        "u0": start.u[0],
        "v_min": max(s.constants.v_low, -LARGEST),
        "v_max": min(s.constants.v_high, LARGEST),
    }
    node = Izhikevich(
        **{x: target.spread(values[_OWN_NAMES.get(x, x)]) for x in (*COEFFICIENTS, *REFRACTORY * (reset == "smooth"))},
        dt=s.constants.dt, spike_on=order.spike_on, reset=order.reset, rests=order.rests, substeps=order.substeps,
        u_from=order.u_from, after_spike=reset,
    )  # fmt: skip
    return node, np.ones(target.features)


CODEC = NodeCodec(("Izhikevich",), _read, _write, contains_synapse=False)
