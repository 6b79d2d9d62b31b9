# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a run starts: the first keyframe of the model, and upon it what the robot file says."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.sim.actuators import hold, is_servo, on_joint
from mbmrl_ros.sim.coupling import place_followers
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

START = 'start'
_SLACK = 1e-6
_SCALARS = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))


def set_start(spec: RobotSpec, model: mujoco.MjModel, start: Mapping[str, float]) -> None:
    """Change the first keyframe: joints to positions [rad, m], and what holds them with them.

    UserError if there is no such joint, or it has more than one coordinate.
    """
    if model.nkey:
        _place_mocap(model)
    if not start:
        return
    lengths = _lengths(model)
    for name, position in start.items():
        number = _joint(spec, model, name, position)
        # In case that it stood there before: what drives it is told by what this moves.
        lengths[on_joint(model, number)] = np.nan
        model.key_qpos[0, model.jnt_qposadr[number]] = position
    _check_followers(spec, model, start)
    # A servo that nobody commands stays where it is put, and does not drive off to zero.
    for actuator, length in enumerate(_lengths(model)):
        if length != lengths[actuator] and is_servo(model, actuator):
            hold(model, 0, actuator, length)


def _joint(spec: RobotSpec, model: mujoco.MjModel, name: str, position: float) -> int:
    """Return the number of a joint; UserError if it cannot be at a position [rad, m]."""
    joints = {model.joint(number).name: number for number in range(model.njnt)}
    if name not in joints:
        raise UserError(f'{spec.name}: start: no joint {name!r}; {closest(name, joints)}')
    number = joints[name]
    if model.jnt_type[number] not in _SCALARS:
        raise UserError(
            f'{spec.name}: start: joint {name!r} has several coordinates; start is for hinges '
            'and slides, a keyframe of the model for others'
        )
    low, high = model.jnt_range[number]
    if model.jnt_limited[number] and not low <= position <= high:
        raise UserError(
            f'{spec.name}: start: joint {name!r} goes from {low:g} to {high:g}, '
            f'not to {position:g}'
        )
    return number


def _at_start(model: mujoco.MjModel) -> mujoco.MjData:
    """Return the first keyframe, with joints that follow others where they belong."""
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    place_followers(model, data)
    return data


def _check_followers(spec: RobotSpec, model: mujoco.MjModel, start: Mapping[str, float]) -> None:
    """Raise UserError if a joint is sent elsewhere by the joint that it follows."""
    data = _at_start(model)
    for name, position in start.items():
        placed = float(data.joint(name).qpos[0])
        if abs(placed - position) > _SLACK:
            raise UserError(
                f'{spec.name}: start: joint {name!r} follows another one (equality, mimic), to '
                f'{placed:g} and not to {position:g}; give that one a start'
            )


def _lengths(model: mujoco.MjModel) -> Array:
    """Return the lengths of the actuators at the start, tendons included."""
    data = _at_start(model)
    mujoco.mj_fwdPosition(model, data)
    return np.array(data.actuator_length)


def _place_mocap(model: mujoco.MjModel) -> None:
    """Put bodies of motion capture where the first keyframe has them: physics states do not."""
    for body in np.flatnonzero(model.body_mocapid >= 0):
        place = model.body_mocapid[body]
        model.body_pos[body] = model.key_mpos[0].reshape(-1, 3)[place]
        model.body_quat[body] = model.key_mquat[0].reshape(-1, 4)[place]


def resting_controls(model: mujoco.MjModel) -> Array:
    """Return the controls [.] of the first keyframe; actuators without a command keep them."""
    return np.array(model.key_ctrl[0]) if model.nkey else np.zeros(model.nu)
