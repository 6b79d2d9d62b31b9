# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Collect paths with a policy: R rollouts of each of N tasks in one batch.

A control step is one call of the policy and one of the environment, whatever N and R. Every task
has R paths of at most T steps. The ProMP authors' sampler goes on until all tasks together have
N R T steps in finished paths, so that there a task whose robots fall early has more paths.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from mbmrl_ros.policies.gaussian import Distribution, sample
from mbmrl_ros.types import Params, Paths, TaskEnv


class Policy(Protocol):
    """A policy without memory (policies/gaussian.py)."""

    def distribution(self, params: Params, observations: Tensor) -> Distribution:
        """Return the distribution of actions for observations [N, R, S]."""


@runtime_checkable
class Sampler(Protocol):
    """An environment that has whole rollouts made elsewhere (training/meta/remote.py)."""

    def collect(
        self, policy: Policy, params: Params, goals: Tensor, generator: torch.Generator
    ) -> Paths:
        """Return the paths of all its tasks."""


Act = Callable[[Tensor], Distribution]
"""observations [N, R, S] -> distribution of the actions [N, R, A]."""


def collect(
    env: TaskEnv, policy: Policy, params: Params, goals: Tensor, generator: torch.Generator
) -> Paths:
    """Roll a policy out towards goals [N, G]; params: shared, or with a leading N."""
    if isinstance(env, Sampler):
        return env.collect(policy, params, goals, generator)
    return roll_out(env, lambda seen: policy.distribution(params, seen), goals, generator)


@torch.no_grad()
def roll_out(env: TaskEnv, act: Act, goals: Tensor, generator: torch.Generator) -> Paths:
    """Let anything act for an episode; what it remembers is its own.

    A path that fails, by an action, physics or reward that is not finite, ends with the step
    before, and is counted in a warning; `ended` is True for it.
    """
    record = _Record(env)
    observations = env.reset(goals, generator)
    alive = torch.ones(env.tasks, env.rollouts, dtype=torch.bool)
    ended, failed = ~alive, ~alive
    for step in range(env.horizon):
        drawn = act(observations)
        actions = sample(drawn, generator)
        following, rewards, done = env.step(actions)
        wrong = alive & rewards.isnan()
        taken = {'actions': actions, **drawn}
        record.keep(step, alive & ~wrong, observations, rewards, taken)
        failed, ended = failed | wrong, ended | (alive & done)
        alive, observations = alive & ~done, following
        if not alive.any():
            break
    if failed.any():
        _say(failed)
    return record.paths(observations, ended)


def _say(failed: Tensor) -> None:
    count, tasks = int(failed.sum()), int(failed.any(1).sum())
    logging.getLogger(__name__).warning(
        '%d of %d paths, in %d tasks, ended by an action, state or reward that is not finite',
        count,
        failed.numel(),
        tasks,
    )


class _Record:
    """Paths in the making. Where one is not alive all is 0: its robot stands still."""

    def __init__(self, env: TaskEnv) -> None:
        shape = env.tasks, env.rollouts, env.horizon
        self._rewards = torch.zeros(shape)
        self._alive = torch.zeros(shape, dtype=torch.bool)
        self._kept = {
            'observations': torch.zeros(*shape, env.observation_size),
            'actions': torch.zeros(*shape, env.action_size),
        }

    def keep(
        self,
        step: int,
        alive: Tensor,
        observations: Tensor,
        rewards: Tensor,
        of_actions: dict[str, Tensor],
    ) -> None:
        """Keep a step [N, R, .]; of_actions: actions, and parameters of their distribution."""
        self._alive[:, :, step] = alive
        self._rewards[:, :, step] = torch.where(alive, rewards, 0.0)
        everyone = bool(alive.all())
        for name, value in ({'observations': observations} | of_actions).items():
            if name not in self._kept:
                self._kept[name] = torch.zeros_like(self._kept['actions'])
            # Most episodes lose nobody, and then nothing is to be masked.
            value = value if everyone else torch.where(alive[..., None], value, 0.0)
            self._kept[name][:, :, step] = value

    def paths(self, last_observation: Tensor, ended: Tensor) -> Paths:
        """Return what was kept."""
        distribution = dict(self._kept)
        return Paths(
            observations=distribution.pop('observations'),
            actions=distribution.pop('actions'),
            rewards=self._rewards,
            last_observation=last_observation,
            alive=self._alive,
            ended=ended,
            distribution=distribution,
        )
