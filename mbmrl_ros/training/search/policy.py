# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a policy is improved in all models at once, and when that is enough.

The models are learned from little data, and a policy finds out where they are wrong. So ME-TRPO
goes on for as long as most of the models, each on its own, find the policy no worse (Kurutach et
al. 2018, section 4.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from mbmrl_ros.config import Config
from mbmrl_ros.networks.params import group
from mbmrl_ros.objectives.returns import masked_mean
from mbmrl_ros.objectives.surrogates import Surrogate
from mbmrl_ros.policies.gaussian import GaussianPolicy, kl, log_prob
from mbmrl_ros.training.run import optimiser_tensors, restore_optimiser
from mbmrl_ros.training.samples import AdvantageConfig, Rounds, Samples, path_returns, score
from mbmrl_ros.training.search.imagine import ImaginedEnv, imagine, unroll
from mbmrl_ros.training.search.stages import Models, Search
from mbmrl_ros.types import Metrics, Params, Paths


class ValidationConfig(Config):
    """When a policy is improved no further on the same models (section 4.3)."""

    validate_every: int = Field(5, ge=1, description='updates between validations (the code)')
    validation_rollouts: int = Field(
        500, ge=1, description='in each of the models, always from the same states (the code)'
    )
    accepted_share: float = Field(
        0.7, ge=0, le=1, description='of the models that must find it no worse (section 4.3)'
    )
    stop_after: int = Field(
        25, ge=1, description='updates without an accepted validation before an end (the code)'
    )


@dataclass
class PolicyLearner:
    """A policy without inner steps, and the optimiser that trains it."""

    policy: GaussianPolicy
    trained: Params
    optimiser: torch.optim.Optimizer

    @property
    def params(self) -> Params:
        """Theta."""
        return group(self.trained, 'params')

    def tensors(self) -> Params:
        """Return all of it by name."""
        trained = {name: value.detach().clone() for name, value in self.trained.items()}
        return trained | optimiser_tensors(self.optimiser)


def restore(search: Search[Any], policy: Params, learning_rate: float) -> PolicyLearner:
    """Return a copy of a policy with its Adam, for `improve` to change."""
    # Adam knows parameters by their order, and a file has one of its own.
    trained = {
        name: policy[name].detach().clone().requires_grad_()
        for name in sorted(policy)
        if name.startswith('params/')
    }
    optimiser = torch.optim.Adam(list(trained.values()), lr=learning_rate)
    restore_optimiser(optimiser, {name: value.clone() for name, value in policy.items()})
    return PolicyLearner(search.policy, trained, optimiser)


def imagined_samples(
    env: ImaginedEnv, learner: PolicyLearner, config: AdvantageConfig, generator: torch.Generator
) -> tuple[Samples, Paths]:
    """Roll the policy out in the models and value its actions."""
    params = {name: value.detach() for name, value in learner.params.items()}
    goals = env.sample_goals(generator, env.tasks)
    paths = imagine(env, learner.policy, params, goals, generator)
    return score(paths, config), paths


def one_round(samples: Samples) -> Rounds:
    """Return samples as those of an outer step without inner ones."""
    return Rounds([samples], {}, [])


def outcome(
    learner: PolicyLearner, samples: Samples, surrogate: Surrogate, trained: Params
) -> tuple[Tensor, Tensor]:
    """Return the surrogate [N] of parameters, and the KL [N] from what was sampled with."""
    now = learner.policy.distribution(group(trained, 'params'), samples.observations)
    new = log_prob(now, samples.actions)
    gained = surrogate(new, samples.old_log_prob, samples.credit, samples.alive)
    return gained, masked_mean(kl(samples.old, now), samples.alive)


def reset_std(learner: PolicyLearner, std: float) -> None:
    """Make exploration wide again, in place."""
    with torch.no_grad():
        learner.trained['params/log_std'].fill_(math.log(std))


Update = Callable[[], Metrics]
"""Improves the policy by one step and says how it went."""


def update_validated(
    learner: PolicyLearner,
    update: Update,
    validate: Callable[[], Tensor],
    updates: int,
    config: ValidationConfig,
) -> Metrics:
    """Update until too few models find the policy no worse, and go back to the last accepted.

    validate: returns of the policy in each of the models [E].
    """
    best, kept, since, done, metrics = validate(), _copy(learner), 0, 0, dict[str, float]()
    for done in range(1, updates + 1):
        metrics = update()
        if done % config.validate_every:
            continue
        now = validate()
        since += config.validate_every
        if accepted(now, best, config.accepted_share):
            best, kept, since = now, _copy(learner), 0
        if since >= config.stop_after:
            break
    with torch.no_grad():
        for name, value in learner.trained.items():
            value.copy_(kept[name])
    return metrics | {'updates': float(done), 'validation_return': float(best.mean())}


def accepted(now: Tensor, best: Tensor, share: float) -> bool:
    """Return whether this share of the models [E] finds a policy no worse."""
    # A share such as 0.7 of 10 is not exact in binary.
    return float((now >= best).double().mean()) >= share - 1e-9


def model_returns(
    search: Search[Any], models: Models, rollouts: int, generator: torch.Generator
) -> Callable[[Params], Tensor]:
    """Return params -> the mean return [E] of mean actions in each model, from the same states."""
    assert models.replay is not None, 'nothing was collected'
    members = search.config.members
    states, _ = models.replay.first(generator, rollouts)

    def starts(generator: torch.Generator, rows: int) -> tuple[Tensor, Tensor]:
        return states.repeat(members, 1), torch.zeros(rows, dtype=torch.int64)

    env = search.imagined(models, (members, rollouts), 'task', starts=starts)

    @torch.no_grad()
    def returns(params: Params) -> Tensor:
        goals = env.sample_goals(generator, members)
        paths = unroll(
            env, lambda seen: search.policy.distribution(params, seen), goals, generator, False
        )
        return path_returns(paths).mean(1)

    return returns


def _copy(learner: PolicyLearner) -> Params:
    return {name: value.detach().clone() for name, value in learner.trained.items()}
