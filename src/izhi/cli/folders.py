"""Commands on folders of runs. They load no torch, so that a list takes no seconds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from izhi import files
from izhi.cli.common import command_line, make_folder, print_table, write_json
from izhi.errors import RunFolderError, SettingError, in_one_line, of_extra, shown
from izhi.experiments import listing, saved
from izhi.experiments.listing import ListedRun
from izhi.experiments.tables import Table
from izhi.trust import is_reference


def runs(a: argparse.Namespace) -> None:
    wanted = listing.wanted(a.filter) if a.filter is not None else {}
    if a.remove and not (a.yes or (sys.stdin is not None and sys.stdin.isatty())):
        raise SettingError("remove is set, but there is no terminal on which to ask first; add --yes")
    folder = Path(a.folder)
    listed = listing.find(folder)
    chosen = [run for run in listed if listing.has(run, wanted)]
    if a.finished or a.unfinished:
        chosen = [run for run in chosen if not run.damage and run.is_finished == a.finished]
    chosen = listing.ordered(chosen, a.sort)
    _print(chosen, differs=a.differs, none=f"{in_one_line(a.folder)}: none of {len(listed):,} runs is listed")
    result = [run.summary() for run in chosen]
    if a.remove and chosen:
        for row, kept in zip(result, _remove(chosen, asks=not a.yes), strict=True):
            row["kept"] = kept
    write_json(a.json, result)


def _print(chosen: Sequence[ListedRun], *, differs: bool, none: str) -> None:
    if not chosen:
        print(none)
        return
    title = f"{len(chosen):,} run{'s' if len(chosen) > 1 else ''}"
    if differs:
        table = listing.differences_table(chosen, listing.differing(chosen))
        print_table(table, title, left=len(table.headings) - 1, boxed=False)
    else:
        table = Table(listing.HEADINGS, list(map(listing.cells, chosen)))
        print_table(table, title, left=listing.WORDS, boxed=False)
    for run in chosen:
        if run.damage:
            print(f"damaged: {in_one_line(run.name)}: {run.damage}")


def _remove(chosen: Sequence[ListedRun], *, asks: bool) -> list[list[str] | None]:
    """Remove runs, or none while one is in use; the kept files of each, and None for a run that is not removed."""
    ours = [run for run in chosen if run.is_ours]
    for run in ours:
        listing.check_unused(run)
    if asks:
        print(f"remove {len(ours):,} of them? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print("nothing was removed")
            return [None] * len(chosen)
    # Runs within the folder of another run come first, since that folder may then be empty.
    kept = {run.path: _remove_one(run) for run in sorted(chosen, key=lambda run: -len(run.path.parts))}
    return [kept[run.path] for run in chosen]


def _remove_one(run: ListedRun) -> list[str] | None:
    name = in_one_line(run.name)
    if not run.is_ours:
        print(f"kept: {name}, which nothing says is a run; remove it by hand")
        return None
    kept = listing.remove(run)
    print(f"removed: {name}" + (f", but for {listing.named(kept)}" if kept else ""))
    return kept


def report(a: argparse.Namespace) -> None:
    from izhi.experiments import page  # here, since it loads matplotlib

    folder = Path(a.folder)
    out = folder / "report.html" if a.out is None else Path(a.out)
    if out.suffix != ".html":
        raise SettingError(f"out is {shown(str(out))}, expected a file that ends in .html")
    text = page.of(folder)
    files.write_bytes(out, text.encode())
    print(f"report: {out}, {len(text.encode()) / 1e6:.1f} MB")
    write_json(a.json, {"report": str(out)})


def rank(a: argparse.Namespace) -> None:
    from izhi.experiments import ranking  # here, since it loads matplotlib and scipy

    ranked = ranking.of([Path(name) for name in a.folders])
    folder = make_folder(a, "rank")
    if saved.is_of_runs(folder):
        raise RunFolderError(f"{folder} holds runs, whose report would be replaced; choose another --out")
    ranking.write(ranked, folder, command_line())
    print_table(ranking.table(ranked.ranking), f"ranks over {len(ranked.ranking.tasks)} data sets", left=1)
    print_table(ranking.pairs_table(ranked.ranking.pairs), "pairs", left=1)
    print(*ranking.sentences(ranked), sep="\n")
    print(f"figure: {folder / ranking.FIGURE}\nreport: {folder / ranking.REPORT}")
    write_json(a.json, ranked.summary())


def redraw(a: argparse.Namespace) -> None:
    from izhi.experiments import page  # here, since it loads matplotlib

    out = Path(a.out)
    labels = None if a.labels is None else [label.strip() for label in a.labels.split(";")]
    page.redraw(Path(a.folder), out, figure=a.figure, title=a.title, labels=labels)
    print(f"figure: {out}")
    write_json(a.json, {"figure": str(out)})


def explore(a: argparse.Namespace) -> None:
    with of_extra("bokeh", "explore"):
        from izhi.equation import model_of  # here, like the server, which loads torch
        from izhi.explorer.server import explore as serve
    if not 0 <= a.port < 1 << 16:
        raise SettingError(f"port is {a.port}, expected 0 to 65,535")
    if a.neuron is not None and not is_reference(a.neuron):
        raise SettingError(f"neuron is {shown(a.neuron)}, expected module:name of your own; presets are on the page")
    own = None if a.neuron is None else model_of(a.neuron)
    serve(Path(a.folder), a.port, own=own, opens=not a.no_browser, report=lambda line: print(line, flush=True))
