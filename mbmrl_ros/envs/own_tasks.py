# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks that stand in a robot file, so that a new robot needs no code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from mbmrl_ros.config import Mistake, UserError
from mbmrl_ros.envs.goals import interval, together
from mbmrl_ros.envs.task import (
    Task,
    TestSchedule,
    from_the_start,
    mid_run,
    switching_schedule,
    undisturbed,
)
from mbmrl_ros.rewards.reward import build_done, build_reward
from mbmrl_ros.sim.disturbances import Disturbance, check, parse
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.spec.tasks import OwnTask


def own_tasks(spec: RobotSpec, robot: str) -> dict[str, Task]:
    """Return the tasks of a robot file by full name; UserError if one cannot be.

    robot: the file's name or path.
    """
    return {
        f'{spec.name}/{name}': _own_task(spec, robot, f'{spec.name}/{name}', section)
        for name, section in spec.tasks.items()
    }


def _own_task(spec: RobotSpec, robot: str, name: str, section: OwnTask) -> Task:
    """Return a task whose disturbances come and go as those of the half-cheetah do."""
    goals = together(
        [interval(name, goal.range, goal.held_out) for name, goal in section.goals.items()]
    )
    build_reward(spec, section.reward, goals.names)
    build_done(spec, section.done)
    usual, held_out = (
        tuple(_disturbance(spec, text) for text in texts)
        for texts in (section.disturbances, section.held_out)
    )
    steps = section.episode_steps
    return Task(
        name=name,
        description=section.description,
        robot=robot,
        reward=section.reward,
        episode_steps=steps,
        disturbances=tuple(dict.fromkeys((*usual, *held_out))),
        training=switching_schedule((None, *usual), max(1, steps // 10), max(1, 2 * steps // 5)),
        tests=_tests(held_out),
        goals=goals,
        done=section.done,
    )


def task_mistakes(spec: RobotSpec) -> Iterator[Mistake]:
    """Yield all that is wrong with the tasks of a robot file, and not only the first."""
    for name, section in spec.tasks.items():
        goals = tuple(section.goals)
        found: list[Mistake] = []
        attempt: Callable[[], object]
        for place, term in enumerate(section.reward):
            attempt = partial(build_reward, spec, (term,), goals)
            found += _objection((name, 'reward', place), attempt)
        if not found:
            attempt = partial(build_reward, spec, section.reward, goals)
            found += _objection((name, 'reward'), attempt)
        for channel in section.done:
            attempt = partial(spec.channel_index, channel)
            found += _objection((name, 'done', channel), attempt)
        for key, texts in (('disturbances', section.disturbances), ('held_out', section.held_out)):
            for place, text in enumerate(texts):
                attempt = partial(_disturbance, spec, text)
                found += _objection((name, key, place), attempt)
        # Those of the simulator, such as mass:torso, are of no term.
        unused = {goal for goal in goals if ':' not in goal} - {t.goal for t in section.reward}
        for goal in sorted(unused):
            found.append(Mistake(('tasks', name), f'no term of the reward is of goal {goal}'))
        if not found:
            attempt = partial(_own_task, spec, spec.name, f'{spec.name}/{name}', section)
            found += _objection((name,), attempt)
        yield from found


def _objection(place: tuple[str | int, ...], attempt: Callable[[], object]) -> list[Mistake]:
    """Return why something cannot be made; nothing if it can."""
    try:
        attempt()
    except UserError as error:
        return [Mistake(('tasks', *place), str(error))]
    return []


def _disturbance(spec: RobotSpec, text: str) -> Disturbance:
    """Return a disturbance that this robot can have; UserError if it can not."""
    disturbance = parse(text, spec)
    check(spec, disturbance)
    return disturbance


def _tests(held_out: tuple[Disturbance, ...]) -> dict[str, TestSchedule]:
    """Return: nothing, each of them from the start, and the first of them in mid-run."""
    tests: dict[str, TestSchedule] = {'undisturbed': undisturbed}
    tests |= {str(disturbance): from_the_start(disturbance) for disturbance in held_out}
    if held_out:
        tests['mid_run'] = mid_run(held_out[0])
    return tests
