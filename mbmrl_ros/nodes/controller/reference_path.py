# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The path that the robot follows: taken from a topic, and shown.

Subscribes to reference_path (nav_msgs/msg/Path, latched or not); publishes ~/followed_path,
latched, for RViz. Controllers whose reward follows no path have neither.
"""

from __future__ import annotations

import functools

import numpy as np
from nav_msgs.msg import Path
from rclpy.publisher import Publisher

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.inputs import subscribe_to_latched
from mbmrl_ros.nodes.common.node_resources import NodeResources
from mbmrl_ros.nodes.controller.assembly import Brain, task_reward
from mbmrl_ros.nodes.controller.control_loop import ControlLoop
from mbmrl_ros.nodes.controller.visuals import path_message
from mbmrl_ros.rewards.path import SHAPES, Route, Waypoints
from mbmrl_ros.rewards.reward import Reward

REFERENCE_PATH = 'reference_path'


class ReferencePath:
    """Takes paths, refuses bad ones with a line in the log, and shows the one that counts.

    route: what was asked for, None for the task's own path. text: what is followed.
    """

    def __init__(
        self, resources: NodeResources, loop: ControlLoop, brain: Brain, route: Route | None
    ) -> None:
        """brain: that was built with the route, and has the task whose reward is planned for."""
        self._node, self._loop, self._spec = resources.node, loop, loop.controller.spec
        self._task = brain.task
        self._last: Path | None = None
        self._followed: Publisher[Path] | None = None
        self.route = route
        self.text = ''
        if brain.route is not None:
            self._followed = resources.publisher(Path, '~/followed_path', 1, keep=True)
            subscribe_to_latched(resources, Path, REFERENCE_PATH, self._on_path)
            self._show(brain.route)

    def reward(self, route: Route | None) -> tuple[Reward, Route | None] | None:
        """Return the task's reward along a route, and what it follows; UserError if it is bad."""
        return None if self._task is None else task_reward(self._spec, self._task, route)

    def follow(self, route: Route | None) -> None:
        """Follow another path from the next tick on (None: the task's); UserError if it is bad."""
        found = self.reward(route)
        self.route = route
        if found is not None:
            self._show(found[1])
            self._loop.submit(functools.partial(self._loop.controller.use_reward, found[0]))

    def go_on(self, brain: Brain) -> None:
        """Show the path that another brain follows."""
        self._task = brain.task
        self._show(brain.route)

    def _show(self, route: Route | None) -> None:
        self.text = ''
        if self._followed is None or route is None:
            return
        points = np.array(SHAPES[route] if isinstance(route, str) else route)
        length_m = np.linalg.norm(np.diff(points, axis=0), axis=1).sum()
        self.text = f'{len(points)} way-points, {length_m:.2f} m'
        if isinstance(route, str):
            self.text = f'{route}, {self.text}'
        stamp_ns = self._node.get_clock().now().nanoseconds
        flat = np.pad(points, ((0, 0), (0, 1)))
        self._followed.publish(path_message(flat, stamp_ns, self._spec.frame))

    def _on_path(self, message: Path) -> None:
        if message == self._last:
            # Heard by both subscriptions.
            return
        self._last = message
        try:
            self.follow(way_points(message, self._spec.frame))
        except UserError as error:
            self._node.get_logger().error(f'{REFERENCE_PATH}: {error}; the path before stays')
            return
        self._node.get_logger().info(f'following {REFERENCE_PATH}: {self.text}')


def way_points(message: Path, frame: str) -> Waypoints:
    """Return x, y [m] of the poses of a path, those that repeat left out.

    UserError if one is not in the frame, or they do not make a path.
    """
    frames = {pose.header.frame_id for pose in message.poses} - {''}
    for other in {message.header.frame_id} | frames:
        if other != frame:
            raise UserError(f'the path is in frame {other!r}, valid: {frame!r}')
    positions = [pose.pose.position for pose in message.poses]
    # In the precision of the reward, in which points that are near each other may be one.
    with np.errstate(over='ignore'):
        points = np.array([(p.x, p.y) for p in positions], np.float32).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise UserError('the path is not finite; valid: two or more finite way-points')
    moves = np.ones(len(points), bool)
    moves[1:] = (points[1:] != points[:-1]).any(1)
    distinct = points[moves]
    if len(distinct) < 2:
        raise UserError(
            f'the path has {len(distinct)} distinct way-points; valid: two or more finite ones'
        )
    return tuple((float(x), float(y)) for x, y in distinct)
