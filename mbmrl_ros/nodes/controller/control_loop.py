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

All of them, from whatever thread, go out by `Controller.send`, which records them. Reports and
statistics come behind the command, reports in a thread of their own (reporter.py).
"""

from __future__ import annotations

import functools
import math
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mbmrl_ros.nodes.common.inputs import Refusal
from mbmrl_ros.nodes.controller.reading_queue import ReadingQueue, deliver
from mbmrl_ros.nodes.controller.reporter import Reporter
from mbmrl_ros.nodes.controller.worker import Due, Job, Worker
from mbmrl_ros.robot.budget import SendTimeController, period_error_s, planning_deadline_s
from mbmrl_ros.robot.command import Command
from mbmrl_ros.robot.controller import Controller
from mbmrl_ros.robot.phase import SensorPhaseLock, interval_s, lateness_s
from mbmrl_ros.robot.tick import Diagnostics, Tick
from mbmrl_ros.types import Reading

# How late in its period, as a share of it, a tick may begin because the last one took so long.
GRACE = 0.2
REPORTED_S = 1.0


class _Times(NamedTuple):
    """Of a tick: begin of its period, when it woke and when its readings were there; steady clock.

    arrivals: of the readings, by topic. due: whether a period began, or the watchdog's patience
    ended.
    """

    at_s: float
    began_s: float
    ready_s: float
    arrivals: Mapping[str, Sequence[float]]
    due: bool


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
        moment: SendTimeController | None = None,
        phase: SensorPhaseLock | None = None,
    ) -> None:
        """publish: sends a command; on_tick: reports a tick; on_fault: reports what they raised.

        publish is called from the worker, and from `wake`, `deactivate` and `e_stop`; the other
        two from a thread of their own, each kind of fault once. moment: when in its period a
        command goes out; None: when its tick is done. phase: is told how readings come after the
        begin of the periods; whoever calls `wake` may follow it.
        """
        self.controller = controller
        controller.records = False
        # One counter per thread: += is not atomic.
        self._missed_asleep = self._missed_busy = 0
        self._lockstep = lockstep
        self._period_s, self._moment, self._phase = controller.spec.period_s, moment, phase
        self._publish, self._on_tick = publish, on_tick
        self._fallback = np.asarray(controller.spec.action.fallback, np.float64)
        self.reading_queue = ReadingQueue(controller.spec.topics, lockstep)
        self.reporter = Reporter(on_fault)
        self._worker = Worker(watchdog_s, threads, self._begin, self._on_job_error)
        # Guards what goes out: after the fallback of a stop, no plan may follow, not even one
        # that was begun before the stop and is done after the next start.
        self._outbox = threading.Lock()
        self._active = False
        self._starts = self._tick_of = self._e_stops = 0
        self._answered: Command | None = None
        self._began_s = math.inf
        self._sent_s = math.nan
        self.submit = self._worker.submit

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
        self.reporter.close()

    def wait(self, job: Job) -> None:
        """Do something before the next tick, and wait for it and for reports of what was before.

        Raises what it raises.
        """
        self._worker.wait(job)
        self.reporter.flush(REPORTED_S)

    def activate(self) -> None:
        """Begin to send commands, from an empty history."""
        self.reporter.forget()
        self.reset()
        with self._outbox:
            self._starts += 1
            self._active = True

    def deactivate(self, reason: str) -> None:
        """Send the fallback at once, even while a plan is computed, and nothing after it."""
        with self._outbox:
            if self._active:
                self._active = False
                self._send_aside(self._safe(reason))

    def e_stop(self, reason: str) -> None:
        """Latch the emergency stop and send the fallback at once."""
        # At once, whoever is sending; and again, as a release may have come in between.
        self.controller.e_stop(reason)
        with self._outbox:
            self._e_stops += 1
            self.controller.e_stop(reason)
            if self._active:
                self._send_aside(self._safe(self.controller.stopped))

    def release(self) -> None:
        """Release the emergency stop before the next tick, unless there is another until then."""
        asked = self._e_stops

        def release() -> None:
            with self._outbox:
                if self._e_stops == asked:
                    self.controller.release()

        self.submit(release)

    def reset(self) -> None:
        """Forget history and warm start before the next tick, and readings not yet ticked."""

        def restart() -> None:
            self._answered, self._sent_s = None, math.nan
            self.controller.reset()

        self.reading_queue.clear()
        self.submit(restart)

    def put(self, item: Reading | Refusal) -> None:
        """Leave a reading, or say that a message held none."""
        if self._active and self.reading_queue.put(item) and self._lockstep:
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
            if self.controller.stopped or self._tick_of != self._starts:
                self._send_aside(self._safe(self.controller.stopped or 'started again'))
                return
            held = self.controller.decayed_command(running_s)
            self._send_aside(replace(held, stamp_s=self.reading_queue.newest_stamp_s))

    def _send_aside(self, command: Command) -> None:
        """Send what is no answer of a tick, in whatever thread, which goes on if that fails."""
        try:
            self.controller.send(command, self._publish)
        except Exception:
            self.reporter.fault(traceback.format_exc())

    def _begin(self, due: Due | None) -> None:
        """Tick; after an error outside of planning (which catches its own), send the fallback."""
        # First, so that a stop and a start in between are noticed.
        self._tick_of = self._starts
        if not self._active:
            return
        try:
            self._tick(due)
        except Exception:
            self._began_s = math.inf
            self._recover(traceback.format_exc(), self.reading_queue.newest_stamp_s)

    def _on_job_error(self, trace: str) -> None:
        """Send the fallback: nobody knows what state an error left behind. It answers nothing."""
        self._tick_of = self._starts
        self._recover(trace, math.nan if self._lockstep else self.reading_queue.newest_stamp_s)

    def _recover(self, trace: str, stamp_s: float) -> None:
        """Say what went wrong and send the fallback, with a gap in the history."""
        self.reporter.fault(trace)
        tick = self._fall_back(stamp_s)
        try:
            self._send(tick, 0.0)
        except Exception:
            self.reporter.fault(traceback.format_exc())

    def _fall_back(self, stamp_s: float) -> Tick:
        """Return the fallback after an error, even if the controller makes another."""
        try:
            return self.controller.fall_back('internal error', stamp_s)
        except Exception:
            self.reporter.fault(traceback.format_exc())
            command = Command(stamp_s, self._fallback, True, 'internal error')
            return Tick(command, Diagnostics(reason=command.reason))

    def _tick(self, due: Due | None) -> None:
        """Tick, unless the period has gone by while the last tick went on."""
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
        enough_s = planning_deadline_s(self._period_s, self.controller.goal_s)
        # Sensors and ticks may have the same period: where both come at the same moment, a tick
        # just before the reading would see the old state again, and the history a gap.
        arrivals = self.reading_queue.wait_for_all(self._period_s / 2)
        deliver(self.reading_queue, self.controller)
        self._began_s = ready_s = time.monotonic()
        tick = self.controller.tick(ready_s, send_s, at_s + enough_s)
        self._began_s = math.inf
        tick_s = time.monotonic() - at_s
        if not tick.command.fallback:
            time.sleep(max(0.0, send_s - time.monotonic()))
        self._send(tick, tick_s, _Times(at_s, began_s, ready_s, arrivals, due is not None))

    def _send(self, tick: Tick, tick_s: float, times: _Times | None = None) -> None:
        with self._outbox:
            if not self._active or self._tick_of != self._starts:
                return
            tick = replace(tick, command=self._unless_stopped(tick.command))
            self.controller.send(tick.command, self._publish)
            sent_s = time.monotonic()
        if not math.isnan(tick.command.stamp_s):
            self._answered = tick.command
        self._conclude(tick, tick_s, sent_s, times)

    def _conclude(self, tick: Tick, tick_s: float, sent_s: float, times: _Times | None) -> None:
        """Learn from a tick whose command has gone out, and have it reported."""
        error_s = period_error_s(sent_s - self._sent_s, self._period_s)
        self._sent_s = sent_s
        late_s = math.nan
        try:
            if times is not None:
                late_s = lateness_s(times.arrivals, times.at_s, self._period_s)
                self._learn(times, late_s, tick_s, tick.decision is not None)
        except Exception:  # the next ticks fit their period as they did before
            self.reporter.fault(traceback.format_exc())
        diagnostics = replace(
            tick.diagnostics, tick_s=tick_s, period_error_s=error_s, sensors_late_s=late_s
        )
        report = functools.partial(self._on_tick, replace(tick, diagnostics=diagnostics))
        self.reporter.submit(report)

    def _learn(self, times: _Times, late_s: float, tick_s: float, planned: bool) -> None:
        """Take how long things took, for when and how much the next ticks plan."""
        if self._phase and times.due:
            self._phase.record(times.at_s, late_s, interval_s(times.arrivals))
        if not planned:
            return
        self.controller.pace(tick_s)
        if self._moment:
            begin_s = self._phase.begin_s if self._phase else 0.0
            self._moment.record(tick_s, times.ready_s - times.began_s, begin_s)

    def _tick_in_lockstep(self, due: bool) -> Tick | None:
        """Answer a new state; answer again if the simulator sent the same state again."""
        stamp_s, received_s, refusal = deliver(self.reading_queue, self.controller)
        if not due:
            return self.controller.tick(time.monotonic())
        if stamp_s is None:
            return None
        if self._answered is not None and self._answered.stamp_s == stamp_s:
            with self._outbox:
                if self._active:
                    self._answered = self._unless_stopped(self._answered)
                    self.controller.send(self._answered, self._publish)
            return None
        if self.controller.complete_stamp() != stamp_s:
            return self.controller.fall_back(refusal, stamp_s)
        # Time stands still until the answer: readings do not age while the machine is busy.
        tick = self.controller.tick(received_s)
        # The simulator waits for an answer also where there is no state yet, or none any more.
        return replace(tick, command=replace(tick.command, stamp_s=stamp_s))

    def _unless_stopped(self, command: Command) -> Command:
        """Return a command, or the fallback where a stop came after it was decided on."""
        if command.fallback or not self.controller.stopped:
            return command
        return self._safe(self.controller.stopped)

    def _safe(self, reason: str) -> Command:
        return Command(self.reading_queue.newest_stamp_s, self._fallback, True, reason)
