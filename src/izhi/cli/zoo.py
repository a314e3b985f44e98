"""The commands of trained networks that come with Izhi: list, run, evaluate; and the first look at one."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from izhi import data, zoo
from izhi.cli.common import make_folder, print_table, report_line, write_json
from izhi.cli.deployed import at_least
from izhi.cli.progress import report_samples
from izhi.errors import SettingError, SimulatorError, unknown
from izhi.experiments import build, plots, samples
from izhi.experiments.run import evaluate as evaluate_run
from izhi.experiments.tables import Table, percent
from izhi.hardware import devices
from izhi.hardware.devices.evaluation import evaluate
from izhi.hardware.fixed import Outcome
from izhi.hardware.networks import Inputs
from izhi.zoo.picture import draw_sample, draw_samples, trace_of

#: The network of izhi demo, how many samples of it the figure shows, and how many the core runs.
_DEMO, _SHOWN, _ON_CORE = "mnist-normalized", 10, 2
_ACTIONS = ("list", "run", "evaluate")


def networks(a: argparse.Namespace) -> None:
    action, name = a.action, a.name
    if action not in _ACTIONS:
        raise unknown("action", action, _ACTIONS)
    if action == "list":
        _list(a)
        return
    if name is None:
        raise SettingError(f"no network is named, expected one of: {', '.join(zoo.names())}; izhi zoo lists them")
    (_run if action == "run" else _evaluate)(a, zoo.load(name))


def _list(a: argparse.Namespace) -> None:
    cards = zoo.cards() if a.name is None else [zoo.card(a.name)]
    print_table(_table(cards), "networks of the zoo", left=2, boxed=False)
    if a.name is not None:
        [card] = cards
        for name, (own, twin) in card.nanojoules.items():
            print(f"estimate, {name}: {own:,.1f} nJ a sample, a dense network of its shape {twin:,.1f}")
        print(f"data: {card.licence}\nlimits: {card.limits}\ntrained by: {card.command}\nfiles: {card.folder}")
    write_json(a.json, [{**card.model_dump(mode="json"), "folder": str(card.folder)} for card in cards])


def _table(cards: list[zoo.Card]) -> Table:
    headings = ("network", "about", "float (%)", "integers (%)", "weights (bits)", "neurons", "spikes/sample",
                "cycles/sample")  # fmt: skip
    rows = [
        (x.name, x.about, percent(x.accuracies), f"{100 * x.integer_accuracy:.2f}", str(x.weight_bits),
         f"{sum(x.layers):,}", f"{x.spikes:,.0f}", "" if x.cycles is None else f"{x.cycles:,}")
        for x in cards
    ]  # fmt: skip
    return Table(headings, rows)


def _run(a: argparse.Namespace, network: zoo.Pretrained) -> None:
    inputs, labels = network.samples()
    number = a.sample or 0
    if not 0 <= number < len(labels):
        raise SettingError(f"sample is {number}, expected 0 to {len(labels) - 1}, the samples that come with it")
    out = Path(a.out or f"{network.card.name}-{number}.png")
    plots.check_ending(out)
    chosen = slice(number, number + 1)
    with devices.open(a.device, network.artifact) as device:
        outcome = device.run(inputs[:, chosen], sends_spikes=True)
        cycles = device.counters.cycles
    name = network.card.name
    trace = trace_of(0, inputs[:, chosen], outcome, labels[chosen], network.classes)
    plots.save(draw_sample(name, network.saved.shape, trace, [x[:, 0] for x in outcome.spikes]), out)
    fired = [int(spikes.sum()) for spikes in outcome.spikes]
    print(trace.verdict)
    arrived = int(np.count_nonzero(inputs[:, number]))
    print(f"{arrived:,} input events; spikes of each layer: {', '.join(f'{n:,}' for n in fired)}")
    if cycles is not None:
        print(f"{cycles:,} clock cycles")
    print(f"figure: {out}")
    write_json(a.json, {
        "network": name, "sample": number, "scores": outcome.scores[0].tolist(), "spikes": fired, "cycles": cycles,
        "answers": outcome.classes[0].tolist(), "labels": labels[number].tolist(), "device": a.device,
    })  # fmt: skip


def _evaluate(a: argparse.Namespace, network: zoo.Pretrained) -> None:
    card, made = network.card, network.artifact
    if a.samples is not None:
        at_least("samples", a.samples, 1)
    dataset = data.load(a.dataset, report_line) if a.dataset else samples.dataset_of(made, report_line)
    count = min(len(dataset.test), a.samples or len(dataset.test))
    with devices.open(a.device, made) as device:
        batches = samples.batches(made, dataset, count)
        in_integers = evaluate(device, batches, progress=report_samples(count, report_line))
    print(f"{card.name} in integers: {100 * in_integers.accuracy:.2f} % of {in_integers.labelled} test samples"
          f" (card: {100 * card.integer_accuracy:.2f} % of all)")  # fmt: skip
    found: dict[str, object] = {"network": card.name, "integers": in_integers.summary()}
    if a.samples is None:
        e = network.saved.experiment.replace(precision="32-true", accelerator="cpu", devices=1, nodes=1)
        in_floats = evaluate_run(build.fabric(e), e, network.encoder, network.network.eval(), dataset.test)
        found["float_accuracy"] = in_floats.accuracy
        print(f"{card.name} in floats: {100 * in_floats.accuracy:.2f} % (card: {100 * card.accuracies[0]:.2f} %)")
    write_json(a.json, found)


def demo(a: argparse.Namespace) -> None:
    began, network, folder = time.perf_counter(), zoo.load(_DEMO), make_folder(a, "demo")
    inputs, labels = network.samples()
    inputs, labels = inputs[:, :_SHOWN], labels[:_SHOWN]
    outcome = network.artifact.run(inputs)
    right, fired = int((outcome.classes == labels).sum()), sum(int(spikes.sum()) for spikes in outcome.spikes)
    sizes = "-".join(map(str, (network.artifact.network.inputs, *network.card.layers, len(network.classes))))
    picture = folder / "digits.png"
    plots.save(draw_samples(_DEMO, network.saved.shape, inputs, outcome, labels, network.classes), picture)
    print(
        f"{right} of {len(labels)} digits right, by {sizes} neurons with weights of {network.card.weight_bits} bits:"
        f" integers alone, {fired / len(labels):,.0f} spikes a digit\nfigure: {picture}"
        f" ({time.perf_counter() - began:.1f} s)"
    )
    found: dict[str, object] = {"right": right, "digits": len(labels), "figure": str(picture)}
    if not a.no_core:
        found["core"] = _on_core(network, inputs[:, :_ON_CORE], outcome)
    following = {
        "zoo": "every network that comes with Izhi",
        "zoo run ecg": "another one, on a sample of its own",
        f"zoo evaluate {_DEMO}": "its accuracy on 10,000 test images, which are downloaded",
        "train --dataset iris": "a network of your own; --dataset own.csv or own.npz",
        "explore": "neurons in a browser",
    }
    width = max(map(len, following))
    print("\nnext\n" + "\n".join(f"  izhi {words:{width}}  {about}" for words, about in following.items()))
    write_json(a.json, found)


def _on_core(network: zoo.Pretrained, inputs: Inputs, expected: Outcome) -> dict[str, object] | None:
    """Run samples on the simulated core and compare every spike; None where no core can be made."""
    report_line("the same digits on the simulated core, which is compiled first …")
    try:
        with devices.open("simulator", network.artifact) as core:
            began = time.perf_counter()
            outcome, cycles = core.run(inputs, sends_spikes=True), core.counters.cycles or 0
            seconds = time.perf_counter() - began
    except (SettingError, SimulatorError) as error:
        report_line(f"no core: {error}")
        return None
    count = inputs.shape[-2]
    different = sum(int((a != b[:, :count]).sum()) for a, b in zip(outcome.spikes, expected.spikes, strict=True))
    print(
        f"core: {cycles // count:,} clock cycles a digit, {different} spikes different from the integer model"
        f" ({count} digits, {seconds:.1f} s)"
    )
    return {"cycles": cycles // count, "different": different}
