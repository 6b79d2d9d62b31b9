# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Adapt, then plan: one tick of Algorithm 10, for one robot or for many side by side."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from mbmrl_ros.models.bundle import Bundle
from mbmrl_ros.types import Adapted, Adapter, Dynamics, Plan, Planner, RewardFn, Transitions


@dataclass(frozen=True)
class Decision:
    """What one tick decided, and how.

    action: [B, A] in -1..1, zero where not valid. valid: [B]. adapt_s, plan_s: durations [s].
    """

    action: Tensor
    valid: Tensor
    adapted: Adapted
    plan: Plan
    adapt_s: float
    plan_s: float


class AdaptiveMPC:
    """Model predictive control on a model that adapts at every tick (thesis, Algorithm 10).

    Training collects data with this very object and the robot is driven by it, so that what is
    trained for and what is done at run time cannot differ.
    """

    def __init__(
        self,
        dynamics: Dynamics,
        adapter: Adapter,
        planner: Planner,
        reward: RewardFn,
        generator: torch.Generator,
        window_size: int,
        batch: int = 1,
    ) -> None:
        """window_size: M transitions (T1). batch: B robots that share model and planner."""
        self.window_size = window_size
        self.batch = batch
        self._dynamics = dynamics
        self._adapter = adapter
        self._planner = planner
        self._reward = reward
        self._generator = generator
        self.reset()

    def reset(self) -> None:
        """Forget the warm start and what the adapter remembers; parameters are as trained."""
        self._memory = self._adapter.initial(self.batch)
        self._planner_state = self._planner.initial(self.batch)

    def use_planner(self, planner: Planner) -> None:
        """Exchange the planner; the warm start is kept if it has the new one's shape."""
        fresh = planner.initial(self.batch)
        shapes = [_shapes(state) for state in (self._planner_state, fresh)]
        self._planner = planner
        if shapes[0] != shapes[1]:
            self._planner_state = fresh

    def act(self, window: Transitions, attempted: Tensor, state: Tensor) -> Decision:
        """Choose the next action.

        window: [B, M, .]; attempted: [B] False where there is no full window yet, so that the
        parameters stay as trained; state: [B, S] in units.
        """
        started = time.perf_counter()
        memory, adapted = self._adapter.adapt(self._memory, window, attempted)
        adapted_at = time.perf_counter()
        with torch.no_grad():
            planner_state, plan = self._planner.plan(
                self._generator,
                self._planner_state,
                self._dynamics.planning_step(adapted.params),
                self._reward,
                None,
                state,
            )
        self._memory, self._planner_state = memory, planner_state
        planned_at = time.perf_counter()
        return Decision(
            plan.actions[:, 0],
            plan.valid,
            adapted,
            plan,
            adapted_at - started,
            planned_at - adapted_at,
        )


def _shapes(planner_state: Iterable[Tensor] | None) -> list[torch.Size]:
    return [tensor.shape for tensor in planner_state or ()]


def make_mpc(
    bundle: Bundle,
    adapter: Adapter,
    planner: Planner,
    reward: RewardFn,
    generator: torch.Generator,
    batch: int = 1,
) -> AdaptiveMPC:
    """Put Algorithm 10 together from a bundle: for training, evaluation and the robot."""
    return AdaptiveMPC(
        bundle.dynamics, adapter, planner, reward, generator, bundle.info.past_steps, batch
    )
