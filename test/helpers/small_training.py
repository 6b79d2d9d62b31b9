# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A small training of the half-cheetah, for tests that need a bundle that was trained."""

from pathlib import Path

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.algorithms.grbal import GrBALConfig
from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.training.run import Run

PLANNER = {'candidates': 8, 'horizon': 3}
CONFIG = GrBALConfig(
    iterations=1, rollouts=2, rollout_steps=80, past_steps=8, future_steps=6, hidden_sizes=(16,),
    batch_size=4, epochs=2, validation_fraction=0.5, planner=PLANNER, control_planner=PLANNER,
)  # fmt: skip


def small_bundle(folder: Path) -> Bundle:
    """Return what one iteration of GrBAL makes: T1 8, T2 6."""
    task = load_task('half_cheetah/disabled_joint')
    bundle: Bundle = ALGORITHMS['grbal'].train(task, CONFIG, Run(folder, CONFIG, {}), 0)
    return bundle
