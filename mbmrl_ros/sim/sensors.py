# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The robot's topics as named MuJoCo sensors, so that one robot file serves every world."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from mbmrl_ros.config import Mistake, UserError, closest
from mbmrl_ros.sim.actuators import actuator_mistakes
from mbmrl_ros.sim.arm import complete_arm
from mbmrl_ros.sim.mjcf import complete_mjcf
from mbmrl_ros.sim.model_files import (
    check_joints,
    missing_bodies,
    model_path,
    odometry_mistakes,
    read_description,
    why,
)
from mbmrl_ros.sim.pier import scale_robot
from mbmrl_ros.sim.start import START, set_start
from mbmrl_ros.sim.terrain import make_level
from mbmrl_ros.sim.units import unit_mistakes
from mbmrl_ros.sim.urdf import complete_legs, use_terrain
from mbmrl_ros.spec.channels import Signal, read_signal
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.spec.simulation import Simulation

_JOINT_SENSORS = {
    'position': mujoco.mjtSensor.mjSENS_JOINTPOS,
    'velocity': mujoco.mjtSensor.mjSENS_JOINTVEL,
    'effort': mujoco.mjtSensor.mjSENS_JOINTACTFRC,
}
# Message fields of a body: sensor, and what stands in its columns. The twist of an Odometry is in
# the child frame (REP-105), which is what velocimeter and gyro measure; so is that of a Twist.
_BODY_SENSORS = {
    'pose.pose.position': (mujoco.mjtSensor.mjSENS_FRAMEPOS, 'xyz'),
    'pose.pose.orientation': (mujoco.mjtSensor.mjSENS_FRAMEQUAT, 'wxyz'),
    'twist.twist.linear': (mujoco.mjtSensor.mjSENS_VELOCIMETER, 'xyz'),
    'twist.twist.angular': (mujoco.mjtSensor.mjSENS_GYRO, 'xyz'),
    'pose.position': (mujoco.mjtSensor.mjSENS_FRAMEPOS, 'xyz'),
    'pose.orientation': (mujoco.mjtSensor.mjSENS_FRAMEQUAT, 'wxyz'),
    'transform.translation': (mujoco.mjtSensor.mjSENS_FRAMEPOS, 'xyz'),
    'transform.rotation': (mujoco.mjtSensor.mjSENS_FRAMEQUAT, 'wxyz'),
    'twist.linear': (mujoco.mjtSensor.mjSENS_VELOCIMETER, 'xyz'),
    'twist.angular': (mujoco.mjtSensor.mjSENS_GYRO, 'xyz'),
    'linear': (mujoco.mjtSensor.mjSENS_VELOCIMETER, 'xyz'),
    'angular': (mujoco.mjtSensor.mjSENS_GYRO, 'xyz'),
    'orientation': (mujoco.mjtSensor.mjSENS_FRAMEQUAT, 'wxyz'),
    'angular_velocity': (mujoco.mjtSensor.mjSENS_GYRO, 'xyz'),
    'linear_acceleration': (mujoco.mjtSensor.mjSENS_ACCELEROMETER, 'xyz'),
}


def load_model(
    spec: RobotSpec, dress: Callable[[mujoco.MjSpec], None] | None = None
) -> mujoco.MjModel:
    """Load the robot's model file and add a sensor for every signal of the robot file.

    dress: changes how the description looks, and nothing that moves (sim/scenery.py).
    UserError if the file cannot be read, lacks a body or joint, has another time step, or takes
    other commands than the robot file sends.
    """
    model = build_model(spec, dress)
    for _, text in mistakes_against(spec, model):
        raise UserError(f'{spec.name}: {text}')
    return model


def build_model(
    spec: RobotSpec, dress: Callable[[mujoco.MjSpec], None] | None = None
) -> mujoco.MjModel:
    """Return the model as `load_model`, whatever else the robot file says of it."""
    simulation = simulation_of(spec)
    path = model_path(simulation.model)
    try:
        with warnings.catch_warnings():
            # gymnasium's half_cheetah.xml says it; the masses come out right all the same.
            warnings.filterwarnings('ignore', message='.*settotalmass.*')
            model = _compile(spec, path, dress)
    except UserError:
        raise
    except (ValueError, OSError) as error:
        raise UserError(f'{spec.name}: MuJoCo cannot load {path}: {why(error, path)}') from error
    if simulation.slopes is not None:
        make_level(spec, model)
    if simulation.pier is not None and simulation.pier.robot_mass_kg is not None:
        scale_robot(model, simulation.pier.robot_mass_kg)
    if simulation.terrains:
        use_terrain(model, next(iter(simulation.terrains.values())))
    return model


def mistakes_against(spec: RobotSpec, model: mujoco.MjModel) -> Iterator[Mistake]:
    """Yield what the robot file says and the model, as it was built, does not."""
    yield from _period_mistakes(spec, model)
    yield from odometry_mistakes(spec, model)
    yield from actuator_mistakes(spec, model)
    yield from unit_mistakes(spec, model)


def _compile(
    spec: RobotSpec, path: Path, dress: Callable[[mujoco.MjSpec], None] | None
) -> mujoco.MjModel:
    """Return the model with what the robot file adds to it."""
    simulation = simulation_of(spec)
    description, is_urdf = read_description(spec, path)
    if not is_urdf:
        start = complete_mjcf(description, spec)
    elif simulation.arm is not None:
        start = complete_arm(description, spec, path)
    else:
        start = complete_legs(description, spec, path)
    check_joints(description, spec, path)
    for _, text in missing_bodies(description, spec):
        raise UserError(f'{spec.name}: {text}')
    # They are how signals are read; the model may have no use for its own.
    description.option.disableflags &= ~int(mujoco.mjtDisableBit.mjDSBL_SENSOR)
    _check_names_free(description, spec)
    for signal in spec.signals:
        if signal not in readouts_of(simulation):
            _add_sensor(description, simulation, signal)
    if start and not list(description.keys):
        description.add_key(name=START)
    if dress is not None:
        dress(description)
    model: mujoco.MjModel = description.compile()
    set_start(spec, model, start)
    return model


def simulation_of(spec: RobotSpec) -> Simulation:
    """Return the simulation section of the robot file; UserError if there is none."""
    if spec.simulation is None:
        raise UserError(f'{spec.name} has no simulation section in its robot file')
    return spec.simulation


def readouts_of(simulation: Simulation) -> set[str]:
    """Return the signals that come from the motors and not from MuJoCo."""
    return set() if simulation.motors is None else set(simulation.motors.readouts)


def signal_columns(spec: RobotSpec, model: mujoco.MjModel) -> NDArray[np.int64]:
    """Return where in sensordata each of the R signals is; 0 for one that MuJoCo has not."""
    columns = []
    for signal in spec.signals:
        if signal in readouts_of(simulation_of(spec)):
            columns.append(0)
            continue
        name, column = _sensor_of(signal)
        columns.append(model.sensor(name).adr[0] + column)
    return np.array(columns, np.int64)


def _period_mistakes(spec: RobotSpec, model: mujoco.MjModel) -> Iterator[Mistake]:
    steps, step_s = simulation_of(spec).physics_steps, model.opt.timestep
    if abs(steps * step_s - spec.period_s) > 1e-9:
        yield Mistake(
            ('simulation', 'physics_steps'),
            f'period_s is {spec.period_s:g}, but physics_steps {steps} of '
            f'{step_s:g} s each make {steps * step_s:g}',
        )


def _sensor_of(signal: str) -> tuple[str, int]:
    """Return the sensor's name and the column in it."""
    topic, field, joint = read_signal(signal)
    if joint is not None:
        return signal, 0
    prefix, _, part = field.rpartition('.')
    if prefix not in _BODY_SENSORS or part not in tuple(_BODY_SENSORS[prefix][1]):
        fields = ', '.join(sorted(_BODY_SENSORS))
        raise UserError(f'{signal}: the simulator has no such field; it has x, y, z of: {fields}')
    return str(Signal(topic, prefix)), _BODY_SENSORS[prefix][1].index(part)


def _check_names_free(description: mujoco.MjSpec, spec: RobotSpec) -> None:
    """Raise UserError if the model has a sensor or a site of a name that is given here."""
    simulation = simulation_of(spec)
    signals = [signal for signal in spec.signals if signal not in readouts_of(simulation)]
    given = {
        'sensor': {_sensor_of(signal)[0] for signal in signals},
        'site': {_site_name(body) for body in simulation.bodies.values()},
    }
    for kind, items in (('sensor', description.sensors), ('site', description.sites)):
        for name in sorted(given[kind].intersection(item.name for item in items)):
            raise UserError(
                f'{spec.name}: the model has a {kind} {name!r}, and the simulator needs that name '
                'for its own; rename it'
            )


def check_signal(simulation: Simulation, signal: str) -> Signal:
    """Return what the name of a signal's sensor is made of; UserError if MuJoCo has none such."""
    topic, field, joint = parts = read_signal(_sensor_of(signal)[0])
    if joint is not None and field not in _JOINT_SENSORS:
        valid = closest(field, _JOINT_SENSORS)
        raise UserError(f'{signal}: no such field of a joint; {valid}')
    if joint is None and topic not in simulation.bodies:
        raise UserError(f'simulation.bodies does not say which body {topic} is about')
    return parts


def _add_sensor(description: mujoco.MjSpec, simulation: Simulation, signal: str) -> None:
    name, _ = _sensor_of(signal)
    if any(sensor.name == name for sensor in description.sensors):
        return
    topic, field, joint = check_signal(simulation, signal)
    if joint is not None:
        description.add_sensor(
            name=name,
            type=_JOINT_SENSORS[field],
            objtype=mujoco.mjtObj.mjOBJ_JOINT,
            objname=joint,
        )
        return
    description.add_sensor(
        name=name,
        type=_BODY_SENSORS[field][0],
        objtype=mujoco.mjtObj.mjOBJ_SITE,
        objname=_site(description, simulation.bodies[topic]),
    )


def _site(description: mujoco.MjSpec, body: str) -> str:
    """Return a site at a body's origin: sensors of the body itself sit at its centre of mass."""
    name = _site_name(body)
    if not any(site.name == name for site in description.sites):
        found = next(item for item in description.bodies if item.name == body)
        found.add_site(name=name)
    return name


def _site_name(body: str) -> str:
    return f'origin of {body}'
