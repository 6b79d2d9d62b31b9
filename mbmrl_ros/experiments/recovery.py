# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How long after a fault an error is back at its level, episode by episode.

Errors follow the gait of a robot: those of a healthy half-cheetah, averaged over ten moments, were
20 to 40 % of the time a fifth above their own median. So what counts is what lasts, and what the
same rule makes of episodes without a fault is reported beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from mbmrl_ros.evaluation.predictions import PredictionLosses
from mbmrl_ros.types import Array

SMOOTHING = 10
TOLERANCE = 0.2


class Course(NamedTuple):
    """What became of an error after a fault; all but steps and level relative to the level.

    level: before the fault. rise: the usual error from the fault on. steps: until it was back, at
    least SMOOTHING - 1; infinite: never before the end of the episode. late: the usual error from
    T1 steps after the fault on. peak: the largest mean over SMOOTHING moments.
    """

    level: float
    rise: float
    steps: float
    late: float
    peak: float


class Recovery(NamedTuple):
    """Courses of the errors of one episode: with the parameters as trained, and as adapted."""

    trained: Course
    adapted: Course

    @property
    def rose(self) -> bool:
        """Whether the model as trained got worse; if not, there is nothing to recover from."""
        return self.trained.rise > 1 + TOLERANCE


def course(moments: Array, errors: Array, fault: int, past: int, future: int) -> Course | None:
    """Return the course of an error [W] at moments [W] after a fault that lasts.

    moments: steps, without a gap; the error of each is on the `future` (T2) steps from there on.
    Level: of moments whose steps all lie before the fault, the later half, since a robot that
    starts has errors of its own. steps: the first k for which the means that end at fault + k and
    at each of the next T2 moments are at most 1.2 times the level. past: T1. None: the episode is
    too short for these.
    """
    healthy, broken = errors[moments + future <= fault], errors[moments >= fault]
    settled = healthy[len(healthy) // 2 :]
    if len(settled) < SMOOTHING or len(broken) < SMOOTHING + max(past, future):
        return None
    level = _usual(settled)
    if not 0 < level < math.inf:
        return None
    means = trailing_means(broken)
    stays = sliding_window_view(means <= (1 + TOLERANCE) * level, future + 1).all(1)
    steps = float(np.argmax(stays)) + SMOOTHING - 1 if stays.any() else math.inf
    relative = (_usual(broken), _usual(broken[past:]), float(means.max()))
    rise, late, peak = (value / level for value in relative)
    return Course(level, rise, steps, late, peak)


def mean_back(blocks: Array, first: int, size: int, fault: int, future: int) -> float | None:
    """Return how many steps after a fault the block begins with which the mean error is back.

    blocks: means over episodes and `size` moments each, from moment `first` on. Back: at most 1.2
    times the level, and so are the blocks that begin in the T2 (`future`) moments after it.
    Level: mean of the blocks that lie before the fault with all their T2 steps, the later half.
    Infinite: never. None: too few blocks before the fault, or after it.
    """
    begins = first + size * np.arange(len(blocks))
    healthy = blocks[begins + size - 1 + future <= fault]
    broken = begins >= fault
    after, since = blocks[broken], begins[broken] - fault
    span = 1 + -(-future // size)
    if not len(healthy) or len(after) < span:
        return None
    low = after <= (1 + TOLERANCE) * healthy[len(healthy) // 2 :].mean()
    stays = sliding_window_view(low, span).all(1)
    return float(since[np.argmax(stays)]) if stays.any() else math.inf


def mean_curve(curves: Sequence[Sequence[float]]) -> Array:
    """Return the mean of curves [T] over those that are known, as long as the longest."""
    length = max(map(len, curves))
    whole = np.full((len(curves), length), np.nan)
    for row, curve in zip(whole, curves):
        row[: len(curve)] = curve
    known = ~np.isnan(whole)
    total, count = np.where(known, whole, 0.0).sum(0), known.sum(0)
    return np.asarray(np.divide(total, count, out=np.full(length, np.nan), where=count > 0))


def trailing_means(errors: Array) -> Array:
    """Return means [W - SMOOTHING + 1] that end with each error [W] but the first ones."""
    return np.asarray(sliding_window_view(errors, SMOOTHING).mean(1))


def _usual(errors: Array) -> float:
    # Not the mean: one stumble before the fault would lift the level, and then all is within it.
    return float(np.median(trailing_means(errors)))


def recoveries(losses: PredictionLosses, fault: int, past: int, future: int) -> dict[str, Any]:
    """Return the recovery of every episode, as a cell of results has it.

    fault: its step, or one at which nothing happened, to see what the rule makes of that.
    """
    moments = losses.start_indices.numpy()
    episodes = []
    for pair in zip(losses.before.double().numpy(), losses.after.double().numpy()):
        # Of an episode that ended early, as far as it went.
        known = ~np.isnan(pair).any(0)
        found = [course(moments[known], one[known], fault, past, future) for one in pair]
        plain = [_plain(one) for one in found if one is not None]
        episodes.append(dict(zip(Recovery._fields, plain)) if len(plain) == 2 else None)
    return {'step': fault, 'episodes': episodes}


def _plain(found: Course) -> dict[str, float | None]:
    return {
        name: float(f'{value:.5g}') if math.isfinite(value) else None
        for name, value in found._asdict().items()
    }


def read_recoveries(written: Iterable[dict[str, Any] | None]) -> list[Recovery]:
    """Return recoveries from a cell of results; without those that there was no room for."""
    return [
        Recovery(*(_course(episode[name]) for name in Recovery._fields))
        for episode in written
        if episode is not None
    ]


def _course(written: dict[str, float | None]) -> Course:
    # JSON has no infinity.
    values = (written[name] for name in Course._fields)
    return Course(*(math.inf if value is None else value for value in values))


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the values that a quarter, half and three quarters of all do not exceed.

    Always one of the values, so that some may be infinite: they are larger than all others,
    however much, and nothing is between them.
    """
    ordered = sorted(values)
    low, middle, high = (ordered[math.ceil(len(ordered) * part) - 1] for part in (0.25, 0.5, 0.75))
    return low, middle, high


def share_back(found: Iterable[Course], within: float = math.inf) -> float:
    """Return which part was back after so many steps at the latest, or at all."""
    return float(np.mean([one.steps <= within and one.steps < math.inf for one in found]))
