# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import mujoco
import numpy as np
import pytest

from mbmrl_ros.sim.pose import PoseReader
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import load_robot


@pytest.mark.parametrize('robot', ['half_cheetah', 'ant', 'pr2_left_arm'])
def test_the_pose_of_true_readings_is_that_of_the_world(robot):
    spec = load_robot(robot)
    world = World(spec)
    world.reset(np.random.default_rng(0))
    for _ in range(20):
        world.step(np.array(spec.action.upper) / 4)
    found = PoseReader(spec, world.model).positions(world.signals())
    # The sign of a quaternion is free, and the angle of a planar robot is known modulo 2 pi.
    for positions, data in ((found, mujoco.MjData(world.model)),):
        data.qpos[:] = positions
        mujoco.mj_kinematics(world.model, data)
        assert np.allclose(data.xpos, world.data.xpos, atol=2e-3)


def test_markers_on_a_mount_say_where_the_body_is():
    spec = load_robot('millirobot')
    world = World(spec)
    world.reset(np.random.default_rng(0))
    for _ in range(5):
        world.step(np.array([400.0, 300.0]))
    data = mujoco.MjData(world.model)
    data.qpos[:] = PoseReader(spec, world.model).positions(world.signals())
    mujoco.mj_kinematics(world.model, data)
    body = world.model.body('body').id
    # Motion capture is late by some milliseconds and noisy: 1 cm, of a robot of 10 cm.
    assert np.allclose(data.xpos[body], world.data.xpos[body], atol=0.01)
    assert np.linalg.norm(world.data.xpos[body][:2]) > 0.03, 'it has moved'
