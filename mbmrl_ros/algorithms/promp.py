# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ProMP: proximal meta-policy search (Rothfuss, Lee, Clavera et al. 2019; thesis, chapter 6).

Algorithm 1                                              where
  1  initialise theta                                    training/meta/learner.py, init_learner
  3  sample tasks T_i ~ rho(T)                           env.sample_goals
  4  for step n = 0 .. N - 1: at 0, theta_o <- theta     training/samples.py: old_log_prob
  8  sample D_i with pi_theta                            training/rollouts.py, collect
  9  theta'_i <- theta + alpha grad J_LR(theta)          adaptation/policy_gradient.py, inner_step
 10  sample D'_i with pi_theta'_i                        training/rollouts.py, collect
 11  theta <- theta + beta sum_i grad J_ProMP(theta)     training/policy_step.py, adam_steps
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from mbmrl_ros.bundles.policy import PolicyBundle
from mbmrl_ros.config import Positive
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.objectives.surrogates import clipped, likelihood_ratio
from mbmrl_ros.training.algorithm import Algorithm
from mbmrl_ros.training.meta.learner import (
    Inner,
    MetaLearner,
    adapt,
    divergence,
    evaluate,
    sample_rounds,
)
from mbmrl_ros.training.meta.loop import train_meta_policy
from mbmrl_ros.training.meta.settings import MetaPolicyConfig
from mbmrl_ros.training.policy_step import adam_steps
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.timed_env import TimedEnv
from mbmrl_ros.types import Metrics, Params

INNER = Inner(likelihood_ratio)


class ProMPConfig(MetaPolicyConfig):
    """Settings of ProMP; sections are those of its paper."""

    outer_steps: int = Field(5, ge=1, description='N: Adam steps on the same samples (Table 1)')
    clip: float = Field(0.3, gt=0, lt=1, description='epsilon of the ratio (Table 1)')
    kl_penalty: float = Field(5e-4, ge=0, description='eta, of the KL before the step (Table 1)')
    kl_target: Positive | None = Field(
        None, description='double or halve eta for this KL (the code, random parameters: 0.01)'
    )


def train(task: MetaTask, config: ProMPConfig, run: Run, seed: int) -> PolicyBundle:
    """Train, or go on with what the run folder holds; return the last bundle."""
    return train_meta_policy('promp', iteration, task, config, run, seed)


def iteration(
    env: TimedEnv, learner: MetaLearner, config: ProMPConfig, generator: torch.Generator
) -> Metrics:
    """Algorithm 1, lines 3 to 11."""
    goals = env.sample_goals(generator, config.tasks)
    rounds = sample_rounds(env, learner, goals, INNER, generator)
    eta = learner.memory.setdefault('kl_penalty', torch.tensor(config.kl_penalty))

    def objective(trained: Params, tasks: slice) -> Tensor:
        """J_ProMP (equation 13)."""
        *before, after = (samples.part(tasks) for samples in rounds.samples)
        adapted = adapt(learner, trained, before, likelihood_ratio)
        gained = evaluate(learner, adapted.params, after, clipped(config.clip))
        strayed = [divergence(*round_) for round_ in zip(before, adapted.before)]
        return gained - eta * torch.stack(strayed).mean(0)

    adam_steps(learner, objective, rounds, config.outer_steps)
    moved = learner.policy.distribution(learner.params, rounds.samples[0].observations)
    strayed = float(divergence(rounds.samples[0], moved).mean().detach())
    if config.kl_target:
        learner.memory['kl_penalty'] = eta * _factor(strayed / config.kl_target)
    return rounds.metrics | {'kl_before': strayed, 'kl_penalty': float(eta)}


def _factor(excess: float) -> float:
    return 2.0 if excess > 1.5 else 0.5 if excess < 1 / 1.5 else 1.0


PROMP = Algorithm(
    'promp', 'proximal meta-policy search', ProMPConfig, train, load_meta_task, 'policies'
)
