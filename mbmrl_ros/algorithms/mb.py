# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""MB: model-based reinforcement learning without adaptation, and MB+DE, which adapts regardless.

The same network, planner and data budget as GrBAL (thesis, section 9.4). MB+DE (dynamic
evaluation) takes a model that was trained for no adaptation, and a gradient step at every tick.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from mbmrl_ros.adaptation.adapter import DynamicEvaluation, NoAdaptation
from mbmrl_ros.adaptation.gradient import uniform_step_sizes
from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.data.windows import Windows
from mbmrl_ros.models.dynamics import MLPDynamics
from mbmrl_ros.models.kinds import build_model
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.training.algorithm import Algorithm
from mbmrl_ros.training.dynamics.fit_model import (
    VALIDATION_WINDOWS,
    FitData,
    ModelLearner,
    Objective,
)
from mbmrl_ros.training.dynamics.model_based import train
from mbmrl_ros.training.dynamics.settings import ModelBasedConfig
from mbmrl_ros.training.dynamics.train_state import TrainState, init_train_state


class MBConfig(ModelBasedConfig):
    """Settings of MB; defaults and tables are those of the thesis."""


def init(spec: RobotSpec, config: MBConfig, seed: int) -> TrainState:
    """Draw the parameters."""
    dynamics = build_model(spec, config.hidden_sizes, None)
    return init_train_state(config, dynamics.init(torch.Generator().manual_seed(seed)), {})


def objective(
    dynamics: MLPDynamics, state: TrainState, data: FitData, config: MBConfig
) -> Objective:
    """Mean squared error on single transitions; stopped on the windows that stop GrBAL."""
    known = Windows.of(data.training, 0, 1)
    unseen = Windows.of(data.validation, config.past_steps, config.future_steps)
    _, check = unseen.sample(VALIDATION_WINDOWS, data.generator)

    def batch_loss() -> Tensor:
        _, batch = known.sample(config.batch_size, data.generator)
        return dynamics.loss(state.params, data.augment(batch, data.generator)).mean()

    def validation_loss() -> float:
        with torch.no_grad():
            return float(dynamics.loss(state.params, check).mean())

    batches = len(known.start_indices) // config.batch_size
    return Objective(batch_loss, validation_loss, max(1, batches))


def adapter(bundle: Bundle) -> NoAdaptation:
    """The parameters stay."""
    return NoAdaptation(bundle.dynamics.loss, bundle.params)


def dynamic_evaluation(bundle: Bundle, step_size: float) -> DynamicEvaluation:
    """MB+DE on an MB bundle."""
    step_sizes = uniform_step_sizes(bundle.params, step_size)
    return DynamicEvaluation(bundle.dynamics.loss, bundle.params, step_sizes)


def describe(config: MBConfig) -> dict[str, Any]:
    """Return what bundle.json says of how the model adapts: nothing."""
    return {}


LEARNER = ModelLearner('mb', init, objective, adapter, describe)

MB = Algorithm(
    'mb', 'a model that stays as it is; MB+DE adapts it later', MBConfig, partial(train, LEARNER)
)
