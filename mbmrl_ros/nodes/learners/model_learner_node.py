# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""model_learner_node: fits models, or the one that is planned in, to what has come, by epochs.

Topics and services: learner_topics.py.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from mbmrl_ros.nodes.common.lifecycle import ManagedNode
from mbmrl_ros.nodes.common.spin import run
from mbmrl_ros.nodes.learners.learner_topics import LearnerTopics, Role
from mbmrl_ros.nodes.learners.parts import EPISODE, MODEL
from mbmrl_ros.nodes.learners.settings import LearnerSettings

NAME = 'model_learner_node'
ROLE = Role(MODEL, (EPISODE,), 'mbmrl_ros.nodes.learners.model_learner:learn_model')


def make_node(**options: Any) -> ManagedNode:
    """Return the node, unconfigured; options are those of rclpy's Node."""
    topics = functools.partial(LearnerTopics, ROLE)
    return ManagedNode(NAME, LearnerSettings, topics, frozenset(), **options)


def main(arguments: list[str] | None = None) -> int:
    """Fit models until stopped; exit code 2 for wrong input."""
    return run(make_node, LearnerSettings, NAME, arguments)


if __name__ == '__main__':
    sys.exit(main())
