# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""BPTT: back-propagation through time, the vanilla model-based reinforcement learning.

Kurutach et al. 2018, algorithm 1; thesis, chapter 2     where
  1  initialise pi_theta, model f_phi, D                 training/search/loop.py
  3  collect samples from the real system f, add to D    training/search/stages.py, collect
  4  train the model using D                             training/search/stages.py, fit
  6  collect fictitious samples from the model           training/search/imagine.py, unroll
  7  update the policy using BPTT                        the gradient of their return; Adam
  8  estimate the performance eta(theta; phi)            with an ensemble: as in ME-TRPO
  9  until the performance stops improving               one model: a fixed number of updates

With one model nothing tells a policy that exploits it from one that is better. With several the
return is the mean over them, and most of them must agree.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from mbmrl_ros.bundles.policy import PolicyBundle
from mbmrl_ros.config import Positive
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.policies.gaussian import Distribution
from mbmrl_ros.training.algorithm import Algorithm
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.search.imagine import ImaginedEnv, unroll
from mbmrl_ros.training.search.loop import train_search
from mbmrl_ros.training.search.policy import (
    PolicyLearner,
    ValidationConfig,
    model_returns,
    restore,
    update_validated,
)
from mbmrl_ros.training.search.settings import SearchConfig
from mbmrl_ros.training.search.stages import (
    Improved,
    Models,
    Search,
    Stages,
    begin_gaussian,
)
from mbmrl_ros.types import Metrics, Params


class BPTTConfig(SearchConfig, ValidationConfig):
    """Settings of BPTT; "the code" is that of the authors of ME-TRPO."""

    members: int = Field(1, ge=1, description='models; one: vanilla, without validation')
    updates: int = Field(400, ge=1, description='lines 6 and 7, per iteration at most (the code)')
    imagined_rollouts: int = Field(500, ge=1, description='per update and model (the code)')
    imagined_horizon: int | None = Field(
        100, ge=1, description='steps that are differentiated through (the code)'
    )
    learning_rate: Positive = Field(1e-3, description='Adam, anew in every iteration (the code)')
    gradient_limit: Positive = Field(10.0, description='norm of a gradient, per tensor (the code)')
    discount: float = Field(1.0, ge=0, le=1, description='gamma (the code)')
    noise: bool = Field(
        False, description='imagine drawn actions, reparameterised; false: means (the code)'
    )


def improve(
    search: Search[BPTTConfig], policy: Params, models: Models, generator: torch.Generator
) -> Improved:
    """Lines 5 to 9."""
    config = search.config
    env = search.imagined(models, (config.members, config.imagined_rollouts), 'task', True)
    params = {name: value for name, value in policy.items() if name.startswith('params/')}
    learner = restore(search, params, config.learning_rate)

    def update() -> Metrics:
        gained = imagined_return(env, learner, config, generator)
        ascend(learner, gained, config.gradient_limit)
        return {'imagined_return': float(gained.detach())}

    if config.members == 1:
        metrics = [update() for _ in range(config.updates)][-1]
    else:
        performances = model_returns(search, models, config.validation_rollouts, generator)
        metrics = update_validated(
            learner, update, lambda: performances(learner.params), config.updates, config
        )
    trained = {name: value.detach() for name, value in learner.trained.items()}
    return Improved(trained, metrics)


def imagined_return(
    env: ImaginedEnv, learner: PolicyLearner, config: BPTTConfig, generator: torch.Generator
) -> Tensor:
    """Return the mean discounted return over models and rollouts, differentiable in theta."""

    def act(observations: Tensor) -> Distribution:
        return learner.policy.distribution(learner.params, observations)

    goals = env.sample_goals(generator, env.tasks)
    rewards = unroll(env, act, goals, generator, config.noise).rewards
    weights = config.discount ** torch.arange(rewards.shape[-1])
    return (rewards * weights).sum(-1).mean()


def ascend(learner: PolicyLearner, gained: Tensor, limit: float) -> None:
    """Raise a return by a step of Adam; a gradient that is not finite is none."""
    tensors = list(learner.trained.values())
    gradients = torch.autograd.grad(gained, tensors, allow_unused=True, materialize_grads=True)
    for value, gradient in zip(tensors, gradients):
        share = (limit / (gradient.norm() + 1e-12)).clamp(max=1.0)
        value.grad = -(gradient * share).nan_to_num(0.0, 0.0, 0.0)
    learner.optimiser.step()


STAGES = Stages(begin_gaussian, improve, asynchronous={'updates': 5, 'validate_every': 5})


def train(task: MetaTask, config: BPTTConfig, run: Run, seed: int) -> PolicyBundle:
    """Train, or go on with what the run folder holds; return the last bundle."""
    return train_search('bptt', STAGES, task, config, run, seed)


BPTT = Algorithm(
    'bptt', 'back-propagation through models', BPTTConfig, train, load_meta_task, 'policies'
)
