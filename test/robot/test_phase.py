# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The begin of control periods under made-up sensors, in shares of a period of 0.1 s."""

import itertools
import math
import random

import numpy as np
import pytest

from mbmrl_ros.robot.phase import AIM, EARLIEST, LATEST, NEAR, REMEMBERED, SLEW, SensorPhaseLock
from mbmrl_ros.robot.phase import interval_s as interval_of
from mbmrl_ros.robot.phase import lateness_s as lateness_of

PERIOD_S = 0.1
NOBODY = math.inf


class Unmoved(SensorPhaseLock):
    def shift_s(self, next_s):
        return 0.0


class Run:
    """Ticks as ControlLoop makes them, called as PeriodTimer calls.

    late, waited: in periods, of every tick; taken: readings by topic. steps: how much longer than
    a period it was until the next one.
    """

    def __init__(self, sensors, ticks, phase=None, begin=20.0):
        phase = phase or SensorPhaseLock(PERIOD_S)
        times = [np.asarray(sensor) * PERIOD_S for sensor in sensors]
        begins, late, waited, self.taken = [], [], [], []
        at_s, step_s = begin * PERIOD_S, PERIOD_S
        seen = [np.searchsorted(series, at_s - PERIOD_S) for series in times]
        for _ in range(ticks):
            next_s = at_s + step_s
            following_s = PERIOD_S + phase.shift_s(next_s)
            complete_s = max(series[index] for series, index in zip(times, seen))
            ready_s = max(at_s, min(complete_s, at_s + PERIOD_S / 2))
            until = [np.searchsorted(series, ready_s, 'right') for series in times]
            came = [series[a:b] for series, a, b in zip(times, seen, until)]
            arrivals = dict(enumerate(map(list, came)))
            late_s = lateness_of(arrivals, at_s, PERIOD_S)
            phase.record(at_s, late_s, interval_of(arrivals))
            begins.append(at_s)
            late.append(late_s / PERIOD_S)
            waited.append((ready_s - at_s) / PERIOD_S)
            self.taken.append([len(series) for series in came])
            at_s, step_s, seen = next_s, following_s, until
        self.late, self.waited = np.array(late), np.array(waited)
        self.steps = np.diff(begins) / PERIOD_S - 1


def sensor(rate=1.0, first=0.0, jitter=None, count=6000):
    """Arrivals at a rate per control period."""
    times = [first + k / rate + (jitter() if jitter else 0.0) for k in range(count)]
    return [*sorted(times), NOBODY]


def steady(steps):
    """Return from which period on none is shorter or longer than another."""
    moved = np.flatnonzero(np.abs(steps) > 1e-9)
    return int(moved[-1]) + 1 if len(moved) else 0


def waiting(first, count=6000):
    """Sensors of which one was lost, so that every tick since then waits for the next one."""
    return [time for time in sensor(first=first, count=count) if not 18 < time < 20.01]


def test_a_wait_of_a_third_of_the_period_is_gone_after_so_many_ticks_and_all_stands_still():
    run = Run([waiting(0.34)], 300)
    assert run.late[: REMEMBERED + 2] == pytest.approx(0.34)
    # The call after the twentieth tick sets the time between the next call and the one after it.
    # 0.34 and the 0.04 that readings are to be early are 38 steps of a hundredth.
    first, count = REMEMBERED + 1, 38
    expected = np.zeros(299)
    expected[first : first + count] = SLEW
    assert run.steps == pytest.approx(expected, abs=1e-9)
    assert run.late[first + count :] == pytest.approx(AIM, abs=1e-6)


def test_a_state_that_is_old_at_the_begin_becomes_new_by_earlier_begins():
    run = Run([sensor(first=0.3)], 300)
    assert run.late[: REMEMBERED + 2] == pytest.approx(-0.7)
    # 0.66 earlier.
    first, count = REMEMBERED + 1, 66
    assert run.steps[first : first + count] == pytest.approx(-SLEW, abs=1e-9)
    assert steady(run.steps) == first + count
    assert run.late[first + count :] == pytest.approx(AIM, abs=1e-6)
    assert not run.waited.any() and all(taken == [1] for taken in run.taken[1:])


@pytest.mark.parametrize('first', [-0.01, -0.05, -0.09, 0.015])
def test_between_its_bounds_nothing_moves(first):
    series = waiting(first) if first > 0 else sensor(first=first)
    run = Run([series], 300)
    assert run.late[1:] == pytest.approx(first) and EARLIEST < first < LATEST
    assert not steady(run.steps)


@pytest.mark.parametrize('first', np.arange(0, 0.1, 0.013))
def test_sensors_ten_times_as_fast_move_nothing(first):
    rng = random.Random(0)
    run = Run([sensor(10.0, first, lambda: 0.004 * rng.random()), sensor(10.0)], 400)
    assert not steady(run.steps) and not run.waited.any()


def test_jitter_is_on_the_early_side_after_a_while_and_moves_nothing_any_more():
    rng = random.Random(0)
    run = Run([sensor(first=0.3, jitter=lambda: 0.1 * rng.random())], 2000)
    # At most 20 ticks to begin with, 0.66 to go, and a few more where the window changes.
    assert steady(run.steps) < 150
    settled = run.waited[150:]
    assert (settled > 0).mean() < 0.12 and settled.max() < 0.1
    assert np.nanmean(run.late[150:]) > -0.15


def test_single_late_messages_and_such_that_never_come_move_nothing():
    rng = random.Random(0)
    late = sensor(first=-0.05)
    late = sorted(t + 0.3 * (k % 11 == 0) for k, t in enumerate(late))
    run = Run([late], 500)
    assert not steady(run.steps) and 0.08 < (run.waited > 0).mean() < 0.1
    lost = [time for time in sensor(first=-0.05) if rng.random() > 0.02]
    run = Run([[*lost, NOBODY]], 1000)
    assert np.isnan(run.late).sum() > 10
    # Every tick after a lost message would wait 0.95 periods; half a period is waited only.
    assert not steady(run.steps)


def test_a_lost_message_makes_ticks_wait_for_ever_only_where_nothing_follows():
    rng = random.Random(0)
    lost = [time for time in sensor(first=0.34) if rng.random() > 0.02] + [NOBODY]
    before, after = Run([lost], 2000, Unmoved(PERIOD_S)), Run([lost], 2000)
    assert np.median(before.waited[200:]) == pytest.approx(0.34)
    assert np.median(after.waited[200:]) == 0.0


def test_where_a_topic_stops_periods_begin_as_before():
    stops = [time for time in waiting(0.34) if time < 50] + [NOBODY]
    run = Run([stops, sensor(5.0)], 300)
    assert np.isnan(run.late[31:]).all()
    # What was chosen is still done, and no more.
    assert run.steps.sum() == pytest.approx(0.38) and steady(run.steps) == REMEMBERED + 1 + 38


def test_of_topics_at_the_same_rate_the_last_one_counts():
    for first, moved in ((0.0, 0.34), (0.5, -0.16)):
        run = Run([sensor(first=first + 0.3 * k) for k in range(2)] + [sensor(10.0)], 300)
        assert run.late[-1] == pytest.approx(AIM, abs=1e-6)
        assert run.steps.sum() == pytest.approx(moved)


def test_topics_that_come_together_are_not_left_on_both_sides_of_the_begin():
    # One 10 ms before the begin, with it that of a period ago, which is followed 10 ms after it.
    run = Run([sensor(first=-0.1), sensor(first=0.1)], 300)
    assert run.late[:20] == pytest.approx(0.1) and not run.waited.any()
    assert run.steps.sum() == pytest.approx(0.14) and run.late[-1] == pytest.approx(AIM)


@pytest.mark.parametrize('apart', [0.35, 0.45, 0.5, 0.55, 0.65])
def test_topics_as_far_apart_on_both_sides_do_not_make_it_wander(apart):
    rng = random.Random(0)
    sensors = [sensor(first=f, jitter=lambda: 0.02 * rng.random()) for f in (0.1, 0.1 + apart)]
    run = Run(sensors, 1000)
    assert steady(run.steps) < 150 and (run.waited > 0)[150:].mean() < 0.1


def test_of_a_slow_and_a_fast_topic_the_slow_one_is_followed():
    run = Run([sensor(first=0.5), sensor(10.0, 0.02), sensor(3.0)], 300)
    assert run.steps.sum() == pytest.approx(-0.46) and steady(run.steps) < 80


@pytest.mark.parametrize('rate', [1.0001, 0.9999, 1.001, 0.999])
def test_clocks_that_drift_are_followed_one_reading_per_tick(rate):
    run = Run([sensor(rate, 0.34)], 5000)
    # The rate of the periods is that of the sensors, but for the dead band.
    assert run.steps[1000:].sum() == pytest.approx(3999 * (1 / rate - 1), abs=0.15)
    settled = run.late[200:]
    # Twenty ticks of drift, and the bounds.
    assert settled.min() > EARLIEST - REMEMBERED * 0.001 - SLEW
    assert settled.max() < LATEST + 3 * 0.001 + SLEW
    assert all(taken == [1] for taken in run.taken[200:])


@pytest.mark.parametrize('drift', [1.0001, 0.9999, 1.001, 0.999])
@pytest.mark.parametrize('multiple', [2, 3, 4])
def test_of_faster_sensors_whose_clock_drifts_one_reading_is_followed(multiple, drift):
    series = [sensor(multiple * drift, 0.34, count=4200 * multiple)]
    left, run = Run(series, 4000, Unmoved(PERIOD_S)), Run(series, 4000)
    # As for those at the control rate: no reading is lost to one that crosses the begin.
    assert run.steps[1000:].sum() == pytest.approx(2999 * (1 / drift - 1), abs=0.15)
    assert set(map(tuple, run.taken[200:])) <= {(multiple + one,) for one in (-1, 0, 1)}
    # Left alone, the last reading is half an interval old in the mean of all phases.
    assert run.late[200:].mean() > 0.9 * -0.5 / multiple
    assert run.late.min() > left.late.min() - SLEW


@pytest.mark.parametrize('multiple', [2, 3, 4])
def test_a_begin_in_the_jitter_of_faster_sensors_moves_out_of_it(multiple):
    rng = random.Random(0)
    series = [sensor(multiple, -0.015, lambda: 0.03 * rng.random(), count=600 * multiple)]
    left, run = Run(series, 500, Unmoved(PERIOD_S)), Run(series, 500)
    # Half of the ticks have a reading of 0 to 0.015, the others one that is an interval older.
    assert left.late.mean() == pytest.approx(-0.5 / multiple - 0.0075, abs=0.05 / multiple)
    assert steady(run.steps) < 100
    assert run.late[100:].min() > AIM - 0.04 and run.late[100:].max() < 0


@pytest.mark.parametrize('rate', [1.05, 0.95, 0.7, 2 / 3, 2.5, 3.3, 4.95])
def test_sensors_at_another_rate_move_nothing_for_long(rate):
    left, run = Run([sensor(rate)], 1500, Unmoved(PERIOD_S)), Run([sensor(rate)], 1500)
    assert abs(run.steps[200:].mean()) < 1e-3
    assert run.waited.mean() <= left.waited.mean() + 0.01
    assert np.nanmean(run.late) >= np.nanmean(left.late) - 0.01


def test_messages_at_random_move_next_to_nothing():
    rng = random.Random(0)
    gaps = (rng.expovariate(1.0) for _ in range(4000))
    run = Run([[*itertools.accumulate(gaps), NOBODY]], 2000)
    assert np.abs(run.steps).mean() < 2e-4


def test_periods_are_shifted_by_a_hundredth_at_most_and_not_by_noise_of_the_timer():
    rng = random.Random(0)
    phase = SensorPhaseLock(PERIOD_S)
    at_s = 1000.0
    for _ in range(1000):
        noisy_s = at_s + 1e-5 * rng.random()
        shift_s = phase.shift_s(noisy_s)
        assert abs(shift_s) <= SLEW * PERIOD_S
        phase.record(noisy_s, 0.034 - (at_s - 1000.0) % PERIOD_S)
        at_s += PERIOD_S + shift_s
    assert shift_s == 0.0
    # Counted without whole periods.
    assert phase.begin_s == pytest.approx(0.038, abs=(NEAR + 1e-3) * PERIOD_S)


def test_nothing_moves_by_what_was_long_ago():
    phase = SensorPhaseLock(PERIOD_S)
    assert phase.shift_s(0.0) == 0.0
    for tick in range(REMEMBERED):
        phase.record(tick * PERIOD_S, 0.03)
    last_s = (REMEMBERED - 1) * PERIOD_S
    assert phase.shift_s(last_s + 2 * PERIOD_S) == pytest.approx(SLEW * PERIOD_S)
    assert phase.shift_s(last_s + 6 * PERIOD_S) == 0.0


@pytest.mark.parametrize(
    ('arrivals', 'expected'),
    [
        # One that was waited for; of several the last.
        ({'a': [1.03]}, 0.03),
        ({'a': [1.03], 'b': [0.9, 1.02]}, 0.03),
        # All there: the one of which there are fewest, and of equals the last.
        ({'a': [0.93], 'b': [0.91, 0.95, 0.99]}, -0.07),
        ({'a': [0.93], 'b': [0.96]}, -0.04),
        # One just before the begin, and one of a period ago, 1 ms later in it.
        ({'a': [0.999], 'b': [0.901]}, 0.001),
        ({'a': [0.99], 'b': [0.95]}, -0.01),
        # What came after the begin of a tick that was kept from beginning makes nobody late.
        ({'a': [0.93, 1.01], 'b': [0.92, 0.97, 1.0, 1.02]}, -0.07),
        ({'a': [], 'b': [0.9]}, math.nan),
        ({}, math.nan),
    ],
)
def test_lateness_is_that_of_the_readings_that_a_tick_needs(arrivals, expected):
    assert lateness_of(arrivals, 1.0, PERIOD_S) == pytest.approx(expected, nan_ok=True)


def test_intervals_are_those_of_the_topic_that_comes_least_often():
    often = [0.9, 0.92, 0.94, 0.96]
    assert interval_of({'a': [0.93, 0.97, 1.03], 'b': often}) == pytest.approx(0.05)
    assert interval_of({'a': [0.93], 'b': often}) == math.inf
    assert interval_of({'a': [], 'b': often}) == interval_of({}) == math.inf
