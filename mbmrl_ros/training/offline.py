# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training on recordings: one fit to what there is, collection off."""

from __future__ import annotations

import time

from mbmrl_ros.bundles.dynamics import Bundle, load_bundle, save_bundle
from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory, held_out_every, split_long
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.training.model_based import Algorithm, fit_to, make_generator
from mbmrl_ros.training.publish import fit_metrics, make_bundle
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.settings import TrainingConfig
from mbmrl_ros.training.train_state import checkpoint, restore, start


def train_offline(
    algorithm: Algorithm,
    spec: RobotSpec,
    task: str,
    trajectories: list[Trajectory],
    config: TrainingConfig,
    run: Run,
    seed: int,
) -> Bundle:
    """Fit a model to trajectories, or return the one that the run folder holds already.

    Every n-th trajectory is held out, to stop by; where no window would be, they are cut up.
    UserError if they are too short for that.
    """
    fewest = held_out_every(config.held_out)
    trajectories = _with_held_out(trajectories, fewest, config.past_steps + config.future_steps)
    if len(trajectories) < fewest:
        raise UserError(
            f'{len(trajectories)} trajectories are too few: for a share of {config.held_out:g} '
            f'to be held out there must be at least {fewest}'
        )
    config = config.model_copy(update=run.precisions())
    learned, optimiser = start(spec, config, seed, algorithm.cell(config))
    done, tensors, _ = run.load()
    if not config.fit_anew:
        restore(learned, optimiser, tensors)
    if done:
        return load_bundle(run.folder / 'bundle', spec)
    data, began = [trajectories], time.monotonic()
    dynamics, result = fit_to(
        algorithm,
        spec,
        data,
        config,
        learned,
        optimiser,
        make_generator(seed, 1, 'fit'),
        1,
    )
    metrics = fit_metrics(data, result, learned) | {'fit_s': time.monotonic() - began}
    bundle = make_bundle(algorithm.name, task, config, spec, dynamics, learned, metrics)
    save_bundle(run.folder / 'bundle', bundle)
    run.log(1, metrics)
    run.save_data(1, trajectories)
    run.save_checkpoint(1, checkpoint(learned, optimiser))
    return bundle


def _with_held_out(trajectories: list[Trajectory], every: int, window: int) -> list[Trajectory]:
    """Return trajectories of which one at least that is held out has a window of that many steps.

    A single long recording is cut for that, and pieces that are too short are left out.
    """
    if any(trajectory.steps >= window for trajectory in trajectories[every - 1 :: every]):
        return trajectories
    long = [trajectory for trajectory in trajectories if trajectory.steps >= window]
    return split_long(long, every, window) if long else trajectories
