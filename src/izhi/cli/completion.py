"""The command by which a shell completes the others."""

from __future__ import annotations

import argparse

import shtab

from izhi.cli.parser import parser


def completion(a: argparse.Namespace) -> None:
    print(shtab.complete(parser(whole=True), a.shell))
