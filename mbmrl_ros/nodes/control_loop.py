# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The thread that adapts and plans, and what it shares with the thread of the ROS callbacks.

Callbacks only leave things here: readings (a deque under a lock, so that none is lost while a plan
is computed), a wake-up per period, jobs to do between two ticks. The thread is its own watchdog:
if nothing wakes it for `watchdog_s`, it ticks all the same, finds its sensors stale, and sends the
fallback; so neither a paused /clock nor a dead simulator disarms the time-outs.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from mbmrl_ros.robot.command import Command
from mbmrl_ros.robot.controller import Controller, Tick
from mbmrl_ros.types import Reading

Publish = Callable[[Command], None]
OnTick = Callable[[Tick], None]


@dataclass(frozen=True)
class Refusal:
    """A message that held no reading, and why."""

    topic: str
    stamp_s: float
    reason: str


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
    ) -> None:
        """publish: sends a command; on_tick: reports a tick; both may come from the worker."""
        self.controller = controller
        self.overruns = 0
        self._lockstep = lockstep
        self._watchdog_s = watchdog_s
        self._threads = threads
        self._publish, self._on_tick = publish, on_tick
        self._fallback = np.asarray(controller.spec.action.fallback, np.float64)
        # Guards what callbacks leave.
        self._inbox = threading.Condition()
        self._items: deque[Reading | Refusal] = deque()
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._stamps: dict[str, float] = {}
        self._unseen = set(controller.spec.topics)
        # Guards what goes out: after the fallback of a stop, no plan may follow.
        self._outbox = threading.Lock()
        self._active = False
        self._wake = threading.Event()
        self._closing = False
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
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)

    def activate(self) -> None:
        """Begin to send commands, from an empty history."""
        with self._inbox:
            self._stamps.clear()
        self.submit(self.controller.reset)
        self._answered = None
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
                self._publish(self._safe(reason))

    def submit(self, job: Callable[[], Any]) -> Future[Any]:
        """Do something in the worker between two ticks; the result comes in the future."""
        future: Future[Any] = Future()
        with self._inbox:
            self._jobs.append((job, future))
        self._wake.set()
        return future

    def put(self, item: Reading | Refusal) -> None:
        """Leave a reading, or say that a message held none."""
        if not self._active:
            return
        with self._inbox:
            self._items.append(item)
            self._stamps[item.topic] = item.stamp_s
            self._unseen.discard(item.topic)
            self._inbox.notify()
            whole = self._lockstep and self._common_stamp() is not None
        if whole:
            self._wake.set()

    def wake(self) -> None:
        """Say that a control period has begun."""
        if self._wake.is_set() and self._active:
            self.overruns += 1
        self._wake.set()

    def _run(self) -> None:
        # The number of threads is a property of the thread that starts them.
        torch.set_num_threads(self._threads)
        while not self._closing:
            woken = self._wake.wait(self._watchdog_s)
            self._wake.clear()
            self._do_jobs()
            if self._active and not self._closing:
                self._tick(woken)

    def _do_jobs(self) -> None:
        while True:
            with self._inbox:
                if not self._jobs:
                    return
                job, future = self._jobs.popleft()
            try:
                future.set_result(job())
            except Exception as error:  # belongs to whoever waits for the result
                future.set_exception(error)

    def _tick(self, woken: bool) -> None:
        started = time.perf_counter()
        tick = self._tick_in_lockstep(woken) if self._lockstep else self._tick_in_real_time()
        if tick is None:
            return
        with self._outbox:
            if not self._active:
                return
            if self.controller.stopped and not tick.command.fallback:
                tick = replace(tick, command=self._safe(self.controller.stopped))
            self._publish(tick.command)
            self._answered = tick.command
        tick_s = time.perf_counter() - started
        self._on_tick(replace(tick, diagnostics=replace(tick.diagnostics, tick_s=tick_s)))

    def _tick_in_real_time(self) -> Tick:
        with self._inbox:
            # Sensors and ticks have the same period: where both come at the same moment, a tick
            # just before the reading would see the old state again, and the history a gap.
            self._inbox.wait_for(lambda: not self._unseen, self.controller.spec.period_s / 2)
        self._hand_over()
        return self.controller.tick(time.monotonic())

    def _tick_in_lockstep(self, woken: bool) -> Tick | None:
        with self._inbox:
            stamp_s = self._common_stamp() if self._items else None
            arrivals = [item.received_s for item in self._items if isinstance(item, Reading)]
            received_s = max(arrivals, default=time.monotonic())
        reasons = self._hand_over()
        if not woken:
            return self.controller.tick(time.monotonic())
        if stamp_s is None:
            return None
        if self._answered is not None and self._answered.stamp_s == stamp_s:
            # The simulator sent this state again, so the answer was lost.
            with self._outbox:
                if self._active:
                    self._publish(self._answered)
            return None
        if self.controller.complete_stamp() != stamp_s:
            return self.controller.fall_back('; '.join(reasons) or 'no reading', stamp_s)
        # Time stands still until the answer: readings do not age while the machine is busy.
        return self.controller.tick(received_s)

    def _hand_over(self) -> list[str]:
        """Give the controller all readings since the last tick; return why some were refused."""
        with self._inbox:
            items, self._items = self._items, deque()
            self._unseen = set(self.controller.spec.topics)
        reasons = []
        for item in items:
            if isinstance(item, Refusal):
                self.controller.counters.refused[item.reason] += 1
                reasons.append(item.reason)
            elif (reason := self.controller.on_reading(item)) is not None:
                reasons.append(reason)
        return reasons

    def _common_stamp(self) -> float | None:
        stamps = set(self._stamps.values())
        whole = len(self._stamps) == len(self.controller.spec.topics) and len(stamps) == 1
        return next(iter(stamps)) if whole else None

    def _safe(self, reason: str) -> Command:
        stamp_s = max(self._stamps.values(), default=math.nan)
        return Command(stamp_s, self._fallback, True, reason)
