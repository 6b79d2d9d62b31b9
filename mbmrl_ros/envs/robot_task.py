# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A task with its robot and its reward, built once and passed on."""

from __future__ import annotations

from dataclasses import dataclass

from mbmrl_ros.envs.task import Task
from mbmrl_ros.rewards.reward import Reward, build_reward
from mbmrl_ros.spec.robot import RobotSpec, load_robot


@dataclass(frozen=True)
class RobotTask:
    """What is done, by which robot, for which reward."""

    task: Task
    spec: RobotSpec
    reward: Reward


def open_task(task: Task) -> RobotTask:
    """Read the robot file of a task and build its reward; UserError if they do not fit."""
    spec = load_robot(task.robot)
    return RobotTask(task, spec, build_reward(spec, task.reward))
