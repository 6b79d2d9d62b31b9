# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How an algorithm learns a model of the dynamics, and one fit of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.data.dataset import Trajectory, all_transitions, split_all
from mbmrl_ros.models.device import choose_precision
from mbmrl_ros.models.fit import FitResult, FitSchedule, fit
from mbmrl_ros.models.kinds import DynamicsModel, build_model
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.training.dynamics.augment import Augmentation, make_augmentation, unchanged
from mbmrl_ros.training.dynamics.settings import FitConfig, ModelBasedConfig
from mbmrl_ros.training.dynamics.train_state import TrainState, learning_rate
from mbmrl_ros.types import Adapter

# Windows that a fit is stopped by, the same for all algorithms.
VALIDATION_WINDOWS = 256
# Validation loss with adaptation over that without, from which on step sizes are too large.
OVERSHOOT = 1.5


class Objective(NamedTuple):
    """How an algorithm scores the model on data: a loss to descend and one to stop by.

    unadapted_loss: what the latter would be without adaptation, where steps could overshoot.
    """

    batch_loss: Callable[[], Tensor]
    validation_loss: Callable[[], float]
    batches_per_epoch: int
    unadapted_loss: Callable[[], float] | None = None


class FitData(NamedTuple):
    """What a fit is made from: trajectories to learn from, and some to stop by.

    augment: how windows to learn from are changed (training/dynamics/augment.py).
    """

    training: Sequence[Trajectory]
    validation: Sequence[Trajectory]
    generator: torch.Generator
    augment: Augmentation = unchanged


ConfigT = TypeVar('ConfigT', bound=ModelBasedConfig)


@dataclass(frozen=True)
class ModelLearner(Generic[ConfigT]):
    """What is particular to an algorithm that fits a model and plans with it.

    init(spec, config, seed): what it trains, as it is before. objective(dynamics, state, data,
    config): what it trains for. adapter(bundle): how its model follows the last window.
    describe(config): what bundle.json says of that.
    """

    name: str
    init: Callable[[RobotSpec, ConfigT, int], TrainState]
    objective: Callable[[Any, TrainState, FitData, ConfigT], Objective]
    adapter: Callable[[Bundle], Adapter]
    describe: Callable[[ConfigT], dict[str, Any]]


@dataclass(frozen=True)
class ModelTraining(Generic[ConfigT]):
    """One training: how a model learns, of which robot, by which settings, from which seed."""

    learner: ModelLearner[ConfigT]
    spec: RobotSpec
    config: ConfigT
    seed: int

    def begin(self) -> TrainState:
        """Return what is trained, as it is drawn."""
        return self.learner.init(self.spec, self.config, self.seed)

    def model(self, statistics: Normalizer | None = None) -> DynamicsModel:
        """Return the model of the dynamics, without its parameters."""
        config = self.config
        return build_model(
            self.spec,
            config.hidden_sizes,
            self.learner.describe(config).get('cell'),
            statistics,
            choose_precision(config.precision, torch.device('cpu')),
            config.input_limit,
        )


def fit_model(
    training: ModelTraining[ConfigT],
    state: TrainState,
    groups: list[list[Trajectory]],
    iteration: int,
) -> tuple[DynamicsModel, FitResult]:
    """Refit statistics and parameters to groups of trajectories; the parameters in place."""
    parts = split_all(groups, training.config.validation_fraction)
    statistics = Normalizer.fit(all_transitions(parts[0]))
    return fit_parameters(training, state, parts, statistics, iteration)


def fit_parameters(
    training: ModelTraining[ConfigT],
    state: TrainState,
    parts: tuple[Sequence[Trajectory], Sequence[Trajectory]],
    statistics: Normalizer,
    iteration: int,
) -> tuple[DynamicsModel, FitResult]:
    """Refit the parameters, in place. parts: trajectories to learn from, and to stop by."""
    config, generator = training.config, make_generator(training.seed, iteration, 'fit')
    dynamics = training.model(statistics)
    augment = make_augmentation(training.spec, config)
    data = FitData(*parts, generator, augment)
    objective = training.learner.objective(dynamics, state, data, config)
    return dynamics, fit_objective(objective, state, config, f'iteration {iteration}: fit')


def batches_of_windows(trajectories: Sequence[Trajectory], config: ModelBasedConfig) -> int:
    """Return the batches of an epoch, which sees as many transitions as there are (the code)."""
    transitions = sum(trajectory.steps for trajectory in trajectories)
    per_batch = config.batch_size * (config.past_steps + config.future_steps)
    return max(1, transitions // per_batch)


def make_generator(
    seed: int, iteration: int, purpose: Literal['collect', 'fit']
) -> torch.Generator:
    """Return a random stream of its own for every part of an iteration.

    So a training that was killed after it had collected fits as if it had not been killed.
    """
    sequence = np.random.SeedSequence((seed, iteration, purpose == 'fit'))
    return torch.Generator().manual_seed(int(sequence.generate_state(1)[0]))


def fit_objective(
    objective: Objective, state: TrainState, config: FitConfig, title: str
) -> FitResult:
    """Fit parameters and step sizes in place, with a bar of progress.

    A warning is printed if there was nothing to stop by: no validation loss was finite.
    """
    _warn_of_overshoot(objective)
    rate = learning_rate(state.optimiser, config)
    with tqdm(total=config.epochs, desc=title, unit='epoch') as bar:

        def on_epoch(epoch: int, training_loss: float, validation_loss: float) -> None:
            rate.step()
            bar.update()
            bar.set_postfix(loss=f'{training_loss:.4f}', validation=f'{validation_loss:.4f}')

        schedule = FitSchedule(
            config.epochs, objective.batches_per_epoch, config.persistency, config.patience
        )
        precision = choose_precision(config.fit_precision, torch.device('cpu'))
        result = fit(state.leaves, state.optimiser, objective, schedule, precision, on_epoch)
    if not result.succeeded:
        tqdm.write(
            f'warning: {title} never had a finite validation loss '
            f'(at first {result.validation[0]}, in {len(result.training)} epochs): weights and '
            'step sizes are as they were before; choose a smaller step_size, actuator_step_size '
            'or learning_rate, or fewer inner_steps'
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
            f'warning: adapted with these step sizes, the validation loss is {adapted:.4f}, and '
            f'{without:.4f} without adapting; choose a smaller step_size or actuator_step_size, '
            'or fewer inner_steps'
        )
