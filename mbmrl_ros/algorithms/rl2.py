# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""RL2: a recurrent policy that learns to learn within a trial (Duan et al. 2016).

for each iteration                                       where
    draw a task per trial                                env.sample_goals
    begin with an empty state                            training/meta/trials.py, collect_trials
    for each episode of the trial: act by
        [observation, last action, reward, done]         training/meta/trials.py, TrialEnv
    value actions by the return of the trial, less
        that of trials on the same task                  below, _scored
    for each epoch: over segments of a trial in turn,
        the state passed on, its gradient cut            below, _segments
        PPO's surrogate; one step of Adam                below, _backward
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from pydantic import Field
from torch import Tensor

from mbmrl_ros.bundles.policy import PolicyBundle
from mbmrl_ros.config import Positive
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.networks.cells import Cell
from mbmrl_ros.objectives.surrogates import clipped
from mbmrl_ros.policies.recurrent import RecurrentPolicy
from mbmrl_ros.training.algorithm import Algorithm
from mbmrl_ros.training.meta.learner import divergence, return_metrics, value_of
from mbmrl_ros.training.meta.loop import make_env
from mbmrl_ros.training.meta.settings import BatchConfig
from mbmrl_ros.training.meta.trials import TrialEnv, collect_trials
from mbmrl_ros.training.policy_run import policy_info, train_policy
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.samples import AdvantageConfig, Samples, path_returns, score
from mbmrl_ros.training.timed_env import TimedEnv, sampling_times, timed
from mbmrl_ros.types import Metrics, Params, Paths


class RL2Config(BatchConfig, AdvantageConfig):
    """Settings of RL2; the values of the ProMP authors' code, which compares with it."""

    iterations: int = Field(500, ge=1, description='iterations (the code: 501)')
    tasks: int = Field(100, ge=1, description='N: goals per iteration (the code)')
    rollouts: int = Field(1, ge=1, description='R: trials per goal, each with its own state')
    episodes: int = Field(2, ge=1, description='of a trial (the code)')
    cell: Cell = Field('gru', description='gru (the code, by itself) or lstm (its runs)')
    units: int = Field(64, ge=1, description='of the cell (the code)')
    init_std: Positive = Field(1.0, description='standard deviation at the start (the code)')
    min_std: Positive = Field(1e-6, description='floor of the standard deviation (the code)')
    learning_rate: Positive = Field(1e-3, description='Adam (the code)')
    epochs: int = Field(5, ge=1, description='Adam steps on the same trials (the code)')
    clip: float = Field(0.2, gt=0, lt=1, description='epsilon of the ratio (the code)')
    backprop_steps: int = Field(32, ge=1, description='steps that gradients go back (the code)')


@dataclass
class RecurrentLearner:
    """A recurrent policy's parameters, with their optimiser."""

    policy: RecurrentPolicy
    trained: Params
    optimiser: torch.optim.Optimizer
    memory: Params = field(default_factory=dict)

    @property
    def params(self) -> Params:
        """By the names that the policy has for them."""
        return {name.removeprefix('params/'): value for name, value in self.trained.items()}


def iteration(
    env: TimedEnv, learner: RecurrentLearner, config: RL2Config, generator: torch.Generator
) -> Metrics:
    """Sample a trial per row, then PPO over its segments."""
    spent = sampling_times()
    goals = env.sample_goals(generator, config.tasks)
    with timed(env, spent):
        trials, episodes = collect_trials(
            TrialEnv(env), learner.policy, learner.params, goals, config.episodes, generator
        )
    samples = _scored(trials, config)
    for _ in range(config.epochs):
        learner.optimiser.zero_grad()
        strayed = _backward(learner, samples, config)
        learner.optimiser.step()
    return spent | _metrics(learner, samples, episodes) | {'kl_before': strayed}


def _backward(learner: RecurrentLearner, samples: Samples, config: RL2Config) -> float:
    """Add up PPO's gradient over segments of all trials; return the KL from what was sampled."""
    surrogate, counted = clipped(config.clip), samples.alive.sum()
    carry, strayed = learner.policy.empty(samples.alive.shape[1]), 0.0
    for part in _segments(samples, config.backprop_steps):
        share, inputs = part.alive.sum() / counted, part.observations[0]
        carry, now = learner.policy.unroll(learner.params, carry.detach(), inputs)
        now = {'mean': now['mean'][None], 'log_std': now['log_std']}
        torch.autograd.backward(-(share * value_of(now, part, surrogate)).sum())
        strayed += float((share * divergence(part, now)).sum().detach())
    return strayed


def _segments(samples: Samples, steps: int) -> Iterator[Samples]:
    """Cut samples [1, B, T, .] along T."""
    horizon = int(samples.alive.any(1).sum())
    for first in range(0, horizon, steps):
        yield samples.during(slice(first, min(first + steps, horizon)))


def _scored(trials: Paths, config: RL2Config) -> Samples:
    """Value the actions of trials [N, R, T]; return them as those of one task, [1, N R, T].

    Trials on the same task share a baseline. One of all of them, as in the code, cannot follow
    what a task pays, and what is left over outweighs what an action is worth: on the
    half-cheetah's velocities nothing was learned. A trial alone is too little for its own.
    """
    if config.rollouts == 1:
        return score(_pooled(trials), config)
    samples = score(trials, config)
    old = {name: _flat(value) for name, value in samples.old.items()}
    parts = {name: _flat(value) for name, value in samples._asdict().items() if name != 'old'}
    return Samples(**parts | {'mean_reward': samples.mean_reward.mean()[None]}, old=old)


def _pooled(paths: Paths) -> Paths:
    """Take all trials for those of one task."""
    return Paths(
        _flat(paths.observations),
        _flat(paths.actions),
        _flat(paths.rewards),
        _flat(paths.last_observation),
        _flat(paths.alive),
        _flat(paths.ended),
        {name: _flat(value) for name, value in paths.distribution.items()},
    )


def _flat(values: Tensor) -> Tensor:
    """Return [1, N R, .] of [N, R, .]; what has no rows stays."""
    return values.flatten(0, 1)[None] if values.dim() > 1 else values


def _metrics(learner: RecurrentLearner, samples: Samples, episodes: list[Paths]) -> Metrics:
    return return_metrics([path_returns(paths) for paths in episodes]) | {
        'alive_share': float(samples.alive.float().mean()),
        'std': float(learner.params['log_std'].detach().exp().mean()),
        'steps': float(samples.alive.numel()),
    }


def train(task: MetaTask, config: RL2Config, run: Run, seed: int) -> PolicyBundle:
    """Train, or go on with what the run folder holds; return the last bundle."""
    env = make_env(task, config)
    inputs = TrialEnv(env).observation_size
    policy = RecurrentPolicy(
        inputs, env.action_size, config.units, config.cell, config.init_std, config.min_std
    )
    params = policy.init(torch.Generator().manual_seed(seed))
    trained = {f'params/{name}': value.requires_grad_() for name, value in params.items()}
    optimiser = torch.optim.Adam(list(trained.values()), lr=config.learning_rate)
    learner = RecurrentLearner(policy, trained, optimiser)
    network = {
        'observation_size': inputs,
        'hidden_sizes': (config.units,),
        'cell': config.cell,
        'min_std': config.min_std,
    }
    return train_policy(
        run,
        env,
        learner,
        lambda generator: iteration(env, learner, config, generator),
        policy_info('rl2', task, env, config, **network),
        seed,
    )


RL2 = Algorithm(
    'rl2',
    'a recurrent policy that learns within a trial',
    RL2Config,
    train,
    load_meta_task,
    'policies',
)
