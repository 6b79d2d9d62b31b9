# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The controller of one robot: readings in, commands out, and nothing raises in between."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch

from mbmrl_ros.robot.action_source import (
    ActionSource,
    Decision,
    LearningSource,
    PlanningSource,
)
from mbmrl_ros.robot.bounds import Bounds
from mbmrl_ros.robot.budget import CandidateBudget, with_candidates
from mbmrl_ros.robot.command import Command, to_units
from mbmrl_ros.robot.history import CommandHistory, stack_windows
from mbmrl_ros.robot.latency import Latency
from mbmrl_ros.robot.prediction_monitor import PredictionError, PredictionMonitor
from mbmrl_ros.robot.safety import LIMITED, SafetyFilter
from mbmrl_ros.robot.state import Assembled, StateAssembler
from mbmrl_ros.robot.tick import Counters, Diagnostics, Tick, diagnose
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array, Planner, Reading, RewardFn

LONGEST_REASON = 200
# What numbers, models and rewards do not raise when they fail, and mistakes in a program do.
PROGRAMMING_ERRORS = (TypeError, AttributeError, NameError, LookupError, AssertionError)


@dataclass(frozen=True)
class _Proposal:
    """What adapting and planning came to.

    wanted: [A] in units, or None and the reason. trace: of what was raised, if anything was.
    """

    wanted: Array | None
    reason: str
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    decision: Decision | None = None
    trace: str = ''


class Controller:
    """Keeps the state, the history and the safety filter of a robot around what decides.

    Every command goes out by `send`, which records it: history, latency and counters know of what
    moved the robot, and of nothing else. Where nobody sends, `tick` and `fall_back` record what
    they return; `records` says which.

    Threads: `send`, `decayed_command`, `e_stop` and `stopped` from any; everything else from the
    one that ticks. `barred` is set from any thread.
    """

    def __init__(
        self,
        spec: RobotSpec,
        source: ActionSource,
        clock: Callable[[], float] = time.monotonic,
        latency: Latency | None = None,
        monitor: PredictionMonitor | None = None,
    ) -> None:
        """source: decides on actions. clock: steady [s], for durations and time-outs.

        latency: plan for where the robot will be; without it, commands take effect at once (as
        they do in lockstep). monitor: for shadow mode, in which somebody else drives: their
        commands come by `on_external_command`, and predictions are scored on what they lead to.
        """
        if monitor is not None and latency is None:
            raise ValueError('shadow mode needs latency: it says when the commands heard count')
        self.spec = spec
        self.counters = Counters()
        self._source = source
        self._clock = clock
        self._assembler = StateAssembler(spec)
        self._safety = SafetyFilter(spec)
        self._past, self._monitor = CommandHistory(spec, source.window_size, latency), monitor
        # Decides on the number of candidates, if anything does; see `use_planner`.
        self.budget: CandidateBudget | None = None
        self.records = True
        self._sending = threading.Lock()
        self._sent: Command | None = None
        self._last_sent_s = math.nan
        # Why no plan may go out whatever the state is, from outside; empty: there is no reason.
        self.barred = ''

    def on_reading(self, reading: Reading) -> str | None:
        """Store a sensor reading; return None, or why it was refused."""
        reason = self._assembler.on_reading(reading)
        if reason is not None:
            self.counters.refused[reason] += 1
        return reason

    def on_external_command(self, at_s: float, values: Array) -> None:
        """Record a command [A] in units that somebody else sent at `at_s`, steady clock."""
        self._past.on_external_command(at_s, values)

    def send(self, command: Command, publish: Callable[[Command], object]) -> None:
        """Publish a command and record that it went out; from any thread.

        What publish raises is raised, and nothing is recorded then.
        """
        with self._sending:
            publish(command)
            self._record(command, self._clock())

    def record_missed_period(self, now_s: float) -> None:
        """Add the state at the begin of a period in which no tick begins to the history.

        Then transitions have no gap where a tick takes more than a period. now_s: steady clock,
        as in `Reading.received_s`.
        """
        self._forget_prediction()
        # A gap is safe, a reading that is lost because of it is not.
        with self._counting('a missed period', otherwise=self._past.clear):
            self._assembler.begin_period(now_s)
            assembled = self._assembler.assemble(now_s)
            self._past.record_missed_period(
                assembled.state, assembled.stamp_s, assembled.measured_s
            )

    def use_bounds(self, bounds: Bounds) -> None:
        """Hold states against bounds that the robot file does not tell."""
        self._assembler.bounds = bounds

    @property
    def stamp_s(self) -> float:
        """The stamp of the newest state that is part of the history; NaN after a gap."""
        return self._past.history.stamp_s

    def complete_stamp(self) -> float | None:
        """Return the stamp that all newest readings share, or None (for lockstep)."""
        return self._assembler.complete_stamp()

    def tick(self, now_s: float, send_s: float = -math.inf, until_s: float = math.inf) -> Tick:
        """Adapt, plan and return the command that may go out (thesis, Algorithm 10).

        now_s: steady clock, as in `Reading.received_s`. send_s: when the command will be sent, if
        it is ready by then. until_s: when imagining has to end, on the steady clock.
        """
        started = self._clock()
        if self._sent is not None:
            self._safety.went_out(self._sent.values)
        self._assembler.begin_period(now_s)
        assembled = self._assembler.assemble(now_s)
        proposal = self._propose(assembled, started, send_s, until_s)
        elapsed_s = self._clock() - started
        values, reason = self._safety.filter(
            proposal.wanted, proposal.reason, assembled.state, elapsed_s, self._since_last(started)
        )
        self._count(elapsed_s)
        if self.is_typical(proposal.decision) and self._past.latency is not None:
            self._past.latency.record_duration(elapsed_s)
        command = Command(assembled.stamp_s, values, self._safety.fell_back, reason)
        if self.records:
            now_s = self._clock()
            self._record(command, now_s if command.fallback else max(now_s, send_s))
        tick_s = self._clock() - started
        diagnostics = replace(proposal.diagnostics, tick_s=tick_s, reason=reason)
        return Tick(command, diagnostics, assembled.state, proposal.decision, proposal.trace)

    def fall_back(self, reason: str, stamp_s: float) -> Tick:
        """Return the fallback for a reason that lies outside; the history has a gap there.

        stamp_s: of the state that it answers.
        """
        self._past.clear()
        values, reason = self._safety.filter(None, reason, None, 0.0, self.spec.period_s)
        self._count(0.0)
        command = Command(stamp_s, values, True, reason)
        if self.records:
            self._record(command, self._clock())
        return Tick(command, Diagnostics(reason=reason))

    def decayed_command(self, elapsed_s: float) -> Command:
        """Return what goes out while a tick is past its deadline; the tick may still run."""
        values, reason = self._safety.late(elapsed_s)
        return Command(math.nan, values, False, reason)

    def pace(self, tick_s: float) -> bool:
        """Choose how many candidates the next tick imagines; return whether it will fit.

        tick_s: how long the last one took, from its wake-up on.
        """
        budget, source = self.budget, self._source
        if budget is None or not isinstance(source, PlanningSource):
            return True
        before = budget.candidates
        if budget.record(tick_s) != before:
            source.use_planner(with_candidates(source.planner, budget.candidates))
        return budget.settled

    def is_typical(self, decision: Decision | None) -> bool:
        """Whether how long a tick took says how long others will take.

        One that might have planned and did not (between two episodes, or at random) took no time.
        """
        if decision is None:
            return False
        return decision.plan is not None or not isinstance(self._source, PlanningSource)

    @property
    def candidates(self) -> int:
        """How many candidates the next plan imagines; 0 where nothing is planned."""
        if not isinstance(self._source, PlanningSource):
            return 0
        return int(self._source.planner.config.candidates)

    @property
    def goal_s(self) -> float:
        """How long a tick may take, NaN where nothing is done about it."""
        return math.nan if self.budget is None else self.budget.goal_s

    def use_planner(self, planner: Planner, budget: CandidateBudget | None) -> None:
        """Exchange the planner between two ticks; the warm start stays.

        budget: decides on the number of candidates in the planner's place.
        """
        self.budget = budget
        if isinstance(self._source, PlanningSource):
            self._source.use_planner(
                with_candidates(planner, budget.candidates) if budget else planner
            )

    def use_reward(self, reward: RewardFn) -> None:
        """Exchange the reward between two ticks; everything else stays."""
        if isinstance(self._source, PlanningSource):
            self._source.use_reward(reward)

    def switch_to(self, source: ActionSource, monitor: PredictionMonitor | None = None) -> None:
        """Exchange what decides between two ticks; what is known of the robot stays.

        That is its history, as far as it reaches for the new model, and the warm start. The new
        planner's budget comes by `use_planner`.
        """
        self.budget = None
        if isinstance(source, PlanningSource):
            source.inherit_warm_start(self._source)
        self._source, self._monitor = source, monitor
        self._past.resize(source.window_size)

    def reset(self) -> None:
        """Forget history, warm start and adaptation, for a robot that was put somewhere else."""
        self._source.reset()
        self._begin_anew()

    def e_stop(self, reason: str) -> None:
        """Latch the emergency stop."""
        self._safety.e_stop(reason)

    def release(self) -> str | None:
        """Release the emergency stop; return None, or why there was nothing to release."""
        reason = self._safety.release()
        if reason is None:
            self._sent = None
            # What was learned from minutes of driving is as true after a stop as before.
            if not isinstance(self._source, LearningSource):
                self._source.reset()
            self._begin_anew()
        return reason

    @property
    def stopped(self) -> str:
        """Why the emergency stop is latched; empty if it is not."""
        return self._safety.stopped

    def _begin_anew(self) -> None:
        self._past.clear()
        self.counters.beginnings += 1

    def _propose(
        self, assembled: Assembled, now_s: float, send_s: float, until_s: float
    ) -> _Proposal:
        """Return what adapting and planning come to, whatever they raise."""
        if assembled.state is None or self.barred:
            self._past.clear()
            self._forget_prediction()
            return _Proposal(None, self.barred or assembled.reason)
        try:
            self._observe(assembled.state, assembled)
            return self._plan(assembled.state, now_s, send_s, until_s)
        except Exception as error:  # whatever it is, the robot is made safe
            kind = 'internal error' if isinstance(error, PROGRAMMING_ERRORS) else 'planning failed'
            text = ' '.join(f'{kind}: {type(error).__name__}: {error}'.split())
            return _Proposal(None, text[:LONGEST_REASON], trace=traceback.format_exc())

    def _observe(self, state: Array, assembled: Assembled) -> None:
        """Add a state [S] to the history; all begins anew where its stamp is an earlier one."""
        if assembled.stamp_s < self._past.stamp_s:
            self.reset()
        self._past.observe(state, assembled.stamp_s, assembled.measured_s)

    def _plan(self, state: Array, now_s: float, send_s: float, until_s: float) -> _Proposal:
        """Adapt to the history, and plan from where the robot is when the command takes effect."""
        pending, latency_s = self._past.pending(now_s, send_s)
        window, attempted = stack_windows([self._past.history])
        row = torch.from_numpy(state).float()[None]
        prediction_error = self._score()
        decision = self._source.act(window, attempted, row, pending, until_s)
        self.counters.plans_cut += decision.truncated
        diagnostics = replace(
            self._diagnose(decision), latency_s=latency_s, prediction_error=prediction_error
        )
        if not bool(decision.valid[0]):
            what = 'imagined rollout' if decision.plan is not None else 'action'
            return _Proposal(None, f'no {what} was finite', diagnostics, decision)
        action = decision.action[0].detach().double().cpu().numpy()
        return _Proposal(to_units(self.spec, action), '', diagnostics, decision)

    def _score(self) -> PredictionError:
        """Return how far off the last prediction was, in shadow mode."""
        if self._monitor is not None:
            with self._counting('a prediction to score'):
                return self._monitor.score(self._past.history.last())
        return PredictionError()

    def _diagnose(self, decision: Decision) -> Diagnostics:
        """Return how a decision came about, and remember what it predicts."""
        with self._counting('diagnostics'):
            if self._monitor is not None and decision.adapted is not None:
                self._monitor.remember(decision.adapted.params, decision.adapted.carry)
            return diagnose(decision)
        return Diagnostics()

    def _forget_prediction(self) -> None:
        if self._monitor is not None:
            self._monitor.forget()

    def _record(self, command: Command, at_s: float) -> None:
        """Record a command that went out at `at_s`; one that is repeated counts once."""
        if command is not self._sent:
            self.counters.commands += 1
            self.counters.fallbacks += command.fallback
        self._sent = command
        if command.reason not in ('', LIMITED) and isinstance(self._source, LearningSource):
            self._source.disown()
        if self._monitor is not None:
            return
        # It has gone out all the same, and a gap is safe.
        with self._counting('a command to record', otherwise=self._past.clear):
            self._past.applied(at_s, command.values)

    @contextmanager
    def _counting(
        self, what: str, otherwise: Callable[[], object] = lambda: None
    ) -> Iterator[None]:
        """Count an error by its type, for no statistics may stand in the way of a command."""
        try:
            yield
        except Exception as error:
            self.counters.refused[f'{what}: {type(error).__name__}'] += 1
            otherwise()

    def _since_last(self, now_s: float) -> float:
        period_s = self.spec.period_s
        elapsed_s = now_s - self._last_sent_s
        self._last_sent_s = now_s
        # Commands are a period apart by the robot's clock; under a clock that runs faster than
        # the steady one (lockstep), rates still hold per period.
        return max(elapsed_s, period_s) if math.isfinite(elapsed_s) else period_s

    def _count(self, elapsed_s: float) -> None:
        late = elapsed_s > self.spec.safety.deadline_s
        self._past.in_time = not late
        self.counters.ticks += 1
        self.counters.overruns += late
