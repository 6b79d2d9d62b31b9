# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ensembles on real recordings: python benchmarks/recordings_ensembles.py BAGS [--seeds 0 1 2].

After benchmarks/recordings.py with the same BAGS and --work: of each of its splits, the models of
the given training seeds are put together, as `mbmrl combine` does, and scored on what training has
not seen. Writes one JSON file per split, and prints a table.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import mbmrl_ros  # noqa: F401  # isort: skip  # before torch: how its threads wait
import numpy as np
import torch
from recordings import KNOWN, OUT, TERRAINS, dataset, parts
from scipy.stats import bootstrap

from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.bundles.combine import make_ensemble
from mbmrl_ros.bundles.dynamics import Bundle, load_bundle
from mbmrl_ros.cli.recordings import channel_errors
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.system.outputs import as_json
from mbmrl_ros.training.run import write_text
from mbmrl_ros.types import Array

ADAPTATIONS = {'mb': 'none', 'grbal': 'auto'}


def main() -> None:
    """Score what is missing; print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('bags', type=Path)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--splits', nargs='+', default=[KNOWN, *TERRAINS])
    parser.add_argument('--work', type=Path, default=Path('runs/millirobot/recordings'))
    parser.add_argument('--out', type=Path, default=OUT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    spec = load_robot('millirobot')
    sessions = dataset(options.bags, spec, options.work / 'data', options.out)
    folder = options.out / 'ensembles'
    folder.mkdir(parents=True, exist_ok=True)
    print(HEADER)
    for name in options.splits:
        path = folder / f'{name}.json'
        if not path.exists():
            runs = [options.work / 'default' / name / f'seed{seed}' for seed in options.seeds]
            scores = score(runs, parts(sessions, name)[1], spec)
            about = {'split': name, 'seeds': options.seeds}
            write_text(path, as_json(about | compared(*scores)))
        print(row(json.loads(path.read_text())), flush=True)


Losses = dict[str, Array]
"""By method: [N] losses of N windows, or [E, N] of E models."""


def score(runs: list[Path], test: list[Trajectory], spec: RobotSpec) -> tuple[Losses, Array]:
    """Return losses of single models and ensembles, and of which trajectory [N] each window is."""
    losses: Losses = {}
    trajectories = np.empty(0)
    for method in ADAPTATIONS:
        bundles = {str(run): load_bundle(run / method / 'bundle', spec) for run in runs}
        single = [of_windows(bundle, method, test)[0] for bundle in bundles.values()]
        losses[method] = np.stack(single)
        losses[f'{method}_ensemble'], trajectories = of_windows(
            make_ensemble(bundles), method, test
        )
    return losses, trajectories


def of_windows(bundle: Bundle, method: str, test: list[Trajectory]) -> tuple[Array, Array]:
    """Return the loss after adaptation of every window [N], and its trajectory [N]."""
    found = channel_errors(bundle, make_adapter(bundle, ADAPTATIONS[method]), test)
    return found.losses['after'].double().mean(1).numpy(), found.trajectory.numpy()


def compared(losses: Losses, trajectories: Array) -> dict[str, Any]:
    """Return mean losses, and ratios with 95 % intervals over the trajectories of the test.

    An ensemble is one training of E models, so intervals are over what it is tested on.
    """
    single = {name: value.reshape(-1, len(trajectories)).mean(0) for name, value in losses.items()}
    _, index = np.unique(trajectories, return_inverse=True)
    sums = {name: np.bincount(index, value).astype(float) for name, value in single.items()}
    return {
        'windows': len(trajectories),
        'trajectories': len(sums['mb']),
        'loss': {name: float(value.mean()) for name, value in single.items()},
        'ratio': {
            f'{over}/{under}': ratio(sums[over], sums[under])
            for over, under in (
                ('mb_ensemble', 'mb'), ('grbal', 'mb'),
                ('grbal_ensemble', 'mb'), ('grbal_ensemble', 'mb_ensemble'),
            )
        },
    }  # fmt: skip


def ratio(over: Array, under: Array) -> list[float]:
    """Return the ratio of two sums over trajectories, and its 95 % bootstrap interval."""
    low, high = bootstrap(
        (over, under),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        method='percentile',
        rng=np.random.default_rng(0),
    ).confidence_interval
    return [float(over.sum() / under.sum()), float(low), float(high)]


HEADER = """\
| tested on | MB | E x MB | GrBAL | E x GrBAL | E x GrBAL / MB | E x GrBAL / E x MB |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |"""


def row(cell: dict[str, Any]) -> str:
    """Return a split as a row of the table."""
    cells = [cell['split'].replace('_', ' ')]
    cells += [f'{cell["loss"][n]:.4f}' for n in ('mb', 'mb_ensemble', 'grbal', 'grbal_ensemble')]
    for key in ('grbal_ensemble/mb', 'grbal_ensemble/mb_ensemble'):
        mean, low, high = cell['ratio'][key]
        cells.append(f'{mean:.3f} ({low:.3f} to {high:.3f})')
    return f'| {" | ".join(cells)} |'


if __name__ == '__main__':
    main()
