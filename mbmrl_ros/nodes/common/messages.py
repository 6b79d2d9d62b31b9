# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Readings and commands to ROS messages: names and fields as the robot file says.

The way back, which needs no ROS, is robot/readings.py.
"""

from __future__ import annotations

import importlib
import operator
from array import array
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import (
    PoseStamped,
    PoseWithCovarianceStamped,
    TransformStamped,
    Twist,
    TwistStamped,
)
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float64MultiArray, MultiArrayDimension
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from mbmrl_ros.config import UserError
from mbmrl_ros.robot.message_fields import (
    JOINT_STATE,
    NUMBER_ARRAY,
    STAMP_LABEL,
    STAMPED_TWIST,
    TRAJECTORY,
    TRANSFORM,
    TRANSFORMS,
    TWIST,
    array_place,
    joint_field,
)
from mbmrl_ros.robot.message_fields import (
    stamp_ns as stamp_ns,
)
from mbmrl_ros.spec.channels import TRAJECTORY_FIELDS
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array


class _Messages(dict[str, Any]):
    def __missing__(self, kind: str) -> Any:
        """Return the class of transforms, which has no wheel; UserError if it is not installed."""
        package = kind.partition('/')[0]
        try:
            return getattr(importlib.import_module(f'{package}.msg'), kind.rpartition('/')[2])
        except ImportError as error:
            raise UserError(
                f'{kind} needs the ROS package {package}, which is of a ROS installation: '
                f'apt install ros-$ROS_DISTRO-{package.replace("_", "-")}, and source its setup'
            ) from error


MESSAGES = _Messages(
    {
        'nav_msgs/msg/Odometry': Odometry,
        'sensor_msgs/msg/JointState': JointState,
        'geometry_msgs/msg/PoseStamped': PoseStamped,
        'sensor_msgs/msg/Imu': Imu,
        'std_msgs/msg/Float64MultiArray': Float64MultiArray,
        'geometry_msgs/msg/PoseWithCovarianceStamped': PoseWithCovarianceStamped,
        TRANSFORM: TransformStamped,
        TWIST: Twist,
        STAMPED_TWIST: TwistStamped,
        TRAJECTORY: JointTrajectory,
    }
)
"""The classes of all messages that a robot file may name."""


def to_stamp(nanoseconds: int) -> Time:
    """Return nanoseconds as a ROS stamp."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=seconds, nanosec=rest)


def to_nanoseconds(stamp_s: float) -> int:
    """Return seconds as nanoseconds; exact for stamps below a hundred days."""
    return round(stamp_s * 1e9)


def sensor_writer(spec: RobotSpec, topic: str, label: bool = False) -> Callable[[Array, int], Any]:
    """Return what turns (signals [R], stamp [ns]) into the message of one sensor topic.

    label: write the stamp of an array into its label, for lockstep.
    """
    order = {signal: i for i, signal in enumerate(spec.signals)}
    fields = [(signal.split(':', 1)[1], order[signal]) for signal in spec.topic_signals(topic)]
    kind = spec.topics[topic].type
    if kind == JOINT_STATE:
        return _joint_writer(fields)
    if kind == NUMBER_ARRAY:
        return _array_writer(fields, label)
    settings = spec.topics[topic]
    body = spec.simulation.bodies.get(topic, '') if spec.simulation else ''
    make = MESSAGES[TRANSFORM if kind == TRANSFORMS else kind]
    wrap = MESSAGES[TRANSFORMS] if kind == TRANSFORMS else None

    def write(signals: Array, nanoseconds: int) -> Any:
        message = make()
        if kind != TWIST:
            message.header.stamp = to_stamp(nanoseconds)
            message.header.frame_id = settings.frame or spec.frame
        if hasattr(message, 'child_frame_id'):
            message.child_frame_id = settings.child_frame or body
        if kind == 'sensor_msgs/msg/Imu':
            for vector in ('orientation', 'linear_acceleration'):
                # REP-145: what is not measured says so.
                if not any(path.startswith(vector) for path, _ in fields):
                    getattr(message, f'{vector}_covariance')[0] = -1.0
        for path, column in fields:
            parent, _, leaf = path.rpartition('.')
            setattr(operator.attrgetter(parent)(message), leaf, float(signals[column]))
        return message if wrap is None else wrap(transforms=[message])

    return write


def _joint_writer(fields: list[tuple[str, int]]) -> Callable[[Array, int], JointState]:
    entries = [(*joint_field(path), column) for path, column in fields]
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


def _array_writer(
    fields: list[tuple[str, int]], label: bool
) -> Callable[[Array, int], Float64MultiArray]:
    columns = {array_place(path): column for path, column in fields}

    def write(signals: Array, nanoseconds: int) -> Float64MultiArray:
        padded = np.append(signals, np.nan)
        places = [columns.get(place, -1) for place in range(max(columns) + 1)]
        return _number_array(padded[places], nanoseconds if label else None)

    return write


def labelled_numbers(numbers: Mapping[str, float]) -> Float64MultiArray:
    """Return one row of numbers, whose dimensions are labelled by their names."""
    message = Float64MultiArray(data=array('d', numbers.values()))
    message.layout.dim = [MultiArrayDimension(label=name, size=1, stride=1) for name in numbers]
    return message


def _number_array(values: Array, nanoseconds: int | None) -> Float64MultiArray:
    message = Float64MultiArray(data=array('d', values))
    if nanoseconds is not None:
        size = len(values)
        label = f'{STAMP_LABEL}{nanoseconds}'
        message.layout.dim = [MultiArrayDimension(label=label, size=size, stride=size)]
    return message


def command_message(spec: RobotSpec, values: Array, nanoseconds: int, label: bool = False) -> Any:
    """Return a command [A] in units as the message of the robot file.

    label: write the stamp of an array into its label, for lockstep.
    """
    if spec.action.type == NUMBER_ARRAY:
        return _number_array(values, nanoseconds if label else None)
    if spec.action.type == JOINT_STATE:
        return named_command(spec, values, nanoseconds)
    message = MESSAGES[spec.action.type]()
    if spec.action.type != TWIST:
        message.header.stamp = to_stamp(nanoseconds)
        message.header.frame_id = spec.action.frame
    if spec.action.type == TRAJECTORY:
        message.joint_names = list(spec.action.joints)
        # To be there when the next command comes.
        point = JointTrajectoryPoint(time_from_start=_duration(spec.period_s))
        setattr(point, TRAJECTORY_FIELDS[spec.action.field], array('d', values))
        message.points = [point]
        return message
    twist = message if spec.action.type == TWIST else message.twist
    for part, value in zip(spec.action.joints, values):
        group, _, axis = part.partition('.')
        setattr(getattr(twist, group), axis, float(value))
    return message


def _duration(seconds: float) -> Duration:
    whole, rest = divmod(to_nanoseconds(seconds), 1_000_000_000)
    return Duration(sec=whole, nanosec=rest)


def named_command(spec: RobotSpec, values: Array, nanoseconds: int) -> JointState:
    """Return a command [A] in units as a JointState, whatever the robot itself takes."""
    message = JointState(name=list(spec.action.joints))
    message.header.stamp = to_stamp(nanoseconds)
    setattr(message, spec.action.field, array('d', values))
    return message
