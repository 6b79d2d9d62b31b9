# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The robot's topics as named MuJoCo sensors, so that one robot file serves every world."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.sim.arm import complete_arm
from mbmrl_ros.sim.ground import make_level
from mbmrl_ros.sim.mjcf import complete_mjcf
from mbmrl_ros.sim.pier import scale_robot
from mbmrl_ros.sim.urdf import complete_legs, use_terrain
from mbmrl_ros.simulation import Simulation
from mbmrl_ros.spec import RobotSpec
from mbmrl_ros.types import Array

_JOINT_SENSORS = {
    'position': mujoco.mjtSensor.mjSENS_JOINTPOS,
    'velocity': mujoco.mjtSensor.mjSENS_JOINTVEL,
    'effort': mujoco.mjtSensor.mjSENS_JOINTACTFRC,
}
# Message fields of a body: sensor, and what stands in its columns. The twist of
# an Odometry is in the child frame (REP-105), which is what velocimeter and gyro measure.
_BODY_SENSORS = {
    'pose.pose.position': (mujoco.mjtSensor.mjSENS_FRAMEPOS, 'xyz'),
    'pose.pose.orientation': (mujoco.mjtSensor.mjSENS_FRAMEQUAT, 'wxyz'),
    'twist.twist.linear': (mujoco.mjtSensor.mjSENS_VELOCIMETER, 'xyz'),
    'twist.twist.angular': (mujoco.mjtSensor.mjSENS_GYRO, 'xyz'),
    'pose.position': (mujoco.mjtSensor.mjSENS_FRAMEPOS, 'xyz'),
    'pose.orientation': (mujoco.mjtSensor.mjSENS_FRAMEQUAT, 'wxyz'),
    'orientation': (mujoco.mjtSensor.mjSENS_FRAMEQUAT, 'wxyz'),
    'angular_velocity': (mujoco.mjtSensor.mjSENS_GYRO, 'xyz'),
    'linear_acceleration': (mujoco.mjtSensor.mjSENS_ACCELEROMETER, 'xyz'),
}


def load_model(spec: RobotSpec) -> mujoco.MjModel:
    """Load the robot's model file and add a sensor for every signal of the robot file.

    UserError if the file cannot be read, lacks a body or joint, or has another time step.
    """
    simulation = simulation_of(spec)
    path = model_path(simulation.model)
    with warnings.catch_warnings():
        # gymnasium's half_cheetah.xml says it; the masses come out right all the same.
        warnings.filterwarnings('ignore', message='.*settotalmass.*')
        try:
            description = mujoco.MjSpec.from_file(str(path))
            if path.suffix == '.urdf':
                complete = complete_legs if simulation.arm is None else complete_arm
                complete(description, spec, path)
            else:
                complete_mjcf(description, spec)
            for signal in spec.signals:
                if signal not in readouts_of(simulation):
                    _add_sensor(description, simulation, signal)
            model = description.compile()
        except UserError:
            raise
        except (ValueError, OSError) as error:
            line = ' '.join(str(error).split())
            raise UserError(f'{spec.name}: MuJoCo cannot load {path}: {line}') from error
    _check_period(spec, model)
    if simulation.slopes is not None:
        make_level(spec, model)
    if simulation.pier is not None and simulation.pier.robot_mass_kg is not None:
        scale_robot(model, simulation.pier.robot_mass_kg)
    if simulation.terrains:
        use_terrain(model, next(iter(simulation.terrains.values())))
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


def model_path(name: str) -> Path:
    """Find a model file: gymnasium/<file> is one of gymnasium's, anything else a path."""
    if not name.startswith('gymnasium/'):
        return Path(name)
    found = importlib.util.find_spec('gymnasium')
    if found is None or found.origin is None:
        raise UserError(f'{name} needs the package gymnasium: pip install gymnasium')
    return Path(found.origin).parent / 'envs' / 'mujoco' / 'assets' / name.split('/', 1)[1]


def command_units(spec: RobotSpec, model: mujoco.MjModel) -> tuple[NDArray[np.int64], Array]:
    """Return the ids [A] of the actuators, and what one unit of their control means [A].

    control = command / unit. An effort is gear * gain * control; the target of a servo is
    compared with gear * position (or velocity) of its joint.
    """
    ids = [_actuator_of(spec, model, joint) for joint in spec.action.joints]
    gears = model.actuator_gear[ids, 0]
    if spec.action.field != 'effort':
        return np.array(ids, np.int64), 1.0 / gears
    for joint, actuator in zip(spec.action.joints, ids):
        if model.actuator_biastype[actuator] != mujoco.mjtBias.mjBIAS_NONE:
            raise UserError(f'{spec.name}: the actuator of {joint} is a servo, not an effort')
    return np.array(ids, np.int64), gears * model.actuator_gainprm[ids, 0]


def _actuator_of(spec: RobotSpec, model: mujoco.MjModel, joint: str) -> int:
    joint_id = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, joint)
    drives_joint = model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT
    matches = np.flatnonzero(drives_joint & (model.actuator_trnid[:, 0] == joint_id))
    if joint_id < 0 or len(matches) != 1:
        raise UserError(f'{spec.name}: the model needs one actuator on joint {joint!r}')
    return int(matches[0])


def _check_period(spec: RobotSpec, model: mujoco.MjModel) -> None:
    steps, step_s = simulation_of(spec).physics_steps, model.opt.timestep
    if abs(steps * step_s - spec.period_s) > 1e-9:
        raise UserError(
            f'{spec.name}: period_s is {spec.period_s:g}, but physics_steps {steps} of '
            f'{step_s:g} s each make {steps * step_s:g}'
        )


def _sensor_of(signal: str) -> tuple[str, int]:
    """Return the sensor's name and the column in it."""
    topic, field = signal.split(':')
    if field.endswith(']'):
        return signal, 0
    prefix, _, part = field.rpartition('.')
    if prefix not in _BODY_SENSORS or part not in tuple(_BODY_SENSORS[prefix][1]):
        fields = ', '.join(sorted(_BODY_SENSORS))
        raise UserError(f'{signal}: the simulator has no such field; it has x, y, z of: {fields}')
    return f'{topic}:{prefix}', _BODY_SENSORS[prefix][1].index(part)


def _add_sensor(description: mujoco.MjSpec, simulation: Simulation, signal: str) -> None:
    name, _ = _sensor_of(signal)
    if any(sensor.name == name for sensor in description.sensors):
        return
    topic, field = name.split(':')
    if field.endswith(']'):
        kind, joint = field[:-1].split('[')
        if kind not in _JOINT_SENSORS:
            raise UserError(f'{signal}: no such field of a joint; {closest(kind, _JOINT_SENSORS)}')
        description.add_sensor(
            name=name,
            type=_JOINT_SENSORS[kind],
            objtype=mujoco.mjtObj.mjOBJ_JOINT,
            objname=joint,
        )
        return
    if topic not in simulation.bodies:
        raise UserError(f'simulation.bodies does not say which body {topic} is about')
    description.add_sensor(
        name=name,
        type=_BODY_SENSORS[field][0],
        objtype=mujoco.mjtObj.mjOBJ_SITE,
        objname=_site(description, simulation.bodies[topic]),
    )


def _site(description: mujoco.MjSpec, body: str) -> str:
    """Return a site at a body's origin: sensors of the body itself sit at its centre of mass."""
    name = f'origin of {body}'
    if not any(site.name == name for site in description.sites):
        found = next((item for item in description.bodies if item.name == body), None)
        if found is None:
            names = [item.name for item in description.bodies if item.name]
            raise UserError(f'simulation.bodies: no body {body!r}; {closest(body, names)}')
        found.add_site(name=name)
    return name
