# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training on recordings: one fit to what there is, collection off."""

from __future__ import annotations

import time
from dataclasses import replace

from mbmrl_ros.bundles.dynamics import Bundle, load_bundle, save_bundle
from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory, held_out_every, split_long
from mbmrl_ros.training.dynamics.fit_model import ConfigT, ModelTraining, fit_model
from mbmrl_ros.training.dynamics.publish import fit_metrics, make_bundle
from mbmrl_ros.training.dynamics.train_state import checkpoint, restore
from mbmrl_ros.training.run import Run


def train_offline(
    training: ModelTraining[ConfigT], task: str, trajectories: list[Trajectory], run: Run
) -> Bundle:
    """Fit a model to trajectories, or return the one that the run folder holds already.

    Every n-th trajectory is for validation; where no window would be, they are cut up. UserError
    if they are too short for that.
    """
    config = training.config
    fewest = held_out_every(config.validation_fraction)
    window = config.past_steps + config.future_steps
    trajectories = with_validation(trajectories, fewest, window)
    if len(trajectories) < fewest:
        raise UserError(
            f'{len(trajectories)} trajectories are too few: for a validation_fraction of '
            f'{config.validation_fraction:g} there must be at least {fewest}'
        )
    training = replace(training, config=config.model_copy(update=run.precisions()))
    state = training.begin()
    done, tensors, _ = run.load()
    if not config.reinitialize:
        restore(state, tensors)
    if done:
        return load_bundle(run.folder / 'bundle', training.spec)
    data, began = [trajectories], time.monotonic()
    dynamics, result = fit_model(training, state, data, 1)
    metrics = fit_metrics(data, result, state) | {'fit_s': time.monotonic() - began}
    bundle = make_bundle(training, task, dynamics, state, metrics)
    save_bundle(run.folder / 'bundle', bundle)
    run.log(1, metrics)
    run.save_data(1, trajectories)
    run.save_checkpoint(1, checkpoint(state))
    return bundle


def with_validation(trajectories: list[Trajectory], every: int, window: int) -> list[Trajectory]:
    """Return trajectories, one of which at least is for validation and has so long a window.

    A single long recording is cut for that, and pieces that are too short are left out.
    """
    if any(trajectory.steps >= window for trajectory in trajectories[every - 1 :: every]):
        return trajectories
    long = [trajectory for trajectory in trajectories if trajectory.steps >= window]
    return split_long(long, every, window) if long else trajectories
