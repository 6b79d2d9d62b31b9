# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Real experience of one policy: episodes of one robot, as trajectories of whole states."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.policies.gaussian import Distribution
from mbmrl_ros.training.rollouts import Act, Draw, roll_out
from mbmrl_ros.training.samples import check_finite, path_returns
from mbmrl_ros.training.timed_env import TimedEnv
from mbmrl_ros.types import Paths


class Experience(NamedTuple):
    """Episodes, and the return of each: one that was not to its end counts as far as it went."""

    trajectories: list[Trajectory]
    returns: list[float]

    @property
    def steps(self) -> int:
        """Control steps of all of them."""
        return sum(trajectory.steps for trajectory in self.trajectories)


def experience(
    env: TimedEnv, act: Act, draw: Draw, steps: int, generator: torch.Generator
) -> Experience:
    """Let a policy act in episodes until they have so many steps together, or more.

    env: one robot, of which whole states are observed. act: of whole states.
    """
    gained = Experience([], [])
    while gained.steps < steps:
        goals = env.sample_goals(generator, 1)
        paths = roll_out(env, act, goals, generator, draw)
        check_finite(paths)
        gained.trajectories.append(trajectory_of(paths))
        gained.returns.append(float(path_returns(paths)))
    return gained


def trajectory_of(paths: Paths) -> Trajectory:
    """Return the one path of a record of whole states as a trajectory."""
    steps = int(paths.alive.sum())
    last = paths.last_observation[0]
    states = torch.cat([paths.observations[0, 0, :steps], last])
    actions = paths.actions[0, 0, :steps].clamp(-1.0, 1.0)
    return Trajectory(states, actions, torch.full((steps,), -1))


def uniform(distribution: Distribution, generator: torch.Generator) -> Tensor:
    """Draw actions from -1..1, whatever the distribution says (rollouts.Draw)."""
    return 2.0 * torch.rand(distribution['mean'].shape, generator=generator) - 1.0
