# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ME-TRPO: model-ensemble trust-region policy optimisation (Kurutach et al. 2018; thesis, ch. 2).

Algorithm 2                                              where
  1  initialise pi_theta, models f_phi1 .. f_phiK, D     training/search/loop.py
  3  collect samples from the real system f, add to D    training/search/stages.py, collect
  4  train all models using D                            training/search/stages.py, fit
  6  collect fictitious samples from the models          training/search/imagine.py: one per step
  7  update the policy using TRPO                        objectives/trust_region.py
  8  estimate the performances eta(theta; phi_i)         training/search/policy.py, model_returns
  9  until the performances stop improving               update_validated
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from mbmrl_ros.bundles.policy import PolicyBundle
from mbmrl_ros.config import Positive
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.objectives.surrogates import likelihood_ratio
from mbmrl_ros.training.algorithm import Algorithm
from mbmrl_ros.training.policy_step import trust_region
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.samples import path_returns
from mbmrl_ros.training.search.imagine import MemberChoice
from mbmrl_ros.training.search.loop import train_search
from mbmrl_ros.training.search.policy import (
    ValidationConfig,
    imagined_samples,
    model_returns,
    outcome,
    reset_std,
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


class METRPOConfig(SearchConfig, ValidationConfig):
    """Settings of ME-TRPO; "the code" is its authors'."""

    updates: int = Field(400, ge=1, description='lines 6 and 7, per iteration at most (the code)')
    imagined_rollouts: int = Field(500, ge=1, description='per update (the code: 50 000 steps)')
    imagined_horizon: int | None = Field(
        100, ge=1, description='steps of an imagined rollout (the code; swimmer: 200)'
    )
    imagined_by: MemberChoice = Field(
        'step', description='which model moves whom: another at every step (section 4.2)'
    )
    delta: Positive = Field(0.01, description='KL of an update (the code)')
    discount: float = Field(1.0, ge=0, le=1, description='gamma (the code)')
    reset_std: bool = Field(
        True, description='begin every iteration with init_std again (the code)'
    )


def improve(
    search: Search[METRPOConfig], policy: Params, models: Models, generator: torch.Generator
) -> Improved:
    """Lines 5 to 9."""
    config = search.config
    env = search.imagined(models, (1, config.imagined_rollouts), config.imagined_by)
    performances = model_returns(search, models, config.validation_rollouts, generator)
    learner = restore(search, policy, learning_rate=0.0)
    if config.reset_std:
        reset_std(learner, config.init_std)

    def update() -> Metrics:
        samples, paths = imagined_samples(env, learner, config, generator)

        def gain_and_kl(trained: Params, tasks: slice) -> tuple[Tensor, Tensor]:
            return outcome(learner, samples, likelihood_ratio, trained)

        step = trust_region(learner, gain_and_kl, config.delta)
        return step | {'imagined_return': float(path_returns(paths).mean())}

    metrics = update_validated(
        learner, update, lambda: performances(learner.params), config.updates, config
    )
    std = float(learner.params['log_std'].detach().exp().mean())
    return Improved(learner.tensors(), metrics | {'std': std})


# As many updates as the models judge together; the width of exploration is learned and stays.
STAGES = Stages(
    begin_gaussian,
    improve,
    asynchronous={'updates': 5, 'validate_every': 5, 'reset_std': False},
)


def train(task: MetaTask, config: METRPOConfig, run: Run, seed: int) -> PolicyBundle:
    """Train, or go on with what the run folder holds; return the last bundle."""
    return train_search('me_trpo', STAGES, task, config, run, seed)


ME_TRPO = Algorithm(
    'me_trpo', 'TRPO in an ensemble of models', METRPOConfig, train, load_meta_task, 'policies'
)
