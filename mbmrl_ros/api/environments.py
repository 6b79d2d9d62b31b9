# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks as environments of gymnasium, by their own names."""

from __future__ import annotations

from typing import Any

import gymnasium

from mbmrl_ros.envs.gym import TaskEnv
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.envs.vector import VectorTaskEnv


def make(task: str, **options: Any) -> gymnasium.Env[Any, Any]:
    """Return an environment that ends after the task's steps.

    task: as `mbmrl tasks` lists it. options: of mbmrl_ros.envs.gym.TaskEnv, such as
    setting='mid_run', render_mode='rgb_array', robot='my_robot.yaml'.
    """
    env = TaskEnv(task, **options)
    steps = load_task(task, options.get('robot', '')).episode_steps
    return gymnasium.wrappers.TimeLimit(env, steps)


def make_vec(task: str, num_envs: int, **options: Any) -> VectorTaskEnv:
    """Return N robots side by side on the batched physics, as a vector environment.

    options: of mbmrl_ros.envs.vector.VectorTaskEnv, such as setting='held_out', threads=2.
    """
    return VectorTaskEnv(task, num_envs, **options)
