# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rollouts of a policy on N tasks side by side."""

from __future__ import annotations

import torch
from torch import Tensor

from mbmrl_ros.policies.gaussian import GaussianPolicy, sample
from mbmrl_ros.types import Params, Paths, TaskEnv


@torch.no_grad()
def collect(
    env: TaskEnv,
    policy: GaussianPolicy,
    params: Params,
    goals: Tensor,
    generator: torch.Generator,
) -> Paths:
    """Roll the policy out on every task; params shared, or one set per task."""
    observation = env.reset(goals, generator)
    alive = torch.ones(observation.shape[:2], dtype=torch.bool)
    steps: list[tuple[Tensor, ...]] = []
    for _ in range(env.horizon):
        distribution = policy.distribution(params, observation)
        action = sample(distribution, generator)
        following, reward, done = env.step(action)
        steps.append((observation, action, reward, alive, distribution['mean']))
        alive, observation = alive & ~done, following
    stacked = [torch.stack(values, 2) for values in zip(*steps)]
    log_std = distribution['log_std']
    log_std = log_std if log_std.dim() == 1 else log_std[:, :, None]
    return Paths(
        *stacked[:3],
        last_observation=observation,
        alive=stacked[3],
        ended=~alive,
        distribution={'mean': stacked[4], 'log_std': log_std.expand_as(stacked[4])},
    )
