# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What fits into a control period: how many candidates, and when in it commands go out.

Both follow what the controller measures of its own ticks.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import deque
from typing import Any

STEP = 1.1
# The number is changed by the median of LONG ticks, so that single slow ones change nothing; much
# too slow by the median of SHORT is enough for fewer, so that an overload is over after a few.
SHORT, LONG = 5, 15
MUCH = 1.1
# What a change aims at, as a share of the goal: noise below a twentieth does not undo it.
AIM = 0.95
LARGEST_GROWTH = 2.0
# On a machine that is as busy later as now, numbers stay below so many times the one that fits.
REHEARSED = 1.5
# Of the time at which commands go out; shares of the ticks that are remembered, or of a period.
REMEMBERED = 300
ALMOST_ALL = 0.99
MARGIN, LATEST, DRIFT = 0.03, 0.9, 0.01
# When in its period imagining ends, so that there is time to choose and to send.
IMAGINED = 0.75


class CandidateBudget:
    """Chooses the number of candidates such that ticks take no longer than a goal.

    A tick takes a + b K seconds for K candidates, with a and b unknown and drifting. The duration
    of c K candidates is estimated as c (a + b K). With more candidates (c > 1) that is more than
    the truth, so a step up never overshoots. With fewer it is less than the truth, so one step
    down may not be enough, and others come after it until the goal is met. The gap between AIM and
    the goal keeps steps up and down from alternating.

    Numbers are rungs of a ladder, each a tenth above the one below, so that noise in the
    measurement does not change the shapes of all tensors at every tick: for every new shape
    compiled products are kept.
    """

    def __init__(self, goal_s: float, minimum: int, maximum: int, candidates: int) -> None:
        """goal_s: of a tick. candidates: to begin with. `settled`: whether the last ticks that
        were judged met the goal, with a number that was left as it is. `overloaded`: whether
        they did not, and there is no smaller number.
        """
        self.goal_s = goal_s
        self.ladder = _ladder(min(minimum, maximum), maximum)
        self.candidates = max((n for n in self.ladder if n <= candidates), default=self.ladder[0])
        self.settled = self.overloaded = False
        self._durations: list[float] = []
        self._first = False

    @property
    def rehearsal(self) -> list[int]:
        """Numbers to try before the robot moves, upwards: to half above the present one.

        A number that is new needs new memory and products that are compiled for it: 2 to 3 MB and
        a tick that is late, unless it was seen before the robot moves.
        """
        return [n for n in self.ladder if n <= REHEARSED * self.candidates]

    def record(self, tick_s: float) -> int:
        """Return the number for the next tick; tick_s: how long one with the present number took.

        The first tick after a change does not count: new shapes need new memory.
        """
        if self._first or not tick_s >= 0:
            self._first = False
            return self.candidates
        self._durations.append(tick_s)
        short = statistics.median(self._durations[-SHORT:])
        if len(self._durations) >= SHORT and short > MUCH * self.goal_s:
            self._decide(short)
        elif len(self._durations) == LONG:
            self._decide(statistics.median(self._durations))
        return self.candidates

    def _decide(self, typical_s: float) -> None:
        self._durations.clear()
        factor = min(AIM * self.goal_s / max(typical_s, 1e-9), LARGEST_GROWTH)
        fitting = (n for n in self.ladder if n <= factor * self.candidates)
        candidates = max(fitting, default=self.ladder[0])
        fits = typical_s <= self.goal_s
        stays = (fits and typical_s >= AIM * self.goal_s) or candidates == self.candidates
        self.settled, self.overloaded = fits and stays, stays and not fits
        if not stays:
            self.candidates, self._first = candidates, True


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


def _ladder(minimum: int, maximum: int) -> list[int]:
    rungs = [minimum]
    while rungs[-1] < maximum:
        rungs.append(min(max(rungs[-1] + 1, int(rungs[-1] * STEP)), maximum))
    return rungs


def with_candidates(planner: Any, candidates: int) -> Any:
    """Return a planner that differs in the number of candidates only."""
    config = planner.config.model_copy(update={'candidates': candidates})
    return dataclasses.replace(planner, config=config)
