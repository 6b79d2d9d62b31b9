# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Draw a robot from the side, from its sensor readings alone; needs no display and no GPU."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Polygon

from mbmrl_ros.sim.sensors import load_model
from mbmrl_ros.spec.channels import read_signal
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

_ARC = np.linspace(-np.pi / 2, np.pi / 2, 9)


class SideView:
    """Outlines of a robot's capsules in the x-z plane."""

    def __init__(self, spec: RobotSpec) -> None:
        """Load the model that the readings are put into."""
        self._spec = spec
        self._model = load_model(spec)
        self._data = mujoco.MjData(self._model)
        self._places = {signal: i for i, signal in enumerate(spec.signals)}

    def draw(
        self,
        axes: Axes,
        signals: Array,
        colour: str,
        broken: Sequence[str] = (),
        alpha: float = 1.0,
    ) -> None:
        """Draw the pose of signals [R]; bodies that a broken joint moves are drawn in red."""
        self._pose(signals)
        for geom in range(self._model.ngeom):
            if self._model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_CAPSULE:
                continue
            body = self._model.body(self._model.geom_bodyid[geom])
            dead = any(self._model.joint(joint).bodyid[0] == body.id for joint in broken)
            axes.add_patch(
                Polygon(
                    self._outline(geom), color='#c62828' if dead else colour, alpha=alpha, lw=0
                )
            )

    def _outline(self, geom: int) -> Array:
        radius, half = self._model.geom_size[geom, :2]
        axis = self._data.geom_xmat[geom].reshape(3, 3)[:, 2][[0, 2]] * half
        centre = self._data.geom_xpos[geom][[0, 2]]
        turn = np.arctan2(axis[1], axis[0])
        front = np.stack([np.cos(turn + _ARC), np.sin(turn + _ARC)], -1) * radius
        return np.concatenate([centre + axis + front, centre - axis - front])

    def _pose(self, signals: Array) -> None:
        simulation = self._spec.simulation
        for signal, place in self._places.items():
            _, field, joint = read_signal(signal)
            if joint is not None and field == 'position':
                self._data.joint(joint).qpos[0] = signals[place]
        for topic, body in (simulation.bodies if simulation else {}).items():
            self._place(topic, body, signals)
        mujoco.mj_kinematics(self._model, self._data)

    def _place(self, topic: str, body: str, signals: Array) -> None:
        """Set the joints between the world and a body from the body's measured pose."""
        position = self._vector(signals, topic, 'pose.position', 'xyz')
        turn = self._vector(signals, topic, 'pose.orientation', 'wxyz')
        first = self._model.body(body).jntadr[0]
        for joint in range(first, first + self._model.body(body).jntnum[0]):
            address, axis = self._model.jnt_qposadr[joint], self._model.jnt_axis[joint]
            kind = self._model.jnt_type[joint]
            if kind == mujoco.mjtJoint.mjJNT_SLIDE:
                self._data.qpos[address] = axis @ (position - self._model.body(body).pos)
            elif kind == mujoco.mjtJoint.mjJNT_HINGE:
                self._data.qpos[address] = 2 * np.arctan2(axis @ turn[1:], turn[0])
            elif kind == mujoco.mjtJoint.mjJNT_FREE:
                self._data.qpos[address : address + 7] = np.concatenate([position, turn])

    def _vector(self, signals: Array, topic: str, field: str, parts: str) -> Array:
        """Read a vector of a topic; components that the robot file does not use are zero."""
        names = [(f'{topic}:{field}.{part}', f'{topic}:pose.{field}.{part}') for part in parts]
        return np.array(
            [
                next((signals[self._places[n]] for n in pair if n in self._places), 0.0)
                for pair in names
            ]
        )
