# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where the ROS callbacks leave readings for the worker, so that none is lost while it plans."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mbmrl_ros.nodes.common.inputs import Refusal
from mbmrl_ros.robot.controller import Controller
from mbmrl_ros.spec.channels import Topic
from mbmrl_ros.types import Reading

# Periods that a tick may take for the ones that pass by to be made up for.
LONGEST = 16


class ReadingQueue:
    """Readings since the last time somebody looked, in the order in which they came.

    received, lost: messages since the start, by topic; lost ones leave a gap in the stamps.
    """

    def __init__(self, topics: Mapping[str, Topic], lockstep: bool = False) -> None:
        """topics: all that readings come from; in lockstep at every step, not at their periods."""
        self.received: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self._topics, self.lockstep = dict(topics), lockstep
        self._awaited = frozenset(name for name, topic in topics.items() if not topic.slow)
        self._changed = threading.Condition()
        self._items: deque[Reading | Refusal] = deque()
        self._stamps: dict[str, float] = {}
        self._unseen = set(self._awaited)

    def put(self, item: Reading | Refusal) -> bool:
        """Leave an item; return whether all topics now have the same newest stamp."""
        with self._changed:
            self._items.append(item)
            self._count(item)
            self._stamps[item.topic] = item.stamp_s
            self._unseen.discard(item.topic)
            self._changed.notify()
            return self._common_stamp() is not None

    def wait_for_all(self, timeout_s: float) -> dict[str, list[float]]:
        """Wait until every topic has left something since the last `take`, slow ones apart.

        Returns when they have, by topic, on the steady clock.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._unseen, timeout_s)
            return {
                name: [item.received_s for item in self._items if item.topic == name]
                for name in self._awaited
            }

    def take(self) -> tuple[list[Reading | Refusal], float | None]:
        """Return what was left, and the newest stamp if all topics share it."""
        with self._changed:
            items = list(self._items)
            self._items.clear()
            self._unseen = set(self._awaited)
            return items, self._common_stamp()

    def passed(
        self, items: Sequence[Reading | Refusal], stamp_s: float, period_s: float
    ) -> list[int]:
        """Return how many items had come at the end of every period but the newest, oldest first.

        stamp_s: of the state before all items. The time from there to the newest state is divided
        into periods of equal length; the state nearest to the end of each ends it.
        """
        whole = self._whole_stamps(items)
        newest_s = whole[-1] if whole else -math.inf
        if self.lockstep or not (math.isfinite(newest_s) and math.isfinite(stamp_s)):
            return []
        elapsed_s = newest_s - stamp_s
        periods = round(elapsed_s / period_s)
        if not 2 <= periods <= LONGEST:
            return []
        ends = (stamp_s + elapsed_s * step / periods for step in range(1, periods))
        return [1 + min(range(len(whole)), key=lambda i: abs(whole[i] - end)) for end in ends]

    def _whole_stamps(self, items: Sequence[Reading | Refusal]) -> list[float]:
        """Return the stamp of the state after each item; -inf as long as a topic is missing."""
        newest = dict.fromkeys(self._awaited, -math.inf)
        stamps = []
        for item in items:
            if isinstance(item, Reading) and item.topic in newest:
                newest[item.topic] = max(item.stamp_s, newest[item.topic])
            stamps.append(min(newest.values(), default=-math.inf))
        return stamps

    def clear(self) -> None:
        """Throw everything away."""
        with self._changed:
            self._items.clear()
            self._stamps.clear()
            self._unseen = set(self._awaited)

    def newest_stamp_s(self) -> float:
        """Return the newest stamp of any topic; NaN if nothing came."""
        with self._changed:
            return max(self._stamps.values(), default=math.nan)

    def _count(self, item: Reading | Refusal) -> None:
        self.received[item.topic] += 1
        period_s, last_s = self._topics[item.topic].period_s, self._stamps.get(item.topic)
        if period_s is not None and last_s is not None and not self.lockstep:
            self.lost[item.topic] += max(0, round((item.stamp_s - last_s) / period_s) - 1)

    def _common_stamp(self) -> float | None:
        stamps = set(self._stamps.values())
        whole = len(self._stamps) == len(self._topics) and len(stamps) == 1
        return next(iter(stamps)) if whole else None


def deliver(
    reading_queue: ReadingQueue, controller: Controller
) -> tuple[float | None, float, str]:
    """Give the controller what came since the last tick, period by period where it was long ago.

    Returns the stamp that all topics share (None if there is none, or nothing came), the last
    arrival, and why readings were refused.
    """
    items, stamp_s = reading_queue.take()
    if not items:
        return None, time.monotonic(), ''
    received_s = max(item.received_s for item in items)
    if reading_queue.lockstep:
        # Messages of one stamp count as one arrival, however busy the machine is.
        items = [replace(item, received_s=received_s) for item in items]
    reasons, done = [], 0
    for count in reading_queue.passed(items, controller.stamp_s, controller.spec.period_s):
        reasons += _read(items[done:count], controller)
        controller.record_missed_period(items[count - 1].received_s)
        done = count
    reasons += _read(items[done:], controller)
    return stamp_s, received_s, '; '.join(dict.fromkeys(reasons))


def _read(items: Sequence[Reading | Refusal], controller: Controller) -> list[str]:
    """Give readings to the controller; return why any were refused."""
    reasons = []
    for item in items:
        if isinstance(item, Refusal):
            controller.counters.refused[item.reason] += 1
            reasons.append(item.reason)
        elif (reason := controller.on_reading(item)) is not None:
            reasons.append(reason)
    return reasons
