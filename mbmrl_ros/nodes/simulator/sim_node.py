# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The simulator as a lifecycle node: plays a robot in MuJoCo. Topics: see sim_topics.py."""

from __future__ import annotations

import sys
from typing import Any

from mbmrl_ros.nodes.common.lifecycle import ManagedNode
from mbmrl_ros.nodes.common.settings import SimSettings
from mbmrl_ros.nodes.common.spin import run
from mbmrl_ros.nodes.simulator.sim_topics import SimTopics

RUN_TIME = frozenset({'speed_factor', 'seed'})


def make_node(**options: Any) -> ManagedNode:
    """Return the node, unconfigured; options are those of rclpy's Node."""
    return ManagedNode('sim_node', SimSettings, SimTopics, RUN_TIME, **options)


def main(arguments: list[str] | None = None) -> int:
    """Run the simulator until it is stopped; exit code 2 for wrong input."""
    return run(make_node, SimSettings, 'sim_node', arguments)


if __name__ == '__main__':
    sys.exit(main())
