# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reward terms: functions of (state, action, next_state), batched over leading dimensions."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from mbmrl_ros.spec import RobotSpec
from mbmrl_ros.types import RewardFn


def forward_velocity(spec: RobotSpec, channel: str) -> RewardFn:
    """Velocity along a position channel [m/s]: its change over the period (thesis, Table 5)."""
    index = spec.channel_index(channel)

    def term(state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        return (next_state[..., index] - state[..., index]) / spec.period_s

    return term


def action_squared(spec: RobotSpec) -> RewardFn:
    """Squared norm of the action as scaled to -1..1 (thesis, Table 5)."""

    def term(state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        return action.square().sum(-1)

    return term


TERMS: dict[str, Callable[..., RewardFn]] = {
    'forward_velocity': forward_velocity,
    'action_squared': action_squared,
}
