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
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.robot.joint_parts import JointParts
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array, Reading

JOINT_STATE = 'sensor_msgs/msg/JointState'
NUMBER_ARRAY = 'std_msgs/msg/Float64MultiArray'
JOINT_FIELDS = ('position', 'velocity', 'effort')
# A Float64MultiArray has no header. In lockstep, which goes by stamps, the label of its first
# dimension says when; nobody else writes one, and drivers read the numbers only.
STAMP_LABEL = 'stamp_ns:'


def _vector(*paths: str) -> list[str]:
    return [f'{path}.{part}' for path in paths for part in 'xyz']


def _quaternion(path: str) -> list[str]:
    return [f'{path}.{part}' for part in 'wxyz']


NUMBERS = {
    'geometry_msgs/msg/PoseStamped': _vector('pose.position') + _quaternion('pose.orientation'),
    'nav_msgs/msg/Odometry': _vector(
        'pose.pose.position', 'twist.twist.linear', 'twist.twist.angular'
    )
    + _quaternion('pose.pose.orientation'),
    'sensor_msgs/msg/Imu': _vector('angular_velocity', 'linear_acceleration')
    + _quaternion('orientation'),
}
"""The numbers that a message of a type holds, as paths."""

# Where a message says how sure it is of a vector, and how many rows that matrix has.
COVARIANCES: dict[str, dict[str, tuple[str, int]]] = {
    'nav_msgs/msg/Odometry': {'pose': ('pose.covariance', 6), 'twist': ('twist.covariance', 6)},
    'sensor_msgs/msg/Imu': {
        name: (f'{name}_covariance', 3)
        for name in ('orientation', 'angular_velocity', 'linear_acceleration')
    },
}


class Read(Protocol):
    """What turns the messages of one topic into readings."""

    def __call__(
        self, message: Any, received_s: float, arrived_s: float = math.nan
    ) -> Reading | str | None:
        """Return a reading, why there is none, or None if the rest of it is still to come.

        received_s: arrival on the steady clock [s]. arrived_s: arrival on the clock of the stamps
        [s], which dates messages that have no stamp of their own.
        """


def stamp_ns(stamp: Any) -> int:
    """Return a ROS stamp in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


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
    for field in fields:
        check_field(kind, field, f'{spec.name}: {topic}')
    getters = [operator.attrgetter(field) for field in fields]
    variances = dict.fromkeys(place for field in fields for place in _variances(kind, field))
    checks = [(operator.attrgetter(path), place, name) for path, place, name in variances]

    def read(message: Any, received_s: float, arrived_s: float = math.nan) -> Reading | str:
        for covariance, place, name in checks:
            if covariance(message)[place] < 0:
                return f'{topic}: {name} is not measured, its covariance says'
        values = tuple(getter(message) for getter in getters)
        return Reading(topic, stamp_ns(message.header.stamp) / 1e9, received_s, values)

    return read


def check_field(kind: str, field: str, where: str) -> None:
    """Raise UserError if messages of a type hold no such number; joints are `joint_field`'s."""
    if kind == JOINT_STATE:
        joint_field(field)
    elif kind == NUMBER_ARRAY:
        array_place(field)
    elif field not in NUMBERS[kind]:
        raise UserError(
            f'{where}: {kind} has no number {field!r}; {closest(field, NUMBERS[kind])}'
        )


def _variances(kind: str, field: str) -> Iterator[tuple[str, int, str]]:
    """Yield covariance, place, and what was not measured if the number there is negative.

    By convention (REP-145) the first one is -1 where the whole vector was not measured. No
    variance is negative, so one on the diagonal says the same of a single number.
    """
    for vector, (path, rows) in COVARIANCES.get(kind, {}).items():
        if not field.startswith(f'{vector}.'):
            continue
        yield path, 0, vector
        *_, group, part = field.split('.')
        if group != 'orientation':
            row = 'xyz'.index(part) + (3 if group == 'angular' else 0)
            yield path, row * (rows + 1), field if row else vector


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


def joint_field(field: str) -> tuple[str, str]:
    """Return which array and which joint `position[name]` means; UserError if there is none."""
    # The first bracket is that of the field; a joint may have any in its name.
    kind, _, joint = field.removesuffix(']').partition('[')
    if kind not in JOINT_FIELDS:
        raise UserError(f'{field}: a joint has no such field; {closest(kind, JOINT_FIELDS)}')
    return kind, joint


def array_place(field: str) -> int:
    """Return which place `data.N` means; UserError if it is none."""
    name, _, place = field.partition('.')
    if name != 'data' or not place.isdecimal():
        raise UserError(f'{field}: an array of numbers has data.0, data.1, ...')
    return int(place)


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


def message_stamp_ns(message: Any) -> int | None:
    """Return the stamp of a message [ns], of an array that of its label; None if it has none."""
    if hasattr(message, 'header'):
        return stamp_ns(message.header.stamp)
    label = message.layout.dim[0].label if message.layout.dim else ''
    digits = label.removeprefix(STAMP_LABEL)
    return int(digits) if digits != label and digits.isdecimal() and len(digits) < 20 else None


def message_stamp_s(message: Any, arrived_s: float) -> float:
    """Return the stamp of a message [s]; its arrival if it has none."""
    nanoseconds = message_stamp_ns(message)
    return arrived_s if nanoseconds is None else nanoseconds / 1e9


def read_command(spec: RobotSpec, message: Any) -> Array | str:
    """Return the command [A] in units that a message holds, or why there is none.

    Joints by name where the message has names (JointState), by their order where not.
    """
    action = spec.action
    if not hasattr(message, 'name'):
        values = np.array(message.data, np.float64)
        if len(values) != spec.action_size:
            return f'command has {len(values)} values instead of {spec.action_size}'
    else:
        known = places_of(message.name)
        twice = named_twice('command', message.name, action.joints)
        if twice:
            return twice
        given = getattr(message, action.field)
        for joint in action.joints:
            if joint not in known:
                return f'command has no joint {joint!r}'
            if len(given) != len(message.name):
                return f'command has {len(given)} {action.field}s for {len(message.name)} names'
        values = np.array([given[known[joint]] for joint in action.joints], np.float64)
    for joint, value in zip(action.joints, values):
        if not np.isfinite(value):
            return f'command of joint {joint!r} is not finite'
    return values
