# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Draw a robot from the side, from its sensor readings alone; needs no display and no GPU."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Polygon

from mbmrl_ros.sim.pose import PoseReader
from mbmrl_ros.sim.sensors import load_model
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

_ARC = np.linspace(-np.pi / 2, np.pi / 2, 9)


class SideView:
    """Outlines of a robot's capsules in the x-z plane."""

    def __init__(self, spec: RobotSpec) -> None:
        """Load the model that the readings are put into."""
        self._model = load_model(spec)
        self._data = mujoco.MjData(self._model)
        self._poses = PoseReader(spec, self._model)

    def draw(
        self,
        axes: Axes,
        signals: Array,
        colour: str,
        broken: Sequence[str] = (),
        alpha: float = 1.0,
    ) -> None:
        """Draw the pose of signals [R]; bodies that a broken joint moves are drawn in red."""
        self._data.qpos[:] = self._poses.positions(signals)
        mujoco.mj_kinematics(self._model, self._data)
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
