# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Robots to which something happens while they act, as the system of a task of policies."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from mbmrl_ros.envs.meta_task import Mask
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.envs.task import Task, TestSchedule
from mbmrl_ros.spec.robot import RobotSpec


class DisturbedSystem:
    """N x R robots, each under a schedule that is drawn anew with every episode (System)."""

    physics_s = 0.0

    def __init__(
        self,
        spec: RobotSpec,
        task: Task,
        test: TestSchedule | None,
        size: tuple[int, int],
        threads: int,
    ) -> None:
        """test: what happens in each episode, if not what is drawn for training. size: N, R."""
        self.spec, self._task, self._test = spec, task, test
        self.state_size, self.action_size = spec.state_size, spec.action_size
        self.observed = spec.input_indices
        self._robots = RobotEnv(spec, size[0] * size[1], threads)
        self._states = torch.zeros(self._robots.batch, spec.state_size, dtype=torch.float64)

    def reset(self, goals: Tensor, generator: torch.Generator) -> Tensor:
        """Begin anew, each robot under a schedule of its own; return states [B, S]."""
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        steps, task = self._task.episode_steps, self._task
        schedules = [
            self._test(steps) if self._test else task.training(rng, steps)
            for _ in range(self._robots.batch)
        ]
        self._states = self._robots.reset(rng, schedules).double()
        return self._states

    def step(self, actions: Tensor, moving: Mask) -> tuple[Tensor, Mask]:
        """Move rows [B] by actions [B, A] in -1..1; return states [B, S], and [B] who could."""
        started = time.perf_counter()
        reached = self._robots.step(actions).double()
        could = moving & self._robots.healthy.numpy()
        # Time goes on for those that ended, but nobody looks.
        self._states = torch.where(torch.from_numpy(could)[:, None], reached, self._states)
        self.physics_s += time.perf_counter() - started
        return self._states, could

    def close(self) -> None:
        """Stop the threads of the physics."""
        self._robots.close()
