"""Updates the neurons of a layer at the end of a step, in a pipeline of several at once."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import number_below, rounded_shift, saturated
from izhi.hardware.core.memories import filled, loading
from izhi.hardware.core.shape import LayerShape
from izhi.hardware.fixed import FixedPoint


class Neurons(wiring.Component):
    """States and constants of a layer's neurons, and the arithmetic of izhi.fixed.

    Ports:
        constants: fills the memory of constants: a word holds those of ``units`` neurons, the first lowest,
            each as the constants of ``LayerShape.names``, the first lowest.
        start, is_ready: begin a step; idle.
        end: the inference is over: the next step begins at v0 and u0.
        group, sums, erase: the read of sums, see Accumulator.
        is_valid, fired, number: a result of each update: which of the units fired, and which update it is.
        is_last: whether it is the step's last.
        v, u: the states after it.
    """

    def __init__(self, shape: LayerShape) -> None:
        self.shape = shape
        super().__init__(
            {
                "constants": In(loading(*shape.constant_memory)),
                "start": In(1),
                "is_ready": Out(1),
                "end": In(1),
                "group": Out(number_below(shape.groups)),
                "sums": In(data.ArrayLayout(signed(shape.accumulator_bits), shape.lanes)),
                "erase": Out(1),
                "is_valid": Out(1),
                "is_last": Out(1),
                "fired": Out(shape.units),
                "number": Out(number_below(shape.updates)),
                "v": Out(shape.units * shape.v.width),
                "u": Out(shape.units * shape.u.width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, s = Module(), self.shape
        per_group = s.lanes // s.units
        fetch = filled(m, "constants", self.constants, *s.constant_memory)
        m.submodules.states = states = memory.Memory(
            shape=unsigned(s.units * (s.v.width + s.u.width)), depth=s.updates, init=[]
        )
        keep, recall = states.write_port(), states.read_port()

        # The counter of updates is stage 0; what it reads is there in stage 1.
        number, part = Signal(range(s.updates)), Signal(range(per_group))
        group, is_running, is_first = Signal.like(self.group), Signal(), Signal(init=1)
        is_end_of_group, is_last = part == per_group - 1, number == s.updates - 1
        m.d.comb += [fetch.addr.eq(number), recall.addr.eq(number), self.group.eq(group)]
        with m.If(is_running):
            m.d.sync += [
                number.eq(Mux(is_last, 0, number + 1)),
                part.eq(Mux(is_end_of_group | is_last, 0, part + 1)),
                group.eq(Mux(is_last, 0, Mux(is_end_of_group, group + 1, group))),
                is_running.eq(~is_last),
            ]
        with m.If(self.start):
            m.d.sync += is_running.eq(1)
        line = _Pipeline(m)
        line.put(
            number=number, part=part, is_valid=is_running, is_last=is_last & is_running,
            is_first=is_first, erases=is_running & (is_end_of_group | is_last),
        )  # fmt: skip
        line.advance()
        m.d.comb += self.erase.eq(line["erases"])
        self._arrive(line, fetch.data, recall.data)
        (self._izhikevich if s.kind == "izhikevich" else self._lif)(line)

        units = range(s.units)
        v, u = (Cat(line[f"{name}{k}"] for k in units) for name in ("v_after", "u_after"))
        is_there = Cat(line["number"] * s.units + k < s.outputs for k in units)
        m.d.comb += [
            self.is_valid.eq(line["is_valid"]),
            self.is_last.eq(line["is_last"]),
            self.number.eq(line["number"]),
            self.fired.eq(Cat(line[f"fired{k}"] for k in units) & is_there),
            self.v.eq(v),
            self.u.eq(u),
            keep.addr.eq(line["number"]),
            keep.data.eq(Cat(v, u)),
            keep.en.eq(line["is_valid"]),
        ]
        is_idle = Signal(init=1)
        with m.If(self.start):
            m.d.sync += is_idle.eq(0)
        with m.Elif(line["is_last"]):
            m.d.sync += [is_idle.eq(1), is_first.eq(0)]
        with m.If(self.end):
            m.d.sync += is_first.eq(1)
        m.d.comb += self.is_ready.eq(is_idle)
        return m

    def _arrive(self, line: _Pipeline, constants: Value, states: Value) -> None:
        """Sum, constants and state of each unit."""
        s = self.shape
        each = sum(s.constants)
        for k in range(s.units):
            lanes = Array(self.sums[lane] for lane in range(k, s.lanes, s.units))
            line.put(**{f"sum{k}": lanes[line["part"]]})
            at = k * each
            for name, width in zip(s.names, s.constants, strict=True):
                line.put(**{f"{name}{k}": constants[at : at + width].as_signed()})
                at += width
            v = states[k * s.v.width : (k + 1) * s.v.width].as_signed()
            at = s.units * s.v.width + k * s.u.width
            u = states[at : at + s.u.width].as_signed()
            first = (line[f"v0{k}"], line[f"u0{k}"]) if "v0" in s.names else (Const(0), Const(0))
            line.put(
                **{
                    f"v{k}": _fit(Mux(line["is_first"], first[0], v), s.v),
                    f"u{k}": _fit(Mux(line["is_first"], first[1], u), s.u),
                }
            )

    def _current(self, line: _Pipeline, k: int) -> Value:
        """I, from the product that the stage before made."""
        return saturated(rounded_shift(line[f"product{k}"], self.shape.shift), self.shape.current)

    def _izhikevich(self, line: _Pipeline) -> None:
        s, units = self.shape, range(self.shape.units)

        def each(name: str, formula: Any) -> None:
            for k in units:
                line.put(**{f"{name}{k}": formula(lambda name, k=k: line[f"{name}{k}"])})

        each("product", lambda x: x("sum") * x("multiplier"))
        each("square", lambda x: x("v") * x("v"))
        each("fired", lambda x: x("v") >= x("threshold"))
        line.advance()
        for k in units:
            line.put(**{f"current{k}": self._current(line, k)})
        each("q", lambda x: rounded_shift(x("square"), s.v.fraction))
        line.advance()
        each("a1q", lambda x: x("a1") * x("q"))
        each("a2v", lambda x: x("a2") * x("v"))
        each("a3u", lambda x: x("a3") * x("u"))
        each("drive", lambda x: x("v") + x("current"))
        line.advance()
        each("change", lambda x: x("a1q") + x("a2v") + x("a3u") + x("a4"))
        line.advance()
        each("v_new", lambda x: saturated(x("drive") + rounded_shift(x("change"), s.fraction), s.v))
        line.advance()
        each("b1v", lambda x: x("b1") * x("v_new"))
        each("b2u", lambda x: x("b2") * x("u"))
        line.advance()
        each("change", lambda x: x("b1v") + x("b2u") + x("b3"))
        line.advance()
        each("u_step", lambda x: Mux(x("fired"), x("d"), rounded_shift(x("change"), s.fraction)))
        each("v_after", lambda x: _fit(Mux(x("fired"), x("c"), x("v_new")), s.v))
        line.advance()
        each("u_after", lambda x: saturated(x("u") + x("u_step"), s.u))
        line.advance()

    def _lif(self, line: _Pipeline) -> None:
        s, units = self.shape, range(self.shape.units)
        for k in units:
            line.put(
                **{
                    f"product{k}": line[f"sum{k}"] * line[f"multiplier{k}"],
                    f"leak{k}": line[f"beta{k}"] * line[f"v{k}"] + line[f"bias{k}"],
                    f"reset{k}": Mux(
                        line[f"v{k}"] > line[f"threshold{k}"], line[f"threshold{k}"], 0
                    ),
                }
            )
        line.advance()
        for k in units:
            line.put(
                **{
                    f"current{k}": self._current(line, k),
                    f"leak{k}": rounded_shift(line[f"leak{k}"], s.fraction) - line[f"reset{k}"],
                }
            )
        line.advance()
        for k in units:
            line.put(
                **{
                    f"v_after{k}": saturated(line[f"current{k}"] + line[f"leak{k}"], s.v),
                    f"u_after{k}": _fit(Const(0), s.u),
                }
            )
        line.advance()
        for k in units:
            line.put(**{f"fired{k}": line[f"v_after{k}"] > line[f"threshold{k}"]})


class _Pipeline:
    """Values by name, which go on to the next stage together; those that nothing reads are optimised away."""

    def __init__(self, m: Module) -> None:
        self._m, self._now = m, dict[str, Value]()
        self._stage = 0

    def put(self, **values: Any) -> None:
        self._now.update({name: Value.cast(value) for name, value in values.items()})

    def __getitem__(self, name: str) -> Value:
        return self._now[name]

    def advance(self) -> None:
        """One clock cycle later."""
        self._stage += 1
        for name, value in self._now.items():
            register = Signal(value.shape(), name=f"{name}_{self._stage}")
            self._m.d.sync += register.eq(value)
            self._now[name] = register


def _fit(x: Any, number: FixedPoint) -> Value:
    """A value that the format holds, in its width."""
    x = Value.cast(x)
    missing = number.width - len(x)
    whole = Cat(x, x[-1].replicate(missing)) if missing > 0 else x[: number.width]
    return whole.as_signed()
