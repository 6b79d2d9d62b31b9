# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which of several senders on one topic is listened to.

Two controllers on one command topic, or two state estimators on one sensor topic, alternate: what
arrives is neither the one nor the other. The first one holds the topic until it has been silent
for longer than a time-out; the others are refused and counted meanwhile. So a controller that was
started again, under whatever name, takes over when the time-out of the old one is over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable

Sender = bytes
"""What tells the publishers of a topic apart: their GID; empty where the middleware has none."""

Part = Hashable
"""Of the messages of a topic, what a sender may have to itself: a value of a joint."""
WHOLE: tuple[Part, ...] = ('',)

# Senders to remember; a script that publishes once is another one every time.
REMEMBERED = 16


class OneSource:
    """Who holds a topic, whole or by parts, and when each of the others was last heard.

    Two senders may share a topic if each has parts of its own: an arm and a gripper that have a
    driver each. Whoever sends a part that another one holds is refused.
    """

    def __init__(self, timeout_s: float) -> None:
        """timeout_s: the silence after which another one takes a part over [s]."""
        self.timeout_s = timeout_s
        self.refused = 0
        self._held: dict[Part, tuple[Sender, float]] = {}
        self._counts: Counter[Sender] = Counter()
        self._heard_s: dict[Sender, float] = {}

    def holders(self, now_s: float) -> list[Sender]:
        """Return who holds parts, and was heard within the time-out."""
        # Copied at once: reports are made in another thread.
        held = list(self._held.values())
        return list(dict.fromkeys(sender for sender, at_s in held if not self._over(at_s, now_s)))

    def take(self, sender: Sender, now_s: float, parts: Iterable[Part] = WHOLE) -> bool:
        """Whether a message of a sender counts, at a time of the steady clock [s]."""
        counts = not self.rivals(sender, now_s, parts)
        if counts:
            self.give(sender, now_s, parts)
        else:
            self.refused += 1
            self._counts[sender] += 1
        self._remember(sender, now_s)
        return counts

    def rivals(self, sender: Sender, now_s: float, parts: Iterable[Part] = WHOLE) -> set[Sender]:
        """Return who else holds some of the parts."""
        held = (self._held[part] for part in parts if part in self._held)
        return {one for one, at_s in held if one != sender and not self._over(at_s, now_s)}

    def give(self, sender: Sender, now_s: float, parts: Iterable[Part] = WHOLE) -> None:
        """Let a sender hold some parts."""
        self._held.update(dict.fromkeys(parts, (sender, now_s)))

    def others(self, now_s: float, within_s: float) -> dict[Sender, int]:
        """Return who was refused lately and holds nothing, and how often."""
        holders = self.holders(now_s)
        return {
            sender: self._counts[sender]
            for sender, heard_s in list(self._heard_s.items())
            if sender not in holders and self._counts[sender] and now_s - heard_s <= within_s
        }

    def _over(self, at_s: float, now_s: float) -> bool:
        return abs(now_s - at_s) > self.timeout_s

    def _remember(self, sender: Sender, now_s: float) -> None:
        self._heard_s[sender] = now_s
        if len(self._heard_s) > REMEMBERED:
            oldest = min(self._heard_s, key=lambda each: self._heard_s[each])
            del self._heard_s[oldest]
            del self._counts[oldest]
