# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ROS messages to readings and commands, and back: names and fields as the robot file says.

Whatever a message holds, reading it raises nothing: the answer is a value, or the reason why there
is none.
"""

from __future__ import annotations

import functools
import operator
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.spec import RobotSpec
from mbmrl_ros.types import Array, Reading

MESSAGES: dict[str, Any] = {
    'nav_msgs/msg/Odometry': Odometry,
    'sensor_msgs/msg/JointState': JointState,
    'geometry_msgs/msg/PoseStamped': PoseStamped,
    'std_msgs/msg/Float64MultiArray': Float64MultiArray,
}
JOINT_FIELDS = ('position', 'velocity', 'effort')
FRAME = 'odom'

Read = Callable[[Any, float], Reading | str]
"""(message, arrival on the steady clock [s]) -> reading, or why there is none."""


def stamp_ns(stamp: Time) -> int:
    """Return a ROS stamp in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def to_stamp(nanoseconds: int) -> Time:
    """Return nanoseconds as a ROS stamp."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=seconds, nanosec=rest)


def to_nanoseconds(stamp_s: float) -> int:
    """Return seconds as nanoseconds; exact for stamps below a hundred days."""
    return round(stamp_s * 1e9)


def sensor_reader(spec: RobotSpec, topic: str) -> Read:
    """Return what turns the messages of a sensor topic into readings.

    UserError if the message type has no such field.
    """
    fields = [signal.split(':', 1)[1] for signal in spec.topic_signals(topic)]
    kind = spec.topics[topic].type
    if kind == 'sensor_msgs/msg/JointState':
        return _joint_reader(topic, [_joint_field(field) for field in fields])
    getters = [operator.attrgetter(field) for field in fields]
    for field, getter in zip(fields, getters):
        if not _is_number(getter, MESSAGES[kind]()):
            raise UserError(f'{spec.name}: {kind} has no number {field!r} (topic {topic})')

    def read(message: Any, received_s: float) -> Reading | str:
        values = tuple(getter(message) for getter in getters)
        return Reading(topic, stamp_ns(message.header.stamp) / 1e9, received_s, values)

    return read


def _is_number(getter: Callable[[Any], Any], blank: Any) -> bool:
    try:
        return isinstance(getter(blank), float)
    except AttributeError:
        return False


def _joint_field(field: str) -> tuple[str, str]:
    kind, joint = field.removesuffix(']').split('[')
    if kind not in JOINT_FIELDS:
        raise UserError(f'{field}: a joint has no such field; {closest(kind, JOINT_FIELDS)}')
    return kind, joint


def _joint_reader(topic: str, wanted: list[tuple[str, str]]) -> Read:
    joints = dict.fromkeys(joint for _, joint in wanted)
    kinds = dict.fromkeys(kind for kind, _ in wanted)

    @functools.lru_cache(maxsize=8)
    def places(names: tuple[str, ...]) -> dict[str, int] | str:
        known = {name: place for place, name in enumerate(names)}
        for joint in joints:
            if joint not in known:
                return f'{topic}: no joint {joint!r} (there are: {", ".join(names[:20])})'
        return known

    def read(message: JointState, received_s: float) -> Reading | str:
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
        values = tuple(arrays[kind][place[joint]] for kind, joint in wanted)
        return Reading(topic, stamp_ns(message.header.stamp) / 1e9, received_s, values)

    return read


def sensor_writer(spec: RobotSpec, topic: str) -> Callable[[Array, int], Any]:
    """Return what turns (signals [R], stamp [ns]) into the message of one sensor topic."""
    order = {signal: i for i, signal in enumerate(spec.signals)}
    fields = [(signal.split(':', 1)[1], order[signal]) for signal in spec.topic_signals(topic)]
    kind = spec.topics[topic].type
    if kind == 'sensor_msgs/msg/JointState':
        return _joint_writer(fields)
    child = spec.simulation.bodies.get(topic, '') if spec.simulation else ''

    def write(signals: Array, nanoseconds: int) -> Any:
        message = MESSAGES[kind]()
        message.header.stamp = to_stamp(nanoseconds)
        message.header.frame_id = FRAME
        if kind == 'nav_msgs/msg/Odometry':
            message.child_frame_id = child
        for path, column in fields:
            parent, _, leaf = path.rpartition('.')
            setattr(operator.attrgetter(parent)(message), leaf, float(signals[column]))
        return message

    return write


def _joint_writer(fields: list[tuple[str, int]]) -> Callable[[Array, int], JointState]:
    entries = [(*_joint_field(path), column) for path, column in fields]
    joints = list(dict.fromkeys(joint for _, joint, _ in entries))
    # Column of every joint in every array; -1 where the robot file has no such signal.
    columns = {
        kind: [next((c for k, j, c in entries if (k, j) == (kind, joint)), -1) for joint in joints]
        for kind in dict.fromkeys(kind for kind, _, _ in entries)
    }

    def write(signals: Array, nanoseconds: int) -> JointState:
        padded = np.append(signals, np.nan)
        message = JointState(name=list(joints))
        message.header.stamp = to_stamp(nanoseconds)
        for kind, places in columns.items():
            setattr(message, kind, array('d', padded[places]))
        return message

    return write


def command_message(spec: RobotSpec, values: Array, nanoseconds: int) -> Any:
    """Return a command [A] in units as the message of the robot file."""
    if spec.action.type == 'std_msgs/msg/Float64MultiArray':
        return Float64MultiArray(data=array('d', values))
    return named_command(spec, values, nanoseconds)


def named_command(spec: RobotSpec, values: Array, nanoseconds: int) -> JointState:
    """Return a command [A] in units as a JointState, whatever the robot itself takes."""
    message = JointState(name=list(spec.action.joints))
    message.header.stamp = to_stamp(nanoseconds)
    setattr(message, spec.action.field, array('d', values))
    return message


def read_command(spec: RobotSpec, message: Any) -> Array | str:
    """Return the command [A] in units that a message holds, or why there is none."""
    action = spec.action
    if action.type == 'std_msgs/msg/Float64MultiArray':
        values = np.array(message.data, np.float64)
        if len(values) != spec.action_size:
            return f'command has {len(values)} values instead of {spec.action_size}'
    else:
        known = {name: place for place, name in enumerate(message.name)}
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


def command_stamp_ns(spec: RobotSpec, message: Any) -> int | None:
    """Return the stamp of a command [ns], None where its type has none."""
    if spec.action.type == 'std_msgs/msg/Float64MultiArray':
        return None
    return stamp_ns(message.header.stamp)
