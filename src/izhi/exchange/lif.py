"""LIF neurons as the nodes LIF, IF and CubaLIF of NIR."""

from __future__ import annotations

import math
import warnings
from typing import Any

import nir
import numpy as np

from izhi.errors import ExchangeError, LossWarning, shown
from izhi.exchange.builder import Numbers
from izhi.exchange.conventions import NIR
from izhi.exchange.conversion import ConversionState, NodeCodec, NodeTarget
from izhi.exchange.graph import Node
from izhi.neurons import LIF
from izhi.spec import LIFSpec, ResetMode, Shape


def _read(state: ConversionState, node: Node) -> None:
    """v ← β·v + k·I, a spike when v > threshold, then v ← reset; v is relative to v_leak."""
    leaky, current_based = node.kind != "IF", node.kind == "CubaLIF"
    tau = "tau_mem" if current_based else "tau"
    node.check_alike("r", tau, "tau_syn", "w_in", "v_leak", "v_threshold", "v_reset")
    beta = state.decay(node, tau) if leaky else np.ones(())
    factor, synapse = _factor(state, node, tau), None
    if current_based:
        synapse = state.synapse_of(node, "tau_syn")
        factor = factor * _factor_of_synapse(state, node)
    rest = node.numbers("v_leak") if leaky else np.zeros(())
    threshold = node.numbers("v_threshold") - rest
    v_reset = (node.numbers("v_reset") if "v_reset" in node.values else np.zeros(())) - rest
    if (threshold <= 0).any() or (v_reset >= threshold).any():
        raise ExchangeError(f"{node} has a threshold at or below its v_leak or v_reset, expected it above")
    if state.library.fires_at_threshold:
        threshold = np.nextafter(threshold.astype(np.float32), -np.inf, dtype=np.float32).astype(np.float64)
    reset, is_late = _reset_of(state, node)
    values = {"beta": beta, "threshold": threshold}
    if reset == "value" and (v_reset != 0).any():
        values["v_reset"] = v_reset
    elif reset == "value":
        reset = "zero"

    def make(each: dict[str, Numbers], size: Shape | None, learn: tuple[str, ...]) -> LIFSpec:
        first: dict[str, Any] = {name: float(one.mean()) for name, one in each.items()}
        return LIFSpec(**first, size=size, learn=learn, reset=reset, reset_delay=is_late)

    state.add_neurons(node, values, make, factor, synapse)


def _factor(state: ConversionState, node: Node, tau: str) -> Numbers:
    """The factor on the current that is added to v."""
    if state.library.decay == "exponential" or (node.kind, state.library.name) == ("IF", "norse"):
        return np.ones(())
    return node.numbers("r") * state.dt / (node.numbers(tau) if node.kind != "IF" else 1.0)


def _factor_of_synapse(state: ConversionState, node: Node) -> Numbers:
    """The current of a library's synapse over that of ours, (1 − decay) times the sum of its input."""
    decay = state.decay(node, "tau_syn")
    if state.library.name == "rockpool":  # its input decays in its own step
        return decay / (1 - decay)
    if state.library.name == "norse":  # it adds its input without w_in, and writes 1
        return 1 / (1 - decay)
    return node.numbers("w_in") if "w_in" in node.values else np.ones(())


def _reset_of(state: ConversionState, node: Node) -> tuple[ResetMode, bool]:
    """The reset, and whether it takes place a step after the spike, which matters for snnTorch's alone."""
    written = str(node.metadata.get("reset", ""))
    if written == "subtract":
        is_late = node.metadata.get("reset_delay", np.ones(1))
        if is_late.size != 1 or is_late.dtype.kind not in "fiub":
            raise ExchangeError(f"{node} has a reset_delay {shown(is_late.tolist())}, expected true or false")
        return "subtract", bool(is_late.ravel()[0])
    if written == "soft" or state.reset == "subtract":
        return ("subtract" if state.library.name == "snntorch" and not written else "soft"), True
    return "value", True


def _write(neuron: LIF, target: NodeTarget) -> tuple[nir.NIRNode, Numbers]:
    p = neuron.coefficients()
    v_reset, metadata = _reset(neuron, target)
    zeros = np.zeros(target.features)
    node, factor = leaky_node(target, target.spread(p.beta), target.spread(p.threshold), v_reset, zeros)
    node.metadata = metadata
    return node, factor


def leaky_node(
    target: NodeTarget, beta: Numbers, threshold: Numbers, v_reset: Numbers, v_leak: Numbers
) -> tuple[nir.NIRNode, Numbers]:
    """The node of neurons that fire above a threshold, and the factor by which it multiplies its current.

    Args:
        target: context.
        beta: decay of v in a step.
        threshold, v_reset: relative to v_leak.
        v_leak: v at rest.
    """
    library = target.library
    if library.fires_at_threshold:
        threshold = np.nextafter(threshold.astype(np.float32), np.inf, dtype=np.float32).astype(np.float64)
    if library.uniform:
        for name, values in (("beta", beta), ("threshold", threshold)):
            if values.size and (values != values.ravel()[0]).any():
                raise ExchangeError(f"{target.label} has a {name} for each neuron, which {library.name} has not")
    ones = np.ones(target.features)
    common = {"v_threshold": threshold + v_leak, "v_reset": v_reset + v_leak}
    if (beta == 1).any():
        if not (beta == 1).all() or target.decay is not None:
            raise ExchangeError(
                f"{target.label} has neurons that do not leak (beta 1) beside others, or behind a synapse"
            )
        return nir.IF(r=ones / target.dt, **common), ones
    tau, r, factor = _membrane(target, beta)
    common |= {"r": r, "v_leak": v_leak}
    if target.decay is None:
        return nir.LIF(tau=tau, **common), factor
    tau_syn, w_in, gain = _synapse(target, target.decay)
    return nir.CubaLIF(tau_syn=tau_syn * ones, tau_mem=tau, w_in=w_in * ones, **common), factor * gain


def _membrane(target: NodeTarget, beta: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """τ and r of a membrane, and the factor by which the library multiplies its current."""
    ones, library = np.ones_like(beta), target.library
    if library.decay == "exponential":
        # sinabs counts τ in steps, and rockpool computes its step as τ/(1 + r).
        steps = -1 / np.log(beta)
        return (steps, ones, ones) if library.name == "sinabs" else (target.dt * steps, steps - 1, ones)
    tau = target.dt / (1 - beta)
    return (tau, ones, 1 - beta) if library.r == "1" else (tau, tau / target.dt, ones)


def _synapse(target: NodeTarget, decay: float) -> tuple[float, float, float]:
    """τ and w_in of a synapse, and the factor by which the library multiplies its current, (1 − decay)·s."""
    library = target.library
    if library.decay == "exponential":  # its input decays in its own step
        return -target.dt / math.log(decay), 1.0, decay / (1 - decay)
    tau = target.dt / (1 - decay)
    takes_sums = library.r == "tau/dt" and library is not NIR
    return (tau, tau / target.dt, tau / target.dt) if takes_sums else (tau, 1.0, 1.0)


def _reset(neuron: LIF, target: NodeTarget) -> tuple[Numbers, dict[str, Any]]:
    """v_reset of a neuron, and metadata for what NIR has no field for."""
    mode, library = neuron.spec.reset, target.library
    zeros = np.zeros(target.features)
    if mode == "none":
        raise ExchangeError(f"{target.label} has neurons without a reset, which NIR does not have")
    if mode == "soft" and library.counts:
        return zeros, {}
    if mode in ("subtract", "soft"):
        if library is not NIR:
            fix = "train with reset = soft" if library.counts else "train with reset = zero"
            raise ExchangeError(
                f"{target.label} has the reset {mode!r}, and {library.name} would make another of it; {fix}"
            )
        return zeros, subtraction(target, mode, neuron.spec.reset_delay)
    if library.name == "rockpool":
        raise ExchangeError(
            f"{target.label} resets v, and rockpool's neurons subtract the threshold; train with reset = soft"
        )
    value = target.spread(getattr(neuron.coefficients(), "v_reset", 0.0))
    if library is not NIR and (value != 0).any():
        raise ExchangeError(f"{target.label} resets v to another value than 0, which {library.name} does not read")
    return value, {}


def subtraction(target: NodeTarget, mode: str, is_late: bool) -> dict[str, Any]:
    """Metadata of neurons that subtract the threshold; warns that NIR has no field for it."""
    warnings.warn(
        f"{target.label} subtracts the threshold, for which NIR has no place: it is kept as metadata, and a reader"
        " that ignores them resets v to 0",
        LossWarning, stacklevel=7,
    )  # fmt: skip
    return {"reset": mode, "reset_delay": is_late}


CODEC = NodeCodec(("LIF", "IF", "CubaLIF"), _read, _write, contains_synapse=True)
