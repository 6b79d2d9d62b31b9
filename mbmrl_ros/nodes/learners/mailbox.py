# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a node has got of one kind: the newest value wins, and what is refused is said."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from mbmrl_ros.nodes.common.diagnostics import reasons
from mbmrl_ros.nodes.learners.parcels import Layout, Origin, Parcel, Version, unpack
from mbmrl_ros.nodes.learners.signing import NO_KEY, Signature

# Each of them has a place in the memory of a learner, and so has each number before it.
MOST_KEPT = 1_000_000


class Mailbox:
    """Where parcels of a kind arrive. keep_all: also those older than the newest, each once.

    signature: by which they must be signed.
    """

    def __init__(
        self,
        kind: str,
        origin: Origin,
        layout: Layout,
        keep_all: bool = False,
        signature: Signature = NO_KEY,
    ) -> None:
        self.kind, self._origin, self._layout = kind, origin, layout
        self._signature = signature
        self._keep_all, self._known = keep_all, set[Version]()
        self.newest: Parcel | None = None
        self.refused: Counter[str] = Counter()
        # Why the last message was refused; empty if it was not.
        self.last_refusal = ''
        self.bytes = 0
        self._came_s = 0.0

    def accept(self, message: Any) -> Parcel | None:
        """Return what a message holds, if it is new; say why not otherwise."""
        data = bytes(message.data)
        self.bytes += len(data)
        parcel = unpack(data, self.kind, self._origin, self._layout, self._signature)
        newest = self.newest
        if isinstance(parcel, str):
            self._refuse(parcel)
            return None
        if self._keep_all:
            if parcel.version.number > MOST_KEPT:
                self._refuse(f'its number is above {MOST_KEPT}')
                return None
            if parcel.version in self._known:
                return None
            self._known.add(parcel.version)
        elif newest is not None and parcel.version <= newest.version:
            if parcel.version < newest.version:
                self._refuse('older than what is here')
            return None
        if newest is None or parcel.version > newest.version:
            self.newest, self._came_s = parcel, time.monotonic()
        self.last_refusal = ''
        return parcel

    def _refuse(self, reason: str) -> None:
        self.refused[reason] += 1
        self.last_refusal = reason

    def values(self) -> dict[str, Any]:
        """Return what /diagnostics says of it."""
        kind = self.kind
        known = {} if self.newest is None else {
            f'{kind}.version': self.newest.version,
            f'{kind}.age_s': time.monotonic() - self._came_s,
        }  # fmt: skip
        return known | {f'{kind}.bytes': self.bytes} | reasons(f'{kind} refused', self.refused)
