# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a meta-learned policy does on new tasks, against the rollouts that it has adapted from."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.bundles.policy import PolicyBundle, build_policy
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.policies.recurrent import RecurrentPolicy
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.meta.learner import Inner, sample_rounds
from mbmrl_ros.training.meta.loop import make_env, restored_learner
from mbmrl_ros.training.meta.settings import BatchConfig, MetaPolicyConfig
from mbmrl_ros.training.meta.trials import TrialEnv, collect_trials
from mbmrl_ros.training.samples import path_returns
from mbmrl_ros.types import TaskEnv


class AdaptationCurve(NamedTuple):
    """Returns [K + 1, N], the means of each task's paths, after `rollouts` [K + 1] were seen."""

    rollouts: list[int]
    returns: Tensor

    def summary(self) -> dict[str, Any]:
        """Return what is reported: means over tasks, and how much tasks differ."""
        means = self.returns.mean(1).tolist()
        return {
            'rollouts': self.rollouts,
            'return_mean': means,
            'return_std_over_tasks': self.returns.std(1, correction=0).tolist(),
            'return_worst_task': self.returns.amin(1).tolist(),
            'gain': means[-1] - means[0],
        }


def adaptation_curve(
    bundle: PolicyBundle,
    task: MetaTask,
    config: MetaPolicyConfig,
    inner: Inner,
    setting: str,
    seed: int,
) -> AdaptationCurve:
    """Let a policy with an inner step adapt to goals that it has not seen.

    config: the settings that it was trained with, and of them as many tasks, rollouts per step
    and inner_steps as there are to be now. setting: `training`, or `held_out` for goals outside
    of what it was trained on.
    """
    env = make_env(task, config)
    _check_sizes(bundle, task, env)
    env.set_normalizers(bundle.tensors)
    learner = restored_learner(bundle, config)
    generator = torch.Generator().manual_seed(seed)
    goals = task.goals.of(setting)(generator, config.tasks)
    rounds = sample_rounds(env, learner, goals, inner, generator)
    seen = [index * config.rollouts for index in range(config.inner_steps + 1)]
    return AdaptationCurve(seen, torch.stack(rounds.returns))


def trial_curve(
    bundle: PolicyBundle,
    task: MetaTask,
    config: BatchConfig,
    episodes: int,
    setting: str,
    seed: int,
) -> AdaptationCurve:
    """Let a policy that remembers go through trials of several episodes (RL2)."""
    policy = build_policy(bundle.info)
    assert isinstance(policy, RecurrentPolicy)
    env = make_env(task, config)
    trials = TrialEnv(env)
    _check_sizes(bundle, task, trials)
    env.set_normalizers(bundle.tensors)
    generator = torch.Generator().manual_seed(seed)
    goals = task.goals.of(setting)(generator, config.tasks)
    _, parts = collect_trials(trials, policy, bundle.params, goals, episodes, generator)
    returns = torch.stack([path_returns(paths).mean(1) for paths in parts])
    return AdaptationCurve(list(range(episodes)), returns)


def _check_sizes(bundle: PolicyBundle, task: MetaTask, env: TaskEnv) -> None:
    info = bundle.info
    if (info.robot, info.observation_size, info.action_size) != (
        load_robot(task.robot).name if task.robot else '',
        env.observation_size,
        env.action_size,
    ):
        raise UserError(
            f'the policy is of {info.task}, with {info.observation_size} observations and '
            f'{info.action_size} actions; {task.name} is of another robot or has '
            f'{env.observation_size} and {env.action_size}: choose a task of the same robot'
        )
