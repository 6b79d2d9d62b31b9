# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""All tasks, by name: of models and planners, and those that are of policies alone."""

from __future__ import annotations

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.envs.adaptation_tasks import ADAPTATION_TASKS, DEAD_JOINTS
from mbmrl_ros.envs.arm_tasks import ARM_TASKS
from mbmrl_ros.envs.learning_tasks import LEARNING_TASKS
from mbmrl_ros.envs.locomotion_tasks import LOCOMOTION_TASKS
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.own_tasks import own_tasks
from mbmrl_ros.envs.path_tasks import PATH_TASKS
from mbmrl_ros.envs.point_tasks import POINT_TASKS
from mbmrl_ros.envs.task import Task
from mbmrl_ros.envs.wheel_tasks import WHEEL_TASKS
from mbmrl_ros.spec.robot import load_robot

__all__ = ['DEAD_JOINTS', 'HELD_OUT', 'META_TASKS', 'POLICY_TASKS', 'TASKS', 'Task', 'load_task']

HELD_OUT = DEAD_JOINTS[0]

TASKS: dict[str, Task] = {
    task.name: task for task in (*ADAPTATION_TASKS, *ARM_TASKS, *PATH_TASKS, *WHEEL_TASKS)
}

# With goals, which policies are meta-learned on.
META_TASKS: dict[str, Task | MetaTask] = {
    task.name: task for task in (*LOCOMOTION_TASKS, *POINT_TASKS)
}
POLICY_TASKS = META_TASKS | LEARNING_TASKS


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
    if name not in tasks and name not in POLICY_TASKS:
        hint = task_file_hint(name, robot)
        raise UserError(f'unknown task {name!r}; {closest(name, tasks)}{hint}')
    if name in LEARNING_TASKS:
        raise UserError(f'{name} is a task for policies (see: mbmrl algorithms)')
    if name not in tasks or tasks[name].goals.names:
        raise UserError(
            f'{name} has goals, which a model and its planner are not told of; it is a task for '
            'policies (see: mbmrl algorithms)'
        )
    return tasks[name]


def task_file_hint(name: str, robot: str) -> str:
    """Return what to do about a task that may be one of a robot file which was not named."""
    hint = '; if a robot file of your own has it, name that file by --robot'
    return hint if '/' in name and not robot.endswith(('.yaml', '.yml')) else ''


def check_robot(name: str, task_robot: str, robot: str) -> None:
    """UserError if a robot was named that is not the one of a task, or of its name.

    A file with changes of a shipped robot, such as other limits, goes by the same name.
    """
    if robot and task_robot and load_robot(robot).name != load_robot(task_robot).name:
        raise UserError(
            f'{name} is a task of {task_robot}, and --robot is {robot}; leave --robot out, or '
            'name a task of that file'
        )
