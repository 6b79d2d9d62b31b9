# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an algorithm trains for, and one fit to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.models.device import choose_precision
from mbmrl_ros.models.fit import FitResult, fit
from mbmrl_ros.training.augment import Augmentation, unchanged
from mbmrl_ros.training.settings import TrainingConfig
from mbmrl_ros.training.train_state import TrainState, learning_rate

# Held-out loss with adaptation over that without, from which on step sizes are too large.
OVERSHOOT = 1.5


class Objective(NamedTuple):
    """How an algorithm scores the model on data: a loss to descend and one to stop by.

    unadapted_loss: what the latter would be without adaptation, where steps could overshoot.
    """

    batch_loss: Callable[[], Tensor]
    validation_loss: Callable[[], float]
    batches_per_epoch: int
    unadapted_loss: Callable[[], float] | None = None


class MakeObjective(Protocol):
    """What an algorithm trains for."""

    def __call__(
        self,
        dynamics: Any,
        learned: TrainState,
        training: list[Trajectory],
        held_out: list[Trajectory],
        config: TrainingConfig,
        generator: torch.Generator,
        augment: Augmentation = unchanged,
    ) -> Objective:
        """Return the objective on training and held-out trajectories.

        dynamics: of the algorithm's kind. augment: how windows of the training data are
        to be changed.
        """


def fit_objective(
    objective: Objective,
    learned: TrainState,
    optimiser: torch.optim.Optimizer,
    config: TrainingConfig,
    iteration: int,
) -> FitResult:
    """Fit parameters and step sizes in place, with a bar of progress.

    A warning is printed if there was nothing to stop by: no held-out loss was finite.
    """
    _warn_of_overshoot(objective)
    parameters = learned.params | {f'log_{k}': v for k, v in learned.log_step_sizes.items()}
    rate = learning_rate(optimiser, config)
    with tqdm(total=config.epochs, desc=f'iteration {iteration}: fit', unit='epoch') as bar:

        def on_epoch(epoch: int, training_loss: float, validation_loss: float) -> None:
            rate.step()
            bar.update()
            bar.set_postfix(loss=f'{training_loss:.4f}', held_out=f'{validation_loss:.4f}')

        result = fit(
            parameters,
            optimiser,
            objective.batch_loss,
            objective.validation_loss,
            config.epochs,
            objective.batches_per_epoch,
            config.persistency,
            config.patience,
            choose_precision(config.fit_precision, torch.device('cpu')),
            on_epoch,
        )
    if not result.succeeded:
        tqdm.write(
            f'warning: the fit of iteration {iteration} never had a finite held-out loss '
            f'(at first {result.validation[0]}, in {len(result.training)} epochs): weights and '
            'step sizes are as they were before; choose a smaller step_size, motor_step_size or '
            'learning_rate, or fewer inner_steps'
        )
    return result


def _warn_of_overshoot(objective: Objective) -> None:
    """Say it where the update makes the model worse from the start.

    The gradients of such updates can spoil the weights for good: they are not small.
    """
    if objective.unadapted_loss is None:
        return
    without, adapted = objective.unadapted_loss(), objective.validation_loss()
    if not adapted <= OVERSHOOT * without:
        tqdm.write(
            f'warning: adapted with these step sizes, the held-out loss is {adapted:.4f}, and '
            f'{without:.4f} without adapting; choose a smaller step_size or motor_step_size, or '
            'fewer inner_steps'
        )
