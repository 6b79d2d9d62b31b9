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

from mbmrl_ros.config import UserError
from mbmrl_ros.spec import RobotSpec, Simulation

_JOINT_SENSORS = {
    'position': mujoco.mjtSensor.mjSENS_JOINTPOS,
    'velocity': mujoco.mjtSensor.mjSENS_JOINTVEL,
    'effort': mujoco.mjtSensor.mjSENS_JOINTACTFRC,
}
# Message fields of a body: sensor, and the columns of x, y, z (and w) in its output. The twist of
# an Odometry is in the child frame (REP-105), which is what velocimeter and gyro measure.
_BODY_SENSORS = {
    'pose.pose.position': ('framepos', mujoco.mjtSensor.mjSENS_FRAMEPOS, 'xyz'),
    'pose.pose.orientation': ('framequat', mujoco.mjtSensor.mjSENS_FRAMEQUAT, 'wxyz'),
    'twist.twist.linear': ('velocimeter', mujoco.mjtSensor.mjSENS_VELOCIMETER, 'xyz'),
    'twist.twist.angular': ('gyro', mujoco.mjtSensor.mjSENS_GYRO, 'xyz'),
    'pose.position': ('framepos', mujoco.mjtSensor.mjSENS_FRAMEPOS, 'xyz'),
    'pose.orientation': ('framequat', mujoco.mjtSensor.mjSENS_FRAMEQUAT, 'wxyz'),
}


def load_model(spec: RobotSpec) -> mujoco.MjModel:
    """Load the robot's model file and add a sensor for every signal of the robot file."""
    simulation = _simulation(spec)
    path = model_path(simulation.model)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            description = mujoco.MjSpec.from_file(str(path))
        except (ValueError, FileNotFoundError) as error:
            raise UserError(f'{spec.name}: MuJoCo cannot load {path}: {error}') from error
        for signal in spec.signals:
            _add_sensor(description, simulation, signal)
        try:
            return description.compile()
        except ValueError as error:
            raise UserError(f'{spec.name}: {path}: {error}') from error


def signal_columns(spec: RobotSpec, model: mujoco.MjModel) -> NDArray[np.int64]:
    """Return where in sensordata each of the R signals is."""
    columns = []
    for signal in spec.signals:
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


def command_gears(spec: RobotSpec, model: mujoco.MjModel) -> tuple[NDArray[np.int64], np.ndarray]:
    """Return actuator ids [A] and gears [A] of the joints: control = effort / gear."""
    ids = []
    for joint in spec.action.joints:
        joint_id = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, joint)
        matches = np.flatnonzero(model.actuator_trnid[:, 0] == joint_id)
        if joint_id < 0 or len(matches) != 1:
            raise UserError(f'{spec.name}: the model needs one actuator on joint {joint!r}')
        ids.append(int(matches[0]))
    return np.array(ids, np.int64), model.actuator_gear[ids, 0].copy()


def _simulation(spec: RobotSpec) -> Simulation:
    if spec.simulation is None:
        raise UserError(f'{spec.name} has no simulation section in its robot file')
    return spec.simulation


def _sensor_of(signal: str) -> tuple[str, int]:
    """Return the sensor's name and the column in it."""
    topic, field = signal.split(':')
    if field.endswith(']'):
        return signal, 0
    prefix, _, part = field.rpartition('.')
    if prefix not in _BODY_SENSORS:
        raise UserError(f'{signal}: the simulator has no sensor for this field')
    return f'{topic}:{prefix}', _BODY_SENSORS[prefix][2].index(part)


def _add_sensor(description: mujoco.MjSpec, simulation: Simulation, signal: str) -> None:
    name, _ = _sensor_of(signal)
    if any(sensor.name == name for sensor in description.sensors):
        return
    topic, field = name.split(':')
    if field.endswith(']'):
        kind, joint = field[:-1].split('[')
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
        type=_BODY_SENSORS[field][1],
        objtype=mujoco.mjtObj.mjOBJ_SITE,
        objname=_site(description, simulation.bodies[topic]),
    )


def _site(description: mujoco.MjSpec, body: str) -> str:
    """Return a site at a body's origin: sensors of the body itself sit at its centre of mass."""
    name = f'{body}_origin'
    if not any(site.name == name for site in description.sites):
        found = next((item for item in description.bodies if item.name == body), None)
        if found is None:
            raise UserError(f'the model has no body {body!r}')
        found.add_site(name=name)
    return name
