# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a robot has done: its states, and the commands that were in effect between them."""

from __future__ import annotations

import math
import threading

from mbmrl_ros.robot.command import from_units
from mbmrl_ros.robot.history import History, follows
from mbmrl_ros.robot.latency import Latency, Pending
from mbmrl_ros.robot.state import Assembled
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array


class CommandHistory:
    """A history, kept while commands take their time to count.

    `applied` may be called from any thread, everything else from the one that ticks.
    """

    def __init__(self, spec: RobotSpec, window: int, latency: Latency | None) -> None:
        """window: M transitions. latency: None: commands take effect at once (in lockstep).

        in_time: whether the last tick met its deadline.
        """
        self._spec, self.latency = spec, latency
        self.history = History(window, spec.period_s, spec.state_size, spec.action_size)
        self.stamp_s = -math.inf
        self._measured_s = math.nan
        self.in_time = True
        self._lock = threading.Lock()

    def observe(self, assembled: Assembled) -> None:
        """Add the state of a tick."""
        assert assembled.state is not None
        self.stamp_s = assembled.stamp_s
        with self._lock:
            if self.latency is not None:
                if assembled.measured_s > self._measured_s:
                    self.history.applied(self.latency.mean(self._measured_s, assembled.measured_s))
                self._measured_s = assembled.measured_s
            self.history.observe(assembled.stamp_s, assembled.state)

    def record_missed_period(self, assembled: Assembled) -> None:
        """Add the state of a period in which no tick began.

        There is a gap instead where nobody knows which command was in effect: without latency,
        as the last one went out when a slow tick was done, and not after the state before; past
        a deadline, where commands decay on their own; and where readings came in a burst and
        their clock is not ours, so that it is not known when they were measured.
        """
        elapsed_s = assembled.measured_s - self._measured_s
        if self.latency and self.in_time and follows(elapsed_s, self._spec.period_s):
            self.observe(assembled)
        else:
            self.clear()

    def pending(self, now_s: float, send_s: float) -> tuple[Pending, float]:
        """Return what the robot does before a command of now counts, and how long that is [s].

        send_s: when the command will be sent, if it is ready by then; on the steady clock.
        """
        if self.latency is None:
            return (), 0.0
        effect_s = self.latency.effect_s(now_s, send_s)
        return self.latency.pending(self._measured_s, effect_s), effect_s - self._measured_s

    def applied(self, at_s: float, values: Array) -> None:
        """Take a command [A] in units that went out at `at_s`, steady clock, from any thread."""
        action = from_units(self._spec, values)
        with self._lock:
            self.history.applied(action)
        if self.latency is not None:
            self.latency.sent(at_s, action)

    def on_external_command(self, at_s: float, values: Array) -> None:
        """Take a command [A] in units of somebody else."""
        if self.latency is not None:
            self.latency.sent(at_s, from_units(self._spec, values))

    def clear(self) -> None:
        """Begin anew after a gap."""
        with self._lock:
            self.history.clear()

    def resize(self, window: int) -> None:
        """Keep M transitions from now on, beginning with those that are known."""
        with self._lock:
            self.history = self.history.resized(window)
