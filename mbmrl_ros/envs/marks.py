# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a task is about, and what a robot plans, as lines and balls in its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from mbmrl_ros.envs.task import Task
from mbmrl_ros.rewards.path import Route, path_segments
from mbmrl_ros.sim.rendering import Mark
from mbmrl_ros.spec.positions import position_channels
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

# The colours of docs/rviz.md, on a light floor.
PATH = (0.10, 0.10, 0.12, 0.9)
TARGET = (0.16, 0.60, 0.25, 0.75)
PLAN = (0.12, 0.44, 0.90, 1.0)
# Widths in sizes of the robot.
_LINE, _BALL, _PLAN = 0.03, 0.035, 0.02
# Above the ground, in sizes of the robot: on it half of a line would be hidden.
_LIFT = 0.25


def task_marks(task: Task, size_m: float) -> list[Mark]:
    """Return the path of a task's reward, and the points that it is to reach.

    size_m: of the robot.
    """
    marks = []
    for term in task.reward:
        if term.path is not None:
            marks.append(Mark(_path_points(term.path, _LIFT * size_m), PATH, _LINE * size_m))
    marks += [Mark(point[None], TARGET, _BALL * size_m) for point in target_points(task)]
    return marks


def target_points(task: Task) -> Array:
    """Return the points [P, 3] that a task is to reach; none where it has no such goal."""
    points = [point for term in task.reward for point in _points(term.target or {})]
    return np.array(points).reshape(-1, 3)


def plan_mark(spec: RobotSpec, states: Array, size_m: float) -> Mark | None:
    """Return planned states [H+1, S] as a line; None where they do not say where the robot is.

    Of an arm: the way of its first point. A coordinate that is no channel is zero.
    """
    axes = position_channels(spec)
    if not axes:
        return None
    points = np.zeros((len(states), 3))
    for axis, channel in axes.items():
        points[:, axis] = np.asarray(states)[:, channel]
    return Mark(points, PLAN, _PLAN * size_m)


def _path_points(path: Route, height_m: float) -> Array:
    """Return the way-points [P, 3] of a path on the ground."""
    segments = path_segments(path)
    ends = segments.starts + segments.directions * segments.lengths[:, None]
    points = torch.cat([segments.starts, ends[-1:]]).double().numpy()
    return np.column_stack([points, np.full(len(points), height_m)])


def _points(target: Mapping[str, float]) -> Iterator[Array]:
    """Yield the points [3] whose three coordinates a target gives, as in tip_x, tip_y, tip_z."""
    for name in dict.fromkeys(channel.rpartition('_')[0] for channel in target):
        if all(f'{name}_{axis}' in target for axis in 'xyz'):
            yield np.array([target[f'{name}_{axis}'] for axis in 'xyz'])
