# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers that reports are made of: ratios with intervals, histograms, errors over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mbmrl_ros.sim.disturbances import Schedule
from mbmrl_ros.training.predictions import PredictionLosses
from mbmrl_ros.types import Array

DRAWS = 10_000
# Errors spread over orders of magnitude: bins are equal on the logarithm.
EDGES = np.logspace(-4, 2, 61)
# Of a curve over time, so that a file of a thousand steps is small.
BLOCK = 5

Groups = Sequence[Sequence[float]]
"""By training seed, one value per episode."""


def ratio_interval(
    first: Groups, second: Groups, paired: bool = False
) -> tuple[float, float, float]:
    """Return the ratio of the means over training seeds, and a bootstrap 95 % interval.

    Drawn again are seeds, in pairs where both have as many, since methods of a seed share data,
    and episodes within every seed. paired: the two are of the same episodes, which are drawn
    together. NaN where the second mean is not clearly positive: nothing can be normalised to what
    may be zero.
    """
    pair = [[np.asarray(group, np.float64) for group in groups] for groups in (first, second)]
    means = [float(np.mean([group.mean() for group in groups])) for groups in pair]
    rng = np.random.default_rng(0)
    seeds = [rng.integers(len(groups), size=(DRAWS, len(groups))) for groups in pair]
    if len(pair[0]) == len(pair[1]):
        seeds[1] = seeds[0]
    streams = [np.random.default_rng(1 if paired else stream) for stream in (1, 2)]
    drawn = [_drawn_means(*of_one) for of_one in zip(pair, seeds, streams)]
    if np.percentile(drawn[1], 2.5) <= 0:
        return math.nan, math.nan, math.nan
    low, high = np.nanpercentile(drawn[0] / np.where(drawn[1] > 0, drawn[1], np.nan), [2.5, 97.5])
    return means[0] / means[1], float(low), float(high)


def _drawn_means(groups: list[Array], seeds: NDArray[np.int64], rng: np.random.Generator) -> Array:
    """Return means [DRAWS] over drawn seeds [DRAWS, seeds] of drawn episodes."""
    total = np.zeros(len(seeds))
    for column in seeds.T:
        for seed, group in enumerate(groups):
            rows = column == seed
            chosen = rng.integers(len(group), size=(int(rows.sum()), len(group)))
            total[rows] += group[chosen].mean(1)
    return np.asarray(total / seeds.shape[1])


def histogram(errors: Tensor) -> list[int]:
    """Count errors in the bins of EDGES; what is beyond goes into the outermost."""
    clipped = np.clip(errors.double().numpy().ravel(), EDGES[0], EDGES[-1])
    return [int(count) for count in np.histogram(clipped, EDGES)[0]]


def blocks(values: Array) -> list[float]:
    """Return means of BLOCK values each, to five digits; what is left over at the end is left."""
    whole = values[: len(values) // BLOCK * BLOCK].reshape(-1, BLOCK).mean(1)
    return [float(f'{value:.5g}') for value in whole]


def switch_step(schedule: Schedule) -> int | None:
    """Return when something first happens in mid-run; None: never."""
    return min((event.step for event in schedule if event.step > 0), default=None)


def error_summary(losses: PredictionLosses) -> dict[str, Any]:
    """Return errors before and after the update: per episode, over time, as histograms.

    An episode that ended early has no errors from then on, and none at all if it was shorter than
    a window; it takes none from the others. NaN where no episode has one. ahead: the same of the
    state T2 steps ahead, where that was predicted.
    """
    moments = losses.moments.tolist()
    spacing = moments[1] - moments[0] if len(moments) > 1 else 1
    first = moments[0] if moments else None
    result: dict[str, Any] = {'first_moment': first, 'block': BLOCK * spacing}
    for name in ('before', 'after'):
        errors: Tensor = getattr(losses, name)
        result[name] = {
            'episodes': [float(f'{value:.5g}') for value in errors.nanmean(1)],
            'over_time': blocks(errors.double().nanmean(0).numpy()),
            'histogram': histogram(errors[~errors.isnan()]),
        }
    known = ~(losses.before.isnan() | losses.after.isnan())
    worse = (losses.after > losses.before)[known]
    result['share_worse'] = float(worse.to(torch.float64).mean())
    return result if losses.ahead is None else result | {'ahead': error_summary(losses.ahead)}
