# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bag as the control steps of its robot: the robot's readers, StateAssembler and latency.

A control step begins when every topic that comes about once a period has come anew, since the
stamps of a real robot jitter and drift against any grid; where all topics are faster, every
period.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mbmrl_ros.config import UserError
from mbmrl_ros.data.bags import Bag
from mbmrl_ros.robot.command import from_units
from mbmrl_ros.robot.latency import Latency, transport_s
from mbmrl_ros.robot.readings import read_command, sensor_reader
from mbmrl_ros.robot.state import StateAssembler
from mbmrl_ros.spec import RobotSpec
from mbmrl_ros.types import Array, Reading


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
    """Find the robot's topics under the one namespace that has them all; UserError if none."""
    if not bag.topics:
        raise UserError(f'{bag.path} holds nothing that can be read: {bag.damage or "no topics"}')
    first = next(iter(spec.topics))
    roots = [topic.removesuffix(first) for topic in bag.topics if topic.endswith(f'/{first}')]
    if namespace is not None:
        roots = [f'/{namespace.strip("/")}/'.replace('//', '/')]
    whole = [root for root in roots if all(f'{root}{name}' in bag.topics for name in spec.topics)]
    if len(whole) != 1:
        found = 'several namespaces have' if whole else 'no namespace has'
        raise UserError(
            f'{bag.path}: {found} the topics {", ".join(spec.topics)} of {spec.name}; there are: '
            f'{", ".join(sorted(bag.topics))}'
        )
    for name, topic in spec.topics.items():
        kind = bag.topics[f'{whole[0]}{name}']
        if kind != topic.type:
            raise UserError(f'{bag.path}: {name} is {kind}, the robot file says {topic.type}')
    full = command or f'{whole[0]}{spec.action.topic}'
    if full not in bag.topics:
        raise UserError(f'{bag.path} has no topic {full} of commands')
    return Topics({f'{whole[0]}{name}': name for name in spec.topics}, full)


class Log:
    """The messages of a bag that are about the robot, as the robot would have read them.

    messages: how many came, by topic of the robot file. refused: how many held no reading, by
    reason; replaying adds those that the StateAssembler refused.
    """

    def __init__(self, bag: Bag, spec: RobotSpec, topics: Topics) -> None:
        """Read it all."""
        self.spec = spec
        self.messages: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.events: list[Event] = []
        readers = {full: sensor_reader(spec, name) for full, name in topics.sensors.items()}
        for full, log_ns, data in bag.messages({*topics.sensors, topics.command}):
            at_s, topic = log_ns / 1e9, topics.sensors.get(full, spec.action.topic)
            item = readers[full](data, at_s, at_s) if full in readers else read_command(spec, data)
            if isinstance(item, Reading):
                settings = spec.topics[topic]
                way_s = transport_s(item.stamp_s, at_s, settings.timeout_s, settings.transport_s)
                item = replace(item, transport_s=way_s)
            self.messages[topic] += 1
            if isinstance(item, str):
                self.refused[item] += 1
            self.events.append(Event(at_s, topic, item))
        for full, count in bag.undecodable.items():
            self.refused[f'{full}: bytes are not of its type'] += count

    @property
    def seconds(self) -> float:
        """From the first message to the last."""
        return self.events[-1].at_s - self.events[0].at_s if self.events else 0.0

    def steps(self) -> Iterator[Step]:
        """Replay: yield every control step."""
        assembler, pace, latency = StateAssembler(self.spec), Pace(self), Latency(self.spec)
        commanded_s, measured_s, refused = -math.inf, math.nan, False
        for at_s, topic, item in self.events:
            if isinstance(item, np.ndarray):
                latency.sent(at_s, from_units(self.spec, item))
                commanded_s = at_s
                continue
            if isinstance(item, Reading):
                reason = assembler.on_reading(item)
                if reason is not None:
                    self.refused[reason] += 1
            refused = refused or isinstance(item, str) or reason is not None
            if topic not in self.spec.topics or not pace.begins(at_s, topic):
                continue
            assembler.begin_period(at_s)
            assembled = assembler.assemble(at_s)
            fault = assembled.fault or ('refused' if refused else '')
            before_s, measured_s = measured_s, assembled.measured_s
            moved = not fault and measured_s > before_s
            action = latency.mean(before_s, measured_s) if moved else None
            state = None if fault else assembled.state
            yield Step(at_s, state, fault, assembled.stamp_s, action, commanded_s)
            refused = False


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
    times = [event.at_s for event in log.events if event.topic == topic]
    return float(np.median(np.diff(times))) if len(times) > 1 else math.inf
