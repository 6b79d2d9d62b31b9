# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks with another distribution of training schedules than their own."""

from __future__ import annotations

from dataclasses import replace

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.tasks import Task
from mbmrl_ros.sim.disturbances import Disturbance, Schedule


def with_distribution(task: Task, name: str) -> Task:
    """Return the task, trained on other schedules.

    name: empty for its own; `test:NAME` for those of a test (MB oracle); `scaled:FACTOR` for its
    own, so many times as strong, 0 being none at all (Fig. 47). UserError if it is none of these.
    """
    kind, _, value = name.partition(':')
    if kind == '':
        return task
    if kind == 'test':
        test = task.test(value)
        return replace(task, training=lambda rng, steps: test(steps))
    if kind == 'scaled':
        factor = float(value)
        known = (*task.disturbances, *(_scaled(one, factor) for one in task.disturbances))
        return replace(
            task,
            disturbances=tuple(dict.fromkeys(known)),
            training=lambda rng, steps: _schedule(task.training(rng, steps), factor),
        )
    raise UserError(f'unknown distribution {name!r}; valid: test:NAME, scaled:FACTOR')


def _scaled(disturbance: Disturbance, factor: float) -> Disturbance:
    return replace(disturbance, value=factor * disturbance.value)


def _schedule(drawn: Schedule, factor: float) -> Schedule:
    if factor == 0:
        return ()
    return tuple(replace(one, disturbance=_scaled(one.disturbance, factor)) for one in drawn)
