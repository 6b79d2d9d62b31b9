# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""MAML for policies and its relatives: rows that differ in surrogates and optimiser.

MAML for RL (Finn et al. 2017, algorithm 3)              where
  1  initialise theta                                    training/meta/learner.py, init_learner
  3  sample tasks T_i ~ p(T)                             env.sample_goals
  5  sample D with f_theta                               training/rollouts.py, collect
  6  grad_theta L_Ti(f_theta) with D                     the row's inner surrogate
  7  theta'_i <- theta - alpha grad L_Ti(f_theta)        adaptation/policy_gradient.py, inner_step
  8  sample D'_i with f_theta'_i                         training/rollouts.py, collect
 10  theta <- theta - beta grad sum_i L_Ti(f_theta'_i)   the row's outer surrogate; Adam or TRPO

lvc      the inner step knows how sampling depends on theta, with low variance (ProMP, section 5)
dice     likewise without a bias, with a high variance (Foerster et al. 2018)
e_maml   credit for later rewards to the samples of the inner step (Stadie et al. 2018)
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from mbmrl_ros.bundles.policy import PolicyBundle
from mbmrl_ros.config import Positive
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.objectives.surrogates import (
    Surrogate,
    dice,
    exploration,
    likelihood_ratio,
    log_likelihood,
    lvc,
)
from mbmrl_ros.policies.gaussian import log_prob
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
from mbmrl_ros.training.meta.loop import train_meta_policy
from mbmrl_ros.training.meta.settings import MetaPolicyConfig
from mbmrl_ros.training.policy_step import adam_steps, trust_region
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.samples import Samples
from mbmrl_ros.training.timed_env import TimedEnv
from mbmrl_ros.types import Metrics, Params


class MAMLConfig(MetaPolicyConfig):
    """Settings of the rows; what a row does not use is without effect in it."""

    delta: Positive = Field(0.01, description='trpo: KL of an update, after the step (Table 1)')
    exploration: float = Field(
        1.0, ge=0, description='e_maml: factor of the credit for exploration; 0: MAML'
    )


class Row(NamedTuple):
    """What is particular to an algorithm. explores: E-MAML's term."""

    summary: str
    inner: Inner
    outer: Surrogate
    explores: bool = False

    @property
    def trusts(self) -> bool:
        """Whether its optimiser is TRPO, whose line search needs a ratio; else Adam."""
        return self.outer is likelihood_ratio


VPG, TRPO = log_likelihood, likelihood_ratio
SCORE, LVC, DICE = Inner(log_likelihood), Inner(lvc), Inner(dice, 'rewards')
ROWS = {
    'maml_vpg': Row('MAML, one step of Adam', SCORE, VPG),
    'maml_trpo': Row('MAML in a trust region', SCORE, TRPO),
    'lvc_vpg': Row('low variance curvature, one step of Adam', LVC, VPG),
    'lvc_trpo': Row('low variance curvature in a trust region', LVC, TRPO),
    'e_maml_vpg': Row('E-MAML, one step of Adam', SCORE, VPG, explores=True),
    'e_maml_trpo': Row('E-MAML in a trust region', SCORE, TRPO, explores=True),
    'dice_vpg': Row('DiCE, one step of Adam', DICE, VPG),
    'dice_trpo': Row('DiCE in a trust region', DICE, TRPO),
}


def iteration(
    row: Row,
    env: TimedEnv,
    learner: MetaLearner,
    config: MAMLConfig,
    generator: torch.Generator,
) -> Metrics:
    """Lines 3 to 10."""
    goals = env.sample_goals(generator, config.tasks)
    rounds = sample_rounds(env, learner, goals, row.inner, generator)
    later = _standardised(rounds.samples[-1].mean_reward) * config.exploration

    def outcome(trained: Params, tasks: slice) -> tuple[Tensor, Tensor]:
        """The outer surrogate after the inner steps, and the KL from what D' was drawn with."""
        *before, after = (samples.part(tasks) for samples in rounds.samples)
        adapted = adapt(learner, trained, before, row.inner.surrogate)
        now = learner.policy.distribution(adapted.params, after.observations)
        gained, strayed = value_of(now, after, row.outer), divergence(after, now)
        if not row.explores:
            return gained, strayed
        scores = [log_prob(d, s.actions) for s, d in zip(before, adapted.before)]
        credit = [exploration(p, s.alive, later[tasks]) for p, s in zip(scores, before)]
        return gained + torch.stack(credit).sum(0), strayed

    if row.trusts:
        curvature = meta_curvature(learner, rounds, row.inner.surrogate)
        return rounds.metrics | trust_region(learner, outcome, config.delta, curvature)
    adam_steps(learner, lambda *at: outcome(*at)[0], rounds, 1)
    return rounds.metrics | {'kl_before': _moved(learner, rounds.samples[0])}


def _moved(learner: MetaLearner, samples: Samples) -> float:
    """Return how far theta has moved from what samples were drawn with, as a KL."""
    now = learner.policy.distribution(learner.params, samples.observations)
    return float(divergence(samples, now).mean().detach())


def _standardised(values: Tensor) -> Tensor:
    return (values - values.mean()) / (values.std(correction=0) + 1e-8)


def _algorithm(name: str, row: Row) -> Algorithm:
    def train(task: MetaTask, config: MAMLConfig, run: Run, seed: int) -> PolicyBundle:
        return train_meta_policy(name, partial(iteration, row), task, config, run, seed)

    return Algorithm(name, row.summary, MAMLConfig, train, load_meta_task, 'policies')


MAML = {name: _algorithm(name, row) for name, row in ROWS.items()}
