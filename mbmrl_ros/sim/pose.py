# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From sensor readings back to the pose of a model: what a recorded run looked like."""

from __future__ import annotations

import mujoco
import numpy as np

from mbmrl_ros.sim.coupling import place_followers
from mbmrl_ros.spec.channels import read_signal
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

_POSITIONS = ('pose.position', 'pose.pose.position', 'transform.translation')
_TURNS = ('pose.orientation', 'pose.pose.orientation', 'transform.rotation')


class PoseReader:
    """Puts a model of a robot where readings say that it was."""

    def __init__(self, spec: RobotSpec, model: mujoco.MjModel) -> None:
        self._spec, self._model = spec, model
        self._places = {signal: i for i, signal in enumerate(spec.signals)}
        self._data = mujoco.MjData(model)

    def positions(self, signals: Array) -> Array:
        """Return qpos [nq] of signals [R]; what no sensor tells is as in the model's start."""
        mujoco.mj_resetData(self._model, self._data)
        if self._model.nkey:
            mujoco.mj_resetDataKeyframe(self._model, self._data, 0)
        for signal, place in self._places.items():
            _, field, joint = read_signal(signal)
            if joint is not None and field == 'position':
                self._data.joint(joint).qpos[0] = signals[place]
        simulation = self._spec.simulation
        for topic, body in (simulation.bodies if simulation else {}).items():
            position = self._vector(signals, topic, _POSITIONS, 'xyz')
            turn = self._vector(signals, topic, _TURNS, 'wxyz')
            if position is not None and turn is not None:
                self._place(self._model.body(body).id, position, turn)
        place_followers(self._model, self._data)
        return np.array(self._data.qpos)

    def _place(self, body: int, position: Array, turn: Array) -> None:
        """Set the joints between the world and a body from the body's measured pose."""
        model = self._model
        while model.body_jntnum[body] == 0 and model.body_parentid[body] != 0:
            # A mount that does not move: its parent is where the pose says, less the mount.
            turn = _product(turn, _inverse(model.body_quat[body]))
            position = position - _turned(model.body_pos[body], turn)
            body = int(model.body_parentid[body])
        first = model.body_jntadr[body]
        for joint in range(first, first + model.body_jntnum[body]):
            address, axis = model.jnt_qposadr[joint], model.jnt_axis[joint]
            kind = model.jnt_type[joint]
            if kind == mujoco.mjtJoint.mjJNT_SLIDE:
                self._data.qpos[address] = axis @ (position - model.body_pos[body])
            elif kind == mujoco.mjtJoint.mjJNT_HINGE:
                self._data.qpos[address] = 2 * np.arctan2(axis @ turn[1:], turn[0])
            elif kind == mujoco.mjtJoint.mjJNT_FREE:
                self._data.qpos[address : address + 7] = np.concatenate([position, turn])

    def _vector(
        self, signals: Array, topic: str, fields: tuple[str, ...], parts: str
    ) -> Array | None:
        """Read a vector of a topic; components that the robot file does not use are zero.

        None where it uses none of them.
        """
        names = [[f'{topic}:{field}.{part}' for field in fields] for part in parts]
        values = [
            next((float(signals[self._places[n]]) for n in each if n in self._places), None)
            for each in names
        ]
        if all(value is None for value in values):
            return None
        return np.array([value or 0.0 for value in values])


def _inverse(turn: Array) -> Array:
    return np.asarray(turn * np.array([1.0, -1.0, -1.0, -1.0]))


def _product(first: Array, second: Array) -> Array:
    result = np.empty(4)
    mujoco.mju_mulQuat(result, first, second)
    return result


def _turned(vector: Array, turn: Array) -> Array:
    result = np.empty(3)
    mujoco.mju_rotVecQuat(result, vector, turn)
    return result
