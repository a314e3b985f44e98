"""The command that prints a completion script."""

from __future__ import annotations

import argparse

import shtab

from izhi.cli.parser import parser


def completion(a: argparse.Namespace) -> None:
    print(shtab.complete(parser(whole=True), a.shell))
