# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""policy_learner_node: improves a policy in the newest models, step by step.

Topics and services: learner_topics.py.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from mbmrl_ros.nodes.common.lifecycle import ManagedNode
from mbmrl_ros.nodes.common.spin import run
from mbmrl_ros.nodes.learners.learner_topics import LearnerTopics, Role
from mbmrl_ros.nodes.learners.parts import EPISODE, MODEL, POLICY
from mbmrl_ros.nodes.learners.settings import LearnerSettings

NAME = 'policy_learner_node'
ROLE = Role(POLICY, (MODEL, EPISODE), 'mbmrl_ros.nodes.learners.policy_learner:improve_policy')


def make_node(**options: Any) -> ManagedNode:
    """Return the node, unconfigured; options are those of rclpy's Node."""
    topics = functools.partial(LearnerTopics, ROLE)
    return ManagedNode(NAME, LearnerSettings, topics, frozenset(), **options)


def main(arguments: list[str] | None = None) -> int:
    """Improve a policy until stopped; exit code 2 for wrong input."""
    return run(make_node, LearnerSettings, NAME, arguments)


if __name__ == '__main__':
    sys.exit(main())
