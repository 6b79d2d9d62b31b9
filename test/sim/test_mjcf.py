# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Models of gymnasium as the robot files change them: an ant on its feet, an arm with a load."""

import mujoco
import numpy as np
import pytest

from mbmrl_ros.config import UserError, parse
from mbmrl_ros.robot.state import encode
from mbmrl_ros.sim.disturbances import parse as fault
from mbmrl_ros.sim.sensors import load_model
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import RobotSpec, load_robot

ANT, ARM = load_robot('ant'), load_robot('arm_7dof')


def changed(spec: RobotSpec, **changes: object) -> RobotSpec:
    data = spec.model_dump()
    data['simulation'] |= changes
    return parse(RobotSpec, data, 'test')


def test_the_ant_starts_on_its_feet_where_gymnasiums_does():
    world = World(changed(ANT, reset_noise={}))
    world.reset(np.random.default_rng(0))
    expected = world.model.numeric('init_qpos').data
    assert world.data.qpos == pytest.approx(expected)
    assert world.model.body_mass.sum() == pytest.approx(0.911, abs=1e-3)
    for _ in range(100):
        world.step(np.zeros(8))
    # It stays on its feet: the torso is a sphere of 0.25 m.
    assert 0.3 < world.data.qpos[2] < 0.8


def test_the_angular_velocity_of_the_ants_torso_is_in_its_own_frame():
    world = World(ANT)
    world.reset(np.random.default_rng(0))
    # Lying on its left side, turning about the vertical: about its own y axis, as much.
    world.data.qpos[3:7] = np.cos(np.pi / 4), np.sin(np.pi / 4), 0.0, 0.0
    world.data.qvel[:] = 0.0
    world.data.qvel[3:6] = 0.0, 1.0, 0.0
    state = dict(zip((c.name for c in ANT.state), encode(ANT, world.signals())))
    rates = [state[f'{name}_rate'] for name in ('roll', 'pitch', 'yaw')]
    assert rates == pytest.approx([0.0, 1.0, 0.0])
    world_rates = [[state[f'r_{r}{c}'] for c in 'xyz'] @ np.array(rates) for r in 'xyz']
    assert world_rates == pytest.approx([0.0, 0.0, 1.0])


def test_a_torque_of_the_ant_is_what_its_command_says():
    world = World(ANT)
    world.reset(np.random.default_rng(0))
    world.step(np.array([10.0, -20.0, 0, 0, 0, 0, 0, 150.0]))
    torques = {
        world.model.joint(world.model.actuator_trnid[i, 0]).name: world.data.actuator_force[i]
        for i in range(world.model.nu)
    }
    assert (torques['hip_1'] * 150, torques['ankle_1'] * 150) == pytest.approx((10.0, -20.0))
    assert torques['ankle_4'] * 150 == pytest.approx(150.0)


def test_the_arm_holds_half_a_kilogram_and_nothing_lies_about():
    model = load_model(ARM)
    names = {model.body(i).name for i in range(model.nbody)}
    assert 'scene/tool' in names and not {'object', 'goal'} & names
    assert model.body('scene/tool').mass[0] == pytest.approx(0.5)
    assert model.nq == model.nv == 7 and model.opt.gravity.tolist() == [0, 0, 0]


def test_the_arm_starts_clear_of_the_table_and_stays_there_without_torques():
    world = World(changed(ARM, reset_noise={}))
    world.reset(np.random.default_rng(0))
    start = world.data.qpos.copy()
    assert world.data.ncon == 0 and start.tolist() == list(ARM.simulation.arm.start.values())
    for _ in range(50):
        world.step(np.zeros(7))
    np.testing.assert_allclose(world.data.qpos, start, atol=1e-6)


def test_a_force_pulls_the_object_as_its_jacobian_says():
    world = World(changed(ARM, reset_noise={}))
    world.reset(np.random.default_rng(0))
    # Published: m g downwards, here g = 1.5 m/s^2 on 0.5 kg.
    world.set_disturbances([fault('force:z:-0.75')])
    mujoco.mj_forward(world.model, world.data)
    jacobian = np.zeros((3, 7))
    body = world.model.body('scene/tool').id
    mujoco.mj_jacBody(world.model, world.data, jacobian, None, body)
    np.testing.assert_allclose(world.data.qfrc_actuator, jacobian.T @ [0, 0, -0.75], atol=1e-12)
    # The same as an external force on the body: what the published code writes.
    by_motor = world.data.qacc.copy()
    world.set_disturbances([])
    world.data.xfrc_applied[body, 2] = -0.75
    mujoco.mj_forward(world.model, world.data)
    np.testing.assert_allclose(world.data.qacc, by_motor, atol=1e-9)
    assert (jacobian @ by_motor)[2] < 0


def test_what_the_object_channels_say_is_where_it_is():
    world = World(ARM)
    world.reset(np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for _ in range(20):
        world.step(rng.uniform(-1, 1, 7))
    state = encode(ARM, world.signals())
    np.testing.assert_allclose(state[-3:], world.data.body('scene/tool').xpos, atol=1e-9)


@pytest.mark.parametrize(
    ('robot', 'changes', 'said'),
    [
        (ANT, {'start': {'hip_5': 0.1}}, r"no joint 'hip_5'; did you mean 'hip_1'|hip_4"),
        (ARM, {'without': ('gaol',)}, r"no body 'gaol'; did you mean 'goal'"),
        (ARM, {'slopes': {'profiles': {}}}, r'arm_7dof: .*pusher\.xml has neither'),
    ],
)
def test_what_the_model_has_not_is_refused_with_what_it_has(robot, changes, said):
    with pytest.raises(UserError, match=said):
        load_model(changed(robot, **changes))


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'slopes': {'profiles': {'wall': ((1.0, 13.0),)}}}, 'wall needs pieces, within 12 m'),
        ({'slopes': {'profiles': {'none': ()}}}, 'none needs pieces'),
        # A ramp from there on would have no way to rise on.
        ({'slopes': {'begin_m': 50.0, 'profiles': {}}}, 'begin_m.*less than 50'),
        ({'model': 'ant.urdf'}, 'start is for MJCF models'),
        ({'limbs': {'tail': ('hip_9',)}}, 'tail needs joints of the action'),
    ],
)
def test_what_a_simulation_section_cannot_mean_is_refused_in_one_line(changes, said):
    with pytest.raises(UserError, match=said) as caught:
        changed(ANT, **changes)
    assert '\n' not in str(caught.value)
