# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The units of the robot file against what MuJoCo measures and takes: SI, angles in radians.

Nothing converts values, so another unit would be a wrong label at best. A unit that is not known
here (counts, volts, '1') is the user's own and passes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import mujoco

from mbmrl_ros.config import Mistake
from mbmrl_ros.sim.wheels import wheels_of
from mbmrl_ros.spec.channels import Channel, read_signal
from mbmrl_ros.spec.robot import RobotSpec

_SPELLINGS = {
    'rad': ('rad', 'radian', 'radians'),
    'rad/s': ('rad/s', 'rad/sec', 'radian/s', 'radians/s', 'rads^-1'),
    'N m': ('Nm', 'N-m', 'newton-metre', 'newton-meter'),
    'm': ('m', 'metre', 'metres', 'meter', 'meters'),
    'm/s': ('m/s', 'm/sec', 'ms^-1'),
    'N': ('N', 'newton', 'newtons'),
}
_OTHERS = (
    'deg', 'degree', 'degrees', '°', 'deg/s', 'deg/sec', 'degrees/s', '°/s', 'rpm', 'rev', 'rev/s',
    'mrad', 'mrad/s', 'mm', 'cm', 'km', 'inch', 'ft', 'mm/s', 'cm/s', 'km/h', 'mNm', 'Ncm', 'kNm',
    'mN', 'kN', 'kgf', 'lbf', 'g', 'kg',
)  # fmt: skip
_MEANT = {spelling: unit for unit, spellings in _SPELLINGS.items() for spelling in spellings}
_OF_JOINTS = {
    int(mujoco.mjtJoint.mjJNT_HINGE): {'position': 'rad', 'velocity': 'rad/s', 'effort': 'N m'},
    int(mujoco.mjtJoint.mjJNT_SLIDE): {'position': 'm', 'velocity': 'm/s', 'effort': 'N'},
}
_OF_BODIES = {
    'position': 'm',
    'translation': 'm',
    'linear': 'm/s',
    'angular': 'rad/s',
    'angular_velocity': 'rad/s',
}
_PER_SECOND = {'rad': 'rad/s', 'm': 'm/s'}


def unit_mistakes(spec: RobotSpec, model: mujoco.MjModel) -> Iterator[Mistake]:
    """Yield the channels, and the joints of the action, that have the unit of something else."""
    # The parts of a twist have units of their own.
    joints: dict[str, list[str]] = {}
    for joint in () if wheels_of(spec) else spec.action.joints:
        right = _OF_JOINTS[int(model.joint(joint).type[0])][spec.action.field]
        joints.setdefault(right, []).append(joint)
    if spec.simulation is not None and spec.simulation.motors is None:
        for right, those in joints.items():
            for text in _wrong(f'the action ({", ".join(those)})', spec.action.unit, right):
                yield Mistake(('action', 'unit'), text)
    for place, channel in enumerate(spec.state):
        right = _of_channel(channel, model)
        if channel.encoding == 'rate':
            right = _PER_SECOND.get(right, '')
        for text in _wrong(f'channel {channel.name}', channel.unit, right):
            yield Mistake(('state', place, 'unit'), text)


def _of_channel(channel: Channel, model: mujoco.MjModel) -> str:
    """Return the unit of a channel without encoding; empty if it is not known."""
    if channel.point is not None:
        return 'm'
    if channel.encoding not in ('raw', 'rate'):
        return ''
    _, field, joint = read_signal(channel.signals[0])
    if joint is not None:
        return _OF_JOINTS[int(model.joint(joint).type[0])].get(field, '')
    parts = field.split('.')
    return _OF_BODIES.get(parts[-2], '') if len(parts) > 1 else ''


def _wrong(what: str, unit: str, right: str) -> Iterator[str]:
    plain = re.sub(r'[\s*·⋅]', '', unit)
    meant = _MEANT.get(plain, plain if plain in _OTHERS else '')
    if right and meant and meant != right:
        yield (
            f'the unit of {what} is {unit!r}, and in the simulation it is {right}; '
            'nothing converts it: write limits, and what else there is of it, in that'
        )
