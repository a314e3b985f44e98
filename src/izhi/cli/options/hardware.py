"""Options of the commands from a trained network to hardware."""

from __future__ import annotations

from izhi.cli.options.settings import add_setting, folder_options, samples_options
from izhi.cli.parser import Command
from izhi.experiments.settings import Mark, marked
from izhi.experiments.settings.choices import QUANTIZATION_METHODS, TARGETS
from izhi.hardware.core.serial.frames import BAUD
from izhi.hardware.devices import DEVICES


def quantize(command: Command) -> None:
    command.add_argument(
        "folders",
        metavar="RUN",
        nargs="*",
        help="run folder or checkpoint of a float network; with --sweep one or several seeds;"
        " none to go on with what --out holds",
    )
    command.add_argument(
        "--weights", metavar="BITS", help="2 to 8 bits, or 32 for float [4]; a list for a sweep [8,4,3,2]"
    )
    command.add_argument(
        "--states", metavar="BITS", help="4 to 24 bits, or 32 for float [16]; a list for a sweep [16,12,8]"
    )
    command.add_argument(
        "--method", choices=QUANTIZATION_METHODS, help="[qat-after-ptq: PTQ, then fine-tuning; for a sweep all]"
    )
    command.add_argument("--sweep", action="store_true", help="every format by every method: table and figure")
    for name in marked(Mark.OF_QUANTIZING):
        add_setting(command, name, " [by method and run]")
    folder_options(command)


def export_run(command: Command) -> None:
    command.add_argument(
        "folder",
        metavar="RUN",
        help="run folder of a quantised network; for hls-ip of a float one, or a state_dict (.pt)",
    )
    command.add_argument(
        "--target",
        default="core",
        choices=TARGETS,
        help="core: Izhi's own, in integers; hls-ip: the FPGA IP, in float32 [%(default)s]",
    )
    command.add_argument("--dataset", metavar="NAME", help="of a state_dict: the data set it was trained on [none]")
    command.add_argument("--build", metavar="NAME", help="of a state_dict: the neuron, izhi or lif [izhi]")
    command.add_argument("--out", metavar="FILE", help="the artifact [RUN/network.izhi]")
    command.add_argument(
        "--samples",
        type=int,
        default=0,
        metavar="N",
        help="also write N encoded test samples for boards: samples.npz [0]",
    )


def run(command: Command) -> None:
    command.add_argument("artifact", metavar="FILE", help="the artifact (.izhi)")
    command.add_argument("--device", default="emulator", choices=DEVICES, help="[%(default)s]")
    samples_options(command)
    command.add_argument(
        "--compare",
        action="store_true",
        help="compare every spike of every layer with the integer model's, or the IP's arithmetic",
    )
    command.add_argument(
        "--folder",
        metavar="FOLDER",
        help="what izhi rtl wrote, with izhi.bit for a board [a core made for the artifact];"
        " of hls-ip the bitstream and .hwh [emulated]",
    )
    command.add_argument(
        "--port", metavar="NAME", help="of serial: the board's serial port, such as /dev/ttyUSB0 or COM3"
    )
    command.add_argument("--baud", type=int, metavar="N", help="of serial: bits a second [1,000,000]")
    command.add_argument("--lanes", type=int, metavar="N", help="of the simulated core [32]")
    command.add_argument("--units", type=int, metavar="N", help="of the simulated core [2]")
    command.add_argument("--spikes", type=int, metavar="N", help="of the simulated core [2, or 1]")


def trace(command: Command) -> None:
    command.add_argument("artifact", metavar="FILE", help="the artifact (.izhi)")
    command.add_argument("--sample", type=int, default=0, metavar="N", help="number of a test sample [0]")
    command.add_argument("--layer", type=int, default=1, metavar="N", help="1 for the first [1]")
    command.add_argument("--neurons", default="0", metavar="LIST", help="comma-separated [%(default)s]")
    command.add_argument(
        "--out", metavar="FILE", help="table of integers (.csv), with a figure of each neuron beside it"
    )


def rtl(command: Command) -> None:
    command.add_argument("artifact", metavar="FILE", help="the artifact (.izhi)")
    command.add_argument(
        "--board",
        default="ultra96v2",
        metavar="NAME",
        help="for Vivado ultra96v2, pynq-z2 or zcu104; to a bitstream by open tools ulx3s or ecpix5 [%(default)s]",
    )
    command.add_argument(
        "--sizes",
        metavar="LIST",
        help="a larger core, which other networks fit as well: inputs, neurons of each layer,"
        " classes of a readout [the artifact's]",
    )
    command.add_argument(
        "--clock", type=int, metavar="MHZ", help="of the core; the build fails if it is missed [100; ulx3s 75]"
    )
    command.add_argument(
        "--baud", type=int, default=BAUD, metavar="N", help="bits a second of a serial line [1,000,000]"
    )
    for name, default, about in (
        ("lanes", 32, "neurons that an input spike reaches in a cycle"),
        ("units", 2, "neurons that are updated in a cycle"),
        ("samples", 20, "test samples simulated for the latency; 0 for none"),
    ):
        command.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{about} [{default}]")
    command.add_argument(
        "--spikes",
        type=int,
        metavar="N",
        help="input spikes that are added at once [2; 1 where the first layer is a convolution or has delays or pools]",
    )
    command.add_argument(
        "--activity", action="store_true", help="also how often registers change in each block, for estimates of power"
    )
    command.add_argument("--out", metavar="FOLDER", help="for the files [a folder beside the artifact]")
