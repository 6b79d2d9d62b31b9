# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the controller imagines, for RViz: only while somebody looks, and off the control path."""

from __future__ import annotations

import numpy as np
import torch
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from sensor_msgs.msg import PointCloud2, PointField
from torch import Tensor

from mbmrl_ros.models.dynamics import MLPDynamics
from mbmrl_ros.nodes.entities import Entities
from mbmrl_ros.nodes.messages import FRAME, to_nanoseconds, to_stamp
from mbmrl_ros.planners.rollout import imagine
from mbmrl_ros.robot.tick import Tick
from mbmrl_ros.spec import RobotSpec
from mbmrl_ros.types import Array

SHOW_S = 0.2
MOST_CANDIDATES = 50


class Visuals:
    """Publishes the planned path and a sample of the candidates, coloured by their return."""

    def __init__(self, entities: Entities, spec: RobotSpec) -> None:
        """spec: position channels tell where the robot is; without them nothing is shown."""
        self._axes = position_channels(spec)
        self._newest: tuple[MLPDynamics, Tick] | None = None
        if self._axes:
            self._path = entities.publisher(Path, '~/optimal_path', 1)
            self._cloud = entities.publisher(PointCloud2, '~/candidate_trajectories', 1)
            entities.timer(SHOW_S, self._publish)

    def show(self, dynamics: MLPDynamics, tick: Tick) -> None:
        """Take a tick, from the worker."""
        self._newest = (dynamics, tick)

    def _publish(self) -> None:
        wanted = [p.get_subscription_count() > 0 for p in (self._path, self._cloud)]
        newest, self._newest = self._newest, None
        if newest is None or not any(wanted):
            return
        dynamics, tick = newest
        if tick.decision is None or tick.decision.start is None:
            return
        stamp_ns = to_nanoseconds(tick.command.stamp_s)
        best, candidates, returns = imagined(dynamics, tick)
        if wanted[0]:
            self._path.publish(path_message(self._points(best), stamp_ns))
        if wanted[1]:
            self._cloud.publish(cloud_message(self._points(candidates), returns, stamp_ns))

    def _points(self, states: Tensor) -> Array:
        """Return positions [..., 3] of states [..., S], zero along axes the robot has not."""
        points = np.zeros((*states.shape[:-1], 3))
        for axis, channel in self._axes.items():
            points[..., axis] = states[..., channel].double().numpy()
        return points


def position_channels(spec: RobotSpec) -> dict[int, int]:
    """Return the channel of every axis (0 x, 1 y, 2 z) that the robot knows its position along."""
    return {
        'xyz'.index(channel.field[-1]): index
        for index, channel in enumerate(spec.state)
        if channel.encoding == 'raw' and channel.field.rpartition('.')[0].endswith('position')
    }


def imagined(dynamics: MLPDynamics, tick: Tick) -> tuple[Tensor, Tensor, Array]:
    """Roll out the plan and a sample of candidates: [H+1, S], [K, H+1, S], returns [K]."""
    assert tick.decision is not None and tick.decision.start is not None
    plan, params = tick.decision.plan, tick.decision.adapted.params
    count = plan.candidates.shape[1]
    chosen = torch.linspace(0, count - 1, min(count, MOST_CANDIDATES)).long()
    actions = torch.cat([plan.actions[:, None], plan.candidates[:, chosen]], 1)
    with torch.no_grad():
        states = imagine(
            lambda carry, state, action: dynamics.step(params, carry, state, action),
            None, tick.decision.start, actions,
        )[0].cpu()  # fmt: skip
    return states[0], states[1:], plan.returns[0, chosen].double().cpu().numpy()


def path_message(points: Array, nanoseconds: int) -> Path:
    """Return positions [H+1, 3] as a path."""
    path = Path()
    path.header.frame_id, path.header.stamp = FRAME, to_stamp(nanoseconds)
    for x, y, z in points.tolist():
        pose = PoseStamped(header=path.header)
        position = pose.pose.position
        position.x, position.y, position.z = x, y, z
        path.poses.append(pose)
    return path


def cloud_message(points: Array, returns: Array, nanoseconds: int) -> PointCloud2:
    """Return positions [K, H+1, 3] as points with the return [K] of their trajectory."""
    count, steps, _ = points.shape
    rows = np.empty((count, steps, 4), np.float32)
    rows[..., :3] = points
    rows[..., 3] = returns[:, None]
    cloud = PointCloud2(height=1, width=count * steps, point_step=16, is_dense=True)
    cloud.header.frame_id, cloud.header.stamp = FRAME, to_stamp(nanoseconds)
    cloud.row_step = cloud.point_step * cloud.width
    cloud.fields = [
        PointField(name=name, offset=4 * place, datatype=PointField.FLOAT32, count=1)
        for place, name in enumerate(('x', 'y', 'z', 'return'))
    ]
    cloud.data = rows.tobytes()
    return cloud
