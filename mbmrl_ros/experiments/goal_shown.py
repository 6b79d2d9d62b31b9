# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks whose policy is shown the goal: what an oracle is trained on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mbmrl_ros.envs.meta_task import Mask, MetaTask, System


@dataclass(frozen=True)
class GoalShown:
    """A system whose state ends with its goal."""

    inner: System
    goals: list[Tensor] = field(default_factory=list)
    goal_size: int = 0

    @property
    def state_size(self) -> int:
        """S and G."""
        return self.inner.state_size + self.goal_size

    @property
    def action_size(self) -> int:
        """A."""
        return self.inner.action_size

    @property
    def observed(self) -> tuple[int, ...]:
        """What was observed, and the goal."""
        return (*self.inner.observed, *range(self.inner.state_size, self.state_size))

    def reset(self, goals: Tensor, generator: torch.Generator) -> Tensor:
        """Begin anew under goals [N, G]."""
        states = self.inner.reset(goals, generator)
        rows = goals.to(states.dtype).repeat_interleave(len(states) // len(goals), 0)
        self.goals[:] = [rows]
        return torch.cat([states, rows], 1)

    def step(self, actions: Tensor, moving: Mask) -> tuple[Tensor, Mask]:
        """Move rows [B] by actions [B, A]."""
        states, sound = self.inner.step(actions, moving)
        return torch.cat([states, self.goals[0]], 1), sound

    @property
    def physics_s(self) -> float:
        """How long the physics took so far."""
        return self.inner.physics_s

    def close(self) -> None:
        """Stop threads, where there are some."""
        self.inner.close()


def with_goal_shown(task: MetaTask) -> MetaTask:
    """Return a task whose policy is shown the goal: what an oracle is trained on."""
    size = len(task.goals.names)

    def system(tasks: int, rollouts: int, threads: int) -> System:
        return GoalShown(task.system(tasks, rollouts, threads), goal_size=size)

    def reward(state: Tensor, action: Tensor, next_state: Tensor, goal: Tensor) -> Tensor:
        return task.reward(state[..., :-size], action, next_state[..., :-size], goal)

    return replace(
        task, system=system, reward=reward, done=lambda state: task.done(state[..., :-size])
    )
