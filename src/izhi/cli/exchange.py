"""Commands to and from other libraries and formats."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from izhi.cli.common import command_line, hold, make_folder, print_table, report_line, settings, write_json
from izhi.data import Dataset
from izhi.errors import ExchangeError, LossWarning, SettingError, install
from izhi.exchange.conventions import library
from izhi.experiments import build, report, run as run_of, trained
from izhi.experiments.export import test_vectors
from izhi.experiments.run_folder import RunFolder, versions
from izhi.experiments.settings import Experiment, experiment
from izhi.experiments.tables import Table
from izhi.network import Network
from izhi.network.builder import describe
from izhi.spec import preset_names

try:
    from izhi.exchange import golden as golden_spikes, reader, writer
except ModuleNotFoundError as error:
    raise SettingError(f"{error.name} is not installed; {install('nir')}") from None


def nir(a: argparse.Namespace) -> None:
    """``izhi nir export|import|check``."""
    {"export": _export, "import": _import, "check": _check}[a.action](a)


@contextmanager
def _losses_printed() -> Iterator[list[str]]:
    """Within it each LossWarning becomes a line, printed and listed at the end."""
    losses: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LossWarning)
        yield losses
    for one in caught:
        if issubclass(one.category, LossWarning):
            losses.append(str(one.message))
            print(f"warning: {one.message}", file=sys.stderr)
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def _export(a: argparse.Namespace) -> None:
    if a.target is None:
        raise SettingError("no file is named, expected one to write; give it: izhi nir export RUN FILE")
    run = trained.load(Path(a.source), {"precision": "32-true", "devices": 1, "nodes": 1}, report_line)
    if run.experiment.quantization.is_quantized:
        raise SettingError(f"{a.source} is quantised, expected its float run")
    path = Path(a.target)
    step = library(a.library).dt if a.dt is None else a.dt
    network = run.network.eval()
    with _losses_printed() as losses:
        graph = writer.write(network, path, library=a.library, dt=a.dt, single_spike=a.single_spike)
    written = {"file": str(path), "nodes": len(graph.nodes), "dt": step, "losses": losses}
    print(f"network: {path}, {len(graph.nodes)} nodes, a step of {step:g} s")
    if a.samples:
        golden = golden_spikes.golden_name(path)
        golden_spikes.golden(network, torch.from_numpy(test_vectors(run, a.samples)), golden, dt=step)
        print(f"golden spikes: {golden}")
        written["golden"] = str(golden)
    write_json(a.json, written)


def _import(a: argparse.Namespace) -> None:
    path = Path(a.source)
    network = reader.read(path, library=a.library, dt=a.dt, reset=a.after_spike)
    e, dataset = _experiment(a, network)
    build.check(e, dataset)
    folder = RunFolder(make_folder(a, f"import-{e.data.dataset}-{path.stem}"))
    with hold(folder.path):
        fabric = build.fabric(e)
        folder.open(e, resume=False, command=command_line())
        result = run_of.adopt(fabric, e, dataset, folder, network)
        report.write(result, folder, command_line())
    print(f"test accuracy: {100 * result.test_accuracy:.2f} % of {len(dataset.test):,}")
    print(f"run: {folder.path}")
    write_json(a.json, {
        "config": e.flat(plain=True), "versions": versions(), "test_accuracy": result.test_accuracy,
        "warnings": result.warnings, "folder": str(folder.path),
    })  # fmt: skip


def _experiment(a: argparse.Namespace, network: Network) -> tuple[Experiment, Dataset]:
    """Settings of an imported network and of the data that the command names."""
    spec, readout = describe(network), network.readout
    of_readout = "spikes" if readout is None else "current" if readout.synapse is None else "membrane"
    name = spec.layers[0].neuron.nearest_preset if spec.layers else preset_names()[0]
    e = experiment({**settings(a), "neuron": name, "readout": of_readout})
    dataset = build.dataset(e.data, report_line)
    encoder = build.encoder(e, dataset)
    if spec.inputs != encoder.features:
        raise SettingError(
            f"the network takes {spec.inputs} features, but encoded samples of {dataset.name} have {encoder.features};"
            " choose other data or another encoding"
        )
    return e.replace(modules=spec.tables()), dataset


def _check(a: argparse.Namespace) -> None:
    checks = golden_spikes.check(a.source, a.target, library=a.library, dt=a.dt, reset=a.after_spike)
    cells = [(x.node, f"{x.spikes:,}", f"{x.different:,}") for x in checks]
    print_table(Table(("node", "spikes", "different"), cells), "golden spikes", left=1)
    write_json(a.json, [{"node": x.node, "spikes": x.spikes, "different": x.different} for x in checks])
    wrong = sum(x.different for x in checks)
    if wrong:
        raise ExchangeError(
            f"{a.source}: {wrong:,} places differ from its golden spikes, expected none; say who wrote it (--from) and"
            " its time step (--dt)"
        )
