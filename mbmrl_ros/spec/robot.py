# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The robot file: topics, state channels, action, safety, simulation.

One file per robot (config/robots/<robot>.yaml) is read by the controller, the simulator and the
trainer alike, so topic names, joint order and units exist once. A file may extend another one.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import math
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, FiniteFloat, ValidationInfo, model_validator

from mbmrl_ros.config import (
    Config,
    Mistake,
    Positive,
    UserError,
    closest,
    find_file,
    parse,
    read_extended,
    refuse,
    share_directory,
)
from mbmrl_ros.spec.channels import (
    DEGREES,
    WHEEL_PARTS,
    Action,
    Channel,
    FileName,
    Kinematics,
    Plausible,
    Safety,
    TaskName,
    Topic,
    TopicName,
    read_signal,
)
from mbmrl_ros.spec.simulation import Simulation
from mbmrl_ros.spec.tasks import Area, Collection, OwnTask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Periods: one late command is no fault, and a plan much older than that is of another robot.
DEADLINE = 2
SENSIBLE_DEADLINE = 0.5, 5.0


class RobotSpec(Config):
    """Everything the package knows about a robot."""

    name: FileName = Field(description='also of folders')
    description: str = ''
    period_s: Positive
    frame: str = Field(
        'odom', description='of its poses and points, of paths for it, and of what it shows'
    )
    topics: dict[TopicName, Topic] = Field(min_length=1)
    state: tuple[Channel, ...] = Field(min_length=1)
    action: Action
    latency_s: Annotated[FiniteFloat, Field(ge=0)] = Field(
        0.0, description='of sensors and actuators: what the controller cannot measure'
    )
    safety: Safety
    plausible: dict[str, Plausible] = Field(default={}, description='by channel')
    heading: tuple[tuple[str, str], ...] = Field(
        (),
        description='pairs of channels that turn about the vertical with the robot, such as x and '
        'y, or the cosine and sine of its yaw',
    )
    kinematics: Kinematics | None = None
    simulation: Simulation | None = None
    collection: Collection = Collection()
    tasks: dict[TaskName, OwnTask] = Field(default={}, description='by name; shipped ones apart')

    @model_validator(mode='before')
    @classmethod
    def _with_deadline(cls, data: Any) -> Any:
        """Derive the deadline from the period where the file has none."""
        safety = data.get('safety') if isinstance(data, dict) else None
        if isinstance(safety, dict) and 'deadline_s' not in safety:
            period_s = 0.0
            with suppress(KeyError, TypeError, ValueError):
                period_s = float(data['period_s'])
            # What is no period is told of by itself, and not by what would be derived from it.
            known = 0 < period_s < math.inf
            return data | {'safety': {'deadline_s': DEADLINE * period_s if known else 1, **safety}}
        return data

    @model_validator(mode='after')
    def _consistent(self, info: ValidationInfo) -> Self:
        refuse(self._mistakes(), info)
        return self

    def _mistakes(self) -> Iterator[Mistake]:
        """Yield what does not fit together."""
        names = [channel.name for channel in self.state]
        for place, name in enumerate(names):
            if name in names[:place]:
                text = f'channel names must be unique; {name!r} is there twice'
                yield Mistake(('state', place, 'name'), text)
        for place, channel in enumerate(self.state):
            yield from (Mistake(('state', place), text) for text in self._about_channel(channel))
        turning = [name for pair in self.heading for name in pair]
        for key, used in (('plausible', self.plausible), ('heading', turning)):
            for name in used:
                if name not in names:
                    yield Mistake(
                        (key, name), f'{key}: no channel {name!r}; {closest(name, names)}'
                    )
        if self.collection.area is not None:
            for text in self._about_area(self.collection.area, names):
                yield Mistake(('collection', 'area'), text)
        yield from self._degrees()
        if self.simulation is not None:
            yield from self._about_simulation(self.simulation)
        if all(topic.slow for topic in self.topics.values()):
            text = 'topics: one at least must not be slow, to date the state'
            yield Mistake(('topics',), text)
        battery = self.safety.battery
        own = self.topics if self.simulation is not None else ()
        if self.action.topic in {*own, battery.topic if battery else ''}:
            text = f'{self.action.topic} is listened to: commands go out on a topic of their own'
            yield Mistake(('action', 'topic'), text)
        if battery is not None and battery.topic in self.topics:
            text = f'{battery.topic} is of {self.topics[battery.topic].type}, not of BatteryState'
            yield Mistake(('safety', 'battery', 'topic'), text)
        yield from self._about_limits(names)

    def _about_channel(self, channel: Channel) -> Iterator[str]:
        """Yield what is wrong: a channel of no topic, or of a joint where its topic has none."""
        if channel.topic not in self.topics:
            valid = closest(channel.topic, self.topics)
            yield f'channel {channel.name}: topic {channel.topic!r} is not listed; {valid}'
            return
        if channel.point is not None:
            yield from self._about_point(channel)
            return
        is_joint = self.topics[channel.topic].type == 'sensor_msgs/msg/JointState'
        if is_joint != (channel.joint is not None):
            yield f'channel {channel.name}: a joint goes with JointState, only'

    def _about_limits(self, names: list[str]) -> Iterator[Mistake]:
        """Yield limits of safety that are of no channel, or the wrong way round."""
        for name, (low, high) in self.safety.limits.items():
            place = ('safety', 'limits', name)
            if name not in names:
                text = f'safety.limits: no channel {name!r}; {closest(name, names)}'
                yield Mistake(place, text)
            if low >= high:
                yield Mistake(place, f'safety.limits: {name} needs lower < upper')

    def _degrees(self) -> Iterator[Mistake]:
        """Yield angles in degrees of which a sine is taken, by an encoding or by kinematics."""
        taken = {s for c in self.state if c.encoding in ('sin', 'cos') for s in c.signals}
        if self.kinematics is not None:
            taken.update(self.kinematics.signals(self.action.joints))
        for place, channel in enumerate(self.state):
            if channel.unit in DEGREES and taken.intersection(channel.signals):
                yield Mistake(
                    ('state', place, 'unit'),
                    f'channel {channel.name} is in {channel.unit}, and a sine is taken of the '
                    'same number, which needs rad',
                )

    def _about_simulation(self, simulation: Simulation) -> Iterator[Mistake]:
        for key in ('bodies', 'sensing'):
            for name in getattr(simulation, key):
                if name not in self.topics:
                    valid = closest(name, self.topics)
                    text = f'simulation.{key}: no topic {name!r}; {valid}'
                    yield Mistake(('simulation', key, name), text)
        for signal, readout in (simulation.motors.readouts if simulation.motors else {}).items():
            place, key = ('simulation', 'motors', 'readouts', signal), 'simulation.motors.readouts'
            if signal not in self.signals:
                text = f'{key}: no signal {signal!r}; {closest(signal, self.signals)}'
                yield Mistake(place, text)
            if readout.quantity == 'back_emf' and readout.joint not in self.action.joints:
                valid = closest(readout.joint, self.action.joints)
                yield Mistake(place, f'{key}.{signal}: no joint {readout.joint!r}; {valid}')
        if simulation.wheels is not None and not set(self.action.joints) <= set(WHEEL_PARTS):
            text = f'simulation.wheels: their commands are twists of {" and ".join(WHEEL_PARTS)}'
            yield Mistake(('action', 'joints'), text)
        for limb, joints in simulation.limbs.items():
            if not joints or not set(joints) <= set(self.action.joints):
                text = f'simulation.limbs: {limb} needs joints of the action'
                yield Mistake(('simulation', 'limbs', limb), text)

    def _about_point(self, channel: Channel) -> Iterator[str]:
        place = f'channel {channel.name}'
        if self.kinematics is None or channel.point not in self.kinematics.points:
            yield f'{place}: kinematics has no point {channel.point!r}'
            return
        if channel.topic != self.kinematics.topic or channel.field not in ('x', 'y', 'z'):
            yield f'{place}: of a point are x, y and z, of the topic of kinematics'
        if channel.joint is not None or channel.encoding != 'raw':
            yield f'{place}: a point has neither a joint nor an encoding'
        if self.topics[channel.topic].type != 'sensor_msgs/msg/JointState':
            yield f'{place}: points come from a JointState'

    def _about_area(self, area: Area, names: list[str]) -> Iterator[str]:
        for name in (*area.position, *area.heading):
            if name not in names:
                yield f'collection.area: no channel {name!r}; {closest(name, names)}'
        action = self.action
        for key in ('forward', 'left', 'right'):
            command = getattr(area, key)
            if len(command) != len(action.joints):
                yield f'collection.area.{key} needs one value per joint ({len(action.joints)})'
            for low, value, high in zip(action.lower, command, action.upper):
                if not low <= value <= high:
                    yield f'collection.area.{key}: {value:g} is outside {low:g} to {high:g}'

    @property
    def doubts(self) -> tuple[str, ...]:
        """What is valid, and hardly what anybody wants: a line each."""
        deadline_s, receiver_s = self.safety.deadline_s, self.action.timeout_s
        shortest, longest = (periods * self.period_s for periods in SENSIBLE_DEADLINE)
        doubts = []
        if not shortest <= deadline_s <= longest:
            doubts.append(
                f'safety.deadline_s is {deadline_s:g}, {deadline_s / self.period_s:g} periods; '
                f'sensible: {shortest:g} to {longest:g}; leave it out for {DEADLINE} periods'
            )
        if deadline_s > receiver_s:
            doubts.append(
                f'safety.deadline_s is {deadline_s:g}, and the receiver falls back by itself '
                f'after action.timeout_s, {receiver_s:g}, before any command that decays'
            )
        return tuple(doubts)

    @property
    def state_size(self) -> int:
        """S."""
        return len(self.state)

    @property
    def action_size(self) -> int:
        """A."""
        return len(self.action.joints)

    @cached_property
    def signals(self) -> tuple[str, ...]:
        """All raw scalars, in the order of the state channels, each once."""
        signals = [signal for channel in self.state for signal in channel.signals]
        if self.kinematics is not None:
            signals += self.kinematics.signals(self.action.joints)
        return tuple(dict.fromkeys(signals))

    @cached_property
    def signal_places(self) -> dict[str, int]:
        """Where each raw scalar is among `signals`."""
        return {signal: place for place, signal in enumerate(self.signals)}

    @cached_property
    def copied_channels(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The channels that are a raw scalar as it is, and where that is among `signals`."""
        import numpy as np  # as in spec/channels.py: limits

        copied = [i for i, c in enumerate(self.state) if c.encoding == 'raw' and c.point is None]
        sources = [self.signal_places[self.state[i].signals[0]] for i in copied]
        return np.array(copied, np.int64), np.array(sources, np.int64)

    @cached_property
    def computed_channels(self) -> list[tuple[int, Channel]]:
        """All other channels, each with its place in the state."""
        copied = self.copied_channels[0]
        return [(i, channel) for i, channel in enumerate(self.state) if i not in copied]

    def topic_signals(self, topic: str) -> tuple[str, ...]:
        """The signals of one topic, in the order of a Reading's values."""
        return tuple(signal for signal in self.signals if read_signal(signal).topic == topic)

    @cached_property
    def input_indices(self) -> tuple[int, ...]:
        """Indices of the channels that feed the network."""
        return tuple(i for i, channel in enumerate(self.state) if channel.input)

    def channel_index(self, name: str) -> int:
        """Return the place of a channel in the state; UserError names the valid ones."""
        names = [channel.name for channel in self.state]
        if name not in names:
            raise UserError(f'{self.name} has no channel {name!r}; {closest(name, names)}')
        return names.index(name)

    @cached_property
    def interface(self) -> dict[str, object]:
        """What a trained model depends on: period, channels in order, action, points."""
        points = {} if self.kinematics is None else self.kinematics.points
        return {
            'robot': self.name,
            'period_s': self.period_s,
            # A robot without points has the interface that it had before there were any.
            'state': [
                channel.model_dump(exclude={'point'} if channel.point is None else None)
                for channel in self.state
            ],
            **({'points': {name: p.model_dump() for name, p in points.items()}} if points else {}),
            'joints': list(self.action.joints),
            'action_field': self.action.field,
            'lower': list(self.action.lower),
            'upper': list(self.action.upper),
        }

    @cached_property
    def hash(self) -> str:
        """SHA-256 of `interface`, first 16 digits."""
        text = json.dumps(self.interface, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def robot_names() -> list[str]:
    """Return the robots whose files are installed."""
    return sorted(path.stem for path in (share_directory() / 'config' / 'robots').glob('*.yaml'))


def load_robot(name_or_path: str) -> RobotSpec:
    """Load a robot by name, or from a path that ends in .yaml; UserError if it is not valid.

    What is valid and hardly meant is warned of.
    """
    path, data = read_robot(name_or_path)
    spec = parse(RobotSpec, data, str(path))
    for doubt in spec.doubts:
        _warn_once(f'{path}: {doubt}')
    return with_paths(spec, path.parent)


def read_robot(name_or_path: str) -> tuple[Path, dict[str, Any]]:
    """Return where a robot's file is, and what it and those that it extends hold."""
    shipped = share_directory() / 'config' / 'robots'
    if name_or_path.endswith(('.yaml', '.yml')):
        path = Path(name_or_path)
    elif name_or_path in robot_names():
        path = shipped / f'{name_or_path}.yaml'
    else:
        file = '; a robot file ends in .yaml' if Path(name_or_path).exists() else ''
        valid = closest(name_or_path, robot_names())
        raise UserError(f'unknown robot {name_or_path!r}{file}; {valid}')
    return path, read_extended(path, shipped)


@functools.cache
def _warn_once(text: str) -> None:
    """Warn in one line on stderr; a command loads its robot several times."""
    logging.getLogger(__name__).warning(text)


def with_paths(spec: RobotSpec, folder: Path) -> RobotSpec:
    """Return a robot whose files are found from anywhere."""
    changes: dict[str, Any] = {}
    simulation, kinematics = spec.simulation, spec.kinematics
    if simulation is not None:
        found: dict[str, Any] = {}
        if not simulation.model.startswith('gymnasium/'):
            found['model'] = _located(simulation.model, folder)
        if simulation.arm is not None and simulation.arm.scene:
            scene = _located(simulation.arm.scene, folder)
            found['arm'] = simulation.arm.model_copy(update={'scene': scene})
        changes['simulation'] = simulation.model_copy(update=found)
    if kinematics is not None:
        urdf = _located(kinematics.urdf, folder)
        changes['kinematics'] = kinematics.model_copy(update={'urdf': urdf})
    return spec.model_copy(update=changes) if changes else spec


def _located(name: str, folder: Path) -> str:
    """Return where a file is; a package that is not installed is missed when it is needed."""
    try:
        return str(find_file(name, folder))
    except UserError:
        return name
