# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The controller of one robot: readings in, commands out, and nothing raises in between."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from mbmrl_ros.robot.adaptive_mpc import AdaptiveMPC, Decision
from mbmrl_ros.robot.command import Command, from_units, to_units
from mbmrl_ros.robot.history import History, stack_windows
from mbmrl_ros.robot.safety import SafetyFilter
from mbmrl_ros.robot.state import Assembled, StateAssembler
from mbmrl_ros.spec import RobotSpec
from mbmrl_ros.types import Array, Reading


@dataclass(frozen=True)
class Diagnostics:
    """How a tick went.

    Durations in seconds. loss_before, loss_after: on the past window, NaN without one.
    reason: why the command is not what was planned; empty if it is.
    """

    tick_s: float = 0.0
    adapt_s: float = 0.0
    plan_s: float = 0.0
    loss_before: float = math.nan
    loss_after: float = math.nan
    adapted: bool = False
    adaptation_refused: bool = False
    nonfinite_rollouts: int = 0
    expected_return: float = math.nan
    reason: str = ''


@dataclass(frozen=True)
class Tick:
    """The outcome of one tick. decision: for plots, None where nothing was planned."""

    command: Command
    diagnostics: Diagnostics
    state: Array | None = None
    decision: Decision | None = None


@dataclass(frozen=True)
class _Proposal:
    """What adapting and planning came to. wanted: [A] in units, or None and the reason."""

    wanted: Array | None
    reason: str
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    decision: Decision | None = None


@dataclass
class Counters:
    """Totals since the start. overruns: ticks past the deadline. refused: readings, by reason."""

    ticks: int = 0
    fallbacks: int = 0
    overruns: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class Controller:
    """Keeps the state, the history and the safety filter of a robot around an AdaptiveMPC.

    `on_reading` only stores; `tick` does the work. They may be called from two threads if a lock
    keeps readings out while `tick` assembles (the node does so by handing readings over a queue).
    """

    def __init__(
        self,
        spec: RobotSpec,
        mpc: AdaptiveMPC,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """clock: steady [s], for durations and time-outs."""
        self.spec = spec
        self.counters = Counters()
        self._mpc = mpc
        self._clock = clock
        self._assembler = StateAssembler(spec)
        self._safety = SafetyFilter(spec)
        self._history = self._empty_history()
        self._last_sent_s = math.nan
        self._last_stamp_s = -math.inf

    def on_reading(self, reading: Reading) -> str | None:
        """Take a sensor reading; return None, or why it was refused."""
        reason = self._assembler.on_reading(reading)
        if reason is not None:
            self.counters.refused[reason] += 1
        return reason

    def complete_stamp(self) -> float | None:
        """Return the stamp that all newest readings share, or None (for lockstep)."""
        return self._assembler.complete_stamp()

    def tick(self, now_s: float) -> Tick:
        """Adapt, plan and return the command that may go out (thesis, Algorithm 10).

        now_s: steady clock, as in `Reading.received_s`.
        """
        started = self._clock()
        assembled = self._assembler.assemble(now_s)
        proposal = self._propose(assembled)
        elapsed_s = self._clock() - started
        values, reason = self._safety.filter(
            proposal.wanted, proposal.reason, assembled.state, elapsed_s, self._since_last(started)
        )
        if assembled.state is not None:
            self._history.applied(from_units(self.spec, values))
        self._count(elapsed_s)
        command = Command(assembled.stamp_s, values, self._safety.fell_back, reason)
        tick_s = self._clock() - started
        diagnostics = replace(proposal.diagnostics, tick_s=tick_s, reason=reason)
        return Tick(command, diagnostics, assembled.state, proposal.decision)

    def fall_back(self, reason: str, stamp_s: float) -> Tick:
        """Return the fallback for a reason that lies outside; the history has a gap there.

        stamp_s: of the state that it answers.
        """
        self._history.clear()
        values, reason = self._safety.filter(None, reason, None, 0.0, self.spec.period_s)
        self._count(0.0)
        return Tick(Command(stamp_s, values, True, reason), Diagnostics(reason=reason))

    def use(self, mpc: AdaptiveMPC) -> None:
        """Exchange the model, planner or reward between two ticks."""
        self._mpc = mpc
        self._history = self._empty_history()

    def reset(self) -> None:
        """Forget history, warm start and adaptation, for a robot that was put somewhere else."""
        self._mpc.reset()
        self._history.clear()

    def e_stop(self, reason: str) -> None:
        """Latch the emergency stop."""
        self._safety.e_stop(reason)

    def release(self) -> str | None:
        """Release the emergency stop; return None, or why there was nothing to release."""
        reason = self._safety.release()
        if reason is None:
            self.reset()
        return reason

    @property
    def stopped(self) -> str:
        """Why the emergency stop is latched; empty if it is not."""
        return self._safety.stopped

    def _propose(self, assembled: Assembled) -> _Proposal:
        """Adapt and plan, whatever the model, the planner or the reward may raise."""
        if assembled.state is None:
            self._history.clear()
            return _Proposal(None, assembled.reason)
        try:
            if assembled.stamp_s < self._last_stamp_s:
                self.reset()
            self._last_stamp_s = assembled.stamp_s
            self._history.observe(assembled.stamp_s, assembled.state)
            window, attempted = stack_windows([self._history])
            state = torch.from_numpy(assembled.state).float()[None]
            decision = self._mpc.act(window, attempted, state)
            diagnostics = _diagnose(decision)
            if not bool(decision.valid[0]):
                reason = 'no imagined rollout was finite'
                return _Proposal(None, reason, diagnostics, decision)
            action = decision.action[0].detach().double().cpu().numpy()
            return _Proposal(to_units(self.spec, action), '', diagnostics, decision)
        except Exception as error:  # whatever it is, the robot is made safe
            text = ' '.join(f'{type(error).__name__}: {error}'.split())
            return _Proposal(None, f'planning failed: {text[:200]}')

    def _since_last(self, now_s: float) -> float:
        period_s = self.spec.period_s
        elapsed_s = now_s - self._last_sent_s
        self._last_sent_s = now_s
        # Commands are a period apart by the robot's clock; under a clock that runs faster than
        # the steady one (lockstep), rates still hold per period.
        return max(elapsed_s, period_s) if math.isfinite(elapsed_s) else period_s

    def _count(self, elapsed_s: float) -> None:
        self.counters.ticks += 1
        self.counters.fallbacks += self._safety.fell_back
        self.counters.overruns += elapsed_s > self.spec.safety.deadline_s

    def _empty_history(self) -> History:
        spec = self.spec
        return History(self._mpc.window_size, spec.period_s, spec.state_size, spec.action_size)


def _diagnose(decision: Decision) -> Diagnostics:
    adapted = decision.adapted
    return Diagnostics(
        adapt_s=decision.adapt_s,
        plan_s=decision.plan_s,
        loss_before=float(adapted.loss_before[0]),
        loss_after=float(adapted.loss_after[0]),
        adapted=bool(adapted.accepted[0]),
        adaptation_refused=bool(adapted.refused[0]),
        nonfinite_rollouts=int(decision.plan.nonfinite[0]),
        expected_return=float(decision.plan.expected_return[0]),
    )
