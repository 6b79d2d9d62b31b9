# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a run starts: the first keyframe of the model, and upon it what the robot file says."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.sim.actuators import servos_on
from mbmrl_ros.spec import RobotSpec
from mbmrl_ros.types import Array

START = 'start'
_SCALARS = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))


def set_start(spec: RobotSpec, model: mujoco.MjModel, start: Mapping[str, float]) -> None:
    """Change the first keyframe: joints to positions [rad, m], and what holds them with them.

    UserError if there is no such joint, or it has more than one coordinate.
    """
    joints = {model.joint(number).name: number for number in range(model.njnt)}
    for name, position in start.items():
        if name not in joints:
            raise UserError(f'{spec.name}: start: no joint {name!r}; {closest(name, joints)}')
        number = joints[name]
        if model.jnt_type[number] not in _SCALARS:
            raise UserError(
                f'{spec.name}: start: joint {name!r} has several coordinates; start is for hinges '
                'and slides, a keyframe of the model for others'
            )
        model.key_qpos[0, model.jnt_qposadr[number]] = position
        # A servo that nobody commands stays where it is put, and does not drive off to zero.
        for actuator, unit in servos_on(model, number):
            model.key_ctrl[0, actuator] = position / unit


def resting_controls(model: mujoco.MjModel) -> Array:
    """Return the controls [.] of the first keyframe; actuators without a command keep them."""
    return np.array(model.key_ctrl[0]) if model.nkey else np.zeros(model.nu)
