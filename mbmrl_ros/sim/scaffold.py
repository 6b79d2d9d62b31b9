# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A robot file for a model, with comments, as something to begin with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import yaml

from mbmrl_ros.sim.model_survey import Joint, Motor, Survey

PERIOD_S = 0.04
# Of a URDF, which says nothing of it.
URDF_PERIOD_S, URDF_STEPS = 0.05, 25
_UNITS = {
    ('position', False): 'rad', ('position', True): 'm',
    ('velocity', False): 'rad/s', ('velocity', True): 'm/s',
    ('effort', False): 'N m', ('effort', True): 'N',
}  # fmt: skip
_TURN = {'x': 'roll', 'y': 'rotation_y', 'z': 'yaw'}
_RATES = {'x': 'roll_rate', 'y': 'pitch_rate', 'z': 'yaw_rate'}


def scaffold(name: str, model: str, found: Survey) -> str:
    """Return the text of a robot file. model: the model file as the robot file is to name it."""
    steps = URDF_STEPS if found.is_urdf else max(1, round(PERIOD_S / found.timestep_s))
    period_s = URDF_PERIOD_S if found.is_urdf else steps * found.timestep_s
    sections = (
        _head(name, period_s, found),
        _state(found),
        _action(found, period_s),
        _simulation(model, steps, found),
        _tasks(found),
    )
    return '\n\n'.join('\n'.join(section) for section in sections) + '\n'


def _head(name: str, period_s: float, found: Survey) -> Iterator[str]:
    yield f'# Written by: mbmrl init. Look through it, then: mbmrl check {name}.yaml'
    yield from (f'# {note}' for note in found.notes)
    yield f'name: {_name(name)}'
    yield 'description: Say in a line what it is.'
    yield f'period_s: {period_s:g}    # of control; what the real robot can keep'
    yield ''
    yield '# What it is sensed by. Silence for longer than timeout_s stops the robot.'
    yield 'topics:'
    if found.root:
        yield '  odom: {type: nav_msgs/msg/Odometry, timeout_s: 0.2}'
    yield '  joint_states: {type: sensor_msgs/msg/JointState, timeout_s: 0.2}'


def _state(found: Survey) -> Iterator[str]:
    yield '# What the model predicts, in this order. input: false: predicted, not depended on,'
    yield '# such as where on the floor the robot is.'
    yield 'state:'
    yield from _root_positions(found)
    for joint in found.joints:
        yield from _joint_positions(found, joint)
    yield from _root_speeds(found)
    for joint in found.joints:
        yield _joint_channel(joint, channel(found, joint) + '_rate', 'velocity')


def _joint_positions(found: Survey, joint: Joint) -> Iterator[str]:
    name = channel(found, joint)
    if _turns(joint):
        for encoding in ('sin', 'cos'):
            yield _joint_channel(joint, f'{encoding}_{name}', 'position', encoding)
    else:
        yield _joint_channel(joint, name, 'position')


def _turns(joint: Joint) -> bool:
    """Whether a joint may turn round and round, so that its angle is no number to learn from."""
    return joint.limits is None and not joint.is_slide


def channel(found: Survey, joint: Joint) -> str:
    """Return the name of a joint's channel: its own, unless that is one of the body."""
    taken = {'x', 'y', 'z', 'vx', 'vy', 'vz'} if found.root else set()
    return f'{joint.name}_joint' if joint.name in taken else joint.name


def _joint_channel(joint: Joint, name: str, field: str, encoding: str = '') -> str:
    unit = "'1'" if encoding else _UNITS[field, joint.is_slide]
    how = f', encoding: {encoding}' if encoding else ''
    return (
        f'  - {{name: {_name(name)}, topic: joint_states, field: {field}, '
        f'joint: {_name(joint.name)}{how}, unit: {unit}}}'
    )


def _root_positions(found: Survey) -> Iterator[str]:
    if not found.root:
        return
    slides = [axis for axis in found.axes if len(axis) == 1] or ['x', 'y', 'z']
    for axis in slides:
        where = '' if axis == 'z' else ', input: false'
        field = f'pose.pose.position.{axis}'
        yield f'  - {{name: {axis}, topic: odom, field: {field}, unit: m{where}}}'
    if not found.axes:
        # The direction of gravity as the body sees it, which no pose makes ambiguous.
        for axis in 'xyz':
            yield _turn(f'up_{axis}', f'matrix_z{axis}')
        yield from (
            _turn(f'{part}_yaw', f'{part}_yaw', ', input: false') for part in ('sin', 'cos')
        )
    for axis in found.axes:
        if axis.startswith('about '):
            turn = _TURN[axis[-1]]
            name = 'pitch' if turn == 'rotation_y' else turn
            yield from (_turn(f'{part}_{name}', f'{part}_{turn}') for part in ('sin', 'cos'))


def _turn(name: str, encoding: str, more: str = '') -> str:
    return (
        f'  - {{name: {name}, topic: odom, field: pose.pose.orientation, encoding: {encoding}, '
        f"unit: '1'{more}}}"
    )


def _root_speeds(found: Survey) -> Iterator[str]:
    if not found.root:
        return
    for axis in found.axes or ('x', 'y', 'z', 'about x', 'about y', 'about z'):
        part, letter = ('angular', axis[-1]) if axis.startswith('about') else ('linear', axis)
        name = _RATES[letter] if part == 'angular' else f'v{letter}'
        unit = 'rad/s' if part == 'angular' else 'm/s'
        field = f'twist.twist.{part}.{letter}'
        yield f'  - {{name: {name}, topic: odom, field: {field}, unit: {unit}}}'


def _action(found: Survey, period_s: float) -> Iterator[str]:
    motors = found.motors
    field = motors[0].field
    units = dict.fromkeys(_UNITS[field, motor.joint.is_slide] for motor in motors)
    yield '# The command, joint by joint; limits in the unit of the topic.'
    yield 'action:'
    yield '  topic: joint_commands'
    yield '  type: sensor_msgs/msg/JointState'
    yield f'  field: {field}'
    yield f'  unit: {", ".join(units)}'
    yield f'  joints: {_names([motor.joint.name for motor in motors])}'
    guessed = [motor.joint.name for motor in motors if not motor.limited]
    if guessed:
        yield f'  # The model has no limits for {", ".join(guessed)}: write those of the robot.'
    yield f'  lower: {_numbers([motor.lower for motor in motors])}'
    yield f'  upper: {_numbers([motor.upper for motor in motors])}'
    rates = [(motor.upper - motor.lower) / period_s for motor in motors]
    yield f'  rate_limit: {_numbers(rates)}    # per second; here: end to end in a period'
    yield f'  fallback: {_numbers([_rest(motor) for motor in motors])}    # always safe to send'
    yield '  timeout_s: 0.2    # after which the motors fall back by themselves'
    yield ''
    yield '# limits: by channel, the range outside of which the robot is stopped.'
    yield 'safety: {decay_s: 0.1, limits: {}}'


def _rest(motor: Motor) -> float:
    """Return the command that does nothing: no effort, no speed, or staying where it starts."""
    rest = motor.joint.start if motor.field == 'position' else 0.0
    return min(max(rest, motor.lower), motor.upper)


def _simulation(model: str, steps: int, found: Survey) -> Iterator[str]:
    yield '# Leave this section out where there is only the real robot.'
    yield 'simulation:'
    yield f'  model: {json.dumps(model)}'
    yield f'  physics_steps: {steps}    # per control period'
    if found.root:
        yield f'  bodies: {{odom: {_name(found.root)}}}'
    if found.is_urdf:
        yield '  # On a fixed base, with balanced weight; tool: the link that holds things.'
        yield f'  arm: {{tool: {_name(found.tool)}}}'
    yield '  reset_noise: {position: 0.005, velocity: 0.005}'


def _tasks(found: Survey) -> Iterator[str]:
    yield '# What it is driven for; see: mbmrl tasks --robot FILE. Rewards are summed up.'
    yield 'tasks:'
    yield from _moving(found) if found.root else _reaching(found)


def _moving(found: Survey) -> Iterator[str]:
    along = next((axis for axis in found.axes if len(axis) == 1), 'x')
    has_height = not found.axes or 'z' in found.axes
    height = {'z': round(found.height_m, 4)} if has_height else {}
    yield from _task('forward', f'along {along}, with little effort', [
        f'{{term: forward_velocity, channel: {along}}}',
        *([f'{{term: lorentzian, weight: -0.5, target: {_targets(height)}}}'] if height else []),
        '{term: action_squared, weight: -0.01}',
    ], found)  # fmt: skip
    yield from _task('stay', 'where it began', [
        f'{{term: distance_squared, weight: -1, target: {_targets({along: 0.0} | height)}}}',
        '{term: action_squared, weight: -0.01}',
    ], found)  # fmt: skip


def _reaching(found: Survey) -> Iterator[str]:
    for task, share, what in (
        ('reach', 0.25, 'a pose aside of the start'),
        ('hold', 0.0, 'the start'),
    ):
        target: dict[str, float] = {}
        for joint in found.joints:
            name = channel(found, joint)
            if _turns(joint):
                target |= {f'sin_{name}': 0.0, f'cos_{name}': 1.0}
            else:
                low, high = joint.limits or (joint.start - 1, joint.start + 1)
                aside = min(joint.start + share * (high - low), high)
                target[name] = round(aside, 4)
        yield from _task(task, f'be at {what}, slowly', [
            f'{{term: distance_squared, weight: -10, target: {_targets(target)}}}',
            '{term: joint_speed_squared, weight: -0.1}',
            '{term: action_squared, weight: -0.01}',
        ], found)  # fmt: skip


def _task(name: str, what: str, terms: list[str], found: Survey) -> Iterator[str]:
    joints = [motor.joint.name for motor in found.motors]
    yield f'  {name}:'
    yield f'    description: {what}'
    yield '    reward:'
    yield from (f'      - {term}' for term in terms)
    yield '    episode_steps: 200'
    if len(joints) > 1:
        yield f'    disturbances: {_names([f"disabled_joint:{joints[0]}"])}    # in training'
    yield f'    held_out: {_names([f"disabled_joint:{joints[-1]}"])}    # in tests only'


def _targets(values: dict[str, float]) -> str:
    return '{' + ', '.join(f'{_name(name)}: {value:g}' for name, value in values.items()) + '}'


def _names(names: list[str]) -> str:
    return '[' + ', '.join(map(_name, names)) + ']'


def _numbers(values: list[float]) -> str:
    return '[' + ', '.join(f'{value:.10g}' for value in values) + ']'


def _name(text: str) -> str:
    """Return a name as YAML reads it, in quotes where it needs them."""
    plain = re.fullmatch(r'[A-Za-z_][\w.-]*', text, re.ASCII)
    return text if plain and yaml.safe_load(text) == text else json.dumps(text)
