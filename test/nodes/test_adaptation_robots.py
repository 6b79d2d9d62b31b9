# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The robots of the thesis' simulated tasks as nodes: over topics as in one process."""

import numpy as np
import pytest
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool

from mbmrl_ros.nodes.common.messages import stamp_ns
from mbmrl_ros.sim.disturbances import parse
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import load_robot

APPLIED = 'sim_node/applied_command'
STEPS = 30
ROBOTS = {
    'ant': ('ant/crippled_leg', 'crippled_leg:back_right'),
    'half_cheetah_slopes': ('half_cheetah/slopes', 'terrain:hill'),
    'half_cheetah_pier': ('half_cheetah/pier', 'blocks:damping_and_friction:1000'),
    'arm_7dof': ('arm_7dof/force', 'force:z:-2'),
}


@pytest.mark.parametrize('robot', ROBOTS)
def test_what_the_simulator_node_plays_is_the_world_under_the_applied_commands(
    bench, make_bundle, tmp_path, robot
):
    spec, (task, wrong) = load_robot(robot), ROBOTS[robot]
    bundle = make_bundle(tmp_path / robot, spec=spec, task=task)
    applied = bench.listen(JointState, APPLIED)
    joints = bench.listen(JointState, 'joint_states')
    poses = bench.listen(Odometry, 'odom') if 'odom' in spec.topics else None
    bench.controller(robot=robot, bundle=str(bundle), lockstep=True)
    bench.sim(robot=robot, task=task, seed=1, lockstep=True, schedule=[f'{wrong}@10'])
    bench.until(lambda: len(applied) > STEPS and len(joints) > STEPS)
    world = World(spec)
    world.reset(np.random.default_rng(1))
    for step, command in enumerate(applied[:STEPS]):
        world.set_disturbances([parse(wrong)] if step >= 10 else [])
        world.step(np.array(command.effort))
    last = applied[STEPS - 1].header.stamp
    period_ns = round(spec.period_s * 1e9)
    reached = next(m for m in joints if stamp_ns(m.header.stamp) == stamp_ns(last) + period_ns)
    for name, position in zip(reached.name, reached.position):
        assert position == pytest.approx(world.data.joint(name).qpos[0], abs=1e-12)
    if poses is not None:
        assert np.linalg.norm([getattr(poses[-1].pose.pose.orientation, p) for p in 'wxyz']) > 0.5
    efforts = np.abs([list(m.effort) for m in applied[:STEPS]])
    assert not any(m.header.frame_id for m in applied[:STEPS]) and efforts.max() > 0


def test_a_leg_is_crippled_and_healed_by_a_service(bench, make_bundle, tmp_path):
    bundle = make_bundle(tmp_path / 'ant', spec=load_robot('ant'), task='ant/crippled_leg')
    bench.controller(robot='ant', bundle=str(bundle), lockstep=True)
    bench.sim(robot='ant', task='ant/crippled_leg', lockstep=True)
    for on, expected in ((True, 'crippled_leg:back_right'), (False, 'none')):
        service = 'sim_node/crippled_leg/back_right'
        answer = bench.call(SetBool, service, data=on)
        assert answer.success and answer.message == expected
        bench.until_status('simulation', lambda _, v, said=expected: v['disturbances'] == said)
