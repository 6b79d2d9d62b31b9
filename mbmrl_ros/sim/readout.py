# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the sensors of a robot file say, read off the state of the physics alone.

MuJoCo computes sensors at the start of a step, so those of the new state take a step more: a
sixth of the time where a control period is five. Joints, and the odometry of a body that floats
freely, are in the state as it is.
"""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import numpy as np
from numpy.typing import NDArray

from mbmrl_ros.config import UserError
from mbmrl_ros.sim.sensors import simulation_of
from mbmrl_ros.spec.channels import Signal, read_signal
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

Readout = Callable[[Array], Array]
"""physics states [B, .] (time, qpos, qvel) -> signals [B, R]."""

_POSE, _TWIST = 'pose.pose', 'twist.twist'


def make_readout(spec: RobotSpec, model: mujoco.MjModel) -> Readout:
    """Return how the signals of the robot file follow from states; UserError if one does not."""
    signals = [read_signal(signal) for signal in spec.signals]
    topics = dict.fromkeys(signal.topic for signal in signals if signal.joint is None)
    width = 1 + model.nq + model.nv
    free = {topic: _FreeBody(spec, model, topic) for topic in topics}
    # Behind the state come the quaternion and the velocity of each of those bodies.
    behind = {topic: width + 7 * place for place, topic in enumerate(free)}
    columns = np.array(
        [
            _joint_column(spec, model, signal)
            if signal.joint is not None
            else free[signal.topic].column(signal, behind[signal.topic])
            for signal in signals
        ]
    )

    def read(states: Array) -> Array:
        derived = [body.derived(states) for body in free.values()]
        return np.asarray(np.concatenate([states, *derived], 1)[:, columns])

    return read if free else lambda states: states[:, columns]


class _FreeBody:
    """A body on a free joint, whose odometry a topic is."""

    def __init__(self, spec: RobotSpec, model: mujoco.MjModel, topic: str) -> None:
        self._spec = spec
        name = simulation_of(spec).bodies.get(topic)
        body = -1 if name is None else mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, name)
        joint = model.body_jntadr[body] if body >= 0 else -1
        odometry = spec.topics[topic].type == 'nav_msgs/msg/Odometry'
        if joint < 0 or not odometry or model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_FREE:
            raise UserError(
                f'{spec.name}: {topic} is no odometry of a body that floats freely, which is all '
                'that can be sampled without sensors; give the robot file joints instead'
            )
        self._position = 1 + int(model.jnt_qposadr[joint])
        self._speed = 1 + int(model.nq) + int(model.jnt_dofadr[joint])

    def derived(self, states: Array) -> Array:
        """Return [B, 7]: quaternion, and velocity in the frame of the body."""
        quaternion = states[:, self._position + 3 : self._position + 7]
        quaternion = quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True)
        velocity = _turned_back(quaternion, states[:, self._speed : self._speed + 3])
        return np.concatenate([quaternion, velocity], 1)

    def column(self, signal: Signal, behind: int) -> int:
        prefix, _, part = signal.field.rpartition('.')
        places = {
            f'{_POSE}.position': (self._position, 'xyz'),
            f'{_POSE}.orientation': (behind, 'wxyz'),
            f'{_TWIST}.linear': (behind + 4, 'xyz'),
            # In the frame of the body, for a free joint.
            f'{_TWIST}.angular': (self._speed + 3, 'xyz'),
        }
        start, parts = places[prefix]
        return start + parts.index(part)


def _turned_back(quaternion: Array, vector: Array) -> NDArray[np.float64]:
    """Return vectors [B, 3] of the world in the frames of unit quaternions [B, 4]."""
    scalar, axis = quaternion[:, :1], quaternion[:, 1:]
    twice = 2.0 * _cross(vector, axis)
    return np.asarray(vector + scalar * twice + _cross(twice, axis))


def _cross(left: Array, right: Array) -> NDArray[np.float64]:
    """Return cross products [B, 3]; for one row `np.cross` takes as long as a physics step."""
    after, before = [1, 2, 0], [2, 0, 1]
    products = left[:, after] * right[:, before] - left[:, before] * right[:, after]
    return np.asarray(products)


def _joint_column(spec: RobotSpec, model: mujoco.MjModel, signal: Signal) -> int:
    joint = model.joint(signal.joint)
    if signal.field == 'position':
        return 1 + int(joint.qposadr[0])
    if signal.field == 'velocity':
        return 1 + int(model.nq) + int(joint.dofadr[0])
    raise UserError(
        f'{spec.name}: {signal} does not follow from the state of the physics; policies are '
        'trained on positions and velocities'
    )
