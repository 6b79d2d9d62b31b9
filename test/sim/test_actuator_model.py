# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import mujoco
import numpy as np
import pytest

from mbmrl_ros.config import UserError, parse
from mbmrl_ros.sim.actuator_model import MotorDrive, make_drive
from mbmrl_ros.sim.sensors import load_model
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import RobotSpec, load_robot

ROBOT = load_robot('millirobot')
MOTORS = {
    'set_point': 10.0,
    'delay_s': 0.0,
    'period_s': 0.005,
    'proportional_v_s': 0.1,
    'integral_v': 0.0,
    'torque_constant_nm_a': 0.02,
    'winding_ohm': 5.0,
    'inertia_kg_m2': 2e-6,
    'battery': {'voltage_v': 4.0, 'resistance_ohm': 0.5},
    'readouts': {
        'telemetry:data.0': {'quantity': 'back_emf', 'joint': 'left_legs', 'counts_per_v': 50,
                             'driven_counts_per_v': 70},
        'telemetry:data.1': {'quantity': 'back_emf', 'joint': 'right_legs', 'counts_per_v': -50},
        'telemetry:data.2': {'quantity': 'battery', 'counts_per_v': 200},
    },
}  # fmt: skip


def robot(**changes) -> RobotSpec:
    data = ROBOT.model_dump()
    data['simulation']['motors'] = MOTORS | changes
    data['simulation']['sensing'] = {}
    return parse(RobotSpec, data, 'test')


def drive(**changes) -> MotorDrive:
    spec = robot(**changes)
    model = load_model(spec)
    made = make_drive(spec, model, 1, 100)
    assert isinstance(made, MotorDrive)
    made.reset(0, model, np.random.default_rng(0))
    return made


def settle(motors: MotorDrive, command, speeds) -> np.ndarray:
    for _ in range(50):
        volts = motors.controls(0, np.array([command], float), np.array([speeds], float))
    return volts[0]


def test_the_voltage_is_proportional_to_the_error_within_the_battery():
    # 100 and 200 counts are 10 and 20 rad/s; errors of 3 and 20 rad/s.
    assert settle(drive(), [100, 200], [7, 0]) == pytest.approx([0.3, 2.0])


def test_the_battery_sags_with_the_current_of_both_motors():
    motors = drive()
    # Stalled at full drive: 4 V behind 0.5 ohm feed two windings of 5 ohm at once:
    # 4 * 2.5 / (2.5 + 0.5) = 3.33 V.
    volts = settle(motors, [1000, 1000], [0, 0])
    assert volts == pytest.approx([10 / 3, 10 / 3], rel=1e-6)
    # At 50 rad/s back-EMF is 1 V: current 2.333 / 5 less, so the battery recovers:
    # V = 4 - 0.5 * 2 * (V - 1) / 5 -> V = 4.2 / 1.2 = 3.5 V.
    assert settle(motors, [1e4, 1e4], [50, 50]) == pytest.approx([3.5, 3.5], rel=1e-6)


def test_the_integral_grows_with_the_error_and_stands_still_at_the_limit():
    motors = drive(integral_v=2.0)
    # After n steps of 5 ms and 1 rad/s: 0.1 + n * 2 * 0.005 V (the n-th acts one step later).
    volts = [motors.controls(0, np.array([[10.0, 0]]), np.zeros((1, 2)))[0, 0] for _ in range(5)]
    assert volts == pytest.approx([0.1, 0.11, 0.12, 0.13, 0.14])
    settle(motors, [1e4, 1e4], [0, 0])
    back = motors.controls(0, np.array([[10.0, 0]]), np.zeros((1, 2)))[0, 0]
    assert back == pytest.approx(0.15)


def test_a_command_is_in_force_after_its_delay():
    motors = drive(delay_s=0.01)
    speeds = np.zeros((1, 2))
    for part in range(motors.parts):
        motors.controls(part, np.array([[100.0, 100.0]]), speeds)
    volts = [motors.controls(part, np.zeros((1, 2)), speeds)[0, 0] for part in range(4)]
    # 10 ms are two parts of 5 ms.
    assert volts == pytest.approx([1.0, 1.0, 0.0, 0.0])


def test_readouts_are_voltages_in_counts_or_the_supply_while_driven():
    motors = drive()
    settle(motors, [100, 100], [7, 7])
    # 7 rad/s are 0.14 V, and 0.3 V of about 4 V drive the motor: 7.5 % of the time.
    speeds = np.array([7.0, 7.0])
    free = motors.readouts(0, speeds, np.array([0.5, 0.5]))
    assert free['telemetry:data.0'] == pytest.approx(7.0)
    assert free['telemetry:data.1'] == pytest.approx(-7.0)
    assert free['telemetry:data.2'] == pytest.approx(800, rel=0.01)
    driven = motors.readouts(0, speeds, np.array([0.05, 0.5]))
    assert driven['telemetry:data.0'] == pytest.approx(70 * free['telemetry:data.2'] / 200)


def test_legs_in_the_air_turn_as_the_equation_of_the_motor_says():
    spec = robot()
    world = World(spec)
    world.model.opt.gravity[:] = 0.0
    world.reset(np.random.default_rng(0))
    for _ in range(10):
        world.step(np.array([300.0, 300.0]))
    # Without load the torque vanishes: kp (c - w) = ke w -> w = c kp / (kp + ke) = 30 / 1.2.
    turned = world.signals()
    world.step(np.array([300.0, 300.0]))
    places = [
        spec.signals.index(f'joint_states:position[{joint}]') for joint in spec.action.joints
    ]
    speed = (world.signals() - turned)[places] / spec.period_s
    assert speed == pytest.approx([25.0, 25.0], rel=0.01)


def test_robots_side_by_side_do_not_feel_each_other():
    spec = robot()
    model = load_model(spec)
    two, one = make_drive(spec, model, 2, 100), make_drive(spec, model, 1, 100)
    for made in (two, one):
        for row in range(len(made.memory)):
            made.reset(row, model, np.random.default_rng(row))
    commands, speeds = np.array([[100.0, 900.0], [500.0, 0.0]]), np.array([[3.0, 4.0], [5.0, 6.0]])
    for part in range(20):
        both = two.controls(part, commands, speeds)
        assert np.array_equal(both[:1], one.controls(part, commands[:1], speeds[:1]))
    assert np.array_equal(two.memory[:1], one.memory)


def test_the_parts_of_a_period_must_come_out_even():
    with pytest.raises(UserError, match=r'motor periods of 0\.003 s'):
        make_drive(robot(period_s=0.003), load_model(robot()), 1, 100)


def test_the_physics_apply_back_emf():
    model = load_model(robot())
    actuator = model.actuator('left_legs').id
    # kt / R = 0.004 N m per volt; kt^2 / R = 8e-5 N m s.
    assert model.actuator_gainprm[actuator, 0] == pytest.approx(0.004)
    assert model.actuator_biasprm[actuator, 2] == pytest.approx(-8e-5)
    assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST
