# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which numbers the messages of a type hold, and what else they say of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.spec.robot import RobotSpec

JOINT_STATE = 'sensor_msgs/msg/JointState'
NUMBER_ARRAY = 'std_msgs/msg/Float64MultiArray'
TRAJECTORY = 'trajectory_msgs/msg/JointTrajectory'
TWIST = 'geometry_msgs/msg/Twist'
STAMPED_TWIST = 'geometry_msgs/msg/TwistStamped'
TRANSFORM = 'geometry_msgs/msg/TransformStamped'
TRANSFORMS = 'tf2_msgs/msg/TFMessage'
JOINT_FIELDS = ('position', 'velocity', 'effort')
# A Float64MultiArray has no header. In lockstep, which goes by stamps, the label of its first
# dimension says when; nobody else writes one, and drivers read the numbers only.
STAMP_LABEL = 'stamp_ns:'
# Whose own stamp does not stand at the begin.
HEADLESS = (NUMBER_ARRAY, TWIST, TRANSFORMS)


def _vector(*paths: str) -> list[str]:
    return [f'{path}.{part}' for path in paths for part in 'xyz']


def _quaternion(path: str) -> list[str]:
    return [f'{path}.{part}' for part in 'wxyz']


NUMBERS = {
    'geometry_msgs/msg/PoseStamped': _vector('pose.position') + _quaternion('pose.orientation'),
    'geometry_msgs/msg/PoseWithCovarianceStamped': _vector('pose.pose.position')
    + _quaternion('pose.pose.orientation'),
    'nav_msgs/msg/Odometry': _vector(
        'pose.pose.position', 'twist.twist.linear', 'twist.twist.angular'
    )
    + _quaternion('pose.pose.orientation'),
    'sensor_msgs/msg/Imu': _vector('angular_velocity', 'linear_acceleration')
    + _quaternion('orientation'),
    TRANSFORM: _vector('transform.translation') + _quaternion('transform.rotation'),
    TWIST: _vector('linear', 'angular'),
    STAMPED_TWIST: _vector('twist.linear', 'twist.angular'),
}
"""The numbers that a message of a type holds, as paths."""

# Where a message says how sure it is of a vector, and how many rows that matrix has.
COVARIANCES: dict[str, dict[str, tuple[str, int]]] = {
    'geometry_msgs/msg/PoseWithCovarianceStamped': {'pose': ('pose.covariance', 6)},
    'nav_msgs/msg/Odometry': {'pose': ('pose.covariance', 6), 'twist': ('twist.covariance', 6)},
    'sensor_msgs/msg/Imu': {
        name: (f'{name}_covariance', 3)
        for name in ('orientation', 'angular_velocity', 'linear_acceleration')
    },
}


def check_field(kind: str, field: str, where: str) -> None:
    """Raise UserError if messages of a type hold no such number."""
    # Each of the transforms has the same.
    numbers = NUMBERS.get(TRANSFORM if kind == TRANSFORMS else kind, [])
    if kind == JOINT_STATE:
        joint_field(field)
    elif kind == NUMBER_ARRAY:
        array_place(field)
    elif field not in numbers:
        raise UserError(f'{where}: {kind} has no number {field!r}; {closest(field, numbers)}')


def check_lockstep(spec: RobotSpec) -> None:
    """Raise UserError if a message of a robot has no place for the stamp that lockstep goes by."""
    kinds = {topic: settings.type for topic, settings in spec.topics.items()}
    for topic, kind in (kinds | {spec.action.topic: spec.action.type}).items():
        if kind == TWIST:
            raise UserError(
                f'{spec.name}: lockstep goes by stamps, and {topic} is a {TWIST}, which has none; '
                f'use {STAMPED_TWIST}, or no lockstep'
            )


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


def variances(kind: str, field: str) -> Iterator[tuple[str, int, str]]:
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


def wrong_frame(frame: str, wanted: str) -> str:
    """Return what is wrong with the frame of a message; nothing where any will do.

    A slash at the begin, as in ROS 1, does not matter.
    """
    came = frame.removeprefix('/')
    return f'frame is {came!r} instead of {wanted!r}' if wanted and came != wanted else ''


def stamp_ns(stamp: Any) -> int:
    """Return a ROS stamp in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def message_stamp_ns(message: Any) -> int | None:
    """Return the stamp of a message [ns], of an array that of its label; None if it has none.

    Of transforms: that of the first one.
    """
    if hasattr(message, 'transforms'):
        return message_stamp_ns(message.transforms[0]) if message.transforms else None
    if hasattr(message, 'header'):
        return stamp_ns(message.header.stamp)
    if not hasattr(message, 'layout'):
        return None
    label = message.layout.dim[0].label if message.layout.dim else ''
    digits = label.removeprefix(STAMP_LABEL)
    return int(digits) if digits != label and digits.isdecimal() and len(digits) < 20 else None


def message_stamp_s(message: Any, arrived_s: float) -> float:
    """Return the stamp of a message [s]; its arrival if it has none."""
    nanoseconds = message_stamp_ns(message)
    return arrived_s if nanoseconds is None else nanoseconds / 1e9
