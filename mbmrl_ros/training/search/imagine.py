# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Imagined rollouts: a task whose physics are an ensemble of models.

The task's own reward and `done`, its limits of actions and what it shows of a state are those of
the environment that real rollouts are collected from. So an algorithm that samples from one
samples from the other as well, and what comes of it is the same record.

Which member moves which of the B = N R rows:

step       each another one at every step (ME-TRPO: Kurutach et al. 2018)
episode    each one of its own for a whole rollout
task       those of task i member i mod E, always (MB-MPO: Clavera et al. 2018)
mean       all of them, which are averaged
one        the first
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mbmrl_ros.data.replay import Starts
from mbmrl_ros.envs.task_env import MetaTaskEnv, normalized
from mbmrl_ros.models.ensemble import Ensemble
from mbmrl_ros.policies.gaussian import Distribution, sample
from mbmrl_ros.training.rollouts import Act, Policy, roll_out
from mbmrl_ros.types import Params, Paths

MemberChoice = Literal['step', 'episode', 'task', 'mean', 'one']
Move = Callable[[Tensor, Tensor], Tensor]
"""(states [B, S], actions [B, A]) -> next states [B, S]."""


@dataclass(frozen=True)
class Imagination:
    """How rollouts are imagined.

    tasks, rollouts, horizon: N, R, T. starts: where they begin. members: see above.
    differentiable: so that returns have a gradient; else faster.
    """

    tasks: int
    rollouts: int
    horizon: int
    starts: Starts
    members: MemberChoice = 'step'
    differentiable: bool = False


class ImaginedEnv:
    """A task in models of its dynamics (types.TaskEnv): N tasks with R rollouts each.

    The time index of a start is kept: a path that reaches the limit of real ones before its own is
    done.
    """

    # The physics are models: all the time is the policy's.
    physics_s = 0.0

    def __init__(self, env: MetaTaskEnv, ensemble: Ensemble, config: Imagination) -> None:
        """env: whose reward, done, limits and observations these are; it is not moved.

        ValueError if members cannot share the tasks equally, where each has a task of its own.
        """
        if config.members == 'task' and config.tasks % ensemble.dynamics.members:
            raise ValueError(
                f'{config.tasks} tasks cannot be shared equally by {ensemble.dynamics.members} '
                'members: choose a multiple'
            )
        self.config, self._env, self._ensemble = config, env, ensemble
        self.tasks, self.rollouts, self.horizon = config.tasks, config.rollouts, config.horizon
        self.observation_size, self.action_size = env.observation_size, env.action_size
        self._moving = torch.ones(self.rows, dtype=torch.bool)

    @property
    def rows(self) -> int:
        """B = N R."""
        return self.tasks * self.rollouts

    @property
    def states(self) -> Tensor:
        """The states [B, S] that the rows are in."""
        return self._states

    def sample_goals(self, generator: torch.Generator, n: int) -> Tensor:
        """Draw goals [n, G] from the training distribution."""
        return self._env.sample_goals(generator, n)

    def reset(self, goals: Tensor, generator: torch.Generator) -> Tensor:
        """Begin rollouts towards goals [N, G]; return observations [N, R, S].

        generator: also of which member moves whom, and of predictions that are drawn.
        """
        self._states, self._time = self.config.starts(generator, self.rows)
        self._steps = 0
        # What is most often so needs no masks.
        self._moving, self._all_moving = torch.ones(self.rows, dtype=torch.bool), True
        self._goals = goals.repeat_interleave(self.rollouts, 0).to(self._states.dtype)
        self._move = make_move(self._ensemble, self.config, generator)
        return self._observe()

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Act by [N, R, A]; return observations [N, R, S], rewards [N, R], done [N, R]."""
        taken = actions.reshape(self.rows, -1) / self._env.action_scale
        taken = taken.clamp(-1.0, 1.0)
        before, moving, task = self._states, self._moving, self._env.task
        reached = self._move(before, taken)
        earned = task.reward(before, taken, reached, self._goals)
        done = ~moving | task.done(reached) | self._out_of_time()
        if not (self._all_moving and bool((reached.sum() + earned.sum()).isfinite())):
            failed = moving & ~(reached.isfinite().all(-1) & earned.isfinite())
            done = done | failed
            # As in the real environment: who failed is known by a reward that is none.
            earned = torch.where(failed, torch.nan, torch.where(moving, earned, 0.0))
            reached = torch.where((moving & ~failed)[:, None], reached, before)
        self._states, self._moving = reached, ~done
        self._all_moving = bool(self._moving.all())
        shape = self.tasks, self.rollouts
        return self._observe(), earned.float().view(shape), done.view(shape)

    def _out_of_time(self) -> Tensor:
        """Return who reached the limit of real episodes [B] before that of the rollouts."""
        self._time, self._steps = self._time + 1, self._steps + 1
        before = self._steps < self.horizon
        return self._time >= self._env.horizon if before else torch.zeros_like(self._moving)

    def _observe(self) -> Tensor:
        seen, moments = self._states[:, self._env.observed], self._env.observations
        if moments is not None:
            seen = normalized(seen, moments.mean, moments.variance)
        return seen.float().view(self.tasks, self.rollouts, -1)


def make_move(ensemble: Ensemble, config: Imagination, generator: torch.Generator) -> Move:
    """Return one step of all rows, each by the member that `config.members` gives it."""
    if config.members == 'one':
        ensemble = ensemble.member(0)
    dynamics, params = ensemble
    rows, members = config.tasks * config.rollouts, dynamics.members

    def by_gradient(states: Tensor, actions: Tensor) -> Tensor:
        return dynamics.predict(params, states, actions, generator)

    predict = by_gradient if config.differentiable else dynamics.packed(params, generator)
    if config.members in ('mean', 'one'):

        def by_mean(states: Tensor, actions: Tensor) -> Tensor:
            everyone = (tensor.expand(members, *tensor.shape) for tensor in (states, actions))
            return predict(*everyone).mean(0)

        return by_mean

    fixed = None if config.members == 'step' else _deal(config, members, generator)

    def by_share(states: Tensor, actions: Tensor) -> Tensor:
        order = _shuffled(rows, members, generator) if fixed is None else fixed
        dealt = (tensor[order].view(members, -1, tensor.shape[-1]) for tensor in (states, actions))
        reached = predict(*dealt).flatten(0, 1)
        return torch.empty_like(states).index_put((order,), reached)

    return by_share


def members_of_tasks(tasks: int, members: int) -> Tensor:
    """Return the member [N] of each task: i mod E."""
    return torch.arange(tasks) % members


def _deal(config: Imagination, members: int, generator: torch.Generator) -> Tensor:
    """Return the rows in the order of the members that move them, in equal shares."""
    if config.members == 'episode':
        return _shuffled(config.tasks * config.rollouts, members, generator)
    owners = members_of_tasks(config.tasks, members).repeat_interleave(config.rollouts)
    return owners.argsort(stable=True)


def _shuffled(rows: int, members: int, generator: torch.Generator) -> Tensor:
    """Return the rows in random order, and some twice where members cannot share them equally.

    To each row each member is equally likely; equal shares make one product of the batch.
    """
    order = torch.randperm(rows, generator=generator)
    return torch.cat([order, order[: -rows % members]])


def imagine(
    env: ImaginedEnv, policy: Policy, params: Params, goals: Tensor, generator: torch.Generator
) -> Paths:
    """Roll a policy out in the models; params: shared, or with a leading N (see `collect`)."""

    def act(observations: Tensor) -> Distribution:
        return policy.distribution(params, observations)

    return (unroll if env.config.differentiable else roll_out)(env, act, goals, generator)


def unroll(
    env: ImaginedEnv, act: Act, goals: Tensor, generator: torch.Generator, noise: bool = True
) -> Paths:
    """Roll out so that rewards are differentiable in what `act` depends on.

    noise: actions are mean + std * noise (reparameterised); without, they are the mean.
    """
    observations = env.reset(goals, generator)
    alive = torch.ones(env.tasks, env.rollouts, dtype=torch.bool)
    ended, kept = ~alive, []
    for _ in range(env.horizon):
        drawn = act(observations)
        actions = sample(drawn, generator) if noise else drawn['mean']
        following, rewards, done = env.step(actions)
        counts = alive & ~rewards.isnan()
        log_std = drawn['log_std'].expand_as(actions)
        rewards = torch.where(counts, rewards, 0.0)
        kept.append((observations, actions, rewards, counts, drawn['mean'], log_std))
        ended, alive, observations = ended | (alive & done), alive & ~done, following
    seen, taken, earned, lived, mean, log_stds = (torch.stack(each, 2) for each in zip(*kept))
    distribution = {'mean': mean, 'log_std': log_stds}
    return Paths(seen, taken, earned, observations, lived, ended, distribution)
