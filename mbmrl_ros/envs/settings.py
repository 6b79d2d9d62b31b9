# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What happens in the episodes of an environment: what training draws, or a test of the task."""

from __future__ import annotations

import numpy as np

from mbmrl_ros.envs.task import Task
from mbmrl_ros.sim.disturbances import Schedule

TRAINING = 'training'


def check_setting(task: Task, setting: str) -> str:
    """Return a setting, `training` or a test of the task; UserError names the valid tests."""
    if setting != TRAINING:
        task.test(setting)
    return setting


def draw_schedule(task: Task, setting: str, rng: np.random.Generator) -> Schedule:
    """Return what happens in an episode."""
    steps = task.episode_steps
    return task.training(rng, steps) if setting == TRAINING else task.test(setting)(steps)
