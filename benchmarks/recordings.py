# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Real recordings: python benchmarks/recordings.py BAGS [--seeds N] [--splits NAME ...] [...].

Reads a folder of bags of the millirobot, named <terrain>_<start>, trains MB and GrBAL on parts of
them, and scores them and MB+DE on the rest: on the last sessions of every terrain, and on each
terrain in turn that training has not seen. One JSON file per split and seed; started again, it
goes on where it was stopped. At the end come tables.md, results.json and the figures.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mbmrl_ros  # noqa: F401  # isort: skip  # before torch: how its threads wait
import torch
from recordings_report import write_report

from mbmrl_ros.algorithms import LEARNERS
from mbmrl_ros.algorithms.mb import dynamic_evaluation
from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.cli.recordings import channel_errors, recordings_config, summary
from mbmrl_ros.data.bags import find_bags
from mbmrl_ros.data.dataset import Trajectory, split
from mbmrl_ros.data.recordings import (
    MANIFEST,
    Session,
    load_manifest,
    load_recordings,
    save_recordings,
)
from mbmrl_ros.evaluation.predictions import ChannelErrors
from mbmrl_ros.recordings.cut import read_recordings
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.training.dynamics.fit_model import ModelTraining
from mbmrl_ros.training.dynamics.offline import train_offline
from mbmrl_ros.training.dynamics.settings import ModelBasedConfig
from mbmrl_ros.training.run import Run, write_text
from mbmrl_ros.types import Adapter

OUT = Path(__file__).parent.parent / 'docs' / 'results' / 'millirobot_recordings'
KNOWN = 'known_terrain'
TERRAINS = ('carpet', 'styrofoam', 'turf')
# Of the sessions of each terrain, the last ones are held out.
HELD_OUT = 0.2
STEP_SIZES = (0.0003, 0.001, 0.003, 0.01, 0.03)
TUNED_ON = 24


def main() -> None:
    """Read, train, score what is missing; write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('bags', type=Path)
    parser.add_argument('--seeds', type=int, default=5)
    parser.add_argument('--splits', nargs='+', default=[KNOWN, *TERRAINS])
    parser.add_argument('--work', type=Path, default=Path('runs/millirobot/recordings'))
    parser.add_argument('--out', type=Path, default=OUT)
    parser.add_argument('--recipe', help='of the training, such as paper')
    parser.add_argument('--threads', type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    spec = load_robot('millirobot')
    configs = {name: recordings_config(name, spec, options.recipe) for name in ('mb', 'grbal')}
    sessions = dataset(options.bags, spec, options.work / 'data', options.out)
    (options.out / 'cells').mkdir(parents=True, exist_ok=True)
    for seed in range(options.seeds):
        for name in options.splits:
            path = options.out / 'cells' / f'{name}_seed{seed}.json'
            if not path.exists():
                work = options.work / (options.recipe or 'default') / name / f'seed{seed}'
                cell = run_cell(spec, configs, *parts(sessions, name), work, seed)
                write_text(path, json.dumps({'split': name, 'seed': seed} | cell, indent=1) + '\n')
                print(line(path.stem, cell), flush=True)
    write_report(options.out, spec)


def dataset(bags: Path, spec: RobotSpec, folder: Path, out: Path) -> list[Session]:
    """Read the bags once; later runs take the dataset."""
    if not (folder / MANIFEST).exists():
        save_recordings(folder, *read_recordings(find_bags([bags]), spec))
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / MANIFEST, load_manifest(folder).model_dump_json(indent=1) + '\n')
    return load_recordings(folder, spec)


def parts(sessions: list[Session], name: str) -> tuple[list[Trajectory], list[Trajectory]]:
    """Return the trajectories to train on and to score on, of sessions apart."""
    training, held_out = [], []
    for terrain in TERRAINS:
        mine = [session for session in sessions if session.name.startswith(f'{terrain}_')]
        last = round(HELD_OUT * len(mine)) if name == KNOWN else len(mine) * (name == terrain)
        training += mine[: len(mine) - last]
        held_out += mine[len(mine) - last :]
    return _join(training), _join(held_out)


def _join(sessions: Iterable[Session]) -> list[Trajectory]:
    return [trajectory for session in sessions for trajectory in session.trajectories]


def run_cell(
    spec: RobotSpec,
    configs: dict[str, ModelBasedConfig],
    training: list[Trajectory],
    test: list[Trajectory],
    work: Path,
    seed: int,
) -> dict[str, Any]:
    """Train MB, GrBAL from its weights, and score both and MB+DE."""
    fit = functools.partial(_train, spec, configs, training, work, seed)
    mb, mb_s = fit('mb', None)
    grbal, grbal_s = fit('grbal', work / 'mb')
    step_size = tuned_step_size(mb, training)
    adapters: dict[str, tuple[Bundle, Adapter]] = {
        'mb': (mb, LEARNERS['mb'].adapter(mb)),
        'mb_de': (mb, dynamic_evaluation(mb, step_size)),
        'grbal': (grbal, LEARNERS['grbal'].adapter(grbal)),
    }
    methods = {}
    for name, (bundle, adapter) in adapters.items():
        scores = channel_errors(bundle, adapter, test)
        methods[name] = summary(scores, spec) | {'channels': _by_channel(scores, spec)}
    return {
        'training_transitions': sum(trajectory.steps for trajectory in training),
        'test_transitions': sum(trajectory.steps for trajectory in test),
        'seconds': {'mb': mb_s, 'grbal': grbal_s},
        'mb_de_step_size': step_size,
        'methods': methods,
    }


def _train(
    spec: RobotSpec,
    configs: dict[str, ModelBasedConfig],
    training: list[Trajectory],
    work: Path,
    seed: int,
    name: str,
    source: Path | None,
) -> tuple[Bundle, float]:
    config = configs[name]
    run = Run(work / name, config, {'algorithm': name, 'seed': seed})
    if source is not None:
        run.adopt(source)
    began = time.monotonic()
    lesson = ModelTraining(LEARNERS[name], spec, config, seed)
    bundle = train_offline(lesson, f'{spec.name}/recordings', training, run)
    return bundle, time.monotonic() - began


def tuned_step_size(mb: Bundle, training: list[Trajectory]) -> float:
    """Return MB+DE's best step size on the trajectories that stopped the fit of MB."""
    share = float(mb.info.training['validation_fraction'])
    held_out = sorted(split(training, share)[1], key=lambda trajectory: -trajectory.steps)
    chosen = held_out[:TUNED_ON]
    losses = {
        size: channel_errors(mb, dynamic_evaluation(mb, size), chosen, stride=4).loss('after')
        for size in STEP_SIZES
    }
    return min(losses, key=lambda size: losses[size])


def _by_channel(scores: ChannelErrors, spec: RobotSpec) -> dict[str, dict[str, float]]:
    means = {name: values.mean(0) for name, values in scores.losses.items()}
    return {
        channel.name: {name: float(mean[i]) for name, mean in means.items()}
        for i, channel in enumerate(spec.state)
    }


def line(name: str, cell: dict[str, Any]) -> str:
    """Return a cell in a line."""
    losses = {key: method['loss_after'] for key, method in cell['methods'].items()}
    no_change = cell['methods']['mb']['loss_no_change']
    text = ', '.join(f'{key} {value:.4f}' for key, value in losses.items())
    ratio = losses['grbal'] / losses['mb']
    return f'{name}: no change {no_change:.4f}, {text}; GrBAL / MB {ratio:.3f}'


if __name__ == '__main__':
    main()
