# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How algorithms with an inner policy-gradient step train: iterations in a run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import torch

from mbmrl_ros.bundles.policy import PolicyBundle
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.meta_task import MetaTask, require_goals
from mbmrl_ros.training.meta.learner import MetaLearner, init_learner
from mbmrl_ros.training.meta.remote import remote_env
from mbmrl_ros.training.meta.settings import BatchConfig, MetaPolicyConfig
from mbmrl_ros.training.policy_run import policy_info, train_policy
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.timed_env import TimedEnv
from mbmrl_ros.types import Metrics

ConfigType = TypeVar('ConfigType', bound=MetaPolicyConfig)
Iteration = Callable[[TimedEnv, MetaLearner, ConfigType, torch.Generator], Metrics]


def train_meta_policy(
    name: str,
    iteration: Iteration[ConfigType],
    task: MetaTask,
    config: ConfigType,
    run: Run,
    seed: int,
) -> PolicyBundle:
    """Repeat an algorithm's iteration on a task; return the last bundle."""
    with _sampled(task, config, run.samplers) as env:
        learner = init_learner(env.observation_size, env.action_size, config, seed)
        return train_policy(
            run,
            env,
            learner,
            lambda generator: iteration(env, learner, config, generator),
            policy_info(
                name,
                task,
                env,
                config,
                observation_size=env.observation_size,
                hidden_sizes=config.hidden_sizes,
                min_std=config.min_std,
            ),
            seed,
        )


@contextmanager
def _sampled(task: MetaTask, config: BatchConfig, samplers: str) -> Iterator[TimedEnv]:
    """Yield the robots of a task: here, or in a cluster."""
    if not samplers:
        yield make_env(task, config)
        return
    require_goals(task)
    task = replace(task, horizon=config.horizon or task.horizon)
    with remote_env(task, config.tasks, config.rollouts, config, samplers) as env:
        yield env


def make_env(task: MetaTask, config: BatchConfig) -> TimedEnv:
    """Return the robots of a task; UserError if it has no goals to tell its tasks by."""
    require_goals(task)
    task = replace(task, horizon=config.horizon or task.horizon)
    return TimedEnv(task, config.tasks, config.rollouts, config)


def restored_learner(bundle: PolicyBundle, config: MetaPolicyConfig) -> MetaLearner:
    """Return a learner as it was when the bundle was published; UserError if a part is missing."""
    info = bundle.info
    learner = init_learner(info.observation_size, info.action_size, config, seed=0)
    with torch.no_grad():
        for name, value in learner.trained.items():
            known = bundle.tensors.get(name)
            if known is None or known.shape != value.shape:
                theirs = 'missing' if known is None else tuple(known.shape)
                raise UserError(
                    f'the bundle is damaged: by bundle.json {name} is {tuple(value.shape)}, in '
                    f'model.safetensors {theirs}'
                )
            value.copy_(known)
    return learner
