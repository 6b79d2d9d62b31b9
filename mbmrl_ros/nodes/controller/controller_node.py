# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The controller as a lifecycle node: adapts a model and drives a robot with it.

Topics: see controller_topics.py.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from mbmrl_ros.nodes.common.lifecycle import ManagedNode
from mbmrl_ros.nodes.common.params import flat_fields
from mbmrl_ros.nodes.common.settings import ControllerSettings
from mbmrl_ros.nodes.common.spin import run
from mbmrl_ros.nodes.controller.controller_topics import ControllerTopics

# path, planner.* and budget.* count from the next tick on; bundle, adaptation and step_size from
# ~/reload on, mode, task, goal and exploration too; seed from ~/reset on.
AT_ONCE = ('planner.', 'budget.')
RUN_TIME = frozenset(
    {'bundle', 'mode', 'task', 'goal', 'exploration'}
    | {'adaptation', 'step_size', 'seed', 'path'}
    | {name for name, _ in flat_fields(ControllerSettings) if name.startswith(AT_ONCE)}
)
# oneDNN and PyTorch on top of it keep the code for every shape of a product, of 1024 shapes by
# default; as the number of candidates changes, that adds up to hundreds of megabytes.
CACHES = ('ONEDNN_PRIMITIVE_CACHE_CAPACITY', 'LRU_CACHE_CAPACITY')


def make_node(**options: Any) -> ManagedNode:
    """Return the node, unconfigured; options are those of rclpy's Node."""
    return ManagedNode(
        'controller_node', ControllerSettings, ControllerTopics, RUN_TIME, **options
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the controller until it is stopped; exit code 2 for wrong input."""
    for name in CACHES:
        os.environ.setdefault(name, '64')
    return run(make_node, ControllerSettings, 'controller_node', arguments)


if __name__ == '__main__':
    sys.exit(main())
