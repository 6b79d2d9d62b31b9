# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A meta-learned policy drives the simulator over topics, and adapts meanwhile."""

import math

import pytest
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from small_actor import steady_actor
from small_policy import small_policy
from std_srvs.srv import Trigger

from mbmrl_ros.bundles.dynamics import load_bundle, save_bundle, with_actor
from mbmrl_ros.bundles.policy import save_policy
from mbmrl_ros.spec.robot import load_robot

ROBOT = 'half_cheetah_20hz'


def moving(command):
    return any(command.effort)


def adaptations(values):
    return int(values['adaptations'])


def test_a_policy_adapts_after_its_rollouts_and_says_so(bench, tmp_path):
    save_policy(tmp_path, small_policy('promp', horizon=40))
    commands = bench.listen(JointState, 'joint_commands')
    node = bench.controller(robot=ROBOT, bundle=str(tmp_path), goal=-1.0, lockstep=True)
    bench.sim(robot=ROBOT, lockstep=True)
    bench.until_status('control', lambda text, _: text == 'policy: adapted')
    _, _, values = bench.status('control')
    assert adaptations(values) == 1 and values['adaptations_refused'] == '0'
    assert float(values['loss_after']) < float(values['loss_before'])
    assert values['candidates'] == '0' and math.isnan(float(values['period_share.goal']))
    upper = load_robot(ROBOT).action.upper
    assert all(abs(u) <= limit for u, limit in zip(commands[-1].effort, upper))

    # As safe as the planner: stopped, it sends the fallback; what it has learned stays.
    bench.call(Trigger, 'controller_node/e_stop')
    bench.until_status('control', lambda text, _: text == 'emergency stop by service')
    assert not moving(commands[-1])
    bench.call(Trigger, 'controller_node/release')
    bench.until_status('control', lambda text, _: text == 'policy: adapted')
    assert adaptations(bench.status('control')[2]) == 1

    # A reset forgets it, and it is learned again.
    bench.call(Trigger, 'controller_node/reset')
    bench.until_status('control', lambda _, values: adaptations(values) == 2)

    [result] = node.set_parameters([Parameter('planner.candidates', value=48)])
    assert not result.successful and 'planner is not for a policy' in result.reason
    [result] = node.set_parameters([Parameter('goal', value='left')])
    assert result.successful
    response = bench.call(Trigger, 'controller_node/reload')
    assert not response.success and "goal 'left'" in response.message
    assert response.message.endswith('the old bundle drives on')


def test_a_model_with_a_policy_and_critics_beside_it_drives_over_topics(bench, bundle, tmp_path):
    spec = load_robot('half_cheetah')
    model = load_bundle(bundle, spec)
    save_bundle(tmp_path / 'both', with_actor(model, steady_actor(spec, model.info.task)))
    commands = bench.listen(JointState, 'joint_commands')
    bench.controller(bundle=str(tmp_path / 'both'), lockstep=True)
    bench.sim(lockstep=True)
    bench.until(lambda: len(commands) > 40)
    bench.until_status('control', lambda text, _: text == 'controlling')
    upper = spec.action.upper
    assert moving(commands[-1])
    assert all(abs(u) <= limit for u, limit in zip(commands[-1].effort, upper))
    bench.call(Trigger, 'controller_node/e_stop')
    bench.until_status('control', lambda text, _: text == 'emergency stop by service')
    assert not moving(commands[-1])


def test_a_policy_without_a_goal_does_not_start(bench, tmp_path):
    save_policy(tmp_path, small_policy('promp'))
    with pytest.raises(AssertionError, match='valid: direction, as in goal'):
        bench.controller(robot=ROBOT, bundle=str(tmp_path))
