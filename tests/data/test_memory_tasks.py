"""Made tasks: the label of each sample follows from its inputs by the task's own rule, at any number of steps."""

import numpy as np
import pytest
import torch

from izhi import cli, data
from izhi.data.memory import FIFTHS, SHOWN, SYMBOLS, TEST, TRAIN
from izhi.errors import SettingError


def parts(name):
    """Inputs (samples, T, channels) and labels of the training and of the test samples, unscaled where it matters."""
    found = data.load(name)
    assert (len(found.train), len(found.test)) == (TRAIN, TEST)
    return found, [(x.batch(slice(None))[0].dense().numpy(), x.labels.numpy()) for x in (found.train, found.test)]


@pytest.mark.parametrize("name", data.MEMORY_TASKS)
def test_a_name_is_the_same_data_each_time_and_its_classes_are_equally_often(name):
    first, ((x, y), (x_test, _)) = parts(f"{name}:100")
    again = data.load(f"{name}:100")
    assert torch.equal(first.train.values, again.train.values)
    assert np.array_equal(y, again.train.labels)
    assert x.shape[1:] == x_test.shape[1:] == first.shape
    assert not np.array_equal(x[:TEST], x_test)
    counts = np.bincount(y[y >= 0])
    assert len(counts) == len(first.classes)
    assert counts.min() > 0.8 * counts.mean()
    assert data.is_over_time(name)
    assert not data.has_events(name)


def test_adding_is_of_the_two_marked_values():
    _, ((x, y), _) = parts("memory-adding")
    marks = [np.flatnonzero(one) for one in x[..., 1]]
    assert all(len(at) == 2 and at[0] < 50 and at[1] >= 150 for at in marks)
    assert len({tuple(at) for at in marks}) > 500
    sums = (x[..., 0] * x[..., 1]).sum(1)
    wanted = np.digitize(sums, FIFTHS)
    # Inputs are scaled by the range of the training samples, which is 0 to 1 within a thousandth.
    certain = np.abs(sums[:, None] - FIFTHS).min(1) > 5e-3
    assert np.array_equal(wanted[certain], y[certain])
    assert certain.mean() > 0.9
    assert x.shape[1] == 200


@pytest.mark.parametrize("steps", [100, 137])
def test_copy_asks_for_the_symbols_in_their_order_after_the_cue(steps):
    _, (_, (x, y)) = parts(f"memory-copy:{steps}")
    assert x.shape == (TEST, steps, SYMBOLS + 1)
    assert np.array_equal(x[:, :SHOWN, :SYMBOLS].argmax(-1), y[:, -SHOWN:])
    assert (x[:, :SHOWN].sum(-1) == 1).all()
    assert (y[:, :-SHOWN] == data.NO_LABEL).all()
    cue = np.zeros(steps)
    cue[-SHOWN - 1] = 1
    assert (x[..., SYMBOLS] == cue).all()
    assert not x[:, SHOWN:, :SYMBOLS].any()


def test_match_compares_the_first_channel_with_the_last():
    _, ((x, y), _) = parts("memory-match")
    first, last = x[:, :SHOWN], x[:, -SHOWN:]
    assert (first.sum(-1) == 1).all()
    assert (last.sum(-1) == 1).all()
    assert np.array_equal(first[:, 0].argmax(-1) == last[:, 0].argmax(-1), y == 1)
    assert x[:, SHOWN:-SHOWN].mean() == pytest.approx(0.05, abs=0.002)


def test_frequencies_are_spaced_in_logs_and_noise_has_twice_their_power():
    found, ((x, y), _) = parts("memory-frequency:400")
    spectra = np.abs(np.fft.rfft(x[..., 0] - x.mean(), axis=1)) ** 2
    strongest = [spectra[y == k].mean(0)[1:].argmax() + 1 for k in range(5)]
    assert strongest == [4, 8, 18, 38, 80]  # of 400 steps: 4, 4·20^¼ = 8.5, 17.9, 37.8, 80
    low, high = found.scale.low[0], found.scale.high[0]
    power = ((x[..., 0] * (high - low) + low) ** 2).mean()
    assert power == pytest.approx(1.5, rel=0.02)


@pytest.mark.parametrize("steps", [100, 200])
def test_the_second_train_of_a_coincidence_is_later_by_its_lag(steps):
    _, ((x, y), _) = parts(f"memory-coincidence:{steps}")
    lags = np.arange(-steps // 10 - 2, steps // 10 + 3)
    span = slice(steps // 10 + 2, steps - steps // 10 - 2)
    for label, lag in enumerate((-steps // 10, -steps // 20, 0, steps // 20, steps // 10)):
        a, b = x[y == label, :, 0], x[y == label, :, 1]
        together = [(np.roll(a, shift, 1) * b)[:, span].mean() for shift in lags]
        assert lags[np.argmax(together)] == lag
        assert a.mean() == pytest.approx(0.0975, abs=0.005)
        assert b.mean() == pytest.approx(0.0975, abs=0.005)


@pytest.mark.parametrize("steps", ["99", "2001", "", "1e3", "٣٠٠", "-200", "200:1"])
def test_other_numbers_of_steps_are_refused(steps):
    with pytest.raises(SettingError, match=r"steps, expected 100 to 2,000, such as memory-copy:200$"):
        data.require_known(f"memory-copy:{steps}")


def test_an_unknown_task_names_those_there_are():
    with pytest.raises(SettingError, match="did you mean 'memory-match'"):
        data.load("memory-mtch")


@pytest.mark.slow
def test_commands_take_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["data", "verify", "memory-match:300"]) == 0
    assert "embedded   2,000 training and 1,000 test samples (made: whether" in capsys.readouterr().out
    few = ["--train-samples", "20", "--hidden", "4", "--epochs", "1", "--quiet", "--out", "run"]
    assert cli.main(["train", "--dataset", "memory-match:300", *few]) == 0
    assert "steps = 300" in (tmp_path / "run" / "config.toml").read_text()
    assert cli.main(["show", "run"]) == 0
