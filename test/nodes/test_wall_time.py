# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A simulator that stamps with the present, as a robot does."""

import time

import pytest
from nav_msgs.msg import Odometry
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from mbmrl_ros.nodes.common.messages import stamp_ns
from mbmrl_ros.spec.robot import load_robot

APPLIED = 'sim_node/applied_command'


def stamps(messages):
    return [stamp_ns(message.header.stamp) for message in messages]


def test_stamps_are_the_present_and_there_is_no_clock(bench):
    begin_ns = time.time_ns()
    odometry, applied = bench.listen(Odometry, 'odom'), bench.listen(JointState, APPLIED)
    clock = bench.listen(Clock, '/clock')
    bench.sim(wall_time=True)
    bench.until(lambda: len(odometry) > 10 and len(applied) > 10)
    told = stamps(odometry)
    assert begin_ns < told[0] and told == sorted(told) and told[-1] < time.time_ns()
    # An applied command names the state before it; the first states may have come too early.
    assert set(stamps(applied)[5:10]) <= set(told)
    assert not clock


def test_sensors_without_a_stamp_go_with_the_others(bench, make_bundle, tmp_path):
    robot = load_robot('millirobot')
    bundle = make_bundle(tmp_path / 'millirobot', spec=robot, task='millirobot/path')
    applied = bench.listen(JointState, APPLIED)
    bench.sim(robot='millirobot', wall_time=True)
    bench.controller(robot='millirobot', bundle=str(bundle))
    # The telemetry is dated by its arrival, and nothing is far behind it.
    bench.until(lambda: applied and any(applied[-1].velocity))


@pytest.mark.parametrize('other', [{'lockstep': True}, {'speed_factor': 2.0}])
def test_time_that_is_not_the_present_is_refused(bench, other):
    with pytest.raises(AssertionError, match='wall_time goes without lockstep'):
        bench.sim(wall_time=True, **other)
