# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import mujoco
import numpy as np
import pytest

from mbmrl_ros.config import UserError, parse, share_directory
from mbmrl_ros.sim.sensors import load_model
from mbmrl_ros.sim.urdf import BUMPS, GROUND, bumps, use_terrain
from mbmrl_ros.sim.world import World, initial_state, joint_speeds
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.spec.simulation import Terrain

ROBOT = load_robot('millirobot')
URDF = share_directory() / 'urdf' / 'millirobot.urdf'
FOLLOWERS = {
    f'{side}_legs_{place}': f'{side}_legs'
    for side in ('left', 'right')
    for place in ('front', 'rear')
}


def with_simulation(**changes) -> RobotSpec:
    data = ROBOT.model_dump()
    data['simulation'] |= changes
    return parse(RobotSpec, data, 'test')


def test_pinocchio_and_mujoco_see_the_same_robot():
    pinocchio = pytest.importorskip('pinocchio')
    model = load_model(ROBOT)
    other = pinocchio.buildModelFromUrdf(str(URDF), pinocchio.JointModelFreeFlyer())
    masses = sum(inertia.mass for inertia in other.inertias)
    assert masses == pytest.approx(model.body_mass.sum(), abs=1e-12)
    data, other_data = mujoco.MjData(model), other.createData()
    rng = np.random.default_rng(0)
    joints = [name for name in other.names if name not in ('universe', 'root_joint')]
    links = [model.body(i).name for i in range(1, model.nbody)]
    for _ in range(5):
        data.qpos[:3], data.qpos[3:7] = rng.normal(size=3), rng.normal(size=4)
        data.qpos[3:7] /= np.linalg.norm(data.qpos[3:7])
        configuration = pinocchio.neutral(other)
        # MuJoCo has w first, Pinocchio last.
        configuration[:3], configuration[3:7] = data.qpos[:3], np.roll(data.qpos[3:7], -1)
        for joint in joints:
            angle = rng.uniform(-10, 10)
            data.joint(joint).qpos[0] = angle
            at = other.joints[other.getJointId(joint)].idx_q
            configuration[at : at + 2] = np.cos(angle), np.sin(angle)
        mujoco.mj_kinematics(model, data)
        pinocchio.framesForwardKinematics(other, other_data, configuration)
        for link in links:
            frame = other_data.oMf[other.getFrameId(link)]
            assert frame.translation == pytest.approx(data.body(link).xpos, abs=1e-9)
            assert frame.rotation.ravel() == pytest.approx(data.body(link).xmat, abs=1e-9)


def test_a_robot_of_30_grams_moved_by_the_joints_of_its_topics():
    model = load_model(ROBOT)
    assert model.body_mass.sum() == pytest.approx(0.030, abs=1e-12)
    free = {model.joint(i).name for i in range(model.njnt)} - {'base', *FOLLOWERS}
    published = {channel.joint for channel in ROBOT.state if channel.joint is not None}
    assert free == published == set(ROBOT.action.joints)


def test_legs_of_a_side_turn_together_half_a_turn_apart():
    world = World(ROBOT)
    world.reset(np.random.default_rng(0))
    for command in np.random.default_rng(1).uniform(0, 800, (30, 2)):
        world.step(command)
        for follower, leader in FOLLOWERS.items():
            lag = world.data.joint(follower).qpos[0] - world.data.joint(leader).qpos[0]
            # The gear is not perfectly stiff: 0.1 rad.
            assert lag == pytest.approx(np.pi, abs=0.1)
    assert world.healthy


def test_legs_start_anywhere_and_together():
    model, phases = load_model(ROBOT), []
    for seed in range(50):
        state = initial_state(ROBOT, model, np.random.default_rng(seed))
        position = state[1 : 1 + model.nq]
        legs = {name: position[model.joint(name).qposadr[0]]
                for name in (*FOLLOWERS, *ROBOT.action.joints)}  # fmt: skip
        assert all(legs[f] - legs[j] == pytest.approx(np.pi) for f, j in FOLLOWERS.items())
        phases.append(legs['left_legs'])
    # Phases all over the circle have no mean direction; of 50, up to 0.35 with 99.8 %.
    assert abs(np.exp(1j * np.array(phases)).mean()) < 0.35
    assert list(joint_speeds(ROBOT, model)) == [
        model.joint(name).dofadr[0] for name in ROBOT.action.joints
    ]


def test_a_terrain_is_friction_compliance_and_bumps():
    model = load_model(ROBOT)
    use_terrain(model, Terrain(friction=0.3, compliance_s=0.01, damping=2.0, roughness_m=0.004))
    for name in (GROUND, BUMPS):
        assert model.geom(name).friction[0] == 0.3
        assert list(model.geom(name).solref) == [0.01, 2.0]
    assert model.geom(BUMPS).contype[0] == 1
    assert model.hfield(BUMPS).size[2] == 0.004
    use_terrain(model, Terrain())
    assert model.geom(BUMPS).contype[0] == 0


def test_bumps_rise_from_a_plane():
    field = bumps(200)
    assert field.min() == 0.0 and field.max() == 1.0
    # Half of a symmetric noise is below its mean, where the plane is.
    assert (field == 0).mean() == pytest.approx(0.5, abs=0.05)
    assert np.array_equal(field, bumps(200))


def test_the_robot_stands_on_its_feet_on_every_terrain():
    for name, terrain in ROBOT.simulation.terrains.items():
        world = World(with_simulation(terrains={name: terrain.model_dump()}))
        world.reset(np.random.default_rng(2))
        for _ in range(10):
            world.step(np.zeros(2))
        hips_m = world.data.qpos[2]
        # Between a leg's radius (less what the ground gives) and its length plus the bumps.
        assert 0.005 < hips_m < 0.0145 + terrain.roughness_m, name
        # It has come to rest but for the creep of soft contacts: a twentieth of its walk.
        assert np.abs(world.data.qvel[:3]).max() < 0.01, name


def test_a_joint_that_the_urdf_lacks_is_named(tmp_path: Path):
    path = tmp_path / 'robot.urdf'
    path.write_text(URDF.read_text().replace('"left_legs"', '"port_legs"'))
    with pytest.raises(UserError, match=r"no joint 'left_legs'.*port_legs"):
        load_model(with_simulation(model=str(path)))
