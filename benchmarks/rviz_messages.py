# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What RViz is sent, drawn from above: python benchmarks/rviz_messages.py PICTURE.

The millirobot drives a figure of eight over topics. The path to follow, the track, the plan and
the candidates are taken from the messages, in the colours of config/millirobot.rviz.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from nav_msgs.msg import Path as PathMessage
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import PointCloud2

from mbmrl_ros.nodes.episode.processes import ending_in_order, last_words, node_process
from mbmrl_ros.types import Array

NAMESPACE, ROBOT, BUNDLE = 'rviz', 'millirobot', 'millirobot/path/grbal'
PATIENCE_S = 240.0
# As many as a track of ten a second has after twelve seconds.
TRACK_POSES = 120
TOPICS = {
    'followed_path': PathMessage,
    'executed_track': PathMessage,
    'optimal_path': PathMessage,
    'candidate_trajectories': PointCloud2,
}


def main() -> None:
    """Drive, listen and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('picture', type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        heard = _listen(Path(folder))
    _draw(heard).savefig(options.picture, dpi=110, bbox_inches='tight')


def _listen(log: Path) -> dict[str, Any]:
    """Return the newest message of each topic, once the track is long enough."""
    heard: dict[str, Any] = {}
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    with ending_in_order() as ending, ExitStack() as stack:
        stack.enter_context(rclpy.init())
        node = rclpy.create_node('looks', namespace=NAMESPACE)
        stack.callback(node.destroy_node)
        for topic, kind in TOPICS.items():
            node.create_subscription(
                kind,
                f'controller_node/{topic}',
                lambda message, topic=topic: heard.update({topic: message}),
                latched if topic == 'followed_path' else QoSProfile(depth=1),
            )
        simulated = {'robot': ROBOT, 'lockstep': True, 'seed': 1}
        controlled = {'robot': ROBOT, 'lockstep': True, 'bundle': BUNDLE, 'threads': 1}
        stack.enter_context(node_process('sim_node', simulated, NAMESPACE, log))
        stack.enter_context(node_process('controller_node', controlled, NAMESPACE, log))
        began = time.monotonic()
        while len(heard) < len(TOPICS) or len(heard['executed_track'].poses) < TRACK_POSES:
            ending.check()
            if time.monotonic() - began > PATIENCE_S:
                raise SystemExit(f'heard {sorted(heard)} only: {last_words(log)}')
            rclpy.spin_once(node, timeout_sec=0.1)
    return heard


def _draw(heard: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(9, 4), facecolor='#303030')
    whole, near = figure.subplots(1, 2)
    for axes in (whole, near):
        cloud = _cloud(heard['candidate_trajectories'])
        axes.set_facecolor('#303030')
        axes.plot(*_points(heard['followed_path']).T, color='white', lw=2)
        axes.scatter(cloud[:, 0], cloud[:, 1], c=cloud[:, 2], cmap='RdYlGn', s=3)
        axes.plot(*_points(heard['executed_track']).T, color='#ff8c1a', lw=2)
        axes.plot(*_points(heard['optimal_path']).T, color='#4d9bff', lw=2.5)
        axes.set_aspect('equal')
        axes.tick_params(colors='#bbbbbb')
        axes.set_xlabel('x [m]', color='#bbbbbb')
    whole.set_ylabel('y [m]', color='#bbbbbb')
    _close_up(near, _points(heard['optimal_path'])[0])
    return figure


def _close_up(axes: Axes, centre: Array) -> None:
    axes.set(xlim=(centre[0] - 0.45, centre[0] + 0.45), ylim=(centre[1] - 0.45, centre[1] + 0.45))


def _points(message: PathMessage) -> Array:
    """Return x, y [N, 2] of a path."""
    places = [pose.pose.position for pose in message.poses]
    return np.array([(place.x, place.y) for place in places])


def _cloud(message: PointCloud2) -> Array:
    """Return x, y and return [N, 3] of a cloud of float32 fields."""
    rows = np.frombuffer(bytes(message.data), np.float32).reshape(-1, message.point_step // 4)
    columns = {field.name: field.offset // 4 for field in message.fields}
    return rows[:, [columns['x'], columns['y'], columns['return']]]


if __name__ == '__main__':
    main()
