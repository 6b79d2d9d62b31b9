# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""N tasks with R robots each in one batch: what training/rollouts.py collects from."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mbmrl_ros.config import Config, Positive
from mbmrl_ros.envs.meta_task import Mask, MetaTask

# Of the running statistics in the published code, per step.
RATE = 0.001
TINY = 1e-8


class SamplingConfig(Config):
    """What stands between a policy and its task; by default as in the published runs."""

    action_scale: Positive | None = Field(
        None,
        description='the action of a policy that stands for the limit of a robot, linearly; '
        "beyond, it is clipped; default: the task's, 10 in the published runs",
    )
    normalize_observations: bool = Field(
        False, description='by running mean and standard deviation; off in the published runs'
    )
    normalize_rewards: bool = Field(
        False, description='by their running standard deviation; off in the published runs'
    )
    whole_state: bool = Field(
        False, description='show policies all channels, absolute positions among them'
    )


class MetaTaskEnv:
    """A task's robots, N x R of them; see types.TaskEnv.

    A row that ended stays where it is and earns 0 until the next reset. A row in which an action,
    the physics or a reward were not finite is done too, with a reward of NaN in that step, and
    leaves the others alone.
    """

    def __init__(
        self,
        task: MetaTask,
        tasks: int,
        rollouts: int,
        config: SamplingConfig | None = None,
        threads: int | None = None,
    ) -> None:
        """tasks, rollouts: N, R. threads: of the physics; default: as many as torch has."""
        config = config or SamplingConfig()
        self.task, self.tasks, self.rollouts, self.horizon = task, tasks, rollouts, task.horizon
        self.system = task.system(tasks, rollouts, threads or torch.get_num_threads())
        self.action_size = self.system.action_size
        self.action_scale = config.action_scale or task.action_scale
        whole = range(self.system.state_size)
        self.observed = torch.tensor(whole if config.whole_state else self.system.observed)
        self.observation_size = len(self.observed)
        self.observations = (
            _Moments(self.observation_size) if config.normalize_observations else None
        )
        self.rewards = _Moments(1) if config.normalize_rewards else None
        self._goals = torch.zeros(tasks * rollouts, len(task.goals.names), dtype=torch.float64)
        self._state = torch.zeros(tasks * rollouts, self.system.state_size, dtype=torch.float64)
        self._moving = np.ones(tasks * rollouts, bool)

    def sample_goals(self, generator: torch.Generator, n: int) -> Tensor:
        """Draw goals [n, G] from the training distribution."""
        return self.task.goals.draw(generator, n)

    def reset(self, goals: Tensor, generator: torch.Generator) -> Tensor:
        """Begin an episode of every robot towards goals [N, G]; return observations [N, R, S]."""
        check_goals(self.task, goals, self.tasks)
        self._goals = goals.double().repeat_interleave(self.rollouts, 0)
        self._state = self.system.reset(goals, generator)
        self._moving = np.ones(len(self._state), bool)
        return self._observe(self._moving)

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Act by [N, R, A]; return observations [N, R, S], rewards [N, R], done [N, R]."""
        taken = actions.reshape(-1, self.action_size).double() / self.action_scale
        taken = taken.clamp(-1.0, 1.0)
        state, could = self.system.step(taken, self._moving)
        earned = self.task.reward(self._state, taken, state, self._goals)
        # Who could not move stayed where its state is finite.
        sound = could & np.isfinite(earned.numpy())
        done = ~sound | self.task.done(state).numpy()
        if self.rewards is not None:
            earned = self.rewards.scaled(earned, sound)
        rewards = np.where(sound, earned.numpy(), np.where(self._moving, np.nan, 0.0))
        self._state, self._moving = state, ~done
        shape = self.tasks, self.rollouts
        return (
            self._observe(sound),
            torch.from_numpy(rewards.astype(np.float32)).view(shape),
            torch.from_numpy(done).view(shape),
        )

    @property
    def states(self) -> Tensor:
        """The whole states [B, S] that the robots are in."""
        return self._state

    @property
    def physics_s(self) -> float:
        """How long the physics took so far."""
        return self.system.physics_s

    def close(self) -> None:
        """Stop the threads of the physics."""
        self.system.close()

    def _observe(self, new: Mask) -> Tensor:
        seen = self._state.index_select(1, self.observed)
        if self.observations is not None:
            seen = self.observations.normalized(seen, new)
        return seen.float().view(self.tasks, self.rollouts, -1)


def check_goals(task: MetaTask, goals: Tensor, n: int) -> None:
    """Raise ValueError unless goals are [n, G]."""
    expected = n, len(task.goals.names)
    if goals.shape != expected:
        raise ValueError(f'{task.name}: goals are {expected}, got {tuple(goals.shape)}')


def normalized(values: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Return values [..., S] as a policy is shown them where observations are normalised."""
    return (values - mean) / (variance.sqrt() + TINY)


def scaled(rewards: Tensor, variance: Tensor) -> Tensor:
    """Return rewards [...] over their standard deviation."""
    return rewards / (variance.sqrt() + TINY)


class _Moments:
    """Running mean and variance, which follow new rows exponentially, a batch at a time."""

    def __init__(self, size: int) -> None:
        self.mean = torch.zeros(size, dtype=torch.float64)
        self.variance = torch.ones(size, dtype=torch.float64)

    def normalized(self, values: Tensor, new: Mask) -> Tensor:
        """Follow the rows of values [B, .] that are new [B]; return them all normalised."""
        self._follow(values[new])
        return normalized(values, self.mean, self.variance)

    def scaled(self, values: Tensor, new: Mask) -> Tensor:
        """Follow values [B] that are new [B]; return them all over their standard deviation."""
        self._follow(values[new][:, None])
        return scaled(values, self.variance)

    def _follow(self, rows: Tensor) -> None:
        if len(rows):
            self.mean = self.mean.lerp(rows.mean(0), RATE)
            self.variance = self.variance.lerp((rows - self.mean).square().mean(0), RATE)
