# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The algorithms, by name."""

from mbmrl_ros.algorithms.grbal import GRBAL
from mbmrl_ros.algorithms.mb import MB
from mbmrl_ros.algorithms.rebal import REBAL
from mbmrl_ros.training.settings import TrainingConfig

ALGORITHMS = {algorithm.name: algorithm for algorithm in (GRBAL, MB, REBAL)}


def config_class(name: str) -> type[TrainingConfig]:
    """Return the class of an algorithm's settings."""
    return TrainingConfig
