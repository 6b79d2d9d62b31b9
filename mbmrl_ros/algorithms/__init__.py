# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The algorithms, by name."""

from mbmrl_ros.algorithms.grbal import GRBAL
from mbmrl_ros.algorithms.mb import MB
from mbmrl_ros.algorithms.rebal import REBAL

ALGORITHMS = {algorithm.name: algorithm for algorithm in (GRBAL, MB, REBAL)}
