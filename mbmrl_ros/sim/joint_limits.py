# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How far the joints of a robot's model go, by its URDF or MJCF."""

from __future__ import annotations

import mujoco

from mbmrl_ros.sim.sensors import load_model
from mbmrl_ros.spec.robot import RobotSpec

_MOVES = {int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE)}


def joint_limits(spec: RobotSpec) -> dict[str, tuple[float, float]]:
    """Return lower and upper end [rad or m] by joint, of those that have any.

    UserError if the model cannot be loaded.
    """
    model = load_model(spec)
    return {
        model.joint(index).name: (float(low), float(high))
        for index, (low, high) in enumerate(model.jnt_range)
        if model.jnt_limited[index] and int(model.jnt_type[index]) in _MOVES
    }
