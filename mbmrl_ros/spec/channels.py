# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sections of the robot file about topics, channels of the state, the action, and what is safe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, FiniteFloat, ValidationInfo, model_validator

from mbmrl_ros.config import Config, Mistake, Positive, closest, refuse

if TYPE_CHECKING:
    from mbmrl_ros.types import Array

Angle = Literal['rotation_y', 'roll', 'pitch', 'yaw']
SENSOR_TYPES = Literal[
    'nav_msgs/msg/Odometry', 'sensor_msgs/msg/JointState', 'geometry_msgs/msg/PoseStamped',
    'sensor_msgs/msg/Imu', 'std_msgs/msg/Float64MultiArray',
    'geometry_msgs/msg/PoseWithCovarianceStamped', 'geometry_msgs/msg/Twist',
    'geometry_msgs/msg/TwistStamped', 'geometry_msgs/msg/TransformStamped',
    'tf2_msgs/msg/TFMessage',
]  # fmt: skip
DEGREES = ('deg', 'degree', 'degrees', '°')
COMMAND_TYPES = Literal[
    'sensor_msgs/msg/JointState', 'std_msgs/msg/Float64MultiArray',
    'trajectory_msgs/msg/JointTrajectory', 'geometry_msgs/msg/Twist',
    'geometry_msgs/msg/TwistStamped',
]  # fmt: skip
# What stands in the place of joints where commands are twists.
TWIST_PARTS = tuple(f'{group}.{axis}' for group in ('linear', 'angular') for axis in 'xyz')
# Those that wheels can follow.
WHEEL_PARTS = ('linear.x', 'angular.z')
TRAJECTORY_FIELDS = {'position': 'positions', 'velocity': 'velocities', 'effort': 'effort'}
# Which messages say of which frame they are, and which of which frame in it.
_FRAMED = ('Odometry', 'Stamped', 'Imu', 'TFMessage')
_FRAMED_CHILD = ('Odometry', 'TransformStamped', 'TFMessage')


_TOPIC = re.compile(r'/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*', re.ASCII)


TOPIC_RULE = (
    'a topic is letters, digits and _, none beginning with a digit, joined by /; with a / before '
    'it, it is not below the namespace'
)


def is_topic(name: object) -> bool:
    """Whether a topic can be called so."""
    return isinstance(name, str) and _TOPIC.fullmatch(name) is not None


def _check_topic(name: str) -> str:
    if not is_topic(name):
        raise ValueError(TOPIC_RULE)
    return name


def _check_given(name: str) -> str:
    if not name:
        raise ValueError('a name has one character at least')
    return name


def _check_file_name(name: str) -> str:
    if not re.fullmatch(r'[^/\s.][^/\x00-\x1f]*', name):
        raise ValueError(
            'it is a name of folders as well: of one line, without /, and neither a dot nor a '
            'space at its beginning'
        )
    return name


def _check_field(name: str) -> str:
    if not re.fullmatch(r'[^:\[\]]+', name):
        raise ValueError('a field is a path into the message, without : [ and ]')
    return name


def _check_task_name(name: str) -> str:
    for part in name.split('/'):
        _check_file_name(part)
    return name


TaskName = Annotated[str, AfterValidator(_check_task_name)]
"""Folders are called so, one in the other where it has a /."""
FileName = Annotated[str, AfterValidator(_check_file_name)]
"""Of a robot: folders are called so."""
TopicName = Annotated[str, AfterValidator(_check_topic)]
Name = Annotated[str, AfterValidator(_check_given)]
"""Of a joint, a link, a channel: any text."""


def full_topic(name: str, namespace: str) -> str:
    """Return the full name of a topic of the robot file: one with a leading slash is absolute."""
    return name if name.startswith('/') else f'/{namespace.strip("/")}/{name}'.replace('//', '/')


class Signal(NamedTuple):
    """What the name of a raw scalar, `topic:field` or `topic:field[joint]`, is made of.

    Neither topics nor fields hold a colon or a bracket; a joint may be called anything.
    """

    topic: str
    field: str
    joint: str | None = None

    def __str__(self) -> str:
        """As `read_signal` reads it."""
        return f'{self.topic}:{self.field}' + ('' if self.joint is None else f'[{self.joint}]')


def read_signal(name: str) -> Signal:
    """Return what the name of a raw scalar is made of."""
    topic, _, rest = name.partition(':')
    field, bracket, joint = rest.partition('[')
    return Signal(topic, field, joint.removesuffix(']') if bracket else None)


class Topic(Config):
    """A sensor topic, relative to the robot's namespace; with a leading slash, absolute."""

    type: SENSOR_TYPES
    timeout_s: Positive = Field(description='age of the newest message that stops the robot')
    period_s: Positive | None = Field(
        None, description='between two messages, to count lost ones; default: unknown'
    )
    frozen_s: Positive | None = Field(
        None, description='values that repeat to the last digit for longer than this are no '
        'measurements (motion capture that lost its markers); default: they may'
    )  # fmt: skip
    transport_s: Annotated[FiniteFloat, Field(ge=0)] | None = Field(
        None, description='from measurement to arrival; default: arrival minus stamp, where that '
        'is between 0 and timeout_s, so that a clock of the sensor that lags counts as well'
    )  # fmt: skip
    frame: str = Field(
        '', description='of its messages; those of another one are refused. Default: any'
    )
    child_frame: str = Field(
        '', description='of an odometry or a transform, likewise; of /tf the transform is meant '
        'that leads from frame to child_frame'
    )  # fmt: skip
    slow: bool = Field(
        False, description='comes less often than once a period, and does not date the state'
    )

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        if self.frame and not self.type.endswith(_FRAMED):
            raise ValueError(f'{self.type} has no frame')
        if self.child_frame and not self.type.endswith(_FRAMED_CHILD):
            raise ValueError(f'{self.type} has no child_frame')
        if self.type.endswith('TFMessage') and not (self.frame and self.child_frame):
            raise ValueError('of /tf frame and child_frame say which transform is meant')
        return self


class Channel(Config):
    """One entry of the state vector."""

    name: Name
    topic: str
    field: Annotated[str, AfterValidator(_check_field)] = Field(
        description='path into the message; for joints: position, velocity, effort; for arrays: '
        'data and a place, as in data.0; for a point: x, y, z',
    )
    joint: Name | None = None
    point: str | None = Field(None, description='of kinematics, computed from joint positions')
    encoding: Literal[
        'raw', 'rate', 'sin', 'cos',
        'sin_rotation_y', 'cos_rotation_y', 'sin_roll', 'cos_roll',
        'sin_pitch', 'cos_pitch', 'sin_yaw', 'cos_yaw',
        'matrix_xx', 'matrix_xy', 'matrix_xz', 'matrix_yx', 'matrix_yy', 'matrix_yz',
        'matrix_zx', 'matrix_zy', 'matrix_zz',
    ] = Field(
        'raw', description='sin_, cos_: of an angle of a quaternion; matrix_: row and column of '
        'its rotation matrix; rate: change per second'
    )  # fmt: skip
    unit: str
    input: bool = Field(True, description='false: predicted, but not fed to the network')

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        if self.encoding not in ('raw', 'rate') and self.unit in DEGREES:
            raise ValueError(
                f'channel {self.name}: {self.encoding} is taken of radians, which ROS has in its '
                "messages, and has no unit: say unit: '1'"
            )
        return self

    @cached_property
    def angle(self) -> Angle | None:
        """The angle that is taken from a quaternion, or None."""
        name = self.encoding[4:]
        return name if name in ('rotation_y', 'roll', 'pitch', 'yaw') else None  # type: ignore[return-value]

    @cached_property
    def cell(self) -> tuple[int, int] | None:
        """The row and column that is taken from the rotation matrix of a quaternion, or None."""
        name, _, cell = self.encoding.partition('_')
        return ('xyz'.index(cell[0]), 'xyz'.index(cell[1])) if name == 'matrix' else None

    @cached_property
    def of_quaternion(self) -> bool:
        """Whether it is computed from a quaternion."""
        return self.angle is not None or self.cell is not None

    @cached_property
    def signals(self) -> tuple[str, ...]:
        """The raw scalars it is computed from, as `topic:field` or `topic:field[joint]`.

        Those of points, joint positions, are `Kinematics.signals`.
        """
        if self.point is not None:
            return ()
        if self.of_quaternion:
            return tuple(str(Signal(self.topic, f'{self.field}.{part}')) for part in 'wxyz')
        return (str(Signal(self.topic, self.field, self.joint)),)


class Action(Config):
    """The command: joints in order, limits in the unit of the topic."""

    topic: TopicName
    type: COMMAND_TYPES
    field: Literal['position', 'velocity', 'effort'] = 'effort'
    unit: str
    frame: str = Field(
        '', description='of a stamped command that is no JointState; those of another are refused'
    )
    joints: tuple[Name, ...] = Field(
        min_length=1, description='of a twist: its parts, such as linear.x and angular.z'
    )
    lower: tuple[FiniteFloat, ...]
    upper: tuple[FiniteFloat, ...]
    rate_limit: tuple[Positive, ...] = Field(description='largest change per second')
    fallback: tuple[FiniteFloat, ...] = Field(description='the safe command')
    timeout_s: Positive = Field(description='the receiver falls back by itself after this long')

    @cached_property
    def limits(self) -> tuple[Array, Array, Array]:
        """Lower and upper limits [A] in units, and the span between them."""
        import numpy as np  # where robots are only listed, nobody waits for it

        lower, upper = np.array(self.lower), np.array(self.upper)
        return lower, upper, upper - lower

    @model_validator(mode='after')
    def _consistent(self, info: ValidationInfo) -> Self:
        refuse(self._mistakes(), info, within='action')
        return self

    def _mistakes(self) -> Iterator[Mistake]:
        numbers = ('lower', 'upper', 'rate_limit', 'fallback')
        lengths = {len(getattr(self, name)) for name in numbers}
        if len(lengths) == 1 and lengths != {len(self.joints)}:
            text = f'{len(self.joints)} joints, and {lengths.pop()} values in {", ".join(numbers)}'
            yield Mistake(('joints',), f'{text}: they need one value per joint')
            return
        for name in numbers:
            if len(getattr(self, name)) != len(self.joints):
                text = f'{name} needs one value per joint ({len(self.joints)})'
                yield Mistake((name,), text)
        if 'Twist' in self.type:
            yield from self._about_twist()
        if len(set(self.joints)) != len(self.joints):
            yield Mistake(('joints',), 'joints must be unique')
        bounds = zip(self.joints, self.lower, self.fallback, self.upper)
        for place, (joint, low, rest, high) in enumerate(bounds):
            # A joint that is locked has one command.
            if low > high:
                text = f'{joint}: lower is {low:g}, above upper, {high:g}'
                yield Mistake(('lower', place), text)
            elif not low <= rest <= high:
                text = f'{joint}: needs lower <= fallback <= upper'
                yield Mistake(('fallback', place), text)

    def _about_twist(self) -> Iterator[Mistake]:
        if self.field != 'velocity':
            yield Mistake(('field',), f'a twist is a velocity, got field {self.field!r}')
        for place, part in enumerate(self.joints):
            if part not in TWIST_PARTS:
                text = f'a twist has no part {part!r}; {closest(part, TWIST_PARTS)}'
                yield Mistake(('joints', place), text)


class Point(Config):
    """A point on a link."""

    frame: str = Field(description='link or frame of the URDF')
    at: tuple[FiniteFloat, FiniteFloat, FiniteFloat] = Field(description='in that frame [m]')


class Kinematics(Config):
    """Points on the robot that follow from the positions of the action's joints."""

    urdf: str = Field(description='path relative to the robot file')
    topic: str = Field(description='that has the positions of the joints')
    points: dict[str, Point]

    def signals(self, joints: tuple[str, ...]) -> tuple[str, ...]:
        """Return the joint positions that points are computed from."""
        return tuple(str(Signal(self.topic, 'position', joint)) for joint in joints)


class Battery(Config):
    """A battery that is no state channel: sensor_msgs/msg/BatteryState, for command_gate."""

    topic: TopicName = 'battery_state'
    minimum_v: Positive = Field(description='voltage below which the robot is stopped')
    timeout_s: Positive = Field(5.0, description='age of the newest message that stops the robot')


class Safety(Config):
    """Bounds beyond which the robot is stopped."""

    deadline_s: Positive = Field(
        description='a plan that took longer is not sent; default: two control periods'
    )
    decay_s: Positive = Field(description='time constant towards the fallback when late')
    limits: dict[str, tuple[FiniteFloat, FiniteFloat]] = Field(
        default={}, description='channel: [lower, upper]'
    )
    battery: Battery | None = None


class Plausible(Config):
    """What a channel can be on this robot; a state beyond is a fault of a sensor."""

    range: tuple[FiniteFloat, FiniteFloat] | None = Field(None, description='[lower, upper]')
    step: Positive | None = Field(None, description='largest change in one period')

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError('range needs lower < upper')
        return self
