# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A base on wheels: twists as wheel speeds, by closed forms; what floors and drags make of it."""

import mujoco
import numpy as np
import pytest

from mbmrl_ros.config import UserError, parse
from mbmrl_ros.sim.batch import BatchWorld
from mbmrl_ros.sim.disturbances import parse as fault
from mbmrl_ros.sim.mistakes import model_mistakes
from mbmrl_ros.sim.population import Population
from mbmrl_ros.sim.sensors import load_model
from mbmrl_ros.sim.wheels import driven_joints, joint_range, speeds_of_parts
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import RobotSpec, load_robot

BASE = load_robot('diff_drive')
RADIUS_M, TRACK_M = 0.08, 0.3
# N m s/rad: of the servo, and of the bearing.
SERVO, BEARING = 0.2, 0.002


def changed(action: dict | None = None, **changes: object) -> RobotSpec:
    data = BASE.model_dump()
    data['simulation'] |= changes
    data['action'] |= action or {}
    return parse(RobotSpec, data, 'test')


def driven(command: list[float], *faults: str, steps: int = 20) -> dict[str, float]:
    """Return forward, sideways [m/s] and yaw_rate [rad/s] after some periods of one command."""
    world = World(BASE)
    world.set_disturbances([fault(text, BASE) for text in faults])
    world.reset(np.random.default_rng(0))
    for _ in range(steps):
        world.step(np.array(command))
    speeds = np.empty(6)
    body = world.model.body('base').id
    mujoco.mj_objectVelocity(world.model, world.data, mujoco.mjtObj.mjOBJ_XBODY, body, speeds, 1)
    return {'forward': speeds[3], 'sideways': speeds[4], 'yaw_rate': speeds[2]}


def test_wheels_roll_over_the_ground_as_the_twist_says():
    speeds = speeds_of_parts(BASE)
    assert driven_joints(BASE) == ('left_wheel', 'right_wheel')
    assert [0.8, 0.0] @ speeds == pytest.approx([10.0, 10.0])
    # On the spot: the wheels go 0.15 m per radian, either way.
    assert [0.0, 1.6] @ speeds == pytest.approx([-3.0, 3.0])
    # v = r (right + left) / 2, w = r (right - left) / b.
    left, right = [0.7, -1.3] @ speeds
    assert RADIUS_M * (right + left) / 2 == pytest.approx(0.7)
    assert RADIUS_M * (right - left) / TRACK_M == pytest.approx(-1.3)


def test_a_wheel_is_asked_for_what_the_corners_of_the_limits_need():
    # Fastest ahead and turning away from this wheel: (1.2 + 3 x 0.15) / 0.08.
    assert joint_range(BASE, 0) == pytest.approx((-10.625, 20.625))
    assert joint_range(load_robot('hopper'), 1) == (-200.0, 200.0)


def test_more_wheels_on_a_side_turn_alike():
    spec = changed(wheels={'left': ['a', 'b'], 'right': ['c'], 'radius_m': 1, 'track_m': 2})
    assert [0.5, 1.0] @ speeds_of_parts(spec) == pytest.approx([-0.5, -0.5, 1.5])


@pytest.mark.parametrize('twist', [[0.8, 0.0], [0.0, 2.0], [0.6, -1.0]])
def test_on_a_dry_floor_the_base_goes_as_it_is_told(twist):
    reached = driven(twist)
    # The bearing takes its share: a servo without integral stays behind.
    share = SERVO / (SERVO + BEARING)
    assert reached['forward'] == pytest.approx(share * twist[0], abs=0.01)
    assert reached['yaw_rate'] == pytest.approx(share * twist[1], abs=0.02)


def test_a_wheel_that_drags_reaches_the_share_that_servo_and_drag_leave_it():
    reached = driven([0.8, 0.0], 'stiff_joint:right_wheel:0.3')
    left = 10.0 * SERVO / (SERVO + BEARING)
    right = 10.0 * SERVO / (SERVO + BEARING + 0.3)
    # The wheels hang on one body: the floor passes on a little of what one lacks.
    assert reached['forward'] == pytest.approx(RADIUS_M * (left + right) / 2, abs=0.03)
    assert reached['yaw_rate'] == pytest.approx(RADIUS_M * (right - left) / TRACK_M, rel=0.06)


def test_on_a_wet_floor_it_slides_out_of_the_bend():
    # v w = 2 m/s^2 is a quarter of what the dry floor holds, and as much as the wet one does.
    dry, wet = (driven([1.0, 2.0], *faults) for faults in ((), ('terrain:wet',)))
    assert abs(dry['sideways']) < 0.05 < 0.2 < abs(wet['sideways'])


def test_rows_of_a_batch_and_of_a_population_go_as_one_world_does():
    worlds, world = BatchWorld(BASE, 3, threads=1), World(BASE)
    worlds.reset(np.random.default_rng(0))
    worlds.set_disturbances(1, [fault('stiff_joint:left_wheel:0.2', BASE)])
    world.set_disturbances([fault('stiff_joint:left_wheel:0.2', BASE)])
    world.restore(np.concatenate([worlds.states[1], np.zeros(len(world.save()) - 16)]))
    robots = Population(changed(sensing={}), 1, 3, (), threads=1)
    robots.states[:] = worlds.states
    rng = np.random.default_rng(1)
    for _ in range(8):
        commands = rng.uniform(BASE.action.lower, BASE.action.upper, (3, 2))
        worlds.step(commands)
        world.step(commands[1])
        robots.step(commands, np.ones(3, bool))
        np.testing.assert_array_equal(worlds.signals()[1], world.signals())
        np.testing.assert_array_equal(robots.states[[0, 2]], worlds.states[[0, 2]])
    worlds.close()
    robots.close()


def test_mistakes_about_wheels_are_told_where_they_stand():
    wheels = BASE.simulation.wheels.model_dump()
    spec = changed(wheels=wheels | {'right': ['rigth_wheel']})
    (place, text), *_ = model_mistakes(spec)
    assert place == ('simulation', 'wheels', 'right', 0)
    assert "did you mean 'right_wheel'" in text
    fast = changed({'upper': [3.0, 3.0]})
    assert [place for place, _ in model_mistakes(fast)] == [
        ('simulation', 'wheels', side, 0) for side in ('left', 'right')
    ]
    with pytest.raises(UserError, match='beyond, commands act alike'):
        load_model(fast)
    with pytest.raises(UserError, match='their commands are twists of'):
        changed({'joints': ['linear.x', 'linear.y']})


def test_a_twist_has_no_joint_whose_command_is_lost():
    with pytest.raises(UserError, match='no target'):
        World(BASE).set_disturbances([fault('disabled_joint:linear.x', BASE)])


def test_one_thing_takes_the_place_of_the_floor():
    with pytest.raises(UserError, match='slopes and terrains both take the place of the floor'):
        changed(slopes={'profiles': {'hill': [(1.0, 0.1)]}})
