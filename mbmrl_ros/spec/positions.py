# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a robot is, as far as its state tells: for whoever draws it."""

from __future__ import annotations

from mbmrl_ros.spec.robot import RobotSpec


def position_channels(spec: RobotSpec) -> dict[int, int]:
    """Return the channel of every axis (0 x, 1 y, 2 z) that the robot knows its position along.

    Of an arm: its first point's.
    """
    point = next(iter(spec.kinematics.points), None) if spec.kinematics else None
    return {
        'xyz'.index(channel.field[-1]): index
        for index, channel in enumerate(spec.state)
        if channel.encoding == 'raw'
        and (
            channel.field.rpartition('.')[0].endswith(('position', 'translation'))
            or (channel.point is not None and channel.point == point)
        )
    }
