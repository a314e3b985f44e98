"""Options of the commands from a trained network to hardware."""

from __future__ import annotations

from izhi.cli.options.settings import add_setting, folder_options, jobs_options, samples_options
from izhi.cli.parser import Command
from izhi.experiments.settings import Mark, marked
from izhi.experiments.settings.choices import QUANTIZATION_METHODS, TARGETS
from izhi.hardware.core.serial.frames import BAUD
from izhi.hardware.devices import DEVICES


def quantize(command: Command) -> None:
    command.add_argument(
        "folders", metavar="RUN", nargs="*",
        help="float run or checkpoint; with --sweep one or several seeds; with --resume none",
    )  # fmt: skip
    command.add_argument(
        "--weights", metavar="BITS", help="bits of a weight, 2 to 8, or 32 for float [4; sweep 8,4,3,2]"
    )
    command.add_argument(
        "--states", metavar="BITS", help="bits of a state, 4 to 24, or 32 for float [16; sweep 16,12,8]"
    )
    command.add_argument(
        "--method", choices=QUANTIZATION_METHODS, help="method [qat-after-ptq: fine-tuning after PTQ; sweep all]"
    )
    command.add_argument("--sweep", action="store_true", help="table and figure of all formats and methods")
    folder_options(command)
    jobs_options(command, "runs of a sweep")
    for name in marked(Mark.OF_QUANTIZING):
        add_setting(command, name, "by method and run")


def export_run(command: Command) -> None:
    command.add_argument("folder", metavar="RUN", help="quantised run; for hls-ip a float run, or a state_dict (.pt)")
    command.add_argument(
        "--target", default="core", choices=TARGETS, help="Izhi's core in integers, or FPGA IP in float32"
    )
    group = command.group("state_dict")
    group.add_argument("--dataset", metavar="NAME", help="data set of the training [none]")
    group.add_argument("--build", metavar="NAME", help="neuron, izhi or lif [izhi]")
    output = command.group("output")
    output.add_argument("--out", metavar="FILE", help="artifact [RUN/network.izhi]")
    output.add_argument(
        "--samples", type=int, default=0, metavar="N", help="encoded test samples for boards (samples.npz)"
    )


def run(command: Command) -> None:
    command.add_argument("artifact", metavar="FILE", help="artifact (.izhi)")
    command.add_argument("--device", default="emulator", choices=DEVICES, help="device")
    command.add_argument(
        "--compare", action="store_true", help="comparison of every spike with the integer model or IP"
    )
    command.add_argument(
        "--folder", metavar="FOLDER",
        help="output of izhi rtl, for a board with izhi.bit [a new core]; of hls-ip bitstream and .hwh [emulation]",
    )  # fmt: skip
    samples_options(command)
    serial, core = command.group("serial board"), command.group("simulated core")
    serial.add_argument("--port", metavar="NAME", help="serial port, such as /dev/ttyUSB0 or COM3")
    serial.add_argument("--baud", type=int, metavar="N", help="baud rate, bits/s [1,000,000]")
    core.add_argument("--lanes", type=int, metavar="N", help="neurons per input spike and cycle [32]")
    core.add_argument("--units", type=int, metavar="N", help="neuron updates per cycle [2]")
    core.add_argument("--spikes", type=int, metavar="N", help="input spikes added at once [2, or 1]")


def trace(command: Command) -> None:
    command.add_argument("artifact", metavar="FILE", help="artifact (.izhi)")
    command.add_argument("--sample", type=int, default=0, metavar="N", help="index of a test sample")
    command.add_argument("--layer", type=int, default=1, metavar="N", help="layer, from 1")
    command.add_argument("--neurons", default="0", metavar="LIST", help="indices of neurons, comma-separated")
    command.group("output").add_argument(
        "--out", metavar="FILE", help="table (.csv), and figures beside it [trace-N-N.csv]"
    )


def rtl(command: Command) -> None:
    command.add_argument("artifact", metavar="FILE", help="artifact (.izhi)")
    command.add_argument(
        "--board", default="ultra96v2", metavar="NAME",
        help="ultra96v2, pynq-z2 or zcu104 (Vivado); ulx3s or ecpix5 (open tools)",
    )  # fmt: skip
    core, output = command.group("core"), command.group("output")
    core.add_argument(
        "--sizes", metavar="LIST",
        help="inputs, neurons of each layer and readout classes of a larger core [the artifact's]",
    )  # fmt: skip
    core.add_argument("--clock", type=int, metavar="MHZ", help="clock rate, MHz [100; ulx3s 75]")
    core.add_argument("--baud", type=int, default=BAUD, metavar="N", help="baud rate of a serial line, bits/s")
    core.add_argument("--lanes", type=int, default=32, metavar="N", help="neurons per input spike and cycle")
    core.add_argument("--units", type=int, default=2, metavar="N", help="neuron updates per cycle")
    core.add_argument(
        "--spikes", type=int, metavar="N", help="input spikes added at once [2; 1 for convolutions, delays and pools]"
    )
    output.add_argument("--samples", type=int, default=20, metavar="N", help="simulated test samples, for the latency")
    output.add_argument("--activity", action="store_true", help="toggle rates of registers, for power tools")
    output.add_argument("--out", metavar="FOLDER", help="folder of the files [beside the artifact]")
