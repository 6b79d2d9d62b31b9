# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""MB-MPO: model-based meta-policy optimisation (Clavera et al. 2018; thesis, chapter 3).

Algorithm 1                                              where
  1  initialise theta, models f_phi1 .. f_phiK, D        training/search/loop.py
  3  sample trajectories from the real environment       training/search/stages.py, collect:
     with the adapted policies, and add them to D        tailored exploration
  4  train all models using D                            training/search/stages.py, fit
  5  for all models k:                                   task i is in member i mod E
  6  sample imagined trajectories T_k from f_phik        training/search/imagine.py; sample_rounds
     using pi_theta
  7  theta'_k <- theta + alpha grad J_k(theta) by T_k    adaptation/policy_gradient.py, inner_step
  8  sample imagined trajectories T'_k from f_phik       training/search/imagine.py; sample_rounds
     using pi_theta'_k
 10  theta <- theta + beta sum_k grad J_k(theta'_k)      a trust region, as in MAML-TRPO
     by T'_k

Lines 5 to 10 are MAML whose tasks are the models, and are repeated meta_steps times.
"""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from mbmrl_ros.bundles.policy import PolicyBundle
from mbmrl_ros.config import Positive
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.objectives.surrogates import likelihood_ratio, log_likelihood
from mbmrl_ros.training.algorithm import Algorithm
from mbmrl_ros.training.meta.curvature import meta_curvature
from mbmrl_ros.training.meta.learner import (
    Inner,
    MetaLearner,
    adapt,
    divergence,
    sample_rounds,
    value_of,
)
from mbmrl_ros.training.meta.settings import InnerConfig
from mbmrl_ros.training.policy_step import trust_region
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.search.imagine import ImaginedEnv
from mbmrl_ros.training.search.loop import train_search
from mbmrl_ros.training.search.settings import SearchConfig
from mbmrl_ros.training.search.stages import Improved, Models, Search, Stages, begin_gaussian
from mbmrl_ros.types import Metrics, Params

INNER = Inner(log_likelihood)


class MBMPOConfig(SearchConfig, InnerConfig):
    """Settings of MB-MPO."""

    meta_steps: int = Field(30, ge=1, description='lines 5 to 10, per iteration (the code)')
    tasks: int = Field(20, ge=1, description='imagined tasks, shared by the models (the code)')
    rollouts: int = Field(
        50, ge=1, description='imagined paths per task, before and after the inner step (the code)'
    )
    alpha: Positive = Field(1e-3, description='inner step size (the code)')
    delta: Positive = Field(0.01, description='KL of an update, after the inner step (the code)')
    curvature_every: int = Field(
        1, ge=1, description='of the steps of paths, whose KL shapes the trust region; 1: all'
    )
    tailored: bool = Field(
        True, description='collect by the adapted policies; false: by theta (section 4)'
    )

    @model_validator(mode='after')
    def _shared(self) -> Self:
        if self.tasks % self.members:
            raise ValueError(
                f'tasks must be a multiple of members ({self.members}), each of which has tasks '
                f'of its own, got {self.tasks}'
            )
        return self


def improve(
    search: Search[MBMPOConfig], policy: Params, models: Models, generator: torch.Generator
) -> Improved:
    """Lines 5 to 10, meta_steps times; then the policies that collect next."""
    config, metrics = search.config, dict[str, float]()
    env = search.imagined(models, (config.tasks, config.rollouts), 'task')
    learner = restore(search, policy)
    accepted = []
    for _ in range(config.meta_steps):
        metrics = meta_step(env, learner, config, generator)
        accepted.append(metrics['step_accepted'])
    improved = {name: value.detach() for name, value in learner.trained.items()}
    if config.tailored:
        improved |= adapted_policies(env, learner, generator)
    return Improved(
        improved,
        {
            'imagined_return': metrics['return_after'],
            'imagined_gain': metrics['gain'],
            'std': metrics['std'],
            'kl_after': metrics['kl_after'],
            'accepted_share': sum(accepted) / len(accepted),
        },
    )


def meta_step(
    env: ImaginedEnv, learner: MetaLearner, config: MBMPOConfig, generator: torch.Generator
) -> Metrics:
    """Lines 5 to 10."""
    goals = env.sample_goals(generator, env.tasks)
    rounds = sample_rounds(env, learner, goals, INNER, generator)

    def outcome(trained: Params, tasks: slice) -> tuple[Tensor, Tensor]:
        """The surrogate after the inner steps, and the KL from what T' was drawn with."""
        *before, after = (samples.part(tasks) for samples in rounds.samples)
        adapted = adapt(learner, trained, before, INNER.surrogate)
        now = learner.policy.distribution(adapted.params, after.observations)
        return value_of(now, after, likelihood_ratio), divergence(after, now)

    some = [
        samples.during(slice(None, None, config.curvature_every)) for samples in rounds.samples
    ]
    curvature = meta_curvature(learner, rounds._replace(samples=some), INNER.surrogate)
    return rounds.metrics | trust_region(learner, outcome, config.delta, curvature)


def adapted_policies(env: ImaginedEnv, learner: MetaLearner, generator: torch.Generator) -> Params:
    """Return what theta becomes in each of the models: adapted/NAME [N, ...]."""
    goals = env.sample_goals(generator, env.tasks)
    *before, _ = sample_rounds(env, learner, goals, INNER, generator).samples
    adapted = adapt(learner, learner.trained, before, INNER.surrogate)
    return {f'adapted/{name}': value.detach() for name, value in adapted.params.items()}


def restore(search: Search[MBMPOConfig], policy: Params) -> MetaLearner:
    """Return a copy of a policy as what lines 5 to 10 change."""
    trained = {
        name: value.detach().clone().requires_grad_()
        for name, value in policy.items()
        if not name.startswith('adapted/')
    }
    # A trust region has no optimiser that remembers anything.
    optimiser = torch.optim.SGD(list(trained.values()), lr=0.0)
    return MetaLearner(search.policy, search.config, trained, optimiser, {})


STAGES = Stages(begin_gaussian, improve, asynchronous={'meta_steps': 1})


def train(task: MetaTask, config: MBMPOConfig, run: Run, seed: int) -> PolicyBundle:
    """Train, or go on with what the run folder holds; return the last bundle."""
    return train_search('mb_mpo', STAGES, task, config, run, seed)


MB_MPO = Algorithm(
    'mb_mpo',
    'meta-policy optimisation over models',
    MBMPOConfig,
    train,
    load_meta_task,
    'policies',
)
