# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What successive readings say: rates of change, sensors that stand still, impossible states."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mbmrl_ros.robot.history import follows
from mbmrl_ros.spec.robot import RobotSpec
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

    def update(self, newest: Mapping[str, Reading]) -> None:
        """Compute the rates of change from the readings of a period."""
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

    @property
    def missing(self) -> Fault | None:
        """The fault of a topic without a rate yet, if there is one."""
        for topic, places in self._places.items():
            if np.isnan(self.values[places]).any():
                return Fault('no rate', f'{topic}: no rate of change yet, after a gap')
        return None


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
        """Compare a reading with the one that its topic stands still at."""
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


# Two stamps that are less than a period apart by this share of it are a period apart.
ROUNDING = 1e-6
# Stamps that are further apart than this, in periods, come once a period.
ONCE = 0.75


class Steps:
    """Whether the channels of one topic are further apart than the robot can have moved.

    Every reading is held once, when its stamp is new, against the newest one that is at least
    half a period older, however often the sensor measures: from one reading to the next of a fast
    one, a robot could be anywhere. A jump lasts until the next stamp, and where stamps come
    several times a period, for a period, so that it meets a command. Then the new place counts.
    """

    def __init__(self, period_s: float, steps: list[tuple[str, int, float]]) -> None:
        """steps: name, place in the state, and largest change in a period, of every channel."""
        self._period_s, self._steps = period_s, steps
        # Oldest first; all but the first are less than half a period older than the last.
        self._states: deque[tuple[float, Array]] = deque()
        self.jump: Fault | None = None
        self._jumped_s = math.nan

    def awaits(self, stamp_s: float) -> bool:
        """Whether a reading of that stamp has yet to be added."""
        return not self._states or self._states[-1][0] != stamp_s

    def clear(self) -> None:
        """Start afresh: what comes next follows nothing."""
        self._states.clear()
        self.jump, self._jumped_s = None, math.nan

    def add(self, state: Array, stamp_s: float) -> None:
        """Compare the state [S] of a new stamp with the ones before."""
        last_s = self._states[-1][0] if self._states else math.nan
        half_s = 0.5 * self._period_s
        self._states.append((stamp_s, state))
        while len(self._states) > 1 and stamp_s - self._states[1][0] >= half_s:
            self._states.popleft()
        lasts = stamp_s - self._jumped_s < (1 - ROUNDING) * self._period_s
        if lasts and stamp_s - last_s < ONCE * self._period_s:
            return
        before_s, before = self._states[0]
        known = stamp_s - before_s >= half_s
        self.jump = self._further(before, state, stamp_s - before_s) if known else None
        self._jumped_s = stamp_s if self.jump else math.nan

    def _further(self, before: Array, state: Array, elapsed_s: float) -> Fault | None:
        periods = max(1.0, elapsed_s / self._period_s)
        for name, place, step in self._steps:
            change = state[place] - before[place]
            if not abs(change) <= step * periods:
                return Fault('jump', f'{name}: changed by {change:.4g}, at most {step:g} a period')
        return None


class Plausibility:
    """States within the ranges of the robot file, and not further apart than it can move."""

    def __init__(self, spec: RobotSpec) -> None:
        """spec: ranges and steps by channel."""
        channels = [(name, spec.channel_index(name), p) for name, p in spec.plausible.items()]
        self._ranges = [(name, i, *p.range) for name, i, p in channels if p.range is not None]
        steps: dict[str, list[tuple[str, int, float]]] = {}
        for name, place, plausible in channels:
            if plausible.step is not None:
                topic = spec.state[place].topic
                steps.setdefault(topic, []).append((name, place, plausible.step))
        self._topics = {topic: Steps(spec.period_s, of_it) for topic, of_it in steps.items()}

    def clear(self) -> None:
        """Start afresh: what comes next follows nothing."""
        for steps in self._topics.values():
            steps.clear()

    def fresh(self, newest: Mapping[str, Reading]) -> dict[str, float]:
        """Return the stamps that have yet to be added, by topic."""
        return {
            topic: newest[topic].stamp_s
            for topic, steps in self._topics.items()
            if steps.awaits(newest[topic].stamp_s)
        }

    def add(self, state: Array, stamps: Mapping[str, float]) -> None:
        """Compare a state [S] with those before; stamps: that are new in it, by topic."""
        for topic, stamp_s in stamps.items():
            self._topics[topic].add(state, stamp_s)

    def fault(self, state: Array) -> Fault | None:
        """Return the fault of a state [S], if it has one: out of range, or the last one jumped."""
        for name, place, lower, upper in self._ranges:
            if not lower <= state[place] <= upper:
                return Fault('range', f'{name}: {state[place]:.4g} outside {lower:g}..{upper:g}')
        return next((steps.jump for steps in self._topics.values() if steps.jump), None)
