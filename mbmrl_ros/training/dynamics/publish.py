# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a training publishes after every iteration: a bundle, and its numbers."""

from __future__ import annotations

import numpy as np

from mbmrl_ros.bundles.dynamics import Bundle, BundleInfo
from mbmrl_ros.bundles.files import robot_section
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.models.fit import FitResult
from mbmrl_ros.models.kinds import DynamicsModel
from mbmrl_ros.rewards.reward import Reward
from mbmrl_ros.training.dynamics.collect import ended_early
from mbmrl_ros.training.dynamics.fit_model import ConfigT, ModelTraining
from mbmrl_ros.training.dynamics.train_state import TrainState


def make_bundle(
    training: ModelTraining[ConfigT],
    task: str,
    dynamics: DynamicsModel,
    state: TrainState,
    metrics: dict[str, float],
) -> Bundle:
    """Copy what was learned into a bundle that further training does not change.

    task: its name.
    """
    config = training.config
    info = BundleInfo(
        algorithm=training.learner.name,
        task=task,
        **robot_section(training.spec),
        hidden_sizes=config.hidden_sizes,
        past_steps=config.past_steps,
        future_steps=config.future_steps,
        input_limit=config.input_limit,
        precision=dynamics.precision,
        planner=config.control_planner,
        training=config.model_dump(mode='json'),
        metrics=metrics,
        **training.learner.describe(config),
    )
    fixed = {name: value.detach().clone() for name, value in state.params.items()}
    steps = {name: value.detach().clone() for name, value in state.step_sizes.items()}
    return Bundle(info, dynamics, fixed, steps)


def untrained_bundle(training: ModelTraining[ConfigT], task: str) -> Bundle:
    """Return a bundle as it is before any training: for trying nodes out and for timing them."""
    return make_bundle(training, task, training.model(), training.begin(), {})


def return_metrics(
    reward: Reward, data: list[list[Trajectory]], rollout_steps: int
) -> dict[str, float]:
    """Return what a row of metrics.csv says of the newest rollouts.

    A rollout that ended early earns nothing later, and is counted.
    """
    returns = [float(reward(*trajectory.transitions()).sum()) for trajectory in data[-1]]
    return {
        'return_mean': float(np.mean(returns)),
        'return_std': float(np.std(returns)),
        'rollout_steps': float(rollout_steps),
        'ended_early': float(ended_early(data[-1], rollout_steps)),
    }


def fit_metrics(
    data: list[list[Trajectory]], result: FitResult, state: TrainState
) -> dict[str, float]:
    """Return what a row of metrics.csv says of all data and the fit to it."""
    metrics = {
        'environment_steps': float(sum(t.steps for group in data for t in group)),
        'training_loss': result.training[max(result.best_epoch - 1, 0)],
        'validation_loss': result.validation[result.best_epoch],
        'epochs': float(len(result.training)),
    }
    return metrics | {
        f'step_size/{name}': float(value.detach().mean())
        for name, value in state.step_sizes.items()
    }
