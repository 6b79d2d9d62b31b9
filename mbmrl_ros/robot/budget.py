# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How many candidates fit into a control period, as the controller measures its own ticks."""

from __future__ import annotations

import dataclasses
import statistics
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


def _ladder(minimum: int, maximum: int) -> list[int]:
    rungs = [minimum]
    while rungs[-1] < maximum:
        rungs.append(min(max(rungs[-1] + 1, int(rungs[-1] * STEP)), maximum))
    return rungs


def with_candidates(planner: Any, candidates: int) -> Any:
    """Return a planner that differs in the number of candidates only."""
    config = planner.config.model_copy(update={'candidates': candidates})
    return dataclasses.replace(planner, config=config)
