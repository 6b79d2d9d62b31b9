# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The bounds of states that controller and gate work with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.config import UserError
from mbmrl_ros.robot.bounds import (
    Bounds,
    Interval,
    Statistics,
    joined,
    joint_bounds,
    training_bounds,
)
from mbmrl_ros.spec.robot import RobotSpec

Warn = Callable[[str], object]


def state_bounds(
    spec: RobotSpec,
    margin: float,
    deviations: float = 0.0,
    bundle: Bundle | None = None,
    warn: Warn = lambda text: None,
) -> Bounds:
    """Return the bounds of a robot's states.

    margin: beyond the limits of the joints, as a share of their distance; negative: none are held
    against them. deviations: of the bundle's training data; 0: no such bounds. warn: is told
    why the limits of the joints cannot be found.
    """
    found = []
    if margin >= 0:
        found.append(joint_bounds(spec, joint_limits(spec, warn), margin))
    statistics = None if bundle is None else _statistics(bundle)
    if deviations and statistics is not None:
        found.append(training_bounds(spec, statistics, deviations))
    return joined(*found)


def _statistics(bundle: Bundle) -> Statistics | None:
    """Return what the model was trained on; None where it was not trained at all."""
    known = bundle.dynamics.normalizer
    each = (known.state_mean, known.state_std, known.delta_std)
    mean, std, change_std = (values.double().cpu().numpy() for values in each)
    if not mean.any() and (std == 1).all():
        return None
    return Statistics(mean, std, change_std)


def joint_limits(spec: RobotSpec, warn: Warn = lambda text: None) -> dict[str, Interval]:
    """Return the limits of the joints by the robot's model, as far as they can be found.

    A robot needs neither a model of itself nor MuJoCo to be driven: without them there are none,
    and `warn` is told so where the robot file names a model.
    """
    reason = ''
    if spec.simulation is not None:
        try:
            from mbmrl_ros.sim.joint_limits import joint_limits as limits_of_model

            return limits_of_model(spec)
        except (ImportError, UserError) as error:
            reason = str(error)
    limits = _urdf_limits(Path(spec.kinematics.urdf)) if spec.kinematics is not None else {}
    if reason and not limits:
        warn(f'no state is held against the limits of the joints, which are not known: {reason}')
    return limits


def _urdf_limits(path: Path) -> dict[str, Interval]:
    try:
        joints = ElementTree.parse(path).getroot().iter('joint')
    except (OSError, ElementTree.ParseError):
        return {}
    found = {}
    for joint in joints:
        limit = joint.find('limit')
        if limit is None or joint.get('type') not in ('revolute', 'prismatic'):
            continue
        try:
            lower, upper = float(limit.get('lower', 0.0)), float(limit.get('upper', 0.0))
        except ValueError:  # no number is no limit
            continue
        if lower < upper:
            found[joint.get('name', '')] = (lower, upper)
    return found
