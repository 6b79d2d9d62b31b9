# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings of a robot as what a policy search begins with: iteration 0 of its data."""

from __future__ import annotations

from pathlib import Path

from mbmrl_ros.config import UserError
from mbmrl_ros.data.bags import find_bags
from mbmrl_ros.data.dataset import Trajectory, cut_long
from mbmrl_ros.data.recordings import MANIFEST, Session, load_manifest, load_recordings
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.recordings.cut import read_recordings
from mbmrl_ros.spec.robot import RobotSpec, load_robot


def recorded_episodes(data: Path, task: MetaTask, horizon: int | None) -> list[Trajectory]:
    """Read a dataset, or bags, as episodes of at most `horizon` steps; default: the task's.

    UserError if they are of another robot than the task, or of other channels, period or limits.
    """
    if not task.robot:
        raise UserError(f'{task.name} is of no robot, so that no recordings can be of it')
    spec = load_robot(task.robot)
    found = [t for session in _sessions(data, spec) for t in session.trajectories]
    if not found:
        raise UserError(f'{data} holds no transition; see mbmrl bag, which says why')
    return cut_long(found, horizon or task.horizon)


def _sessions(data: Path, spec: RobotSpec) -> list[Session]:
    if not (data / MANIFEST).exists():
        return read_recordings(find_bags([data]), spec)[1]
    robot = load_manifest(data).robot
    if robot != spec.name:
        raise UserError(
            f'{data} is of robot {robot}, and the task of {spec.name}: choose a task of {robot}, '
            f'or recordings of {spec.name}'
        )
    return load_recordings(data, spec)
