# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Disturbances as parameters of the simulator."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from numpy.random import default_rng

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.nodes.common.settings import SimSettings
from mbmrl_ros.sim.disturbances import KINDS, Disturbance, Event, Schedule, check, parse
from mbmrl_ros.spec.robot import RobotSpec, load_robot


def parse_schedule(spec: RobotSpec, texts: Sequence[str]) -> Schedule:
    """Read `kind:target@from` and `kind:target@from-to` (control steps); UserError otherwise."""
    events: list[Event] = []
    for text in texts:
        what, separator, when = text.rpartition('@')
        first, dash, last = when.partition('-')
        steps = [first, last] if dash else [first]
        if not separator or not all(step.isdecimal() for step in steps):
            raise UserError(
                f'schedule takes kind:target@step or kind:target@step-step, got {text!r}'
            )
        disturbance = parse(what, spec)
        check(spec, disturbance)
        events.append(Event(int(first), disturbance))
        if dash:
            if int(last) <= int(first):
                raise UserError(f'schedule: {text!r} ends before it begins')
            events.append(Event(int(last), disturbance, on=False))
    return tuple(events)


def training_draws(settings: SimSettings) -> Callable[[], Schedule | None]:
    """Return what draws the schedule of the next episode; None: it stays what it was.

    UserError if there is no task to draw for, or a schedule is given as well.
    """
    steps = settings.training_steps
    if not steps:
        return lambda: None
    if not settings.task or settings.schedule:
        raise UserError('training_steps draws the schedule of a task: set task, and no schedule')
    draw, rng = load_task(settings.task, settings.robot).training, default_rng(settings.seed)
    return lambda: draw(rng, steps)


def disturbances_of(spec: RobotSpec, task: str, robot: str = '') -> tuple[Disturbance, ...]:
    """Return what can be switched on: a task's disturbances, or all that the robot can have.

    Of those that differ in their value alone the first one: a switch is named by kind and target.
    robot: name or path of its file, for tasks of its own.
    """
    if not task:
        return tuple(
            Disturbance(name, target, kind.usual)
            for name, kind in KINDS.items()
            for target in kind.targets(spec)
        )
    found = load_task(task, robot)
    if load_robot(found.robot).name != spec.name:
        raise UserError(f'task {task} is for robot {found.robot}, not for {spec.name}')
    switches: dict[tuple[str, str], Disturbance] = {}
    for disturbance in found.disturbances:
        switches.setdefault((disturbance.kind, disturbance.target), disturbance)
    return tuple(switches.values())


def switches(disturbances: Sequence[Disturbance]) -> dict[str, Disturbance]:
    """Return disturbances by the name of the service that switches them.

    What a name of ROS may not hold becomes `_`, and a number makes names differ.
    """
    named: dict[str, Disturbance] = {}
    for disturbance in disturbances:
        target = re.sub(r'\W', '_', disturbance.target, flags=re.ASCII)
        target = f'_{target}' if target[:1].isdecimal() else target
        name, count = f'~/{disturbance.kind}/{target}', 1
        while name in named:
            count += 1
            name = f'~/{disturbance.kind}/{target}_{count}'
        named[name] = disturbance
    return named
