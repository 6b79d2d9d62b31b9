# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""All tasks by name, and those of the half-cheetah."""

from __future__ import annotations

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.envs.arm_tasks import ARM_TASKS
from mbmrl_ros.envs.own_tasks import own_tasks
from mbmrl_ros.envs.path_tasks import PATH_TASKS
from mbmrl_ros.envs.task import Task, switching_schedule
from mbmrl_ros.rewards.reward import TermConfig
from mbmrl_ros.sim.disturbances import Disturbance, Event
from mbmrl_ros.spec import load_robot

__all__ = ['TASKS', 'Task', 'load_task']

CHEETAH_JOINTS = ('bthigh', 'bshin', 'bfoot', 'fthigh', 'fshin', 'ffoot')
DEAD_JOINTS = tuple(Disturbance('disabled_joint', joint) for joint in CHEETAH_JOINTS)
HELD_OUT = DEAD_JOINTS[0]


def _half_cheetah_disabled_joint() -> Task:
    return Task(
        name='half_cheetah/disabled_joint',
        description='run forward while joints go dead; bthigh never fails in training',
        robot='half_cheetah',
        reward=(
            TermConfig(term='forward_velocity', weight=1.0, channel='x'),
            TermConfig(term='action_squared', weight=-0.05),
        ),
        episode_steps=1000,
        disturbances=DEAD_JOINTS,
        # Joints 1 to 5 fail in training (thesis, appendix E); None: a quarter of the segments
        # is healthy, since the robot starts its test run healthy.
        training=switching_schedule((None, None, *DEAD_JOINTS[1:]), shortest=100, longest=400),
        tests={
            'undisturbed': lambda steps: (),
            'held_out': lambda steps: (Event(0, HELD_OUT),),
            'mid_run': lambda steps: (Event(Task.failure_step(steps), HELD_OUT),),
        },
    )


TASKS: dict[str, Task] = {
    task.name: task for task in (_half_cheetah_disabled_joint(), *ARM_TASKS, *PATH_TASKS)
}


def load_task(name: str, robot: str = '') -> Task:
    """Return a task by name; UserError names the valid ones.

    robot: name or path of a robot file, whose own tasks come first, with or without the name of
    the robot before theirs.
    """
    own: dict[str, Task] = {}
    if robot:
        spec = load_robot(robot)
        own = own_tasks(spec, robot)
        name = f'{spec.name}/{name}' if name in spec.tasks else name
    tasks = TASKS | own
    if name not in tasks:
        raise UserError(f'unknown task {name!r}; {closest(name, tasks)}')
    return tasks[name]
