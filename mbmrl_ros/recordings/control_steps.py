# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bag as the control steps of its robot: the robot's readers, StateAssembler and latency.

A control step begins when every topic that comes about once a period has come anew, since the
stamps of a real robot jitter and drift against any grid; where all topics are faster, every
period.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from mbmrl_ros.config import UserError
from mbmrl_ros.data.bags import Bag, Message
from mbmrl_ros.robot.command import from_units
from mbmrl_ros.robot.joint_parts import Partial
from mbmrl_ros.robot.latency import Latency, transport_s
from mbmrl_ros.robot.readings import command_types, read_command, sensor_reader
from mbmrl_ros.robot.state import StateAssembler
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array, Reading

_SHOWN = 20


class Topics(NamedTuple):
    """Names in a bag. sensors: full name to name in the robot file. command: full name."""

    sensors: dict[str, str]
    command: str


class Step(NamedTuple):
    """The begin of a control step.

    at_s: on the recorder's clock. state: [S], or None and the fault (robot/state.py, FAULTS).
    stamp_s: of the state. action: [A] in -1..1, the mean command in effect since the state before,
    None where there is none; commanded_s: when the last command came.
    """

    at_s: float
    state: Array | None
    fault: str
    stamp_s: float
    action: Array | None
    commanded_s: float


class Event(NamedTuple):
    """A message. item: a reading, a command [A] in units, or why it is neither."""

    at_s: float
    topic: str
    item: Reading | Array | str


def find_topics(
    bag: Bag, spec: RobotSpec, namespace: str | None = None, command: str | None = None
) -> Topics:
    """Find the robot's topics under the one namespace that has them all.

    UserError if there is none, and if a topic is of another type than the robot file says.
    """
    return Topics(find_sensors(bag, spec, namespace), find_command(bag, spec, namespace, command))


def find_sensors(bag: Bag, spec: RobotSpec, namespace: str | None = None) -> dict[str, str]:
    """Find the sensor topics: full name to name in the robot file; UserError as `find_topics`."""
    root = _root(bag, spec, namespace)
    sensors = {_full(root, name): name for name in spec.topics}
    for full, name in sensors.items():
        kind = spec.topics[name].type
        if kind not in bag.topics[full]:
            came = ' and '.join(bag.topics[full])
            said = came or 'of no type'
            raise UserError(f'{bag.where}: {full} is {said}, the robot file says {kind}')
    return sensors


def find_command(
    bag: Bag, spec: RobotSpec, namespace: str | None = None, command: str | None = None
) -> str:
    """Find the topic of commands, by its full name; UserError as `find_topics`."""
    full = _full(_root(bag, spec, namespace), command or spec.action.topic)
    if full not in bag.topics:
        raise UserError(
            f'{bag.where} has no topic {full} of commands; {_nearest(full, bag.topics)} '
            '(--commands names the topic of the commands that the robot followed)'
        )
    commands = command_types(spec)
    if not set(commands).intersection(bag.topics[full]):
        came = ' and '.join(bag.topics[full])
        raise UserError(
            f'{bag.where}: {full} is {came}; commands are {" or ".join(commands)}, '
            f'those of {spec.name} {spec.action.type}'
        )
    return full


def _full(root: str, name: str) -> str:
    """Return the full name of a topic; one with a leading slash is none of a namespace."""
    return name if name.startswith('/') else f'{root}{name}'


def _root(bag: Bag, spec: RobotSpec, namespace: str | None) -> str:
    """Return the namespace of the robot, between slashes."""
    if not bag.topics:
        raise UserError(f'{bag.where} holds nothing that can be read: {bag.damage or "no topics"}')
    names = [name for name in (*spec.topics, spec.action.topic) if not name.startswith('/')]
    roots = {
        topic.removesuffix(name): None
        for name in names
        for topic in bag.topics
        # In bags of ROS 1 names need not begin with a slash.
        if topic == name or topic.endswith(f'/{name}')
    }
    if namespace is not None:
        roots = {f'/{namespace.strip("/")}/'.replace('//', '/'): None}
    missing = {
        root: [name for name in spec.topics if _full(root, name) not in bag.topics]
        for root in roots or {'/': None}
    }
    whole = [root for root in missing if not missing[root]]
    if whole and set(spec.topics).isdisjoint(names):
        # Sensors are the same whatever the namespace; it says where commands are.
        whole = [root for root in whole if _full(root, spec.action.topic) in bag.topics] or ['/']
    if len(whole) == 1:
        return whole[0]
    listed = ', '.join(spec.topics)
    if whole:
        raise UserError(
            f'{bag.where}: several namespaces have the topics {listed} of {spec.name}: '
            f'{", ".join(sorted(whole))}; say which with --namespace'
        )
    best = min(missing, key=lambda root: len(missing[root]))
    raise UserError(
        f'{bag.where}: no namespace has the topics {listed} of {spec.name}; {best} lacks '
        f'{", ".join(missing[best])}; {_nearest(_full(best, missing[best][0]), bag.topics)}'
    )


def _nearest(name: str, topics: Iterable[str]) -> str:
    """Return the topics there are, for the end of a message; the one that is nearest first."""
    names = sorted(topics)
    match = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    more = f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
    hint = f'nearest is {match[0]}; ' if match else ''
    return f'{hint}there are: {", ".join(names[:_SHOWN])}{more}'


class Log:
    """The messages of a bag that are about the robot, as the robot would have read them.

    messages: how many came, by topic of the robot file. refused: how many held no reading, by
    reason; replaying adds those that the StateAssembler refused.
    """

    def __init__(self, bag: Bag, spec: RobotSpec, topics: Topics) -> None:
        """Read it all; UserError if a topic has no message."""
        self.spec = spec
        self.messages: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.events: list[Event] = []
        self._readers = {full: sensor_reader(spec, name) for full, name in topics.sensors.items()}
        self._frames: defaultdict[str, set[str]] = defaultdict(set)
        types: dict[str, tuple[str, ...]] = {
            full: (spec.topics[name].type,) for full, name in topics.sensors.items()
        }
        types[topics.command] = command_types(spec)
        for message in bag.messages(types, types):
            name = topics.sensors.get(message.topic, spec.action.topic)
            self._add(message, name)
        self.refused.update(bag.refused)
        self.readable = {e.topic for e in self.events if not isinstance(e.item, str)}
        for full in types:
            if not self.messages[topics.sensors.get(full, spec.action.topic)]:
                why = ', '.join(f'{n} x {reason}' for reason, n in bag.refused.items())
                raise UserError(
                    f'{bag.where}: no message of {full} can be read '
                    f'({why or bag.damage or "none was recorded"})'
                )

    def _add(self, message: Message, name: str) -> None:
        at_s = message.log_ns / 1e9
        read = self._readers.get(message.topic)
        item = read(message.data, at_s, at_s) if read else read_command(self.spec, message.data)
        self.messages[name] += 1
        if read and (frame := _frame(message.data)):
            self._frames[name].add(frame)
        if item is None:
            return
        if isinstance(item, Reading):
            settings = self.spec.topics[name]
            way_s = transport_s(item.stamp_s, at_s, settings.timeout_s, settings.transport_s)
            item = replace(item, transport_s=way_s)
        if isinstance(item, str):
            self.refused[item] += 1
        self.events.append(Event(at_s, name, item))

    @property
    def notes(self) -> list[str]:
        """What is odd, though it drops nothing: two sources of one topic, as their frames tell."""
        return [
            f'{topic} has messages of several frames ({", ".join(sorted(frames))}): two sources?'
            for topic, frames in self._frames.items()
            if len(frames) > 1
        ]

    @property
    def seconds(self) -> float:
        """From the first message to the last."""
        return self.events[-1].at_s - self.events[0].at_s if self.events else 0.0

    def steps(self) -> Iterator[Step]:
        """Replay: yield every control step."""
        assembler, pace, latency = StateAssembler(self.spec), Pace(self), Latency(self.spec)
        commanded_s, measured_s = -math.inf, math.nan
        refused: set[str] = set()
        good: set[str] = set()
        for at_s, topic, item in self.events:
            if isinstance(item, Partial) and topic in self.readable:
                continue
            if isinstance(item, np.ndarray):
                latency.sent(at_s, from_units(self.spec, item))
                commanded_s = at_s
                good.add(topic)
                continue
            if self._refusal(item, assembler):
                refused.add(topic)
            else:
                good.add(topic)
            if topic not in self.spec.topics or not pace.begins(at_s, topic):
                continue
            assembler.begin_period(at_s)
            assembled = assembler.assemble(at_s)
            # A reading that came too makes up for one that was refused, as on the robot.
            fault = 'refused' if refused - good else assembled.fault
            before_s, measured_s = measured_s, assembled.measured_s
            moved = not fault and measured_s > before_s
            action = latency.mean(before_s, measured_s) if moved else None
            state = None if fault else assembled.state
            yield Step(at_s, state, fault, assembled.stamp_s, action, commanded_s)
            refused, good = set(), set()

    def _refusal(self, item: Reading | str, assembler: StateAssembler) -> bool:
        """Give a reading to the assembler; return whether it is none, or was refused."""
        if isinstance(item, str):
            return True
        reason = assembler.on_reading(item)
        if reason is not None:
            self.refused[reason] += 1
        return reason is not None


def _frame(message: Any) -> str:
    """Return the frames that a message names; JointStates have none that means anything."""
    if hasattr(message, 'name') or not hasattr(message, 'header'):
        return ''
    frames = (message.header.frame_id, getattr(message, 'child_frame_id', ''))
    return '/'.join(frame for frame in frames if frame)


class Pace:
    """When control steps begin."""

    def __init__(self, log: Log) -> None:
        """Find the topics that come about once a period."""
        self._period_s = log.spec.period_s
        intervals = {
            topic: _interval_s(log, topic)
            for topic, settings in log.spec.topics.items()
            if not settings.slow
        }
        self._once = {topic for topic, s in intervals.items() if 0.75 <= s / self._period_s <= 1.5}
        self._waiting = set(self._once)
        # In the middle between two messages of the fastest topic, where jitter does no harm.
        self._due_s = log.events[0].at_s + 0.5 * min(intervals.values())

    def begins(self, at_s: float, topic: str) -> bool:
        """Whether a step begins with this message."""
        if self._once:
            self._waiting.discard(topic)
            if self._waiting:
                return False
            self._waiting = set(self._once)
            return True
        if at_s < self._due_s:
            return False
        late = at_s - self._due_s
        self._due_s += (math.floor(late / self._period_s) + 1) * self._period_s
        return True


def _interval_s(log: Log, topic: str) -> float:
    times = [
        event.at_s
        for event in log.events
        if event.topic == topic and not isinstance(event.item, Partial)
    ]
    return float(np.median(np.diff(times))) if len(times) > 1 else math.inf
