# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks without goals that policies learn from scratch, with the physics of gymnasium's robots.

Rewards and episodes are those of the MB-MPO paper (Clavera et al. 2018); the cost of an action is
of the one in -1..1, as in gymnasium.
"""

from __future__ import annotations

from torch import Tensor

from mbmrl_ros.envs.goals import NO_GOALS
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.point_tasks import PointDynamics
from mbmrl_ros.envs.task import Task, nothing_happens, undisturbed
from mbmrl_ros.rewards.reward import TermConfig

Terms = tuple[TermConfig, ...]


def forward(effort: float) -> Terms:
    """Return the velocity along x less a cost of the squared action."""
    return (
        TermConfig(term='forward_velocity', channel='x'),
        TermConfig(term='action_squared', weight=-effort),
    )


def near_origin(state: Tensor, action: Tensor, next_state: Tensor, goal: Tensor) -> Tensor:
    """Return minus the squared distance to the origin."""
    return -next_state.square().sum(-1)


def _task(name: str, description: str, robot: str, reward: Terms, steps: int) -> Task:
    return Task(
        name=name,
        description=description,
        robot=robot,
        reward=reward,
        episode_steps=steps,
        disturbances=(),
        training=nothing_happens,
        tests={'undisturbed': undisturbed},
    )


LEARNING_TASKS: dict[str, Task | MetaTask] = {
    task.name: task
    for task in (
        _task('half_cheetah/run', 'run forward as fast as possible', 'half_cheetah_20hz',
              forward(0.1), 200),
        MetaTask(
            'point/origin',
            'go to the origin (MB-MPO: plasticity)',
            30,
            NO_GOALS,
            near_origin,
            PointDynamics(2, reach=0.1, start=2.0).system,
            action_scale=1.0,
        ),
    )
}  # fmt: skip
