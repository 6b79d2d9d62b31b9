# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with sensors and operators: a safe command, and its reason."""

import math
import time

import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import Trigger
from wires import put

from mbmrl_ros.nodes.common.messages import stamp_ns
from mbmrl_ros.nodes.controller.report import STATS
from mbmrl_ros.robot.bounds import Statistics
from mbmrl_ros.spec.robot import load_robot

ERROR, WARN = b'\x02', b'\x01'
JOINTS = 'joint_states'
SPEC = load_robot('half_cheetah')


def planned(message):
    return any(message.effort)


def fallback(message):
    return len(message.effort) == 6 and not any(message.effort)


@pytest.fixture
def commands(bench, robot):
    """Commands of a controller in real time on a robot that stands still, once it plans."""
    received = bench.listen(JointState, 'joint_commands')
    bench.controller()
    bench.until(lambda: received and planned(received[-1]))
    return received


def not_a_number(topic, message):
    if topic == JOINTS:
        message.position[2] = math.nan


def infinite(topic, message):
    if topic == 'odom':
        message.twist.twist.linear.x = math.inf


def renamed(topic, message):
    if topic == JOINTS:
        message.name[0] = 'b_thigh'


def cut_short(topic, message):
    if topic == JOINTS:
        message.velocity = message.velocity[:-1]


def named_twice(topic, message):
    if topic == JOINTS:
        message.name = [*message.name, 'bthigh']
        message.position = [*message.position, 1000.0]
        message.velocity = [*message.velocity, 0.0]


def not_measured(topic, message):
    if topic == 'odom':
        message.twist.covariance[0] = -1.0


@pytest.mark.parametrize(
    ('spoil', 'stale', 'refused'),
    [
        (named_twice, JOINTS, "joint_states: joint 'bthigh' is named 2 times"),
        (not_measured, 'odom', 'odom: twist is not measured'),
        (not_a_number, JOINTS, 'joint_states: value is not finite'),
        (infinite, 'odom', 'odom: value is not finite'),
        (renamed, JOINTS, "joint_states: no joint 'bthigh'"),
        (cut_short, JOINTS, "joint_states: no velocity of joint 'bthigh'"),
    ],
)
def test_readings_that_are_none_lead_to_the_fallback_and_are_counted_by_reason(
    bench, robot, commands, spoil, stale, refused
):
    robot.spoil = spoil
    bench.until(lambda: fallback(commands[-1]))
    bench.until_status('control', lambda message, values: 'readings refused' in message)
    level, message, values = bench.status('control')
    assert level == ERROR and message.startswith(f'fallback: {stale}: ')
    assert values['reason'].startswith(f'{stale}: ')
    counts = [n for key, n in values.items() if key.startswith(f'refused_readings: {refused}')]
    assert len(counts) == 1 and int(counts[0]) > 0
    robot.spoil = lambda topic, message: None
    bench.until(lambda: planned(commands[-1]))


def far(path, value):
    """Return a driver that sends a number, and the name of the topic that it is of."""
    topic = JOINTS if path.startswith('position') else 'odom'
    return lambda name, message: put(path, value)(message) if name == topic else None


@pytest.fixture
def trained(monkeypatch):
    """Let the bundle, which is untrained, say that it was trained on a usual robot."""
    usual = Statistics(*(np.full(SPEC.state_size, value) for value in (0.5, 1.0, 0.1)))
    monkeypatch.setattr('mbmrl_ros.nodes.common.limits._statistics', lambda bundle: usual)


@pytest.mark.parametrize(
    ('path', 'value', 'reason'),
    [
        ('position[ffoot]', 1000.0, 'ffoot: 1000 outside -1..1, which its joint'),
        ('twist.twist.linear.x', 1e30, 'vx: 1e+30 outside -99.5..100.5, 100 deviations'),
        ('pose.pose.position.x', -1e30, 'x: -1e+30 outside '),
    ],
)
def test_finite_nonsense_leads_to_the_fallback_with_channel_value_and_bound(
    bench, robot, trained, commands, path, value, reason
):
    robot.spoil = far(path, value)
    bench.until(lambda: fallback(commands[-1]))
    bench.until_status('control', lambda message, _: reason in message)
    assert bench.status('control')[0] == ERROR
    # Not as the test's robot stands: joints that come to exactly zero are a fault of their own.
    robot.spoil = far('position[ffoot]', 0.1)
    bench.until(lambda: planned(commands[-1]))


def test_bounds_can_be_switched_off(bench, robot, trained):
    robot.spoil = far('twist.twist.linear.x', 1000.0)
    commands = bench.listen(JointState, 'joint_commands')
    bench.controller(bounds__deviations=0.0)
    bench.until(lambda: commands and planned(commands[-1]))


def test_a_driver_that_loses_its_device_and_sends_zeros_leads_to_the_fallback(bench, robot):
    robot.spoil = far('position[ffoot]', 0.1)
    commands = bench.listen(JointState, 'joint_commands')
    bench.controller()
    bench.until(lambda: commands and planned(commands[-1]))
    robot.spoil = lambda topic, message: None
    bench.until(lambda: fallback(commands[-1]))
    zeros = 'joint_states: every value is exactly zero'
    bench.until_status('control', lambda message, _: zeros in message)


@pytest.mark.parametrize('offset_s', [-3600, 3600])
def test_stamps_of_another_clock_are_a_warning(bench, robot, offset_s):
    robot.stamp_ns = time.time_ns() + offset_s * 10**9
    bench.listen(JointState, 'joint_commands')
    bench.controller()
    said = "s ahead of this node's clock" if offset_s > 0 else "s behind this node's clock"
    bench.until_status('control', lambda _, values: said in values.get('notice 1', ''))
    assert bench.status('control')[0] >= WARN


def test_a_sensor_that_stops_leads_to_the_fallback_and_plans_go_on_when_it_is_back(
    bench, robot, commands
):
    robot.silent = {'odom'}
    bench.until(lambda: fallback(commands[-1]))
    bench.until_status('control', lambda message, values: 'odom: stale' in message)
    assert bench.status('control')[0] == ERROR
    robot.silent = set()
    bench.until(lambda: planned(commands[-1]))


def test_time_that_goes_back_a_little_is_out_of_order_until_it_has_caught_up(
    bench, robot, commands
):
    robot.stamp_ns -= 400_000_000
    bench.until(lambda: fallback(commands[-1]))
    bench.until_status(
        'control', lambda _, values: int(values.get('refused_readings: odom: out of order', 0)) > 5
    )
    bench.until(lambda: planned(commands[-1]))


def test_time_that_goes_back_a_lot_is_a_new_beginning(bench, robot):
    robot.stamp_ns = 200 * 10**9
    commands = bench.listen(JointState, 'joint_commands')
    bench.controller()
    bench.until(lambda: commands and planned(commands[-1]))
    robot.stamp_ns = 10**9
    bench.until(
        lambda: planned(commands[-1]) and stamp_ns(commands[-1].header.stamp) < 100 * 10**9
    )


def test_nobody_on_the_command_topic_is_a_warning_until_somebody_comes(bench, robot):
    bench.controller()
    bench.until_status(
        'control', lambda message, _: message == 'nobody listens on /joint_commands'
    )
    assert bench.status('control')[0] == WARN
    bench.listen(JointState, 'joint_commands')
    bench.until_status('control', lambda message, values: values['listeners'] == '1')
    assert 'nobody' not in bench.status('control')[1]


def test_an_emergency_stop_by_service_holds_until_it_is_released(bench, robot, commands):
    assert bench.call(Trigger, 'controller_node/e_stop').success
    bench.until(lambda: fallback(commands[-1]))
    count = len(commands)
    bench.until_status('control', lambda message, _: message == 'emergency stop by service')
    bench.until(lambda: len(commands) >= count + 20)
    assert all(map(fallback, commands[count:]))
    assert bench.status('control')[0] == ERROR
    assert bench.call(Trigger, 'controller_node/release').success
    bench.until(lambda: planned(commands[-1]))
    again = bench.call(Trigger, 'controller_node/release')
    assert not again.success and 'no emergency stop' in again.message


@pytest.mark.parametrize('durability', ['VOLATILE', 'TRANSIENT_LOCAL'])
def test_an_emergency_stop_by_topic_holds_also_when_the_topic_says_false(
    bench, robot, commands, durability
):
    publisher = _e_stop_publisher(bench, durability)
    bench.until(lambda: publisher.get_subscription_count() >= 1)
    publisher.publish(Bool(data=True))
    # Not by a fallback alone: on a busy machine there are others.
    bench.until_status('control', lambda message, _: message == 'emergency stop by topic')
    publisher.publish(Bool(data=False))
    count = len(commands)
    bench.until(lambda: len(commands) >= count + 20)
    assert all(map(fallback, commands[count:]))
    bench.until_status('control', lambda message, _: message == 'emergency stop by topic')


def test_an_emergency_stop_from_before_the_start_is_heard(bench, robot):
    publisher = _e_stop_publisher(bench, 'TRANSIENT_LOCAL')
    publisher.publish(Bool(data=True))
    bench.controller()
    bench.until_status('control', lambda message, _: message == 'emergency stop by topic')
    commands = bench.listen(JointState, 'joint_commands')
    bench.until(lambda: len(commands) >= 20)
    assert all(map(fallback, commands))


def _e_stop_publisher(bench, durability):
    profile = QoSProfile(depth=1, durability=DurabilityPolicy[durability])
    return bench.node.create_publisher(Bool, 'e_stop', profile)


def test_after_a_fault_the_window_fills_anew_before_the_model_adapts_again(bench, slow_robot):
    robot, settings = slow_robot
    stats = bench.listen(Float64MultiArray, 'controller_node/stats')
    bench.controller(**settings)
    loss, fell_back = STATS.index('loss_before'), STATS.index('fallback')
    bench.until(lambda: stats and np.isfinite(stats[-1].data[loss]))
    robot.silent = {JOINTS}
    bench.until(lambda: stats[-1].data[fell_back])
    robot.silent = set()
    stats.clear()
    bench.until(lambda: stats and np.isfinite(stats[-1].data[loss]))
    rows = np.array([row.data for row in stats])
    first = np.flatnonzero(rows[:, fell_back] == 0)[0]
    # Eight transitions need nine states.
    assert np.isnan(rows[: first + 8, loss]).all()
