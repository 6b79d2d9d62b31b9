# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Readers and writers of every message type, as messages of rclpy and as those of a bag."""

import math
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped, Twist, TwistStamped
from pydantic import ValidationError
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from mbmrl_ros.config import UserError
from mbmrl_ros.data.bags import decode
from mbmrl_ros.data.contents import STORE
from mbmrl_ros.nodes.common.messages import MESSAGES, command_message, sensor_writer
from mbmrl_ros.robot.message_fields import (
    NUMBERS,
    TRANSFORM,
    TRANSFORMS,
    check_lockstep,
    message_stamp_ns,
)
from mbmrl_ros.robot.readings import command_types, read_command, sensor_reader
from mbmrl_ros.spec.channels import COMMAND_TYPES, SENSOR_TYPES
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Reading

PAGE = (Path(__file__).parents[2] / 'docs' / 'robots' / 'messages.md').read_text()
STAMP_NS = 12_345_678_901_234_567
BODY_TYPES = [kind for kind in get_args(SENSOR_TYPES) if kind in NUMBERS]
PARTS = ['linear.x', 'angular.z']
ODOM = {'frame': 'odom', 'child_frame': 'base'}


def robot(sensor: dict[str, Any], fields: list[str], **action: Any) -> RobotSpec:
    """Return a robot with one sensor topic and channels of these fields."""
    state = [
        {'name': f'c{i}', 'topic': 'sensor', 'field': f, 'unit': '1'} for i, f in enumerate(fields)
    ]
    command = {
        'topic': 'command', 'type': 'geometry_msgs/msg/Twist', 'field': 'velocity', 'unit': '1',
        'joints': PARTS, 'lower': [-1, -2], 'upper': [1, 2], 'rate_limit': [9, 9],
        'fallback': [0, 0], 'timeout_s': 0.2,
    }  # fmt: skip
    return RobotSpec.model_validate({
        'name': 'base', 'period_s': 0.1, 'topics': {'sensor': {'timeout_s': 0.3} | sensor},
        'state': state, 'action': command | action, 'safety': {'decay_s': 0.1},
    })  # fmt: skip


def as_in_a_bag(message: Any, kind: str) -> Any:
    return decode(bytes(serialize_message(message)), kind)


@pytest.mark.parametrize('kind', BODY_TYPES)
def test_every_number_of_a_sensor_comes_back_exactly_from_the_wire_and_from_a_bag(kind):
    spec = robot({'type': kind}, NUMBERS[kind])
    signals = np.random.default_rng(0).normal(size=len(spec.signals))
    message = sensor_writer(spec, 'sensor')(signals, STAMP_NS)
    assert isinstance(message, MESSAGES[kind])
    read = sensor_reader(spec, 'sensor')
    for each in (message, as_in_a_bag(message, kind)):
        reading = read(each, 7.5, 3.0)
        assert reading.values == tuple(signals) and reading.received_s == 7.5
        # What has no stamp is dated by its arrival.
        assert reading.stamp_s == (3.0 if kind.endswith('/Twist') else STAMP_NS / 1e9)


@pytest.mark.parametrize('kind', get_args(COMMAND_TYPES))
@pytest.mark.parametrize('field', ['position', 'velocity', 'effort'])
def test_a_command_comes_back_exactly_from_the_wire_and_from_a_bag(kind, field):
    if 'Twist' in kind and field != 'velocity':
        return
    spec = robot({'type': 'geometry_msgs/msg/Twist'}, ['linear.x'], type=kind, field=field)
    values = np.array([1 / 3, -1e-300])
    message = command_message(spec, values, STAMP_NS, label=True)
    assert isinstance(message, MESSAGES[kind]) and kind in command_types(spec)
    for each in (message, as_in_a_bag(message, kind)):
        assert read_command(spec, each).tolist() == values.tolist()
        assert message_stamp_ns(each) == (None if kind.endswith('/Twist') else STAMP_NS)


def trajectory(points: int = 1, names: list[str] = PARTS, **arrays: list[float]) -> Any:
    point = JointTrajectoryPoint(**arrays)
    return JointTrajectory(joint_names=names, points=[point] * points)


@pytest.mark.parametrize(
    ('message', 'said'),
    [
        (trajectory(0, velocities=[1.0, 2.0]), 'a trajectory of 0 points instead of 1'),
        (trajectory(3, velocities=[1.0, 2.0]), 'a trajectory of 3 points instead of 1'),
        (trajectory(positions=[1.0, 2.0]), 'command has 0 velocities for 2 names'),
        (trajectory(velocities=[1.0, 2.0, 3.0]), 'command has 3 velocities for 2 names'),
        (trajectory(names=['linear.x', 'b'], velocities=[1.0, 2.0]), "no joint 'angular.z'"),
        (trajectory(names=[*PARTS, 'linear.x'], velocities=[1.0] * 3), 'is named 2 times'),
        (trajectory(velocities=[1.0, math.nan]), "joint 'angular.z' is not finite"),
    ],
)
def test_a_trajectory_that_is_no_command_is_refused_in_one_line(message, said):
    kind = 'trajectory_msgs/msg/JointTrajectory'
    spec = robot({'type': 'geometry_msgs/msg/Twist'}, ['linear.x'], type=kind)
    for each in (message, as_in_a_bag(message, kind)):
        reason = read_command(spec, each)
        assert isinstance(reason, str) and said in reason and '\n' not in reason


def twist(**parts: float) -> Twist:
    message = Twist()
    for part, value in parts.items():
        group, axis = part.split('_')
        setattr(getattr(message, group), axis, value)
    return message


@pytest.mark.parametrize(
    ('message', 'said'),
    [
        (twist(linear_x=math.nan), "joint 'linear.x' is not finite"),
        (twist(angular_z=math.inf), "joint 'angular.z' is not finite"),
        (twist(linear_y=0.5), 'command has linear.y 0.5, which the robot has not'),
        (twist(angular_x=math.nan), 'command has angular.x nan, which the robot has not'),
    ],
)
def test_a_twist_that_the_robot_cannot_follow_is_refused(message, said):
    spec = robot({'type': 'geometry_msgs/msg/Twist'}, ['linear.x'])
    assert said in read_command(spec, message)
    stamped = robot(
        {'type': 'geometry_msgs/msg/Twist'}, ['linear.x'], type='geometry_msgs/msg/TwistStamped'
    )
    assert said in read_command(stamped, TwistStamped(twist=message))


def test_a_command_of_another_frame_is_refused_and_ours_says_its_own():
    spec = robot({'type': 'geometry_msgs/msg/Twist'}, ['linear.x'],
                 type='geometry_msgs/msg/TwistStamped', frame='base')  # fmt: skip
    message = command_message(spec, np.array([0.5, 1.0]), STAMP_NS)
    assert message.header.frame_id == 'base'
    assert read_command(spec, message).tolist() == [0.5, 1.0]
    message.header.frame_id = 'map'
    assert read_command(spec, message) == "command: frame is 'map' instead of 'base'"
    # What a simulator says that it applied is a JointState, whose frame tells something else.
    applied = JointState(name=PARTS, velocity=[0.5, 1.0])
    applied.header.frame_id = 'fallback: no command yet'
    assert read_command(spec, applied).tolist() == [0.5, 1.0]


@pytest.mark.parametrize(
    ('place', 'what'), [(0, 'pose'), (7, 'pose.pose.position.y'), (35, None), (14, None)]
)
def test_a_pose_that_says_that_it_did_not_measure_is_no_reading(place, what):
    fields = ['pose.pose.position.x', 'pose.pose.position.y']
    spec = robot({'type': 'geometry_msgs/msg/PoseWithCovarianceStamped'}, fields)
    message = PoseWithCovarianceStamped()
    message.pose.covariance[place] = -1.0
    reading = sensor_reader(spec, 'sensor')(message, 0.0)
    if what is None:
        assert isinstance(reading, Reading)
    else:
        assert reading == f'sensor: {what} is not measured, its covariance says'


@pytest.mark.parametrize('kind', [k for k in BODY_TYPES if not k.endswith('/Twist')])
def test_a_sensor_of_another_frame_is_refused_and_any_will_do_where_none_is_said(kind):
    field = NUMBERS[kind][0]
    message = MESSAGES[kind]()
    message.header.frame_id = 'map'
    loose, strict = robot({'type': kind}, [field]), robot({'type': kind, 'frame': 'odom'}, [field])
    assert isinstance(sensor_reader(loose, 'sensor')(message, 0.0), Reading)
    reason = sensor_reader(strict, 'sensor')(message, 0.0)
    assert reason == "sensor: frame is 'map' instead of 'odom'"
    message.header.frame_id = '/odom'
    assert isinstance(sensor_reader(strict, 'sensor')(message, 0.0), Reading)


def transforms(*frames: tuple[str, str, float]) -> Any:
    """Return a message of /tf as it lies in a bag: parent, child, x."""
    made = []
    for parent, child, x in frames:
        message = TransformStamped(child_frame_id=child)
        message.header.frame_id, message.header.stamp.sec = parent, 5
        message.transform.translation.x = x
        made.append(as_in_a_bag(message, TRANSFORM))
    kind = STORE.types[TRANSFORMS]
    raw = STORE.serialize_cdr(kind(transforms=made), TRANSFORMS)
    return STORE.deserialize_cdr(bytes(raw), TRANSFORMS)


def test_of_tf_the_one_transform_counts_and_others_are_no_fault():
    spec = robot({'type': TRANSFORMS, **ODOM}, ['transform.translation.x'])
    read = sensor_reader(spec, 'sensor')
    message = transforms(('base', 'wheel', 1.0), ('odom', 'base', 2.5), ('map', 'odom', 3.0))
    reading = read(message, 7.5)
    assert (reading.values, reading.stamp_s) == ((2.5,), 5.0)
    assert read(transforms(('base', 'wheel', 1.0)), 7.5) is None
    assert read(transforms(), 7.5) is None
    assert read(transforms(('map', 'base', 1.0)), 7.5) == (
        "sensor: frame is 'map' instead of 'odom'"
    )


def test_tf_without_its_package_says_what_to_install():
    with pytest.raises(UserError, match=r'no_such_msgs.*apt install ros-.*-no-such-msgs'):
        MESSAGES['no_such_msgs/msg/TFMessage']


@pytest.mark.parametrize(
    ('sensor', 'action', 'said'),
    [
        ({'type': TRANSFORMS, 'frame': 'odom'}, {}, 'which transform is meant'),
        ({'type': 'geometry_msgs/msg/Twist', 'frame': 'odom'}, {}, 'has no frame'),
        ({'type': 'geometry_msgs/msg/PoseStamped', **ODOM}, {}, 'has no child_frame'),
        ({'type': 'geometry_msgs/msg/Twist'}, {'joints': ['linear.x', 'yaw']}, "no part 'yaw'"),
        ({'type': 'geometry_msgs/msg/Twist'}, {'field': 'effort'}, 'a twist is a velocity'),
    ],
)
def test_a_robot_file_that_cannot_be_meant_is_refused(sensor, action, said):
    with pytest.raises(ValidationError, match=said):
        robot(sensor, ['linear.x'], **action)


def test_lockstep_needs_messages_with_a_stamp():
    plain = robot(
        {'type': 'geometry_msgs/msg/Imu'.replace('geometry', 'sensor')}, ['orientation.w']
    )
    with pytest.raises(
        UserError, match=r'lockstep goes by stamps, and command is a .*TwistStamped'
    ):
        check_lockstep(plain)
    stamped = 'geometry_msgs/msg/TwistStamped'
    check_lockstep(robot({'type': stamped}, ['twist.linear.x'], type=stamped))


def test_the_page_lists_the_types_that_a_robot_can_use():
    table = PAGE.split('\n## ')[0]
    rows = re.findall(r'^\| `([\w/]+)` \| (.*?) \| (.*?) \|', table, re.MULTILINE)
    assert {kind for kind, sensor, _ in rows if sensor != '-'} == {*get_args(SENSOR_TYPES)}
    assert {kind for kind, _, command in rows if command != '-'} == {*get_args(COMMAND_TYPES)}
    for kind, sensor, _ in rows:
        numbers = NUMBERS.get(TRANSFORM if kind == TRANSFORMS else kind, [])
        groups = {number.rpartition('.')[0] for number in numbers}
        if groups:
            assert set(re.findall(r'`([\w.]+)`', sensor)) == groups, kind
