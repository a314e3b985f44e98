"""Progress on the terminal, by events of one run after another and of several at once."""

from izhi.cli import progress
from izhi.cli.progress import TerminalListener, report_epochs
from izhi.training import ProgressEvent


def events(label, epochs=2):
    """The events of a run of two steps an epoch."""
    yield ProgressEvent("start", epochs, steps=2, label=label)
    for epoch in range(1, epochs + 1):
        yield ProgressEvent("step", epochs, epoch - 1, steps=2, losses=[1.0, 1.0], label=label)
        row = {"train_loss": 0.5, "test_accuracy": 0.25, "seconds": 1.0}
        yield ProgressEvent("epoch", epochs, epoch, metrics=row, warnings=["silent"], label=label)
    yield ProgressEvent("end", epochs, epochs, label=label)


def test_runs_one_after_another_share_a_bar_and_their_lines_are_numbered(capsys):
    with TerminalListener(2, about="100 samples") as listener:
        for label in ("one", "other"):
            for event in events(label):
                listener(event)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "100 samples",
        "[1/2] one: epoch 1/2, loss 0.5000, test 25.00 %, 1.0 s",
        "[1/2] one: epoch 2/2, loss 0.5000, test 25.00 %, 1.0 s",
        "  warning: silent",
        "[2/2] other: epoch 1/2, loss 0.5000, test 25.00 %, 1.0 s",
        "[2/2] other: epoch 2/2, loss 0.5000, test 25.00 %, 1.0 s",
        "  warning: silent",
    ]
    (task,) = listener.progress.tasks
    assert (task.completed, task.total) == (4, 4)


def test_runs_at_once_have_bars_of_their_own_that_end_with_them(capsys):
    listener = TerminalListener(2, parallel=True)
    one, other = events("one"), events("other")
    for pair in zip(one, other, strict=True):
        for event in pair:
            listener(event)
        if event.kind == "step":
            assert len(listener.progress.tasks) == 3
    (task,) = listener.progress.tasks
    assert (task.description, task.completed, task.total) == ("all runs", 4, 4)


def test_a_run_that_stops_early_counts_as_whole():
    listener = TerminalListener(1, quiet=True)
    for event in events("one", epochs=10):
        if event.kind in ("start", "end"):
            listener(event)
    assert listener.progress.tasks[0].completed == 10


def test_lines_of_epochs_estimate_the_time_left(capsys):
    listener = report_epochs(lambda event, left: "" if event.epoch == 1 else f"{event.epoch}, {left:.0f} s left")
    for event in events("one"):
        listener(event)
    assert capsys.readouterr().err == "2, 0 s left\n"


def test_samples_are_counted_with_the_time_left(monkeypatch):
    clock, said = [0.0], []
    monkeypatch.setattr(progress.time, "perf_counter", lambda: clock[0])
    report = progress.report_samples(20, said.append)
    for done in range(1, 21):
        clock[0] += 1.5
        report(done)
    assert said[:2] == ["2 of 20 samples, 27 s left", "4 of 20 samples, 24 s left"]
    assert said[-1] == "20 of 20 samples"
    assert len(said) == 10


def test_samples_of_an_unknown_number(monkeypatch):
    clock, said = [0.0], []
    monkeypatch.setattr(progress.time, "perf_counter", lambda: clock[0])
    report = progress.report_samples(None, said.append)
    clock[0] = 3.0
    report(1000)
    assert said == ["1,000 samples"]
