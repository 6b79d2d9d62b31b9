# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a controller needs of whatever decides on actions, and what that answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from mbmrl_ros.robot.latency import Pending
from mbmrl_ros.types import Adapted, Carry, Plan, Planner, RewardFn, Transitions


@dataclass(frozen=True)
class Decision:
    """What one tick decided, and how.

    action: [B, A] in -1..1, zero where not valid. valid: [B]. Both are on the CPU, what else
    there is lies where it was computed. adapt_s, plan_s: durations [s]. start: [B, S] the state
    that the plan begins with, and carry what the model then remembers. mode: what the robot is
    driven for, in words. truncated: whether time was up before all was imagined.
    """

    action: Tensor
    valid: Tensor
    adapted: Adapted
    plan: Plan
    adapt_s: float
    plan_s: float
    start: Tensor | None = None
    carry: Carry = None
    mode: str = 'controlling'
    truncated: bool = False


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
