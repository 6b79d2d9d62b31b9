# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What `mbmrl init` and `mbmrl check` do: a robot file of a model, and what is wrong with it."""

from __future__ import annotations

import argparse
import copy
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mbmrl_ros.config import Mistake, UserError
from mbmrl_ros.envs.own_tasks import task_mistakes
from mbmrl_ros.robot.message_fields import check_field
from mbmrl_ros.spec.mistakes import Place, line_of, read_leniently
from mbmrl_ros.spec.robot import RobotSpec, read_robot, with_paths
from mbmrl_ros.system.outputs import as_json, write_text

WRONG_INPUT = 2


def check_command(options: argparse.Namespace) -> int:
    """Print every mistake in a line of its own, or a summary; return 2 if there is a mistake."""
    path, data = read_robot(options.file)
    mistakes, spec = _all_mistakes(data, path.parent)
    lines = sorted((_Line(path, mistake) for mistake in mistakes), key=lambda line: line.line)
    if options.json:
        write_text(options.json, as_json(_numbers(path, lines, spec)))
    for line in lines:
        print(line)
    if spec is None:
        print(f'{path}: tasks and model were not looked at: put the above right, and check again')
    if not lines and spec is not None:
        print(_summary(path, spec))
    return WRONG_INPUT if lines else 0


def _all_mistakes(data: dict[str, Any], folder: Path) -> tuple[list[Mistake], RobotSpec | None]:
    """Return all that is wrong with the data of a robot file, and what can be made of it."""
    rest = read_leniently(data)
    if rest.spec is None:
        return rest.mistakes, None
    spec = with_paths(rest.spec, folder)
    beyond = [each for each in _beyond_the_file(spec) if not rest.guessed_at(*each)]
    found = [Mistake(rest.original(place), text) for place, text in beyond]
    meant = {rest.original(place): joint for place, joint in _likely_joints(spec).items()}
    if not meant:
        return rest.mistakes + found, spec
    # Read again by the names that were meant, so that what has them right is not blamed.
    data = copy.deepcopy(data)
    for place, joint in meant.items():
        data['action']['joints'][place[-1]] = joint
    others, _ = _all_mistakes(data, folder)
    misnamed = [each for each in found if each.place in meant]
    return misnamed + [each for each in others if each.place not in meant], spec


def _likely_joints(spec: RobotSpec) -> dict[Place, str]:
    """Return places of joints of the action that the model has not, and what is probably meant."""
    if spec.simulation is None or importlib.util.find_spec('mujoco') is None:
        return {}
    from mbmrl_ros.sim.mistakes import likely_joints

    found = likely_joints(spec)
    return {('action', 'joints', place): joint for place, joint in found.items()}


class _Line:
    """A mistake with the line of the file that it is about."""

    def __init__(self, path: Path, mistake: Mistake) -> None:
        self.place = '.'.join(map(str, mistake.place))
        # Most texts begin with the place, or with what is around it.
        self.text = mistake.text
        for depth in range(len(mistake.place), 0, -1):
            around = '.'.join(map(str, mistake.place[:depth]))
            self.text = self.text.removeprefix(f'{around}: ')
        self.line = line_of(path, mistake.place)
        self._path = path

    def __str__(self) -> str:
        return (
            f'{self._path}:{self.line}: ' + (f'{self.place}: ' if self.place else '') + self.text
        )


def _beyond_the_file(spec: RobotSpec) -> Iterator[Mistake]:
    """Yield what messages, tasks and the MuJoCo model do not know."""
    unknown = list(_unknown_fields(spec))
    yield from unknown
    yield from task_mistakes(spec)
    if spec.simulation is None:
        return
    if importlib.util.find_spec('mujoco') is None:
        yield Mistake(('simulation',), 'the model was not looked at: pip install mujoco')
        return
    from mbmrl_ros.sim.mistakes import model_mistakes

    told = {place for place, _ in unknown}
    yield from (mistake for mistake in model_mistakes(spec) if mistake.place not in told)


def _unknown_fields(spec: RobotSpec) -> Iterator[Mistake]:
    """Yield the channels whose topic has no such field."""
    for place, channel in enumerate(spec.state):
        if channel.topic not in spec.topics:
            continue
        for signal in channel.signals[:1]:
            field = signal.partition(':')[2]
            try:
                check_field(spec.topics[channel.topic].type, field, channel.topic)
            except UserError as error:
                yield Mistake(('state', place, 'field'), str(error))


def _summary(path: Path, spec: RobotSpec) -> str:
    """Return what was understood, for somebody to compare with what was meant."""
    tasks = ', '.join(f'{spec.name}/{name}' for name in spec.tasks) or 'none'
    action = spec.action
    lines = [
        f'{path}: no mistake found',
        f'robot   {spec.name}, {1 / spec.period_s:g} Hz',
        f'state   {spec.state_size} channels: {", ".join(c.name for c in spec.state)}',
        f'action  {spec.action_size}, {action.field} in {action.unit}: {", ".join(action.joints)}',
        *(f'listens {topic} ({settings.type})' for topic, settings in spec.topics.items()),
        f'sends   {action.topic} ({action.type})',
        f'tasks   {tasks}',
        f'model   {spec.simulation.model if spec.simulation else "none: the real robot only"}',
    ]
    lines += [f'doubt   {doubt}' for doubt in spec.doubts]
    if spec.tasks and spec.simulation:
        name, task = next(iter(spec.tasks.items()))
        # A model and its planner are not told of goals.
        train = f'mbmrl train {"promp" if task.goals else "mb"} --robot {path} --task {name}'
        lines.append(f'next    {train} --out runs/{spec.name}')
    return '\n'.join(lines)


def _numbers(path: Path, lines: list[_Line], spec: RobotSpec | None) -> dict[str, Any]:
    """Return the content of --json."""
    mistakes = [{'line': line.line, 'place': line.place, 'text': line.text} for line in lines]
    robot = None
    if spec is not None:
        robot = {
            'name': spec.name,
            'rate_hz': 1 / spec.period_s,
            'state': [channel.name for channel in spec.state],
            'action': list(spec.action.joints),
            'topics': {topic: settings.type for topic, settings in spec.topics.items()},
            'command': {spec.action.topic: spec.action.type},
            'tasks': [f'{spec.name}/{name}' for name in spec.tasks],
            'doubts': list(spec.doubts),
        }
    return {'file': str(path), 'mistakes': mistakes, 'robot': robot}


def init_command(options: argparse.Namespace) -> int:
    """Write a robot file for a model, and check it; return 2 if it has to be completed."""
    from mbmrl_ros.sim.model_files import model_path
    from mbmrl_ros.sim.model_survey import survey
    from mbmrl_ros.sim.scaffold import scaffold

    model = options.model
    path = model_path(model)
    out = options.out or Path(f'{path.stem}.yaml')
    if out.suffix not in ('.yaml', '.yml'):
        raise UserError(f'--out is a robot file, NAME.yaml, got {out}')
    if out.exists():
        raise UserError(f'{out} is there already; remove it, or choose another --out')
    if not model.startswith('gymnasium/'):
        model = os.path.relpath(path, out.parent)
    found = survey(path)
    write_text(out, scaffold(out.stem, model, found))
    print(f'{out}: written; look through it, above all at limits, fallback and tasks')
    for note in found.notes:
        print(f'{out}: {note}')
    return check_command(argparse.Namespace(file=str(out), json=None))
