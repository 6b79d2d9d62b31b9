# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The worker thread, with a planner that takes as long as the test wants."""

import functools
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mbmrl_ros.nodes.common.inputs import Refusal
from mbmrl_ros.nodes.controller.control_loop import ControlLoop, LoopSettings, Outputs
from mbmrl_ros.planners.mppi import MPPI, MPPIConfig
from mbmrl_ros.robot.action_source import Decision
from mbmrl_ros.robot.budget import LONG, CandidateBudget
from mbmrl_ros.robot.command import Command
from mbmrl_ros.robot.controller import Controller
from mbmrl_ros.robot.latency import Latency
from mbmrl_ros.robot.pacing import Pacing, SendTimeController
from mbmrl_ros.robot.phase import SensorPhaseLock
from mbmrl_ros.robot.tick import Tick
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.types import Adapted, Plan, Reading, Transitions

CHEETAH = load_robot('half_cheetah')
# The first tick of a process, and any beside other jobs, may take longer than its two periods.
SPEC = CHEETAH.model_copy(update={'safety': CHEETAH.safety.model_copy(update={'deadline_s': 0.3})})
PATIENCE_S = 20.0
PERIOD_S = SPEC.period_s


class Planner:
    """Wants full effort; a plan takes until the test lets it pass."""

    window_size = 4

    def __init__(self) -> None:
        self.pass_on = threading.Event()
        self.pass_on.set()
        self.planning = threading.Event()
        self.plans = self.resets = 0
        self.windows_whole: list[bool] = []

    def reset(self) -> None:
        self.resets += 1

    def act(
        self,
        window: Transitions,
        attempted: torch.Tensor,
        state: torch.Tensor,
        pending: object,
        until_s: float,
    ) -> Decision:
        self.planning.set()
        assert self.pass_on.wait(PATIENCE_S)
        self.plans += 1
        self.windows_whole.append(bool(attempted[0]))
        one, yes = torch.ones(1, 6), torch.ones(1, dtype=torch.bool)
        nothing = torch.full((1,), torch.nan)
        plan = Plan(
            one[:, None], nothing, one[:, None, None], nothing[:, None], 0 * yes.long(), yes
        )
        return Decision(one, yes, Adapted({}, nothing, nothing, ~yes, ~yes), plan, 0.0, 0.0)


class Heard(SensorPhaseLock):
    """Remembers what it was told."""

    def __init__(self) -> None:
        super().__init__(PERIOD_S)
        self.records: list[tuple[float, float]] = []
        self.intervals: list[float] = []

    def record(self, at_s: float, late_s: float, interval_s: float = math.inf) -> None:
        self.records.append((at_s, late_s))
        self.intervals.append(interval_s)


class NodeBench:
    """A loop whose commands and ticks end up in lists."""

    def __init__(
        self, lockstep: bool, watchdog_s: float, send_after_s: float, latency: Latency | None
    ) -> None:
        send_time = SendTimeController(PERIOD_S)
        send_time.after_s = send_after_s
        self.planner = Planner()
        clock = (lambda: 0.0) if lockstep else time.monotonic
        self.controller = Controller(SPEC, self.planner, clock, latency)
        self.commands: list[Command] = []
        self.sent_s: list[float] = []
        self.ticks: list[Tick] = []
        self.errors: list[str] = []
        self.phase = Heard()
        self.loop = ControlLoop(
            self.controller,
            LoopSettings(lockstep, watchdog_s, threads=1),
            Outputs(self.publish, self.ticks.append, self.errors.append),
            Pacing(PERIOD_S, send_time if send_after_s else None, self.phase),
        )
        self.loop.open()
        self.loop.activate()

    def publish(self, command: Command) -> None:
        self.sent_s.append(time.monotonic())
        self.commands.append(command)

    def feed(self, stamp_s: float, *topics: str, received_s: float | None = None) -> None:
        received_s = time.monotonic() if received_s is None else received_s
        for topic in topics or SPEC.topics:
            values = [0.0] * len(SPEC.topic_signals(topic))
            if topic == 'odom':
                values[SPEC.topic_signals(topic).index('odom:pose.pose.orientation.w')] = 1.0
            self.loop.put(Reading(topic, stamp_s, received_s, tuple(values)))

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, (self.commands, self.errors)
            time.sleep(0.001)

    def settle(self) -> None:
        """Return when the worker has done all that it was asked for before."""
        self.loop.wait(lambda: None)


@pytest.fixture
def make() -> Iterator[Callable[..., NodeBench]]:
    rigs: list[NodeBench] = []

    def build(
        lockstep: bool = False,
        watchdog_s: float = 1000.0,
        send_after_s: float = 0.0,
        latency: Latency | None = None,
    ) -> NodeBench:
        rigs.append(NodeBench(lockstep, watchdog_s, send_after_s, latency))
        return rigs[-1]

    yield build
    for rig in rigs:
        rig.planner.pass_on.set()
        rig.loop.close()


def planned(command: Command) -> bool:
    return not command.fallback and bool((command.values == SPEC.action.upper).all())


def is_fallback(command: Command) -> bool:
    return command.fallback and bool((command.values == 0).all())


def begin_slow_plan(rig: NodeBench, stamp_s: float = 1.0) -> None:
    # A period that begins while the thread is still at the last one may be missed.
    rig.settle()
    rig.planner.pass_on.clear()
    rig.planner.planning.clear()
    rig.feed(stamp_s)
    rig.loop.wake()
    assert rig.planner.planning.wait(PATIENCE_S)


def test_a_wake_up_makes_one_tick_that_answers_the_newest_readings(make):
    rig = make()
    rig.feed(1.0)
    rig.feed(1.01)
    rig.loop.wake()
    rig.until(lambda: len(rig.commands) == 1)
    assert planned(rig.commands[0]) and rig.commands[0].stamp_s == 1.01
    assert rig.planner.plans == 1


def test_stopping_during_a_plan_sends_the_fallback_at_once_and_the_plan_never(make):
    rig = make()
    begin_slow_plan(rig)
    rig.loop.deactivate('stopped')
    assert len(rig.commands) == 1 and is_fallback(rig.commands[0])
    rig.planner.pass_on.set()
    rig.settle()
    assert len(rig.commands) == 1 and rig.planner.plans == 1


def test_an_emergency_stop_during_a_plan_lets_only_the_fallback_out(make):
    rig = make()
    begin_slow_plan(rig)
    rig.loop.e_stop('pressed')
    assert is_fallback(rig.commands[0]) and rig.commands[0].reason == 'pressed'
    rig.planner.pass_on.set()
    rig.until(lambda: len(rig.commands) == 2)
    assert is_fallback(rig.commands[1])
    rig.settle()
    rig.feed(1.01)
    rig.loop.wake()
    rig.until(lambda: len(rig.commands) == 3)
    assert is_fallback(rig.commands[2]) and rig.commands[2].reason == 'pressed'


def test_a_stop_between_safety_filter_and_sending_still_wins(make):
    rig = make()
    tick = rig.controller.tick

    def tick_then_stop(now_s: float, send_s: float, until_s: float) -> Tick:
        result = tick(now_s, send_s, until_s)
        rig.controller.e_stop('pressed')
        return result

    rig.controller.tick = tick_then_stop
    rig.feed(1.0)
    rig.loop.wake()
    rig.until(lambda: len(rig.ticks) == 1)
    assert is_fallback(rig.commands[0]) and is_fallback(rig.ticks[0].command)


def test_periods_that_pass_during_a_plan_are_missed_and_make_no_burst_of_ticks(make):
    rig = make()
    begin_slow_plan(rig)
    for ago in range(4, 0, -1):
        rig.loop.wake(time.monotonic() - ago * PERIOD_S)
    rig.planner.pass_on.set()
    rig.settle()
    assert rig.loop.periods_missed == 4
    assert rig.planner.plans == 1 and len(rig.commands) == 1
    rig.feed(1.05)
    rig.loop.wake()
    rig.until(lambda: len(rig.commands) == 2)
    assert rig.planner.plans == 2 and rig.loop.periods_missed == 4


def test_states_of_periods_that_were_missed_are_part_of_the_window(make):
    rig = make(latency=Latency(SPEC))
    # However slow the machine is, no tick is past its deadline.
    rig.controller._clock = lambda: 0.0
    rig.planner.pass_on.clear()
    began_s = time.monotonic()
    rig.feed(1.0, received_s=began_s)
    rig.loop.wake()
    assert rig.planner.planning.wait(PATIENCE_S)
    for step in range(1, 5):
        rig.feed(1.0 + PERIOD_S * step, received_s=began_s + PERIOD_S * step)
    rig.planner.pass_on.set()
    rig.settle()
    rig.loop.wake()
    rig.until(lambda: len(rig.commands) == 2)
    assert rig.planner.windows_whole == [False, True]


def test_a_tick_that_ends_just_after_its_period_costs_no_other_period(make):
    rig = make()
    begin_slow_plan(rig)
    # As if the plan had run into the first fifth of the next period: at no time late enough.
    rig.loop.wake(time.monotonic() + PATIENCE_S)
    rig.planner.pass_on.set()
    rig.until(lambda: len(rig.commands) == 2)
    assert rig.loop.periods_missed == 0


def test_a_worker_that_was_idle_ticks_however_late_it_is_woken(make):
    rig = make()
    rig.feed(1.0)
    rig.loop.wake(time.monotonic() - 3 * PERIOD_S)
    rig.until(lambda: len(rig.commands) == 1)
    assert rig.loop.periods_missed == 0


def test_periods_without_a_wake_up_are_missed(make):
    rig = make()
    rig.feed(1.0)
    rig.loop.wake(skipped=2)
    rig.until(lambda: len(rig.commands) == 1)
    assert rig.loop.periods_missed == 2


def test_past_its_deadline_a_tick_is_replaced_by_the_last_command_that_decays(make):
    rig = make()
    rig.feed(1.0)
    rig.loop.wake()
    rig.until(lambda: len(rig.commands) == 1)
    begin_slow_plan(rig, 1.01)
    rig.until(lambda: rig.loop.wake() or len(rig.commands) == 6)
    rig.planner.pass_on.set()
    rig.until(lambda: len(rig.commands) > 6)
    rig.settle()
    full, *decaying = rig.commands[:7]
    upper = np.array(SPEC.action.upper)
    shares = [command.values / upper for command in decaying]
    assert planned(full) and all(np.ptp(share) < 1e-9 for share in shares)
    # exp(-t / decay_s) from the begin of the tick on, where t is over deadline_s; and the tick's
    # own command goes on from there.
    sizes = [share[0] for share in shares]
    first = np.exp(-SPEC.safety.deadline_s / SPEC.safety.decay_s)
    assert first > sizes[0] and sizes == sorted(sizes, reverse=True) and sizes[-1] > 0
    assert all(command.reason.startswith('late: ') for command in decaying)
    assert not any(command.fallback for command in decaying)
    assert [tick.command for tick in rig.ticks[:2]] == [full, decaying[-1]]


def test_an_emergency_stop_ends_the_decay(make):
    rig = make()
    rig.feed(1.0)
    rig.loop.wake()
    rig.until(lambda: len(rig.commands) == 1)
    begin_slow_plan(rig, 1.01)
    rig.until(lambda: rig.loop.wake() or len(rig.commands) == 3)
    rig.loop.e_stop('pressed')
    rig.loop.wake()
    assert len(rig.commands) == 5 and all(map(is_fallback, rig.commands[3:]))
    rig.loop.deactivate('stopped')
    rig.loop.wake()
    assert len(rig.commands) == 6, 'and nothing after the last one'


def test_a_command_goes_out_at_its_moment_of_the_period_and_a_fallback_at_once(make):
    rig = make(send_after_s=0.05)
    rig.feed(1.0)
    at_s = time.monotonic()
    rig.loop.wake(at_s)
    rig.until(lambda: len(rig.ticks) == 1)
    assert rig.sent_s[0] >= at_s + 0.05
    report = rig.ticks[0].diagnostics
    assert report.tick_s < rig.sent_s[0] - at_s, 'waiting is no part of the tick'
    # Nobody would wait for a moment that far away.
    rig = make(send_after_s=1000 * PATIENCE_S)
    rig.loop.wake()
    rig.until(lambda: len(rig.commands) == 1)
    assert is_fallback(rig.commands[0]) and 'no reading yet' in rig.commands[0].reason


def test_the_period_error_is_how_far_commands_are_from_whole_periods_apart(make):
    rig = make()
    for stamp_s in (1.0, 1.01, 1.04):
        rig.feed(stamp_s)
        count = len(rig.ticks)
        rig.loop.wake()
        rig.until(lambda count=count: len(rig.ticks) > count)
    errors = [tick.diagnostics.period_error_s for tick in rig.ticks]
    assert np.isnan(errors[0])
    for error_s, gap_s in zip(errors[1:], np.diff(rig.sent_s)):
        periods = max(1, round(gap_s / PERIOD_S))
        # The rig takes its time a moment before the loop does.
        assert error_s == pytest.approx(gap_s - periods * PERIOD_S, abs=PERIOD_S / 4)


def test_every_tick_says_how_late_readings_were_and_the_phase_is_told(make):
    rig = make()
    at_s = time.monotonic() - 0.02
    cases = [({'odom': 0.003, 'joint_states': -0.004}, 0.003),
             ({'odom': -0.003, 'joint_states': -0.004}, -0.003),
             ({'odom': -0.003}, np.nan)]  # fmt: skip
    for tick, (arrivals, _) in enumerate(cases):
        for topic, after_s in arrivals.items():
            rig.feed(1.0 + tick * PERIOD_S, topic, received_s=at_s + after_s)
        rig.loop.wake(at_s)
        rig.until(lambda tick=tick: len(rig.ticks) == tick + 1)
    expected = pytest.approx([late_s for _, late_s in cases], nan_ok=True)
    assert [tick.diagnostics.sensors_late_s for tick in rig.ticks] == expected
    assert [late_s for _, late_s in rig.phase.records] == expected
    assert {begun_s for begun_s, _ in rig.phase.records} == {at_s}
    assert rig.phase.intervals == [math.inf] * 3
    for after_s in (-0.02, -0.012, -0.004):
        rig.feed(2.0 + after_s, received_s=at_s + after_s)
    rig.loop.wake(at_s)
    rig.until(lambda: len(rig.ticks) == 4)
    assert rig.phase.intervals[3] == pytest.approx(0.008)


def test_ticks_of_the_watchdog_and_in_lockstep_begin_no_period(make):
    rig = make(watchdog_s=0.01)
    rig.until(lambda: len(rig.ticks) > 1)
    assert not rig.phase.records
    rig = make(lockstep=True)
    rig.feed(1.0)
    rig.until(lambda: len(rig.ticks) == 1)
    assert not rig.phase.records


def test_no_reading_is_lost_while_a_plan_is_computed(make):
    rig = make()
    taken: list[float] = []
    on_reading = rig.controller.on_reading
    rig.controller.on_reading = lambda r: (taken.append(r.stamp_s), on_reading(r))[1]
    begin_slow_plan(rig)
    stamps = [1.0 + PERIOD_S * step for step in range(1, 40)]
    for stamp_s in stamps:
        rig.feed(stamp_s, 'odom')
    rig.planner.pass_on.set()
    # A period whose tick begins late, since the last one took so long, is skipped.
    rig.until(lambda: rig.loop.wake() or len(rig.commands) > 1)
    assert taken == [1.0, 1.0, *stamps]


def test_without_wake_ups_the_watchdog_sends_the_fallback_with_the_reason(make):
    rig = make(watchdog_s=0.05)
    rig.feed(1.0)
    rig.until(lambda: len(rig.commands) > 0 and rig.commands[-1].fallback)
    assert rig.commands[-1].reason.startswith('odom: stale')


def test_in_lockstep_silence_makes_the_fallback_whose_stamp_answers_nothing(make):
    rig = make(lockstep=True, watchdog_s=0.3)
    rig.feed(1.0)
    rig.until(lambda: len(rig.commands) == 2)
    assert planned(rig.commands[0]) and is_fallback(rig.commands[1])
    assert rig.commands[1].reason.startswith('odom: stale')
    assert np.isnan(rig.commands[1].stamp_s)


def test_in_lockstep_a_tick_begins_when_all_topics_have_the_same_stamp(make):
    rig = make(lockstep=True)
    rig.feed(1.0, 'odom')
    rig.settle()
    assert not rig.commands
    rig.feed(1.0, 'joint_states')
    rig.until(lambda: len(rig.commands) == 1)
    rig.feed(1.01, 'joint_states')
    rig.settle()
    assert len(rig.commands) == 1
    rig.feed(1.01, 'odom')
    rig.until(lambda: len(rig.commands) == 2)
    assert [command.stamp_s for command in rig.commands] == [1.0, 1.01]


def test_in_lockstep_a_state_that_comes_again_gets_the_same_answer_without_a_new_plan(make):
    rig = make(lockstep=True)
    rig.feed(1.0)
    rig.until(lambda: len(rig.commands) == 1)
    rig.feed(1.0)
    rig.until(lambda: len(rig.commands) > 1)
    rig.settle()
    assert rig.planner.plans == 1 and len(rig.ticks) == 1
    assert all(command is rig.commands[0] for command in rig.commands)


def test_in_lockstep_a_refused_reading_is_answered_by_the_fallback_and_its_reason(make):
    rig = make(lockstep=True)
    rig.feed(1.0, 'odom')
    rig.loop.put(Refusal('joint_states', 1.0, time.monotonic(), 'no joint'))
    rig.until(lambda: len(rig.commands) == 1)
    assert is_fallback(rig.commands[0])
    assert (rig.commands[0].stamp_s, rig.commands[0].reason) == (1.0, 'no joint')
    assert rig.controller.counters.refused == {'no joint': 1}
    rig.feed(1.01)
    rig.until(lambda: len(rig.commands) == 2)
    assert planned(rig.commands[1])


def test_in_lockstep_a_slow_plan_is_not_late_since_time_stands_still(make):
    rig = make(lockstep=True)
    begin_slow_plan(rig)
    time.sleep(1.5 * SPEC.safety.deadline_s)
    rig.planner.pass_on.set()
    rig.until(lambda: len(rig.commands) == 1)
    assert planned(rig.commands[0])


def test_a_job_runs_between_two_ticks_without_making_one(make):
    rig = make()
    begin_slow_plan(rig)
    done: list[int] = []
    rig.loop.submit(lambda: done.append(rig.planner.plans))
    assert not done
    rig.planner.pass_on.set()
    rig.until(lambda: bool(done))
    rig.settle()
    assert done == [1] and rig.planner.plans == 1


def test_what_a_job_raises_reaches_whoever_waits_for_it_and_the_thread_lives_on(make):
    rig = make()

    def fail() -> None:
        raise ValueError('a job')

    with pytest.raises(ValueError, match='a job'):
        rig.loop.wait(fail)
    rig.loop.submit(fail)
    rig.until(lambda: len(rig.errors) == 1)
    assert 'a job' in rig.errors[0]
    assert is_fallback(rig.commands[-1]), 'nobody knows what state an error left behind'
    rig.settle()
    rig.feed(1.0)
    rig.loop.wake()
    rig.until(lambda: planned(rig.commands[-1]))


def test_activating_again_forgets_what_was_before(make):
    rig = make()
    rig.feed(1.0)
    rig.loop.deactivate('stopped')
    rig.feed(1.01)
    rig.settle()
    resets = rig.planner.resets
    rig.loop.activate()
    rig.loop.wake()
    rig.until(lambda: len(rig.commands) == 2)
    assert rig.planner.resets == resets + 1
    assert rig.commands[1].reason == 'odom: no reading yet'


def test_a_reset_in_lockstep_drops_a_state_that_waits_for_its_tick(make):
    rig = make(lockstep=True)
    begin_slow_plan(rig)
    rig.feed(1.01)
    rig.loop.reset()
    rig.planner.pass_on.set()
    rig.settle()
    assert [command.stamp_s for command in rig.commands] == [1.0]
    # The simulator sends it again, and then it is the first one of a new history.
    rig.feed(1.01)
    rig.until(lambda: len(rig.commands) == 2)
    assert rig.planner.plans == 2


def drive(rig: NodeBench, ticks: int, first: int = 0) -> None:
    """Make so many ticks, one after the other, of states that follow each other."""
    for step in range(first, first + ticks):
        count = rig.controller.counters.ticks
        rig.feed(1.0 + PERIOD_S * step)
        rig.loop.wake()
        rig.until(lambda count=count: rig.controller.counters.ticks > count)
        rig.settle()


def recorded(latency: Latency) -> list[float]:
    """Return the first joint of all commands that are known, in -1..1, without the first one."""
    return [float(action[0]) for _, action in list(latency._sent)[1:]]


def in_effect(rig: NodeBench) -> list[float]:
    return [float(command.values[0] / SPEC.action.upper[0]) for command in rig.commands]


def raising(*arguments: object) -> None:
    raise ValueError(f'cannot be drawn at {time.monotonic()}')


def test_a_report_that_raises_changes_no_command_and_is_said_once(make):
    rig = make(latency=Latency(SPEC))
    rig.loop._on_tick = raising
    drive(rig, 6)
    assert len(rig.commands) == 6 and all(planned(command) for command in rig.commands)
    assert len(rig.errors) == 1 and 'cannot be drawn' in rig.errors[0]
    assert rig.loop.reporter.failed == 6
    assert rig.controller.counters.fallbacks == 0
    # Another start may say it again.
    rig.loop.deactivate('stopped')
    rig.loop.activate()
    drive(rig, 1)
    assert len(rig.errors) == 2


def test_faults_that_cannot_even_be_said_do_no_harm(make):
    rig = make()
    rig.loop._on_tick = raising
    rig.loop.reporter._on_error = raising
    drive(rig, 3)
    assert [planned(command) for command in rig.commands] == [True] * 3


def test_a_report_that_blocks_holds_up_neither_commands_nor_a_stop(make):
    rig, release = make(), threading.Event()
    rig.loop._on_tick = lambda tick: release.wait(PATIENCE_S)
    for step in range(80):
        rig.feed(1.0 + PERIOD_S * step)
        rig.loop.wake()
        rig.until(lambda step=step: len(rig.commands) == step + 1)
        # Not `settle`, which waits for reports.
        rig.loop._worker.wait(lambda: None)
    rig.loop.e_stop('pressed')
    assert rig.commands[-1].reason == 'pressed'
    # One is being reported, 64 wait, and nobody keeps more of them.
    assert rig.loop.reporter.dropped == 80 - 65
    release.set()
    rig.settle()


class Sometimes(Planner):
    """Plans when the test wants; else it answers at once, as between two episodes."""

    plans_now = False
    planner = MPPI(MPPIConfig(candidates=16, horizon=2), SPEC.action_size)

    def use_planner(self, planner: MPPI) -> None:
        self.planner = planner

    def use_reward(self, reward: object) -> None: ...

    def inherit_warm_start(self, other: object) -> None: ...

    def act(self, *given: Any) -> Decision:
        decision = super().act(*given)
        return decision if self.plans_now else replace(decision, plan=None)


def test_ticks_without_a_plan_say_nothing_of_how_long_plans_take(make):
    latency = Latency(SPEC)
    rig = make(send_after_s=1e-3, latency=latency)
    source, send_time = Sometimes(), rig.loop._pacing.send_time
    rig.controller.switch_to(source)
    rig.controller.use_planner(source.planner, CandidateBudget(1.0, 16, 999, 16))

    def tick(count: int) -> None:
        for _ in range(count):
            before = len(rig.ticks)
            rig.feed(1.0 + 0.01 * source.plans)
            rig.loop.wake()
            rig.until(lambda before=before: len(rig.ticks) > before)

    tick(LONG)
    assert rig.controller.candidates == 16 and not latency._ticks and not send_time._ticks
    source.plans_now = True
    tick(LONG)
    assert rig.controller.candidates > 16 and latency._ticks and send_time._ticks


@pytest.mark.parametrize('what', ['pace', 'send_time', 'phase'])
def test_what_is_learned_from_a_tick_comes_behind_its_command(make, what):
    rig = make(send_after_s=1e-9)
    places = {
        'pace': (rig.controller, 'pace'),
        'send_time': (rig.loop._pacing.send_time, 'record'),
        'phase': (rig.phase, 'record'),
    }
    setattr(*places[what], raising)
    drive(rig, 3)
    assert [planned(command) for command in rig.commands] == [True] * 3
    assert len(rig.errors) == 1 and len(rig.ticks) == 3


def stop(rig: NodeBench) -> None:
    rig.loop.deactivate('stopped')


def press(rig: NodeBench) -> None:
    rig.loop.e_stop('pressed')


def hold(rig: NodeBench) -> None:
    rig.loop._outbox._planning_since_s = time.monotonic() - 2 * SPEC.safety.deadline_s
    rig.loop.wake()
    # Jobs come before the tick that is due.
    rig.settle()
    rig.settle()


def fail_a_job(rig: NodeBench) -> None:
    rig.loop.submit(lambda: raising())
    rig.settle()


def fail_a_tick(rig: NodeBench) -> None:
    rig.controller.tick, tick = raising, rig.controller.tick
    rig.loop.wake()
    rig.settle()
    rig.settle()
    rig.controller.tick = tick


def fail_for_good(rig: NodeBench) -> None:
    rig.controller.fall_back, fall_back = raising, rig.controller.fall_back
    fail_a_tick(rig)
    rig.controller.fall_back = fall_back


@pytest.mark.parametrize('aside', [stop, press, hold, fail_a_job, fail_a_tick, fail_for_good])
def test_latency_and_counters_know_every_command_that_goes_out(make, aside):
    latency = Latency(SPEC)
    rig = make(latency=latency)
    drive(rig, 2)
    aside(rig)
    rig.settle()
    assert len(rig.commands) > 2
    assert recorded(latency) == pytest.approx(in_effect(rig))
    counters = rig.controller.counters
    assert counters.commands == len(rig.commands)
    assert counters.fallbacks == sum(command.fallback for command in rig.commands)


def test_after_a_stop_and_a_start_the_robot_is_known_to_stand_at_the_fallback(make):
    rig = make(latency=Latency(SPEC))
    pending: list[object] = []
    act = rig.planner.act
    rig.planner.act = lambda *arguments: (pending.append(arguments[3]), act(*arguments))[1]
    drive(rig, 3)
    rig.loop.deactivate('stopped')
    rig.loop.activate()
    drive(rig, 1, first=3)
    assert pending[-1], 'time passes between a state and the effect of its command'
    assert all(not action.any() for action, _ in pending[-1])


def test_without_latency_the_history_has_the_fallback_of_a_stop_during_a_plan(make):
    rig = make()
    drive(rig, 2)
    begin_slow_plan(rig, 1.0 + 2 * PERIOD_S)
    rig.loop.e_stop('pressed')
    rig.planner.pass_on.set()
    rig.settle()
    drive(rig, 1, first=3)
    known = rig.controller._past.history.known().actions
    assert known[-1].tolist() == [0.0] * 6 and known[-2].tolist() == [1.0] * 6


def test_a_plan_from_before_a_stop_does_not_go_out_after_the_next_start(make):
    rig = make()
    begin_slow_plan(rig)
    rig.loop.deactivate('stopped')
    rig.loop.activate()
    rig.planner.pass_on.set()
    rig.settle()
    assert [command.reason for command in rig.commands] == ['stopped']
    drive(rig, 1, first=1)
    assert planned(rig.commands[-1])


def test_a_command_that_cannot_be_published_is_said_and_was_not_applied(make):
    latency = Latency(SPEC)
    rig = make(latency=latency)
    drive(rig, 2)
    broken = threading.Event()
    broken.set()

    def publish(command: Command) -> None:
        if broken.is_set():
            raising()
        rig.publish(command)

    rig.loop._outbox._publish = publish
    drive(rig, 1, first=2)
    rig.loop.e_stop('pressed')
    rig.loop.wait(rig.controller.release)
    hold(rig)
    assert recorded(latency) == [1.0, 1.0] and rig.controller.counters.commands == 2
    assert {trace.splitlines()[-1].split(' at ')[0] for trace in rig.errors} == {
        'ValueError: cannot be drawn'
    }
    broken.clear()
    drive(rig, 1, first=6)
    assert planned(rig.commands[-1]) and recorded(latency) == [1.0] * 3


def test_a_tick_that_fails_every_time_is_said_once(make):
    rig = make()
    rig.controller.tick = raising
    for step in range(5):
        rig.loop.wake()
        rig.until(lambda step=step: len(rig.commands) == step + 1)
        rig.settle()
    assert all(is_fallback(command) for command in rig.commands) and len(rig.errors) == 1
    assert [tick.diagnostics.reason for tick in rig.ticks] == ['internal error'] * 5


def test_in_lockstep_a_job_that_fails_does_not_answer_the_state_that_waits_for_its_plan(make):
    rig = make(lockstep=True)
    busy = threading.Event()
    rig.loop.submit(lambda: busy.wait(PATIENCE_S))
    rig.loop.submit(raising)
    rig.feed(1.0)
    busy.set()
    rig.until(lambda: len(rig.commands) == 2)
    assert is_fallback(rig.commands[0]) and math.isnan(rig.commands[0].stamp_s)
    assert planned(rig.commands[1]) and rig.commands[1].stamp_s == 1.0


def test_threads_that_send_at_once_leave_one_account(make):
    latency = Latency(SPEC)
    rig = make(latency=latency)
    threads = [
        threading.Thread(target=lambda: [rig.loop.e_stop('pressed') for _ in range(40)])
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()

    def ticked(step):
        # A period that goes by while the worker is busy is missed.
        rig.loop.wake()
        return rig.controller.counters.ticks > step

    for step in range(40):
        rig.feed(1.0 + PERIOD_S * step)
        rig.until(functools.partial(ticked, step))
    for thread in threads:
        thread.join()
    rig.settle()
    assert not rig.errors
    assert rig.controller.counters.commands == len(rig.commands)
    assert recorded(latency) == pytest.approx(in_effect(rig)[-len(recorded(latency)) :])


def test_a_stop_that_comes_after_a_release_stays_however_late_the_release_is_done(make):
    rig = make()
    rig.loop.e_stop('pressed')
    rig.planner.pass_on.clear()
    rig.loop.submit(lambda: rig.planner.pass_on.wait(PATIENCE_S))
    rig.loop.release()
    rig.loop.e_stop('pressed again')
    rig.planner.pass_on.set()
    rig.settle()
    assert rig.controller.stopped
    rig.feed(1.0)
    rig.loop.wake()
    rig.until(lambda: len(rig.ticks) == 1)
    assert all(command.fallback for command in rig.commands)
    rig.loop.release()
    rig.settle()
    assert not rig.controller.stopped


def test_in_lockstep_a_state_that_comes_again_after_a_stop_gets_the_fallback(make):
    rig = make(lockstep=True)
    rig.feed(1.0)
    rig.until(lambda: len(rig.commands) == 1)
    assert not rig.commands[0].fallback
    rig.loop.e_stop('pressed')
    rig.feed(1.0)
    rig.until(lambda: len(rig.commands) >= 3)
    rig.settle()
    assert all(command.fallback and command.stamp_s == 1.0 for command in rig.commands[1:])
