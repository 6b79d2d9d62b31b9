# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a controller needs of whatever decides on actions, and what that answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from mbmrl_ros.robot.latency import Pending
from mbmrl_ros.types import Adapted, Carry, Dynamics, Plan, Planner, RewardFn, Transitions


@dataclass(frozen=True)
class Decision:
    """What one tick decided, and how.

    action: [B, A] in -1..1, zero where not valid. valid: [B]. Both are on the CPU, what else
    there is lies where it was computed. adapted, plan: of what adapts, and of what plans.
    adapt_s, plan_s: durations [s]. start: [B, S] the state that the plan begins with, and carry
    what the model then remembers. dynamics: the model of plan, carry and parameters; None where
    there is no plan. mode: what the robot is driven for, in words. truncated:
    whether time was up before all was imagined.
    """

    action: Tensor
    valid: Tensor
    adapted: Adapted | None = None
    plan: Plan | None = None
    adapt_s: float = 0.0
    plan_s: float = 0.0
    start: Tensor | None = None
    carry: Carry = None
    dynamics: Dynamics | None = None
    mode: str = 'controlling'
    truncated: bool = False


class ActionSource(Protocol):
    """What decides on actions: a planner in a model that adapts, or a policy."""

    @property
    def window_size(self) -> int:
        """M, transitions that it wants to see."""

    def reset(self) -> None:
        """Forget the past."""

    def act(
        self,
        window: Transitions,
        attempted: Tensor,
        state: Tensor,
        pending: Pending = (),
        until_s: float = math.inf,
    ) -> Decision:
        """Choose the next action; see AdaptiveMPC."""


@runtime_checkable
class PlanningSource(ActionSource, Protocol):
    """One that plans: planner and reward can be exchanged while it drives."""

    @property
    def planner(self) -> Planner:
        """What plans."""

    def use_planner(self, planner: Planner) -> None:
        """Exchange the planner."""

    def use_reward(self, reward: RewardFn) -> None:
        """Exchange the reward."""

    def inherit_warm_start(self, other: ActionSource) -> None:
        """Go on where another one stopped."""


@runtime_checkable
class LearningSource(ActionSource, Protocol):
    """One that learns from what its own actions led to: it is told which were not its own."""

    def disown(self) -> None:
        """Take note that something else went out than its last action; from any thread."""
