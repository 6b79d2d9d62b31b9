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

import torch

from mbmrl_ros.algorithms.mb import dynamic_evaluation
from mbmrl_ros.data.dataset import split_all
from mbmrl_ros.models.bundle import load_bundle, read_info
from mbmrl_ros.outputs import output_file
from mbmrl_ros.spec import load_robot
from mbmrl_ros.training.evaluate import interval95
from mbmrl_ros.training.predictions import prediction_losses
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
        mean, half = interval95(outcome.after.mean(1))
        losses[str(step_size)] = {'loss': mean, 'interval95': half}
        print(f'step size {step_size:g}: loss {mean:.4f} +- {half:.4f}')
    mean, half = interval95(outcome.before.mean(1))
    print(f'without adaptation: {mean:.4f} +- {half:.4f}')
    losses['0'] = {'loss': mean, 'interval95': half}
    if options.json:
        write_text(options.json, json.dumps(losses, indent=2) + '\n')


if __name__ == '__main__':
    main()
