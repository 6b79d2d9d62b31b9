# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What no state of a robot can be, without anybody having said so: finite nonsense.

A driver that sends zeros, 1e30 or degrees sends numbers. Where the robot file says nothing about a
channel, two things are known all the same: how far its joint goes, and what the model was trained
on. Both bounds are wide: they are no limits of the robot, but tell what is no measurement of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from mbmrl_ros.robot.plausible import Fault
from mbmrl_ros.spec.channels import Channel
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array, Reading

Interval = tuple[float, float]

# A channel that hardly changed in training gets no narrower bound than for this deviation, as a
# share of its mean, or in its unit about zero.
SMALLEST = 0.01
# What is not fed to the network may go anywhere, as long as float32 tells a change of it in one
# period from nothing: with 24 binary digits, 16 parts of a usual change are left here. A channel
# that did not change in training may go as far as one with changes of SMALLEST_CHANGE.
FARTHEST, SMALLEST_CHANGE = 2.0**20, 1e-3


class Statistics(NamedTuple):
    """What a model was trained on: mean and deviation of states, that of changes, each [S]."""

    mean: Array
    std: Array
    change_std: Array


@dataclass(frozen=True)
class Bounds:
    """Intervals by channel: its name, its place in the state, lower, upper, of what they are."""

    intervals: tuple[tuple[str, int, float, float, str], ...] = ()

    def fault(self, state: Array) -> Fault | None:
        """Return the fault of a channel of a state [S] that is beyond its bounds, if one is."""
        for name, place, lower, upper, source in self.intervals:
            if not lower <= state[place] <= upper:
                text = f'{name}: {state[place]:.4g} outside {lower:.4g}..{upper:.4g}, {source}'
                return Fault('bounds', text)
        return None


def joint_bounds(spec: RobotSpec, limits: Mapping[str, Interval], margin: float) -> Bounds:
    """Return bounds of joint positions.

    limits: by joint, [rad or m]. margin: what is allowed beyond them, as a share of their
    distance: calibrations are off, and stops of rubber give way.
    """
    found = []
    for place, channel in enumerate(spec.state):
        interval = limits.get(channel.joint or '')
        if interval is None or channel.field != 'position' or not _bounded(spec, channel):
            continue
        room = margin * (interval[1] - interval[0])
        source = f"which its joint's limits are, and {room:.3g} beyond"
        found.append((channel.name, place, interval[0] - room, interval[1] + room, source))
    return Bounds(tuple(found))


def training_bounds(spec: RobotSpec, statistics: Statistics, deviations: float) -> Bounds:
    """Return bounds by what a model was trained on, `deviations` standard deviations wide."""
    found = []
    for place, channel in enumerate(spec.state):
        if not _bounded(spec, channel):
            continue
        mean = float(statistics.mean[place])
        if channel.input:
            std = max(float(statistics.std[place]), SMALLEST * max(1.0, abs(mean)))
            room, source = deviations * std, f'{deviations:g} deviations of the training data'
        else:
            change = max(float(statistics.change_std[place]), SMALLEST_CHANGE)
            room, source = FARTHEST * change, 'where float32 holds its changes'
        found.append((channel.name, place, mean - room, mean + room, source))
    return Bounds(tuple(found))


def joined(*bounds: Bounds) -> Bounds:
    """Return all bounds together."""
    return Bounds(tuple(interval for each in bounds for interval in each.intervals))


def _bounded(spec: RobotSpec, channel: Channel) -> bool:
    """Whether bounds are to be found for a channel.

    Sines, cosines and rotations are bounded as they are. Where the robot file gives a range it
    knows better, and beyond a limit of safety the stop has to stay.
    """
    told = spec.plausible.get(channel.name)
    if channel.name in spec.safety.limits:
        return False
    by_itself = channel.of_quaternion or channel.encoding in ('sin', 'cos')
    return not by_itself and (told is None or told.range is None)


class AllZero:
    """Joints that have all come to exactly zero, as a driver says that has lost its device.

    A robot may stand at zero from its start on: nothing tells that from a driver without a device
    before it is driven. Where positions are commanded nothing is said: a simulated driver is
    exactly where it was told to be.
    """

    # In a row.
    READINGS = 2

    def __init__(self, spec: RobotSpec) -> None:
        """spec: whose topics have positions of several joints."""
        commanded = spec.action.field == 'position'
        self._topics = {topic for topic in position_topics(spec) if not commanded}
        self._alive: set[str] = set()
        self._zeros: Counter[str] = Counter()

    def add(self, reading: Reading) -> None:
        """Count a reading, if all of it is zero."""
        if reading.topic not in self._topics:
            return
        if any(reading.values):
            self._alive.add(reading.topic)
            self._zeros[reading.topic] = 0
        elif reading.topic in self._alive:
            self._zeros[reading.topic] += 1

    def fault(self) -> Fault | None:
        """Return the fault of a topic that holds nothing but zeros."""
        for topic, count in self._zeros.items():
            if count >= self.READINGS:
                return Fault('zeros', f'{topic}: every value is exactly zero')
        return None


def position_topics(spec: RobotSpec) -> list[str]:
    """Return the topics with the positions of more than one joint."""
    return [
        topic
        for topic in spec.topics
        if sum(s.startswith(f'{topic}:position[') for s in spec.topic_signals(topic)) > 1
    ]
