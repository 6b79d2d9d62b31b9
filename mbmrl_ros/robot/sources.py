# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which of several senders on one topic is listened to.

Two controllers on one command topic, or two state estimators on one sensor topic, alternate: what
arrives is neither the one nor the other. The first one holds the topic until it has been silent
for longer than a time-out; the others are refused and counted meanwhile. So a controller that was
started again, under whatever name, takes over when the time-out of the old one is over.
"""

from __future__ import annotations

import math
from collections import Counter

Sender = bytes
"""What tells the publishers of a topic apart: their GID; empty where the middleware has none."""

# Senders to remember; a script that publishes once is another one every time.
REMEMBERED = 16


class OneSource:
    """The sender that holds a topic, and when each of the others was last heard."""

    def __init__(self, timeout_s: float) -> None:
        """timeout_s: the silence after which another one takes the topic over [s]."""
        self.timeout_s = timeout_s
        self.holder: Sender | None = None
        self.refused = 0
        self._counts: Counter[Sender] = Counter()
        self._heard_s: dict[Sender, float] = {}

    def alive(self, now_s: float) -> bool:
        """Whether somebody holds the topic, who was heard within the time-out."""
        heard_s = self._heard_s.get(self.holder or b'', -math.inf)
        return abs(now_s - heard_s) <= self.timeout_s

    def take(self, sender: Sender, now_s: float) -> bool:
        """Whether a message of a sender counts, at a time of the steady clock [s]."""
        counts = sender == self.holder or not self.alive(now_s)
        if counts:
            self.holder = sender
        else:
            self.refused += 1
            self._counts[sender] += 1
        self._remember(sender, now_s)
        return counts

    def others(self, now_s: float, within_s: float) -> dict[Sender, int]:
        """Return who was refused lately, and how often."""
        return {
            sender: self._counts[sender]
            for sender, heard_s in self._heard_s.items()
            if sender != self.holder and self._counts[sender] and now_s - heard_s <= within_s
        }

    def _remember(self, sender: Sender, now_s: float) -> None:
        self._heard_s[sender] = now_s
        if len(self._heard_s) > REMEMBERED:
            oldest = min(self._heard_s, key=lambda each: self._heard_s[each])
            del self._heard_s[oldest]
            del self._counts[oldest]
