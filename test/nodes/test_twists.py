# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A base that is commanded by twists and sensed by poses with a covariance, over real topics."""

import math
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from geometry_msgs.msg import PoseWithCovarianceStamped, Twist, TwistStamped
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState

from mbmrl_ros.data.bags import Bag
from mbmrl_ros.recordings.control_steps import Log, find_topics
from mbmrl_ros.spec.robot import load_robot

MODEL = """
<mujoco>
  <option timestep="0.01" gravity="0 0 0" integrator="implicitfast"/>
  <worldbody>
    <body name="base">
      <joint name="linear.x" type="slide" axis="1 0 0"/>
      <joint name="angular.z" type="hinge" axis="0 0 1"/>
      <geom type="box" size="0.2 0.1 0.1" mass="1"/>
    </body>
  </worldbody>
  <actuator>
    <velocity joint="linear.x" kv="20" ctrlrange="-1 1"/>
    <velocity joint="angular.z" kv="20" ctrlrange="-2 2"/>
  </actuator>
</mujoco>
"""
ROBOT: dict[str, Any] = {
    'name': 'base',
    'period_s': 0.05,
    'topics': {
        'pose': {
            'type': 'geometry_msgs/msg/PoseWithCovarianceStamped', 'frame': 'map',
            'timeout_s': 0.5,
        },
        'twist': {'type': 'geometry_msgs/msg/TwistStamped', 'frame': 'base', 'timeout_s': 0.5},
    },
    'state': [
        {'name': 'x', 'topic': 'pose', 'field': 'pose.pose.position.x', 'unit': 'm'},
        {'name': 'sin_yaw', 'topic': 'pose', 'field': 'pose.pose.orientation',
         'encoding': 'sin_yaw', 'unit': '1'},
        {'name': 'vx', 'topic': 'twist', 'field': 'twist.linear.x', 'unit': 'm/s'},
    ],
    'action': {
        'topic': 'cmd_vel', 'type': 'geometry_msgs/msg/Twist', 'field': 'velocity',
        'unit': 'm/s, rad/s', 'joints': ['linear.x', 'angular.z'], 'lower': [-1, -2],
        'upper': [1, 2], 'rate_limit': [1000, 1000], 'fallback': [0, 0], 'timeout_s': 0.5,
    },
    'safety': {'decay_s': 0.1},
    'simulation': {
        'model': 'base.xml', 'physics_steps': 5, 'bodies': {'pose': 'base', 'twist': 'base'},
    },
}  # fmt: skip


@pytest.fixture
def base(tmp_path) -> Path:
    (tmp_path / 'base.xml').write_text(MODEL)
    path = tmp_path / 'base.yaml'
    path.write_text(yaml.safe_dump(ROBOT))
    return path


def counted(values: dict[str, str], text: str) -> bool:
    """Whether diagnostics count something that was refused for a reason."""
    return any(text in f'{key} {value}' for key, value in values.items())


def test_twists_pass_the_gate_drive_the_base_and_are_refused_where_they_cannot_be(bench, base):
    bench.sim(robot=str(base))
    bench.gate(robot=str(base))
    wanted = bench.node.create_publisher(Twist, 'wanted_commands', QoSProfile(depth=1))
    poses = bench.listen(PoseWithCovarianceStamped, 'pose')
    twists = bench.listen(TwistStamped, 'twist')
    applied = bench.listen(JointState, 'sim_node/applied_command')
    sent = Twist()
    sent.linear.x = 0.5
    bench.node.create_timer(0.05, lambda: wanted.publish(sent))
    bench.until(lambda: poses and poses[-1].pose.pose.position.x > 0.05, 'it drives')
    assert {message.header.frame_id for message in poses} == {'map'}
    assert twists[-1].header.frame_id == 'base' and twists[-1].twist.linear.x > 0.3
    assert list(applied[-1].name) == ['linear.x', 'angular.z']
    for part, value, said in (
        ('x', math.nan, "joint 'linear.x' is not finite"),
        ('y', 0.2, 'command has linear.y 0.2, which the robot has not'),
    ):
        setattr(sent.linear, part, value)
        bench.until_status('gate', lambda text, values, said=said: counted(values, said))
        setattr(sent.linear, part, 0.0)
        bench.until(lambda: list(applied[-1].velocity) == [0.0, 0.0], 'the fallback')


def test_poses_of_another_frame_or_without_measurement_are_refused_and_counted(bench, base):
    bench.gate(robot=str(base))
    sent = PoseWithCovarianceStamped()
    sent.pose.pose.orientation.w, sent.header.frame_id = 1.0, 'odom'
    publisher = bench.node.create_publisher(PoseWithCovarianceStamped, 'pose', 10)
    bench.node.create_timer(0.05, lambda: publisher.publish(sent))
    for frame, covariance, said in (
        ('odom', 0.0, "pose: frame is 'odom' instead of 'map'"),
        ('map', -1.0, 'pose: pose is not measured'),
    ):
        sent.header.frame_id, sent.pose.covariance[0] = frame, covariance
        bench.until_status('gate', lambda text, values, said=said: counted(values, said))


def test_what_was_recorded_of_it_is_read_by_the_same_code(bench, base, tmp_path):
    bench.sim(robot=str(base))
    bench.controller(robot=str(base), mode='collect', bundle='', use_sim_time=True)
    folder = tmp_path / 'bag'
    recorder = bench.process('recorder_node', robot=str(base), out=str(folder))
    twists = bench.listen(Twist, 'cmd_vel')
    bench.until(lambda: sum(1 for each in twists if each.linear.x) > 20 and folder.is_dir())
    bench.until(lambda: len(read(folder, 'cmd_vel')) > 20, 'commands are recorded')
    recorder.send_signal(signal.SIGINT)
    assert recorder.wait(60.0) == 0
    spec, bag = load_robot(str(base)), Bag(folder)
    log = Log(bag, spec, find_topics(bag, spec))
    steps = [step for step in log.steps() if step.state is not None and step.action is not None]
    assert not log.refused and len(steps) > 5
    assert all(abs(step.action).max() <= 1 for step in steps)


def read(folder: Path, topic: str) -> list[Any]:
    begun = folder.is_dir() and any(folder.glob('*.mcap'))
    return [m.data for m in Bag(folder).messages({f'/{topic}'})] if begun else []


def test_in_lockstep_a_twist_without_a_stamp_is_refused_at_once(bench, base):
    with pytest.raises(AssertionError, match='lockstep goes by stamps, and cmd_vel is a'):
        bench.sim(robot=str(base), lockstep=True)


def test_stamped_twists_drive_in_lockstep(bench, base):
    data = yaml.safe_load(base.read_text())
    data['action'] |= {'type': 'geometry_msgs/msg/TwistStamped', 'frame': 'base'}
    base.write_text(yaml.safe_dump(data))
    bench.sim(robot=str(base), lockstep=True)
    bench.controller(robot=str(base), mode='collect', bundle='', lockstep=True)
    twists = bench.listen(TwistStamped, 'cmd_vel')
    bench.until(lambda: len(twists) > 10, 'a command for every state')
    assert {message.header.frame_id for message in twists} == {'base'}
