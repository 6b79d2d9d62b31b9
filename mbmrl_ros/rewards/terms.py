# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reward terms: functions of (state, action, next_state), batched over leading dimensions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from mbmrl_ros.rewards.path import path_distance, path_heading, path_progress
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import RewardFn

GoalTermFn = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(state, action, next_state, the one goal [...] that the term is about) -> value [...]."""


def constant(values: Iterable[float]) -> Callable[[torch.device, torch.dtype], Tensor]:
    """Return a function that gives a tensor of the values, made once per device.

    A tensor that is made from numbers inside a term could not be recorded as a CUDA graph, and
    one that was made in inference mode could not be part of a gradient later.
    """
    kept = tuple(values)

    @functools.lru_cache(maxsize=8)
    def on(device: torch.device, kind: torch.dtype) -> Tensor:
        with torch.inference_mode(False):
            return torch.tensor(kept, device=device, dtype=kind)

    return on


@functools.cache
def scalar(value: float, device: torch.device, kind: torch.dtype) -> Tensor:
    """Return a number as such a tensor []: torch makes one of a number in every operation."""
    with torch.inference_mode(False):
        return torch.tensor(value, device=device, dtype=kind)


def forward_velocity(spec: RobotSpec, channel: str) -> RewardFn:
    """Velocity along a position channel [m/s]: its change over the period (thesis, Table 5)."""
    index = spec.channel_index(channel)

    def term(state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        moved = next_state[..., index] - state[..., index]
        return moved / scalar(spec.period_s, moved.device, moved.dtype)

    return term


def action_squared(spec: RobotSpec) -> RewardFn:
    """Squared norm of the action as scaled to -1..1 (thesis, Table 5)."""

    def term(state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        return action.square().sum(-1)

    return term


def lorentzian(spec: RobotSpec, target: Mapping[str, float]) -> RewardFn:
    """Distance d to a target, w d^2 + v log(d^2 + alpha): far away quick, near by precise.

    d is the norm over the channels of the target, in their unit; w = v = 1, alpha = 1e-5 (thesis
    8.4.5; the rho-function of Levine et al., 2015).
    """
    places = constant(spec.channel_index(channel) for channel in target)
    values = constant(target.values())

    def term(state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        device, kind = next_state.device, next_state.dtype
        reached = next_state.index_select(-1, places(device, torch.int64))
        squared = (reached - values(device, kind)).square().sum(-1)
        return squared + (squared + 1e-5).log()

    return term


def distance_squared(spec: RobotSpec, target: Mapping[str, float]) -> RewardFn:
    """Squared distance to a target over its channels, in their unit (thesis, Table 5: the arm)."""
    places = constant(spec.channel_index(channel) for channel in target)
    values = constant(target.values())

    def term(state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        device, kind = next_state.device, next_state.dtype
        reached = next_state.index_select(-1, places(device, torch.int64))
        return (reached - values(device, kind)).square().sum(-1)

    return term


def distance(spec: RobotSpec, target: Mapping[str, float]) -> RewardFn:
    """Distance to a target over its channels, in their unit (the published code's arm).

    At the target itself its gradient is zero: that of a square root would not be a number.
    """
    places = constant(spec.channel_index(channel) for channel in target)
    values = constant(target.values())

    def term(state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        device, kind = next_state.device, next_state.dtype
        reached = next_state.index_select(-1, places(device, torch.int64))
        apart: Tensor = torch.linalg.vector_norm(reached - values(device, kind), dim=-1)
        return apart

    return term


def alive(spec: RobotSpec) -> RewardFn:
    """One at every step (thesis, Table 5: the ant)."""

    def term(state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        return torch.ones_like(next_state[..., 0])

    return term


def joint_speed_squared(spec: RobotSpec) -> RewardFn:
    """Squared norm of the joint velocities [rad^2/s^2] (thesis 8.4.5)."""
    places = constant(i for i, c in enumerate(spec.state) if c.field == 'velocity')

    def term(state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        speeds = next_state.index_select(-1, places(next_state.device, torch.int64))
        return speeds.square().sum(-1)

    return term


def within(spec: RobotSpec, limits: Mapping[str, tuple[float, float]]) -> RewardFn:
    """One where all channels of the limits are within them, else nothing (MBBL)."""
    places = constant(spec.channel_index(channel) for channel in limits)
    low, high = (constant(side) for side in zip(*limits.values()))

    def term(state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        device, kind = next_state.device, next_state.dtype
        values = next_state.index_select(-1, places(device, torch.int64))
        inside = (values >= low(device, kind)) & (values <= high(device, kind))
        return inside.all(-1).to(kind)

    return term


def point_velocity(spec: RobotSpec, channel: str, target: Mapping[str, float]) -> RewardFn:
    """Velocity along x [m/s] of a point of the body that is ahead of where x is measured.

    channel: x [m]. target: by the channel of the heading [rad]: how far ahead [m].
    """
    index = spec.channel_index(channel)
    ((heading, ahead),) = target.items()
    angle = spec.channel_index(heading)

    def place(state: Tensor) -> Tensor:
        return state[..., index] + ahead * state[..., angle].cos()

    def term(state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        return (place(next_state) - place(state)) / spec.period_s

    return term


def goal_velocity(spec: RobotSpec, channel: str) -> GoalTermFn:
    """Velocity along a position channel [m/s] times the goal: a sign, or a part of a direction."""
    velocity = forward_velocity(spec, channel)

    def term(state: Tensor, action: Tensor, next_state: Tensor, goal: Tensor) -> Tensor:
        return goal * velocity(state, action, next_state)

    return term


def goal_speed_error(spec: RobotSpec, channel: str) -> GoalTermFn:
    """How far the velocity along a position channel is off the goal [m/s]."""
    velocity = forward_velocity(spec, channel)

    def term(state: Tensor, action: Tensor, next_state: Tensor, goal: Tensor) -> Tensor:
        return (velocity(state, action, next_state) - goal).abs()

    return term


def goal_distance(spec: RobotSpec, channel: str) -> GoalTermFn:
    """How far a channel is off the goal, in its unit; over two channels it is the L1 distance."""
    index = spec.channel_index(channel)

    def term(state: Tensor, action: Tensor, next_state: Tensor, goal: Tensor) -> Tensor:
        return (next_state[..., index] - goal).abs()

    return term


GOAL_TERMS: dict[str, Callable[..., GoalTermFn]] = {
    'goal_velocity': goal_velocity,
    'goal_speed_error': goal_speed_error,
    'goal_distance': goal_distance,
}
TERMS: dict[str, Callable[..., RewardFn]] = {
    'forward_velocity': forward_velocity,
    'action_squared': action_squared,
    'path_distance': path_distance,
    'path_heading': path_heading,
    'path_progress': path_progress,
    'lorentzian': lorentzian,
    'distance_squared': distance_squared,
    'distance': distance,
    'alive': alive,
    'joint_speed_squared': joint_speed_squared,
    'within': within,
    'point_velocity': point_velocity,
}
