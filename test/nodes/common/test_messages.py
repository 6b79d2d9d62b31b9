# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import math
import operator
from array import array

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float64MultiArray, MultiArrayDimension

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.messages import (
    MESSAGES,
    command_message,
    named_command,
    sensor_writer,
    to_nanoseconds,
    to_stamp,
)
from mbmrl_ros.robot.message_fields import NUMBERS, message_stamp_ns, stamp_ns
from mbmrl_ros.robot.readings import read_command, sensor_reader
from mbmrl_ros.spec.channels import Channel, Topic
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.types import Reading

SPEC = load_robot('half_cheetah')
JOINTS = list(SPEC.action.joints)
STAMP_NS = 12_345_678_901_234_567
WIDE = np.array([1e-310, -1e300, math.pi, -0.0, 1 / 3, 2**-40])
"""Values that only survive if no digit is lost: subnormal, huge, irrational, signed zero."""


def joint_states(names: list[str] = JOINTS, **arrays: list[float]) -> JointState:
    values = {'position': [0.0] * len(names), 'velocity': [0.0] * len(names)} | arrays
    message = JointState(name=names, **values)
    message.header.stamp = to_stamp(STAMP_NS)
    return message


def reading_of(topic: str, message: object, spec: RobotSpec = SPEC) -> Reading | str:
    return sensor_reader(spec, topic)(message, 7.5)


def test_joints_are_taken_by_name_whatever_their_order_in_the_message():
    shuffled = ['ffoot', 'other', 'bthigh', 'fshin', 'bfoot', 'bshin', 'fthigh']
    position = {name: float(place) for place, name in enumerate(shuffled)}
    velocity = {name: 10.0 + place for place, name in enumerate(shuffled)}
    message = joint_states(
        shuffled, position=list(position.values()), velocity=list(velocity.values())
    )
    reading = reading_of('joint_states', message)
    expected = [position[name] for name in JOINTS] + [velocity[name] for name in JOINTS]
    assert reading.values == tuple(expected)
    assert reading.stamp_s == STAMP_NS / 1e9 and reading.received_s == 7.5


def test_a_missing_or_renamed_joint_is_named_with_those_that_are_there():
    renamed = ['b_thigh', *JOINTS[1:]]
    reason = reading_of('joint_states', joint_states(renamed))
    assert reason.startswith("joint_states: no joint 'bthigh'")
    assert 'b_thigh' in reason


@pytest.mark.parametrize('velocity', [[], [0.0] * 5, [0.0] * 7])
def test_an_array_of_another_length_than_the_names_is_refused_naming_joint_and_field(velocity):
    reason = reading_of('joint_states', joint_states(velocity=velocity))
    assert "no velocity of joint 'bthigh'" in reason and f'{len(velocity)} values' in reason


def test_names_that_change_between_two_messages_are_looked_up_again():
    read = sensor_reader(SPEC, 'joint_states')
    first = joint_states(position=[1.0, 2, 3, 4, 5, 6])
    second = joint_states(JOINTS[::-1], position=[1.0, 2, 3, 4, 5, 6])
    assert read(first, 0.0).values[:6] == (1, 2, 3, 4, 5, 6)
    assert read(second, 0.0).values[:6] == (6, 5, 4, 3, 2, 1)
    assert isinstance(read(joint_states(JOINTS[1:]), 0.0), str)
    assert read(first, 0.0).values[:6] == (1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize('other', ['bfoot', 'ffoot'])
def test_a_joint_that_is_named_twice_has_no_value(other):
    # Both orders: neither the first value nor the last one is taken.
    names = [*JOINTS, other]
    message = joint_states(names, position=[0.0] * 6 + [1000.0], velocity=[0.0] * 7)
    assert reading_of('joint_states', message) == f'joint_states: joint {other!r} is named 2 times'
    command = JointState(name=names, effort=[0.0] * 6 + [1000.0])
    assert read_command(SPEC, command) == f'command: joint {other!r} is named 2 times'


def test_names_that_nobody_wants_may_repeat_and_prefixes_are_other_names():
    names = ['', *JOINTS, '', 'bfoot_mimic', 'bfoo']
    message = joint_states(names, position=[float(i) for i in range(10)], velocity=[0.0] * 10)
    assert reading_of('joint_states', message).values[:6] == (1, 2, 3, 4, 5, 6)
    command = JointState(name=names, effort=[float(i) for i in range(10)])
    assert read_command(SPEC, command).tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ('place', 'what'),
    [(0, 'twist'), (28, 'twist.twist.angular.y'), (14, 'twist.twist.linear.z')],
)
def test_a_message_that_says_that_it_did_not_measure_is_no_reading(place, what):
    message = Odometry()
    message.twist.covariance[place] = -1.0
    reason = reading_of('odom', message)
    assert reason == f'odom: {what} is not measured, its covariance says'


def test_what_is_not_measured_and_not_wanted_does_not_matter():
    message = Odometry()
    # The lateral velocity and the roll rate, of a planar robot.
    message.twist.covariance[7] = message.twist.covariance[21] = -1.0
    assert not isinstance(reading_of('odom', message), str)


@pytest.mark.parametrize('vector', ['orientation', 'angular_velocity', 'linear_acceleration'])
def test_an_imu_says_by_vector_what_it_did_not_measure(vector):
    channel = Channel(name='rate', topic='imu', field='angular_velocity.z', unit='rad/s')
    spec = SPEC.model_copy(
        update={
            'topics': {'imu': Topic(type='sensor_msgs/msg/Imu', timeout_s=0.1)},
            'state': (channel,),
        }
    )
    spec = RobotSpec.model_validate(spec.model_dump() | {'simulation': None})
    message = Imu()
    getattr(message, f'{vector}_covariance')[0] = -1.0
    reading = reading_of('imu', message, spec)
    assert isinstance(reading, str) == (vector == 'angular_velocity')


def test_signals_come_back_exactly_through_every_sensor_topic_of_the_robot():
    rng = np.random.default_rng(0)
    signals = rng.normal(size=len(SPEC.signals)) * 10.0 ** rng.integers(
        -300, 300, len(SPEC.signals)
    )
    back = {}
    for topic, settings in SPEC.topics.items():
        message = sensor_writer(SPEC, topic)(signals, STAMP_NS)
        assert isinstance(message, MESSAGES[settings.type])
        wired = deserialize_message(serialize_message(message), type(message))
        reading = reading_of(topic, wired)
        assert reading.topic == topic and reading.stamp_s == STAMP_NS / 1e9
        back |= dict(zip(SPEC.topic_signals(topic), reading.values))
    assert [back[signal] for signal in SPEC.signals] == signals.tolist()


def test_not_finite_values_reach_the_reading_where_the_controller_refuses_them():
    message = joint_states(position=[math.nan, math.inf, 0, 0, 0, 0])
    values = reading_of('joint_states', message).values
    assert math.isnan(values[0]) and values[1] == math.inf


def test_a_pose_is_read_by_field_path():
    channel = Channel(name='y', topic='pose', field='pose.position.y', unit='m')
    spec = SPEC.model_copy(
        update={
            'topics': {'pose': Topic(type='geometry_msgs/msg/PoseStamped', timeout_s=0.1)},
            'state': (channel,),
        }
    )
    spec = RobotSpec.model_validate(spec.model_dump() | {'simulation': None})
    message = PoseStamped()
    message.pose.position.y = 0.1
    assert reading_of('pose', message, spec).values == (0.1,)


@pytest.mark.parametrize(
    'field', ['pose.pose.position.w', 'pose.pose.position', 'header.frame_id']
)
def test_a_field_that_the_message_has_not_is_an_error_of_the_robot_file(field):
    data = SPEC.model_dump()
    data['state'][0]['field'] = field
    with pytest.raises(UserError, match='nav_msgs/msg/Odometry has no number'):
        sensor_reader(RobotSpec.model_validate(data), 'odom')


def test_a_field_that_joints_have_not_is_an_error_that_names_the_closest():
    data = SPEC.model_dump()
    data['state'][4]['field'] = 'positon'
    with pytest.raises(UserError, match="did you mean 'position'"):
        sensor_reader(RobotSpec.model_validate(data), 'joint_states')


@pytest.mark.parametrize('field', ['position', 'velocity', 'effort'])
def test_a_command_comes_back_exactly_by_name(field):
    action = SPEC.action.model_copy(update={'field': field})
    spec = SPEC.model_copy(update={'action': action})
    message = command_message(spec, WIDE, STAMP_NS)
    wired = deserialize_message(serialize_message(message), JointState)
    back = read_command(spec, wired)
    assert back.tobytes() == WIDE.tobytes()
    assert message_stamp_ns(wired) == STAMP_NS
    shuffled = JointState(name=JOINTS[::-1])
    setattr(shuffled, field, array('d', WIDE[::-1]))
    assert read_command(spec, shuffled).tobytes() == WIDE.tobytes()


def test_a_command_without_names_comes_back_exactly_by_order_and_has_no_stamp():
    action = SPEC.action.model_copy(update={'type': 'std_msgs/msg/Float64MultiArray'})
    spec = SPEC.model_copy(update={'action': action})
    message = command_message(spec, WIDE, STAMP_NS)
    assert isinstance(message, Float64MultiArray)
    assert read_command(spec, message).tobytes() == WIDE.tobytes()
    assert message_stamp_ns(message) is None
    assert message_stamp_ns(command_message(spec, WIDE, STAMP_NS, label=True)) == STAMP_NS
    assert '5 values instead of 6' in read_command(spec, Float64MultiArray(data=[0.0] * 5))


def test_a_command_that_is_not_one_is_refused_naming_the_joint():
    missing = JointState(name=JOINTS[1:], effort=[0.0] * 5)
    assert read_command(SPEC, missing) == "command has no joint 'bthigh'"
    other_field = JointState(name=JOINTS, velocity=[0.0] * 6)
    assert 'has 0 efforts for 6 names' in read_command(SPEC, other_field)
    for value in (math.nan, math.inf, -math.inf):
        message = named_command(SPEC, np.array([0, 0, value, 0, 0, 0]), 0)
        assert read_command(SPEC, message) == "command of joint 'bfoot' is not finite"


@pytest.mark.parametrize('nanoseconds', [0, 1, 999_999_999, 10**9, STAMP_NS, -1, -1_500_000_000])
def test_stamps_come_back_exactly(nanoseconds):
    assert stamp_ns(to_stamp(nanoseconds)) == nanoseconds


def test_a_simulated_stamp_survives_seconds_as_a_float():
    # A hundred days in steps of 10 ms: the largest stamp is below 2^53 ns.
    for nanoseconds in range(10_000_000, 8_640_000 * 10**9, 999_990_000_000_000):
        assert to_nanoseconds(nanoseconds / 1e9) == nanoseconds


def test_an_odometry_says_which_frames_it_is_about():
    message = sensor_writer(SPEC, 'odom')(np.zeros(len(SPEC.signals)), 0)
    assert isinstance(message, Odometry)
    assert (message.header.frame_id, message.child_frame_id) == ('odom', 'torso')


def test_messages_share_nothing_that_a_receiver_in_the_same_process_could_change():
    write = sensor_writer(SPEC, 'joint_states')
    first = write(np.zeros(len(SPEC.signals)), 0)
    first.name[0] = 'changed'
    assert write(np.zeros(len(SPEC.signals)), 0).name == JOINTS


@pytest.mark.parametrize('kind', NUMBERS)
def test_the_numbers_that_a_robot_file_can_name_are_floats_of_the_message(kind):
    for path in NUMBERS[kind]:
        assert isinstance(operator.attrgetter(path)(MESSAGES[kind]()), float)


def spec_of(topic: str, kind: str, *fields: str) -> RobotSpec:
    """Return a robot with one channel for every field of one topic."""
    data = SPEC.model_dump() | {'simulation': None}
    data['topics'] = {topic: {'type': kind, 'timeout_s': 0.1}}
    data['state'] = [
        {'name': field, 'topic': topic, 'field': field, 'unit': '1'} for field in fields
    ]
    return RobotSpec.model_validate(data)


def test_an_imu_comes_back_exactly():
    spec = spec_of('imu', 'sensor_msgs/msg/Imu', *NUMBERS['sensor_msgs/msg/Imu'])
    values = np.resize(WIDE, len(spec.signals))
    message = sensor_writer(spec, 'imu')(values, STAMP_NS)
    wired = deserialize_message(serialize_message(message), Imu)
    reading = reading_of('imu', wired, spec)
    assert np.array(reading.values).tobytes() == values.tobytes()
    assert reading.stamp_s == STAMP_NS / 1e9


def test_an_imu_says_what_it_does_not_measure():
    robot = load_robot('millirobot')
    message = sensor_writer(robot, 'imu')(np.ones(len(robot.signals)), STAMP_NS)
    assert message.angular_velocity.x == 1.0
    assert message.orientation_covariance[0] == message.linear_acceleration_covariance[0] == -1.0
    assert message.angular_velocity_covariance[0] == 0.0


def test_an_array_without_a_stamp_is_dated_by_its_arrival():
    spec = spec_of('raw', 'std_msgs/msg/Float64MultiArray', 'data.2', 'data.0')
    message = sensor_writer(spec, 'raw')(np.array([3.0, 1.0]), STAMP_NS)
    assert list(message.data)[::2] == [1.0, 3.0] and math.isnan(message.data[1])
    reading = sensor_reader(spec, 'raw')(message, 7.5, 123.25)
    assert reading == Reading('raw', 123.25, 7.5, (3.0, 1.0))
    short = sensor_reader(spec, 'raw')(Float64MultiArray(data=[0.0, 1.0]), 7.5, 123.25)
    assert short == 'raw: 2 values, place 2 is wanted'


def test_an_array_whose_label_says_when_is_dated_by_that():
    spec = spec_of('raw', 'std_msgs/msg/Float64MultiArray', 'data.2', 'data.0')
    message = sensor_writer(spec, 'raw', label=True)(np.array([3.0, 1.0]), STAMP_NS)
    wired = deserialize_message(serialize_message(message), Float64MultiArray)
    reading = sensor_reader(spec, 'raw')(wired, 7.5, 123.25)
    assert reading == Reading('raw', STAMP_NS / 1e9, 7.5, (3.0, 1.0))
    assert [(d.size, d.stride) for d in wired.layout.dim] == [(3, 3)]


@pytest.mark.parametrize('label', ['', 'rows', 'stamp_ns:', 'stamp_ns:-1', 'stamp_ns:' + '9' * 99])
def test_any_other_label_is_none(label):
    message = Float64MultiArray()
    message.layout.dim = [MultiArrayDimension(label=label)]
    assert message_stamp_ns(message) is None


@pytest.mark.parametrize('field', ['data', 'data.x', 'data.-1', 'layout.0'])
def test_a_place_that_an_array_cannot_have_is_an_error_of_the_robot_file(field):
    spec = spec_of('raw', 'std_msgs/msg/Float64MultiArray', field)
    with pytest.raises(UserError, match=r'an array of numbers has data\.0, data\.1'):
        sensor_reader(spec, 'raw')
