# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What RViz shows of a controller: only while somebody looks, and off the control path.

~/optimal_path is what it plans, ~/candidate_trajectories a sample of what it chose from, with the
field `return` to colour them by, ~/executed_track where the robot has been since it began, and
/tf where its body is. Of an arm they show its first point.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable

import numpy as np
import torch
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from sensor_msgs.msg import PointCloud2, PointField
from torch import Tensor

from mbmrl_ros.nodes.common.messages import to_nanoseconds, to_stamp
from mbmrl_ros.nodes.common.node_resources import NodeResources
from mbmrl_ros.nodes.controller.body_frame import body_publisher
from mbmrl_ros.planners.rollout import imagine
from mbmrl_ros.robot.action_source import Decision
from mbmrl_ros.robot.tick import Tick
from mbmrl_ros.spec.positions import position_channels
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array, Root

SHOW_S = 0.2
MOST_CANDIDATES = 50
# Of the track: at least so far apart in time, and no more than so many.
TRACK_S = 0.1
MOST_POSES = 600


def _now(draw: Callable[[], None]) -> None:
    draw()


class Visuals:
    """Publishes plan, candidates and track."""

    def __init__(
        self,
        resources: NodeResources,
        spec: RobotSpec,
        publish_tf: bool,
        later: Callable[[Callable[[], None]], None] = _now,
    ) -> None:
        """spec: position channels tell where the robot is; without them nothing is shown.

        later: has things drawn in a thread where they are in nobody's way.
        """
        self._axes, self._frame = position_channels(spec), spec.frame
        self._newest: Tick | None = None
        self._passed: deque[tuple[int, float, Array]] = deque(maxlen=MOST_POSES)
        self._track = Track(spec.frame)
        if self._axes:
            self._path = resources.publisher(Path, '~/optimal_path', 1)
            self._cloud = resources.publisher(PointCloud2, '~/candidate_trajectories', 1)
            self._executed = resources.publisher(Path, '~/executed_track', 1)
            # A point on an arm says nothing of where the arm stands.
            moves = publish_tf and spec.state[next(iter(self._axes.values()))].point is None
            self._body = body_publisher(resources, spec, self._axes) if moves else None
            resources.timer(SHOW_S, functools.partial(later, self._publish))

    def show(self, tick: Tick, beginning: int) -> None:
        """Keep a tick until it is drawn; in the thread that draws.

        beginning: a track ends where it changes.
        """
        self._newest = tick
        if tick.state is not None:
            self._passed.append((beginning, tick.command.stamp_s, tick.state))

    def _publish(self) -> None:
        self._publish_passed()
        newest, self._newest = self._newest, None
        if newest is not None:
            self._publish_imagined(newest)

    def _publish_passed(self) -> None:
        passed = [self._passed.popleft() for _ in range(len(self._passed))]
        for beginning, stamp_s, state in passed:
            self._track.add(beginning, stamp_s, self._points(state))
        if passed and self._executed.get_subscription_count():
            self._executed.publish(self._track.message())
        if passed and self._body is not None:
            _, stamp_s, state = passed[-1]
            self._body(state, stamp_s)

    def _publish_imagined(self, tick: Tick) -> None:
        wanted = [p.get_subscription_count() > 0 for p in (self._path, self._cloud)]
        if tick.decision is None or tick.decision.dynamics is None or not any(wanted):
            return
        stamp_ns = to_nanoseconds(tick.command.stamp_s)
        best, candidates, returns = imagined(tick.decision)
        # Colours go from the worst to the best, and infinitely bad is no end of a scale.
        good = np.isfinite(returns)
        if wanted[0]:
            points = self._points(best.double().numpy())
            self._path.publish(path_message(points, stamp_ns, self._frame))
        if wanted[1]:
            points = self._points(candidates.double().numpy()[good])
            self._cloud.publish(cloud_message(points, returns[good], stamp_ns, self._frame))

    def _points(self, states: Array) -> Array:
        """Return positions [..., 3] of states [..., S], zero along axes the robot has not."""
        points = np.zeros((*states.shape[:-1], 3))
        for axis, channel in self._axes.items():
            points[..., axis] = states[..., channel]
        return points


class Track:
    """Where the robot has been since it began, as far as it is kept."""

    def __init__(self, frame: str) -> None:
        self._poses: deque[PoseStamped] = deque(maxlen=MOST_POSES)
        self._frame, self._beginning, self._stamp_s = frame, 0, -np.inf

    def add(self, beginning: int, stamp_s: float, point: Array) -> None:
        """Add the position [3] at a stamp."""
        if beginning != self._beginning:
            self._poses.clear()
            self._beginning, self._stamp_s = beginning, -np.inf
        # Half a millisecond for stamps that are not exact.
        if stamp_s - self._stamp_s >= TRACK_S - 5e-4:
            self._poses.append(pose_message(point, to_nanoseconds(stamp_s), self._frame))
            self._stamp_s = stamp_s

    def message(self) -> Path:
        """Return it as a path."""
        path = Path(poses=list(self._poses))
        path.header.frame_id, path.header.stamp = self._frame, self._poses[-1].header.stamp
        return path


def imagined(decision: Decision) -> tuple[Tensor, Tensor, Array]:
    """Roll out the plan and a sample of candidates: [H+1, S], [K, H+1, S], returns [K].

    In the model that was planned in, which may be another one by now.
    """
    dynamics, start = decision.dynamics, decision.start
    assert dynamics is not None and start is not None
    assert decision.plan is not None and decision.adapted is not None
    plan, params = decision.plan, decision.adapted.params
    count = plan.candidates.shape[1]
    chosen = torch.linspace(0, count - 1, min(count, MOST_CANDIDATES)).long()
    actions = torch.cat([plan.actions[:, None], plan.candidates[:, chosen]], 1)
    with torch.no_grad():
        states = imagine(
            lambda carry, state, action: dynamics.step(params, carry, state, action),
            Root(decision.carry, start),
            actions,
        )[0].cpu()
    return states[0], states[1:], plan.returns[0, chosen].double().cpu().numpy()


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
