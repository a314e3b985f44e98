"""Options of the commands beside training."""

from __future__ import annotations

import os

from izhi.cli.parser import Command
from izhi.neurons import ORDERS

SHELLS = ("bash", "zsh", "tcsh")


def simulate(command: Command) -> None:
    command.add_argument("neuron", nargs="?", default="biological", help="lif, a preset or a firing pattern")
    command.add_argument("--all", action="store_true", help="the twenty firing patterns on one sheet")
    for name, about in (
        ("current", "amplitude, mV/ms for biological presets"),
        ("start", "begin, ms [10]"),
        ("stop", "end, ms [the end]"),
        ("duration", "ms [200]"),
        ("dt", "step, ms"),
    ):
        default = 10.0 if name == "start" else None
        command.add_argument(f"--{name}", type=float, default=default, metavar="X", help=about)
    command.add_argument("--order", choices=tuple(ORDERS), help="event order")
    command.add_argument(
        "--set", metavar="LIST", help="parameters that differ: name=value, comma-separated, such as a=0.1,d=2 [none]"
    )
    command.add_argument("--out", metavar="FILE", help="figure (.png, .svg or .pdf)")


def bench(command: Command) -> None:
    command.add_argument("--contenders", metavar="LIST", help="names as in the table, separated by semicolons [all]")
    for name, default, about in (
        ("rounds", 3, "how often each contender runs"),
        ("repeats", 8, "steps measured in each round"),
        ("threads", os.cpu_count() or 1, "threads of every library"),
        ("batch", 256, "samples per step"),
        ("hidden", 512, "hidden neurons"),
    ):
        command.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{about} [{default}]")
    command.add_argument(
        "--network", choices=("linear", "convolutional"), default="linear",
        help="784-hidden-10, or 12C5-MP2-64C5-MP2-10 on images of 28 × 28 [%(default)s]",
    )  # fmt: skip
    command.add_argument("--steps", default="25,100", metavar="LIST", help="time steps, comma-separated [%(default)s]")
    command.add_argument(
        "--explain", action="store_true", help="say which way each layer of Izhi's contenders takes, and time nothing"
    )
    command.add_argument("--no-growth", action="store_true", help="leave out the figure of growth")
    command.add_argument("--out", metavar="FOLDER", help="folder of results [runs/TIME-bench]")


def data_sets(command: Command) -> None:
    actions = ("list", "fetch", "verify")
    command.add_argument("action", nargs="?", choices=actions, default="list", help="[%(default)s]")
    command.add_argument("names", nargs="*", metavar="NAME", help="data sets [all]")


def completion(command: Command) -> None:
    command.add_argument("shell", choices=SHELLS)
