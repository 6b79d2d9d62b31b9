# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Choose MB+DE's step size: python benchmarks/step_size_sweep.py RUN [--json FILE].

Replays held-out training trajectories of an MB run through dynamic evaluation with several step
sizes, and prints the loss on the next steps. Nothing of the test disturbance is in there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import mbmrl_ros  # noqa: F401  # isort: skip  # before torch: how its threads wait
import torch
from torch import Tensor

from mbmrl_ros.algorithms.mb import dynamic_evaluation
from mbmrl_ros.bundles.dynamics import load_bundle, read_info
from mbmrl_ros.data.dataset import split_all
from mbmrl_ros.evaluation.episodes import std_over_episodes
from mbmrl_ros.evaluation.predictions import prediction_losses
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.system.outputs import output_file
from mbmrl_ros.training.run import Run, write_text
from mbmrl_ros.training.settings import TrainingConfig

STEP_SIZES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)


def main() -> None:
    """Sweep and print; write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('run', type=Path)
    parser.add_argument('--trajectories', type=int, default=8)
    parser.add_argument('--json', type=output_file)
    options = parser.parse_args()
    torch.set_num_threads(2)
    info = read_info(options.run / 'bundle')
    bundle = load_bundle(options.run / 'bundle', load_robot(info.robot))
    config = TrainingConfig.model_validate(info.training)
    identity = json.loads((options.run / 'run.json').read_text())
    run = Run(options.run, config.model_dump(mode='json'), identity)
    _, _, data = run.load()
    _, held_out = split_all(data[1:], config.held_out)
    chosen = held_out[-options.trajectories :]
    losses = {}
    for step_size in STEP_SIZES:
        outcome = prediction_losses(bundle, dynamic_evaluation(bundle, step_size), chosen)
        losses[str(step_size)] = _summary(outcome.after)
        print(f'step size {step_size:g}: {_text(losses[str(step_size)])}')
    losses['0'] = _summary(outcome.before)
    print(f'without adaptation: {_text(losses["0"])}')
    if options.json:
        write_text(options.json, json.dumps(losses, indent=2) + '\n')


def _summary(losses: Tensor) -> dict[str, float]:
    """Return the mean of losses [B, W] over trajectories, all of them of one model."""
    each = losses.nanmean(1)
    return {'loss': float(each.nanmean()), 'std_over_trajectories': std_over_episodes(each)}


def _text(entry: dict[str, float]) -> str:
    return f'loss {entry["loss"]:.4f} (SD of trajectories {entry["std_over_trajectories"]:.4f})'


if __name__ == '__main__':
    main()
