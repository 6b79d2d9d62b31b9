# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The PR2's left arm in MuJoCo: the arm of Pinocchio, balanced, and what can happen to it."""

import mujoco
import numpy as np
import pytest

from mbmrl_ros.robot.kinematics import Chain, points_at
from mbmrl_ros.robot.state import encode
from mbmrl_ros.sim.batch import BatchWorld
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec import load_robot

pinocchio = pytest.importorskip('pinocchio', reason='points need Pinocchio: pip install pin')
ARM = load_robot('pr2_left_arm')
LIMITS = np.array(ARM.action.upper)


def world(seed=0, spec=ARM):
    made = World(spec)
    made.reset(np.random.default_rng(seed))
    return made


def angles(made):
    return made.signals()[:7]


@pytest.fixture(scope='module')
def chain():
    return Chain(ARM.kinematics.urdf, ARM.action.joints)


def test_one_urdf_gives_mujoco_and_pinocchio_the_same_arm(chain):
    made = world()
    tool = made.model.body('l_gripper_tool_frame').id
    rng = np.random.default_rng(1)
    for _ in range(20):
        q = rng.uniform(-2.0, 2.0, 7)
        made.data.qpos[:] = q
        mujoco.mj_forward(made.model, made.data)
        np.testing.assert_allclose(made.data.xpos[tool], points_at(ARM, q)['tip'], atol=1e-9)
        inertia = np.empty((7, 7))
        for column, unit in enumerate(np.eye(7)):
            mujoco.mj_mulM(made.model, made.data, inertia[column], unit)
        crba = pinocchio.crba(chain.model, chain.data, chain.configuration(q))
        np.testing.assert_allclose(np.triu(inertia), np.triu(crba), atol=1e-6)
        # What MuJoCo balances is what Pinocchio says that gravity does.
        np.testing.assert_allclose(made.data.qfrc_gravcomp, chain.gravity(q), atol=1e-5)


def test_without_torques_the_arm_stays_where_it_is():
    made = world()
    before = angles(made)
    for _ in range(50):
        made.step(np.zeros(7))
    np.testing.assert_allclose(angles(made), before, atol=1e-9)


def test_joints_stay_within_their_limits_of_position_and_velocity():
    made, rng = world(), np.random.default_rng(2)
    fastest = np.zeros(7)
    for _ in range(100):
        # Ten periods in one direction each: longer than any joint needs to get up to speed.
        if _ % 10 == 0:
            command = LIMITS * rng.choice([-1, 1], 7)
        made.step(command)
        fastest = np.maximum(fastest, np.abs(made.signals()[7:]))
    limits = np.array([2.088, 2.082, 3.27, 3.3, 3.6, 3.078, 3.6])
    assert (fastest < limits).all() and (fastest > 0.2 * limits).any()
    bounded = made.model.jnt_limited.astype(bool)
    low, high = made.model.jnt_range[bounded].T
    # A soft limit gives way a little under full torque.
    assert (made.data.qpos[bounded] > low - 0.05).all()
    assert (made.data.qpos[bounded] < high + 0.05).all()


def test_a_row_of_the_batch_is_the_single_world():
    batch, rng = BatchWorld(ARM, 3, threads=1), np.random.default_rng(3)
    batch.reset(np.random.default_rng(0))
    single = world(0)
    for _ in range(5):
        commands = rng.uniform(-LIMITS, LIMITS, (3, 7))
        batch.step(commands)
        single.step(commands[0])
        assert (batch.signals()[0] == single.signals()).all()
    assert np.isfinite(encode(ARM, batch.signals())).all()
    batch.close()
