# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ticks in a thread of their own, one per control period.

ROS callbacks only leave things for it: readings, a wake-up per period, jobs to do between two
ticks. Without wake-ups the thread ticks all the same after `watchdog_s`, finds its sensors stale,
and sends the fallback; so neither a paused /clock nor a dead simulator disarms the time-outs.

A command goes out at a steady moment of its period, so that commands are a period apart and the
latency is constant. A tick that is not done by then is sent when it is; one that runs into the
next period costs that period, so that ticks never come in a burst; past its deadline, the last
command goes out every period, decaying to the fallback.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np

from mbmrl_ros.nodes.mailbox import Mailbox, Refusal, hand_over
from mbmrl_ros.nodes.worker import Due, Worker
from mbmrl_ros.robot.budget import SendMoment, imagining_s, period_error_s
from mbmrl_ros.robot.command import Command
from mbmrl_ros.robot.controller import Controller
from mbmrl_ros.robot.phase import SensorPhase, interval_s, lateness_s
from mbmrl_ros.robot.tick import Tick
from mbmrl_ros.types import Reading

# How late in its period, as a share of it, a tick may begin because the last one took so long.
GRACE = 0.2


class ControlLoop:
    """A worker thread around a Controller."""

    def __init__(
        self,
        controller: Controller,
        lockstep: bool,
        watchdog_s: float,
        threads: int,
        publish: Callable[[Command], None],
        on_tick: Callable[[Tick], None],
        on_fault: Callable[[str], None],
        moment: SendMoment | None = None,
        phase: SensorPhase | None = None,
    ) -> None:
        """publish: sends a command; on_tick: reports a tick; on_fault: reports what they raised.

        All three are called from the worker, publish also from `wake`, `deactivate` and `e_stop`.
        moment: when in its period a command goes out; None: when its tick is done. phase: is told
        how readings come after the begin of the periods; whoever calls `wake` may follow it.
        """
        self.controller = controller
        # One counter per thread: += is not atomic.
        self._missed_asleep = self._missed_busy = 0
        self._lockstep = lockstep
        self._period_s, self._moment, self._phase = controller.spec.period_s, moment, phase
        self._publish, self._on_tick, self._on_fault = publish, on_tick, on_fault
        self._fallback = np.asarray(controller.spec.action.fallback, np.float64)
        self.mailbox = Mailbox(controller.spec.topics, lockstep)
        self._worker = Worker(watchdog_s, threads, self._begin, self._fail)
        # Guards what goes out: after the fallback of a stop, no plan may follow.
        self._outbox = threading.Lock()
        self._active = False
        self._answered: Command | None = None
        self._began_s = math.inf
        self._sent_s = math.nan
        self.submit, self.wait = self._worker.submit, self._worker.wait

    @property
    def active(self) -> bool:
        """Whether commands go out."""
        return self._active

    @property
    def periods_missed(self) -> int:
        """Periods in which no tick has begun."""
        return self._missed_asleep + self._missed_busy

    def open(self) -> None:
        """Start the thread; it sends nothing before `activate`."""
        self._worker.open()

    def close(self) -> None:
        """Send the fallback if active, and end the thread."""
        self.deactivate('closed')
        self._worker.close()

    def activate(self) -> None:
        """Begin to send commands, from an empty history."""
        self.reset()
        self._active = True

    def deactivate(self, reason: str) -> None:
        """Send the fallback at once, even while a plan is computed, and nothing after it."""
        with self._outbox:
            if self._active:
                self._active = False
                self._publish(self._safe(reason))

    def e_stop(self, reason: str) -> None:
        """Latch the emergency stop and send the fallback at once."""
        with self._outbox:
            self.controller.e_stop(reason)
            if self._active:
                self._publish(self._safe(self.controller.stopped))

    def reset(self) -> None:
        """Forget history and warm start before the next tick, and readings not yet ticked."""

        def restart() -> None:
            self._answered, self._sent_s = None, math.nan
            self.controller.reset()

        self.mailbox.clear()
        self.submit(restart)

    def put(self, item: Reading | Refusal) -> None:
        """Leave a reading, or say that a message held none."""
        if self._active and self.mailbox.put(item) and self._lockstep:
            self._worker.due(time.monotonic())

    def wake(self, at_s: float | None = None, skipped: int = 0) -> None:
        """Say that a control period has begun.

        at_s: when it has, if not now. skipped: periods since the last one that nobody woke us for.
        """
        if not self._active:
            return
        now_s = time.monotonic()
        self._missed_asleep += skipped + self._worker.due(now_s if at_s is None else at_s)
        if now_s - self._began_s > self.controller.spec.safety.deadline_s:
            self._send_held(now_s - self._began_s)

    def _send_held(self, running_s: float) -> None:
        """Send the last command, decayed, in the place of a tick that is past its deadline."""
        with self._outbox:
            if not self._active or math.isinf(self._began_s):
                return
            stopped = self.controller.stopped
            held = self._safe(stopped) if stopped else self.controller.held(running_s)
            self._publish(replace(held, stamp_s=self.mailbox.newest_stamp_s))

    def _fail(self, trace: str) -> None:
        """Send the fallback after an error outside of planning (planning catches its own)."""
        with suppress(Exception), self._outbox:
            self._began_s = math.inf
            if self._active:
                self._publish(self._safe('internal error'))
        with suppress(Exception):
            self._on_fault(trace)

    def _begin(self, due: Due | None) -> None:
        """Tick, unless the period has gone by while the last tick went on."""
        if not self._active:
            return
        began_s = time.monotonic()
        if self._lockstep:
            tick = self._tick_in_lockstep(due is not None)
            if tick is not None:
                self._send(tick, time.monotonic() - began_s)
            return
        at_s = began_s if due is None else due.at_s
        if due is not None and due.busy and began_s - at_s > GRACE * self._period_s:
            self._missed_busy += 1
            return
        after_s = self._moment.after_s if self._moment and due else 0.0
        send_s = at_s + after_s if after_s else -math.inf
        enough_s = imagining_s(self._period_s, self.controller.goal_s)
        late_s = self._wait_for_readings(at_s, due is not None)
        hand_over(self.mailbox, self.controller)
        self._began_s = ready_s = time.monotonic()
        tick = self.controller.tick(ready_s, send_s, at_s + enough_s)
        self._began_s = math.inf
        tick_s = time.monotonic() - at_s
        if tick.decision is not None:
            self.controller.pace(tick_s)
            if self._moment:
                begin_s = self._phase.begin_s if self._phase else 0.0
                self._moment.record(tick_s, ready_s - began_s, begin_s)
        tick = replace(tick, diagnostics=replace(tick.diagnostics, sensors_late_s=late_s))
        if not tick.command.fallback:
            time.sleep(max(0.0, send_s - time.monotonic()))
        self._send(tick, tick_s)

    def _wait_for_readings(self, at_s: float, due: bool) -> float:
        """Return how late they were, as `lateness_s` does."""
        # Sensors and ticks may have the same period: where both come at the same moment, a tick
        # just before the reading would see the old state again, and the history a gap.
        arrivals = self.mailbox.wait_for_all(self._period_s / 2)
        late_s = lateness_s(arrivals, at_s, self._period_s)
        if self._phase and due:
            self._phase.record(at_s, late_s, interval_s(arrivals))
        return late_s

    def _send(self, tick: Tick, tick_s: float) -> None:
        with self._outbox:
            if not self._active:
                return
            if self.controller.stopped and not tick.command.fallback:
                # Stopped after the safety filter had let the plan pass.
                tick = replace(tick, command=self._safe(self.controller.stopped))
            self._publish(tick.command)
            sent_s = time.monotonic()
        self._answered = tick.command
        error_s = period_error_s(sent_s - self._sent_s, self._period_s)
        self._sent_s = sent_s
        diagnostics = replace(tick.diagnostics, tick_s=tick_s, period_error_s=error_s)
        self._on_tick(replace(tick, diagnostics=diagnostics))

    def _tick_in_lockstep(self, due: bool) -> Tick | None:
        """Answer a new state; answer again if the simulator sent the same state again."""
        stamp_s, received_s, refusal = hand_over(self.mailbox, self.controller)
        if not due:
            return self.controller.tick(time.monotonic())
        if stamp_s is None:
            return None
        if self._answered is not None and self._answered.stamp_s == stamp_s:
            with self._outbox:
                if self._active:
                    self._publish(self._answered)
            return None
        if self.controller.complete_stamp() != stamp_s:
            return self.controller.fall_back(refusal, stamp_s)
        # Time stands still until the answer: readings do not age while the machine is busy.
        tick = self.controller.tick(received_s)
        # The simulator waits for an answer also where there is no state yet, or none any more.
        return replace(tick, command=replace(tick.command, stamp_s=stamp_s))

    def _safe(self, reason: str) -> Command:
        return Command(self.mailbox.newest_stamp_s, self._fallback, True, reason)
