# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Learning curves of meta policy search: python benchmarks/meta_curves.py RUN... --out DIR.

RUN: folders of `mbmrl train`, one per seed. DIR gets curves.csv, a row per run and iteration, and
curves.png: return after adaptation (thin: each run; thick: their mean) and before.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mbmrl_ros.reports.run import Metrics, read_metrics

COLUMNS = (
    'environment_steps', 'return_before', 'return_after', 'std', 'kl_before', 'physics_s',
    'policy_s', 'update_s', 'iteration_s',
)  # fmt: skip


def main() -> None:
    """Write the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('runs', type=Path, nargs='+', metavar='RUN')
    parser.add_argument('--out', type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    runs = {seed_of(folder): read_metrics(folder) for folder in options.runs}
    with (options.out / 'curves.csv').open('w', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(('seed', *COLUMNS))
        for seed, metrics in runs.items():
            for row in zip(*(metrics[name] for name in COLUMNS)):
                writer.writerow((seed, *(f'{value:.6g}' for value in row)))
    draw(runs).savefig(options.out / 'curves.png', dpi=110, bbox_inches='tight')
    for seed, metrics in runs.items():
        print(f'seed {seed}: {summary(metrics)}')


def seed_of(folder: Path) -> int:
    """Return the seed of a run folder."""
    return int(json.loads((folder / 'run.json').read_text())['seed'])


def summary(metrics: Metrics) -> str:
    """Return when the mean of ten iterations after adaptation was first above 200, and its end."""
    smooth = np.convolve(metrics['return_after'], np.ones(10) / 10, 'valid')
    above = np.flatnonzero(smooth >= 200)
    when = f'{metrics["environment_steps"][above[0] + 9]:.3g} steps' if len(above) else 'never'
    gain = (metrics['return_after'] - metrics['return_before'])[-10:].mean()
    calm = metrics['iteration_s'] / metrics['physics_s']
    return (
        f'200 after {when}; last ten iterations {smooth[-1]:.0f}, gain {gain:.0f}; '
        f'{np.median(metrics["iteration_s"]):.1f} s an iteration, '
        f'{np.median(calm):.2f} of its physics'
    )


def draw(runs: dict[int, Metrics]) -> Figure:
    """Return the curves."""
    figure = Figure(figsize=(8, 3.6))
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
    for key, colour, label in (
        ('return_after', '#1f77b4', 'after one step of adaptation'),
        ('return_before', '#ff7f0e', 'before'),
    ):
        shortest = min(len(metrics[key]) for metrics in runs.values())
        for metrics in runs.values():
            axes.plot(metrics['environment_steps'], metrics[key], color=colour, lw=0.8, alpha=0.5)
        mean = np.mean([metrics[key][:shortest] for metrics in runs.values()], 0)
        steps = next(iter(runs.values()))['environment_steps'][:shortest]
        axes.plot(steps, mean, color=colour, lw=1.8, label=label)
    axes.set(xlabel='control steps', ylabel='return of an episode of 100 steps')
    axes.legend(frameon=False, loc='upper left')
    return figure


if __name__ == '__main__':
    main()
