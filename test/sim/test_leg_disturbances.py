# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import math

import mujoco
import numpy as np
import pytest

from mbmrl_ros.sim.disturbances import KINDS, Disturbance, check, disturbed, parse
from mbmrl_ros.sim.leg_disturbances import fix_mass
from mbmrl_ros.sim.sensors import load_model
from mbmrl_ros.sim.urdf import BUMPS, GROUND
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import load_robot

ROBOT = load_robot('millirobot')
FAULTS = (
    'terrain:turf',
    'slope:x:20',
    'missing_leg:right_front_leg',
    'payload:markers',
    'side_payload:markers:0.03',
    'pulled:sledge',
    'pose_tilt:roll:10',
    'weak_battery:battery',
)


def faulty(*texts: str) -> mujoco.MjModel:
    return disturbed(ROBOT, load_model(ROBOT), [parse(text) for text in texts])[0]


def driven(fault: str | None, command: float = 400.0, steps: int = 40) -> tuple[World, float]:
    """Drive straight on; return the world and the way of the legs [rad]."""
    world = World(ROBOT)
    world.reset(np.random.default_rng(0))
    if fault is not None:
        world.set_disturbances([parse(fault)])
    begin = world.data.joint('left_legs').qpos[0]
    for _ in range(steps):
        world.step(np.full(2, command))
    assert world.healthy
    return world, world.data.joint('left_legs').qpos[0] - begin


@pytest.mark.parametrize('text', FAULTS)
def test_a_fault_edits_a_model_of_its_own_and_can_go_again(text):
    original = load_model(ROBOT)
    gravity, masses = original.opt.gravity.copy(), original.body_mass.copy()
    friction = original.geom(GROUND).friction.copy()
    quaternions, battery = original.site_quat.copy(), original.numeric_data.copy()
    model, gain = disturbed(ROBOT, original, [parse(text)])
    assert model is not original and gain.tolist() == [1.0, 1.0]
    assert np.array_equal(original.opt.gravity, gravity)
    assert np.array_equal(original.body_mass, masses)
    assert np.array_equal(original.geom(GROUND).friction, friction)
    assert np.array_equal(original.site_quat, quaternions)
    assert np.array_equal(original.numeric_data, battery)


def test_a_slope_is_gravity_downhill():
    gravity = faulty('slope:x:30').opt.gravity
    assert gravity == pytest.approx([-9.81 / 2, 0.0, -9.81 * math.sqrt(3) / 2])


def test_a_missing_leg_weighs_and_touches_nothing():
    model, whole = faulty('missing_leg:right_front_leg'), load_model(ROBOT)
    lost = whole.body_mass.sum() - model.body_mass.sum()
    assert lost == pytest.approx(0.99 * 0.0006)
    feet = [i for i in range(model.ngeom) if model.geom(i).name.startswith('right_front_leg')]
    assert len(feet) == 4
    assert all(model.geom_conaffinity[foot] == 0 for foot in feet)
    assert all(whole.geom_conaffinity[foot] == 1 for foot in feet)


def test_a_payload_adds_to_the_whole_mass():
    model = faulty('payload:markers')
    assert model.body_mass.sum() == pytest.approx(0.030 + 0.0142)
    assert model.body_subtreemass[0] == pytest.approx(0.030 + 0.0142)


def test_a_payload_at_the_edge_shifts_the_centre_of_mass_to_the_left():
    middle, aside = faulty('payload:markers:0.03'), faulty('side_payload:markers:0.03')
    centres = []
    for model in (middle, aside):
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        centres.append(data.subtree_com[0].copy())
    assert aside.body_mass.sum() == pytest.approx(0.060)
    # Half of the 60 g sits 25 mm to the left.
    assert centres[1] - centres[0] == pytest.approx([0.0, 0.0125, 0.0], abs=1e-6)


def test_a_fixed_mass_gives_the_inertia_of_the_whole():
    model = load_model(ROBOT)
    fix_mass(model, 'body', 0.01, np.array([0.02, 0.0, 0.0]))
    body = model.body('body')
    # 24.4 g at (0, 0, 1 mm) and 10 g at (20, 0, 0) mm; products of inertia by the reduced mass
    # m = 24.4 * 10 / 34.4 = 7.093 g over d = (20, 0, -1) mm: m (d.d 1 - d d^T).
    assert body.ipos == pytest.approx([0.02 * 10 / 34.4, 0, 0.001 * 24.4 / 34.4])
    m, d = 7.0930e-3, np.array([0.02, 0.0, -0.001])
    expected = np.diag([5.0e-6, 1.5e-5, 1.8e-5]) + m * (d @ d * np.eye(3) - np.outer(d, d))
    turn = np.empty((3, 3))
    mujoco.mju_quat2Mat(turn.ravel(), body.iquat)
    assert turn @ np.diag(body.inertia) @ turn.T == pytest.approx(expected, abs=1e-10)


def test_a_sledge_holds_back_with_its_friction():
    # 0.3 * 0.02 kg * 9.81 m/s^2.
    assert faulty('pulled:sledge:0.02').dof_frictionloss[:3] == pytest.approx([0.0589, 0.0589, 0],
                                                                             abs=1e-4)  # fmt: skip


def test_tilted_markers_turn_the_measured_pose_alone():
    straight, tilted = load_model(ROBOT), faulty('pose_tilt:roll:10')
    signals = []
    for model in (straight, tilted):
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        signals.append(data.sensor('pose:pose.orientation').data.copy())
        assert data.sensor('pose:pose.position').data[2] == pytest.approx(0.063)
    half = math.radians(5)
    assert signals[0] == pytest.approx([1, 0, 0, 0])
    assert signals[1] == pytest.approx([math.cos(half), math.sin(half), 0, 0])


def test_a_weak_battery_slows_the_legs_and_says_so():
    place = ROBOT.signals.index('telemetry:data.2')
    usual, way = driven(None, command=700.0)
    weak, shorter = driven('weak_battery:battery', command=700.0)
    assert shorter < 0.7 * way
    # A quarter of 3.84 V at 235 counts per volt is 226 counts, less what the current costs.
    assert weak.signals()[place] < 226 + 40 < 700 < usual.signals()[place]


def test_gravel_is_rough_and_carpet_less():
    gravel, carpet = faulty('terrain:gravel'), faulty('terrain:carpet')
    assert gravel.hfield(BUMPS).size[2] > carpet.hfield(BUMPS).size[2] > 0


def test_uphill_is_slower_than_downhill():
    def climbed(fault: str) -> float:
        world, _ = driven(fault, command=350.0)
        return float(world.data.qpos[0])

    assert climbed('slope:x:20') < climbed('slope:x:-20')


def test_faults_are_of_the_robots_that_can_have_them():
    cheetah = load_robot('half_cheetah')
    own = {kind for kind in KINDS if KINDS[kind].targets(ROBOT)}
    assert {text.split(':')[0] for text in FAULTS} < own
    assert [kind for kind in KINDS if KINDS[kind].targets(cheetah)] == ['disabled_joint']


def test_a_fault_without_a_value_has_its_usual_one():
    assert parse('payload:markers') == Disturbance('payload', 'markers', 0.0142)
    for text in FAULTS:
        check(ROBOT, parse(text))


ANT = load_robot('ant')
# Geoms of the upper and the lower link of back_right (leg 4 of the model file).
BACK_RIGHT = ('rightback_leg_geom', 'fourth_ankle_geom')


def crippled() -> tuple[mujoco.MjModel, mujoco.MjModel, list[float]]:
    original = load_model(ANT)
    model, gain = disturbed(ANT, original, [parse('crippled_leg:back_right')])
    return original, model, gain.tolist()


def test_a_crippled_leg_has_no_motors_and_half_the_size():
    original, model, gain = crippled()
    assert gain == [1, 1, 1, 1, 1, 1, 0, 0]
    for name in BACK_RIGHT:
        assert model.geom(name).size == pytest.approx(original.geom(name).size / 2)
        assert model.geom(name).rbound == pytest.approx(original.geom(name).rbound / 2)
    # Capsules of radius 0.08; half of sqrt(0.2^2 + 0.2^2) and of sqrt(0.4^2 + 0.4^2) long.
    assert [model.geom(name).size[:2].tolist() for name in BACK_RIGHT] == [
        pytest.approx([0.04, math.sqrt(0.08) / 4]),
        pytest.approx([0.04, math.sqrt(0.32) / 4]),
    ]
    others = [i for i in range(model.ngeom) if model.geom(i).name not in BACK_RIGHT]
    assert np.array_equal(model.geom_size[others], original.geom_size[others])
    assert np.array_equal(model.body_mass, original.body_mass)
    assert np.array_equal(model.body_inertia, original.body_inertia)


def test_the_lower_link_of_a_crippled_leg_ends_half_way():
    original, model, _ = crippled()
    lower, ends = BACK_RIGHT[1], []
    # Published: to where the upper link's geom is, which is half of its own way.
    assert model.geom(lower).pos == pytest.approx(original.geom(BACK_RIGHT[0]).pos)
    for each in (original, model):
        data = mujoco.MjData(each)
        mujoco.mj_kinematics(each, data)
        geom, body = data.geom(lower), each.geom(lower).bodyid[0]
        axis = geom.xmat.reshape(3, 3)[:, 2] * each.geom(lower).size[1]
        far = max(np.linalg.norm(geom.xpos + s * axis - data.xpos[body]) for s in (-1, 1))
        ends.append(far)
    assert ends[0] == pytest.approx(math.sqrt(0.32)) and ends[1] == pytest.approx(ends[0] / 2)


def test_an_ant_on_a_crippled_leg_hangs_on_that_side():
    heights = []
    for wrong in ([], [parse('crippled_leg:back_right')]):
        world = World(ANT)
        world.reset(np.random.default_rng(0))
        world.set_disturbances(wrong)
        for _ in range(100):
            world.step(np.zeros(8))
        # x forward, y left: the corner of back_right.
        corner = np.array([0.2, -0.2, 0.0])
        rotation = world.data.body('torso').xmat.reshape(3, 3)
        heights.append((rotation @ corner)[2])
    assert heights[1] < heights[0] - 0.01
