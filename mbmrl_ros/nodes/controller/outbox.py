# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one way out for commands: after the fallback of a stop, no plan may follow.

Not even one that was begun before the stop and is done after the next start. All commands, from
whatever thread, go out by `Controller.send`, which records them.
"""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from mbmrl_ros.robot.command import Command
from mbmrl_ros.robot.controller import Controller


class Outbox:
    """Sends commands one at a time while it is active.

    Threads: `begin_tick`, `planning`, `send` and the job of `release` belong to the worker,
    everything else may be called from any. active: whether commands go out.
    """

    def __init__(
        self,
        controller: Controller,
        newest_stamp_s: Callable[[], float],
        publish: Callable[[Command], object],
        on_error: Callable[[str], object],
    ) -> None:
        """newest_stamp_s: of the readings, for a command that answers none.

        on_error: gets the trace of what `publish` raised where no tick waits for it.
        """
        self.active = False
        self._controller, self._newest_stamp_s = controller, newest_stamp_s
        self._publish, self._on_error = publish, on_error
        self._fallback = np.asarray(controller.spec.action.fallback, np.float64)
        self._lock = threading.Lock()
        self._starts = self._tick_of = self._e_stops = 0
        self._planning_since_s = math.inf

    def activate(self) -> None:
        """Let commands out from now on."""
        with self._lock:
            self._starts += 1
            self.active = True

    def deactivate(self, reason: str) -> None:
        """Send the fallback at once, even while a plan is computed, and nothing after it."""
        with self._lock:
            if self.active:
                self.active = False
                self._send_aside(self.fallback(reason))

    def e_stop(self, reason: str) -> None:
        """Latch the emergency stop and send the fallback at once."""
        # At once, whoever is sending; and again, as a release may have come in between.
        self._controller.e_stop(reason)
        with self._lock:
            self._e_stops += 1
            self._controller.e_stop(reason)
            if self.active:
                self._send_aside(self.fallback(self._controller.stopped))

    def release(self) -> Callable[[], None]:
        """Return a job that releases the emergency stop, unless there is another until then."""
        asked = self._e_stops

        def job() -> None:
            with self._lock:
                if self._e_stops == asked:
                    self._controller.release()

        return job

    def begin_tick(self) -> bool:
        """Note that a tick begins, for a stop and a start before its end; return `active`."""
        self._tick_of = self._starts
        return self.active

    @contextmanager
    def planning(self, since_s: float) -> Iterator[None]:
        """Plan meanwhile; what takes too long is covered by `cover_late_plan`."""
        self._planning_since_s = since_s
        try:
            yield
        finally:
            self._planning_since_s = math.inf

    def send(self, command: Command) -> Command | None:
        """Send the answer of the present tick; return what went out, None where nothing may.

        That is the fallback where an emergency stop came after it was decided on.
        """
        with self._lock:
            if not self.active or self._tick_of != self._starts:
                return None
            if self._controller.stopped and not command.fallback:
                command = self.fallback(self._controller.stopped)
            self._controller.send(command, self._publish)
            return command

    def cover_late_plan(self) -> None:
        """Send the last command, decayed, in the place of a plan that is past its deadline."""
        if not self._is_late(self._planning_s()):
            return
        with self._lock:
            planning_s = self._planning_s()
            if not self.active or not self._is_late(planning_s):
                return
            if self._controller.stopped or self._tick_of != self._starts:
                self._send_aside(self.fallback(self._controller.stopped or 'started again'))
                return
            decayed = self._controller.decayed_command(planning_s)
            self._send_aside(replace(decayed, stamp_s=self._newest_stamp_s()))

    def fallback(self, reason: str) -> Command:
        """Return the safe command, as an answer to the newest readings."""
        return Command(self._newest_stamp_s(), self._fallback, True, reason)

    def _is_late(self, planning_s: float) -> bool:
        return planning_s > self._controller.spec.safety.deadline_s

    def _planning_s(self) -> float:
        """Return for how long a plan has been computed; minus infinity where none is."""
        return time.monotonic() - self._planning_since_s

    def _send_aside(self, command: Command) -> None:
        """Send what is no answer of a tick, in whatever thread, which goes on if that fails."""
        try:
            self._controller.send(command, self._publish)
        except Exception:
            self._on_error(traceback.format_exc())
