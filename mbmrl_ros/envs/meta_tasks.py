# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks as policies are trained and tested on them, by name."""

from __future__ import annotations

from dataclasses import replace

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.envs.meta_task import MetaTask, bind
from mbmrl_ros.envs.own_tasks import own_tasks
from mbmrl_ros.envs.task import Task
from mbmrl_ros.envs.tasks import POLICY_TASKS, TASKS, task_file_hint
from mbmrl_ros.spec.robot import load_robot


def load_meta_task(
    name: str, robot: str = '', test: str = '', steps: int | None = None
) -> MetaTask:
    """Return a task by name; UserError names the valid ones.

    robot: name or path of a robot file, whose own tasks come first, with or without the name of
    the robot before theirs. test: what happens in it, in place of what happens in training.
    steps: of an episode, over which that is spread; by default the task's own.
    """
    tasks: dict[str, Task | MetaTask] = {**POLICY_TASKS, **TASKS}
    if robot:
        spec = load_robot(robot)
        tasks |= own_tasks(spec, robot)
        name = f'{spec.name}/{name}' if name in spec.tasks else name
    if name not in tasks:
        hint = task_file_hint(name, robot)
        raise UserError(f'unknown task of policies {name!r}; {closest(name, tasks)}{hint}')
    task = tasks[name]
    if isinstance(task, Task):
        task = replace(task, episode_steps=steps or task.episode_steps)
        return bind(task, task.test(test) if test else None)
    if test:
        raise UserError(f'{name} has no tests, got {test!r}')
    return task
