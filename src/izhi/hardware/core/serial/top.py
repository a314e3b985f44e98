"""The top of a design for a board without a processor: clock, reset, and the core behind its serial line."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import ClockDomain, ClockSignal, Const, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from izhi.errors import SettingError
from izhi.hardware.core.serial.link import Link
from izhi.hardware.core.shape import CoreShape

#: Of the oscillator of ECP5's PLL, in MHz, and of what its phase detector compares (Lattice FPGA-DS-02012).
_OSCILLATOR, _COMPARED = (400.0, 800.0), (10.0, 400.0)
#: Cycles of reset after the clock is stable.
_RESET_CYCLES = 15
#: The most that a bit on the line may differ from the one that the host expects; ten bits add up to a third of one.
_TOLERANCE = 0.02


@dataclass(frozen=True)
class PLL:
    """Dividers of ECP5's EHXPLLL: its oscillator runs at input · feedback · first / reference.

    Attributes:
        reference, feedback, first: dividers of the input, of the feedback, and of the first output, which is fed back.
        output: of the used output.
        input_megahertz, megahertz: of the input clock and of the output clock.
    """

    reference: int
    feedback: int
    first: int
    output: int
    input_megahertz: float
    megahertz: float


def pll(input_megahertz: float, megahertz: float) -> PLL | None:
    """The PLL that makes one clock of another; None if they are equal.

    Raises:
        SettingError: if it cannot be made.
    """
    if input_megahertz == megahertz:
        return None
    settings = [
        PLL(reference, feedback, first, output, input_megahertz, oscillator / output)
        for reference in range(1, 129)
        if _COMPARED[0] <= input_megahertz / reference <= _COMPARED[1]
        for feedback in range(1, 81)
        for first in range(1, 129)
        if _OSCILLATOR[0] <= (oscillator := input_megahertz / reference * feedback * first) <= _OSCILLATOR[1]
        for output in (min(128, max(1, round(oscillator / megahertz))),)
    ]
    # The nearest clock; then the fewest divisions; then an oscillator in the middle of its range.
    middle = sum(_OSCILLATOR) / 2
    best = min(
        settings,
        key=lambda x: (abs(x.megahertz - megahertz), x.reference, abs(x.megahertz * x.output - middle), x.feedback),
    )
    if abs(best.megahertz - megahertz) > megahertz / 10_000:
        raise SettingError(
            f"clock is {megahertz:g} MHz, which the PLL cannot make of {input_megahertz:g} MHz: the nearest is"
            f" {best.megahertz:g}; expected a multiple of 5"
        )
    return best


def divisor(megahertz: float, baud: int) -> int:
    """Clock cycles of a bit.

    Raises:
        SettingError: if they are too few, or do not give the rate within two per cent.
    """
    cycles = round(megahertz * 1e6 / baud) if baud > 0 else 0
    if cycles < 4 or abs(megahertz * 1e6 / cycles - baud) > _TOLERANCE * baud:
        raise SettingError(
            f"baud is {baud:,}, which a clock of {megahertz:g} MHz does not give within {100 * _TOLERANCE:g} %;"
            " expected a quarter of the clock at most, such as 1,000,000"
        )
    return cycles


class Top(wiring.Component):
    """Clock, reset and Link.

    Args:
        shape: of the core.
        divisor: clock cycles of a bit on the line.
        pll: from the board's clock to the core's, or None.

    Ports:
        clk: the board's clock.
        receive, transmit: the line, as seen from here.
        is_busy: an inference is running, for a light.
    """

    def __init__(self, shape: CoreShape, divisor: int, pll: PLL | None = None) -> None:
        self.link, self.pll = Link(shape, divisor), pll
        super().__init__({"clk": In(1), "receive": In(1, init=1), "transmit": Out(1, init=1), "is_busy": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.domains.start = ClockDomain(reset_less=True)
        is_steady = Const(1)
        if self.pll is None:
            m.d.comb += ClockSignal().eq(self.clk)
        else:
            is_steady = Signal()
            m.submodules.pll = _instance(self.pll, self.clk, is_steady)
        # The bitstream sets the initial values of registers: this one keeps all others in reset for some cycles.
        left = Signal(range(_RESET_CYCLES + 1), init=_RESET_CYCLES)
        is_reset = Signal(init=1)
        m.d.comb += [ClockSignal("start").eq(ClockSignal()), ResetSignal().eq(is_reset)]
        m.d.start += is_reset.eq(left != 0)
        with m.If(~is_steady):
            m.d.start += left.eq(_RESET_CYCLES)
        with m.Elif(left != 0):
            m.d.start += left.eq(left - 1)
        m.submodules.link = link = self.link
        m.d.comb += [link.receive.eq(self.receive), self.transmit.eq(link.transmit), self.is_busy.eq(link.is_busy)]
        return m


def _instance(settings: PLL, clock: Signal, is_steady: Signal) -> Instance:
    fed_back = Signal()
    return Instance(
        "EHXPLLL",
        a_FREQUENCY_PIN_CLKI=f"{settings.input_megahertz:g}", a_FREQUENCY_PIN_CLKOS=f"{settings.megahertz:g}",
        a_ICP_CURRENT="12", a_LPF_RESISTOR="8", a_MFG_ENABLE_FILTEROPAMP="1", a_MFG_GMCREF_SEL="2",
        p_PLLRST_ENA="DISABLED", p_INTFB_WAKE="DISABLED", p_STDBY_ENABLE="DISABLED", p_DPHASE_SOURCE="DISABLED",
        p_OUTDIVIDER_MUXA="DIVA", p_OUTDIVIDER_MUXB="DIVB", p_OUTDIVIDER_MUXC="DIVC", p_OUTDIVIDER_MUXD="DIVD",
        p_CLKI_DIV=settings.reference, p_CLKFB_DIV=settings.feedback, p_FEEDBK_PATH="CLKOP",
        p_CLKOP_ENABLE="ENABLED", p_CLKOP_DIV=settings.first, p_CLKOP_CPHASE=settings.first - 1, p_CLKOP_FPHASE=0,
        p_CLKOS_ENABLE="ENABLED", p_CLKOS_DIV=settings.output, p_CLKOS_CPHASE=settings.output - 1, p_CLKOS_FPHASE=0,
        i_CLKI=clock, i_CLKFB=fed_back, i_RST=Const(0), i_STDBY=Const(0),
        i_PHASESEL0=Const(0), i_PHASESEL1=Const(0), i_PHASEDIR=Const(1), i_PHASESTEP=Const(1),
        i_PHASELOADREG=Const(1), i_PLLWAKESYNC=Const(0), i_ENCLKOP=Const(0), i_ENCLKOS=Const(0),
        o_CLKOP=fed_back, o_CLKOS=ClockSignal(), o_LOCK=is_steady,
    )  # fmt: skip
