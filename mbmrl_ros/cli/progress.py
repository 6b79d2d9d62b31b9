# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is shown: how far predictions of recordings have come, and tables."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table
from torch import Tensor

from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.evaluation.predictions import HORIZONS
from mbmrl_ros.types import Adapted, Adapter, Transitions

# In a file or a pipe lines may be as long as they need to be.
_WIDTH = 160


def print_wide(table: Table) -> None:
    """Print a table as wide as the terminal is; wide where there is none."""
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)


class Counted:
    """An adapter that tells how many windows it has adapted to."""

    def __init__(self, adapter: Adapter, on_windows: Callable[[int], object]) -> None:
        self.initial, self.inherit = adapter.initial, adapter.inherit
        self._adapt, self._on_windows = adapter.adapt, on_windows

    def adapt(self, memory: Any, window: Transitions, attempted: Tensor) -> tuple[Any, Adapted]:
        """Adapt, and tell of the rows that are no repetition."""
        self._on_windows(int(attempted.sum()))
        return self._adapt(memory, window, attempted)


def windows_of(bundle: Bundle, trajectories: list[Trajectory]) -> int:
    """Return how many windows of trajectories `channel_errors` is of."""
    needed = bundle.info.past_steps + max(bundle.info.future_steps, *HORIZONS)
    return sum(max(0, trajectory.steps - needed + 1) for trajectory in trajectories)
