# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Positions [m] to the messages that RViz shows."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from sensor_msgs.msg import PointCloud2, PointField

from mbmrl_ros.nodes.common.messages import to_stamp
from mbmrl_ros.types import Array


def pose_message(point: Array, nanoseconds: int, frame: str) -> PoseStamped:
    """Return a position [3] as a pose."""
    pose = PoseStamped()
    pose.header.frame_id, pose.header.stamp = frame, to_stamp(nanoseconds)
    position = pose.pose.position
    position.x, position.y, position.z = map(float, point)
    return pose


def path_message(points: Array, nanoseconds: int, frame: str) -> Path:
    """Return positions [H+1, 3] as a path."""
    path = Path(poses=[pose_message(point, nanoseconds, frame) for point in points])
    path.header.frame_id, path.header.stamp = frame, to_stamp(nanoseconds)
    return path


def cloud_message(points: Array, returns: Array, nanoseconds: int, frame: str) -> PointCloud2:
    """Return positions [K, H+1, 3] as points with the return [K] of their trajectory."""
    count, steps, _ = points.shape
    rows = np.empty((count, steps, 4), np.float32)
    rows[..., :3] = points
    rows[..., 3] = returns[:, None]
    cloud = PointCloud2(height=1, width=count * steps, point_step=16, is_dense=True)
    cloud.header.frame_id, cloud.header.stamp = frame, to_stamp(nanoseconds)
    cloud.row_step = cloud.point_step * cloud.width
    cloud.fields = [
        PointField(name=name, offset=4 * place, datatype=PointField.FLOAT32, count=1)
        for place, name in enumerate(('x', 'y', 'z', 'return'))
    ]
    cloud.data = rows.tobytes()
    return cloud
