# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import dataclasses
import math
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from mbmrl_ros.config import parse
from mbmrl_ros.robot.action_source import Decision
from mbmrl_ros.robot.command import from_units
from mbmrl_ros.robot.controller import Controller
from mbmrl_ros.robot.latency import Latency
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.types import Adapted, Plan, Reading

SPEC = load_robot('half_cheetah')
WINDOW = 4


@dataclass
class FakeMPC:
    """Answers with a fixed action and remembers what it was asked."""

    action: float = 0.25
    valid: bool = True
    error: Exception | None = None
    window_size: int = WINDOW
    asked: list = field(default_factory=list)
    resets: int = 0
    taken_over: object = None
    planner: object = None

    def reset(self):
        self.resets += 1

    def use_planner(self, planner):
        self.planner = planner

    def use_reward(self, reward):
        pass

    def inherit_warm_start(self, other):
        self.taken_over = other

    def act(self, window, attempted, state, pending, until_s):
        if self.error is not None:
            raise self.error
        self.asked.append((window, bool(attempted[0]), state))
        action = torch.full((1, 6), self.action)
        yes, loss = torch.tensor([True]), torch.tensor([0.5])
        plan = Plan(action[:, None], loss, action[:, None, None], loss[:, None], yes * 0, yes)
        adapted = Adapted({}, loss, loss / 2, yes, ~yes)
        return Decision(action, torch.tensor([self.valid]), adapted, plan, 0.001, 0.002)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def make(mpc=None):
    clock = Clock()
    mpc = mpc or FakeMPC()
    return Controller(SPEC, mpc, clock), mpc, clock


def feed(controller, clock, stamp, topics=tuple(SPEC.topics), value=0.5):
    for topic in topics:
        values = (value,) * len(SPEC.topic_signals(topic))
        controller.on_reading(Reading(topic, stamp, clock.now, values))


def drive(controller, clock, steps, start=0):
    ticks = []
    for step in range(start, start + steps):
        clock.now = step * SPEC.period_s
        feed(controller, clock, clock.now)
        ticks.append(controller.tick(clock.now))
    return ticks


def test_a_tick_answers_the_stamp_of_the_state_with_the_action_in_units():
    controller, _, clock = make()
    tick = drive(controller, clock, 3)[-1]
    assert tick.command.stamp_s == pytest.approx(0.02)
    assert np.allclose(tick.command.values, 0.25 * np.array(SPEC.action.upper))
    assert not tick.command.fallback and tick.diagnostics.reason == ''


def test_adaptation_starts_once_the_window_is_full():
    controller, mpc, clock = make()
    drive(controller, clock, WINDOW + 2)
    # At tick i there are i closed transitions.
    assert [attempted for _, attempted, _ in mpc.asked] == [False] * WINDOW + [True] * 2


def slow_controller(latency=True):
    """Return one whose ticks take 1.3 periods and come to 0.01, 0.02, ... of full effort."""
    clock, mpc = Clock(), FakeMPC(action=0.0)
    act = mpc.act

    def dawdle(*arguments):
        clock.now += mpc.takes_s
        mpc.action += 0.01
        return act(*arguments)

    mpc.act, mpc.takes_s = dawdle, 1.3 * SPEC.period_s
    return Controller(SPEC, mpc, clock, Latency(SPEC) if latency else None), mpc, clock


def drive_slowly(controller, clock, ticks):
    """A tick in every second period; readings come in all of them."""
    for step in range(2 * ticks - 1):
        clock.now = step * SPEC.period_s
        feed(controller, clock, clock.now, ['odom'])
        feed(controller, clock, clock.now, ['joint_states'], value=0.001 * step)
        if step % 2:
            controller.record_missed_period(clock.now)
        else:
            controller.tick(clock.now)


def test_where_periods_pass_without_a_tick_the_window_has_what_was_in_effect_in_them():
    controller, mpc, clock = slow_controller()
    drive_slowly(controller, clock, 6)
    window, attempted, state = mpc.asked[-1]
    assert attempted and torch.equal(window.next_states[0, -1], state[0])
    assert controller.stamp_s == pytest.approx(10 * SPEC.period_s)
    # Tick i begins at 2 i periods, and its command (i + 1) / 100 counts from 2 i + 1.3 on.
    expected = [0.03, 0.3 * 0.03 + 0.7 * 0.04, 0.04, 0.3 * 0.04 + 0.7 * 0.05]
    torch.testing.assert_close(window.actions[0], torch.tensor(expected)[:, None].expand(4, 6))
    place = SPEC.channel_index('bthigh')
    steps = window.next_states[0, :, place]
    torch.testing.assert_close(steps, torch.tensor([0.007, 0.008, 0.009, 0.010]))


def known(mpc):
    """How many transitions the last tick knew."""
    return int(mpc.asked[-1][0].actions.isfinite().all(2).sum())


def test_without_latency_nobody_knows_what_was_in_effect_where_a_tick_took_more_than_a_period():
    controller, mpc, clock = slow_controller(latency=False)
    drive_slowly(controller, clock, 6)
    assert known(mpc) == 0


def test_past_a_deadline_commands_decay_on_their_own_and_there_is_a_gap():
    controller, mpc, clock = slow_controller()
    mpc.takes_s = 1.1 * SPEC.safety.deadline_s
    drive_slowly(controller, clock, 6)
    assert known(mpc) == 0


@pytest.mark.parametrize(
    'trouble',
    ['the same state again', 'stale', 'measured nobody knows when', 'an error'],
)
def test_a_period_that_passes_without_a_state_of_its_own_is_a_gap(trouble, monkeypatch):
    controller, mpc, clock = slow_controller()
    drive_slowly(controller, clock, 4)
    assert known(mpc) == WINDOW
    clock.now = stamp_s = 7 * SPEC.period_s
    if trouble == 'measured nobody knows when':
        # In a burst with the next one, from a sensor whose clock is not ours.
        clock.now += SPEC.period_s
    if trouble != 'the same state again':
        feed(controller, clock, stamp_s)
    if trouble == 'an error':
        monkeypatch.setattr(Latency, 'mean', lambda *times: 1 / 0)
    controller.record_missed_period(clock.now + (10.0 if trouble == 'stale' else 0.0))
    monkeypatch.undo()
    assert math.isnan(controller.stamp_s)
    reported = controller.counters.refused['a missed period: ZeroDivisionError']
    assert reported == (trouble == 'an error')
    clock.now = 8 * SPEC.period_s
    feed(controller, clock, clock.now)
    assert not controller.tick(clock.now).command.fallback
    assert known(mpc) == 0


def test_after_a_fault_there_is_no_state_that_readings_go_on_from():
    controller, _, clock = slow_controller()
    drive_slowly(controller, clock, 4)
    assert math.isfinite(controller.stamp_s)
    controller.tick(clock.now + 10.0)
    assert math.isnan(controller.stamp_s)


def test_history_holds_the_action_that_was_applied_not_the_one_that_was_wanted():
    mpc = FakeMPC(action=3.0)
    controller, mpc, clock = make(mpc)
    drive(controller, clock, WINDOW + 1)
    window = mpc.asked[-1][0]
    assert torch.equal(window.actions, torch.ones(1, WINDOW, 6))


def test_before_any_reading_the_fallback_goes_out():
    controller, _, _ = make()
    tick = controller.tick(0.0)
    assert tick.command.fallback and 'no reading yet' in tick.command.reason
    assert np.array_equal(tick.command.values, SPEC.action.fallback)


def test_a_sensor_that_stops_gives_the_fallback_and_clears_the_history():
    controller, mpc, clock = make()
    drive(controller, clock, WINDOW + 1)
    clock.now += 10.0
    stale = controller.tick(clock.now)
    assert stale.command.fallback and 'stale' in stale.command.reason
    asked = len(mpc.asked)
    drive(controller, clock, 1, start=int(clock.now / SPEC.period_s))
    assert mpc.asked[asked][1] is False


@pytest.mark.parametrize('error', [RuntimeError('out of memory'), ValueError('x'), KeyError('y')])
def test_whatever_planning_raises_the_robot_is_made_safe(error):
    controller, _, clock = make(FakeMPC(error=error))
    tick = drive(controller, clock, 1)[0]
    assert tick.command.fallback and type(error).__name__ in tick.command.reason
    assert np.array_equal(tick.command.values, SPEC.action.fallback)


@pytest.mark.parametrize(
    ('error', 'kind'),
    [
        (RuntimeError('out of memory'), 'planning failed'),
        (FloatingPointError('overflow'), 'planning failed'),
        (TypeError('one argument too many'), 'internal error'),
        (IndexError('3'), 'internal error'),
    ],
)
def test_a_mistake_in_the_program_does_not_look_like_a_plan_that_failed(error, kind):
    controller, _, clock = make(FakeMPC(error=error))
    tick = drive(controller, clock, 1)[0]
    assert tick.command.reason.startswith(f'{kind}: {type(error).__name__}: ')
    assert 'in act' in tick.trace and str(error) in tick.trace
    assert drive(make()[0], clock, 1)[0].trace == ''


def test_no_finite_rollout_gives_the_fallback():
    controller, _, clock = make(FakeMPC(valid=False))
    tick = drive(controller, clock, 1)[0]
    assert tick.command.fallback and 'finite' in tick.command.reason


def test_an_action_that_is_not_finite_gives_the_fallback():
    controller, _, clock = make(FakeMPC(action=math.nan))
    tick = drive(controller, clock, 1)[0]
    assert tick.command.fallback and np.isfinite(tick.command.values).all()


def test_plans_that_were_cut_are_counted_and_driven():
    controller, mpc, clock = make()
    drive(controller, clock, 2)
    until = []

    def cut(window, attempted, state, pending, until_s):
        until.append(until_s)
        decision = FakeMPC.act(mpc, window, attempted, state, pending, until_s)
        return dataclasses.replace(decision, truncated=True)

    mpc.act = cut
    feed(controller, clock, 0.02)
    tick = controller.tick(clock.now, until_s=clock.now + 0.075)
    assert until == [clock.now + 0.075]
    assert controller.counters.plans_cut == 1 and not tick.command.fallback


def test_a_tick_past_its_deadline_is_counted_and_decays():
    controller, mpc, clock = make()
    drive(controller, clock, 2)

    def slow(*args):
        clock.now += 10 * SPEC.safety.deadline_s
        return FakeMPC.act(mpc, *args)

    mpc.act = slow
    feed(controller, clock, 0.02)
    tick = controller.tick(clock.now)
    assert tick.command.reason.startswith('late') and controller.counters.overruns == 1
    sent = from_units(SPEC, tick.command.values)
    assert (sent > 0).all() and (sent < 0.25).all()


def test_refused_readings_are_counted_by_reason():
    controller, _, clock = make()
    feed(controller, clock, 0.0, value=math.nan)
    assert sum(controller.counters.refused.values()) == len(SPEC.topics)


def test_emergency_stop_holds_over_ticks_and_release_forgets_the_past():
    controller, mpc, clock = make()
    drive(controller, clock, 2)
    controller.e_stop('pressed')
    stopped = drive(controller, clock, 2, start=2)
    assert all(t.command.fallback and t.command.reason == 'pressed' for t in stopped)
    assert controller.release() is None and mpc.resets == 1
    assert not drive(controller, clock, 1, start=4)[0].command.fallback
    assert controller.release() == 'the emergency stop is not latched'


@pytest.mark.parametrize('text', ['limited', 'late for lunch', ''])
def test_an_emergency_stop_is_a_fallback_whatever_its_reason_reads(text):
    controller, _, clock = make()
    controller.e_stop(text)
    tick = drive(controller, clock, 1)[0]
    assert tick.command.fallback and controller.counters.overruns == 0
    assert controller.counters.fallbacks == 1


@pytest.mark.parametrize('trouble', ['raises', 'invalid', 'stopped', 'planned'])
def test_an_overrun_is_counted_whatever_else_went_wrong(trouble):
    controller, mpc, clock = make()
    drive(controller, clock, 1)

    def slow(*args):
        clock.now += 10 * SPEC.safety.deadline_s
        return FakeMPC.act(mpc, *args)

    mpc.act = slow
    mpc.valid = trouble != 'invalid'
    mpc.error = RuntimeError() if trouble == 'raises' else None
    if trouble == 'stopped':
        controller.e_stop('pressed')
    feed(controller, clock, 0.01)
    tick = controller.tick(clock.now)
    assert controller.counters.overruns == 1
    assert tick.command.fallback == (trouble != 'planned')


def test_an_error_is_told_in_one_short_line():
    controller, _, clock = make(FakeMPC(error=RuntimeError('shapes\n  do not\nmatch ' * 100)))
    reason = drive(controller, clock, 1)[0].command.reason
    assert reason.startswith('planning failed: RuntimeError: shapes do not match')
    assert '\n' not in reason and len(reason) < 250


@pytest.mark.parametrize('shape', [(1, 5), (1, 1), (1,), (0, 6), (1, 6, 6)])
def test_an_action_of_the_wrong_shape_gives_the_fallback(shape):
    controller, mpc, clock = make()

    def act(*args):
        decision = FakeMPC.act(mpc, *args)
        return dataclasses.replace(decision, action=torch.zeros(shape))

    mpc.act = act
    tick = drive(controller, clock, 1)[0]
    assert tick.command.fallback and tick.command.reason
    assert np.array_equal(tick.command.values, SPEC.action.fallback)


def test_ctrl_c_is_not_swallowed():
    controller, _, clock = make(FakeMPC(error=KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        drive(controller, clock, 1)


def test_without_a_state_nothing_is_planned_and_nothing_is_answered():
    controller, mpc, _ = make()
    tick = controller.tick(0.0)
    assert mpc.asked == [] and tick.state is None and tick.decision is None
    assert math.isnan(tick.command.stamp_s) and math.isnan(tick.diagnostics.loss_before)


def test_diagnostics_tell_losses_and_durations():
    controller, mpc, clock = make()

    def slow(*args):
        clock.now += 0.03
        return FakeMPC.act(mpc, *args)

    mpc.act = slow
    diagnostics = drive(controller, clock, 1)[0].diagnostics
    assert diagnostics.tick_s == pytest.approx(0.03)
    assert (diagnostics.adapt_s, diagnostics.plan_s) == (0.001, 0.002)
    assert (diagnostics.loss_before, diagnostics.loss_after) == (0.5, 0.25)
    assert diagnostics.adapted and not diagnostics.adaptation_refused


def test_a_tick_that_fell_back_is_in_the_window_with_the_fallback():
    controller, mpc, clock = make()
    drive(controller, clock, 2)
    mpc.error = RuntimeError('once')
    drive(controller, clock, 1, start=2)
    mpc.error = None
    drive(controller, clock, 2, start=3)
    window, attempted, _ = mpc.asked[-1]
    # Ticks 0 to 3 went out; the one that failed with the fallback of 0 N m.
    assert attempted and window.actions[0, :, 0].tolist() == [0.25, 0.25, 0.0, 0.25]


def test_a_fallback_sent_while_simulated_time_stood_still_ends_the_window():
    controller, mpc, clock = make()
    drive(controller, clock, WINDOW + 1)
    clock.now += 10.0
    assert controller.tick(clock.now).command.fallback
    # By its stamp the next state follows the last one, but in between the fallback went out.
    feed(controller, clock, (WINDOW + 1) * SPEC.period_s)
    assert not controller.tick(clock.now).command.fallback
    assert mpc.asked[-1][1] is False


def test_rates_hold_per_period_of_the_robot_where_ticks_come_faster_than_real_time():
    data = SPEC.model_dump()
    data['action']['rate_limit'] = (100.0,) * 6
    controller, clock = Controller(parse(RobotSpec, data, 'test'), FakeMPC(), Clock()), Clock()
    sent = []
    for step in range(4):
        feed(controller, clock, step * SPEC.period_s)
        sent.append(controller.tick(0.0).command.values[0])
    # 100 N m / s for 0.01 s, from the fallback of 0, on the way to 0.25 * 120 N m.
    assert sent == pytest.approx([1.0, 2.0, 3.0, 4.0])


def test_reset_forgets_the_window_but_not_the_emergency_stop():
    controller, mpc, clock = make()
    drive(controller, clock, WINDOW + 1)
    controller.e_stop('pressed')
    controller.reset()
    assert mpc.resets == 1 and controller.stopped == 'pressed'
    drive(controller, clock, 1, start=WINDOW + 1)
    assert mpc.asked[-1][1] is False


def test_a_clock_that_starts_anew_starts_adaptation_and_plan_anew():
    controller, mpc, clock = make()
    for step in range(2 * WINDOW):
        clock.now = step * SPEC.period_s
        # From 100 s back to 0, as of a bag that is played again.
        feed(controller, clock, clock.now + (100.0 if step < WINDOW else 0.0))
        tick = controller.tick(clock.now)
        assert not tick.command.fallback
        assert mpc.resets == (step >= WINDOW)
        assert not mpc.asked[-1][1]


def test_another_model_goes_on_from_what_is_known_with_its_own_window():
    controller, mpc, clock = make()
    drive(controller, clock, WINDOW + 1)
    shorter, longer = FakeMPC(window_size=2), FakeMPC(window_size=WINDOW + 2)
    controller.switch_to(shorter)
    drive(controller, clock, 1, start=WINDOW + 1)
    assert shorter.taken_over is mpc
    # The one before had seen the last of these two transitions, and the one before that.
    window, attempted, _ = shorter.asked[0]
    assert attempted and torch.equal(window.actions, mpc.asked[-1][0].actions[:, -2:])
    # Two transitions are left of the history; the tick of each adds one until there are six.
    controller.switch_to(longer)
    drive(controller, clock, 5, start=WINDOW + 2)
    assert [attempted for _, attempted, _ in longer.asked] == [False] * 3 + [True] * 2


def test_whatever_happens_a_tick_gives_a_safe_command_and_raises_nothing():
    rng = np.random.default_rng(0)
    controller, mpc, clock = make()
    plan, planned = mpc.act, 0

    def act(*args):
        clock.now += rng.choice([0.0, 0.05, 0.5], p=[0.9, 0.05, 0.05])
        return plan(*args)

    mpc.act = act
    lower, upper = np.array(SPEC.action.lower), np.array(SPEC.action.upper)
    for _ in range(2000):
        clock.now += rng.choice([0.01, 0.0, 1.0], p=[0.96, 0.02, 0.02])
        stamp = clock.now + rng.choice([0.0, -0.5, -50.0, math.nan], p=[0.94, 0.02, 0.02, 0.02])
        topics = [topic for topic in SPEC.topics if rng.random() < 0.95]
        feed(
            controller,
            clock,
            stamp,
            topics,
            rng.choice([0.5, 1e300, math.inf], p=[0.9, 0.05, 0.05]),
        )
        mpc.action = rng.choice([0.25, 5.0, math.nan, -math.inf])
        mpc.valid = rng.random() < 0.9
        mpc.error = RuntimeError('x') if rng.random() < 0.05 else None
        rng.choice(
            [lambda: None, controller.reset, controller.release, lambda: controller.e_stop('x')],
            p=[0.9, 0.02, 0.06, 0.02],
        )()
        tick = controller.tick(clock.now + rng.choice([0.0, math.nan], p=[0.98, 0.02]))
        values = tick.command.values
        assert np.isfinite(values).all() and (values >= lower).all() and (values <= upper).all()
        planned += not tick.command.fallback
        if tick.command.fallback:
            assert np.array_equal(values, SPEC.action.fallback) and tick.command.reason
        if tick.state is None or controller.stopped:
            assert tick.command.fallback
    assert planned > 200 and controller.counters.fallbacks == 2000 - planned


def test_a_fallback_for_a_reason_from_outside_answers_its_state_and_ends_the_window():
    controller, mpc, clock = make()
    drive(controller, clock, WINDOW + 1)
    tick = controller.fall_back('joint_states: no joint', 0.07)
    assert tick.command.fallback and tick.command.stamp_s == 0.07
    assert tick.command.reason == tick.diagnostics.reason == 'joint_states: no joint'
    assert np.array_equal(tick.command.values, SPEC.action.fallback)
    drive(controller, clock, 1, start=WINDOW + 1)
    assert mpc.asked[-1][1] is False and controller.counters.fallbacks == 1
