# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When control periods begin: just after the readings that their ticks need.

Sensors and controller have clocks of their own. Where both have the same rate, periods begin at
any phase between two readings, and that phase drifts as the clocks do. Shortly before a reading,
every tick waits for it, and the wait is lost for planning; long after it, every tick plans from an
old state. So the begin of the periods follows the arrivals, as a phase-locked loop does.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median

REMEMBERED = 20
# So many of them may come later than the rest: single late messages move nothing.
OUTLIERS = 2
# Shares of a period. Arrivals may lie between these, counted from the begin, before it moves, and
# then it moves until they are in the middle: so neither jitter nor the end of a move begins one.
EARLIEST, LATEST, AIM = -0.10, 0.02, -0.04
# A period is longer or shorter by this at most, so that commands stay a period apart; what is
# left below NEAR is noise of the timer.
SLEW, NEAR = 0.01, 0.005
# Where arrivals are further apart, or drift by more from period to period, there is no phase to
# follow: sensors at another rate, or irregular ones. A drift near SLEW would never be caught up.
# SPREAD is a share of the interval between readings, where they come several times a period.
SPREAD, DRIFT = 0.45, 0.008
# Of readings that come more often than that, the last is new enough at any time.
SEVERAL = 0.2
# Well over half a period: where topics are as far apart on both sides, either may be the last.
APART = 0.6
# In periods: nothing moves by arrivals that are longer ago.
FORGOTTEN = 5.0


class SensorPhaseLock:
    """Says how much longer a period is to be than usual, so that the next ones begin on time.

    Arrivals are remembered on the unmoved grid of periods: there they do not depend on what was
    done about the ones before, so that nothing swings.
    """

    def __init__(self, period_s: float) -> None:
        """begin_s: how much later on their grid periods begin now than the first one did."""
        self.begin_s = 0.0
        self._period_s, self._at_s = period_s, math.nan
        self._arrivals: deque[float] = deque(maxlen=REMEMBERED)
        self._intervals: deque[float] = deque(maxlen=REMEMBERED)
        self._wanted_s = 0.0
        # One attribute, since another thread reads it.
        self._ahead = (-math.inf, 0.0)

    def record(self, at_s: float, late_s: float, interval_s: float = math.inf) -> None:
        """Record when a period has begun, and how late its readings were after that.

        at_s: steady clock. late_s: see `lateness_s`; NaN, where one did not come, moves nothing.
        interval_s: from one reading to the next, where they come several times a period.
        """
        if not math.isnan(self._at_s):
            self.begin_s += math.remainder(at_s - self._at_s, self._period_s)
        self._at_s = at_s
        if math.isfinite(late_s):
            self._arrivals.append(self.begin_s + late_s)
            self._intervals.append(interval_s / self._period_s)
            self._choose()
        self._ahead = at_s, self._wanted_s - self.begin_s

    def shift_s(self, next_s: float) -> float:
        """Return by how much the period that begins at `next_s` is to be longer than usual."""
        at_s, ahead_s = self._ahead
        if not next_s - at_s < FORGOTTEN * self._period_s:
            return 0.0
        left_s = ahead_s - math.remainder(next_s - at_s, self._period_s)
        most_s = SLEW * self._period_s
        return min(max(left_s, -most_s), most_s) if abs(left_s) > NEAR * self._period_s else 0.0

    def _choose(self) -> None:
        """Choose another begin where too many arrivals are late, or almost all are long ago."""
        if len(self._arrivals) < REMEMBERED:
            return
        interval = median(self._intervals)
        most, latest = SPREAD * min(1.0, interval), LATEST
        places = [(time_s - self._wanted_s) / self._period_s for time_s in self._arrivals]
        if _spread(places) > most and SEVERAL < interval < 1:
            # Jitter or drift takes a reading across the begin: the last one before it is now that
            # one, now the one before, and nothing waits for what comes just after it.
            places = [AIM + math.remainder(place - AIM, interval) for place in places]
            latest = AIM / 2
        if _spread(places) > most or abs(_drift(places)) > DRIFT:
            return
        last = sorted(places)[-1 - OUTLIERS]
        if EARLIEST <= last <= latest:
            return
        # The first reading after the begin may be nearer than the last one before it.
        last += interval if last + interval / 2 < AIM else 0.0
        self._wanted_s += (last - AIM) * self._period_s


def _spread(places: Sequence[float]) -> float:
    ordered = sorted(places)
    return ordered[-1 - OUTLIERS] - ordered[OUTLIERS]


def _drift(places: Sequence[float]) -> float:
    half = len(places) // 2
    return (median(places[half:]) - median(places[:half])) / half


def lateness_s(arrivals: Mapping[str, Sequence[float]], at_s: float, period_s: float) -> float:
    """Return how long after the begin of a period all its readings had come; negative: before.

    arrivals: by topic since the last tick, in order, steady clock; NaN where a topic has none.
    """
    if not arrivals or not all(arrivals.values()):
        return math.nan
    complete_s = max(times[0] for times in arrivals.values())
    if complete_s > at_s:
        return complete_s - at_s
    # Of topics that were all there at the begin, those count that came least often, and of them
    # the one that came last: faster ones are about as old whenever a period begins.
    before = [[time_s for time_s in times if time_s <= at_s] for times in arrivals.values()]
    fewest = min(map(len, before))
    last = sorted(times[-1] for times in before if len(times) == fewest)
    # Topics that come once a period, together, may lie on both sides of the begin. Then those of
    # before it are a period old, and their next readings are the ones to wait for.
    for older_s, newer_s in pairwise(last if fewest == 1 else []):
        if newer_s - older_s > APART * period_s:
            return older_s + period_s - at_s
    return last[-1] - at_s


def interval_s(arrivals: Mapping[str, Sequence[float]]) -> float:
    """Return how far apart readings of the topic are that comes least often.

    Infinite where it has come once: then a later begin means a reading that is a period old.
    """
    times = min(arrivals.values(), key=len, default=())
    return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else math.inf
