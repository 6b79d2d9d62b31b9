# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What begins a control period."""

from __future__ import annotations

import math
import time
from typing import Protocol

from mbmrl_ros.nodes.common.node_resources import NodeResources
from mbmrl_ros.robot.phase import SensorPhaseLock

# Times to look at when the next call is.
READ = 3


class Wake(Protocol):
    """What a period begins with: `ControlLoop.wake`."""

    def __call__(self, at_s: float | None = None, skipped: int = 0) -> None:
        """at_s: steady clock; skipped: periods before this one that nobody was called for."""


class PeriodTimer:
    """Calls once per period, with the time at which it should have been.

    On the steady clock, which nobody sets, and which keeps its phase however late a call is; with
    use_sim_time on /clock, whose jumps and pauses are no periods that were missed.
    """

    def __init__(
        self,
        resources: NodeResources,
        period_s: float,
        wake: Wake,
        phase: SensorPhaseLock | None = None,
    ) -> None:
        """wake: is called in the executor's thread. phase: to follow on the steady clock."""
        self._period_s, self._wake, self._phase = period_s, wake, phase
        self._steady = not resources.node.get_parameter('use_sim_time').value
        self._next_s, self._present_s = math.nan, period_s
        self._timer = resources.timer(period_s, self._on_timer, steady=self._steady)

    def _on_timer(self) -> None:
        if not self._steady:
            self._wake()
            return
        now_s = time.monotonic()
        # Too early by whatever comes between the two clocks, so the largest is the best.
        next_s = max(self._next_call_s() for _ in range(READ))
        expected_s, self._next_s = self._next_s, next_s
        at_s = min(next_s - self._present_s, now_s)
        late_s = 0.0 if math.isnan(expected_s) else at_s - expected_s
        self._wake(at_s, max(0, round(late_s / self._present_s)))
        if self._phase is not None:
            self._change(self._period_s + self._phase.shift_s(next_s))

    def _next_call_s(self) -> float:
        # None only for a timer that was cancelled, which is not called.
        return time.monotonic() + (self._timer.time_until_next_call() or 0) / 1e9

    def _change(self, period_s: float) -> None:
        # A timer adds its period when it is called: what is set now is the time between its next
        # call and the one after that.
        if period_s != self._present_s:
            self._present_s = period_s
            self._timer.timer_period_ns = round(1e9 * period_s)
