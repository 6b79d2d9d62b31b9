# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Real rollouts as trajectories: what models of the dynamics learn from.

A policy is not shown all of a state; a model predicts all of it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.policies.gaussian import Distribution
from mbmrl_ros.training.rollouts import Act, roll_out
from mbmrl_ros.training.timed_env import TimedEnv

# Of a distribution that is as good as a point.
NO_NOISE = -20.0


class RecordedEnv(TimedEnv):
    """A task that keeps the states and actions of its last episode."""

    def reset(self, goals: Tensor, generator: torch.Generator) -> Tensor:
        """Begin an episode of every robot towards goals [N, G]; return observations [N, R, S]."""
        observations = super().reset(goals, generator)
        self._states, self._taken = [self._state.float()], list[Tensor]()
        return observations

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Act by [N, R, A]; return observations [N, R, S], rewards [N, R], done [N, R]."""
        result = super().step(actions)
        self._states.append(self._state.float())
        taken = (actions.reshape(-1, self.action_size) / self.action_scale).clamp(-1.0, 1.0)
        self._taken.append(taken)
        return result

    def roll_out(self, act: Act, generator: torch.Generator) -> list[Trajectory]:
        """Return an episode of each robot, as long as it was alive; UserError if none was."""
        goals = self.sample_goals(generator, self.tasks)
        lived = roll_out(self, act, goals, generator).alive.sum(-1).flatten().tolist()
        if not any(lived):
            raise UserError(
                f'{self.task.name}: the first step of every robot failed: an action, a state or a '
                'reward is not finite; mend the task, and start again with the same settings'
            )
        states, actions = torch.stack(self._states, 1), torch.stack(self._taken, 1)
        return [
            Trajectory(
                states[row, : steps + 1].contiguous(),
                actions[row, :steps].contiguous(),
                torch.full((steps,), -1),
            )
            for row, steps in enumerate(lived)
            if steps
        ]


def random_actions(env: TimedEnv, generator: torch.Generator) -> Act:
    """Return what draws actions uniformly within their limits."""
    shape = env.tasks, env.rollouts, env.action_size

    def act(observations: Tensor) -> Distribution:
        drawn = (2 * torch.rand(shape, generator=generator) - 1) * env.action_scale
        return {'mean': drawn, 'log_std': torch.full((env.action_size,), NO_NOISE)}

    return act


def mean_actions(act: Act) -> Act:
    """Return what acts by the means of distributions."""

    def mean(observations: Tensor) -> Distribution:
        drawn = act(observations)
        return drawn | {'log_std': torch.full_like(drawn['log_std'], NO_NOISE)}

    return mean
