"""The options of every command, a function each, and the settings of an experiment as options; see ``izhi.cli.parser``.

They load no code of the commands, and what only some of them name is imported where these are.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from izhi.cli.parser import Command
from izhi.data import require_known
from izhi.experiments.settings import FIELDS, GROUP_OF, GROUPS, RENAMED, Mark, choices, marked, typed
from izhi.spec import ORDERS, ResetMode, entry_of_preset


def add_settings(command: Command, *, without: Sequence[str] = (), common: Mark = Mark.COMMON) -> None:
    """An option for every setting of an experiment, with a check that needs no code of the command.

    Args:
        without: names of the settings that are no options of the command.
        common: marks of the settings that ``--help`` lists; ``--help-all`` lists all.
    """
    command.set_defaults(check=partial(check_values, without=without))
    command.renamed = {_option(old): _option(new) for old, new in RENAMED.items() if new not in without}
    for name in FIELDS:
        if name not in without and name not in marked(Mark.OF_FILES):
            group = GROUPS[GROUP_OF[name]]
            title, about = f"settings [{GROUP_OF[name]}]", (group.__doc__ or "").partition("\n")[0]
            action = add_setting(command, name, title=title, about=about)
            if name not in marked(common):
                command.rare.add(action)


def check_values(arguments: argparse.Namespace, *, without: Sequence[str] = ()) -> None:
    """Raise SettingError for the first invalid setting of the command line."""
    texts = {name: getattr(arguments, name, None) for name in FIELDS if name not in without}
    values = typed({name: value for name, value in texts.items() if value is not None})
    if "dataset" in values:
        require_known(str(values["dataset"]))
    if "neuron" in values:
        entry_of_preset(str(values["neuron"]))


def add_setting(
    command: Command, name: str, default: str | None = None, *, title: str = "settings", about: str | None = None
) -> argparse.Action:
    """An option for one setting, in the group of that title.

    Args:
        default: for the help; None for the setting's own.
    """
    text, _, usual = (FIELDS[name].description or "").replace("%", "%%").partition("; default: ")
    shown = default or usual or _shown(FIELDS[name].default)
    return command.group(title, about).add_argument(_option(name), **_value(FIELDS[name]), help=f"{text} [{shown}]")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _value(field: FieldInfo) -> dict[str, Any]:
    """Arguments of argparse for the setting's value: a switch, one of some choices, or text."""
    kinds = [x for x in (get_args(field.annotation) or (field.annotation,)) if x is not type(None)]
    if bool in kinds:
        # With a value as well, so that the command line can switch off what a file sets.
        return {"nargs": "?", "const": "true", "choices": ("true", "false")}
    literal = field.annotation if get_origin(field.annotation) is Literal else kinds[0]
    if get_origin(literal) is Literal:
        return {"choices": get_args(literal)}
    for kind, metavar in ((int, "N"), (float, "X")):
        if kind in kinds:
            return {"metavar": metavar}
    return {"metavar": "LIST" if isinstance(field.default, tuple) else "NAME"}


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return ",".join(map(str, default)) or "none"
    return {"False": "off", "True": "on"}.get(str(default), str(default))


SHELLS = ("bash", "zsh", "tcsh")
#: Folders of pages and figures.
_FOLDERS = "folder of a run, comparison, search, sweep, study, ranking, evolution on a device or adaptation"


def _run_options(command: Command) -> None:
    """Options of every command that trains."""
    command.option("--config", "FILE", "TOML file of settings")
    _folder_options(command)


def _folder_options(command: Command) -> None:
    """Options of every command that writes a folder and can be interrupted."""
    command.option("--out", "FOLDER", "run folder [runs/TIME-NAME]", "output")
    command.option("--resume", None, "continuation of the runs in --out", "output")
    command.exclusive("output", quiet="no progress", verbose="settings of each run; time and spikes of each epoch")


def _jobs_options(command: Command, of: str) -> None:
    """Options of commands that may do several runs at once."""
    group = "parallel runs"
    command.option("--jobs", "N", f"processes with {of}, each with an equal share of the threads [1]", group)
    command.option("--ray", "ADDRESS", f"Ray cluster for {of}: auto, host:port, or local [none]", group)


def _samples_options(command: Command, of: str = "", usual: str = "all") -> None:
    """Options of commands that run test samples through an artifact."""
    command.option("--dataset", "NAME", f"{of}data set of the same inputs and classes [the artifact's]", "samples")
    about = f"{of}first N test samples, or a file of izhi export --samples (.npz) [{usual}]"
    command.option("--samples", "N|FILE", about, "samples")


def _device_option(command: Command, about: str, group: str | None = None, default: str | None = None) -> None:
    """The option of a device; the names of devices are loaded with the packages of hardware."""
    from izhi.hardware.devices import DEVICES

    command.option("--device", DEVICES, about, group, default=default)


def data_sets(command: Command) -> None:
    command.option(
        "action", ("list", "fetch", "verify"), "list, download, or check of files", nargs="?", default="list"
    )
    command.option("names", "NAME", "names of data sets [all]", nargs="*")


def train(command: Command) -> None:
    command.option("--start", "RUN", "float run with initial weights and settings [none]")
    _run_options(command)
    add_settings(command)


def evolve(command: Command) -> None:
    about = "artifact (.izhi) with weights to evolve on a device [none: a network]"
    command.option("artifact", "FILE", about, nargs="?")
    others = [name for name in choices.DEVICE_SEARCHES if name not in choices.SEARCHES]
    about = f"search method; {', '.join(others)} for artifacts only [snes]"
    command.option("--optimizer", (*choices.SEARCHES, *others), about)
    _run_options(command)
    group = "artifacts"
    _device_option(command, "device [emulator, or hls-ip for its artifacts]", group)
    command.option("--folder", "FOLDER", "core of the device; see izhi run", group)
    command.option("--layers", "LIST", "layers to evolve, from 1 [all]", group, dest="evolving")
    command.option("--fresh", None, "new random weights", group)
    command.option("--samples", "N", "number of training samples [all]", group)
    add_settings(command, without=("optimizer", "layers"), common=Mark.COMMON | Mark.ON_DEVICE)


def _variants_options(command: Command, neurons: str) -> None:
    command.option("--neurons", "LIST", neurons)
    command.option("--connections", "LIST", "kinds of connection, comma-separated [linear, or the file's]")


def compare(command: Command) -> None:
    _variants_options(command, "variants neuron[:setting=value]…, comma-separated [the file's, or all three neurons]")
    command.option("--seeds", "LIST", "seeds, comma-separated [0]")
    command.option("--folds", None, "five-fold cross-validation of an embedded data set")
    command.option("--reference", "LABEL", "reference variant of the differences [the first]")
    _run_options(command)
    _jobs_options(command, "runs")
    add_settings(command, without=("neuron", "connection", "seed", "fold"))


def tune(command: Command) -> None:
    _variants_options(command, "variants as of izhi compare, each with the same number of trials")
    usual = choices.USUAL_SEARCH
    command.option("--search", "LIST", f"ranges [neuron.]setting=low..high or =a|b, comma-separated [{usual}]")
    command.option("--every-speaker", None, "cross-validation over speakers, by the mean")
    command.option("--trials", "N", "trials of each variant [20]")
    command.option("--storage", "FILE|URL", "file that processes share, or database [studies.log in --out]")
    _run_options(command)
    _jobs_options(command, "variants")
    add_settings(command, without=("neuron", "connection"))


def study(command: Command) -> None:
    command.option("protocol", "FILE", "TOML file: tasks, variants, search, seeds, contrasts; or benchmark, Izhi's own")
    command.option("--tasks", "LIST", "names of tasks, comma-separated [all]")
    command.option("--neurons", "LIST", "further neurons, such as module:name, beside the variants of the file")
    command.option("--search", "RANGES", "values of theirs to search, such as module:name.gain=0.25..4")
    command.option("--out", "FOLDER", "folder of rows, resumed if not empty, and report", "output", required=True)
    command.option("--report", None, "tables and figures of the finished rows, no training", "output")
    command.option("--quiet", None, "no progress", "output")
    _jobs_options(command, "trials or runs of a task")


def demo(command: Command) -> None:
    command.option("--no-core", None, "no simulated core")
    command.option("--out", "FOLDER", "folder of the figure [runs/TIME-demo]", "output")


def networks(command: Command) -> None:
    command.option(
        "action",
        "ACTION",
        "list of networks, run of a sample, or evaluate: accuracy on test samples [list]",
        nargs="?",
        default="list",
    )
    command.option("name", "NAME", "network", nargs="?")
    command.option("--device", ("emulator", "simulator", "c"), "device of run and evaluate", default="emulator")
    command.option("--sample", "N", "of run: number of a sample that comes with the network [0]")
    command.option("--samples", "N", "of evaluate: first N test samples [all]")
    command.option("--dataset", "NAME", "of evaluate: data set of the same inputs and classes [the network's]")
    command.option("--out", "FILE", "of run: figure [NAME-N.png]", "output")


def rank(command: Command) -> None:
    command.option("folders", "FOLDER", "comparisons of the same variants on different data sets", nargs="+")
    command.option("--out", "FOLDER", "folder of table and figure [runs/TIME-rank]", "output")


def bench(command: Command) -> None:
    command.option("--contenders", "LIST", "names as in the table, separated by semicolons [all]")
    command.option("--rounds", "N", "runs of each contender", default=3)
    command.option("--repeats", "N", "measured steps of a run", default=8)
    command.option("--threads", "N", "threads of every library", default=os.cpu_count() or 1)
    command.option("--batch", "N", "samples of a batch", default=256)
    command.option("--hidden", "N", "hidden neurons", default=512)
    about = "784-hidden-10, or 12C5-MP2-64C5-MP2-10 on images of 28 × 28"
    command.option("--network", ("linear", "convolutional"), about, default="linear")
    command.option("--steps", "LIST", "time steps, comma-separated", default="25,100")
    command.option("--explain", None, "kernels of each layer of Izhi's contenders, no times", "output")
    command.option("--no-growth", None, "no figure of growth", "output")
    command.option("--out", "FOLDER", "folder of results [runs/TIME-bench]", "output")


def quantize(command: Command) -> None:
    about = "float run or checkpoint; with --sweep one or several seeds; with --resume none"
    command.option("folders", "RUN", about, nargs="*")
    command.option("--weights", "BITS", "bits of a weight, 2 to 8, or 32 for float [4; sweep 8,4,3,2]")
    command.option("--states", "BITS", "bits of a state, 4 to 24, or 32 for float [16; sweep 16,12,8]")
    about = "method [qat-after-ptq: fine-tuning after PTQ; sweep all]"
    command.option("--method", choices.QUANTIZATION_METHODS, about)
    command.option("--sweep", None, "table and figure of all formats and methods")
    about = "no quantisation: whether the run, or a network of settings (.toml), fits integers and the core"
    command.option("--check", None, about, dest="only_checks")
    _folder_options(command)
    _jobs_options(command, "runs of a sweep")
    for name in marked(Mark.OF_QUANTIZING):
        add_setting(command, name, "by method and run")


def export_run(command: Command) -> None:
    command.option(
        "folder", "RUN", "quantised run; for c and wasm also an artifact; for hls-ip a float run, or a state_dict (.pt)"
    )
    about = "Izhi's core in integers, FPGA IP in float32, C99 for microcontrollers, or WebAssembly for browsers"
    command.option("--target", (*choices.TARGETS, "c", "wasm"), about, default="core")
    command.option("--dataset", "NAME", "data set of the training [none]", "state_dict")
    command.option("--build", "NAME", "neuron, izhi or lif [izhi]", "state_dict")
    command.option("--out", "FILE|DIR", "artifact [RUN/network.izhi], or folder [RUN/c, RUN/wasm]", "output")
    command.option("--samples", "N", "encoded test samples for boards (samples.npz)", "output", default=0)


def run(command: Command) -> None:
    command.option("artifact", "FILE", "artifact (.izhi)")
    _device_option(command, "device", default="emulator")
    command.option("--compare", None, "comparison of every spike with the integer model or IP")
    about = "output of izhi rtl, for a board with izhi.bit [a new core]; of hls-ip bitstream and .hwh [emulation]"
    command.option("--folder", "FOLDER", about)
    _samples_options(command, usual="all; simulator 20")
    serial, core = "serial board", "simulated core"
    command.option("--port", "NAME", "serial port, such as /dev/ttyUSB0 or COM3", serial)
    command.option("--baud", "N", "baud rate, bits/s [1,000,000]", serial)
    command.option("--lanes", "N", "neurons per input spike and cycle [32]", core)
    command.option("--units", "N", "neuron updates per cycle [2]", core)
    command.option("--spikes", "N", "input spikes added at once [2, or 1]", core)


def rtl(command: Command) -> None:
    from izhi.hardware.core.serial.frames import BAUD

    command.option("artifact", "FILE", "artifact (.izhi)")
    about = "ultra96v2, pynq-z2, zcu104 (Vivado); ulx3s, tangnano20k … (open tools); soc (Wishbone); docs/boards.md"
    command.option("--board", "NAME", about, default="ultra96v2")
    about = "inputs, neurons of each layer and readout classes of a larger core [the artifact's]"
    command.option("--sizes", "LIST", about, "core")
    command.option("--clock", "MHZ", "clock rate, MHz [100; ulx3s 75]", "core")
    command.option("--baud", "N", "baud rate of a serial line, bits/s", "core", default=BAUD)
    command.option("--lanes", "N", "neurons per input spike and cycle", "core", default=32)
    command.option("--units", "N", "neuron updates per cycle", "core", default=2)
    command.option("--spikes", "N", "input spikes added at once [2; 1 for counts, convolutions, delays, pools]", "core")
    command.option("--samples", "N", "simulated test samples, for the latency", "output", default=20)
    command.option("--activity", None, "toggle rates of registers, for power tools", "output")
    command.option("--out", "FOLDER", "folder of the files [beside the artifact]", "output")


#: Options of ``izhi adapt`` with a number: metavar, group and help; their defaults are in ``USUAL_ADAPTATION``.
_ADAPTATION = {
    "--samples": ("N", "stream", "largest number of samples in the stream"),
    "--batch": ("N", "stream", "samples of the stream between two updates"),
    "--replay": ("N", "stream", "samples of the old task in the rehearsal memory"),
    "--steps": ("N", "learning", "gradient steps or generations per update"),
    "--batch-size": ("N", "learning", "samples of a step or generation"),
    "--learning-rate": ("X", "learning", "learning rate of Adam (backprop)"),
    "--members": ("N", "learning", "population size (evolution)"),
    "--step-size": ("X", "learning", "initial spread of the population (evolution)"),
    "--every": ("N", "stream", "batches between two evaluations"),
    "--tested": ("N", "stream", "largest number of test samples per task and evaluation"),
    "--seed": ("N", "learning", "seed of stream, rehearsal memory and learning"),
}


def adapt(command: Command) -> None:
    usual = choices.USUAL_ADAPTATION
    command.option("run_folder", "RUN", "run folder of a quantised network, or of one for the IP")
    about = "rotate=DEGREES, permute=SHARE, classes=NAME+NAME, speaker=NUMBER"
    command.option("--drift", "KIND=AMOUNT", about, required=True)
    _device_option(command, "device [emulator, or hls-ip for its networks]")
    command.option("--folder", "FOLDER", "core of the device; see izhi run")
    _run_options(command)
    method = usual["method"]
    command.option("--method", choices.ADAPTATION_METHODS, "learning method", "learning", default=method)
    about = "number of learning layers from the last, the readout included; 0 for all"
    command.option("--layers", "N", about, "learning", default=usual["layers"])
    for name, (metavar, group, about) in _ADAPTATION.items():
        command.option(name, metavar, about, group, default=usual[name[2:].replace("-", "_")])
    search = usual["optimizer"]
    command.option("--optimizer", choices.DEVICE_SEARCHES, "search method (evolution)", "learning", default=search)


def nir(command: Command) -> None:
    from izhi.exchange.conventions import LIBRARIES

    about = "export of a float run to a file, import of a file as a run, check of a file's golden spikes"
    command.option("action", ("export", "import", "check"), about)
    command.option("source", "RUN|FILE", "run to export, or file (.nir) to import or check")
    command.option("target", "FILE", "exported file, or golden spikes to check", nargs="?")
    export, load = "export", "import and check"
    command.option("--for", LIBRARIES, "library that reads the file [NIR's equations]", export, dest="library")
    command.option("--from", LIBRARIES, "library that wrote the file [NIR's equations]", load, dest="library")
    command.option("--dt", "S", "time step, s [the file's, or the library's]")
    command.option("--after-spike", ("zero", "subtract"), "reset, where the file has none [v_reset, as in NIR]", load)
    about = "sinabs and rockpool: neurons with one spike a step (docs/nir.md)"
    command.option("--single-spike", None, about, export)
    command.option("--samples", "N", "test samples of the golden spikes", export, default=4)
    command.option("--config", "FILE", "TOML file of settings", load)
    command.option("--out", "FOLDER", "imported run folder [runs/TIME-NAME]", "output")
    add_settings(command, without=("hidden", "layers", "neuron", "connection", "order", "gain", "beta", "reset"))


def evaluate(command: Command) -> None:
    command.option("folder", "RUN", "run folder, checkpoint or artifact (.izhi)")
    command.option("--against", "RUN", "run of the artifact, for a comparison of every spike")
    about = "operations, spikes, updates and memory reads of a run, with an estimate of their energy"
    command.option("--energy", None, about)
    _samples_options(command, "of an artifact: ")
    for name in marked(Mark.OF_EVALUATION):
        add_setting(command, name, "the run's", title="settings of a run")


def show(command: Command) -> None:
    command.option("folder", "RUN", "run folder or checkpoint")
    command.option("--sample", "N", "index of a test sample", default=0)
    command.option("--layer", "N", "layer of the membrane potentials, from 1", default=1)
    command.option("--neurons", "LIST", "indices of neurons, comma-separated [the four with most spikes]")
    command.option("--out", "FILE", "figure (.png, .svg, .pdf) [RUN/sample-N.png]", "output")


def dynamics(command: Command) -> None:
    command.option("folder", "RUN", "run folder, also of the figure dynamics.png")


def trace(command: Command) -> None:
    command.option("artifact", "FILE", "artifact (.izhi)")
    command.option("--sample", "N", "index of a test sample", default=0)
    command.option("--layer", "N", "layer, from 1", default=1)
    command.option("--neurons", "LIST", "indices of neurons, comma-separated", default="0")
    command.option("--out", "FILE", "table (.csv), and figures beside it [trace-N-N.csv]", "output")


def runs(command: Command) -> None:
    command.option("folder", "FOLDER", "folder of runs", nargs="?", default="runs")
    about = "settings name=value, comma-separated, such as dataset=mnist,neuron=lif [all]"
    command.option("--filter", "LIST", about, "selection")
    command.exclusive(
        "selection", finished="finished runs only", unfinished="unfinished runs only, without damaged ones"
    )
    orders = choices.ORDERS
    command.option("--sort", orders, "order: the newest, best or first name first", default=orders[0])
    command.option("--differs", None, "columns of the differing settings only")
    command.option("--remove", None, "removal of the listed runs, after a question", "removal")
    command.option("--yes", None, "removal without a question", "removal")


def report(command: Command) -> None:
    command.option("folder", "FOLDER", _FOLDERS)
    command.option("--out", "FILE", "page (.html) [FOLDER/report.html]", "output")


def redraw(command: Command) -> None:
    command.option("folder", "FOLDER", _FOLDERS)
    command.option("--figure", choices.FIGURES, "figure, in a folder with several [the first]")
    command.option("--title", "TEXT", "title [the figure's]")
    command.option("--labels", "LIST", "labels of lines or rows, separated by semicolons [the figure's]")
    command.option("--out", "FILE", "figure (.png, .svg, .pdf)", "output", required=True)


def explore(command: Command) -> None:
    command.option("folder", "FOLDER", "folder of runs and artifacts", nargs="?", default="runs")
    command.option("--neuron", "NAME", "module:name of your own neuron, beside the others")
    command.option("--port", "N", "port; 0 for a free one", default=5006)
    command.option("--no-browser", None, "address of the page only, no browser")


def simulate(command: Command) -> None:
    command.option("neuron", None, "lif, a preset or a firing pattern", nargs="?", default="biological")
    command.option("--pattern", None, "the firing pattern, not the preset, of the name resonator")
    command.option("--all", None, "one sheet of the twenty firing patterns")
    group = "stimulus"
    command.option("--current", "X", "amplitude, mV/ms for biological presets [10, or 0.1]", group)
    command.option("--start", "X", "start of the current, ms", group, default=10.0)
    command.option("--stop", "X", "stop of the current, ms [the duration]", group)
    command.option("--duration", "X", "duration, ms [200]", group)
    command.option("--dt", "X", "time step, ms [the preset's]", group)
    command.option("--order", tuple(ORDERS), "order of the events of a step [the preset's]", "neuron")
    command.option("--reset", get_args(ResetMode), "reset after a spike [the preset's]", "neuron")
    command.option("--set", "LIST", "parameters name=value, comma-separated, such as a=0.1,d=2 [none]", "neuron")
    command.option("--out", "FILE", "figure (.png, .svg, .pdf) [NEURON.png]", "output")


def completion(command: Command) -> None:
    command.option("shell", SHELLS, "shell of the script")
