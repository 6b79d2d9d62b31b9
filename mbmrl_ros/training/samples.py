# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From paths to what policies are improved by: credit, and the likelihood when they were drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from mbmrl_ros.config import Config, UserError
from mbmrl_ros.objectives.baseline import BaselineKind, features, fit, predict
from mbmrl_ros.objectives.returns import (
    discounted_sums,
    gae,
    masked_mean,
    powers,
    returns,
    standardised,
)
from mbmrl_ros.policies.gaussian import Distribution, log_prob
from mbmrl_ros.types import Metrics, Paths


class AdvantageConfig(Config):
    """How an action is valued; the values of the ProMP authors' code."""

    discount: float = Field(0.99, ge=0, le=1, description='gamma')
    gae_lambda: float = Field(1.0, ge=0, le=1, description='lambda of GAE')
    baseline: BaselineKind = Field(
        'linear', description='features: observations and time, or time alone'
    )
    bootstrap: bool = Field(
        False, description='value what comes after a time limit; false: as 0 (the code)'
    )


Credit = Literal['advantages', 'rewards']
"""Advantages by GAE, or discounted rewards less their baseline (DiCE)."""


class Samples(NamedTuple):
    """Samples of N tasks, and what each is worth.

    observations, actions: [N, R, T, .], 0 after a path's end. old: the distribution they were
    drawn from, and old_log_prob its logarithm. old_log_prob, credit, alive: [N, R, T].
    mean_reward: [N] per step.
    """

    observations: Tensor
    actions: Tensor
    old: Distribution
    old_log_prob: Tensor
    credit: Tensor
    alive: Tensor
    mean_reward: Tensor

    def part(self, tasks: slice) -> Samples:
        """Return the samples of some of the tasks."""
        return self._each(lambda values: values[tasks])

    def during(self, steps: slice) -> Samples:
        """Return the samples of some of the steps."""
        return self._each(lambda values: values[:, :, steps] if values.dim() > 1 else values)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Samples:
        old = {name: change(value) for name, value in self.old.items()}
        rest = {name: change(v) for name, v in self._asdict().items() if isinstance(v, Tensor)}
        return Samples(**rest, old=old)


class Rounds(NamedTuple):
    """Samples before each inner step and after the last, and what they say in metrics.csv.

    returns: the mean return [N] of each task's paths, for every round.
    """

    samples: list[Samples]
    metrics: Metrics
    returns: list[Tensor]


def score(paths: Paths, config: AdvantageConfig, credit: Credit = 'advantages') -> Samples:
    """Value every action, on one scale for all tasks; UserError if a reward is not finite."""
    check_finite(paths)
    observations, actions = (
        torch.where(paths.alive[..., None], values, 0.0)
        for values in (paths.observations, paths.actions)
    )
    if credit == 'advantages':
        worth = standardised(advantages(paths, config), paths.alive)
    else:
        worth = scaled(step_rewards(paths, config), paths.alive)
    return Samples(
        observations,
        actions,
        paths.distribution,
        log_prob(paths.distribution, actions),
        worth,
        paths.alive,
        masked_mean(paths.rewards, paths.alive),
    )


def check_finite(paths: Paths) -> None:
    """UserError if a reward or an observation that counts is NaN or infinite."""
    for name, values in (('reward', paths.rewards), ('observation', paths.observations)):
        finite = values.isfinite() if values.dim() == 3 else values.isfinite().all(-1)
        bad = ~finite & paths.alive
        if bool(bad.any()):
            task, _, step = (int(i) for i in bad.nonzero()[0])
            raise UserError(
                f'{int(bad.sum())} of {int(paths.alive.sum())} steps have a {name} that is not '
                f'finite, the first of task {task} at step {step}; the run keeps what it had '
                'learned until then: mend the task, and start again with the same settings'
            )


def path_returns(paths: Paths) -> Tensor:
    """Return the undiscounted return of each path [N, R]."""
    return torch.where(paths.alive, paths.rewards, 0.0).sum(-1)


def advantages(paths: Paths, config: AdvantageConfig) -> Tensor:
    """Return advantages [N, R, T] by GAE, with a baseline of each task's own paths."""
    rewards = torch.where(paths.alive, paths.rewards, 0.0)
    targets = returns(rewards, paths.alive, config.discount)
    values, last = _values(paths, targets, config)
    return gae(rewards, values, paths.alive, last, config.discount, config.gae_lambda)


def _values(paths: Paths, targets: Tensor, config: AdvantageConfig) -> tuple[Tensor, Tensor]:
    """Return the baseline's values [N, R, T], and those [N, R] of what comes after.

    With bootstrap the value after a time limit is the baseline's own: its regression is then of
    sum_k gamma^k r_k on the difference of features x_t - gamma^(T - t) x_T.
    """
    observations = paths.observations.nan_to_num()
    if not config.bootstrap:
        rows = features(observations, config.baseline)
        values = predict(rows, fit(rows, targets, paths.alive))
        return values, torch.zeros_like(values[..., 0])
    whole = torch.cat([observations, paths.last_observation.nan_to_num()[:, :, None]], 2)
    rows = features(whole, config.baseline)
    before, after = rows[:, :, :-1], rows[:, :, -1:]
    decay = config.discount * powers(config.discount, before.shape[2], rows)[-1]
    cut = (~paths.ended)[:, :, None, None] * decay[:, None]
    weights = fit(before - cut * after, targets, paths.alive)
    last = torch.where(paths.ended, 0.0, predict(after, weights)[..., 0])
    return predict(before, weights), last


def scaled(rewards: Tensor, alive: Tensor) -> Tensor:
    """Scale rewards [N, R, T] so that their sums to the end have a mean square of 1 per task.

    These sums are what DiCE's gradient multiplies: an inner step size then means the same with
    it as with standardised advantages. The authors' code standardises the rewards themselves,
    which makes a step tens of times longer.
    """
    size = masked_mean(discounted_sums(rewards, 1.0).square(), alive).sqrt()
    return rewards / (size[:, None, None] + 1e-8)


def step_rewards(paths: Paths, config: AdvantageConfig) -> Tensor:
    """Return gamma^t r_t less its baseline [N, R, T]: what DiCE's magic boxes multiply.

    The baseline is of time alone: one of the state, which earlier actions led to, would not
    average out under a box that holds these actions.
    """
    time = torch.arange(paths.rewards.shape[-1])
    discounted = torch.where(paths.alive, paths.rewards, 0.0) * config.discount**time
    rows = features(paths.observations, 'time')
    weights = fit(rows, discounted, paths.alive)
    return (discounted - predict(rows, weights)) * paths.alive
