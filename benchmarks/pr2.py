# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where the PR2's hand ends: python benchmarks/pr2.py measure TASK SEED; then report.

`measure` runs ten episodes of ten seconds per test and method with the models of one training
seed, and MB undisturbed after every iteration of its training; `report` makes tables and a figure
of what was measured. The final distance is that of the farthest of the three points on the hand,
or on what it holds, from its goal: the mean over the last second.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import mbmrl_ros  # noqa: F401  # isort: skip  # before torch: how its threads wait
import torch
from matplotlib.figure import Figure

from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.algorithms.mb import MBConfig
from mbmrl_ros.bundles.dynamics import Bundle, load_bundle
from mbmrl_ros.config import write_text
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.envs.robot_task import open_task
from mbmrl_ros.envs.tasks import Task, load_task
from mbmrl_ros.evaluation.episodes import Trial, evaluate, finite
from mbmrl_ros.experiments.columns import LEGEND, interval, table
from mbmrl_ros.experiments.studies import METHODS
from mbmrl_ros.reports.page import png
from mbmrl_ros.reports.styles import style_of
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.training.recipes import load_recipe
from mbmrl_ros.types import Adapter

RUNS = Path('runs/pr2_left_arm')
OUT = Path(__file__).parent.parent / 'docs' / 'results' / 'pr2_left_arm'
SHOWN = ('mb', 'mb_de', 'grbal')
TASKS = ('reach', 'shape_matching', 'block_stacking')
EPISODES, CURVE_EPISODES, TEST_SEED = 10, 5, 100
# Half of what the training's settings say, where it makes no difference.
CANDIDATES = {'shape_matching': 500, 'block_stacking': 500}
LAST_STEPS = 10
GOAL_M = 0.02


def main() -> None:
    """Measure one training seed on one task, or report on all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(dest='what', required=True)
    one = kinds.add_parser('measure')
    one.add_argument('task', choices=TASKS)
    one.add_argument('seed', type=int)
    kinds.add_parser('report')
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what == 'report':
        report()
        return
    path = OUT / f'{options.task}_seed{options.seed}.json'
    if not path.exists():
        result = measure(load_task(f'pr2_left_arm/{options.task}'), options.task, options.seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(finite(result), indent=1) + '\n')


def measure(task: Task, name: str, seed: int) -> dict[str, Any]:
    """Return final distances [m] by method and test, and over the training of MB."""
    spec = load_robot(task.robot)
    folders = {key: RUNS / name / f'{key}_seed{seed}' for key in ('mb', 'grbal')}
    mb, grbal = (load_bundle(folder / 'bundle', spec) for folder in folders.values())
    adapters = {
        'mb': (mb, make_adapter(mb, 'none')),
        'mb_de': (mb, make_adapter(mb, 'dynamic_evaluation')),
        'grbal': (grbal, make_adapter(grbal, 'auto')),
    }
    tests = {
        method: {test: _distances(task, spec, *pair, test, EPISODES) for test in task.tests}
        for method, pair in adapters.items()
    }
    for method, rows in tests.items():
        print(name, method, {test: round(float(np.nanmean(row)), 4) for test, row in rows.items()})
    curve = []
    for folder in sorted((folders['mb'] / 'bundles').iterdir()):
        bundle = load_bundle(folder, spec)
        row = _distances(task, spec, bundle, make_adapter(bundle, 'none'), 'undisturbed',
                         CURVE_EPISODES)  # fmt: skip
        minutes = bundle.info.metrics['environment_steps'] * spec.period_s / 60
        curve.append({'simulated_minutes': minutes, 'distances_m': row})
    return {'task': task.name, 'training_seed': seed, 'tests': tests, 'curve': curve}


def _distances(
    task: Task, spec: RobotSpec, bundle: Bundle, adapter: Adapter, test: str, episodes: int
) -> list[float]:
    planner = load_recipe(MBConfig, 'mb', task.name).control_planner
    candidates = CANDIDATES.get(task.name.rpartition('/')[2], planner.candidates)
    planner = planner.model_copy(update={'candidates': candidates})
    steps = task.episode_steps
    result = evaluate(
        bundle, adapter, Trial(open_task(task), test, episodes, steps, TEST_SEED), planner
    )
    return [final_distance(task, spec, trajectory) for trajectory in result.trajectories]


def final_distance(task: Task, spec: RobotSpec, trajectory: Trajectory) -> float:
    """Return the distance of the farthest point from its goal, mean over the last second [m].

    NaN of an episode that ended early: it has no last second, and where it stopped is no success.
    """
    if trajectory.steps < task.episode_steps:
        return math.nan
    target = next(term.target for term in task.reward if term.term == 'lorentzian')
    places = [spec.channel_index(channel) for channel in target]
    goal = torch.tensor(list(target.values()))
    offsets = trajectory.states[-LAST_STEPS:, places] - goal
    return float(offsets.reshape(LAST_STEPS, -1, 3).norm(dim=-1).max(-1).values.mean())


def report() -> None:
    """Write tables.md and learning.png from the files there are."""
    rows: dict[str, list[dict[str, Any]]] = {task: [] for task in TASKS}
    for path in sorted(OUT.glob('*_seed*.json')):
        data = json.loads(path.read_text())
        rows[data['task'].rpartition('/')[2]].append(data)
    rows = {task: found for task, found in rows.items() if found}
    lines = [*_distance_table(rows), '', *_learning_table(rows)]
    write_text(OUT / 'tables.md', '\n'.join(lines) + '\n')
    (OUT / 'learning.png').write_bytes(png(_figure(rows)))
    print('\n'.join(lines))


def _distance_table(rows: dict[str, list[dict[str, Any]]]) -> list[str]:
    lines = []
    for task, found in rows.items():
        for test in found[0]['tests']['mb']:
            cells = []
            for method in SHOWN:
                groups = {
                    row['training_seed']: _centimetres(row['tests'][method][test]) for row in found
                }
                values = np.concatenate(list(groups.values()))
                ended = int(np.isnan(values).sum())
                text = f'{interval(groups, digits=1)}; median {_median(values):.1f}'
                cells.append(text + (f'; {ended} ended early' if ended else ''))
            lines.append([task, test, *cells])
    header = ['task', 'test', *(METHODS[method].label for method in SHOWN)]
    return [
        *table(header, lines),
        '',
        f'{LEGEND} Medians: over the episodes of all training seeds.',
    ]


def _centimetres(distances_m: list[float | None]) -> list[float]:
    return [math.nan if m is None else 100 * m for m in distances_m]


def _median(values: Sequence[float] | np.ndarray) -> float:
    """Return the median, of which an episode that ended early is as far off as can be."""
    return float(np.median(np.nan_to_num(values, nan=np.inf)))


def _learning_table(rows: dict[str, list[dict[str, Any]]]) -> list[str]:
    lines = []
    for task, found in rows.items():
        for row in found:
            medians = [
                (point['simulated_minutes'], _median(_centimetres(point['distances_m'])))
                for point in row['curve']
            ]
            first = next(
                (f'{minutes:.1f}' for minutes, cm in medians if cm <= 100 * GOAL_M), 'not reached'
            )
            end = f'{medians[-1][1]:.1f} cm after {medians[-1][0]:.0f} min'
            lines.append([task, str(row['training_seed']), first, end])
    header = ('task', 'training seed', 'minutes until the median is within 2 cm', 'at the end')
    return table(header, lines)


def _figure(rows: dict[str, list[dict[str, Any]]]) -> Figure:
    figure = Figure(figsize=(10, 3.2))
    panels = figure.subplots(1, len(rows), squeeze=False)[0]
    for axes, (task, found) in zip(panels, rows.items()):
        for row in found:
            minutes = [point['simulated_minutes'] for point in row['curve']]
            medians = [_median(_centimetres(point['distances_m'])) for point in row['curve']]
            axes.plot(minutes, medians, marker='o', ms=3, color=style_of('mb').colour)
        axes.axhline(100 * GOAL_M, color='black', lw=0.8, ls=':')
        axes.set(
            title=task, xlabel='simulated minutes', ylabel='final distance [cm]', yscale='log'
        )
        axes.spines[['top', 'right']].set_visible(False)
    figure.tight_layout()
    return figure


if __name__ == '__main__':
    main()
