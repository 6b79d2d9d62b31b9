# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stages of the algorithms that fit a model and plan with it, where these run beside each other.

    begin(tensors) -> learned      fit_epoch(learned, data) -> learned      bundle_of(tensors)

The same fit as in training/dynamics/model_based.py, an epoch at a time.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.bundles.files import misfit
from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory, held_out_every, split_all, split_long
from mbmrl_ros.data.joined import Joined
from mbmrl_ros.models.kinds import network_of
from mbmrl_ros.models.normalizer import Moments, Normalizer
from mbmrl_ros.networks.params import group
from mbmrl_ros.training.dynamics.fit_model import (
    FitData,
    ModelTraining,
    fit_parameters,
    make_generator,
)
from mbmrl_ros.training.dynamics.publish import fit_metrics, make_bundle, untrained_bundle
from mbmrl_ros.training.dynamics.train_state import TrainState, checkpoint, restore
from mbmrl_ros.types import Params


class Learned(NamedTuple):
    """A model in training. trained: whether it was fitted to anything yet.

    known, unseen: what it was fitted to and what that was stopped by, which grow.
    """

    state: TrainState
    normalizer: Normalizer
    trained: bool
    known: Joined
    unseen: Joined

    def tensors(self) -> Params:
        """Return all that goes into a file, or to others."""
        statistics = {f'normalizer/{name}': v for name, v in vars(self.normalizer).items()}
        return checkpoint(self.state) | statistics


def begin(training: ModelTraining[Any], tensors: Params) -> Learned:
    """Return what `tensors` gave, or as much of it as there is; the rest as it is drawn.

    UserError if it is of a network of another size.
    """
    state = training.begin()
    restore(state, tensors)
    statistics = group(tensors, 'normalizer')
    known = Normalizer(**statistics) if statistics else None
    normalizer = known or Normalizer.identity(training.spec.state_size)
    return Learned(state, normalizer, known is not None, Joined(), Joined())


def fit_epoch(
    training: ModelTraining[Any], learned: Learned, groups: list[list[Trajectory]], count: int
) -> tuple[Learned, dict[str, float]]:
    """Refit statistics to all data, and parameters, in place, by one epoch.

    groups: what was there before, then the pieces of episodes. count: of epochs, with this one.
    An epoch after which the validation loss is no lower leaves the parameters as they were. What
    was fitted to before is not copied again. error_on_new_data: loss on the newest piece of an
    episode before this epoch; NaN where there was no model, or the piece is too short.
    """
    error = _error(training, learned, groups[-1][-1], count) if groups[-1] else math.nan
    groups, share = parted(groups, training.config)
    epoch = replace(training, config=training.config.model_copy(update={'epochs': 1}))
    training_part, validation_part = split_all(groups, share)
    parts = learned.known.become(training_part), learned.unseen.become(validation_part)
    statistics = Normalizer.merged(Moments(*parts[0].rows('moments', _moments)))
    _, result = fit_parameters(epoch, learned.state, parts, statistics, count)
    metrics = fit_metrics(groups, result, learned.state) | {
        'validation_before': result.validation[0],
        'validation_error': result.validation[result.best_epoch],
        'error_on_new_data': error,
    }
    return Learned(learned.state, statistics, True, *parts), metrics


def parted(groups: list[list[Trajectory]], config: Any) -> tuple[list[list[Trajectory]], float]:
    """Return the data without what is too short for a window, and the share for validation.

    As long as there are fewer pieces than validation_fraction needs for one, they are cut up, and
    one of the parts is for validation.
    """
    window, fraction = config.past_steps + config.future_steps, config.validation_fraction
    *recorded, pieces = ([t for t in each if t.steps >= window] for each in groups)
    every = held_out_every(fraction)
    if any(len(each) >= every for each in (*recorded, pieces)):
        return [*recorded, pieces], fraction
    parts = split_long([t for each in (*recorded, pieces) for t in each], every, window)
    return [parts], max(fraction, 1 / max(2, len(parts)))


def enough(groups: list[list[Trajectory]], config: Any) -> bool:
    """Whether something can be learned from the data: a part to fit to and one to stop by."""
    return sum(map(len, parted(groups, config)[0])) > 1


def bundle_of(training: ModelTraining[Any], task: str, tensors: Params) -> Bundle:
    """Return a model that was sent as a bundle. task: its name."""
    learned = begin(training, tensors)
    return make_bundle(training, task, training.model(learned.normalizer), learned.state, {})


def begun_with(training: ModelTraining[Any], task: str, known: Bundle) -> Bundle:
    """Return a bundle of this training that has the model of another, as far as it goes.

    UserError if its network is of another kind or size.
    """
    bundle = untrained_bundle(training, task)
    if known.info.cell != bundle.info.cell:
        cells = [info.cell or 'no' for info in (known.info, bundle.info)]
        raise UserError(
            f'the run to go on from is of {known.info.algorithm} with {cells[0]} cells, this one '
            f'has {cells[1]} cells: choose another run'
        )
    params = {name: known.params.get(name, value) for name, value in bundle.params.items()}
    wrong = misfit(bundle.params, params)
    if wrong is not None:
        raise UserError(
            f'the run to go on from has {wrong.name} {wrong.found}, this one {wrong.wanted}: '
            'choose the same hidden_sizes and kind of cells, or another run'
        )
    dynamics = training.model(network_of(known.dynamics).normalizer)
    steps = {name: known.step_sizes.get(name, v) for name, v in bundle.step_sizes.items()}
    return replace(bundle, dynamics=dynamics, params=params, step_sizes=steps)


def _moments(trajectory: Trajectory, before: int) -> Moments:
    return Moments.of(trajectory.transitions())


def _error(training: ModelTraining[Any], learned: Learned, piece: Trajectory, count: int) -> float:
    """Return the loss by which fits are stopped, on a piece that was not learned from yet."""
    config = training.config
    too_short = piece.steps < config.past_steps + config.future_steps
    if too_short or not learned.trained:
        return math.nan
    generator = make_generator(training.seed, count, 'fit')
    data = FitData([piece], [piece], generator)
    dynamics = training.model(learned.normalizer)
    objective = training.learner.objective(dynamics, learned.state, data, config)
    return objective.validation_loss()
