# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A small bundle of the half-cheetah, which no test changes."""

import pytest

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.training.model_based import train
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.settings import TrainingConfig

PLANNER = {'candidates': 8, 'horizon': 3}
CONFIG = TrainingConfig(
    iterations=1, rollouts=2, rollout_steps=80, past_steps=8, future_steps=6, hidden_sizes=(16,),
    batch_size=4, epochs=2, held_out=0.5, planner=PLANNER, control_planner=PLANNER,
)  # fmt: skip


@pytest.fixture(scope='session')
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """After one iteration of GrBAL: T1 8, T2 6."""
    run = Run(tmp_path_factory.mktemp('run'), {}, {})
    task = load_task('half_cheetah/disabled_joint')
    return train(ALGORITHMS['grbal'], task, CONFIG, run, seed=0)
