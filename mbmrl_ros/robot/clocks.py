# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How far the stamps of sensors are from the clock of whoever reads them.

Sensors may have a clock of their own: states, rates and the history go by their stamps alone. But
an hour, or all the years since 1970, is more often a driver that does not set its stamps, a
machine without time synchronisation, or simulated time beside real time; with a single topic
nothing else shows it.
"""

from __future__ import annotations

# Transport and the jitter of a busy machine are far below, and a clock that is set by hand above.
LARGEST_S = 1.0
# Nobody's clock drifts by this: it counts from another time.
ANOTHER_S = 3e7


class ClockOffsets:
    """The newest offset of every topic."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._offsets_s: dict[str, float] = {}

    def add(self, topic: str, stamp_s: float, arrived_s: float) -> None:
        """Record the stamp of a message, and when it came on the clock of the node [s]."""
        self._offsets_s[topic] = stamp_s - arrived_s

    def notices(self) -> list[str]:
        """Return of which topics the stamps are not of this clock, and by how much."""
        topics: dict[str, list[str]] = {}
        for topic, offset_s in sorted(self._offsets_s.copy().items()):
            if not abs(offset_s) <= LARGEST_S:
                side = 'ahead of' if offset_s > 0 else 'behind'
                text = f"{abs(offset_s):.3g} s {side} this node's clock{_hint(offset_s)}"
                topics.setdefault(text, []).append(topic)
        return [f'{", ".join(names)}: stamps are {text}' for text, names in topics.items()]


def _hint(offset_s: float) -> str:
    if abs(offset_s) < ANOTHER_S:
        return ' (time is not synchronised?)'
    return ' (simulated time? set use_sim_time; or a driver that does not set its stamps)'
