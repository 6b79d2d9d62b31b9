# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The robot file's commands against the actuators of its MuJoCo model.

MuJoCo's force = gain * control + b0 + b1 * length + b2 * speed, where length and speed are gear
times those of the joint. A motor has no b; a position servo has b1 = -gain, a velocity servo
b2 = -gain: what counts is which b there are, whatever the element is called in the XML.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from mbmrl_ros.config import Mistake, UserError
from mbmrl_ros.sim.wheels import driven_joints, joint_range, place_in_file, wheels_of
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

_ON_JOINTS = (int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT))
_DYNAMICS = {
    int(kind)
    for kind in (
        mujoco.mjtDyn.mjDYN_NONE,
        mujoco.mjtDyn.mjDYN_FILTER,
        mujoco.mjtDyn.mjDYN_FILTEREXACT,
        mujoco.mjtDyn.mjDYN_INTEGRATOR,
    )
}
_FILTERS = (int(mujoco.mjtDyn.mjDYN_FILTER), int(mujoco.mjtDyn.mjDYN_FILTEREXACT))
_BIASES = {int(mujoco.mjtBias.mjBIAS_NONE), int(mujoco.mjtBias.mjBIAS_AFFINE)}
# Those that can be turned off.
_GROUPS = 31
_TAKES = {
    'effort': 'is a motor for an effort',
    'position': 'is a servo for a position',
    'velocity': 'is a servo for a velocity',
}
_COMMANDS = {'effort': 'an effort', 'position': 'a position', 'velocity': 'a velocity'}


class Actuator(NamedTuple):
    """What drives a joint. field: of a JointState. unit: of the field, for a control of 1."""

    number: int
    field: str
    unit: float


def command_units(spec: RobotSpec, model: mujoco.MjModel) -> tuple[NDArray[np.int64], Array]:
    """Return the ids [W] of the actuators, and what one unit of their control means [W].

    control = command / unit. UserError if an actuator takes something else than the robot file
    sends, or less of it.
    """
    chosen = [read_actuator(spec, model, joint) for joint in driven_joints(spec)]
    for _, text in actuator_mistakes(spec, model):
        raise UserError(f'{spec.name}: {text}')
    ids = np.array([actuator.number for actuator in chosen], np.int64)
    return ids, np.array([actuator.unit for actuator in chosen])


def actuator_mistakes(spec: RobotSpec, model: mujoco.MjModel) -> Iterator[Mistake]:
    """Yield the joints whose actuator takes something else than the robot file sends, or less."""
    for place, joint in enumerate(driven_joints(spec)):
        at = place_in_file(spec, place)
        try:
            actuator = read_actuator(spec, model, joint)
        except UserError as error:
            yield Mistake(at, str(error).removeprefix(f'{spec.name}: '))
            continue
        if actuator.field != spec.action.field:
            yield Mistake(
                at,
                f'the actuator of {joint} {_TAKES[actuator.field]}, and the robot '
                f'file commands {_COMMANDS[spec.action.field]}; say field: {actuator.field}, with '
                'limits for it, or give the model another actuator',
            )
            continue
        yield from (Mistake(at, text) for text in _beyond_range(spec, model, joint, actuator))


def read_actuator(spec: RobotSpec, model: mujoco.MjModel, joint: str) -> Actuator:
    """Return the one actuator of a joint; UserError if there is none, or no command fits it."""
    joint_id = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, joint)
    matches = [int(number) for number in np.flatnonzero(on_joint(model, joint_id))]
    if len(matches) != 1:
        names = ', '.join(_name(model, number) for number in matches) or 'none'
        raise UserError(
            f'{spec.name}: the model needs one actuator on joint {joint!r}; it has {names}'
        )
    number = matches[0]
    if off := _why_off(model, number):
        raise UserError(
            f'{spec.name}: actuator {_name(model, number)} of {joint} does nothing: the model '
            f'turns it off by {off} in its option; take that out'
        )
    field, unit = field_of(model, number)
    if not field:
        raise UserError(
            f'{spec.name}: actuator {_name(model, number)} of {joint} is neither a motor nor a '
            'servo for position or velocity (a muscle, a damper, without gain or gear, or with a '
            'force of its own); a command of the robot file means nothing to it'
        )
    return Actuator(number, field, unit)


def is_servo(model: mujoco.MjModel, number: int) -> bool:
    """Return whether an actuator pulls to a length, whatever else it does."""
    affine = model.actuator_biastype[number] == mujoco.mjtBias.mjBIAS_AFFINE
    stiff = affine and model.actuator_biasprm[number, 1] < 0.0
    return bool(stiff and model.actuator_gainprm[number, 0] and _is_linear(model, number))


def hold(model: mujoco.MjModel, key: int, number: int, length: float) -> None:
    """Make a servo hold a length at a keyframe: by its control, by its activation if it has one.

    The activation of an integrator is where it pulls to, and its control the speed of that.
    """
    b0, b1 = model.actuator_biasprm[number, :2]
    target = -(b0 + b1 * length) / model.actuator_gainprm[number, 0]
    if model.actuator_actnum[number]:
        model.key_act[key, model.actuator_actadr[number] + model.actuator_actnum[number] - 1] = (
            target
        )
    if model.actuator_dyntype[number] != mujoco.mjtDyn.mjDYN_INTEGRATOR:
        model.key_ctrl[key, number] = target


def on_joint(model: mujoco.MjModel, joint: int) -> NDArray[np.bool_]:
    """Return which actuators [.] act on a joint."""
    on_joints = np.isin(model.actuator_trntype, _ON_JOINTS)
    return np.asarray(on_joints & (model.actuator_trnid[:, 0] == joint))


def _why_off(model: mujoco.MjModel, number: int) -> str:
    if model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_ACTUATION:
        return 'actuation="disable"'
    group = int(model.actuator_group[number])
    off = 0 <= group < _GROUPS and model.opt.disableactuator >> group & 1
    return f'actuatorgroupdisable="{group}"' if off else ''


def field_of(model: mujoco.MjModel, number: int) -> tuple[str, float]:
    """Return what an actuator takes, empty if it is none of them, and the unit of its control."""
    gear, gain = model.actuator_gear[number, 0], model.actuator_gainprm[number, 0]
    affine = model.actuator_biastype[number] == mujoco.mjtBias.mjBIAS_AFFINE
    b0, b1, b2 = model.actuator_biasprm[number, :3] if affine else (0.0, 0.0, 0.0)
    integrates = model.actuator_dyntype[number] == mujoco.mjtDyn.mjDYN_INTEGRATOR
    if gear * gain == 0.0 or b0 or b1 > 0.0 or not _is_linear(model, number):
        return '', 1.0
    if b1 < 0.0:
        # In equilibrium gain * control = -b1 * length, where length = gear * position.
        return 'velocity' if integrates else 'position', float(1.0 / (gear * (-b1 / gain)))
    if integrates or b2 > 0.0:
        return '', 1.0
    if b2 < 0.0:
        return 'velocity', float(1.0 / (gear * (-b2 / gain)))
    return 'effort', float(gear * gain)


def _is_linear(model: mujoco.MjModel, number: int) -> bool:
    return bool(
        model.actuator_gaintype[number] == mujoco.mjtGain.mjGAIN_FIXED
        and int(model.actuator_biastype[number]) in _BIASES
        and int(model.actuator_dyntype[number]) in _DYNAMICS
    )


def _beyond_range(
    spec: RobotSpec, model: mujoco.MjModel, joint: str, actuator: Actuator
) -> Iterator[str]:
    """Yield why commands within the limits of the robot file act alike in the model."""
    number = actuator.number
    lower, upper = joint_range(spec, driven_joints(spec).index(joint))
    command_unit = 'rad/s' if wheels_of(spec) else spec.action.unit
    for name, pair, unit in ranges(model, joint, actuator):
        low, high = sorted(pair * unit)
        slack = 1e-6 * (high - low)
        if lower < low - slack or upper > high + slack:
            yield (
                f'{joint} may be sent {lower:g} to {upper:g} {command_unit}, and '
                f'{name} of its actuator {_name(model, number)} ends at {low:g} and {high:g}: '
                'beyond, commands act alike; change the limits or the model'
            )


def ranges(
    model: mujoco.MjModel, joint: str, actuator: Actuator
) -> Iterator[tuple[str, Array, float]]:
    """Yield name, range [2] and unit of what cuts off commands."""
    number = actuator.number
    unclamped = model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_CLAMPCTRL
    if model.actuator_ctrllimited[number] and not unclamped:
        yield 'ctrlrange', model.actuator_ctrlrange[number], actuator.unit
    filters = model.actuator_dyntype[number] in _FILTERS
    if filters and model.actuator_actlimited[number]:
        # The activation is the control, a while later.
        yield 'actrange', model.actuator_actrange[number], actuator.unit
    if actuator.field != 'effort':
        # A servo has less force than it takes to be where it is sent at once: as real ones.
        return
    if model.actuator_forcelimited[number]:
        yield 'forcerange', model.actuator_forcerange[number], model.actuator_gear[number, 0]
    number = model.joint(joint).id
    if model.jnt_actfrclimited[number]:
        yield 'actuatorfrcrange', model.jnt_actfrcrange[number], 1.0


def _name(model: mujoco.MjModel, number: int) -> str:
    return repr(model.actuator(number).name or f'number {number}')
