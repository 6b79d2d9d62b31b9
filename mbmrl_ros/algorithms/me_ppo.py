# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ME-PPO: proximal policy optimisation in an ensemble of models (thesis, chapter 4).

As ME-TRPO (algorithms/me_trpo.py), with                 where
  7  update the policy using PPO                         objectives/surrogates.py, clipped; Adam
  9  a fixed number of updates, without validation       updates
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from mbmrl_ros.bundles.policy import PolicyBundle
from mbmrl_ros.config import Positive
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.objectives.surrogates import clipped
from mbmrl_ros.training.algorithm import Algorithm
from mbmrl_ros.training.policy_step import adam_steps
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.samples import path_returns
from mbmrl_ros.training.search.imagine import ImaginedEnv, MemberChoice
from mbmrl_ros.training.search.loop import train_search
from mbmrl_ros.training.search.policy import (
    PolicyLearner,
    imagined_samples,
    one_round,
    outcome,
    restore,
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


class MEPPOConfig(SearchConfig):
    """Settings of ME-PPO; "the code" is that of asynchronous model-based learning."""

    updates: int = Field(50, ge=1, description='lines 6 and 7, per iteration (the code)')
    imagined_rollouts: int = Field(50, ge=1, description='per update (the code)')
    imagined_by: MemberChoice = Field(
        'step', description='which model moves whom: another at every step'
    )
    clip: float = Field(0.2, gt=0, lt=1, description='epsilon of the ratio (the code)')
    policy_epochs: int = Field(5, ge=1, description='steps of Adam per update (the code: 5, 10)')
    learning_rate: Positive = Field(1e-3, description='Adam (the code: 1e-3, 3e-4)')


def improve(
    search: Search[MEPPOConfig], policy: Params, models: Models, generator: torch.Generator
) -> Improved:
    """Lines 5 to 9."""
    config, metrics = search.config, dict[str, float]()
    env = search.imagined(models, (1, config.imagined_rollouts), config.imagined_by)
    learner = restore(search, policy, config.learning_rate)
    for _ in range(config.updates):
        metrics = update(env, learner, config, generator)
    std = float(learner.params['log_std'].detach().exp().mean())
    return Improved(learner.tensors(), metrics | {'std': std})


def update(
    env: ImaginedEnv, learner: PolicyLearner, config: MEPPOConfig, generator: torch.Generator
) -> Metrics:
    """Lines 6 and 7."""
    samples, paths = imagined_samples(env, learner, config, generator)

    def gain(trained: Params, tasks: slice) -> Tensor:
        return outcome(learner, samples.part(tasks), clipped(config.clip), trained)[0]

    adam_steps(learner, gain, one_round(samples), config.policy_epochs)
    with torch.no_grad():
        _, strayed = outcome(learner, samples, clipped(config.clip), learner.trained)
    return {
        'imagined_return': float(path_returns(paths).mean()),
        'kl_after': float(strayed.mean()),
    }


STAGES = Stages(begin_gaussian, improve, asynchronous={'updates': 1})


def train(task: MetaTask, config: MEPPOConfig, run: Run, seed: int) -> PolicyBundle:
    """Train, or go on with what the run folder holds; return the last bundle."""
    return train_search('me_ppo', STAGES, task, config, run, seed)


ME_PPO = Algorithm(
    'me_ppo', 'PPO in an ensemble of models', MEPPOConfig, train, load_meta_task, 'policies'
)
