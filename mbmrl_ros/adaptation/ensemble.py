# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""All members of an ensemble adapt at once, each by its own step sizes to the same window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from mbmrl_ros.types import Adapted, Adapter, Transitions


@dataclass(frozen=True)
class EnsembleAdapter:
    """An adapter of one model, at work on E x B rows (models/mean.py).

    adapter_of: what adapts the rows of B robots; asked at every tick, so it should remember.
    """

    members: int
    adapter_of: Callable[[int], Adapter]

    def initial(self, batch: int) -> Any:
        """Return what is remembered of all members before the first window."""
        return self.adapter_of(batch).initial(self.members * batch)

    def inherit(self, memory: Any, batch: int) -> Any:
        """Return what is left of the memory of older members."""
        return self.adapter_of(batch).inherit(memory, self.members * batch)

    def adapt(self, memory: Any, window: Transitions, attempted: Tensor) -> tuple[Any, Adapted]:
        """Adapt every member to window [B, M, .]; each of them accepts or refuses by itself.

        The losses are means over the members of their own; accepted: whether any of them changed.
        """
        everyone = Transitions(*(tensor.repeat(self.members, 1, 1) for tensor in window))
        adapter = self.adapter_of(len(attempted))
        memory, rows = adapter.adapt(memory, everyone, attempted.repeat(self.members))
        accepted = self._by_member(rows.accepted).any(0)
        return memory, replace(
            rows,
            loss_before=self._by_member(rows.loss_before).mean(0),
            loss_after=self._by_member(rows.loss_after).mean(0),
            accepted=accepted,
            refused=self._by_member(rows.refused).any(0) & ~accepted,
        )

    def _by_member(self, values: Tensor) -> Tensor:
        return values.view(self.members, -1)
