# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What can happen to a simulated robot, and when.

A kind of disturbance says how it changes the model of the physics or the gain of an actuator; a
schedule says at which steps it comes and goes. The robot's own software never sees any of it.
"""

from __future__ import annotations

import copy
import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

if TYPE_CHECKING:
    import mujoco


@dataclass(frozen=True)
class Disturbance:
    """kind: see KINDS; target: joint or body it acts on; value: its size, in the kind's unit."""

    kind: str
    target: str = ''
    value: float = 0.0

    def __str__(self) -> str:
        """As `parse` reads it: a value is left out only where that one is 0 and usual."""
        usual = KINDS[self.kind].usual if self.kind in KINDS else 0.0
        value = f':{self.value:.12g}' if self.value or usual else ''
        return f'{self.kind}:{self.target}{value}'


@dataclass(frozen=True)
class Event:
    """A disturbance that comes (on) or goes at a control step, counted from the reset."""

    step: int
    disturbance: Disturbance
    on: bool = True

    def __post_init__(self) -> None:
        """Refuse a step before the reset: it would never come."""
        if self.step < 0:
            raise UserError(f'{self.disturbance} at step {self.step}; steps count from 0')


Schedule = tuple[Event, ...]

Apply = Callable[[RobotSpec, 'mujoco.MjModel', Array, Disturbance], None]
"""(robot, model to edit, gain [A] of the actuators to edit, disturbance)."""


@dataclass(frozen=True)
class Kind:
    """How to bring a disturbance about.

    targets: the valid targets for a robot. values: smallest and largest value. edits_model:
    whether `apply` changes the model, so that the robot needs one of its own. usual: the value
    where none is given.
    """

    targets: Callable[[RobotSpec], Sequence[str]]
    values: tuple[float, float]
    apply: Apply
    edits_model: bool
    usual: float = 0.0


def _disabled_joint(
    spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance
) -> None:
    """Multiply the command of one joint by `value` (thesis: zero); its spring and damper stay."""
    gain[spec.action.joints.index(disturbance.target)] *= disturbance.value


def _edit(
    function: str,
    targets: Callable[[RobotSpec], Sequence[str]],
    values: tuple[float, float] = (0.0, 0.0),
    usual: float = 0.0,
) -> Kind:
    """Return a kind that edits the model by a function of sim/, written module.function.

    Such a module imports MuJoCo; here it is imported when it is needed.
    """
    module, name = function.split('.')

    def apply(
        spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance
    ) -> None:
        edits = importlib.import_module(f'mbmrl_ros.sim.{module}')
        getattr(edits, name)(spec, model, gain, disturbance)

    return Kind(targets, values, apply, edits_model=True, usual=usual)


TILTS = {'roll': (1.0, 0.0, 0.0), 'pitch': (0.0, 1.0, 0.0), 'yaw': (0.0, 0.0, 1.0)}
FORCES = ('x', 'y', 'z')
UPHILL = {'x': (1.0, 0.0), 'y': (0.0, 1.0)}
BLOCKS = tuple(f'block_{place}' for place in range(8))


def pose_bodies(spec: RobotSpec) -> list[str]:
    """Return the bodies that carry the markers of motion capture."""
    poses = [name for name, t in spec.topics.items() if t.type == 'geometry_msgs/msg/PoseStamped']
    bodies = {} if spec.simulation is None else spec.simulation.bodies
    return [bodies[name] for name in poses if name in bodies]


def _part(name: str, targets: Sequence[str]) -> Callable[[RobotSpec], Sequence[str]]:
    """Return targets that are there where the simulation section has a part of this name."""
    return lambda spec: targets if getattr(spec.simulation, name, None) else ()


def _names(name: str) -> Callable[[RobotSpec], Sequence[str]]:
    """Return targets that a list or mapping of the simulation section names."""
    return lambda spec: tuple(getattr(spec.simulation, name, ()))


def _commanded_joints(spec: RobotSpec) -> Sequence[str]:
    """Return the joints whose command can be lost: a twist has none."""
    return () if getattr(spec.simulation, 'wheels', None) else spec.action.joints


def _joints_that_stiffen(spec: RobotSpec) -> Sequence[str]:
    """Return the joints of an arm, or the wheels."""
    wheels = getattr(spec.simulation, 'wheels', None)
    if wheels:
        return tuple(wheels.joints)
    return spec.action.joints if getattr(spec.simulation, 'arm', None) else ()


def _terrains(spec: RobotSpec) -> Sequence[str]:
    slopes = getattr(spec.simulation, 'slopes', None)
    return (*_names('terrains')(spec), *(slopes.profiles if slopes else ()))


def _ways_up(spec: RobotSpec) -> Sequence[str]:
    return tuple(UPHILL) if _terrains(spec) else ()


def _tilts(spec: RobotSpec) -> Sequence[str]:
    return tuple(TILTS) if pose_bodies(spec) else ()


KINDS: dict[str, Kind] = {
    'disabled_joint': Kind(_commanded_joints, (0.0, 1.0), _disabled_joint, edits_model=False),
    'terrain': _edit('leg_disturbances.terrain', _terrains),
    # Degrees; a ramp rises from where the robot's slopes begin.
    'slope': _edit('leg_disturbances.slope', _ways_up, (-45, 45), usual=15),
    'ramp': _edit('leg_disturbances.ramp', _part('slopes', ('x',)), (-12, 12), usual=5),
    # The number of a draw.
    'rolling': _edit('leg_disturbances.rolling', _part('slopes', ('ramps',)), (0, 1e9)),
    'blocks': _edit('pier.blocks', _part('pier', ('damping', 'damping_and_friction')), (0, 1e9)),
    # N s/m.
    'block_damping': _edit('pier.block_damping', _part('pier', ('all', *BLOCKS)), (0, 1000)),
    'block_friction': _edit(
        'pier.block_friction', _part('pier', ('all', *BLOCKS)), (0.01, 10), usual=0.1
    ),
    'missing_leg': _edit('leg_disturbances.missing_leg', _names('legs')),
    'crippled_leg': _edit('leg_disturbances.crippled_leg', _names('limbs')),
    # Kilograms; the papers put 14.2 g on the shell of a robot of 30 g.
    'payload': _edit('leg_disturbances.payload', pose_bodies, (0.0, 0.1), usual=0.0142),
    'side_payload': _edit('leg_disturbances.side_payload', pose_bodies, (0.0, 0.1), usual=0.0142),
    'pulled': _edit('leg_disturbances.pulled', _part('legs', ('sledge',)), (0.0, 0.1), usual=0.02),
    # Degrees.
    'pose_tilt': _edit('leg_disturbances.pose_tilt', _tilts, (-45, 45), usual=10),
    # What is left of the voltage.
    'weak_battery': _edit(
        'leg_disturbances.weak_battery', _part('motors', ('battery',)), (0.05, 1.0), usual=0.25
    ),
    # Kilograms in the hand.
    'held_payload': _edit(
        'arm_disturbances.held_payload', _part('arm', ('hand',)), (0, 5), usual=1.0
    ),
    # Damping on top of the joint's own, N m s/rad.
    'stiff_joint': _edit(
        'arm_disturbances.stiff_joint', _joints_that_stiffen, (0, 200), usual=20.0
    ),
    # Newtons on the hand, or what it holds, along an axis of the world.
    'force': _edit('arm_disturbances.force', _part('arm', FORCES), (-50, 50), usual=10.0),
}


def check(spec: RobotSpec, disturbance: Disturbance) -> None:
    """Raise UserError if the robot cannot have this disturbance."""
    if disturbance.kind not in KINDS:
        name = disturbance.kind
        raise UserError(f'unknown disturbance {name!r}; {closest(name, KINDS)}')
    kind = KINDS[disturbance.kind]
    targets, (low, high) = kind.targets(spec), kind.values
    if disturbance.target not in targets:
        raise UserError(
            f'{disturbance.kind} on {spec.name} has no target {disturbance.target!r}; '
            f'{closest(disturbance.target, targets)}'
        )
    if not low <= disturbance.value <= high:
        raise UserError(
            f'{disturbance.kind} takes a value from {low:g} to {high:g}, got {disturbance.value:g}'
        )


def parse(text: str, spec: RobotSpec | None = None) -> Disturbance:
    """Read `kind:target` or `kind:target:value`; UserError if it is neither.

    spec: a robot whose joints may have colons in their names.
    """
    kind, *rest = text.split(':')
    if kind not in KINDS:
        raise UserError(f'unknown disturbance {kind!r}; {closest(kind, KINDS)}')
    targets = [] if spec is None else KINDS[kind].targets(spec)
    for length in (len(rest), len(rest) - 1):
        if ':'.join(rest[:length]) in targets:
            rest = [':'.join(rest[:length]), *rest[length:]]
            break
    if len(rest) not in (1, 2) or not rest[0]:
        raise UserError(f'a disturbance is written kind:target or kind:target:value, got {text!r}')
    try:
        value = float(rest[1]) if len(rest) == 2 else KINDS[kind].usual
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f'the value of a disturbance is a finite number, got {rest[1]!r}')
    return Disturbance(kind, rest[0], value)


def active(schedule: Schedule, step: int) -> tuple[Disturbance, ...]:
    """Return what is on at a control step, in the order in which it came."""
    current: list[Disturbance] = []
    for event in sorted(schedule, key=lambda event: event.step):
        if event.step > step:
            break
        if event.on and event.disturbance not in current:
            current.append(event.disturbance)
        elif not event.on and event.disturbance in current:
            current.remove(event.disturbance)
    return tuple(current)


def disturbed(
    spec: RobotSpec, model: mujoco.MjModel, disturbances: Sequence[Disturbance]
) -> tuple[mujoco.MjModel, Array]:
    """Return the model (a copy only if it has to be edited) and the gain [A] of the actuators."""
    gain = np.ones(spec.action_size)
    for disturbance in disturbances:
        check(spec, disturbance)
    if any(KINDS[disturbance.kind].edits_model for disturbance in disturbances):
        model = copy.copy(model)
    for disturbance in disturbances:
        KINDS[disturbance.kind].apply(spec, model, gain, disturbance)
    return model, gain
