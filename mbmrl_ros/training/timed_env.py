# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How long the physics take, measured where they are called."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from mbmrl_ros.types import TaskEnv


@dataclass
class TimedEnv:
    """A task that adds up the seconds of its resets and steps in physics_s."""

    env: TaskEnv
    physics_s: float = 0.0

    def __post_init__(self) -> None:
        """Take over what never changes."""
        self.observation_size, self.action_size = self.env.observation_size, self.env.action_size
        self.tasks, self.rollouts = self.env.tasks, self.env.rollouts
        self.horizon = self.env.horizon

    def sample_goals(self, generator: torch.Generator, n: int) -> Tensor:
        """Draw goals [n, G]."""
        return self.env.sample_goals(generator, n)

    def reset(self, goals: Tensor, generator: torch.Generator) -> Tensor:
        """Begin episodes."""
        started = time.perf_counter()
        observations = self.env.reset(goals, generator)
        self.physics_s += time.perf_counter() - started
        return observations

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take a step."""
        started = time.perf_counter()
        result = self.env.step(actions)
        self.physics_s += time.perf_counter() - started
        return result
