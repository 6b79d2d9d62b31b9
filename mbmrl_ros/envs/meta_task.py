# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A task as policy search sees it: functions of states, and a system that they are about.

Environment, planner and imagined rollouts use the same `reward` and `done`, batched in torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.goals import Goals
from mbmrl_ros.envs.task import Task, TestSchedule
from mbmrl_ros.rewards.reward import build_done, build_reward, never_done
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.types import DoneFn, GoalRewardFn

# Policies of the published code act in -10..10, which is scaled to the limits of the robot.
PUBLISHED_SCALE = 10.0


Mask = NDArray[np.bool_]
"""[B] of robots. numpy's small operations take a third of the time of torch's."""


class System(Protocol):
    """B = N R robots or points side by side, those of a task one after the other."""

    @property
    def state_size(self) -> int:
        """S."""

    @property
    def action_size(self) -> int:
        """A."""

    @property
    def observed(self) -> tuple[int, ...]:
        """Which of the state a policy is shown."""

    def reset(self, goals: Tensor, generator: torch.Generator) -> Tensor:
        """Begin anew under goals [N, G]; return states [B, S] in float64."""

    def step(self, actions: Tensor, moving: Mask) -> tuple[Tensor, Mask]:
        """Move rows [B] by actions [B, A] in -1..1; return states [B, S], and [B] who could."""

    @property
    def physics_s(self) -> float:
        """How long the physics took so far."""

    def close(self) -> None:
        """Stop threads, where there are some."""


MakeSystem = Callable[[int, int, int], System]
"""(N tasks, R rollouts of each, threads) -> a system."""


@dataclass(frozen=True)
class MetaTask:
    """A distribution of tasks that differ in their goals.

    horizon: steps of an episode. reward: of the system's states and actions in -1..1. done: which
    states end an episode before. action_scale: the largest action of a policy, which stands for 1.
    robot: its file's name or path, where the system is one of robots. tests: names of what may
    happen in a test. disturbed: whether something may happen in training.
    """

    name: str
    description: str
    horizon: int
    goals: Goals
    reward: GoalRewardFn
    system: MakeSystem
    done: DoneFn = never_done
    action_scale: float = PUBLISHED_SCALE
    robot: str = ''
    tests: tuple[str, ...] = ()
    disturbed: bool = False


def bind(task: Task, test: TestSchedule | None = None) -> MetaTask:
    """Return the functions of a task of a robot; UserError if its file does not fit it.

    test: what happens in each episode; without it, what is drawn for training.
    """
    spec = load_robot(task.robot)
    if task.disturbances and task.goals.names:
        raise UserError(
            f'{task.name} has goals and disturbances that come and go, which policies are not '
            'trained under; give it goals alone, for its reward or such as mass:torso'
        )

    def system(tasks: int, rollouts: int, threads: int) -> System:
        # They import MuJoCo.
        if task.disturbances:
            from mbmrl_ros.envs.disturbed_system import DisturbedSystem

            return DisturbedSystem(spec, task, test, (tasks, rollouts), threads)
        from mbmrl_ros.envs.robot_system import RobotSystem

        return RobotSystem(spec, task.goals.names, (tasks, rollouts), threads)

    return MetaTask(
        task.name,
        task.description,
        task.episode_steps,
        task.goals,
        build_reward(spec, task.reward, task.goals.names),
        system,
        build_done(spec, task.done),
        robot=task.robot,
        tests=tuple(task.tests),
        disturbed=bool(task.disturbances),
    )


def require_goals(task: MetaTask) -> None:
    """Raise UserError for a task that draws nothing: there is nothing to adapt to."""
    if not task.goals.names:
        raise UserError(
            f'{task.name} has no goals, so that all its tasks are the same; a meta-learner needs '
            'goals (docs/policy_tasks.md), an algorithm for one task does not'
        )
