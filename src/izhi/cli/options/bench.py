"""Options of ``izhi bench``."""

from __future__ import annotations

import os

from izhi.cli.parser import Command


def bench(command: Command) -> None:
    command.add_argument("--contenders", metavar="LIST", help="names as in the table, separated by semicolons [all]")
    for name, default, about in (
        ("rounds", 3, "runs of each contender"),
        ("repeats", 8, "measured steps of a run"),
        ("threads", os.cpu_count() or 1, "threads of every library"),
        ("batch", 256, "samples of a batch"),
        ("hidden", 512, "hidden neurons"),
    ):
        command.add_argument(f"--{name}", type=int, default=default, metavar="N", help=about)
    command.add_argument(
        "--network", choices=("linear", "convolutional"), default="linear",
        help="784-hidden-10, or 12C5-MP2-64C5-MP2-10 on images of 28 × 28",
    )  # fmt: skip
    command.add_argument("--steps", default="25,100", metavar="LIST", help="time steps, comma-separated")
    output = command.group("output")
    output.add_argument("--explain", action="store_true", help="kernels of each layer of Izhi's contenders, no times")
    output.add_argument("--no-growth", action="store_true", help="no figure of growth")
    output.add_argument("--out", metavar="FOLDER", help="folder of results [runs/TIME-bench]")
