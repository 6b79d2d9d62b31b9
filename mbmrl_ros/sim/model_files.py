# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Model files: where they are, what they are, and whether they have the robot file's joints."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import mujoco

from mbmrl_ros.config import Mistake, UserError, closest, find_file, is_uri
from mbmrl_ros.sim.wheels import driven_joints
from mbmrl_ros.spec.channels import read_signal
from mbmrl_ros.spec.model_text import LFS, POINTER, why_no_model
from mbmrl_ros.spec.robot import RobotSpec

_TO_DO = {
    '.mjb': 'it is a compiled model, to which nothing can be added; name the XML it came from',
    '.sdf': 'it is an SDF model; name an MJCF or a URDF',
    '.usd': 'it is a USD model; name an MJCF or a URDF',
}
_FOR_MJCF, _FOR_URDF = ('start', 'without', 'slopes', 'pier', 'wheels'), ('motors',)
_SCALARS = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)


def model_path(name: str) -> Path:
    """Find a model file: gymnasium/<file> is one of gymnasium's, anything else a path."""
    if not name.startswith('gymnasium/'):
        return find_file(name, Path())
    found = importlib.util.find_spec('gymnasium')
    if found is None or found.origin is None:
        raise UserError(f'{name} needs the package gymnasium: pip install gymnasium')
    return Path(found.origin).parent / 'envs' / 'mujoco' / 'assets' / name.split('/', 1)[1]


def read_description(spec: RobotSpec, path: Path) -> tuple[mujoco.MjSpec, bool]:
    """Return what a model file says, and whether it is a URDF; UserError if it is no model.

    ValueError, as MuJoCo raises it, if it cannot be read.
    """
    try:
        description, is_urdf = load_description(path)
    except UserError as error:
        raise UserError(f'{spec.name}: {error}') from error
    for name in _FOR_MJCF if is_urdf else _FOR_URDF:
        if getattr(spec.simulation, name):
            kinds = ('MJCF models', 'a URDF') if is_urdf else ('a URDF', 'MJCF models')
            raise UserError(
                f'{spec.name}: simulation.{name} is for {kinds[0]}, not for {kinds[1]}'
            )
    return description, is_urdf


def load_description(path: Path) -> tuple[mujoco.MjSpec, bool]:
    """Return what a model file says, as `read_description`, whatever robot it is of."""
    cannot = f'MuJoCo cannot load {path}:'
    objection = _TO_DO.get(path.suffix.lower(), '') or why_no_model(path)
    if objection:
        raise UserError(f'{cannot} {objection}')
    text = path.read_bytes()
    is_urdf = path.suffix.lower() == '.urdf' or _root(text) == 'robot'
    description = mujoco.MjSpec.from_file(str(path))
    assets = (description.meshes, description.textures, description.hfields, description.skins)
    for asset in itertools.chain(*assets):
        # MuJoCo makes one slash of two.
        name = re.sub('^package:/+', 'package://', asset.file)
        name = re.sub('^file:/+', 'file:///', name)
        if is_uri(name):
            asset.file = str(find_file(name, path.parent))
        elif found := re.match(r'([a-z][a-z0-9+.-]+):/', asset.file):
            raise UserError(
                f'{cannot} {asset.file}: {found[1]}:// is not known here; valid: '
                'package://PACKAGE/PATH, file:///PATH, or a path relative to the model'
            )
    return description, is_urdf


def _root(text: bytes) -> str:
    """Return the tag of the root of an XML text; empty if MuJoCo is to say what is wrong."""
    try:
        return ElementTree.fromstring(text).tag
    except ElementTree.ParseError:
        return ''


def root_body(description: mujoco.MjSpec, spec: RobotSpec) -> mujoco.MjsBody:
    """Return the first body in the world; UserError if the model has none."""
    body = description.worldbody.first_body()
    if body is None:
        raise UserError(f'{spec.name}: the model has no body')
    return body


def why(error: Exception, path: Path) -> str:
    """Return in one line what MuJoCo says of a model, or what it could not know."""
    line = ' '.join(str(error).split())
    if 'could not find decoder' in line:
        return f'{path.name} is no model by its name; an MJCF ends in .xml, a URDF in .urdf'
    for name in (path, *re.findall(r"'([^']+)'", line)):
        with contextlib.suppress(OSError), (path.parent / name).open('rb') as file:
            if file.read(len(LFS)) == LFS:
                return f'{name} {POINTER}'
    return line


def joint_kinds(description: mujoco.MjSpec) -> dict[str, mujoco.mjtJoint]:
    """Return the joints of a model that have a name, each with its type."""
    return {joint.name: joint.type for joint in description.joints if joint.name}


def joints_of(spec: RobotSpec) -> list[str]:
    """Return the joints that a robot file names, those of the action first."""
    signals = [read_signal(signal).joint for signal in spec.signals]
    return list(dict.fromkeys([*driven_joints(spec), *(joint for joint in signals if joint)]))


def check_joints(description: mujoco.MjSpec, spec: RobotSpec, path: Path) -> None:
    """Raise UserError that names all joints of the robot file that the model has not."""
    kinds, wanted = joint_kinds(description), joints_of(spec)
    missing = [joint for joint in wanted if joint not in kinds]
    if missing:
        hints = ', '.join(_with_hint(joint, kinds) for joint in missing)
        valid = ', '.join(sorted(kinds)) or 'none'
        raise UserError(f'{spec.name}: {path} has no joint {hints}; valid: {valid}')
    for joint in wanted:
        if kinds[joint] not in _SCALARS:
            raise UserError(
                f'{spec.name}: joint {joint!r} of {path} has several coordinates; the robot file '
                'can be about hinges and slides'
            )


def missing_bodies(description: mujoco.MjSpec, spec: RobotSpec) -> Iterator[Mistake]:
    """Yield the bodies that the robot file names and the model has not."""
    names = [body.name for body in description.bodies if body.name]
    simulation = spec.simulation
    assert simulation is not None
    legs = dict(enumerate(simulation.legs))
    for key, wanted in (('bodies', simulation.bodies), ('legs', legs)):
        for place, name in wanted.items():
            if name not in names:
                text = f'simulation.{key}: no body {name!r}; {closest(name, names)}'
                yield Mistake(('simulation', key, place), text)


def odometry_mistakes(spec: RobotSpec, model: mujoco.MjModel) -> Iterator[Mistake]:
    """Yield the odometries that are about a body that cannot move."""
    assert spec.simulation is not None
    for topic, body in spec.simulation.bodies.items():
        fixed = model.body_weldid[model.body(body).id] == 0
        if fixed and spec.topics[topic].type == 'nav_msgs/msg/Odometry':
            yield Mistake(
                ('simulation', 'bodies', topic),
                f'{topic} is the odometry of body {body!r}, which no joint moves; a robot that '
                'moves about needs a <freejoint/> in its model, or slides and hinges',
            )


def _with_hint(joint: str, valid: dict[str, mujoco.mjtJoint]) -> str:
    hint = closest(joint, valid).partition('valid: ')[0].strip()
    return f'{joint!r}' + (f' ({hint})' if hint else '')
