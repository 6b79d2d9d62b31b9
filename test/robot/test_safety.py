# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from mbmrl_ros.config import override, parse
from mbmrl_ros.robot.safety import SafetyFilter
from mbmrl_ros.spec.robot import RobotSpec, load_robot

CHEETAH = load_robot('half_cheetah')
PERIOD = CHEETAH.period_s


def robot(**safety):
    data = CHEETAH.model_dump()
    data['safety'] |= safety
    # 100 N m / s: with a period of 0.01 s a command moves by 1 N m at most.
    data = override(data, ['action.rate_limit=[100, 100, 100, 100, 100, 100]'])
    data['action']['fallback'] = (5.0, 0, 0, 0, 0, 0)
    return parse(RobotSpec, data, 'test')


def command(value):
    return np.full(6, float(value))


def run(safety, wanted, state=None, elapsed_s=0.0, reason=''):
    return safety.filter(wanted, reason, state, elapsed_s, PERIOD)


def test_whatever_comes_in_what_goes_out_is_finite_and_within_limits():
    rng = np.random.default_rng(0)
    spec = robot()
    safety = SafetyFilter(spec)
    odd = [math.nan, math.inf, -math.inf, 1e308, -1e308, 0.0]
    for _ in range(2000):
        wanted = rng.normal(0, 200, 6)
        for index in range(6):
            if rng.random() < 0.2:
                wanted[index] = odd[rng.integers(len(odd))]
        times = [odd[rng.integers(len(odd))] if rng.random() < 0.3 else 0.01 for _ in range(2)]
        sent, _ = safety.filter(
            None if rng.random() < 0.1 else wanted, 'x', rng.normal(size=19), times[0], times[1]
        )
        assert np.isfinite(sent).all()
        assert (sent >= spec.action.lower).all() and (sent <= spec.action.upper).all()


def test_a_command_within_all_limits_passes_unchanged_and_without_a_reason():
    safety = SafetyFilter(CHEETAH)
    sent, reason = run(safety, command(20))
    assert np.array_equal(sent, command(20)) and reason == ''


def test_rate_limit_is_per_period_from_what_was_sent_last():
    safety = SafetyFilter(robot())
    first, reason = run(safety, command(30))
    # From the fallback (5, 0, ...) by 100 N m / s * 0.01 s.
    assert np.allclose(first, [6, 1, 1, 1, 1, 1]) and reason == 'limited'
    second, _ = run(safety, command(30))
    assert np.allclose(second, [7, 2, 2, 2, 2, 2])


def test_without_a_plan_the_fallback_goes_out_at_once_and_says_why():
    spec = robot()
    safety = SafetyFilter(spec)
    for _ in range(20):
        run(safety, command(30))
    sent, reason = run(safety, None, reason='odom: stale')
    assert np.array_equal(sent, spec.action.fallback) and reason == 'odom: stale'


@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_a_command_that_is_not_finite_becomes_the_fallback(bad):
    spec = robot()
    wanted = command(1)
    wanted[3] = bad
    sent, reason = run(SafetyFilter(spec), wanted)
    assert np.array_equal(sent, spec.action.fallback) and 'not finite' in reason


def test_a_late_command_is_not_sent_but_decays_from_the_last_one():
    spec = robot(deadline_s=0.1, decay_s=0.05)
    safety = SafetyFilter(spec)
    for _ in range(10):
        last, _ = run(safety, command(30))
    sent, reason = run(safety, command(-30), elapsed_s=0.2)
    # The 0.2 s that the tick took have passed since the last command, not just one period.
    share = math.exp(-0.2 / 0.05)
    fallback = np.array(spec.action.fallback)
    assert np.allclose(sent, fallback + share * (last - fallback))
    assert reason.startswith('late')


def test_emergency_stop_stays_until_it_is_released():
    spec = robot()
    safety = SafetyFilter(spec)
    assert safety.release() == 'the emergency stop is not latched'
    safety.e_stop('button')
    for _ in range(3):
        sent, reason = run(safety, command(3))
        assert np.array_equal(sent, spec.action.fallback) and reason == 'button'
    assert safety.release() is None
    sent, reason = run(safety, command(3))
    # Released, it starts from the fallback under the rate limit.
    assert np.allclose(sent, [4, 1, 1, 1, 1, 1]) and reason == 'limited'


def test_outside_the_area_the_robot_is_stopped():
    spec = robot(limits={'x': (-1.0, 1.0)})
    state = np.zeros(19)
    assert run(SafetyFilter(spec), command(0), state)[1] in ('', 'limited')
    for outside in (1.5, -1.5, math.nan):
        state[0] = outside
        sent, reason = run(SafetyFilter(spec), command(0), state)
        assert np.array_equal(sent, spec.action.fallback) and reason.startswith('x is')


def test_a_pause_allows_two_periods_of_change_at_most_and_no_time_none():
    # 100 N m / s over two periods of 0.01 s: 2 N m. Unknown time counts as one period.
    for dt_s, step in [(10.0, 2.0), (math.inf, 2.0), (0.0, 0.0), (-1.0, 0.0), (math.nan, 1.0)]:
        sent, _ = SafetyFilter(robot()).filter(command(30), '', None, 0.0, dt_s)
        assert np.allclose(sent, np.array([5.0, 0, 0, 0, 0, 0]) + step)


def test_between_planned_commands_the_rate_limit_holds_whatever_is_wanted():
    rng = np.random.default_rng(1)
    safety, last = SafetyFilter(robot()), np.array([5.0, 0, 0, 0, 0, 0])
    for _ in range(500):
        dt_s = rng.uniform(0, 0.05)
        wanted = rng.normal(0, 100, 6) if rng.random() < 0.9 else None
        sent, _ = safety.filter(wanted, '', None, 0.0, dt_s)
        if not safety.fell_back:
            assert (np.abs(sent - last) <= 100 * min(dt_s, 2 * PERIOD) + 1e-9).all()
        last = sent


@pytest.mark.parametrize('elapsed_s', [math.inf, 1e6])
def test_the_later_the_nearer_to_the_fallback(elapsed_s):
    spec = robot(deadline_s=0.1, decay_s=0.05)
    safety = SafetyFilter(spec)
    run(safety, command(30))
    sent, reason = run(safety, command(30), elapsed_s=elapsed_s)
    assert np.allclose(sent, spec.action.fallback, atol=1e-12) and reason.startswith('late')


@pytest.mark.parametrize('elapsed_s', [math.nan, -1.0])
def test_a_tick_of_unknown_duration_is_late(elapsed_s):
    safety = SafetyFilter(robot())
    assert run(safety, command(30), elapsed_s=elapsed_s)[1].startswith('late')


def test_the_first_cause_of_an_emergency_stop_is_kept_until_release():
    safety = SafetyFilter(robot())
    safety.e_stop('')
    safety.e_stop('second')
    assert safety.stopped == 'emergency stop'
    safety.release()
    safety.e_stop('third')
    assert safety.stopped == 'third'


def test_stopped_and_released_between_two_commands_it_starts_from_the_fallback():
    safety = SafetyFilter(robot())
    for _ in range(20):
        run(safety, command(30))
    safety.e_stop('button')
    safety.release()
    assert np.allclose(run(safety, command(30))[0], [6, 1, 1, 1, 1, 1])


def test_nothing_overrules_the_emergency_stop():
    safety = SafetyFilter(robot(limits={'x': (-1.0, 1.0)}))
    safety.e_stop('button')
    for wanted, elapsed_s in [(None, 0.0), (command(math.nan), 0.0), (command(3), 10.0)]:
        sent, reason = run(safety, wanted, np.full(19, 5.0), elapsed_s, 'no plan')
        assert reason == 'button' and safety.fell_back
        assert np.array_equal(sent, safety.filter(None, '', None, 0.0, PERIOD)[0])


def test_area_limits_without_a_finite_state_stop_the_robot():
    limited = SafetyFilter(robot(limits={'x': (-1.0, 1.0)}))
    assert 'no state' in run(limited, command(0))[1] and limited.fell_back
    state = np.zeros(19)
    state[5] = math.nan
    assert run(limited, command(0), state)[1] == 'state is not finite' and limited.fell_back


@pytest.mark.parametrize('wanted', [np.zeros(5), np.zeros((6, 1)), np.float64(1.0), np.zeros(0)])
def test_a_command_of_the_wrong_shape_becomes_the_fallback(wanted):
    spec = robot()
    sent, reason = run(SafetyFilter(spec), wanted)
    assert np.array_equal(sent, spec.action.fallback) and 'shape' in reason


def test_what_was_given_out_may_be_changed_without_effect_on_the_next_command():
    safety = SafetyFilter(robot())
    run(safety, None)[0][:] = 99.0
    assert np.allclose(run(safety, command(30))[0], [6, 1, 1, 1, 1, 1])
