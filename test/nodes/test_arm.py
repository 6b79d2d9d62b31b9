# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An arm as nodes: points on the hand from the joint states of a topic, faults by name."""

import pytest
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String

from mbmrl_ros.nodes.controller.report import STATS
from mbmrl_ros.spec.robot import load_robot

pytest.importorskip('pinocchio', reason='points need Pinocchio: pip install pin')
ARM = load_robot('pr2_left_arm')


@pytest.mark.parametrize('name', ['reach', 'shape_matching'])
def test_the_arm_is_driven_in_lockstep_and_can_be_loaded_by_topic(
    bench, make_bundle, tmp_path, name
):
    robot = {'reach': 'pr2_left_arm', 'shape_matching': 'pr2_left_arm_peg'}[name]
    task = f'pr2_left_arm/{name}'
    bundle = make_bundle(tmp_path / 'arm', spec=load_robot(robot), task=task)
    applied = bench.listen(JointState, 'sim_node/applied_command')
    stats = bench.listen(Float64MultiArray, 'controller_node/stats')
    bench.sim(robot=robot, lockstep=True)
    bench.controller(robot=robot, bundle=str(bundle), lockstep=True)
    # Eight transitions fill the window: from then on the model adapts.
    adapted = STATS.index('loss_before')
    bench.until(lambda: stats and stats[-1].data[adapted] > 0)
    assert list(applied[-1].name) == list(ARM.action.joints)
    efforts = [abs(value) for value in applied[-1].effort]
    assert any(efforts) and all(e <= limit for e, limit in zip(efforts, ARM.action.upper))
    publisher = bench.node.create_publisher(String, 'sim_node/disturbance', 1)
    bench.until(publisher.get_subscription_count)
    publisher.publish(String(data='held_payload:hand:1.5'))
    bench.until_status(
        'simulation', lambda _, values: values['disturbances'] == 'held_payload:hand:1.5'
    )
