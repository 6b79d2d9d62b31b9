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
from mbmrl_ros.spec import RobotSpec
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
        """As `parse` reads it."""
        value = f':{self.value:g}' if self.value else ''
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


def _fault(name: str, module: str = 'faults') -> Apply:
    """Return a function of sim/<module>.py, which imports MuJoCo, when it is needed."""

    def apply(
        spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance
    ) -> None:
        faults = importlib.import_module(f'mbmrl_ros.sim.{module}')
        getattr(faults, name)(spec, model, gain, disturbance)

    return apply


TILTS = {'roll': (1.0, 0.0, 0.0), 'pitch': (0.0, 1.0, 0.0), 'yaw': (0.0, 0.0, 1.0)}
FORCES = ('x', 'y', 'z')
UPHILL = {'x': (1.0, 0.0), 'y': (0.0, 1.0)}
BLOCKS = tuple(f'block_{place}' for place in range(8))


def pose_bodies(spec: RobotSpec) -> list[str]:
    """Return the bodies that carry the markers of motion capture."""
    poses = [name for name, t in spec.topics.items() if t.type == 'geometry_msgs/msg/PoseStamped']
    bodies = {} if spec.simulation is None else spec.simulation.bodies
    return [bodies[name] for name in poses if name in bodies]


def _of_an_arm(targets: Callable[[RobotSpec], Sequence[str]]) -> Callable[..., Sequence[str]]:
    return lambda spec: targets(spec) if spec.simulation and spec.simulation.arm else ()


def _terrains(spec: RobotSpec) -> Sequence[str]:
    if spec.simulation is None:
        return ()
    profiles = spec.simulation.slopes.profiles if spec.simulation.slopes else {}
    return (*spec.simulation.terrains, *profiles)


def _legs(spec: RobotSpec) -> Sequence[str]:
    return () if spec.simulation is None else spec.simulation.legs


def _on_ground(targets: Sequence[str]) -> Callable[[RobotSpec], Sequence[str]]:
    return lambda spec: targets if _terrains(spec) else ()


def _on_slopes(targets: Sequence[str]) -> Callable[[RobotSpec], Sequence[str]]:
    return lambda spec: targets if spec.simulation and spec.simulation.slopes else ()


def _on_pier(targets: Sequence[str]) -> Callable[[RobotSpec], Sequence[str]]:
    return lambda spec: targets if spec.simulation and spec.simulation.pier else ()


def _limbs(spec: RobotSpec) -> Sequence[str]:
    return () if spec.simulation is None else tuple(spec.simulation.limbs)


def _on_battery(spec: RobotSpec) -> Sequence[str]:
    has_motors = spec.simulation is not None and spec.simulation.motors is not None
    return ('battery',) if has_motors else ()


KINDS: dict[str, Kind] = {
    'disabled_joint': Kind(
        lambda spec: spec.action.joints, (0.0, 1.0), _disabled_joint, edits_model=False
    ),
    'terrain': Kind(_terrains, (0.0, 0.0), _fault('terrain'), edits_model=True),
    # Degrees.
    'slope': Kind(_on_ground(('x', 'y')), (-45, 45), _fault('slope'), edits_model=True, usual=15),
    'missing_leg': Kind(_legs, (0.0, 0.0), _fault('missing_leg'), edits_model=True),
    # Kilograms; the papers put 14.2 g on the shell of a robot of 30 g.
    'payload': Kind(pose_bodies, (0.0, 0.1), _fault('payload'), edits_model=True, usual=0.0142),
    'pulled': Kind(
        lambda spec: ('sledge',) if _legs(spec) else (),
        (0.0, 0.1),
        _fault('pulled'),
        edits_model=True,
        usual=0.02,
    ),
    # Degrees.
    'pose_tilt': Kind(
        lambda spec: tuple(TILTS) if pose_bodies(spec) else (),
        (-45, 45),
        _fault('pose_tilt'),
        edits_model=True,
        usual=10,
    ),
    # What is left of the voltage.
    'weak_battery': Kind(
        _on_battery, (0.05, 1.0), _fault('weak_battery'), edits_model=True, usual=0.25
    ),
    # Kilograms in the hand.
    'held_payload': Kind(
        _of_an_arm(lambda spec: ('hand',)),
        (0.0, 5.0),
        _fault('held_payload', 'arm_faults'),
        edits_model=True,
        usual=1.0,
    ),
    # Damping on top of the joint's own, N m s/rad.
    'stiff_joint': Kind(
        _of_an_arm(lambda spec: spec.action.joints),
        (0.0, 200.0),
        _fault('stiff_joint', 'arm_faults'),
        edits_model=True,
        usual=20.0,
    ),
    # Newtons on the hand, along an axis of the world.
    'force': Kind(
        _of_an_arm(lambda spec: FORCES),
        (-50.0, 50.0),
        _fault('force', 'arm_faults'),
        edits_model=True,
        usual=10.0,
    ),
    # Degrees, from where the robot's slopes begin.
    'ramp': Kind(_on_slopes(('x',)), (-12, 12), _fault('ramp'), edits_model=True, usual=5),
    # The number of a draw.
    'rolling': Kind(_on_slopes(('ramps',)), (0, 1e9), _fault('rolling'), edits_model=True),
    'blocks': Kind(
        _on_pier(('damping', 'damping_and_friction')),
        (0, 1e9),
        _fault('blocks', 'pier'),
        edits_model=True,
    ),
    # N s/m.
    'block_damping': Kind(
        _on_pier(('all', *BLOCKS)), (0, 1000), _fault('block_damping', 'pier'), edits_model=True
    ),
    'block_friction': Kind(
        _on_pier(('all', *BLOCKS)),
        (0.01, 10),
        _fault('block_friction', 'pier'),
        edits_model=True,
        usual=0.1,
    ),
    'crippled_leg': Kind(_limbs, (0.0, 0.0), _fault('crippled_leg'), edits_model=True),
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


def parse(text: str) -> Disturbance:
    """Read `kind:target` or `kind:target:value`; UserError if it is neither."""
    kind, *rest = text.split(':')
    if kind not in KINDS:
        raise UserError(f'unknown disturbance {kind!r}; {closest(kind, KINDS)}')
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
