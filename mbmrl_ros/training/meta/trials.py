# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Trials: several episodes on one task, as one path of somebody who remembers (RL2).

What is remembered of a step comes with the observation after it: the action, the reward, and
whether an episode ended with it, [o_t, a_{t-1}, r_{t-1}, d_{t-1}], 0 where a trial begins.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mbmrl_ros.policies.gaussian import Distribution
from mbmrl_ros.policies.recurrent import RecurrentPolicy
from mbmrl_ros.training.rollouts import roll_out
from mbmrl_ros.types import Params, Paths, TaskEnv


class TrialEnv:
    """A task whose observations say what came before; a reset does not forget, `begin` does."""

    def __init__(self, env: TaskEnv) -> None:
        self.env = env
        self.tasks, self.rollouts, self.horizon = env.tasks, env.rollouts, env.horizon
        self.action_size = env.action_size
        self.observation_size = env.observation_size + env.action_size + 2
        self.begin()

    def begin(self) -> None:
        """Forget: a trial begins."""
        self.last = torch.zeros(self.tasks, self.rollouts, self.action_size + 2)
        self.alive = torch.ones(self.tasks, self.rollouts, dtype=torch.bool)
        self.failed = ~self.alive

    def sample_goals(self, generator: torch.Generator, n: int) -> Tensor:
        """Draw goals [n, G]."""
        return self.env.sample_goals(generator, n)

    def reset(self, goals: Tensor, generator: torch.Generator) -> Tensor:
        """Begin an episode of the trial."""
        self.alive = torch.ones_like(self.alive)
        return torch.cat([self.env.reset(goals, generator), self.last], -1)

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take a step; robots whose episode has ended remember its last one."""
        observations, rewards, done = self.env.step(actions)
        seen = [actions, rewards.nan_to_num()[..., None], done[..., None].float()]
        self.last = torch.where(self.alive[..., None], torch.cat(seen, -1), self.last)
        self.failed = self.failed | (self.alive & rewards.isnan())
        self.alive = self.alive & ~done
        return torch.cat([observations, self.last], -1), rewards, done

    def end_episode(self) -> None:
        """Remember that the time limit ended the episodes that nothing else has ended."""
        self.last[..., -1] = 1.0


def collect_trials(
    env: TrialEnv,
    policy: RecurrentPolicy,
    params: Params,
    goals: Tensor,
    episodes: int,
    generator: torch.Generator,
) -> tuple[Paths, list[Paths]]:
    """Roll a policy out for a trial of several episodes on each task.

    Its state begins empty with the trial, goes on over its episodes, and rests while a robot
    waits for others to end theirs. Returns the trials, [N, R, T] with what counts in front, and
    the episodes that they are made of.
    """
    carry = policy.empty(env.tasks * env.rollouts)

    def act(inputs: Tensor) -> Distribution:
        nonlocal carry
        rows = inputs.flatten(0, 1)
        following, distribution = policy.step(params, carry, rows)
        carry = torch.where(env.alive.flatten()[:, None], following, carry)
        return distribution | {'mean': distribution['mean'].view(*inputs.shape[:2], -1)}

    env.begin()
    parts: list[Paths] = []
    for _ in range(episodes):
        sound = ~env.failed[..., None]
        paths = roll_out(env, act, goals, generator)
        # What a robot remembers of a step that is not finite is not in its path.
        parts.append(replace(paths, alive=paths.alive & sound))
        env.end_episode()
    return join(parts), parts


def join(episodes: list[Paths]) -> Paths:
    """Put episodes one after the other, steps that count in front of all that do not.

    `ended` is True: nothing comes after the last episode, whatever ended it.
    """
    alive = torch.cat([paths.alive for paths in episodes], 2)
    order = (~alive).to(torch.uint8).argsort(dim=2, stable=True)

    def joined(values: list[Tensor]) -> Tensor:
        whole = torch.cat(values, 2)
        index = order if whole.dim() == 3 else order[..., None].expand_as(whole)
        return whole.gather(2, index)

    names = episodes[0].distribution
    return Paths(
        joined([paths.observations for paths in episodes]),
        joined([paths.actions for paths in episodes]),
        joined([paths.rewards for paths in episodes]),
        episodes[-1].last_observation,
        joined([paths.alive for paths in episodes]),
        torch.ones_like(episodes[-1].ended),
        {name: joined([paths.distribution[name] for paths in episodes]) for name in names},
    )
