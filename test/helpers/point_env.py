"""A point in the plane that goes where the action says; the goal is one of the task's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class PointEnv:
    """Observations are places, rewards -distance; a path ends within `radius` of its goal."""

    tasks: int
    rollouts: int
    horizon: int
    radius: float = 0.0
    observation_size: int = 2
    action_size: int = 2

    def sample_goals(self, generator: torch.Generator, n: int) -> Tensor:
        return torch.rand(n, 2, generator=generator) - 0.5

    def reset(self, goals: Tensor, generator: torch.Generator) -> Tensor:
        self.goals = goals[:, None]
        self.place = 0.02 * torch.randn(len(goals), self.rollouts, 2, generator=generator)
        return self.place

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        self.place = self.place + 0.1 * actions.clamp(-1, 1)
        distance = (self.place - self.goals).norm(dim=-1)
        return self.place, -distance, distance < self.radius


@dataclass(frozen=True)
class PointTask:
    name: str = 'point'
    radius: float = 0.0

    def make_env(self, tasks: int, rollouts: int, horizon: int) -> PointEnv:
        return PointEnv(tasks, rollouts, horizon, self.radius)
