# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What successive readings say: rates of change, sensors that stand still, impossible states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mbmrl_ros.robot.history import follows
from mbmrl_ros.spec import RobotSpec
from mbmrl_ros.types import Array, Reading


class Fault(NamedTuple):
    """Why there is no state. kind: one of a few, to count by; text: with topic and numbers."""

    kind: str
    text: str


class Rates:
    """Changes per second between readings that are about a period apart.

    Over the stamps of the readings, not the nominal period: those of a real robot jitter. A
    reading that is repeated, or comes sooner than half a period after the one before, keeps the
    rate that was measured last. After a gap there is none until the next reading.
    """

    def __init__(self, spec: RobotSpec) -> None:
        """spec: whose channels of encoding `rate` are wanted."""
        self._period_s = spec.period_s
        order = {signal: place for place, signal in enumerate(spec.signals)}
        self._places = {
            channel.topic: [order[signal] for signal in spec.topic_signals(channel.topic)]
            for channel in spec.state
            if channel.encoding == 'rate'
        }
        self._bases: dict[str, Reading] = {}
        self.values: Array = np.full(len(spec.signals), math.nan)

    def forget(self, topic: str) -> None:
        """Start afresh with the next reading of a topic."""
        if self._bases.pop(topic, None) is not None:
            self.values[self._places[topic]] = math.nan

    def clear(self) -> None:
        """Start afresh with all topics."""
        self._bases.clear()
        self.values[:] = math.nan

    def update(self, newest: Mapping[str, Reading]) -> Fault | None:
        """Take the readings of a tick; say which topic has no rate yet."""
        missing = None
        for topic, places in self._places.items():
            reading, base = newest[topic], self._bases.get(topic)
            elapsed_s = math.inf if base is None else reading.stamp_s - base.stamp_s
            if base is not None and elapsed_s < 0.5 * self._period_s:
                reading = base
            elif base is not None and follows(elapsed_s, self._period_s):
                change = np.subtract(reading.values, base.values)
                self.values[places] = change / elapsed_s
            else:
                self.values[places] = math.nan
            self._bases[topic] = reading
            if np.isnan(self.values[places]).any():
                missing = Fault('no rate', f'{topic}: no rate of change yet, after a gap')
        return missing


class StandStill:
    """Topics whose values repeat to the last digit, which no measurement does."""

    def __init__(self, spec: RobotSpec) -> None:
        """spec: whose topics say for how long values may repeat."""
        self._limits = {
            name: topic.frozen_s
            for name, topic in spec.topics.items()
            if topic.frozen_s is not None
        }
        self._first: dict[str, Reading] = {}

    def add(self, reading: Reading) -> None:
        """Take a reading."""
        if reading.topic not in self._limits:
            return
        first = self._first.get(reading.topic)
        same = first is not None and first.values == reading.values
        if first is None or not same or first.stamp_s > reading.stamp_s:
            self._first[reading.topic] = reading

    def faults(self, newest: Mapping[str, Reading]) -> dict[str, Fault]:
        """Return the topics that stand still."""
        held = {
            topic: newest[topic].stamp_s - first.stamp_s for topic, first in self._first.items()
        }
        return {
            topic: Fault('frozen', f'{topic}: values have stood still for {held_s:.3f} s')
            for topic, held_s in held.items()
            if held_s > self._limits[topic]
        }


class Plausibility:
    """States within the ranges of the robot file, and not further apart than it can move."""

    def __init__(self, spec: RobotSpec) -> None:
        """spec: ranges and steps by channel."""
        self._period_s = spec.period_s
        channels = [(name, spec.channel_index(name), p) for name, p in spec.plausible.items()]
        self._ranges = [(name, i, *p.range) for name, i, p in channels if p.range is not None]
        self._steps = [(name, i, p.step) for name, i, p in channels if p.step is not None]
        self._state: Array | None = None
        self._stamp_s = math.nan

    def check(self, state: Array, stamp_s: float) -> Fault | None:
        """Say what is wrong with a state [S], if anything is."""
        before, elapsed_s = self._state, stamp_s - self._stamp_s
        self._state, self._stamp_s = state, stamp_s
        for name, place, lower, upper in self._ranges:
            if not lower <= state[place] <= upper:
                return Fault('range', f'{name}: {state[place]:.4g} outside {lower:g}..{upper:g}')
        if before is None or not follows(elapsed_s, self._period_s):
            return None
        for name, place, step in self._steps:
            change = state[place] - before[place]
            if not abs(change) <= step:
                return Fault('jump', f'{name}: changed by {change:.4g}, at most {step:g} a period')
        return None
