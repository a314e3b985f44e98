"""Memories that are filled from outside, a word at a time."""

from __future__ import annotations

from amaranth.hdl import unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import Out


def loading(width: int, depth: int) -> wiring.Signature:
    """What fills a memory: a word of that width is written where ``enable`` is high."""
    return wiring.Signature(
        {
            "address": Out(unsigned(max(1, (depth - 1).bit_length()))),
            "word": Out(unsigned(width)),
            "enable": Out(1),
        }
    )
