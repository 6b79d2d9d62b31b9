# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Everything in which a robot file and its MuJoCo model differ, and not only the first thing."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator

from mbmrl_ros.config import Mistake, UserError, closest
from mbmrl_ros.sim.model_files import (
    joint_kinds,
    joints_of,
    missing_bodies,
    model_path,
    read_description,
    why,
)
from mbmrl_ros.sim.sensors import (
    build_model,
    check_signal,
    mistakes_against,
    readouts_of,
    simulation_of,
)
from mbmrl_ros.sim.wheels import driven_joints, place_in_file
from mbmrl_ros.spec.channels import read_signal
from mbmrl_ros.spec.robot import RobotSpec

MODEL = ('simulation', 'model')


def likely_joints(spec: RobotSpec) -> dict[int, str]:
    """Return what joints of the action that the model has not are probably called, by place.

    Nothing where no name is alike, or the model cannot be read: `model_mistakes` says why.
    """
    try:
        description, _ = read_description(spec, model_path(simulation_of(spec).model))
    except (ValueError, OSError):
        return {}
    free = [joint for joint in joint_kinds(description) if joint not in spec.action.joints]
    missing = {joint for joint in joints_of(spec) if joint not in joint_kinds(description)}
    found = {}
    for place, joint in enumerate(spec.action.joints):
        for meant in difflib.get_close_matches(joint, free, n=1) if joint in missing else ():
            found[place] = meant
            # Joints are unique: two that are misspelt alike are two.
            free.remove(meant)
    return found


def model_mistakes(spec: RobotSpec) -> Iterator[Mistake]:
    """Yield what would keep a simulator from being built.

    Joints, bodies and fields that the model has not are left out for the rest.
    """
    simulation = simulation_of(spec)
    try:
        path = model_path(simulation.model)
        description, _ = read_description(spec, path)
    except UserError as error:
        yield Mistake(MODEL, _bare(spec, error))
        return
    except (ValueError, OSError) as error:
        yield Mistake(MODEL, f'MuJoCo cannot load {simulation.model}: {why(error, path)}')
        return
    missing = [joint for joint in joints_of(spec) if joint not in joint_kinds(description)]
    found = list(_missing_joints(spec, missing, joint_kinds(description)))
    found += missing_bodies(description, spec)
    found += _unknown_signals(spec)
    yield from found
    found += (unplaced := list(_unplaced_topics(spec, [body.name for body in description.bodies])))
    # A topic of another name that has a body is probably the one that has none.
    yield from unplaced if set(simulation.bodies) <= set(spec.topics) else ()
    body = description.bodies[-1].name
    rest = _without(spec, {place for place, _ in found}, body)
    if rest is None:
        return
    try:
        model = build_model(rest)
    except UserError as error:
        yield Mistake(MODEL, _bare(spec, error))
        return
    told = {place for place, _ in found}
    places = {channel.name: place for place, channel in enumerate(spec.state)}
    for place, text in mistakes_against(rest, model):
        if place in told:
            continue
        if place[0] == 'state':
            place = ('state', places[rest.state[int(place[1])].name], *place[2:])
        yield Mistake(place, text)


def _missing_joints(
    spec: RobotSpec, missing: Collection[str], valid: Collection[str]
) -> Iterator[Mistake]:
    for place, joint in enumerate(driven_joints(spec)):
        if joint in missing:
            text = f'the model has no joint {joint!r}; {closest(joint, valid)}'
            yield Mistake(place_in_file(spec, place), text)
    for place, channel in enumerate(spec.state):
        if channel.joint in missing:
            text = (
                f'the model has no joint {channel.joint!r}; {closest(str(channel.joint), valid)}'
            )
            yield Mistake(('state', place, 'joint'), text)


def _unknown_signals(spec: RobotSpec) -> Iterator[Mistake]:
    """Yield the channels that no sensor of MuJoCo gives, wherever their topics are measured."""
    simulation = simulation_of(spec)
    placed = simulation.model_copy(update={'bodies': dict.fromkeys(spec.topics, '')})
    for place, channel in enumerate(spec.state):
        for signal in channel.signals:
            if channel.topic not in spec.topics or signal in readouts_of(simulation):
                continue
            try:
                check_signal(placed, signal)
            except UserError as error:
                yield Mistake(('state', place, 'field'), str(error))
                break


def _unplaced_topics(spec: RobotSpec, bodies: list[str]) -> Iterator[Mistake]:
    """Yield the topics of which nothing says which body of the model they are about, each once."""
    simulation = simulation_of(spec)
    for topic in spec.topics:
        signals = [read_signal(signal) for c in spec.state for signal in c.signals]
        read = [str(s) for s in signals if s.topic == topic and s.joint is None]
        if topic not in simulation.bodies and set(read) - set(readouts_of(simulation)):
            valid = ', '.join(name for name in bodies if name != 'world')
            text = f'it does not say which body {topic} is about; one of: {valid}'
            yield Mistake(('simulation', 'bodies', topic), text)


def _without(spec: RobotSpec, places: set[tuple[str | int, ...]], body: str) -> RobotSpec | None:
    """Return a robot without what the model has not; None if nothing is left to look at.

    body: stands for those that the model has not.
    """
    data = spec.model_dump()
    state = [
        channel
        for place, channel in enumerate(data['state'])
        if channel['topic'] in spec.topics and not _is_in(places, 'state', place)
    ]
    action = data['action']
    lengths = [len(action[name]) for name in ('lower', 'upper', 'rate_limit', 'fallback')]
    kept = [
        place
        for place in range(min(len(action['joints']), *lengths))
        if ('action', 'joints', place) not in places
    ]
    for name in ('joints', 'lower', 'upper', 'rate_limit', 'fallback'):
        action[name] = [action[name][place] for place in kept]
    simulation = data['simulation']
    for place in places:
        if place[:2] == ('simulation', 'bodies'):
            simulation['bodies'][place[2]] = body
    legs = enumerate(simulation['legs'])
    simulation['legs'] = [leg for i, leg in legs if ('simulation', 'legs', i) not in places]
    if not state or not kept or any(place[1:2] == ('wheels',) for place in places):
        return None
    data |= {'state': state, 'action': action, 'simulation': simulation}
    return RobotSpec.model_validate(data, context=[])


def _is_in(places: set[tuple[str | int, ...]], key: str, number: int) -> bool:
    return any(place[:2] == (key, number) for place in places)


def _bare(spec: RobotSpec, error: Exception) -> str:
    return str(error).removeprefix(f'{spec.name}: ')
