# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The thread that adapts and plans.

ROS callbacks only leave things for it: readings, a wake-up per period, jobs to do between two
ticks. The thread is its own watchdog: if nothing wakes it for `watchdog_s`, it ticks all the same,
finds its sensors stale, and sends the fallback; so neither a paused /clock nor a dead simulator
disarms the time-outs.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch

from mbmrl_ros.nodes.mailbox import Mailbox, Refusal
from mbmrl_ros.robot.command import Command
from mbmrl_ros.robot.controller import Controller
from mbmrl_ros.robot.tick import Tick
from mbmrl_ros.types import Reading

Publish = Callable[[Command], None]
OnTick = Callable[[Tick], None]
OnFault = Callable[[str], None]
Job = Callable[[], object]
JOIN_S = 5.0


class ControlLoop:
    """A worker thread around a Controller."""

    def __init__(
        self,
        controller: Controller,
        lockstep: bool,
        watchdog_s: float,
        threads: int,
        publish: Publish,
        on_tick: OnTick,
        on_fault: OnFault,
    ) -> None:
        """publish: sends a command; on_tick: reports a tick; on_fault: reports what they raised.

        All three are called from the worker, publish also from `deactivate` and `e_stop`.
        """
        self.controller = controller
        self.overruns = 0
        self._lockstep = lockstep
        self._watchdog_s = watchdog_s
        self._threads = threads
        self._publish, self._on_tick, self._on_fault = publish, on_tick, on_fault
        self._fallback = np.asarray(controller.spec.action.fallback, np.float64)
        self._mailbox = Mailbox(controller.spec.topics)
        self._work = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._due = self._closing = False
        # Guards what goes out: after the fallback of a stop, no plan may follow.
        self._outbox = threading.Lock()
        self._active = False
        self._answered: Command | None = None
        self._thread = threading.Thread(target=self._run, name='control', daemon=True)

    @property
    def active(self) -> bool:
        """Whether commands go out."""
        return self._active

    def open(self) -> None:
        """Start the thread; it sends nothing before `activate`."""
        self._thread.start()

    def close(self) -> None:
        """Send the fallback if active, and end the thread."""
        self.deactivate('closed')
        with self._work:
            self._closing = True
            self._work.notify()
        if self._thread.is_alive():
            self._thread.join(timeout=JOIN_S)

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
            self._answered = None
            self.controller.reset()

        self._mailbox.clear()
        self.submit(restart)

    def submit(self, job: Job) -> None:
        """Do something in the worker before its next tick."""
        with self._work:
            self._jobs.append(job)
            self._work.notify()

    def wait(self, job: Job) -> None:
        """Do something in the worker and wait for it; raise what it raises."""
        done: Future[object] = Future()

        def report() -> None:
            try:
                done.set_result(job())
            except Exception as error:  # belongs to whoever waits
                done.set_exception(error)

        self.submit(report)
        done.result()

    def put(self, item: Reading | Refusal) -> None:
        """Leave a reading, or say that a message held none."""
        if self._active and self._mailbox.put(item) and self._lockstep:
            with self._work:
                self._due = True
                self._work.notify()

    def wake(self) -> None:
        """Say that a control period has begun; an overrun if the one before it has no tick yet."""
        if not self._active:
            return
        with self._work:
            self.overruns += self._due
            self._due = True
            self._work.notify()

    def _run(self) -> None:
        # The number of threads is a property of the thread that starts them.
        torch.set_num_threads(self._threads)
        next_s = time.monotonic() + self._watchdog_s
        while True:
            with self._work:
                self._work.wait_for(self._has_work, max(0.0, next_s - time.monotonic()))
                jobs, self._jobs = self._jobs, deque()
                due, self._due = self._due, False
                if self._closing:
                    return
            overdue = time.monotonic() >= next_s
            try:
                for job in jobs:
                    job()
                if self._active and (due or overdue):
                    self._tick(due)
            except Exception:  # whatever it is, the thread must live
                self._fail(traceback.format_exc())
            if due or overdue:
                next_s = time.monotonic() + self._watchdog_s

    def _has_work(self) -> bool:
        return self._due or bool(self._jobs) or self._closing

    def _fail(self, trace: str) -> None:
        """Send the fallback after an error outside of planning (planning catches its own)."""
        with suppress(Exception), self._outbox:
            if self._active:
                self._publish(self._safe('internal error'))
        with suppress(Exception):
            self._on_fault(trace)

    def _tick(self, due: bool) -> None:
        if not self._lockstep:
            # Sensors and ticks have the same period: where both come at the same moment, a tick
            # just before the reading would see the old state again, and the history a gap.
            self._mailbox.wait_for_all(self.controller.spec.period_s / 2)
        started = time.perf_counter()
        tick = self._tick_in_lockstep(due) if self._lockstep else self._tick_in_real_time()
        if tick is None:
            return
        with self._outbox:
            if not self._active:
                return
            if self.controller.stopped and not tick.command.fallback:
                # Stopped after the safety filter had let the plan pass.
                tick = replace(tick, command=self._safe(self.controller.stopped))
            self._publish(tick.command)
        self._answered = tick.command
        tick_s = time.perf_counter() - started
        self._on_tick(replace(tick, diagnostics=replace(tick.diagnostics, tick_s=tick_s)))

    def _tick_in_real_time(self) -> Tick:
        self._hand_over()
        return self.controller.tick(time.monotonic())

    def _tick_in_lockstep(self, due: bool) -> Tick | None:
        """Answer a new state; answer again if the simulator sent the same state again."""
        stamp_s, received_s, refusal = self._hand_over()
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
        return self.controller.tick(received_s)

    def _hand_over(self) -> tuple[float | None, float, str]:
        """Give the controller what came since the last tick.

        Returns the stamp that all topics share (None if there is none, or nothing came), the last
        arrival, and why readings were refused.
        """
        items, stamp_s = self._mailbox.take()
        if not items:
            return None, time.monotonic(), ''
        received_s = max(item.received_s for item in items)
        reasons = []
        for item in items:
            if self._lockstep:
                # Messages of one moment count as one arrival, however busy the machine is.
                item = replace(item, received_s=received_s)
            if isinstance(item, Refusal):
                self.controller.counters.refused[item.reason] += 1
                reasons.append(item.reason)
            elif (reason := self.controller.on_reading(item)) is not None:
                reasons.append(reason)
        return stamp_s, received_s, '; '.join(dict.fromkeys(reasons))

    def _safe(self, reason: str) -> Command:
        return Command(self._mailbox.newest_stamp_s, self._fallback, True, reason)
