# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a model file tells of a robot that has no robot file yet: joints, motors, where it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import mujoco
import numpy as np

from mbmrl_ros.config import UserError
from mbmrl_ros.sim.actuators import Actuator, field_of, on_joint, ranges
from mbmrl_ros.sim.model_files import load_description, why

HINGE, SLIDE, FREE = (
    int(kind)
    for kind in (
        mujoco.mjtJoint.mjJNT_HINGE,
        mujoco.mjtJoint.mjJNT_SLIDE,
        mujoco.mjtJoint.mjJNT_FREE,
    )
)


# A URDF says nowhere whether its first link stands fast.
ON_FIXED_BASE = (
    'a URDF is taken for an arm on a fixed base; of a robot that moves about begin with an MJCF, '
    'or with millirobot.yaml, whose simulation has motors in place of an arm'
)


class Joint(NamedTuple):
    """A hinge or a slide. start: where it is at first. limits: None if it has none."""

    name: str
    is_slide: bool
    start: float
    limits: tuple[float, float] | None


class Motor(NamedTuple):
    """What drives a joint, and the range of its commands; limited: whether the model says it."""

    joint: Joint
    field: str
    lower: float
    upper: float
    limited: bool


@dataclass
class Survey:
    """A robot as its model has it.

    root: the body that moves about, empty for a robot on a fixed base. axes: along and about what
    it moves, for one on slides and hinges; empty for one that floats freely. notes: what the robot
    file cannot use, and why.
    """

    is_urdf: bool
    timestep_s: float
    root: str = ''
    axes: tuple[str, ...] = ()
    height_m: float = 0.0
    tool: str = ''
    joints: list[Joint] = field(default_factory=list)
    motors: list[Motor] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def survey(path: Path) -> Survey:
    """Read a model file; UserError if it cannot be read, or nothing in it can be commanded."""
    try:
        description, is_urdf = load_description(path)
        if is_urdf:
            description.compiler.fusestatic = False
        model = description.compile()
    except UserError:
        raise
    except (ValueError, OSError) as error:
        raise UserError(f'MuJoCo cannot load {path}: {why(error, path)}') from error
    found = Survey(is_urdf, model.opt.timestep)
    data = mujoco.MjData(model)
    if model.nkey:
        mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_kinematics(model, data)
    on_root = [] if is_urdf else _root_joints(model)
    if on_root:
        _add_root(found, model, data, on_root)
    for number in range(model.njnt):
        if number not in on_root:
            _add_joint(found, model, data, number)
    if is_urdf:
        found.tool = description.bodies[-1].name
        _add_urdf_motors(found, path)
    found.motors = list(_of_one_field(found))
    if not found.motors:
        notes = '; '.join(found.notes) or 'it has no joint with a name'
        raise UserError(f'{path}: no joint has a motor or a servo that can be commanded ({notes})')
    if is_urdf:
        found.notes.append(ON_FIXED_BASE)
    return found


def _root_joints(model: mujoco.MjModel) -> list[int]:
    """Return the joints that nobody drives and by which the robot moves about; none if fixed."""
    driven = [number for number in range(model.njnt) if on_joint(model, number).any()]
    robots = {int(model.body_rootid[model.jnt_bodyid[number]]) for number in driven}
    for body in range(1, model.nbody):
        first = model.body_jntadr[body]
        joints = list(range(first, first + model.body_jntnum[body])) if first >= 0 else []
        if body not in robots or not joints or set(joints) & set(driven):
            continue
        kinds = {int(model.jnt_type[number]) for number in joints}
        along_axes = all(abs(model.jnt_axis[number]).max() > 0.999 for number in joints)
        if kinds == {FREE} or (SLIDE in kinds and kinds <= {SLIDE, HINGE} and along_axes):
            return joints
    return []


def _add_root(
    found: Survey, model: mujoco.MjModel, data: mujoco.MjData, joints: list[int]
) -> None:
    body = int(model.jnt_bodyid[joints[0]])
    found.root = model.body(body).name
    if not found.root:
        raise UserError('the body that moves about has no name in the model; give it one')
    found.height_m = float(data.xpos[body][2])
    if model.jnt_type[joints[0]] == FREE:
        return
    names = []
    for number in joints:
        axis = 'xyz'[int(np.argmax(np.abs(model.jnt_axis[number])))]
        names.append(axis if model.jnt_type[number] == SLIDE else f'about {axis}')
    found.axes = tuple(names)


def _add_joint(found: Survey, model: mujoco.MjModel, data: mujoco.MjData, number: int) -> None:
    kind, name = int(model.jnt_type[number]), model.joint(number).name
    if kind not in (HINGE, SLIDE) or not name:
        what = repr(name) if name else f'number {number}'
        why_not = 'has several coordinates' if name else 'has no name'
        found.notes.append(f'joint {what} {why_not}, and is left out')
        return
    low, high = (float(end) for end in model.jnt_range[number])
    limits = (low, high) if model.jnt_limited[number] else None
    start = float(data.qpos[model.jnt_qposadr[number]])
    joint = Joint(name, kind == SLIDE, start, limits)
    found.joints.append(joint)
    actuators = [int(each) for each in np.flatnonzero(on_joint(model, number))]
    if len(actuators) > 1:
        found.notes.append(f'joint {name!r} has {len(actuators)} actuators: not in the action')
    if len(actuators) != 1:
        return
    command, unit = field_of(model, actuators[0])
    if not command:
        found.notes.append(f'the actuator of joint {name!r} is no motor and no servo')
        return
    found.motors.append(_motor(model, joint, Actuator(actuators[0], command, unit)))


def _motor(model: mujoco.MjModel, joint: Joint, actuator: Actuator) -> Motor:
    pairs = [sorted(pair * unit) for _, pair, unit in ranges(model, joint.name, actuator)]
    if not pairs:
        low, high = joint.limits if joint.limits and actuator.field == 'position' else (-1.0, 1.0)
        return Motor(joint, actuator.field, low, high, limited=False)
    low, high = max(low for low, _ in pairs), min(high for _, high in pairs)
    return Motor(joint, actuator.field, float(low), float(high), limited=True)


def _add_urdf_motors(found: Survey, path: Path) -> None:
    """A motor for every joint of a URDF that follows no other, with the effort of its limit."""
    elements = {
        joint.get('name'): joint for joint in ElementTree.parse(path).getroot().iter('joint')
    }
    for joint in found.joints:
        element = elements.get(joint.name)
        if element is None or element.find('mimic') is not None:
            continue
        limit = element.find('limit')
        effort = 0.0 if limit is None else float(limit.get('effort', 0))
        most = effort or 1.0
        found.motors.append(Motor(joint, 'effort', -most, most, limited=effort > 0))


def _of_one_field(found: Survey) -> Iterator[Motor]:
    """Yield the motors that most have in common: a command is of one field."""
    fields = Counter(motor.field for motor in found.motors)
    for motor in found.motors:
        if motor.field == fields.most_common(1)[0][0]:
            yield motor
        else:
            name = motor.joint.name
            found.notes.append(f'joint {name!r} takes a {motor.field}: not in the action')
