# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""MB: model-based reinforcement learning without adaptation, and MB+DE, which adapts regardless.

The same network, planner and data budget as GrBAL (thesis, section 9.4). MB+DE (dynamic
evaluation) takes a model that was trained for no adaptation, and a gradient step at every tick.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mbmrl_ros.adaptation.adapter import DynamicEvaluation, NoAdaptation
from mbmrl_ros.adaptation.gradient import uniform_step_sizes
from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.data.dataset import Trajectory, all_transitions
from mbmrl_ros.data.windows import Windows
from mbmrl_ros.models.dynamics import MLPDynamics
from mbmrl_ros.training.augment import Augmentation, unchanged
from mbmrl_ros.training.fit_model import Objective
from mbmrl_ros.training.model_based import Algorithm
from mbmrl_ros.training.settings import TrainingConfig
from mbmrl_ros.training.train_state import TrainState
from mbmrl_ros.types import Transitions

VALIDATION_WINDOWS = 256


def objective(
    dynamics: MLPDynamics,
    learned: TrainState,
    training: list[Trajectory],
    held_out: list[Trajectory],
    config: TrainingConfig,
    generator: torch.Generator,
    augment: Augmentation = unchanged,
) -> Objective:
    """Mean squared error on single transitions; stopped on the windows that stop GrBAL."""
    data = all_transitions(training)
    unseen = Windows.of(held_out, config.past_steps, config.future_steps)
    _, check = unseen.sample(VALIDATION_WINDOWS, generator)

    def batch_loss() -> Tensor:
        rows = torch.randint(len(data.states), (config.batch_size,), generator=generator)
        batch = augment(Transitions(*(tensor[rows, None] for tensor in data)), generator)
        return dynamics.loss(learned.params, batch).mean()

    def validation_loss() -> float:
        with torch.no_grad():
            return float(dynamics.loss(learned.params, check).mean())

    return Objective(batch_loss, validation_loss, max(1, len(data.states) // config.batch_size))


def adapter(bundle: Bundle) -> NoAdaptation:
    """The parameters stay."""
    return NoAdaptation(bundle.dynamics.loss, bundle.params)


def dynamic_evaluation(bundle: Bundle, step_size: float) -> DynamicEvaluation:
    """MB+DE on an MB bundle."""
    step_sizes = uniform_step_sizes(bundle.params, step_size)
    return DynamicEvaluation(bundle.dynamics.loss, bundle.params, step_sizes)


MB = Algorithm('mb', objective, adapter)
