# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a tick came to, as topics: one row of all numbers, and each number by its name.

A row (~/stats) is whole, so that recordings keep it. Programs that draw a topic show its places
as data[4]; for them there is ~/stats/loss_before and so on, sent where somebody listens.
"""

from __future__ import annotations

from std_msgs.msg import Float64, Float64MultiArray

from mbmrl_ros.nodes.common.node_resources import NodeResources
from mbmrl_ros.nodes.controller.report import STATS, stats_message
from mbmrl_ros.robot.tick import Tick

ROW = '~/stats'


class StatsTopics:
    """The publishers of what ticks came to. kept: rows for a recorder that is connected late."""

    def __init__(self, resources: NodeResources, kept: int) -> None:
        self._row = resources.publisher(Float64MultiArray, ROW, kept, keep=True)
        # The stamp is in the row; a scalar has the time at which it came.
        self._named = {
            place: resources.publisher(Float64, f'{ROW}/{name}', 10)
            for place, name in enumerate(STATS)
            if name != 'stamp'
        }

    def publish(self, tick: Tick) -> None:
        """Send a row, and the numbers that somebody listens to."""
        row = stats_message(tick)
        self._row.publish(row)
        for place, publisher in self._named.items():
            if publisher.get_subscription_count():
                publisher.publish(Float64(data=row.data[place]))
