# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How long the physics take, measured where they are called."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from mbmrl_ros.envs.task_env import MetaTaskEnv


class TimedEnv(MetaTaskEnv):
    """A task that adds up the seconds of its resets and steps in physics_s."""

    physics_s = 0.0

    def reset(self, goals: Tensor, generator: torch.Generator) -> Tensor:
        """Begin an episode of every robot towards goals [N, G]; return observations [N, R, S]."""
        started = time.perf_counter()
        observations = super().reset(goals, generator)
        self.physics_s += time.perf_counter() - started
        return observations

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Act by [N, R, A]; return observations [N, R, S], rewards [N, R], done [N, R]."""
        started = time.perf_counter()
        result = super().step(actions)
        self.physics_s += time.perf_counter() - started
        return result
