"""A network in integers as C99: without memory allocation, floating point or a library, each number of a known width.

Weights are packed at their bits, in rows. Inputs are visited where they fire (``events``), or all (``products``) where
more than half of them do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from izhi.equation.c import HEADER, c_function
from izhi.errors import SettingError
from izhi.hardware.c.text import array, bytes_of, narrowest, packed
from izhi.hardware.fixed import (
    FixedPoint,
    IntegerLayer,
    IntegerNetwork,
    IntegerReadout,
    IntegerSynapse,
    Pool,
    Reading,
    Window,
)
from izhi.hardware.fixed.network import MOST_INPUT, IntegerProjection

#: Share of inputs that fire in a step, above which all are visited.
DENSE = 0.5
#: What is read of the scores of the steps, for comments, and the statement that reads VALUE.
_READINGS: dict[Reading, tuple[str, str]] = {
    "sum": ("Sums of the scores of the steps", "scores[j] += VALUE;"),
    "max": ("The largest scores of the steps", "if (!step || VALUE > scores[j]) scores[j] = VALUE;"),
    "last": ("Scores of the last step", "scores[j] = VALUE;"),
    "steps": ("Scores of the last step", "scores[j] = VALUE;"),
}
_HEADER = """/* {about}. Written by Izhi. */
#ifndef IZHI_NETWORK_H
#define IZHI_NETWORK_H
#include <stdint.h>

#define IZHI_STEPS {steps}
#define IZHI_INPUTS {inputs}
#define IZHI_LAYERS {layers}
#define IZHI_CLASSES {classes}

typedef {score} izhi_score;

/* Begin a sample: states, sums and scores as before the first step. */
void izhi_reset(void);
/* One time step: x[i], 0 to 255, is how often input i fires, or its level. */
void izhi_step(const uint8_t x[IZHI_INPUTS]);
/* {scores} since izhi_reset; the class is the largest, the first of them where several are equal. */
const izhi_score *izhi_scores(void);
uint32_t izhi_class(void);
/* Spikes of a layer in the last step, 0 or 1, and how many neurons it has; 0 is the first layer. */
const uint8_t *izhi_spikes(uint32_t layer);
uint32_t izhi_neurons(uint32_t layer);
/* A state of a neuron of a layer after the last step, in the units of its fixed-point format; 0 is v. */
int32_t izhi_state(uint32_t layer, uint32_t neuron, uint32_t state);
int32_t izhi_membrane(uint32_t layer, uint32_t neuron);

#endif
"""
_SCORES = """const izhi_score *izhi_scores(void) { return scores; }

uint32_t izhi_class(void)
{
    uint32_t largest = 0;
    for (uint32_t j = 1; j < IZHI_CLASSES; j++)
        if (scores[j] > scores[largest])
            largest = j;
    return largest;
}
"""
_ARITHMETIC = """#ifndef IZHI_ARITHMETIC_H
#define IZHI_ARITHMETIC_H
{words}
{sums}
#endif
"""


@dataclass
class _Memory:
    """Arrays: constant ones with their bytes, and those that change."""

    constants: dict[str, str] = field(default_factory=dict)
    flash: int = 0
    variables: dict[str, str] = field(default_factory=dict)
    ram: int = 0

    def constant(self, kind: str, name: str, values: NDArray[np.integer]) -> str:
        """Its name."""
        self.constants[name] = array(kind, name, values.reshape(-1).tolist())
        self.flash += bytes_of(kind) * values.size
        return name

    def window(self, name: str, w: Window) -> str:
        """The name of a window."""
        numbers = (w.channels, w.height, w.width, *w.kernel, *w.stride, *w.padding, w.down, w.across)
        self.constants[name] = f"static const struct window {name} = {{{', '.join(map(str, numbers))}}};\n"
        self.flash += 4 * len(numbers)
        return name

    def variable(self, kind: str, name: str, *shape: int) -> str:
        """Its name; all numbers are 0 at first."""
        self.variables[name] = f"static {kind} {name}{''.join(f'[{n}]' for n in shape)};\n"
        self.ram += bytes_of(kind) * math.prod(shape)
        return name


class CNetwork:
    """The texts of a network.

    Attributes:
        header, source: network.h and network.c; ``texts`` has them and what they include.
        flash: bytes of weights and other constants.
        ram: bytes of states, sums and spikes.

    Args:
        network: in integers.
        steps: of a sample.
        density: share of the inputs of each layer, and of the readout, that fire in a step; None for few.

    Raises:
        SettingError: for scores that 64 bits do not hold.
    """

    def __init__(self, network: IntegerNetwork, steps: int, density: Sequence[float] | None = None) -> None:
        self.network, self.steps = network, steps
        self._density = density or [0.0] * len(network.projections)
        self._memory, self._functions, self._steps = _Memory(), dict[str, str](), list[str]()
        self._resets: list[str] = []
        arriving = "x"
        for number, layer in enumerate(network.layers, start=1):
            arriving = self._layer(number, layer, arriving)
        self._scores(arriving)

    @property
    def classes(self) -> int:
        """The number of scores."""
        return int(self.network.projections[-1].outputs)

    @property
    def score_bits(self) -> int:
        """Of a score, 32 or 64."""
        return 8 * bytes_of(self._score)

    @cached_property
    def _score(self) -> str:
        """The type of a score."""
        readout, most = self.network.readout, self.steps if self.network.reads == "sum" else 1
        if readout is not None:
            arriving = 1 if self.network.layers else MOST_INPUT
            step = readout.fan_in * readout.most(arriving) << (readout.weight_bits - 1)
            step *= max(1, int(readout.multiplier.max()))
            if readout.membrane is not None:
                step = -readout.membrane.current_format.lowest
            most *= step + int(np.abs(readout.bias).max())
        if most >= 1 << 63:
            raise SettingError(f"scores may take {most.bit_length() + 1} bits, expected at most 64; use fewer steps")
        return "int32_t" if most < 1 << 31 else "int64_t"

    @property
    def texts(self) -> dict[str, str]:
        """The files by name: header, source, and arithmetic.h, the functions that all networks call."""
        sums = Path(__file__).with_name("sums.h").read_text()
        arithmetic = _ARITHMETIC.format(words=HEADER, sums=sums)
        return {"arithmetic.h": arithmetic, "network.h": self.header, "network.c": self.source}

    @property
    def header(self) -> str:
        sizes = [self.network.inputs, *(layer.outputs for layer in self.network.projections)]
        return _HEADER.format(
            about=f"A spiking network in integers, {'-'.join(map(str, sizes))}", steps=self.steps, inputs=sizes[0],
            layers=len(self.network.layers), classes=self.classes, score=self._score,
            scores=_READINGS[self.network.reads][0],
        )  # fmt: skip

    @property
    def source(self) -> str:
        m = self._memory
        layers = [layer.outputs for layer in self.network.layers]
        spikes = [f"spikes_{k + 1}" for k in range(len(layers))]
        of_layers = {
            "const uint8_t *izhi_spikes(uint32_t layer)": ("uint8_t *const", spikes or ["0"]),
            "uint32_t izhi_neurons(uint32_t layer)": ("uint32_t", map(str, layers or [0])),
        }
        states = [f"state_{k + 1}[0]" for k in range(len(layers))]
        apart = [str(len(layer.neuron.states())) for layer in self.network.layers]
        return "\n".join([
            '#include "arithmetic.h"\n#include "network.h"\n', *m.constants.values(), "".join(m.variables.values()),
            "static uint32_t step;\n", *self._functions.values(),
            _function("void izhi_reset(void)", [*self._resets, "step = 0;"]),
            _function("void izhi_step(const uint8_t x[IZHI_INPUTS])", [*self._steps, "step++;"]),
            _SCORES,
            *(
                _function(head, [f"static const {kind} all[] = {{{', '.join(values)}}};", "return all[layer];"])
                for head, (kind, values) in of_layers.items()
            ),
            _function("int32_t izhi_state(uint32_t layer, uint32_t neuron, uint32_t state)", [
                f"static const int32_t *const all[] = {{{', '.join(states or ['0'])}}};",
                f"static const uint32_t apart[] = {{{', '.join(apart or ['0'])}}};",
                "return all[layer][neuron * apart[layer] + state];",
            ]),
            _function("int32_t izhi_membrane(uint32_t layer, uint32_t neuron)", [
                "return izhi_state(layer, neuron, 0);",
            ]),
        ])  # fmt: skip

    @property
    def flash(self) -> int:
        """Bytes of weights and other constants."""
        return self._memory.flash

    @property
    def ram(self) -> int:
        """Bytes of states, sums, spikes and scores."""
        return self._memory.ram + 4

    def _layer(self, number: int, layer: IntegerLayer, arriving: str) -> str:
        """Write a layer; the name of its spikes."""
        m, count, neuron = self._memory, layer.outputs, layer.neuron
        arriving = self._arriving(number, layer, arriving)
        if layer.delay is not None:
            arriving = self._delayed(number, layer.delay, arriving)
        sums, spikes = m.variable("int32_t", f"sum_{number}", count), m.variable("uint8_t", f"spikes_{number}", count)
        self._steps += _for_each("j", count, f"{sums}[j] = 0;")
        self._add(number, layer, arriving, sums)
        if layer.feedback is not None:
            rows = m.constant("uint8_t", f"feedback_{number}", packed(layer.feedback.T, layer.weight_bits))
            self._steps.append(f"add_events({sums}, {count}, {spikes}, {count}, {rows}, {layer.weight_bits});")
        z = m.variable("int32_t", f"state_{number}", count, len(neuron.states()))
        lines, total = list[str](), f"{sums}[j]"
        start = neuron.start(1)[:, 0]
        resets = [
            f"{z}[j][{k}] = {self._of_neurons(f'start_{number}_{k}', x, layer.places)};" for k, x in enumerate(start)
        ]
        resets.append(f"{spikes}[j] = 0;")
        if layer.synapse is not None:
            total = self._filtered(number, layer, layer.synapse, layer.neuron.fraction, lines)
            resets.append(f"{total} = 0;")
        scale = self._of_neurons(f"multiplier_{number}", layer.multiplier, layer.places)
        constants = np.stack([getattr(neuron, x.name) for x in neuron.operations.constants], 1)
        row = self._rows(f"constant_{number}", constants, layer.places)
        lines += [
            _current(total, scale, layer.shift, layer.current_format),
            f"{spikes}[j] = (uint8_t){self._step_of(number, layer)}({z}[j], (int32_t)current, {row});",
        ]
        self._steps += _for_each("j", count, *lines)
        self._resets += _for_each("j", count, *resets)
        return spikes

    def _step_of(self, number: int, layer: IntegerLayer) -> str:
        """The name of the function of a neuron's step, one for all layers with the same."""
        neuron = layer.neuron
        text = f"static {c_function(neuron.operations, list(neuron.formats.values()), neuron.fraction, 'NAME')}"
        for name, other in self._functions.items():
            if other == text.replace("NAME", name):
                return name
        name = f"neuron_{number}"
        self._functions[name] = text.replace("NAME", name)
        return name

    def _filtered(
        self, number: int, projection: IntegerProjection, synapse: IntegerSynapse, fraction: int, lines: list[str]
    ) -> str:
        """Write a synapse; the name of its sum."""
        trace = self._memory.variable("int32_t", f"trace_{number}", projection.outputs)
        decay = self._of_neurons(f"decay_{number}", synapse.decay, projection.places)
        kept = f"rounded_shift({decay} * (int64_t){trace}[j], {fraction})"
        whole = f"aligned(sum_{number}[j], {synapse.number.fraction}) + {kept}"
        lines.append(f"{trace}[j] = (int32_t)saturated({whole}, {synapse.number.width});")
        return f"{trace}[j]"

    def _arriving(self, number: int, projection: IntegerProjection, arriving: str) -> str:
        """Write pools; the name of what is behind them."""
        for k, one in enumerate(projection.pools, start=1):
            arriving = self._pooled(f"{number}_{k}", one, arriving)
        return arriving

    def _pooled(self, name: str, one: Pool, arriving: str) -> str:
        out = self._memory.variable("uint8_t", f"pooled_{name}", one.outputs)
        window = self._memory.window(f"pool_{name}", one.window)
        self._steps.append(f"pool({out}, {arriving}, &{window}, {int(one.kind == 'max')});")
        return out

    def _delayed(self, number: int, delay: NDArray[np.integer], arriving: str) -> str:
        m, inputs, length = self._memory, len(delay), min(int(delay.max()) + 1, self.steps)
        steps = m.constant("uint16_t", f"delay_{number}", delay)
        past = m.variable("uint8_t", f"past_{number}", length * inputs)
        out = m.variable("uint8_t", f"arriving_{number}", inputs)
        self._steps.append(f"delayed({out}, {arriving}, {steps}, {past}, {length}, {inputs}, step);")
        self._resets += _for_each("i", length * inputs, f"{past}[i] = 0;")
        return out

    def _add(self, number: int, projection: IntegerProjection, arriving: str, sums: str) -> None:
        """Write the weighted sum of what arrives."""
        weight, bits, m = projection.weight, projection.weight_bits, self._memory
        if projection.window is not None:
            window = m.window(f"window_{number}", projection.window)
            kernel = weight.reshape(len(weight), -1).T  # (channel, y, x) → a row of channels behind
            rows = m.constant("uint8_t", f"weight_{number}", packed(kernel, bits))
            self._steps.append(f"add_convolution({sums}, {len(weight)}, {arriving}, &{window}, {rows}, {bits});")
            return
        is_dense = self._density[number - 1] > DENSE
        rows = m.constant("uint8_t", f"weight_{number}", packed(weight if is_dense else weight.T, bits))
        function = "add_products" if is_dense else "add_events"
        count, inputs = weight.shape
        self._steps.append(f"{function}({sums}, {count}, {arriving}, {inputs}, {rows}, {bits});")

    def _of_neurons(self, name: str, values: NDArray[np.integer], places: int = 1) -> str:
        """The number of neuron j, from an array unless all are equal."""
        values, index = _distinct(values, places)
        if len(values) == 1:
            return str(int(values[0]))
        return f"{self._memory.constant(narrowest(values), name, values)}[{index}]"

    def _rows(self, name: str, values: NDArray[np.integer], places: int) -> str:
        """The constants (N, constants) of neuron j."""
        values, index = _distinct(values, places)
        self._memory.constant("int32_t", name, values)
        return name if len(values) == 1 else f"{name} + {index} * {values.shape[1]}"

    def _scores(self, arriving: str) -> None:
        readout, classes = self.network.readout, self.classes
        self._memory.variable(self._score, "scores", classes)
        self._resets += _for_each("j", classes, "scores[j] = 0;")
        if readout is None:
            self._steps += _for_each("j", classes, self._reading.replace("VALUE", f"{arriving}[j]"))
        else:
            self._readout(readout, arriving)

    def _readout(self, readout: IntegerReadout, arriving: str) -> None:
        number, classes = len(self.network.projections), readout.outputs
        arriving = self._arriving(number, readout, arriving)
        sums = self._memory.variable("int32_t", f"sum_{number}", classes)
        self._steps += _for_each("j", classes, f"{sums}[j] = 0;")
        self._add(number, readout, arriving, sums)
        scale = self._of_neurons(f"multiplier_{number}", readout.multiplier)
        bias = self._of_neurons(f"bias_{number}", readout.bias)
        value = f"{sums}[j]" if scale == "1" else f"(izhi_score){sums}[j] * {scale}"
        lines, own = list[str](), readout.membrane
        if own is not None:
            total = self._filtered(number, readout, own, own.fraction, lines)
            self._resets += _for_each("j", classes, f"{total} = 0;")
            lines.append(_current(total, scale, own.shift, own.current_format))
            value = "(izhi_score)current"
        lines.append(self._reading.replace("VALUE", f"{value} + {bias}"))
        self._steps += _for_each("j", classes, *lines)

    @property
    def _reading(self) -> str:
        """The statement that reads a VALUE of a step."""
        return _READINGS[self.network.reads][1]


def _current(total: str, scale: str, shift: int, number: FixedPoint) -> str:
    """The statement that computes a current of a sum."""
    return f"const int64_t current = saturated(rounded_shift({total} * (int64_t){scale}, {shift}), {number.width});"


def _distinct(values: NDArray[np.integer], places: int) -> tuple[NDArray[np.integer], str]:
    """Numbers (N, …) without those that are repeated, and the index of neuron j: of all, or of each channel."""
    if (values == values[0]).all():
        return values[:1], "0"
    by_channel = values.reshape(-1, places, *values.shape[1:])
    if places > 1 and (by_channel == by_channel[:, :1]).all():
        return by_channel[:, 0], f"j / {places}"
    return values, "j"


def _for_each(name: str, count: int, *lines: str) -> list[str]:
    """Lines of a loop."""
    return [f"for (uint32_t {name} = 0; {name} < {count}; {name}++) {{", *(f"    {line}" for line in lines), "}"]


def _function(head: str, lines: Sequence[str]) -> str:
    return f"{head}\n{{\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


__all__ = ["DENSE", "CNetwork"]
