# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Commands in the robot's units, and actions scaled to -1..1 by the limits of the robot file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array


@dataclass(frozen=True)
class Command:
    """What goes to the motors.

    stamp_s: of the state that it answers, NaN where there was none. values: [A] in the unit of
    the robot file. fallback: whether this is the safe command instead of a planned one. reason:
    why it is not what was planned; empty if it is.
    """

    stamp_s: float
    values: Array
    fallback: bool
    reason: str


def to_units(spec: RobotSpec, action: Array) -> Array:
    """Scale actions [..., A] in -1..1 to commands in units; ValueError if A is another."""
    lower, _, span = _limits(spec, action)
    return np.asarray(lower + (np.asarray(action) + 1) * span / 2, np.float64)


def from_units(spec: RobotSpec, command: Array) -> Array:
    """Scale commands [..., A] in units to actions in -1..1; ValueError if A is another."""
    lower, _, span = _limits(spec, command)
    # A joint that is locked has one command, which is in the middle of its range.
    moved = 2 * (np.asarray(command) - lower) / np.where(span > 0, span, 1.0)
    return np.asarray(np.where(span > 0, moved - 1, 0.0), np.float64)


def _limits(spec: RobotSpec, values: Array) -> tuple[Array, Array, Array]:
    # One value would otherwise be spread over all joints.
    if np.shape(values)[-1:] != (spec.action_size,):
        raise ValueError(f'{spec.name} has {spec.action_size} joints, got {np.shape(values)}')
    return spec.action.limits
