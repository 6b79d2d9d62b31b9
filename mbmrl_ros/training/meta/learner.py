# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What meta policy search changes, and the verbs of its boxes: sample rounds, adapt, evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.adaptation.policy_gradient import inner_step, per_task
from mbmrl_ros.networks.params import group
from mbmrl_ros.objectives.returns import masked_mean
from mbmrl_ros.objectives.surrogates import Surrogate
from mbmrl_ros.policies.gaussian import Distribution, GaussianPolicy, kl, log_prob
from mbmrl_ros.training.meta.settings import MetaPolicyConfig
from mbmrl_ros.training.rollouts import collect
from mbmrl_ros.training.samples import Credit, Rounds, Samples, path_returns, score
from mbmrl_ros.training.timed_env import SampledEnv, sampling_times, timed
from mbmrl_ros.types import Metrics, Params


@dataclass
class MetaLearner:
    """The parameters of a meta-learned policy, with their optimiser.

    config: settings of the inner step and of advantages (InnerConfig and AdvantageConfig).
    trained: params/NAME, and where they are learned step_sizes/NAME; all leaves. memory: what an
    algorithm remembers from iteration to iteration beside them.
    """

    policy: GaussianPolicy
    config: Any
    trained: Params
    optimiser: torch.optim.Optimizer
    memory: Params

    @property
    def params(self) -> Params:
        """Theta."""
        return group(self.trained, 'params')


class Inner(NamedTuple):
    """The inner step of an algorithm: its surrogate, and the credit that it multiplies."""

    surrogate: Surrogate
    credit: Credit = 'advantages'


class Adapted(NamedTuple):
    """Parameters after the inner steps [N, ...], and the distributions before each of them."""

    params: Params
    before: list[Distribution]


def init_learner(
    observation_size: int, action_size: int, config: MetaPolicyConfig, seed: int
) -> MetaLearner:
    """Draw a policy, set step sizes, and make the Adam that trains them."""
    policy = GaussianPolicy(
        observation_size, action_size, config.hidden_sizes, config.init_std, config.min_std
    )
    params = policy.init(torch.Generator().manual_seed(seed))
    trained = {f'params/{name}': value for name, value in params.items()}
    if config.learn_step_sizes:
        sizes = {name: torch.full_like(value, config.alpha) for name, value in params.items()}
        trained |= {f'step_sizes/{name}': value for name, value in sizes.items()}
    for value in trained.values():
        value.requires_grad_()
    optimiser = torch.optim.Adam(list(trained.values()), lr=config.learning_rate)
    return MetaLearner(policy, config, trained, optimiser, {})


def step_sizes(learner: MetaLearner, trained: Params) -> Params:
    """Return alpha by the names of the parameters: learned, or the same for all."""
    learned = group(trained, 'step_sizes')
    alpha = torch.tensor(learner.config.alpha)
    return learned or dict.fromkeys(group(trained, 'params'), alpha)


def sample_rounds(
    env: SampledEnv, learner: MetaLearner, goals: Tensor, inner: Inner, generator: torch.Generator
) -> Rounds:
    """Sample with theta, take an inner step per task, sample with what came of it, and so on."""
    spent = sampling_times()
    samples: list[Samples] = []
    returns: list[Tensor] = []
    params = {name: value.detach() for name, value in learner.params.items()}
    sizes = {k: v.detach() for k, v in step_sizes(learner, learner.trained).items()}
    for index in range(learner.config.inner_steps + 1):
        with timed(env, spent):
            paths = collect(env, learner.policy, params, goals, generator)
        last = index == learner.config.inner_steps
        samples.append(score(paths, learner.config, 'advantages' if last else inner.credit))
        returns.append(path_returns(paths).mean(1))
        if not last:
            params = _step(learner, params, sizes, samples[-1], inner.surrogate)[0]
    shapes = {
        'alive_share': float(torch.stack([s.alive.float().mean() for s in samples]).mean()),
        'std': float(learner.params['log_std'].detach().exp().mean()),
        'std_after': float(params['log_std'].exp().mean()),
        'steps': float(len(samples) * samples[0].alive.numel()),
    }
    shapes |= {f'step_size/{name}': float(size.mean()) for name, size in sizes.items()}
    return Rounds(samples, spent | return_metrics(returns) | shapes, returns)


def return_metrics(returns: Sequence[Tensor]) -> Metrics:
    """Return what metrics.csv says of the returns before and after each adaptation."""
    means = [float(each.mean()) for each in returns]
    return {f'return/{index}': value for index, value in enumerate(means)} | {
        'return_before': means[0],
        'return_after': means[-1],
        'gain': means[-1] - means[0],
    }


def adapt(
    learner: MetaLearner, trained: Params, rounds: Sequence[Samples], surrogate: Surrogate
) -> Adapted:
    """Take the inner steps on samples of the rounds before them, from given parameters.

    trained: as the learner's. Differentiable in it, unless gradients are switched off.
    """
    params, before = group(trained, 'params'), []
    sizes = step_sizes(learner, trained)
    for samples in rounds:
        params, distribution = _step(learner, params, sizes, samples, surrogate)
        before.append(distribution)
    return Adapted(params, before)


def _step(
    learner: MetaLearner, params: Params, sizes: Params, samples: Samples, surrogate: Surrogate
) -> tuple[Params, Distribution]:
    seen: list[Distribution] = []

    def objective(candidate: Params) -> Tensor:
        seen.append(learner.policy.distribution(candidate, samples.observations))
        return value_of(seen[-1], samples, surrogate)

    if params['log_std'].dim() == 1:
        params = per_task(params, len(samples.alive))
    stepped = inner_step(objective, params, sizes, not learner.config.first_order)
    return stepped, seen[0]


def evaluate(
    learner: MetaLearner, params: Params, samples: Samples, surrogate: Surrogate
) -> Tensor:
    """Return the surrogate [N] of parameters, shared or one set per task."""
    return value_of(learner.policy.distribution(params, samples.observations), samples, surrogate)


def value_of(distribution: Distribution, samples: Samples, surrogate: Surrogate) -> Tensor:
    """Return the surrogate [N] of a distribution."""
    now = log_prob(distribution, samples.actions)
    return surrogate(now, samples.old_log_prob, samples.credit, samples.alive)


def divergence(samples: Samples, distribution: Distribution) -> Tensor:
    """Return the mean KL [N] from the distribution that actions were drawn from."""
    return masked_mean(kl(samples.old, distribution), samples.alive)
