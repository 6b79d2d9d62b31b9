# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Periods, rates, candidates and latency over topics: counts and equalities, no durations."""

import math

import numpy as np
import pytest
import torch
import yaml
from nav_msgs.msg import Odometry
from rclpy.clock import ROSClock
from rclpy.parameter import Parameter
from rclpy.time import Time
from rclpy.timer import Timer
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from mbmrl_ros.nodes.common.messages import stamp_ns
from mbmrl_ros.nodes.controller import period_timer
from mbmrl_ros.nodes.controller.period_timer import PeriodTimer
from mbmrl_ros.nodes.controller.report import STATS
from mbmrl_ros.spec.robot import load_robot

SPEC = load_robot('half_cheetah')


@pytest.fixture
def stats(bench):
    return bench.listen(Float64MultiArray, 'controller_node/stats')


@pytest.fixture
def slow(tmp_path, make_bundle):
    """Parameters of a half-cheetah with a period of 1 s and sensors at 10 and 5 Hz."""
    data = SPEC.model_dump(mode='json')
    data['period_s'], data['action']['timeout_s'], data['latency_s'] = 1.0, 3.0, 0.25
    data['simulation']['physics_steps'] = 100
    data['topics']['odom'] |= {'timeout_s': 3.0, 'period_s': 0.1}
    data['topics']['joint_states'] |= {'timeout_s': 3.0, 'period_s': 0.2}
    data['safety']['deadline_s'] = 1.0
    path = tmp_path / 'slow.yaml'
    path.write_text(yaml.safe_dump(data))
    bundle = make_bundle(tmp_path / 'slow', spec=load_robot(str(path)))
    return {'robot': str(path)}, {'robot': str(path), 'bundle': str(bundle)}


def column(rows, name):
    return np.array([row.data[STATS.index(name)] for row in rows])


def set_parameter(node, name, value):
    [result] = node.set_parameters([Parameter(name, value=value)])
    assert result.successful, result.reason


@pytest.mark.timing
def test_with_half_a_period_of_slack_no_period_is_missed_and_no_message_lost(bench, slow, stats):
    sim, controller = slow
    odometry = bench.listen(Odometry, 'odom')
    joints = bench.listen(JointState, 'joint_states')
    bench.controller(**controller, budget__share=0.5)
    bench.sim(**sim)
    bench.until(lambda: sum(column(stats, 'fallback') == 0) >= 4)
    bench.until_status('control', lambda _, values: int(values['received: odom']) > 40)
    _, _, values = bench.status('control')
    assert values['periods_missed'] == '0' and values['lost'] == '0'
    assert values['lost: odom'] == values['lost: joint_states'] == '0'
    assert float(values['period_share.goal']) == 0.5
    for messages, period_ns in ((odometry, 100_000_000), (joints, 200_000_000)):
        stamps = [stamp_ns(message.header.stamp) for message in messages]
        assert set(np.diff(stamps)) == {period_ns}
    # The states of two ticks are a period apart, though sensors are faster.
    planned = stats[-4:]
    assert np.diff(column(planned, 'stamp')) == pytest.approx(1.0, abs=0.4)
    assert np.isfinite(column(planned[1:], 'period_error_s')).all()
    # A quarter of a second outside, and the way from the sensors to the motors.
    assert (column(planned, 'latency_s') >= 0.25).all()
    assert float(values['latency_ms']) >= 250
    assert np.isfinite(
        [float(values[f'sensors_late_ms.{key}']) for key in ('median', 'max')]
    ).all()


@pytest.mark.parametrize('parameter', ['compensate_latency', 'even_commands'])
def test_latency_and_evenness_can_be_left_alone(bench, robot, stats, parameter):
    bench.controller(**{parameter: False})
    bench.until(lambda: len(stats) > 10 and not column(stats[-1:], 'fallback')[0])
    known = column(stats, 'latency_s')[column(stats, 'fallback') == 0]
    assert ((known == 0) == (parameter == 'compensate_latency')).all()


@pytest.mark.parametrize(
    ('parameters', 'follows'),
    [({}, True), ({'follow_sensors': False}, False), ({'lockstep': True}, False),
     ({'use_sim_time': True}, False)],
)  # fmt: skip
def test_periods_follow_sensors_on_the_steady_clock_only(bench, robot, stats, parameters, follows):
    topics = bench.controller(**parameters)._topics
    if not follows:
        assert topics._phase is None
        return
    # It hears of every tick: of how many does not depend on the machine.
    bench.until(lambda: len(topics._phase._arrivals) == topics._phase._arrivals.maxlen)
    assert (column(stats, 'fallback') == 0).any()


def test_candidates_that_do_not_fit_are_given_up_before_the_first_command(bench, robot, stats):
    # A ten-thousandth of the period, 1 us, is less than any tick takes.
    node = bench.controller(budget__share=1e-4, budget__min_candidates=7)
    bench.until(lambda: (column(stats, 'candidates') > 0).any())
    assert set(column(stats, 'candidates')) <= {0.0, 7.0}
    set_parameter(node, 'budget.min_candidates', 5)
    bench.until(lambda: column(stats, 'candidates')[-1] == 5)
    set_parameter(node, 'budget.share', 0.0)
    bench.until(lambda: column(stats, 'candidates')[-1] == 64)
    set_parameter(node, 'planner.candidates', 20)
    bench.until(lambda: column(stats, 'candidates')[-1] == 20)
    bench.until_status('control', lambda _, values: values['candidates'] == '20')
    assert bench.status('control')[2]['period_share.goal'] == 'nan'


def test_in_lockstep_time_has_no_say_in_candidates_and_latency(bench, stats):
    bench.controller(lockstep=True, budget__share=1e-4)
    bench.sim(lockstep=True)
    bench.until(lambda: len(stats) > 20)
    assert set(column(stats, 'candidates')) == {64.0}
    assert not column(stats, 'latency_s').any()


def test_parameters_that_change_keep_the_warm_start(
    bench, slow_spec, slow_robot, stats, make_bundle, tmp_path
):
    robot, settings = slow_robot
    node = bench.controller(**settings)
    bench.until(lambda: (column(stats, 'fallback') == 0).sum() > 3)
    # Without sensors nothing is planned, so that the warm start stays as it is.
    robot.silent = set(SPEC.topics)
    bench.until(lambda: column(stats, 'fallback')[-1])
    controller = node._topics.controller

    def mean():
        node._topics.loop.wait(lambda: None)
        return controller._source._planner_state.mean

    before = mean()
    assert before.abs().max() > 0 and before.shape == (1, 5, 6)
    changes = {'temperature': 0.5, 'noise': 0.25, 'smoothing': 0.5, 'candidates': 32}
    for name, value in changes.items():
        set_parameter(node, f'planner.{name}', value)
        assert torch.equal(mean(), before), name
    set_parameter(node, 'budget.share', 0.3)
    assert torch.equal(mean(), before)
    set_parameter(node, 'bundle', str(make_bundle(tmp_path / 'other', slow_spec, seed=3)))
    old = controller._source
    assert bench.call(Trigger, 'controller_node/reload').success
    assert torch.equal(mean(), before) and controller._source is not old
    assert controller._source.planner.config.noise == 0.25, 'and the planner its parameters'
    set_parameter(node, 'planner.horizon', 7)
    assert torch.equal(mean()[:, :5], before)
    set_parameter(node, 'planner.horizon', 3)
    assert torch.equal(mean(), before[:, :3])


class FakeTimer:
    """A timer whose next call is in `next_s`; stands in for NodeResources and its node."""

    def __init__(self, use_sim_time=False):
        self.node, self.value, self.next_s = self, use_sim_time, 0.0

    def get_parameter(self, name):
        assert name == 'use_sim_time'
        return self

    def timer(self, period_s, callback, steady):
        assert steady is not self.value
        self.callback = callback
        return self

    def time_until_next_call(self):
        return round(self.next_s * 1e9)


def test_a_period_begins_when_it_should_have_and_skipped_ones_are_counted(monkeypatch):
    now, calls, fake = [0.0], [], FakeTimer()
    monkeypatch.setattr(period_timer.time, 'monotonic', lambda: now[0])
    PeriodTimer(fake, 0.1, lambda at_s=None, skipped=0: calls.append((at_s, skipped)))
    # Calls are late by 0, 30 ms, 70 ms and so much that two periods went by without one.
    for late_s, period in [(0.0, 1), (0.03, 2), (0.07, 3), (0.02, 6), (0.0, 7)]:
        now[0] = 0.1 * period + late_s
        fake.next_s = 0.1 - late_s
        fake.callback()
    times, skipped = zip(*calls)
    assert times == pytest.approx([0.1, 0.2, 0.3, 0.6, 0.7])
    assert skipped == (0, 0, 0, 2, 0)


def test_on_a_simulated_clock_a_pause_is_no_period_that_was_missed(monkeypatch):
    now, calls, fake = [0.0], [], FakeTimer(use_sim_time=True)
    monkeypatch.setattr(period_timer.time, 'monotonic', lambda: now[0])
    PeriodTimer(fake, 0.1, lambda at_s=None, skipped=0: calls.append((at_s, skipped)))
    for now[0] in (0.1, 0.2, 100.0):
        fake.callback()
    assert calls == [(None, 0)] * 3 and math.isfinite(now[0])


class RealTimer(FakeTimer):
    """A timer of rcl on a clock that the test moves."""

    def __init__(self, context, now):
        super().__init__()
        self._context, self._now, self._clock = context, now, ROSClock()
        self._clock._set_ros_time_is_active(True)
        self.to(0.0)

    def timer(self, period_s, callback, steady):
        nanoseconds = round(1e9 * period_s)
        self._timer = Timer(callback, None, nanoseconds, self._clock, context=self._context)
        return self._timer

    def to(self, now_s):
        self._now[0] = now_s
        self._clock.set_ros_time_override(Time(nanoseconds=round(1e9 * now_s)))

    def call(self):
        """Call as the executor does; return whether it is time."""
        ready = self._timer.is_ready()
        if ready:
            self._timer.handle.call_timer_with_info()
            self._timer.callback()
        return ready


class Shifts:
    """A phase that wants what the test says, call by call."""

    def __init__(self, *shifts):
        self.shifts, self.asked = list(shifts), []

    def shift_s(self, next_s):
        self.asked.append(next_s)
        return self.shifts.pop(0) if self.shifts else 0.0


def test_a_shift_moves_the_call_after_the_next_one_and_all_that_follow(monkeypatch, bench):
    now, calls, phase = [0.0], [], Shifts(0.001, 0.001, 0.0, -0.001)
    monkeypatch.setattr(period_timer.time, 'monotonic', lambda: now[0])
    timer = RealTimer(bench.context, now)
    PeriodTimer(timer, 0.1, lambda at_s=None, skipped=0: calls.append((at_s, skipped)), phase)
    expected = [0.1, 0.2, 0.301, 0.402, 0.502, 0.601, 0.701]
    for at_s in expected:
        timer.to(at_s - 1e-6)
        assert not timer.call(), at_s
        # However late it is called, the next call does not come later.
        timer.to(at_s + 0.03)
        assert timer.call() and not timer.call()
    times, skipped = zip(*calls)
    assert times == pytest.approx(expected) and not any(skipped)
    assert phase.asked == pytest.approx([*expected[1:], 0.801])


def test_periods_that_were_skipped_are_counted_while_the_phase_moves(monkeypatch, bench):
    now, calls, phase = [0.0], [], Shifts(*[0.001] * 200)
    monkeypatch.setattr(period_timer.time, 'monotonic', lambda: now[0])
    timer = RealTimer(bench.context, now)
    PeriodTimer(timer, 0.1, lambda at_s=None, skipped=0: calls.append((at_s, skipped)), phase)
    # The first two calls are 0.1 apart; then a hundred and one, of which the last is made.
    for now_s in (0.1, 0.2, 0.2 + 101 * 0.101 + 0.05, 0.2 + 102 * 0.101):
        timer.to(now_s)
        assert timer.call()
    times, skipped = zip(*calls)
    assert times == pytest.approx([0.1, 0.2, 0.2 + 101 * 0.101, 0.2 + 102 * 0.101])
    assert skipped == (0, 0, 100, 0)
