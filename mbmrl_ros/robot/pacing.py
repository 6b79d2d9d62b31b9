# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When in its period a command goes out, as the controller measures its own ticks.

`phase.py` says when periods begin, `budget.py` how much is planned in one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mbmrl_ros.robot.phase import SensorPhaseLock, interval_s, lateness_s

# Of the time at which commands go out; shares of the ticks that are remembered, or of a period.
REMEMBERED = 300
ALMOST_ALL = 0.99
MARGIN, LATEST, DRIFT = 0.03, 0.9, 0.01
# When in its period imagining ends, so that there is time to choose and to send.
IMAGINED = 0.75


class TickTimes(NamedTuple):
    """Of a tick, on the steady clock: begin of its period, wake-up, and all readings there.

    arrivals: of the readings, by topic. due: whether a period began, or the watchdog's patience
    ended.
    """

    begin_s: float
    woke_s: float
    ready_s: float
    arrivals: Mapping[str, Sequence[float]]
    due: bool


class Pacing:
    """The times of a tick: when its plan is to be done and to be sent, and how well it was."""

    def __init__(
        self,
        period_s: float,
        send_time: SendTimeController | None = None,
        phase: SensorPhaseLock | None = None,
    ) -> None:
        """send_time: when in its period a command goes out; None: when its tick is done.

        phase: is told how readings come after the begin of the periods; whoever begins them may
        follow it.
        """
        self.send_time, self.phase = send_time, phase
        self._period_s, self._sent_s = period_s, math.nan

    def forget(self) -> None:
        """Hold the next command against no earlier one."""
        self._sent_s = math.nan

    def send_s(self, times: TickTimes) -> float:
        """Return when the command of a tick is to go out; minus infinity: when it is done."""
        after_s = self.send_time.after_s if self.send_time and times.due else 0.0
        return times.begin_s + after_s if after_s else -math.inf

    def until_s(self, times: TickTimes, goal_s: float) -> float:
        """Return when imagining has to end; goal_s: as in `planning_deadline_s`."""
        return times.begin_s + planning_deadline_s(self._period_s, goal_s)

    def error_s(self, sent_s: float) -> float:
        """Return how far a command is from a whole number of periods after the one before."""
        elapsed_s, self._sent_s = sent_s - self._sent_s, sent_s
        return period_error_s(elapsed_s, self._period_s)

    def lateness_s(self, times: TickTimes) -> float:
        """Return how late the readings of a tick were, for which the next periods may move."""
        late_s = lateness_s(times.arrivals, times.begin_s, self._period_s)
        if self.phase and times.due:
            self.phase.record(times.begin_s, late_s, interval_s(times.arrivals))
        return late_s

    def record(self, times: TickTimes, tick_s: float) -> None:
        """Move the time of sending after a tick with a plan that took tick_s."""
        if self.send_time:
            phase_s = self.phase.begin_s if self.phase else 0.0
            self.send_time.record(tick_s, times.ready_s - times.woke_s, phase_s)


class SendTimeController:
    """Chooses when in the period commands go out: after almost all ticks are done.

    So commands are a period apart, however long each tick took, and no later than they must be.
    """

    def __init__(self, period_s: float) -> None:
        """after_s: from the begin of the period; 0 before the first tick."""
        self.after_s = 0.0
        self._period_s = period_s
        self._ticks: deque[tuple[float, float, float]] = deque(maxlen=REMEMBERED)

    def record(self, tick_s: float, waited_s: float = 0.0, begin_s: float = 0.0) -> None:
        """Move the time of sending, by a hundredth of the period at most, after a tick of tick_s.

        waited_s: of tick_s, for readings. begin_s: of `SensorPhaseLock`: where periods begin later
        by now, earlier ticks would have waited less, and would have been done as much sooner.
        """
        self._ticks.append((begin_s, waited_s, tick_s - waited_s))
        ends = sorted(
            max(waited_s - max(begin_s - begun_s, 0.0), 0.0) + rest_s
            for begun_s, waited_s, rest_s in self._ticks
        )
        most_s = ends[int(ALMOST_ALL * len(ends))]
        wanted_s = min(most_s + MARGIN * self._period_s, LATEST * self._period_s)
        step_s = DRIFT * self._period_s if self.after_s else math.inf
        self.after_s = min(max(wanted_s, self.after_s - step_s), self.after_s + step_s)


def planning_deadline_s(period_s: float, goal_s: float) -> float:
    """Return how long after the begin of its period a tick may go on imagining.

    goal_s: how long ticks are to take, NaN if nothing is done about it. One that keeps to a long
    goal is not cut: of what the goal leaves of the period, a quarter may be used up.
    """
    if math.isnan(goal_s):
        return IMAGINED * period_s
    return max(IMAGINED * period_s, goal_s + (period_s - goal_s) / 4)


def period_error_s(elapsed_s: float, period_s: float) -> float:
    """Return how far two commands were from a whole number of periods apart; NaN stays NaN."""
    if math.isnan(elapsed_s):
        return math.nan
    return elapsed_s - max(1, round(elapsed_s / period_s)) * period_s
