"""The twenty firing patterns of Izhikevich 2004, each by the feature that names it."""

import numpy as np
import pytest

from izhi.neurons import simulation
from izhi.spec import PATTERNS


def spikes(name):
    return simulation.run_pattern(name).spike_times


def bursts(times, gap=10.0):
    """Spike times cut where the interval is longer than gap."""
    return [list(b) for b in np.split(times, np.flatnonzero(np.diff(times) > gap) + 1)] if len(times) else []


def test_tonic_spiking_goes_on_as_long_as_the_current():
    t = spikes("tonic spiking")
    late = np.diff(t[t > 30])
    assert t[0] > 10
    assert len(late) >= 2
    assert np.ptp(late) < 1
    assert 100 - t[-1] < late[-1]


def test_phasic_spiking_fires_once_at_the_onset():
    t = spikes("phasic spiking")
    assert len(t) == 1
    assert 20 < t[0] < 60


def test_tonic_bursting_bursts_again_and_again():
    b = bursts(spikes("tonic bursting"), gap=15)
    assert len(b) >= 3
    assert all(len(burst) >= 3 for burst in b)
    assert 220 - b[-1][-1] < 50


def test_phasic_bursting_bursts_once():
    b = bursts(spikes("phasic bursting"), gap=20)
    assert len(b) == 1
    assert len(b[0]) >= 3
    assert b[0][-1] < 100


def test_mixed_mode_bursts_then_spikes():
    b = bursts(spikes("mixed mode"), gap=15)
    assert len(b[0]) >= 2
    assert len(b) >= 3
    assert all(len(single) == 1 for single in b[1:])


def test_frequency_adaptation_slows_down():
    intervals = np.diff(spikes("frequency adaptation"))
    assert len(intervals) >= 4
    assert np.all(np.diff(intervals) > 0)
    assert intervals[-1] > 5 * intervals[0]


def test_class_1_fires_slowly_at_first_and_faster_with_current():
    intervals = np.diff(spikes("class 1 excitable"))
    assert np.all(np.diff(intervals) <= 0.25)
    assert intervals[0] > 2.5 * intervals[-1]


def test_class_2_begins_at_a_high_frequency():
    intervals = np.diff(spikes("class 2 excitable"))
    assert intervals[0] < 30
    assert intervals[0] < 2.2 * intervals[-1]


def test_spike_latency_comes_long_after_the_pulse():
    t = spikes("spike latency")
    assert len(t) == 1
    assert t[0] - 13 > 10


def test_subthreshold_oscillations_follow_the_spike():
    trace = simulation.run_pattern("subthreshold oscillations")
    t = trace.spike_times
    assert len(t) == 1
    after = trace.v[trace.time > t[0] + 5]
    extrema = np.flatnonzero(np.diff(np.sign(np.diff(after))))
    assert len(extrema) >= 3
    heights = np.abs(np.diff(after[extrema]))
    assert np.all(np.diff(heights) < 0)


def test_resonator_answers_one_frequency_only():
    t = spikes("resonator")
    assert len(t) >= 1
    assert np.all(t > 320), "the pair 20 ms apart must not fire it, the pair 40 ms apart must"


def test_integrator_answers_pulses_close_together_only():
    t = spikes("integrator")
    assert len(t) == 1
    assert 14 < t[0] < 30


def test_rebound_spike_follows_inhibition():
    t = spikes("rebound spike")
    assert len(t) == 1
    assert t[0] > 25


def test_rebound_burst_follows_inhibition():
    b = bursts(spikes("rebound burst"))
    assert len(b) == 1
    assert len(b[0]) >= 3
    assert b[0][0] > 25


def test_threshold_varies_after_inhibition():
    t = spikes("threshold variability")
    assert len(t) == 1
    assert t[0] > 80, "the pulse alone must not fire it, the pulse after inhibition must"


def test_bistability_is_switched_on_and_off_by_the_same_pulse():
    t = spikes("bistability")
    assert len(t) >= 3
    assert t[0] > 37.5
    assert np.all(t < 225)
    assert np.max(np.diff(t)) < 60


def test_depolarizing_after_potential():
    trace = simulation.run_pattern("depolarizing after-potential")
    t = trace.spike_times
    assert len(t) == 1
    rest = trace.v[trace.time < 8][-1]
    soon = trace.v[(trace.time > t[0] + 1) & (trace.time < t[0] + 6)]
    assert np.all(soon > rest + 2)
    assert abs(trace.v[-1] - rest) < 0.5


def test_accommodation_answers_the_steep_ramp_only():
    trace = simulation.run_pattern("accommodation")
    t = trace.spike_times
    assert len(t) == 1
    assert 300 < t[0] < 315
    assert trace.current[trace.time < 200].max() > trace.current[trace.time >= 300].max()


def test_inhibition_induced_spiking():
    t = spikes("inhibition-induced spiking")
    assert len(t) >= 2
    assert np.all((t > 50) & (t <= 255))
    assert np.min(np.diff(t)) > 20


def test_inhibition_induced_bursting():
    b = bursts(spikes("inhibition-induced bursting"), gap=30)
    assert len(b) >= 2
    assert all(len(burst) >= 3 for burst in b)
    assert b[0][0] > 50


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tonic spiking", "mixed mode", "class 1 excitable"])
def test_halving_dt_converges_at_first_order(name):
    """Euler: the error of spike times against a fine solution halves with dt."""
    p = PATTERNS[name].parameters

    def fifth(dt):
        trace = simulation.run(p.replace(dt=dt), np.full(round(100 / dt), 14.0))
        return trace.spike_times[4]

    exact = fifth(1 / 320)
    steps = 1 / np.array([5.0, 10.0, 20.0, 40.0])
    errors = np.array([abs(fifth(dt) - exact) for dt in steps])
    order = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert np.all(np.diff(errors) < 0)
    assert 0.8 < order < 1.3


def test_every_pattern_has_its_test():
    assert len(PATTERNS) == 20
