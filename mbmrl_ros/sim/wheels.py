# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From a twist to the speeds of wheels: a differential drive."""

from __future__ import annotations

import numpy as np

from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.spec.simulation import Wheels
from mbmrl_ros.types import Array


def wheels_of(spec: RobotSpec) -> Wheels | None:
    """Return the wheels of a robot that is commanded by twists; None if it has none."""
    return None if spec.simulation is None else spec.simulation.wheels


def driven_joints(spec: RobotSpec) -> tuple[str, ...]:
    """Return the joints [W] of the model that commands drive: the action's own, or wheels."""
    wheels = wheels_of(spec)
    return spec.action.joints if wheels is None else wheels.joints


def speeds_of_parts(spec: RobotSpec) -> Array | None:
    """Return how fast the wheels turn [A, W] for one unit of each part of a twist [rad/s].

    A wheel on the left rolls at v - w b / 2 over the ground, one on the right at v + w b / 2,
    where b is the track. None where joints are commanded and not twists.
    """
    wheels = wheels_of(spec)
    if wheels is None:
        return None
    side = np.repeat([-1.0, 1.0], [len(wheels.left), len(wheels.right)])
    rolls = {'linear.x': np.ones_like(side), 'angular.z': side * wheels.track_m / 2}
    return np.stack([rolls[part] for part in spec.action.joints]) / wheels.radius_m


def joint_range(spec: RobotSpec, place: int) -> tuple[float, float]:
    """Return the lowest and highest command of a driven joint, within the limits of the action."""
    lower, upper = np.array(spec.action.lower), np.array(spec.action.upper)
    speeds = speeds_of_parts(spec)
    if speeds is None:
        return float(lower[place]), float(upper[place])
    ends = np.stack([lower, upper]) * speeds[:, place]
    return float(ends.min(0).sum()), float(ends.max(0).sum())


def place_in_file(spec: RobotSpec, place: int) -> tuple[str | int, ...]:
    """Return where the robot file names a driven joint."""
    wheels = wheels_of(spec)
    if wheels is None:
        return ('action', 'joints', place)
    left = len(wheels.left)
    side = ('left', place) if place < left else ('right', place - left)
    return ('simulation', 'wheels', *side)
