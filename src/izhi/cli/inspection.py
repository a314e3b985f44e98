"""Commands that inspect a trained network: its accuracy, one sample, its coefficients, and integers of an artifact."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from izhi import files, training
from izhi.cli.common import print_table, report_line, settings, whole_numbers, write_json
from izhi.cli.deployed import test_samples
from izhi.data import NO_LABEL, Dataset
from izhi.errors import ArtifactError, FileError, SettingError
from izhi.experiments import artifact_trace, build, energy, plots, report, sample_trace, samples, trained
from izhi.experiments.agreement import agreement
from izhi.experiments.run import evaluate as evaluate_run
from izhi.experiments.run_folder import RunFolder, versions
from izhi.experiments.settings import Mark, marked
from izhi.experiments.tables import markdown
from izhi.hardware import artifact, devices, networks
from izhi.hardware.devices.evaluation import evaluate as evaluate_device


def _print_accuracies(
    title: str, accuracy: float, groups: Mapping[str, float], layers: Sequence[str], confusion: list[list[int]],
    classes: Sequence[str],
) -> dict[str, object]:  # fmt: skip
    """Print the accuracy on all test samples, on groups of them and of each class, and return them for scripts."""
    print(title)
    for group, share in groups.items():
        print(f"{group.replace('_', ' ')}: {100 * share:.2f} %")
    for number, line in enumerate(layers, start=1):
        print(f"layer {number}: {line}")
    for line in report.per_class(confusion, classes):
        print(line)
    of_groups = {f"test_accuracy_{name}": share for name, share in groups.items()}
    return {"test_accuracy": accuracy, **of_groups, "classes": list(classes), "confusion": confusion,
            "versions": versions()}  # fmt: skip


def _evaluate_artifact(a: argparse.Namespace) -> None:
    deployed = artifact.load(a.folder)
    if a.against is not None:
        _compare_with_run(a, deployed)
        return
    batches, dataset = test_samples(a, deployed, usual=None)
    whole = dataset is not None and a.samples is None
    groups = {name: mask.numpy() for name, mask in dataset.groups.items()} if dataset and whole else {}
    with devices.open(deployed.device, deployed) as device:
        result = evaluate_device(device, batches, wants_rates=True, groups=groups)
    name = dataset.name if dataset else a.samples or "own test vectors,"
    accuracies = _print_accuracies(
        f"{name} test accuracy: {100 * result.accuracy:.2f} % of {result.labelled}, in {deployed.numbers},"
        f" {result.samples / result.seconds:,.0f} samples/s", result.accuracy, result.groups,
        [f"{rate:.4f} spikes per neuron and step" for rate in result.rates],
        result.confusion(len(deployed.classes)).tolist(), deployed.classes,
    )  # fmt: skip
    write_json(a.json, {**accuracies, "rates": result.rates, "seconds": result.seconds,
                        "provenance": dict(deployed.provenance)})  # fmt: skip


def _compare_with_run(a: argparse.Namespace, deployed: artifact.Artifact[networks.HardwareNetwork]) -> None:
    run = trained.load(Path(a.against), {"precision": "32-true"}, report_line)
    result = agreement(deployed, run)
    for number, (spikes, different) in enumerate(zip(result.spikes, result.different, strict=True), start=1):
        print(f"layer {number}: {spikes:,} spikes, {different:,} different")
    print(f"classes: {result.samples:,} samples, {result.classes:,} different")
    write_json(a.json, result.summary())
    if not result.is_exact:
        raise ArtifactError(f"{a.folder} and {a.against} differ, expected the run of the artifact; export it again")


def evaluate(a: argparse.Namespace) -> None:
    path = Path(a.folder)
    if a.against is not None and path.suffix != ".izhi":
        raise SettingError(f"--against compares an artifact with its run, but {path} is no .izhi file")
    if path.suffix == ".izhi":
        if a.energy:
            raise SettingError(f"energy is set, which is counted of a run, but {path} is an artifact; name its run")
        _evaluate_artifact(a)
        return
    for name in ("dataset", "samples"):
        if getattr(a, name) is not None:
            raise SettingError(f"{name} is given, which is for an artifact (.izhi), but {path} is a run; leave it out")
    changes = {n: v for n, v in settings(a).items() if n in marked(Mark.OF_EVALUATION)}
    run = trained.load(path, {**changes, "devices": 1, "nodes": 1}, report_line)
    e, dataset = run.experiment, run.dataset
    evaluation = evaluate_run(build.fabric(e), e, run.encoder, run.network.eval(), dataset.test, dataset.groups)
    layers = evaluation.activity.layers
    for warning in evaluation.activity.warnings():
        print(f"warning: {warning}", file=sys.stderr)
    accuracies = _print_accuracies(
        f"{dataset.name} test accuracy: {100 * evaluation.accuracy:.2f} % of {_labelled(evaluation, dataset)},"
        f" loss {evaluation.loss:.4f}", evaluation.accuracy, evaluation.groups,
        [f"{layer.rate:.4f} spikes per neuron and step, {layer.silent:.1%} silent" for layer in layers],
        evaluation.confusion.tolist(), dataset.classes,
    )  # fmt: skip
    counted = _energy(path, changes) if a.energy else {}
    of_steps = {"test_steps": evaluation.labelled} if evaluation.of_steps else {}
    write_json(a.json, {**accuracies, **of_steps, **counted, "test_loss": evaluation.loss,
                        "rates": [layer.rate for layer in layers], "config": e.flat(plain=True)})  # fmt: skip
    _save_confusion(run, evaluation, (path if path.is_dir() else path.parent) / "confusion.png")


def _labelled(evaluation: training.Evaluation, dataset: Dataset) -> str:
    """The number of test samples, or of their steps if each has a label."""
    count = f"{len(dataset.test):,}"
    return f"{evaluation.labelled:,} steps of {count}" if evaluation.of_steps else count


def _save_confusion(run: trained.Trained, evaluation: training.Evaluation, figure: Path) -> None:
    """Draw the confusion matrix, with a warning if the folder is not writable."""
    dataset, share = run.dataset, f"{100 * evaluation.accuracy:.2f} %"
    count = f"{_labelled(evaluation, dataset)} test samples"
    title = f"{dataset.name}, {run.experiment.neurons.neuron}: {share} of {count}"
    try:
        plots.save(plots.confusion(evaluation.confusion.numpy(), dataset.classes, title), figure)
    except FileError as error:
        print(f"warning: no figure, {error}", file=sys.stderr)
    else:
        print(f"confusion matrix: {figure}")


def _energy(path: Path, changes: Mapping[str, object]) -> dict[str, object]:
    """Print the operations and the energy of a sample in a run's network, and return them for scripts."""
    exact = {**changes, "precision": "32-true", "accelerator": "cpu", "devices": 1, "nodes": 1}
    counts = energy.count(trained.load(path, exact, report_line))
    title = f"operations of a sample, mean of {counts.samples:,} test samples"
    print_table(energy.layer_table(counts), title, left=1)
    print_table(energy.energy_table(counts), "energy of a sample: an estimate", left=1)
    print(
        f"footprint {counts.footprint:,} bytes, connection sparsity {counts.connection_sparsity:.3f},"
        f" activation sparsity {counts.activation_sparsity:.3f}\n{energy.CAVEAT} {energy.OVER_TIME}"
    )
    return {"energy": counts.summary()}


def dynamics(a: argparse.Namespace) -> None:
    folder = RunFolder(Path(a.folder))
    before, after = report.dynamics(folder)
    table = report.dynamics_table(before, after)
    print(markdown(table.headings, table.rows))
    print(f"figure: {folder.path / 'dynamics.png'}")
    layers = [
        {
            "before": {name: x.tolist() for name, x in old.coefficients.items()},
            "after": {name: x.tolist() for name, x in new.coefficients.items()},
            "classes_before": old.classes,
            "classes_after": new.classes,
        }
        for old, new in zip(before, after, strict=True)
    ]
    write_json(a.json, layers)


def show(a: argparse.Namespace) -> None:
    path = Path(a.folder)
    out = Path(a.out or (path if path.is_dir() else path.parent) / f"sample-{a.sample}.png")
    plots.check_ending(out)
    neurons = whole_numbers("neurons", a.neurons, "0,7") if a.neurons else None
    run = trained.load(path, {"precision": "32-true", "devices": 1, "nodes": 1}, report_line)
    trace = sample_trace.trace_sample(run, a.sample)
    plots.save(sample_trace.draw(trace, run, a.layer, neurons), out)
    print(f"sample {a.sample}: {trace.verdict}")
    for layer in trace.layers:
        print(f"{layer.name}: {layer.spikes.sum():,.0f} spikes, {layer.spikes.mean():.4f} per neuron and step")
    print(f"figure: {out}")
    write_json(a.json, {
        "sample": a.sample, "label": _names(trace, trace.label), "answer": _names(trace, trace.answer),
        "scores": trace.scores.tolist(), "spikes": [int(layer.spikes.sum()) for layer in trace.layers],
    })  # fmt: skip


def _names(trace: sample_trace.SampleTrace, numbers: NDArray[np.int64]) -> object:
    """The name of a class, or those of each step; None for a step without a label."""
    if numbers.ndim == 0:
        return trace.classes[int(numbers)]
    return [None if k == NO_LABEL else trace.classes[k] for k in numbers]


def trace(a: argparse.Namespace) -> None:
    made = artifact.load_integers(a.artifact)
    layers = made.network.layers
    if not 1 <= a.layer <= len(layers):
        raise SettingError(f"layer is {a.layer}, expected 1 to {len(layers)}")
    layer = layers[a.layer - 1]
    neurons = whole_numbers("neurons", a.neurons, "0,7")
    for neuron in neurons:
        if not 0 <= neuron < layer.outputs:
            raise SettingError(f"neuron is {neuron}, expected 0 to {layer.outputs - 1}")
    dataset = samples.dataset_of(made, report_line)
    seen = artifact_trace.trace_sample(made, dataset, a.sample).trace
    assert seen is not None
    names = ("accumulator", "current", "v", "u", "spikes")
    values = [getattr(seen, name)[a.layer - 1][:, 0] for name in names]
    steps = [(t, neuron, *(x[t, neuron] for x in values)) for neuron in neurons for t in range(made.steps)]
    lines = [",".join(map(str, row)) for row in (("step", "neuron", *names), *steps)]
    out = Path(a.out or f"trace-{a.sample}-{a.layer}.csv")
    files.write_bytes(out, ("\n".join(lines) + "\n").encode())
    print(f"integers: {out}")
    for neuron in neurons:
        picture = out.with_name(f"{out.stem}-{neuron}.png")
        title = f"sample {a.sample}, layer {a.layer}, neuron {neuron}, in integers"
        drawn = artifact_trace.neuron_trace(made.network, seen, a.layer - 1, neuron)
        plots.save(plots.trace(drawn, title), picture)
        print(f"figure: {picture}")
    write_json(a.json, {name: x[:, neurons].tolist() for name, x in zip(names, values, strict=True)})
