# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The algorithms, by name."""

from typing import Any

from mbmrl_ros.algorithms import grbal, mb, rebal
from mbmrl_ros.training.fit_model import ModelLearner

ALGORITHMS = {algorithm.name: algorithm for algorithm in (grbal.GRBAL, mb.MB, rebal.REBAL)}

LEARNERS: dict[str, ModelLearner[Any]] = {
    learner.name: learner for learner in (grbal.LEARNER, mb.LEARNER, rebal.LEARNER)
}
"""Those that fit a model and plan with it: what they bring to training/model_based.py."""
