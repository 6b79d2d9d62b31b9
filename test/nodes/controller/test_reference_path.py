# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The path to follow: from a topic, from a parameter, from the bundle's task."""

import math

import numpy as np
import pytest
import torch
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.nodes.controller.reference_path import way_points
from mbmrl_ros.nodes.controller.report import STATS
from mbmrl_ros.rewards.path import SHAPES
from mbmrl_ros.rewards.reward import along, build_reward
from mbmrl_ros.spec.robot import load_robot

ROBOT = load_robot('millirobot')
CORNER = ((0.0, 0.0), (1.0, 0.0), (1.0, 2.0))
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
PLAIN = QoSProfile(depth=1)


def path(points=CORNER, frame='world', pose_frame='') -> Path:
    message = Path()
    message.header.frame_id = frame
    for x, y in points:
        pose = PoseStamped()
        pose.header.frame_id = pose_frame
        pose.pose.position.x, pose.pose.position.y, pose.pose.position.z = x, y, 0.3
        message.poses.append(pose)
    return message


@pytest.fixture
def drive(bench, make_bundle, tmp_path):
    """How to start a simulated millirobot and its controller."""
    bundle = make_bundle(tmp_path / 'bundle', spec=ROBOT, task='millirobot/path')

    def start(**parameters):
        bench.sim(robot='millirobot')
        settings = {'robot': 'millirobot', 'bundle': str(bundle), 'use_sim_time': True}
        return bench.controller(**settings, **parameters)

    return start


def followed(node, route) -> bool:
    """Return whether the planner's reward is the task's along a path."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(2, 50, ROBOT.state_size, generator=generator)
    arguments = states[0], torch.zeros(50, 2), states[1]
    expected = build_reward(ROBOT, along(load_task('millirobot/path').reward, route))
    return torch.equal(node._topics._brain.source._reward(*arguments), expected(*arguments))


def latched_paths(bench) -> list[Path]:
    received: list[Path] = []
    topic = 'controller_node/followed_path'
    bench.node.create_subscription(Path, topic, received.append, LATCHED)
    return received


def points_of(message: Path) -> list[list[float]]:
    positions = [pose.pose.position for pose in message.poses]
    return [[p.x, p.y, p.z] for p in positions]


def test_way_points_are_the_poses_without_repetitions_in_the_rewards_precision():
    points = ((0.0, 0.0), (0.0, 0.0), (1.0, 0.1), (1.0, 0.1 + 1e-12), (0.0, 0.0))
    assert way_points(path(points, pose_frame='world'), 'world') == (
        (0.0, 0.0), (1.0, float(np.float32(0.1))), (0.0, 0.0),
    )  # fmt: skip


BAD = [
    (path(frame='map'), "in frame 'map', valid: 'world'"),
    (path(frame=''), "in frame '', valid: 'world'"),
    (path(pose_frame='base'), "in frame 'base', valid: 'world'"),
    (path(()), '0 distinct way-points; valid: two or more'),
    (path(((1.0, 1.0), (1.0, 1.0))), '1 distinct way-points; valid: two or more'),
    (path(((1.0, 1.0), (math.nan, 1.0))), 'not finite; valid: two or more finite'),
    (path(((1.0, 1.0), (1e300, 1.0))), 'not finite; valid: two or more finite'),
]


@pytest.mark.parametrize(('message', 'reason'), BAD)
def test_what_is_no_path_is_refused_with_what_is_valid(message, reason):
    with pytest.raises(UserError, match=reason):
        way_points(message, 'world')


@pytest.mark.parametrize('profile', [LATCHED, PLAIN], ids=['latched', 'plain'])
def test_a_path_from_a_topic_is_followed_and_shown(bench, drive, profile):
    logs = bench.listen(Log, '/rosout')
    stats = bench.listen(Float64MultiArray, 'controller_node/stats')
    publisher = bench.node.create_publisher(Path, 'reference_path', profile)
    if profile is LATCHED:
        # Long before the controller.
        publisher.publish(path())
    node = drive()
    if profile is PLAIN:
        bench.until_status('control', lambda _, v: v['path'] == 'figure_8, 15 way-points, 9.86 m')
        assert followed(node, 'figure_8')
        bench.until(lambda: stats and np.isfinite(stats[-1].data[STATS.index('expected_return')]))
        beginnings = node._topics.controller.counters.beginnings
        publisher.publish(path())
    bench.until_status('control', lambda _, v: v['path'] == '3 way-points, 3.00 m')
    bench.until(lambda: followed(node, CORNER))
    if profile is PLAIN:
        assert node._topics.controller.counters.beginnings == beginnings, 'nothing was forgotten'
    paths = latched_paths(bench)
    bench.until(lambda: paths)
    assert points_of(paths[-1]) == [[x, y, 0.0] for x, y in CORNER]
    assert paths[-1].header.frame_id == 'world'
    said = [log.msg for log in logs if log.name == 'controller_node']
    said = [line for line in said if not line.startswith('active: ')]
    assert said == ['following reference_path: 3 way-points, 3.00 m']


def test_a_bad_path_is_refused_in_one_line_and_the_one_before_stays(bench, drive):
    logs = bench.listen(Log, '/rosout')
    node = drive(path='left')
    publisher = bench.node.create_publisher(Path, 'reference_path', LATCHED)
    bench.until(lambda: publisher.get_subscription_count() == 2)
    for message, reason in [BAD[0], (Path(), BAD[1][1]), *BAD[-2:]]:
        publisher.publish(message)
        bench.until(lambda reason=reason: any(reason in log.msg for log in logs))
    publisher.publish(path([(float(x), 0.0) for x in range(200)]))
    bench.until(lambda: any('at most 100 way-points' in log.msg for log in logs))
    # Each is heard by two subscriptions.
    refusals = [log.msg for log in logs if log.msg.startswith('reference_path: ')]
    assert len(refusals) == len(set(refusals)) + 1 == 5, 'two of the five are not finite'
    assert all(line.endswith('; the path before stays') for line in refusals)
    bench.until_status(
        'control', lambda _, values: values['path'].startswith('left, 5 way-points')
    )
    assert followed(node, 'left')


def test_the_path_changes_by_parameter_and_stays_over_a_reload(bench, drive):
    node = drive(path='0 0, 1 0, 1 2')
    assert followed(node, CORNER)
    paths = latched_paths(bench)
    bench.until(lambda: paths and points_of(paths[-1]) == [[x, y, 0.0] for x, y in CORNER])
    [result] = node.set_parameters([Parameter('path', value='figure_9')])
    assert not result.successful and "did you mean 'figure_8'" in result.reason
    [result] = node.set_parameters([Parameter('path', value='zig_zag')])
    assert result.successful
    bench.until(lambda: followed(node, 'zig_zag') and len(paths[-1].poses) == 13)
    assert bench.call(Trigger, 'controller_node/reload').success
    bench.until_status('control', lambda _, values: values['path'].startswith('zig_zag, 13'))
    assert followed(node, 'zig_zag')
    [result] = node.set_parameters([Parameter('path', value='')])
    bench.until(lambda: followed(node, 'figure_8'))
    bench.until(lambda: len(paths[-1].poses) == len(SHAPES['figure_8']))


def test_a_robot_whose_reward_follows_no_path_refuses_one_and_has_no_topics(bench):
    node = bench.controller()
    assert bench.node.count_subscribers('reference_path') == 0
    bench.until_status('control', lambda _, values: 'path' not in values)
    [result] = node.set_parameters([Parameter('path', value='left')])
    assert not result.successful and 'follows none' in result.reason
