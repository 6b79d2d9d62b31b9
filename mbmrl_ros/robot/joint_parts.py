# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""JointStates of one topic that come in parts, from several publishers.

An arm and its gripper often have a driver each and share `joint_states`. Values are put together
by joint until all that are wanted have come anew; the whole is as old as its oldest part.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mbmrl_ros.types import Reading

Place = tuple[str, str]
"""Array and joint of a value."""


class Partial(str):
    """Why a message is no reading where that is no fault: another of its topic has the rest."""


class JointParts:
    """Reads the messages of one topic, whole ones and parts."""

    def __init__(
        self,
        topic: str,
        wanted: list[Place],
        timeout_s: float,
        make: Callable[[str, list[Place]], Any],
    ) -> None:
        """timeout_s: by how much parts may differ in age. make: a reader of whole messages."""
        self._topic, self._wanted, self._timeout_s = topic, wanted, timeout_s
        self._read_whole = make(topic, wanted)
        self._reader = functools.lru_cache(maxsize=8)(lambda part: make(topic, list(part)))
        self._part = functools.lru_cache(maxsize=8)(
            lambda names: tuple(place for place in wanted if place[1] in names)
        )
        self._newest: dict[Place, tuple[float, float]] = {}
        self._anew: set[Place] = set()

    def __call__(
        self, message: Any, received_s: float, arrived_s: float = math.nan
    ) -> Reading | str | None:
        """Return a reading, why there is none, or None if the rest of it is to come."""
        own = self.own(message, received_s, arrived_s)
        return self.join(message, own) if isinstance(own, Reading) else own

    def part(self, message: Any) -> tuple[Place, ...]:
        """Return what a message holds of what is wanted."""
        return self._part(tuple(message.name))

    def own(self, message: Any, received_s: float, arrived_s: float = math.nan) -> Reading | str:
        """Return what a message holds by itself, or why it is of no use; nothing changes."""
        part = self.part(message)
        if len(part) == len(self._wanted):
            return self._read_whole(message, received_s, arrived_s)  # type: ignore[no-any-return]
        if not part:
            names = ', '.join(message.name[:20])
            return Partial(f'{self._topic}: another source, none of its joints (but {names})')
        return self._reader(part)(message, received_s, arrived_s)  # type: ignore[no-any-return]

    def join(self, message: Any, own: Reading) -> Reading | str | None:
        """Put what a message holds to the rest; return as a call does."""
        part = self.part(message)
        if len(part) == len(self._wanted):
            self._anew.clear()
            return own
        for place, value in zip(part, own.values):
            self._newest[place] = own.stamp_s, value
        self._anew.update(part)
        for place in self._wanted:
            stamp_s, _ = self._newest.get(place, (-math.inf, math.nan))
            if abs(own.stamp_s - stamp_s) > self._timeout_s:
                self._anew.discard(place)
                names = ', '.join(message.name[:20])
                return Partial(f'{self._topic}: no joint {place[1]!r} (there are: {names})')
        return self._whole(own) if len(self._anew) == len(self._wanted) else None

    def _whole(self, reading: Reading) -> Reading:
        self._anew.clear()
        stamps_s, values = zip(*(self._newest[place] for place in self._wanted))
        return replace(reading, stamp_s=min(stamps_s), values=values)
