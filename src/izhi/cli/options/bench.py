"""Options of ``izhi bench``."""

from __future__ import annotations

import os

from izhi.cli.parser import Command


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
