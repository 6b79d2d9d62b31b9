# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What begins a control period."""

from __future__ import annotations

import math
import time
from typing import Protocol

from mbmrl_ros.nodes.entities import Entities


class Wake(Protocol):
    """What a period begins with: `ControlLoop.wake`."""

    def __call__(self, at_s: float | None = None, skipped: int = 0) -> None:
        """at_s: steady clock; skipped: periods before this one that nobody was called for."""


class PeriodTimer:
    """Calls once per period, with the time at which it should have been.

    On the steady clock, which nobody sets, and which keeps its phase however late a call is; with
    use_sim_time on /clock, whose jumps and pauses are no periods that were missed.
    """

    def __init__(self, entities: Entities, period_s: float, wake: Wake) -> None:
        """wake: is called in the executor's thread."""
        self._period_s, self._wake = period_s, wake
        self._steady = not entities.node.get_parameter('use_sim_time').value
        self._last_s = math.nan
        self._timer = entities.timer(period_s, self._on_timer, steady=self._steady)

    def _on_timer(self) -> None:
        now_s, next_ns = time.monotonic(), self._timer.time_until_next_call()
        if not self._steady or next_ns is None:
            self._wake()
            return
        at_s = min(now_s + next_ns / 1e9 - self._period_s, now_s)
        elapsed_s, self._last_s = at_s - self._last_s, at_s
        periods = 1 if math.isnan(elapsed_s) else round(elapsed_s / self._period_s)
        self._wake(at_s, max(0, periods - 1))
