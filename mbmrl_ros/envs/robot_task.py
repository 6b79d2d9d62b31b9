# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A task with its robot and its reward, built once and passed on."""

from __future__ import annotations

from dataclasses import dataclass

from mbmrl_ros.envs.task import Task
from mbmrl_ros.rewards.reward import Reward, build_done, build_reward, never_done
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.types import DoneFn


@dataclass(frozen=True)
class RobotTask:
    """What is done, by which robot, for which reward, and which states end an episode."""

    task: Task
    spec: RobotSpec
    reward: Reward
    done: DoneFn = never_done


def open_task(task: Task) -> RobotTask:
    """Read the robot file of a task and build its reward; UserError if they do not fit."""
    spec = load_robot(task.robot)
    reward = build_reward(spec, task.reward, task.goals.names)
    return RobotTask(task, spec, reward, build_done(spec, task.done))
