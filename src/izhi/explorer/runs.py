"""The runs of a folder: what differs, curves, accuracy with its spread; a sample on its way through a network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from bokeh import models
from bokeh.document import Document
from bokeh.layouts import column
from bokeh.models import Button, ColumnDataSource, Select, Spinner, TextInput
from numpy.typing import NDArray

from izhi.data import NO_LABEL
from izhi.errors import IzhiError, SettingError
from izhi.experiments import charts, listing, report, sample_trace, saved, trained
from izhi.experiments.charts import Chart, Series
from izhi.experiments.listing import ListedRun
from izhi.experiments.plots import COLOURS
from izhi.experiments.sample_trace import LayerTrace, SampleTrace
from izhi.explorer import widgets
from izhi.explorer.folder import check_data, inside
from izhi.network import firing
from izhi.training import checkpoint

#: The most curves of one figure, and the most runs of one table.
_MOST_CURVES, _MOST_RUNS = 12, 2000
#: The label of a run's checkbox covers its row, so that a click anywhere in the row chooses the run.
_WHOLE_ROWS = """
.slick-row .slick-cell { top: 0; }
.slick-row .bk-cell-select { position: static; }
.slick-row input { position: relative; z-index: 3; }
.slick-row label::after { content: ""; position: absolute; inset: 0; z-index: 2; cursor: pointer; }
"""


class RunsPage:
    """The tab of runs."""

    def __init__(self, document: Document, folder: Path) -> None:
        self.folder = folder
        self.runs: list[ListedRun] = []
        self.filter = TextInput(
            name="filter", title="only runs of these settings, such as dataset=mnist,neuron=normalized",
            sizing_mode="stretch_width",
        )  # fmt: skip
        self.refresh = Button(name="refresh", label="read the folder again")
        self.found = ColumnDataSource({name: [] for name in listing.HEADINGS}, name="runs")
        widths = {"run": 260, "when": 120}
        columns = [models.TableColumn(field=name, title=name, width=widths.get(name, 80)) for name in listing.HEADINGS]
        self.list = models.DataTable(
            name="runs-table", source=self.found, columns=columns, height=240, sizing_mode="stretch_width",
            selectable="checkbox", index_position=None,
            reorderable=False, autosize_mode="none", stylesheets=[_WHOLE_ROWS],
        )  # fmt: skip
        self.about = widgets.text("runs-about")
        self.spread = widgets.text("runs-spread")
        self.curves = column(sizing_mode="stretch_width", name="curves")
        self.sample = SampleView(document, folder)
        self.filter.on_change("value", lambda attribute, old, new: self.read())
        self.refresh.on_click(self.read)
        self.found.selected.on_change("indices", lambda attribute, old, new: self.show())
        self.view = column(
            self.curves, widgets.beside(self.filter, self.refresh), self.list, self.about, self.spread,
            self.sample.view,
            widgets.text("", f"<p>Runs in <code>{escape(str(folder))}</code> and below; nothing outside it is opened,"
                       " but data sets by name.</p>"),
            sizing_mode="stretch_width",
        )  # fmt: skip
        self.read()

    def read(self) -> None:
        """Read the folder."""
        try:
            wanted = listing.wanted(self.filter.value) if self.filter.value.strip() else {}
            runs = [run for run in listing.find(self.folder) if listing.has(run, wanted)]
        except IzhiError as error:
            self.about.text = widgets.mistake(error)
            return
        self.runs = listing.ordered(runs, "time")[:_MOST_RUNS]
        rows = [listing.cells(run) for run in self.runs]
        self.found.selected.indices = []
        self.found.data = {name: [row[k] for row in rows] for k, name in enumerate(listing.HEADINGS)}
        self.sample.offer([run for run in self.runs if run.metrics and not run.damage])
        self.show()

    def show(self) -> None:
        """What differs between the chosen runs, or all, their spread and their curves."""
        chosen = [self.runs[k] for k in self.found.selected.indices if 0 <= k < len(self.runs)]
        shown = [run for run in chosen or self.runs if not run.damage]
        damaged = [run for run in chosen or self.runs if run.damage]
        self.about.text = _about(shown, damaged, every=not chosen)
        self.spread.text = _spread(shown)
        curves = _curves([run for run in shown if run.metrics], every=not chosen)
        if chosen and (height := self.curves.children[0].height):  # else the list would move under the pointer
            curves.height = max(curves.height or 0, height)
        self.curves.children = [curves]


def _about(runs: Sequence[ListedRun], damaged: Sequence[ListedRun], *, every: bool) -> str:
    words = [f"<p class=bad>{escape(run.name)}: {escape(run.damage)}</p>" for run in damaged]
    names = [name for name in listing.differing(runs) if name != "seed"] if len(runs) > 1 else []
    count = f"{len(runs):,} run{'s' if len(runs) != 1 else ''}"
    words.append(
        f"<p>{'All' if every else 'Chosen'}: {count}.{'' if names else ' No setting differs but the seed.'}</p>"
    )
    if names and not every:
        table = listing.differences_table(runs, names)
        words.append("<h3>what differs</h3>" + widgets.table(table.headings, table.rows, words=1 + len(names)))
    elif names:
        words.append(f"<p>Settings that differ: {escape(', '.join(names))}.</p>")
    return "".join(words)


def _spread(runs: Sequence[ListedRun]) -> str:
    """Test accuracy of runs that differ in their seeds alone: mean and standard deviation."""
    names = [name for name in listing.differing(runs) if name != "seed"]
    groups: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for run in runs:
        if "test_accuracy" in run.metrics and run.is_finished:
            groups[tuple(listing.value(run, name) for name in names)].append(100 * run.metrics["test_accuracy"])
    rows = [
        (*key, len(accuracies), f"{mean(accuracies):.2f}", f"{stdev(accuracies):.2f}" if len(accuracies) > 1 else "–")
        for key, accuracies in sorted(groups.items(), key=lambda item: -mean(item[1]))
    ]
    if not rows:
        return ""
    headings = (*names, "seeds", "mean test accuracy (%)", "standard deviation")
    return "<h3>finished runs, over their seeds</h3>" + widgets.table(headings, rows, words=len(names))


def _curves(runs: Sequence[ListedRun], *, every: bool) -> Any:
    """Accuracy over epochs of the chosen runs, or of every one."""
    series = list[Series]()
    for run in runs:
        if len(series) == _MOST_CURVES:
            break
        with suppress(IzhiError):  # the list names the damage
            history = saved.history(run.path)
            if all("test_accuracy" in row for row in history):
                accuracies = [100 * row["test_accuracy"] for row in history]
                series.append(Series(run.name, [row["epoch"] for row in history], accuracies, style="bare"))
    if not series:
        none = "None of these runs has accuracies of every epoch."
        first = "There is no finished run. <code>izhi train</code> makes one; then read the folder again."
        return widgets.text("", f"<p>{none if runs else first}</p>")
    title = "all runs; choose some below to compare them" if every else "the chosen runs"
    if len(runs) > len(series) == _MOST_CURVES:
        title = f"the first {_MOST_CURVES} of {len(runs):,} runs; choose those to compare below"
    drawn = charts.drawn(Chart("accuracy", "epoch", "test accuracy (%)", series), title)
    return widgets.brightened(drawn)


class SampleView:
    """A test sample on its way through the network of one run, and what its neurons have learned."""

    def __init__(self, document: Document, folder: Path) -> None:
        self.folder = folder
        self._runs: dict[str, ListedRun] = {}
        self._loaded: tuple[str, trained.Trained, str] | None = None
        self.run = Select(name="run", title="run", options=[], sizing_mode="stretch_width")
        self.number = Spinner(name="sample", title="test sample", low=0, value=0, step=1, width=110)
        self.layer = Spinner(name="layer", title="layer whose v is drawn", low=1, value=1, step=1, width=150)
        self.neurons = TextInput(name="neurons", title="neurons, such as 0,7 [busiest 4]", width=260)
        self.button = Button(name="show-sample", label="run the sample", button_type="primary")
        self.status = widgets.text("sample-status")
        self.answer = widgets.text("sample-answer")
        self.figures = column(sizing_mode="stretch_width", name="sample-figures")
        self.learned = widgets.text("learned")
        self.button.on_click(self._start)
        self.task = widgets.BackgroundTask(document, [self.button], lambda html: self.status.update(text=html))
        self.view = column(
            widgets.text("", "<h3>a sample on its way</h3>"),
            widgets.beside(self.run, self.number, self.layer, self.neurons, self.button, least=110), self.status,
            self.answer, self.figures, self.learned, sizing_mode="stretch_width",
        )  # fmt: skip

    def offer(self, runs: Sequence[ListedRun]) -> None:
        """Runs to choose from."""
        self._runs = {run.name: run for run in runs}
        self.run.options = list(self._runs)
        if self.run.value not in self._runs:
            self.run.value = next(iter(self._runs), "")

    def _start(self) -> None:
        run = self._runs.get(str(self.run.value))
        if run is None:
            self.status.text = widgets.mistake(SettingError("no run is chosen that has a checkpoint"))
            return
        number, layer, text = int(self.number.value or 0), int(self.layer.value or 1), str(self.neurons.value)
        self.task.start(
            f"running test sample {number} through {run.name}",
            lambda: self._trace(run, number),
            lambda result: self._show(*result, layer, text),
        )

    def _trace(self, run: ListedRun, number: int) -> tuple[SampleTrace, str]:
        """The sample, and what was learned as HTML; in another thread."""
        check_data(str(run.settings["dataset"]))
        if self._loaded is None or self._loaded[0] != run.name:
            path = inside(self.folder, run.path / checkpoint.NAME)
            changes = {"precision": "32-true", "devices": 1, "nodes": 1}
            self._loaded = run.name, trained.load(path, changes), _learned(path)
        _, network, learned = self._loaded
        return sample_trace.trace_sample(network, number), learned

    def _show(self, trace: SampleTrace, learned: str, layer: int, neurons: str) -> None:
        rows = [
            (one.name, one.spikes.shape[1], f"{one.spikes.sum():,.0f}", f"{one.spikes.mean():.4f}")
            for one in trace.layers
        ]
        self.answer.text = f"<p>{_answer(trace)}</p>" + widgets.table(
            ("layer", "neurons", "spikes", "per neuron and step"), rows
        )
        try:
            one = sample_trace.layer_of(trace, layer)
            chosen = _neurons(one, neurons)
        except IzhiError as error:
            self.status.text = widgets.mistake(error)
            return
        figures = [_raster("input", trace.inputs, "input")]
        figures += [_raster(x.name, x.spikes, "neuron") for x in trace.layers]
        self.figures.children = [widgets.beside(*figures), widgets.beside(_membranes(one, chosen), _scores(trace))]
        self.learned.text = learned


def _neurons(layer: LayerTrace, text: str) -> list[int]:
    """Those that are named, or the four that fire most."""
    if not text.strip():
        return sample_trace.busiest(layer)
    try:
        chosen = [int(x) for x in text.split(",")]
    except ValueError:
        raise SettingError(f"neurons is {text!r}, expected numbers such as 0,7") from None
    sample_trace.check_neurons(layer, chosen)
    return chosen[: len(COLOURS)]


def _raster(title: str, spikes: NDArray[np.float64], of: str) -> Any:
    """Spikes or currents (T, N), blue where they are largest."""
    steps, count = spikes.shape
    drawn = widgets.chart("time step", of, height=210, title=f"{title}: {count:,}")
    shown = sample_trace.condensed(spikes).T
    palette = [f"{widgets.BLUE}{k:02x}" for k in range(256)]
    mapper = models.LinearColorMapper(palette=palette, low=0, high=float(shown.max()) or 1.0)
    drawn.image(image=[shown], x=0.5, y=-0.5, dw=steps, dh=count, color_mapper=mapper)
    drawn.x_range.range_padding = drawn.y_range.range_padding = 0
    return drawn


def _membranes(layer: LayerTrace, neurons: Sequence[int]) -> Any:
    drawn = widgets.chart("time step", "v (mV)" if layer.unit == "mV" else "v", height=260, title=f"{layer.name}: v")
    time = np.arange(1, len(layer.v) + 1)
    for number, neuron in enumerate(neurons):
        colour, label = COLOURS[number], f"neuron {neuron}"
        fired, threshold = layer.spikes[:, neuron] > 0, layer.threshold[neuron]
        v = np.where(fired, threshold, np.minimum(layer.v[:, neuron], threshold))
        line = drawn.line(time, v, color=colour, legend_label=label)
        widgets.point_out(drawn, line, (label, "@y{0.000}"), ("step", "@x"))
        drawn.scatter(time[fired], v[fired], marker="triangle", size=7, color=colour, legend_label=label)
    thresholds = {round(float(layer.threshold[n]), 4) for n in neurons}
    if len(thresholds) == 1:
        drawn.add_layout(
            models.Span(location=thresholds.pop(), dimension="width", line_color=widgets.GREY, line_dash="dashed")
        )
    widgets.legend_outside(drawn, "right")
    return drawn


def _answer(trace: SampleTrace) -> str:
    """The answer as HTML, and whether it is right."""
    if trace.has_step_labels:
        return escape(trace.verdict)
    label, answer = int(trace.label), int(trace.answer)
    right = "right" if answer == label else f"it is {trace.classes[label]}"
    return f"answer: <b>{escape(trace.classes[answer])}</b> ({escape(right)})"


def _steps(trace: SampleTrace) -> Any:
    """The answer and the label of each step."""
    drawn = widgets.chart("time step", "class", height=260, title=trace.verdict)
    time = np.arange(1, len(trace.label) + 1)
    label = np.where(trace.label == NO_LABEL, np.nan, trace.label)
    drawn.step(time, label, mode="center", color=widgets.GREEN, line_width=4, legend_label="label")
    drawn.step(time, trace.answer, mode="center", color=widgets.BLUE, legend_label="answer")
    drawn.yaxis.ticker = list(range(len(trace.classes)))
    drawn.yaxis.major_label_overrides = dict(enumerate(trace.classes))
    widgets.legend_outside(drawn, "right")
    return drawn


def _scores(trace: SampleTrace) -> Any:
    if trace.has_step_labels:
        return _steps(trace)
    classes = [str(x) for x in trace.classes]
    drawn = widgets.chart("class", "score", height=260, title="scores; the right class is green", x_range=classes)
    label = int(trace.label)
    colours = [widgets.GREEN if k == label else widgets.BLUE for k in range(len(trace.scores))]
    drawn.vbar(x=classes, top=trace.scores, width=0.8, color=colours)
    drawn.xaxis.major_label_orientation = 0 if len(classes) < 15 else 1.2
    return drawn


def _learned(path: Path) -> str:
    """Coefficients and firing classes before and after training, as HTML; empty if nothing was learned."""
    e, before, after = report.trained(path)
    if not e.neurons.learn:
        return ""
    table = report.dynamics_table(firing.of_network(before), firing.of_network(after))
    return "<h3>what the neurons learned</h3>" + widgets.table(table.headings, table.rows, words=4)
