# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The PR2's left arm in MuJoCo: the arm of Pinocchio, balanced, and what can happen to it."""

import mujoco
import numpy as np
import pytest

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.robot.kinematics import Chain, points_at
from mbmrl_ros.robot.state import encode
from mbmrl_ros.sim.batch import BatchWorld
from mbmrl_ros.sim.disturbances import check, parse
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import load_robot

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


def unbalanced(made):
    """Torques [7] that accelerate the arm at rest."""
    mujoco.mj_forward(made.model, made.data)
    return made.data.qfrc_passive + made.data.qfrc_actuator - made.data.qfrc_bias


def jacobian(chain, q):
    """Of the hand's position in the world [3, 7]."""
    return pinocchio.computeFrameJacobian(
        chain.model, chain.data, chain.configuration(q), chain.frame('l_gripper_tool_frame'),
        pinocchio.LOCAL_WORLD_ALIGNED,
    )[:3]  # fmt: skip


@pytest.mark.parametrize(
    ('texts', 'pull'),
    [
        (('held_payload:hand:1.5',), [0, 0, -1.5 * 9.81]),
        (('force:x:10',), [10, 0, 0]),
        (('force:y:-4', 'force:z:3'), [0, -4, 3]),
        (('held_payload:hand', 'force:x'), [10, 0, -9.81]),
    ],
)
def test_loads_and_forces_pull_at_the_joints_as_the_jacobian_says(chain, texts, pull):
    made = world()
    assert np.abs(unbalanced(made)).max() < 1e-9
    made.set_disturbances([parse(text) for text in texts])
    expected = jacobian(chain, angles(made)).T @ np.array(pull, float)
    np.testing.assert_allclose(unbalanced(made), expected, atol=1e-6)
    made.set_disturbances(())
    assert np.abs(unbalanced(made)).max() < 1e-9


def test_a_stiff_joint_moves_less_and_a_dead_one_not_at_all():
    moved = []
    for text in ('', 'stiff_joint:l_elbow_flex_joint', 'disabled_joint:l_elbow_flex_joint'):
        made = world()
        made.set_disturbances([parse(text)] if text else ())
        before = angles(made)[3]
        for _ in range(20):
            made.step(np.array([0, 0, 0, 1.0, 0, 0, 0]))
        moved.append(angles(made)[3] - before)
    # 1 N m against a damping of 4, then 24 N m s/rad, for 2 s: 0.25 and 0.042 rad/s, once the
    # joint is up to speed, which takes 0.1 s; the rest of the arm gives way a little.
    assert 0.35 < moved[0] < 0.5 and 0.07 < moved[1] < 0.09
    assert abs(moved[2]) < 1e-6


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('held_payload:torso', "held_payload on pr2_left_arm has no target 'torso'; valid: hand"),
        ('force:up', 'valid: x, y, z'),
        ('force:x:100', 'from -50 to 50'),
        ('stiff_joint:elbow', "no target 'elbow'"),
        ('terrain:grass', "no target 'grass'"),
    ],
)
def test_what_cannot_happen_to_an_arm_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        check(ARM, parse(text))


def test_robots_on_legs_have_none_of_it():
    for text in ('held_payload:hand', 'force:x', 'stiff_joint:bthigh'):
        with pytest.raises(UserError, match='has no target'):
            check(load_robot('half_cheetah'), parse(text))


def drive(made, chain, goals, steps):
    """Bring the hand through poses, a proportional-integral controller per joint.

    Half the seconds for the first goal, the rest for a straight way through the others.
    """
    spec, damping = made.spec, made.model.dof_damping
    path = [solve(chain, angles(made), goals[0])]
    for goal in goals[1:]:
        path.append(solve(chain, path[-1], goal))
    errors = np.zeros(7)
    for step in range(steps):
        along = np.clip((2 * step / steps - 1) * 1.3, 0, 1) * (len(path) - 1)
        error = path[round(along)] - angles(made)
        errors = np.clip(errors + 0.1 * error, -0.3, 0.3)
        made.step(np.clip(damping * 4 * (error + errors), spec.action.lower, spec.action.upper))


def solve(chain, start, goal):
    """Return angles at which the hand is in a pose, by Newton's method from near by."""
    q, frame = np.array(start), chain.frame('l_gripper_tool_frame')
    low, high = [-0.66, -0.47, -0.75, -2.27, -9, -2.04, -9], [2.2, 1.34, 3.8, -0.05, 9, -0.05, 9]
    for _ in range(2000):
        error = pinocchio.log6(chain.poses(q)[frame].inverse() * goal).vector
        if np.abs(error).max() < 1e-9:
            return q
        matrix = pinocchio.computeFrameJacobian(
            chain.model, chain.data, chain.configuration(q), frame, pinocchio.LOCAL
        )
        step = matrix.T @ np.linalg.solve(matrix @ matrix.T + 1e-4 * np.eye(6), error)
        q = np.clip(q + np.clip(step, -0.1, 0.1), low, high)
    raise AssertionError('no such angles')


def pose_of(spec, target):
    """The pose of the hand at which its points are on their targets."""
    names = list(spec.kinematics.points)
    places = np.array([spec.kinematics.points[name].at for name in names])
    wanted = np.array([[target[f'{name}_{axis}'] for axis in 'xyz'] for name in names])
    u, _, v = np.linalg.svd((places - places.mean(0)).T @ (wanted - wanted.mean(0)))
    flip = np.diag([1, 1, np.sign(np.linalg.det(v.T @ u.T))])
    rotation = v.T @ flip @ u.T
    return pinocchio.SE3(rotation, wanted.mean(0) - rotation @ places.mean(0))


def above(pose, height):
    return pinocchio.SE3(pose.rotation, pose.translation + np.array([0, 0, height]))


@pytest.mark.parametrize('name', ['reach', 'shape_matching', 'block_stacking'])
def test_every_task_can_be_done_within_its_torques_and_its_time(chain, name):
    task = load_task(f'pr2_left_arm/{name}')
    spec, target = load_robot(task.robot), task.reward[0].target
    made = world(spec=spec)
    goal = pose_of(spec, target)
    # What goes into a hole or onto a block comes from above.
    heights = [0.0] if name == 'reach' else np.linspace(0.12, 0, 13)
    drive(made, chain, [above(goal, height) for height in heights], task.episode_steps)
    points = points_at(spec, angles(made))
    for point, place in points.items():
        offset = place - [target[f'{point}_{axis}'] for axis in 'xyz']
        assert np.abs(offset).max() < 0.004, (point, offset)


@pytest.mark.parametrize('name', ['shape_matching', 'block_stacking'])
def test_what_is_held_meets_the_scene_where_it_does_not_fit(chain, name):
    task = load_task(f'pr2_left_arm/{name}')
    spec = load_robot(task.robot)
    made = world(spec=spec)
    goal = pose_of(spec, task.reward[0].target)
    # Nearly 3 cm beside: it stops on the box, or on the rim of the other block.
    aside = pinocchio.SE3(goal.rotation, goal.translation + np.array([0.02, 0.02, 0]))
    drive(made, chain, [above(aside, height) for height in np.linspace(0.12, 0, 13)], 100)
    hand = made.data.body('l_gripper_tool_frame').xpos
    assert made.data.ncon > 0 and hand[2] > goal.translation[2] + 0.005


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
