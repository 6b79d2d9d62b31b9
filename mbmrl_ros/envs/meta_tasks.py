# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""All tasks of policies, by name: those with goals, which policies are meta-learned on, and those
without.
"""

from __future__ import annotations

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.envs.learning_tasks import LEARNING_TASKS
from mbmrl_ros.envs.locomotion_tasks import LOCOMOTION_TASKS
from mbmrl_ros.envs.meta_task import MetaTask, bind
from mbmrl_ros.envs.own_tasks import own_tasks
from mbmrl_ros.envs.point_tasks import POINT_TASKS
from mbmrl_ros.envs.task import Task
from mbmrl_ros.spec.robot import load_robot

META_TASKS: dict[str, Task | MetaTask] = {
    task.name: task for task in (*LOCOMOTION_TASKS, *POINT_TASKS)
}
POLICY_TASKS = META_TASKS | LEARNING_TASKS


def load_meta_task(name: str, robot: str = '') -> MetaTask:
    """Return a task by name; UserError names the valid ones.

    robot: name or path of a robot file, whose own tasks come first, with or without the name of
    the robot before theirs.
    """
    tasks = dict(POLICY_TASKS)
    if robot:
        spec = load_robot(robot)
        tasks |= own_tasks(spec, robot)
        name = f'{spec.name}/{name}' if name in spec.tasks else name
    if name not in tasks:
        raise UserError(f'unknown task of policies {name!r}; {closest(name, tasks)}')
    task = tasks[name]
    return bind(task) if isinstance(task, Task) else task
