# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What numbers of a measurement say, in a line each; what to do about it: docs/tuning.md.

A difference of losses, or of returns before and after adapting, counts where its 95 % interval
over trajectories, or tasks, leaves out zero. All are of one trained model: they say nothing of
another training.
"""

from __future__ import annotations

import math

from torch import Tensor

from mbmrl_ros.evaluation.episodes import interval95

TUNING = 'docs/tuning.md'
# Of the loss; a choice. Many windows make gains certain that are too small to change a plan.
LEAST_GAIN = 0.05


def difference(first: Tensor, second: Tensor) -> int:
    """Return 1 where the first values [B] are the larger ones, -1 the smaller ones, 0 neither.

    second: paired with the first, or one value for all. 0 too where there are fewer than two.
    """
    mean, half_width = interval95(first - second)
    return 0 if not abs(mean) > half_width else int(math.copysign(1, mean))


def of_adapting(before: Tensor, after: Tensor) -> str:
    """Say whether adapting lowers the losses [B] of trajectories, which have one each."""
    known = ~(before.isnan() | after.isnan())
    before, after = before[known], after[known]
    if not len(before):
        return 'no trajectory is long enough to be predicted before and after adapting'
    count, first, second = len(before), float(before.mean()), float(after.mean())
    numbers = f'loss {first:.4g} before, {second:.4g} after adapting'
    if not math.isfinite(first):
        return f'{numbers}: what the model predicts is not finite; more data, or a smaller network'
    if not math.isfinite(second):
        return f'{numbers}: adapting makes it so; a smaller step size'
    if count < 2:
        return f'{numbers}, in one trajectory: two at least are needed to tell whether it helps'
    sign = difference(before, after)
    if sign > 0 and second <= (1 - LEAST_GAIN) * first:
        share = f'{second / first:.2f} of itself'
        return f'{numbers}, {share}: there is something to adapt to'
    if sign < 0:
        return f'{numbers}: adapting harms; a smaller step size, or raise accept_improvement'
    if second > first:
        return f'{numbers}: no gain in the mean ({TUNING}, Adaptation)'
    what = f'a gain below {LEAST_GAIN:.0%}' if sign > 0 else f'not clear in {count} trajectories'
    return f'{numbers}: {what}; little to adapt to, or a step too small ({TUNING}, Adaptation)'


def of_gain(before: Tensor, after: Tensor) -> str:
    """Say whether returns [N] of a policy on N tasks grow as it adapts; empty where they do."""
    sign = difference(after, before) if len(before) > 1 else 1
    if sign > 0:
        return ''
    gain = f'{float((after - before).mean()):.3g} over {len(before)} tasks'
    if sign < 0:
        return f'it gets worse as it adapts, by {gain}: a smaller step ({TUNING}, Policies)'
    return f'whether it gains is not clear, {gain}; more tasks, or see {TUNING}, Policies'


def of_no_change(loss: float, no_change: float) -> str:
    """Say how a loss compares with that of predicting that nothing changes; empty if below it."""
    if not (math.isfinite(loss) and math.isfinite(no_change)):
        return f'what was predicted is not finite: loss {loss:.4g}, of no change {no_change:.4g}'
    if loss < no_change:
        return f'that is {loss / no_change:.2f} of the loss of predicting that nothing changes'
    return (
        f'no better than predicting that nothing changes ({no_change:.4g}): compare units and '
        f'signs, and whose data these are ({TUNING})'
    )


def of_fit(loss: float) -> str:
    """Say what a validation loss is of: squared errors of normalised changes.

    Normalised by their mean and standard deviation: what expects the mean change has 1.
    """
    text = f'validation loss {loss:.4g}; expecting the mean change at every step has 1'
    return text if loss < 1 else f'{text}, so this is of no use yet ({TUNING}, a model that plans)'


def of_returns(returns: Tensor, idle: Tensor) -> str:
    """Say whether returns [B] are above those of a robot that does nothing [few].

    Empty where all of them are above all of those: the table has both. Of two or three episodes an
    interval is as wide as they are apart, however far they are above: so it is not asked for.
    """
    if float(returns.min()) > float(idle.max()):
        return ''
    numbers = f'{float(returns.mean()):.1f}, and of doing nothing {float(idle.mean()):.1f}'
    if float(returns.mean()) > float(idle.mean()):
        return f'return {numbers}: above it in the mean, not in every episode'
    return (
        f'return {numbers}: not above it; train for more iterations, or look at the reward '
        f'({TUNING})'
    )
