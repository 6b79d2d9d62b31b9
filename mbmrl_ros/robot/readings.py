# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages to readings and commands: names and fields as the robot file says.

Messages are anything with the fields of the standard type, be it from rclpy or from a bag, so
that what is recorded is read by what drives the robot. Whatever a message holds, reading it
raises nothing: the answer is a value, or the reason why there is none.
"""

from __future__ import annotations

import functools
import math
import operator
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from mbmrl_ros.robot.joint_parts import JointParts
from mbmrl_ros.robot.message_fields import (
    JOINT_STATE,
    NUMBER_ARRAY,
    TRANSFORM,
    TRANSFORMS,
    array_place,
    check_field,
    joint_field,
    message_stamp_s,
    stamp_ns,
    variances,
    wrong_frame,
)
from mbmrl_ros.spec.channels import TRAJECTORY_FIELDS, TWIST_PARTS
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array, Reading


class Read(Protocol):
    """What turns the messages of one topic into readings."""

    def __call__(
        self, message: Any, received_s: float, arrived_s: float = math.nan
    ) -> Reading | str | None:
        """Return a reading, why there is none, or None if the rest of it is still to come.

        received_s: arrival on the steady clock [s]. arrived_s: arrival on the clock of the stamps
        [s], which dates messages that have no stamp of their own.
        """


def sensor_reader(spec: RobotSpec, topic: str) -> Read:
    """Return what turns the messages of a sensor topic into readings.

    UserError if the message type has no such field.
    """
    fields = [signal.split(':', 1)[1] for signal in spec.topic_signals(topic)]
    kind = spec.topics[topic].type
    if kind == JOINT_STATE:
        wanted = [joint_field(field) for field in fields]
        return JointParts(topic, wanted, spec.topics[topic].timeout_s, _joint_reader)
    if kind == NUMBER_ARRAY:
        return _array_reader(topic, [array_place(field) for field in fields])
    return (
        _transform_reader(spec, topic, fields)
        if kind == TRANSFORMS
        else _reader(spec, topic, fields)
    )


def _reader(spec: RobotSpec, topic: str, fields: list[str]) -> Read:
    settings = spec.topics[topic]
    kind = TRANSFORM if settings.type == TRANSFORMS else settings.type
    for field in fields:
        check_field(kind, field, f'{spec.name}: {topic}')
    getters = [operator.attrgetter(field) for field in fields]
    unsure = dict.fromkeys(place for field in fields for place in variances(kind, field))
    checks = [(operator.attrgetter(path), place, name) for path, place, name in unsure]

    def read(message: Any, received_s: float, arrived_s: float = math.nan) -> Reading | str:
        for covariance, place, name in checks:
            if covariance(message)[place] < 0:
                return f'{topic}: {name} is not measured, its covariance says'
        if settings.frame and (why := wrong_frame(message.header.frame_id, settings.frame)):
            return f'{topic}: {why}'
        child = settings.child_frame
        if child and (why := wrong_frame(message.child_frame_id, child)):
            return f'{topic}: child {why}'
        values = tuple(getter(message) for getter in getters)
        return Reading(topic, message_stamp_s(message, arrived_s), received_s, values)

    return read


def _transform_reader(spec: RobotSpec, topic: str, fields: list[str]) -> Read:
    """Read the one transform of the robot file's frames; those of others are no fault."""
    child, read_one = spec.topics[topic].child_frame, _reader(spec, topic, fields)

    def read(message: Any, received_s: float, arrived_s: float = math.nan) -> Reading | str | None:
        found: Reading | str | None = None
        for transform in message.transforms:
            if not wrong_frame(transform.child_frame_id, child):
                found = read_one(transform, received_s, arrived_s)
                if isinstance(found, Reading):
                    return found
        return found

    return read


def places_of(names: Sequence[str]) -> dict[str, int]:
    """Return the place of every name."""
    return {name: place for place, name in enumerate(names)}


def named_twice(source: str, names: Sequence[str], joints: Iterable[str]) -> str:
    """Return which joint has several values, of which nobody knows the right one.

    Others than `joints` do not matter: drivers leave names empty that they have no use for.
    """
    if len(set(names)) == len(names):
        return ''
    counts = Counter(names)
    for joint in joints:
        if counts[joint] > 1:
            return f'{source}: joint {joint!r} is named {counts[joint]} times'
    return ''


def _joint_reader(topic: str, wanted: list[tuple[str, str]]) -> Read:
    joints = dict.fromkeys(joint for _, joint in wanted)
    kinds = dict.fromkeys(kind for kind, _ in wanted)

    @functools.lru_cache(maxsize=8)
    def places(names: tuple[str, ...]) -> dict[str, int] | str:
        for joint in joints:
            if joint not in names:
                return f'{topic}: no joint {joint!r} (there are: {", ".join(names[:20])})'
        return named_twice(topic, names, joints) or places_of(names)

    def read(message: Any, received_s: float, arrived_s: float = math.nan) -> Reading | str:
        place = places(tuple(message.name))
        if isinstance(place, str):
            return place
        arrays = {kind: getattr(message, kind) for kind in kinds}
        for kind, joint in wanted:
            if len(arrays[kind]) != len(message.name):
                return (
                    f'{topic}: no {kind} of joint {joint!r} '
                    f'({len(arrays[kind])} values for {len(message.name)} names)'
                )
        values = tuple(float(arrays[kind][place[joint]]) for kind, joint in wanted)
        return Reading(topic, stamp_ns(message.header.stamp) / 1e9, received_s, values)

    return read


def _array_reader(topic: str, places: list[int]) -> Read:
    needed = max(places, default=-1) + 1

    def read(message: Any, received_s: float, arrived_s: float = math.nan) -> Reading | str:
        if len(message.data) < needed:
            return f'{topic}: {len(message.data)} values, place {needed - 1} is wanted'
        values = tuple(float(message.data[place]) for place in places)
        return Reading(topic, message_stamp_s(message, arrived_s), received_s, values)

    return read


def command_types(spec: RobotSpec) -> tuple[str, ...]:
    """Return which messages can be read as commands of a robot, whatever it takes itself.

    A simulator says what it applied as a JointState.
    """
    return tuple(dict.fromkeys((JOINT_STATE, NUMBER_ARRAY, spec.action.type)))


def read_command(spec: RobotSpec, message: Any) -> Array | str:
    """Return the command [A] in units that a message holds, or why there is none.

    Joints by name where the message has names, parts of a twist by theirs, numbers by their order.
    """
    action = spec.action
    if hasattr(message, 'data'):
        values = list(message.data)
        if len(values) != spec.action_size:
            return f'command has {len(values)} values instead of {spec.action_size}'
    else:
        found = _named_values(spec, message)
        if isinstance(found, str):
            return found
        values = found
    for joint, value in zip(action.joints, values):
        if not math.isfinite(value):
            return f'command of joint {joint!r} is not finite'
    return np.array(values, np.float64)


def _named_values(spec: RobotSpec, message: Any) -> list[float] | str:
    """Return the values of the action's joints, or why there are none."""
    action = spec.action
    # The frame of a JointState means nothing.
    framed = hasattr(message, 'header') and not hasattr(message, 'name')
    if framed and (why := wrong_frame(message.header.frame_id, action.frame)):
        return f'command: {why}'
    if hasattr(message, 'linear') or hasattr(message, 'twist'):
        return _twist_values(action.joints, getattr(message, 'twist', message))
    if hasattr(message, 'points'):
        if len(message.points) != 1:
            return f'command is a trajectory of {len(message.points)} points instead of 1'
        field = TRAJECTORY_FIELDS[action.field]
        names, given = message.joint_names, getattr(message.points[0], field)
    else:
        field = f'{action.field}s'
        names, given = message.name, getattr(message, action.field)
    twice = named_twice('command', names, action.joints)
    if twice:
        return twice
    known = places_of(names)
    for joint in action.joints:
        if joint not in known:
            return f'command has no joint {joint!r}'
        if len(given) != len(names):
            return f'command has {len(given)} {field} for {len(names)} names'
    return [given[known[joint]] for joint in action.joints]


def _twist_values(parts: Sequence[str], twist: Any) -> list[float] | str:
    for part in TWIST_PARTS:
        # What the robot cannot do must not be taken for done; not a number is not zero either.
        if part not in parts and (value := operator.attrgetter(part)(twist)) != 0.0:
            return f'command has {part} {value:g}, which the robot has not'
    return [operator.attrgetter(part)(twist) for part in parts]
