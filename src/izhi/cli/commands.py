"""The commands, grouped by stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Entry(NamedTuple):
    """A command."""

    place: str = ""  #: its function below izhi.cli; the function of its options has that name in izhi.cli.options
    about: str = ""  #: a noun phrase
    examples: str = ""  #: command lines at the end of ``--help``, one or two


STAGES: Mapping[str, Mapping[str, Entry]] = {
    "begin": {
        "demo": Entry("zoo.demo", "ten digits read by a network in integers, in seconds",
                      "izhi demo"),
        "zoo": Entry("zoo.networks", "trained networks that come with Izhi: list, run of a sample, evaluation",
                     "izhi zoo\nizhi zoo run ecg"),
    },
    "data": {
        "data": Entry("data.data_sets", "list, download and checksums of data sets",
                      "izhi data list\nizhi data fetch mnist shd"),
    },
    "train": {
        "train": Entry("runs.train", "training of one network",
                       "izhi train --dataset mnist --neuron RS --hidden 200 --epochs 5\n"
                       "izhi train --config experiments/mnist.toml --seed 1 --out runs/mnist"),
        "evolve": Entry("learning.evolve", "evolution of a network, or of an artifact's weights on a device",
                        "izhi evolve --dataset iris --hidden 16 --epochs 200\n"
                        "izhi evolve network.izhi --device emulator --members 32"),
    },
    "compare": {
        "compare": Entry("runs.compare", "comparison of neurons or connections over seeds",
                         "izhi compare --neurons lif,RS,FS --dataset mnist --seeds 0,1,2"),
        "tune": Entry("runs.tune", "hyperparameter search on validation samples, by Optuna",
                      "izhi tune --neurons lif,RS --search 'learning_rate=1e-4..1e-2,slope=1..10' --trials 30"),
        "study": Entry("runs.study", "study of several tasks: searches, seeds, ranks",
                       "izhi study study.toml --out runs/study"),
        "rank": Entry("folders.rank", "ranks of variants over the data sets of several comparisons, with tests",
                      "izhi rank runs/iris runs/wine runs/digits"),
        "bench": Entry("bench.bench", "time of a training step, beside other libraries",
                       "izhi bench --threads 4 --steps 25"),
    },
    "quantise": {
        "quantize": Entry("hardware.quantize", "quantisation of a trained network's weights and states",
                          "izhi quantize runs/mnist --weights 4 --states 12\n"
                          "izhi quantize runs/mnist --sweep --weights 8,4,2"),
    },
    "deploy": {
        "export": Entry("hardware.export_run", "artifact of a run, for hardware",
                        "izhi export runs/quantised --samples 100\n"
                        "izhi export runs/quantised --target c --out program"),
        "run": Entry("hardware.run", "test samples on a device: emulator, simulated core, board, C program, FPGA IP",
                     "izhi run network.izhi --samples 100\n"
                     "izhi run network.izhi --device simulator --compare --samples 5"),
        "rtl": Entry("hardware.rtl", "Verilog and build script of the core for a board, with a report",
                     "izhi rtl network.izhi --board pynq-z2"),
        "adapt": Entry("learning.adapt", "continual learning of a deployed network under drift",
                       "izhi adapt runs/quantised --drift rotate=30 --samples 2000"),
        "nir": Entry("exchange.nir", "NIR files: export of a run, import of a network, check of spikes",
                     "izhi nir export runs/mnist network.nir --for snntorch\n"
                     "izhi nir import network.nir --from snntorch --dataset mnist"),
    },
    "inspect": {
        "evaluate": Entry("inspection.evaluate", "test accuracy of a run or an artifact",
                          "izhi evaluate runs/mnist --energy\n"
                          "izhi evaluate network.izhi --against runs/quantised"),
        "show": Entry("inspection.show", "spikes, membrane potentials and answer for one test sample",
                      "izhi show runs/mnist --sample 3"),
        "dynamics": Entry("inspection.dynamics",
                          "neuron coefficients and firing classes of a run, before and after training",
                          "izhi dynamics runs/mnist"),
        "trace": Entry("inspection.trace", "integer states and spikes of an artifact for one test sample",
                       "izhi trace network.izhi --layer 1 --neurons 0,7"),
        "runs": Entry("folders.runs", "list of the runs in a folder, with filter, order and removal",
                      "izhi runs --filter dataset=mnist,neuron=lif --sort accuracy"),
        "report": Entry("folders.report", "one HTML page of a finished command's folder",
                        "izhi report runs/compare-mnist"),
        "redraw": Entry("folders.redraw", "figure of a finished command, drawn again from its numbers",
                        "izhi redraw runs/compare-mnist --out accuracy.pdf --title MNIST"),
        "explore": Entry("folders.explore", "browser pages of neurons, runs and devices, local to this machine",
                         "izhi explore runs"),
        "simulate": Entry("simulate.simulate", "v, u and spikes of one neuron under a current",
                          "izhi simulate RS --current 10\n" "izhi simulate --all"),
    },
    "shell": {
        "completion": Entry("completion.completion", "completion script for a shell",
                            "izhi completion bash > izhi-completion"),
    },
}  # fmt: skip
#: Every command by its name.
COMMANDS: Mapping[str, Entry] = {name: entry for stage in STAGES.values() for name, entry in stage.items()}
