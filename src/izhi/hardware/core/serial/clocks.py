"""Clocks that the PLLs of several families of FPGAs make of a board's clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from amaranth.hdl import ClockSignal, Const, Instance, Signal

from izhi.errors import SettingError

#: The most that a clock may differ from the wanted one.
_TOLERANCE = 1e-4
#: The fastest clock that is proposed in place of one that cannot be made.
_MOST_MEGAHERTZ = 500


@dataclass(frozen=True)
class PLL(ABC):
    """Settings of a PLL.

    Attributes:
        input_megahertz, megahertz: of the input clock and of the output clock.
    """

    input_megahertz: float
    megahertz: float

    @classmethod
    @abstractmethod
    def candidates(cls, input_megahertz: float, megahertz: float) -> Iterator[PLL]:
        """Settings that the device allows, for clocks near the wanted one."""

    @property
    @abstractmethod
    def preference(self) -> tuple[float, ...]:
        """Of settings with equal clocks the least of these is chosen."""

    @abstractmethod
    def instance(self, clock: Signal, is_steady: Signal) -> Instance:
        """The PLL, which drives the clock of the domain ``sync``, and ``is_steady`` once that clock is right."""


@dataclass(frozen=True)
class Ecp5PLL(PLL):
    """ECP5's EHXPLLL, whose oscillator runs at input · feedback · first / reference (Lattice FPGA-DS-02012).

    Attributes:
        reference, feedback, first: dividers of the input, of the feedback, and of the first output, which is fed back.
        output: of the used output.
    """

    reference: int
    feedback: int
    first: int
    output: int

    #: MHz of its oscillator, and of what its phase detector compares.
    OSCILLATOR: ClassVar[tuple[float, float]] = (400.0, 800.0)
    COMPARED: ClassVar[tuple[float, float]] = (10.0, 400.0)

    @classmethod
    def candidates(cls, input_megahertz: float, megahertz: float) -> Iterator[PLL]:
        for reference in _dividers(128, input_megahertz, cls.COMPARED):
            for feedback in range(1, 81):
                for first in range(1, 129):
                    oscillator = input_megahertz / reference * feedback * first
                    if cls.OSCILLATOR[0] <= oscillator <= cls.OSCILLATOR[1]:
                        output = min(128, max(1, round(oscillator / megahertz)))
                        yield cls(input_megahertz, oscillator / output, reference, feedback, first, output)

    @property
    def preference(self) -> tuple[float, ...]:
        """The fewest divisions; then an oscillator in the middle of its range."""
        return self.reference, abs(self.megahertz * self.output - sum(self.OSCILLATOR) / 2), self.feedback

    def instance(self, clock: Signal, is_steady: Signal) -> Instance:
        fed_back = Signal()
        return Instance(
            "EHXPLLL",
            a_FREQUENCY_PIN_CLKI=f"{self.input_megahertz:g}", a_FREQUENCY_PIN_CLKOS=f"{self.megahertz:g}",
            a_ICP_CURRENT="12", a_LPF_RESISTOR="8", a_MFG_ENABLE_FILTEROPAMP="1", a_MFG_GMCREF_SEL="2",
            p_PLLRST_ENA="DISABLED", p_INTFB_WAKE="DISABLED", p_STDBY_ENABLE="DISABLED", p_DPHASE_SOURCE="DISABLED",
            p_OUTDIVIDER_MUXA="DIVA", p_OUTDIVIDER_MUXB="DIVB", p_OUTDIVIDER_MUXC="DIVC", p_OUTDIVIDER_MUXD="DIVD",
            p_CLKI_DIV=self.reference, p_CLKFB_DIV=self.feedback, p_FEEDBK_PATH="CLKOP",
            p_CLKOP_ENABLE="ENABLED", p_CLKOP_DIV=self.first, p_CLKOP_CPHASE=self.first - 1, p_CLKOP_FPHASE=0,
            p_CLKOS_ENABLE="ENABLED", p_CLKOS_DIV=self.output, p_CLKOS_CPHASE=self.output - 1, p_CLKOS_FPHASE=0,
            i_CLKI=clock, i_CLKFB=fed_back, i_RST=Const(0), i_STDBY=Const(0),
            i_PHASESEL0=Const(0), i_PHASESEL1=Const(0), i_PHASEDIR=Const(1), i_PHASESTEP=Const(1),
            i_PHASELOADREG=Const(1), i_PLLWAKESYNC=Const(0), i_ENCLKOP=Const(0), i_ENCLKOS=Const(0),
            o_CLKOP=fed_back, o_CLKOS=ClockSignal(), o_LOCK=is_steady,
        )  # fmt: skip


@dataclass(frozen=True)
class GowinPLL(PLL):
    """Gowin's rPLL: input · feedback / reference, of an oscillator ``output`` times as fast (Gowin UG286).

    Attributes:
        reference, feedback, output: dividers of the input, of the feedback, and of the oscillator.
    """

    reference: int
    feedback: int
    output: int

    #: MHz that the families GW1N and GW2A in their speed grades of our boards allow both.
    OSCILLATOR: ClassVar[tuple[float, float]] = (500.0, 1200.0)
    COMPARED: ClassVar[tuple[float, float]] = (3.0, 400.0)
    OUTPUTS: ClassVar[tuple[int, ...]] = (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)

    @classmethod
    def candidates(cls, input_megahertz: float, megahertz: float) -> Iterator[PLL]:
        for reference in _dividers(64, input_megahertz, cls.COMPARED):
            feedback = min(64, max(1, round(megahertz * reference / input_megahertz)))
            made = input_megahertz * feedback / reference
            for output in cls.OUTPUTS:
                if cls.OSCILLATOR[0] <= made * output <= cls.OSCILLATOR[1]:
                    yield cls(input_megahertz, made, reference, feedback, output)

    @property
    def preference(self) -> tuple[float, ...]:
        """The fewest divisions; then the slowest oscillator."""
        return self.reference, self.output

    def instance(self, clock: Signal, is_steady: Signal) -> Instance:
        return Instance(
            "rPLL",
            p_FCLKIN=f"{self.input_megahertz:g}", p_IDIV_SEL=self.reference - 1, p_FBDIV_SEL=self.feedback - 1,
            p_ODIV_SEL=self.output, p_DYN_IDIV_SEL="false", p_DYN_FBDIV_SEL="false", p_DYN_ODIV_SEL="false",
            p_PSDA_SEL="0000", p_DUTYDA_SEL="1000", p_DYN_DA_EN="false", p_CLKFB_SEL="internal",
            p_CLKOUT_BYPASS="false", p_CLKOUTP_BYPASS="false", p_CLKOUTD_BYPASS="false", p_DYN_SDIV_SEL=2,
            p_CLKOUTD_SRC="CLKOUT", p_CLKOUTD3_SRC="CLKOUT",
            i_CLKIN=clock, i_CLKFB=Const(0), i_RESET=Const(0), i_RESET_P=Const(0), i_FBDSEL=Const(0, 6),
            i_IDSEL=Const(0, 6), i_ODSEL=Const(0, 6), i_PSDA=Const(0, 4), i_DUTYDA=Const(0, 4), i_FDLY=Const(0, 4),
            o_CLKOUT=ClockSignal(), o_LOCK=is_steady,
        )  # fmt: skip


def _dividers(most: int, megahertz: float, allowed: tuple[float, float]) -> list[int]:
    """Dividers of a clock up to ``most`` that give an allowed one."""
    return [divider for divider in range(1, most + 1) if allowed[0] <= megahertz / divider <= allowed[1]]


def pll(kind: type[PLL] | None, input_megahertz: float, megahertz: float) -> PLL | None:
    """The PLL of a kind that makes one clock of another; None if they are equal.

    Raises:
        SettingError: if it cannot be made.
    """
    if input_megahertz == megahertz:
        return None
    if kind is None:
        raise SettingError(
            f"clock is {megahertz:g} MHz, but open tools make none on this board; expected {input_megahertz:g}, its own"
        )
    best = _nearest(kind, input_megahertz, megahertz)
    if not _is_right(best, megahertz):
        others = sorted(range(1, _MOST_MEGAHERTZ + 1), key=lambda x: abs(x - megahertz))
        near = sorted(islice((x for x in others if _is_right(_nearest(kind, input_megahertz, x), x)), 2))
        raise SettingError(
            f"clock is {megahertz:g} MHz, which the PLL cannot make of {input_megahertz:g} MHz; expected such as"
            f" {' or '.join(map(str, near))}"
        )
    return best


def _nearest(kind: type[PLL], input_megahertz: float, megahertz: float) -> PLL | None:
    found = kind.candidates(input_megahertz, megahertz)
    return min(found, key=lambda x: (abs(x.megahertz - megahertz), x.preference), default=None)


def _is_right(found: PLL | None, megahertz: float) -> bool:
    return found is not None and abs(found.megahertz - megahertz) <= _TOLERANCE * megahertz
