# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A task for many robots at once as a vector environment of gymnasium, on the batched physics."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.envs.settings import TRAINING, check_setting, draw_schedule
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.rewards.reward import build_done, build_reward, total
from mbmrl_ros.sim.disturbances import Schedule
from mbmrl_ros.spec.robot import load_robot

Numbers = NDArray[np.float32]
Switches = NDArray[np.bool_]

# gymnasium 1.0 has no name for it.
_MODES = getattr(gymnasium.vector, 'AutoresetMode', None)


class VectorTaskEnv(VectorEnv):
    """N robots, each with its own start and disturbances; see TaskEnv for what an episode is.

    A robot whose episode ends starts afresh in the same step: what is returned is its new start,
    and `final_obs` in the info holds the last state where `_final_obs` is true.
    """

    def __init__(
        self,
        task: str,
        num_envs: int = 1,
        setting: str = TRAINING,
        robot: str = '',
        max_episode_steps: int | None = None,
        threads: int | None = None,
    ) -> None:
        """num_envs: N. max_episode_steps: default: the task's. threads: as RobotEnv.

        The others: as for TaskEnv. UserError likewise.
        """
        if num_envs < 1:
            raise UserError(f'num_envs is a number of robots, at least 1, got {num_envs}')
        self.task = load_task(task, robot)
        self.robot = load_robot(self.task.robot)
        self.setting = check_setting(self.task, setting)
        self.num_envs = num_envs
        self.metadata = {'render_modes': []}
        if _MODES is not None:
            self.metadata['autoreset_mode'] = _MODES.SAME_STEP
        size = self.robot.state_size
        self.single_observation_space = Box(-np.inf, np.inf, (size,), np.float32)
        self.single_action_space = Box(-1.0, 1.0, (self.robot.action_size,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._limit = max_episode_steps or self.task.episode_steps
        self._reward = build_reward(self.robot, self.task.reward)
        self._done = build_done(self.robot, self.task.done)
        self._robots = RobotEnv(self.robot, num_envs, threads)
        self._states = torch.zeros(num_envs, size)
        self._elapsed = np.zeros(num_envs, np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Numbers, dict[str, Any]]:
        """Start all robots; options: another `setting`."""
        super().reset(seed=seed)
        self.setting = check_setting(self.task, (options or {}).get('setting', self.setting))
        schedules = [self._draw() for _ in range(self.num_envs)]
        self._states = self._robots.reset(self.np_random, schedules)
        self._elapsed[:] = 0
        return self._states.numpy().copy(), {}

    def step(
        self, actions: Numbers
    ) -> tuple[Numbers, NDArray[np.float64], Switches, Switches, dict[str, Any]]:
        """Let a control period pass; info: terms of the reward [N] each."""
        applied = torch.from_numpy(np.clip(actions, -1.0, 1.0).astype(np.float32))
        before, self._states = self._states, self._robots.step(applied)
        terms = self._reward.terms(before, applied, self._states)
        ended = ~self._robots.healthy
        reward = torch.where(ended, 0.0, total(terms))
        self._elapsed += 1
        terminated = (ended | self._done(self._states)).numpy()
        truncated = (self._elapsed >= self._limit) & ~terminated
        info: dict[str, Any] = {'reward_terms': {n: term.numpy() for n, term in terms.items()}}
        if terminated.any() or truncated.any():
            info |= self._start_again(terminated | truncated)
        states = self._states.numpy().copy()
        return states, reward.double().numpy(), terminated, truncated, info

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the threads of the physics."""
        self._robots.close()

    def _start_again(self, over: Switches) -> dict[str, Any]:
        """Start those robots afresh whose episode is over; return what was their last state."""
        info = {'final_obs': self._states.numpy().copy(), '_final_obs': over}
        if over.all():
            self.reset()
            return info
        rows = np.flatnonzero(over).tolist()
        schedules = [self._draw() for _ in rows]
        self._states[rows] = self._robots.reset_rows(self.np_random, rows, schedules)
        self._elapsed[rows] = 0
        return info

    def _draw(self) -> Schedule:
        return draw_schedule(self.task, self.setting, self.np_random)


def make_vec(task: str, num_envs: int, **options: Any) -> VectorTaskEnv:
    """Return N robots side by side on the batched physics, as a vector environment.

    task: as `mbmrl tasks` lists it. options: of VectorTaskEnv, such as setting='held_out',
    threads=2.
    """
    return VectorTaskEnv(task, num_envs, **options)
