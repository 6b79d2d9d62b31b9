# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a controller needs of whatever decides on actions."""

from __future__ import annotations

import math
from typing import Protocol

from torch import Tensor

from mbmrl_ros.robot.adaptive_mpc import Decision
from mbmrl_ros.robot.latency import Pending
from mbmrl_ros.types import Planner, RewardFn, Transitions


class ActionSource(Protocol):
    """What decides on actions: AdaptiveMPC, or the random policy that collects data."""

    @property
    def window_size(self) -> int:
        """M, transitions that it wants to see."""

    @property
    def planner(self) -> Planner | None:
        """What plans, if anything does."""

    def reset(self) -> None:
        """Forget the past."""

    def use_planner(self, planner: Planner) -> None:
        """Exchange the planner, if it has one."""

    def use_reward(self, reward: RewardFn) -> None:
        """Exchange the reward, if it has one."""

    def inherit_warm_start(self, other: object) -> None:
        """Go on where another one stopped."""

    def act(
        self,
        window: Transitions,
        attempted: Tensor,
        state: Tensor,
        pending: Pending = (),
        until_s: float = math.inf,
    ) -> Decision:
        """Choose the next action; see AdaptiveMPC."""
