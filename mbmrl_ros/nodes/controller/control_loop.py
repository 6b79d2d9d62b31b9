# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ticks in a thread of their own, one per control period.

ROS callbacks only leave things for it: readings, a wake-up per period, jobs to do between two
ticks. Without wake-ups the thread ticks all the same after `watchdog_s`, finds its sensors stale,
and sends the fallback; so neither a paused /clock nor a dead simulator disarms the time-outs.

A command goes out at a steady time of its period, so that commands are a period apart and the
latency is constant. A tick that is not done by then is sent when it is; one that runs into the
next period costs that period, so that ticks never come in a burst; past its deadline, the last
command goes out every period, decaying to the fallback (outbox.py).

Reports and statistics come behind the command, reports in a thread of their own (reporter.py).
"""

from __future__ import annotations

import functools
import math
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from mbmrl_ros.nodes.common.inputs import Refusal
from mbmrl_ros.nodes.controller.outbox import Outbox
from mbmrl_ros.nodes.controller.reading_queue import ReadingQueue, deliver
from mbmrl_ros.nodes.controller.reporter import Reporter
from mbmrl_ros.nodes.controller.worker import Due, Job, Worker
from mbmrl_ros.robot.command import Command
from mbmrl_ros.robot.controller import Controller
from mbmrl_ros.robot.pacing import Pacing, TickTimes
from mbmrl_ros.robot.tick import Diagnostics, Tick
from mbmrl_ros.types import Reading

# How late in its period, as a share of it, a tick may begin because the last one took so long.
GRACE = 0.2
REPORTED_S = 1.0


class LoopSettings(NamedTuple):
    """How a loop runs. watchdog_s: the longest time without a tick. threads: of torch."""

    lockstep: bool
    watchdog_s: float
    threads: int


class Outputs(NamedTuple):
    """Where what a loop makes goes.

    publish: sends a command, in the thread of the worker or of whoever calls `wake`, `deactivate`
    or `e_stop`. on_tick: reports a tick; on_error: reports the trace of an error, one of a kind;
    both in the reporter's thread.
    """

    publish: Callable[[Command], None]
    on_tick: Callable[[Tick], None]
    on_error: Callable[[str], None]


class ControlLoop:
    """A worker thread around a Controller.

    Threads: whatever begins with an underscore runs in the worker's, jobs too; the public methods
    may be called from any other.
    """

    def __init__(
        self,
        controller: Controller,
        settings: LoopSettings,
        outputs: Outputs,
        pacing: Pacing,
    ) -> None:
        """controller: gets its readings and jobs here. pacing: of ticks in real time."""
        self.controller = controller
        controller.records = False
        # One counter per thread: += is not atomic.
        self._missed_asleep = self._missed_busy = 0
        self._lockstep, self._period_s = settings.lockstep, controller.spec.period_s
        self._pacing, self._on_tick = pacing, outputs.on_tick
        self.reading_queue = ReadingQueue(controller.spec.topics, settings.lockstep)
        self.reporter = Reporter(outputs.on_error)
        self._outbox = Outbox(
            controller, self.reading_queue.newest_stamp_s, outputs.publish, self.reporter.error
        )
        tick = self._tick_in_lockstep if settings.lockstep else self._tick_in_real_time
        self._tick: Callable[[Due | None], None] = tick
        self._worker = Worker(
            settings.watchdog_s, settings.threads, self._begin, self._on_job_error
        )
        self._answered: Command | None = None
        self.submit = self._worker.submit
        self.deactivate, self.e_stop = self._outbox.deactivate, self._outbox.e_stop

    @property
    def active(self) -> bool:
        """Whether commands go out."""
        return self._outbox.active

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
        self._outbox.activate()

    def release(self) -> None:
        """Release the emergency stop before the next tick, unless there is another until then."""
        self.submit(self._outbox.release())

    def reset(self) -> None:
        """Forget history and warm start before the next tick, and readings not yet ticked."""
        self.reading_queue.clear()
        self.submit(self._restart)

    def put(self, item: Reading | Refusal) -> None:
        """Leave a reading, or that a message held none; in lockstep a whole state is a period."""
        if self.active and self.reading_queue.put(item) and self._lockstep:
            self._worker.due(time.monotonic())

    def wake(self, at_s: float | None = None, skipped: int = 0) -> None:
        """Begin a control period, even if the tick of the last one still goes on.

        at_s: when it has begun, if not now. skipped: periods since the last one that nobody woke
        us for.
        """
        if not self.active:
            return
        begun_s = time.monotonic() if at_s is None else at_s
        self._missed_asleep += skipped + self._worker.due(begun_s)
        self._outbox.cover_late_plan()

    def _restart(self) -> None:
        self._answered = None
        self._pacing.forget()
        self.controller.reset()

    def _begin(self, due: Due | None) -> None:
        """Tick; after an error outside of planning (which catches its own), send the fallback."""
        if not self._outbox.begin_tick():
            return
        try:
            self._tick(due)
        except Exception:
            self._recover(traceback.format_exc(), self.reading_queue.newest_stamp_s())

    def _on_job_error(self, trace: str) -> None:
        """Send the fallback: nobody knows what state an error left behind. It answers nothing."""
        self._outbox.begin_tick()
        self._recover(trace, math.nan if self._lockstep else self.reading_queue.newest_stamp_s())

    def _recover(self, trace: str, stamp_s: float) -> None:
        """Report an error and send the fallback, with a gap in the history."""
        self.reporter.error(trace)
        tick = self._fall_back(stamp_s)
        try:
            self._send(tick, 0.0)
        except Exception:
            self.reporter.error(traceback.format_exc())

    def _fall_back(self, stamp_s: float) -> Tick:
        """Return the fallback after an error, even if the controller makes another."""
        try:
            return self.controller.fall_back('internal error', stamp_s)
        except Exception:
            self.reporter.error(traceback.format_exc())
            command = replace(self._outbox.fallback('internal error'), stamp_s=stamp_s)
            return Tick(command, Diagnostics(reason=command.reason))

    def _tick_in_real_time(self, due: Due | None) -> None:
        """Wait for the readings of the period, plan, and send when it is time to.

        due: None from the watchdog, which begins no period and sends at once.
        """
        woke_s = time.monotonic()
        begin_s = woke_s if due is None else due.at_s
        if due is not None and due.busy and woke_s - begin_s > GRACE * self._period_s:
            self._missed_busy += 1  # the last tick took this period as well
            return
        # Sensors and ticks may have the same period: where both come at the same time, a tick
        # just before the reading would see the old state again, and the history a gap.
        arrivals = self.reading_queue.wait_for_all(self._period_s / 2)
        deliver(self.reading_queue, self.controller)
        times = TickTimes(begin_s, woke_s, time.monotonic(), arrivals, due is not None)
        send_s = self._pacing.send_s(times)
        until_s = self._pacing.until_s(times, self.controller.goal_s)
        with self._outbox.planning(times.ready_s):
            tick = self.controller.tick(times.ready_s, send_s, until_s)
        tick_s = time.monotonic() - begin_s
        if not tick.command.fallback:
            time.sleep(max(0.0, send_s - time.monotonic()))
        self._send(tick, tick_s, times)

    def _tick_in_lockstep(self, due: Due | None) -> None:
        """Answer a new state; answer again if the simulator sent the same state again."""
        began_s = time.monotonic()
        stamp_s, received_s, refusal = deliver(self.reading_queue, self.controller)
        if due is None:
            tick = self.controller.tick(time.monotonic())
        elif stamp_s is None:
            return
        elif self._answered is not None and self._answered.stamp_s == stamp_s:
            self._answered = self._outbox.send(self._answered) or self._answered
            return
        elif self.controller.complete_stamp() != stamp_s:
            tick = self.controller.fall_back(refusal, stamp_s)
        else:
            # Time stands still until the answer: readings do not age while the machine is busy.
            tick = self.controller.tick(received_s)
            # The simulator waits for an answer also where there is no state, or none any more.
            tick = replace(tick, command=replace(tick.command, stamp_s=stamp_s))
        self._send(tick, time.monotonic() - began_s)

    def _send(self, tick: Tick, tick_s: float, times: TickTimes | None = None) -> None:
        """Send the command of a tick, then learn from how it went, and have it reported."""
        sent = self._outbox.send(tick.command)
        if sent is None:
            return
        error_s = self._pacing.error_s(time.monotonic())
        if not math.isnan(sent.stamp_s):
            self._answered = sent
        typical = self.controller.is_typical(tick.decision)
        late_s = self._learn(times, tick_s, typical) if times else math.nan
        diagnostics = replace(
            tick.diagnostics, tick_s=tick_s, period_error_s=error_s, sensors_late_s=late_s
        )
        if tick.trace:
            self.reporter.error(tick.trace)
        report = replace(tick, command=sent, diagnostics=diagnostics)
        self.reporter.submit(functools.partial(self._on_tick, report))

    def _learn(self, times: TickTimes, tick_s: float, typical: bool) -> float:
        """Choose when and how much the next ticks plan; return how late the readings were.

        typical: whether the duration of the tick counts. What fails leaves the next ticks as they
        were.
        """
        late_s = math.nan
        try:
            late_s = self._pacing.lateness_s(times)
            if typical:
                self.controller.pace(tick_s)
                self._pacing.record(times, tick_s)
        except Exception:
            self.reporter.error(traceback.format_exc())
        return late_s
