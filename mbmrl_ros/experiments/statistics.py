# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers that reports are made of: ratios with intervals, histograms, errors over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import special
from torch import Tensor

from mbmrl_ros.evaluation.episodes import interval95, std_over_episodes
from mbmrl_ros.evaluation.predictions import PredictionLosses
from mbmrl_ros.sim.disturbances import Schedule
from mbmrl_ros.types import Array

# Errors spread over orders of magnitude: bins are equal on the logarithm.
EDGES = np.logspace(-4, 2, 61)
# Of a curve over time, so that a file of a thousand steps is small.
BLOCK = 5

Groups = Mapping[int, Sequence[float]] | Sequence[Sequence[float]]
"""Values per episode by training seed; of a plain sequence the seeds are 0, 1, 2..."""


class Estimate(NamedTuple):
    """A mean over training seeds, and what is known of how sure it is.

    half: half the width of its 95 % t-interval over the means of seeds, NaN of one seed. std: of
    one seed the standard deviation over its episodes, else NaN: how much episodes differ, not how
    sure the mean is of another training.
    """

    mean: float
    half: float
    std: float
    seeds: int


def by_seed(groups: Groups) -> dict[int, Array]:
    """Return the values that are known, by training seed; seeds without any are left out."""
    pairs = groups.items() if isinstance(groups, Mapping) else enumerate(groups)
    arrays = {seed: np.asarray(values, np.float64) for seed, values in pairs}
    known = {seed: array[~np.isnan(array)] for seed, array in arrays.items()}
    return {seed: array for seed, array in known.items() if len(array)}


def estimate(groups: Groups) -> Estimate:
    """Return the mean over training seeds of the means over episodes.

    Episodes of one trained model share it, so they are no independent trials of the method: pooled
    over three seeds that differ as much as episodes do, a nominal 95 % covers about half.
    """
    seeds = by_seed(groups)
    if not seeds:
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean, half = interval95([float(array.mean()) for array in seeds.values()])
    std = std_over_episodes(next(iter(seeds.values()))) if len(seeds) == 1 else math.nan
    return Estimate(mean, half, std, len(seeds))


def ratio_interval(first: Groups, second: Groups) -> tuple[float, float, float]:
    """Return the ratio of the means over training seeds, and its 95 % t-interval.

    The interval is over the logarithms of the means of seeds: of their ratios where both have the
    same seeds, since methods of a seed share data, else by Welch's formula. Ends are NaN with one
    seed, and where a seed's mean has no finite logarithm. All are NaN where the second mean is not
    clearly positive in every seed: nothing can be normalised to what may be zero.
    """
    one, other = by_seed(first), by_seed(second)
    if not one or not other or not all(map(_clearly_positive, other.values())):
        return math.nan, math.nan, math.nan
    means = [{seed: float(a.mean()) for seed, a in arrays.items()} for arrays in (one, other)]
    above, below = means
    value = float(np.mean(list(above.values())) / np.mean(list(below.values())))
    known = all(0 < mean < math.inf for mean in above.values())
    if not known or min(len(above), len(below)) < 2:
        return value, math.nan, math.nan
    if above.keys() == below.keys():
        centre, half = interval95([math.log(above[seed] / below[seed]) for seed in above])
    else:
        centre, half = _welch([[math.log(m) for m in each.values()] for each in means])
    return value, math.exp(centre - half), math.exp(centre + half)


def _clearly_positive(episodes: Array) -> bool:
    """Whether the mean over the episodes of one model is, whichever other ones it had had.

    What is infinite is no measure of anything.
    """
    if not np.isfinite(episodes).all():
        return False
    mean, half = interval95(episodes)
    return bool(episodes.min() > 0) or mean - half > 0


def _welch(groups: list[list[float]]) -> tuple[float, float]:
    """Return the difference of two means, and half its 95 % interval (Welch 1947)."""
    means = [float(np.mean(group)) for group in groups]
    errors = [float(np.var(group, ddof=1)) / len(group) for group in groups]
    total = sum(errors)
    if total == 0:
        return means[0] - means[1], 0.0
    degrees = total**2 / sum(e**2 / (len(g) - 1) for e, g in zip(errors, groups))
    return means[0] - means[1], math.sqrt(total) * float(special.stdtrit(degrees, 0.975))


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
    a window; it takes none from the others. NaN where no episode has one, and 'inf' of an episode
    in which something was predicted that is no number: JSON knows neither, and a null counts for
    nothing, where this counts for more than any error. ahead: the same of the
    state T2 steps ahead, where that was predicted.
    """
    moments = losses.start_indices.tolist()
    spacing = moments[1] - moments[0] if len(moments) > 1 else 1
    first = moments[0] if moments else None
    result: dict[str, Any] = {'first_moment': first, 'block': BLOCK * spacing}
    for name in ('before', 'after'):
        errors: Tensor = getattr(losses, name)
        result[name] = {
            'episodes': [_written(float(value)) for value in errors.nanmean(1)],
            'over_time': blocks(errors.double().nanmean(0).numpy()),
            'histogram': histogram(errors[~errors.isnan()]),
        }
    known = ~(losses.before.isnan() | losses.after.isnan())
    worse = (losses.after > losses.before)[known]
    result['share_worse'] = float(worse.to(torch.float64).mean())
    return result if losses.ahead is None else result | {'ahead': error_summary(losses.ahead)}


def _written(error: float) -> float | str:
    """Return an error to five digits."""
    return 'inf' if math.isinf(error) else float(f'{error:.5g}')
