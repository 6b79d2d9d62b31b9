# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a command says at its end: what came of it, whether that is enough, what comes next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.bundles.dynamics import load_bundle
from mbmrl_ros.bundles.files import read_head
from mbmrl_ros.config import UserError
from mbmrl_ros.data.bags import printable
from mbmrl_ros.data.dataset import Trajectory, held_out_every, load_trajectories, split
from mbmrl_ros.data.recordings import Manifest
from mbmrl_ros.evaluation.predictions import ChannelErrors, PredictionLosses, prediction_losses
from mbmrl_ros.evaluation.verdicts import (
    TUNING,
    of_adapting,
    of_fit,
    of_no_change,
    of_returns,
)
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.dynamics.offline import with_validation
from mbmrl_ros.training.dynamics.settings import ModelBasedConfig
from mbmrl_ros.training.run import data_file, finished_iterations

# What adapting is tried on when a training ends: a few seconds of work at most.
TRAJECTORIES, STEPS = 10, 300
# docs/recordings.md, of what the papers collected on each ground.
PAPERS_MINUTES = 30


def after_training(folder: Path, robot: str | None, data: Path | None = None) -> Iterator[str]:
    """Yield what a training came to. data: the recordings that it was of, if it was of some."""
    head = read_head(folder / 'bundle')
    if head.kind == 'dynamics':
        yield of_fit(head.metrics['validation_loss'])
        if head.algorithm != 'mb':
            try:
                yield _adapting(folder, robot or head.robot)
            except UserError as error:
                # The training is done and written, whatever became of its data since.
                yield f'whether adapting helps could not be tried: {error}'
    else:
        yield from _of_policy(head.metrics)
    yield f'bundle: {folder / "bundle"}'
    yield f'curves: mbmrl report {_word(folder)}'
    target = '' if robot is None else f' --robot {_word(robot)}'
    # Recordings of before are what it was fitted to.
    target += '' if data is None else ' --data OTHER_DATA'
    yield f'next:   mbmrl evaluate {_word(folder)}{target}'


def _of_policy(metrics: dict[str, float]) -> Iterator[str]:
    """Yield what the last iteration earned, by the metrics that the algorithm has."""
    if 'return_before' in metrics and 'gain' in metrics:
        before, after, gain = (metrics[key] for key in ('return_before', 'return_after', 'gain'))
        text = f'return {before:.1f} before, {after:.1f} after adapting, in the last iteration'
        # What is learned here is the gain (docs/tuning.md, Policies).
        yield text if gain > 0 else f'{text}: no gain; {TUNING}, Policies, says what to try'
    elif 'return_mean' in metrics:
        yield f'return {metrics["return_mean"]:.1f}, the mean of the last iteration'


def _adapting(folder: Path, robot: str) -> str:
    """Say whether adapting helps on trajectories that the last fit did not learn from."""
    bundle = load_bundle(folder / 'bundle', load_robot(robot))
    share, unseen = float(bundle.info.training['validation_fraction']), list[Trajectory]()
    for iteration in range(finished_iterations(folder), 0, -1):
        if len(unseen) < TRAJECTORIES:
            unseen += split(load_trajectories(data_file(folder, iteration)), share)[1]
    short = [
        Trajectory(each.states[: STEPS + 1], each.actions[:STEPS], each.disturbance[:STEPS])
        for each in unseen[:TRAJECTORIES]
    ]
    losses = prediction_losses(bundle, make_adapter(bundle, 'auto'), short)
    return of_adapting(losses.before.nanmean(1), losses.after.nanmean(1))


def after_bag(
    manifest: Manifest, trajectories: list[Trajectory], config: ModelBasedConfig, folder: Path
) -> Iterator[str]:
    """Yield how much a dataset holds, and whether `train` would take it. config: of GrBAL."""
    total = manifest.total
    lost_s = total.seconds - total.kept_s
    yield (
        f'{total.transitions} control steps, {total.kept_s / 60:.1f} minutes, in '
        f'{total.trajectories} pieces; {lost_s:.1f} s are left out, by the reasons above'
    )
    window, fewest = (
        config.past_steps + config.future_steps, held_out_every(config.validation_fraction),
    )  # fmt: skip
    pieces = with_validation(trajectories, fewest, window)
    if len(pieces) < fewest or not any(each.steps >= window for each in pieces):
        yield (
            f'too little to train on: {fewest} pieces are needed, of which one is held out, or '
            f'longer ones to cut, and a window has {window} steps; record more, or change '
            'past_steps, future_steps or validation_fraction'
        )
        return
    yield (
        f'enough for train to take it (windows of {window} steps); the papers had '
        f'{PAPERS_MINUTES} minutes of each ground (docs/recordings.md)'
    )
    yield f'next: mbmrl train mb --data {_word(folder)} --out runs/mb'


def after_recordings(scores: ChannelErrors) -> Iterator[str]:
    """Yield what a bundle's predictions of recordings are worth."""
    losses = {name: value.mean(1) for name, value in scores.losses.items()}
    yield of_no_change(scores.loss('after'), scores.loss('no_change'))
    if torch.equal(losses['before'], losses['after']):
        return
    places = [scores.trajectory == each for each in sorted(set(scores.trajectory.tolist()))]
    before, after = (
        torch.stack([losses[name][rows].mean() for rows in places]) for name in ('before', 'after')
    )
    yield of_adapting(before, after)


def after_test(returns: Tensor, idle: Tensor, losses: PredictionLosses) -> list[str]:
    """Return what is to be said of returns [B], those of doing nothing, and of losses [B, W]."""
    lines = [of_returns(returns, idle)]
    if not torch.equal(losses.before.nan_to_num(), losses.after.nan_to_num()):
        lines.append(of_adapting(losses.before.nanmean(1), losses.after.nanmean(1)))
    return [line for line in lines if line]


def _word(path: Path | str) -> str:
    """Return a path as the shell reads it, and any terminal prints it."""
    return shlex.quote(printable(Path(path)))
