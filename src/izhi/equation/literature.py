"""Neurons of the literature in the words of ``@izhi.neuron``; time is in steps, potentials in units of their own.

layer = izhi.equation.literature.adaptive_exponential(learn="a,b")
izhi train --neuron izhi.equation.literature:adaptive_exponential
"""

from __future__ import annotations

from typing import Any

from izhi.equation.custom import neuron
from izhi.equation.graph import Symbol
from izhi.equation.words import clip, exp, hold, select, spike

#: Exponents above it would overflow where a spike has begun anyway.
_STEEPEST = 8.0


@neuron(states="v", parameters={"w": 0.0, "threshold": 1.0, "v_reset": 0.0})
def parametric_lif(v: Symbol, I: Symbol, p: Any) -> tuple[Symbol, ...]:
    """LIF whose time constant is learned, 1/τ = σ(w) (Fang et al., ICCV 2021, arXiv 2007.05785)."""
    v = v + (I - (v - p.v_reset)) / (1.0 + exp(-p.w))
    s = spike(v - p.threshold)
    return select(v >= p.threshold, p.v_reset, v), s


@neuron(
    states="v",
    parameters={"leak": 0.1, "rest": 0.0, "delta": 0.2, "rheobase": 0.8, "peak": 2.0, "v_reset": 0.0},
)
def exponential(v: Symbol, I: Symbol, p: Any) -> tuple[Symbol, ...]:
    """The exponential integrate-and-fire neuron (Fourcaud-Trocmé et al., J. Neurosci. 2003)."""
    upstroke = p.delta * exp(clip((v - p.rheobase) / p.delta, -_STEEPEST, _STEEPEST))
    v = v + p.leak * (p.rest - v + upstroke) + I
    s = spike(v - p.peak)
    return select(v >= p.peak, p.v_reset, v), s


@neuron(
    states="v, w",
    parameters={
        "leak": 0.1, "rest": 0.0, "delta": 0.2, "rheobase": 0.8, "peak": 2.0, "v_reset": 0.0,
        "rate": 0.02, "a": 0.1, "b": 0.1,
    },
)  # fmt: skip
def adaptive_exponential(v: Symbol, w: Symbol, I: Symbol, p: Any) -> tuple[Symbol, ...]:
    """AdEx: the exponential neuron with an adaptation current w (Brette and Gerstner, J. Neurophysiol. 2005)."""
    upstroke = p.delta * exp(clip((v - p.rheobase) / p.delta, -_STEEPEST, _STEEPEST))
    new = v + p.leak * (p.rest - v + upstroke - w) + I
    w = w + p.rate * (p.a * (v - p.rest) - w)
    s, fired = spike(new - p.peak), new >= p.peak
    return select(fired, p.v_reset, new), select(fired, w + p.b, w), s


@neuron(states="u, w", parameters={"alpha": 0.9, "beta": 0.95, "a": 0.5, "b": 0.5, "threshold": 1.0})
def symplectic_adaptive_lif(u: Symbol, w: Symbol, I: Symbol, p: Any) -> tuple[Symbol, ...]:
    """SE-AdLIF: w follows the new u (Baronig et al., Nat. Commun. 2025, arXiv 2408.07517)."""
    u = p.alpha * u + (1.0 - p.alpha) * (I - w)
    s = spike(u - p.threshold)
    u = u * (1.0 - hold(s))
    return u, p.beta * w + (1.0 - p.beta) * (p.a * u + p.b * s), s


@neuron(states="v, w, q", parameters={"omega": 10.0, "offset": 1.0, "divergence": -0.5013, "step": 0.01, "decay": 0.9})
def balanced_resonate_and_fire(v: Symbol, w: Symbol, q: Symbol, I: Symbol, p: Any) -> tuple[Symbol, ...]:
    """BRF: resonance without a reset, damped by the refractory period q (Higuchi et al., ICML 2024, arXiv 2402.14603).

    ``divergence`` is (−1 + √(1 − (step·omega)²))/step, the bound of stability.
    """
    b = p.divergence - p.offset - q
    new_v = v + p.step * (b * v - p.omega * w + I)
    new_w = w + p.step * (p.omega * v + b * w)
    s = spike(new_v - 1.0 - q, strict=True)
    return new_v, new_w, p.decay * q + s, s


@neuron(
    states="v, fast, slow",
    parameters={
        "beta": 0.9,
        "threshold": 0.8,
        "keep_fast": 0.9,
        "keep_slow": 0.995,
        "jump_fast": 0.3,
        "jump_slow": 0.05,
    },
)
def multi_timescale_threshold(v: Symbol, fast: Symbol, slow: Symbol, I: Symbol, p: Any) -> tuple[Symbol, ...]:
    """MAT: the threshold, not v, jumps at a spike, and decays on two time scales (Kobayashi et al., Front. 2009)."""
    v, fast, slow = p.beta * v + I, p.keep_fast * fast, p.keep_slow * slow
    s = spike(v - p.threshold - fast - slow)
    return v, fast + p.jump_fast * s, slow + p.jump_slow * s, s


@neuron(
    states="v, w", parameters={"step": 0.2, "a": 0.7, "b": 0.8, "rate": 0.08, "threshold": 1.0},
    initial={"v": -1.2, "w": -0.62},
)  # fmt: skip
def fitzhugh_nagumo(v: Symbol, w: Symbol, I: Symbol, p: Any) -> tuple[Symbol, ...]:
    """The FitzHugh–Nagumo oscillator, which spikes as v crosses the threshold upwards (FitzHugh, Biophys. J. 1961)."""
    new = clip(v + p.step * (v - v**3 / 3.0 - w + I), -4.0, 4.0)
    w = w + p.step * p.rate * (v + p.a - p.b * w)
    return new, w, select(v >= p.threshold, 0.0, spike(new - p.threshold))


@neuron(states="v, dendrite", parameters={"beta": 0.9, "slow": 0.97, "coupling": 0.2, "back": 0.05, "threshold": 1.0})
def two_compartment_lif(v: Symbol, dendrite: Symbol, I: Symbol, p: Any) -> tuple[Symbol, ...]:
    """A dendrite integrates the input and drives the soma (Zhang et al., AAAI 2024, arXiv 2307.07231)."""
    dendrite = p.slow * dendrite - p.back * v + I
    v = p.beta * v + p.coupling * dendrite
    s = spike(v - p.threshold)
    return v - hold(s) * p.threshold, dendrite - hold(s) * p.back, s


NEURONS = (
    parametric_lif, exponential, adaptive_exponential, symplectic_adaptive_lif, balanced_resonate_and_fire,
    multi_timescale_threshold, fitzhugh_nagumo, two_compartment_lif,
)  # fmt: skip
