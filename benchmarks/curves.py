# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Learning curves of trainings of policies: python benchmarks/curves.py RUN... --out DIR.

RUN: folders of `mbmrl train`, one per seed, of meta policy search or of policy search in models.
DIR gets curves.csv, a row per run and iteration, and curves.png (thin: runs; thick: their mean).
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mbmrl_ros.reports.run import Metrics, read_metrics

BLUE, ORANGE, GREY = '#1f77b4', '#ff7f0e', '#7f7f7f'


class Curves(NamedTuple):
    """What is shown of a kind of run, as far as it has it.

    lines: column, colour, label; the first one is what is learned for. bar: which return of it the
    summary says the time of. seconds: columns that make up an iteration.
    """

    lines: tuple[tuple[str, str, str], ...]
    columns: tuple[str, ...]
    bar: float
    smoothed: int
    seconds: tuple[str, ...]


META = Curves(
    (('return_after', BLUE, 'after one step of adaptation'), ('return_before', ORANGE, 'before')),
    ('std', 'kl_before', 'physics_s', 'policy_s', 'update_s', 'iteration_s'),
    200.0,
    10,
    ('iteration_s',),
)
SEARCH = Curves(
    (
        ('return_policy', BLUE, 'by means of the policy, real rollouts that are not learned from'),
        ('return_mean', ORANGE, 'of the rollouts that were collected'),
        ('imagined_return', GREY, 'imagined'),
    ),
    ('error_on_new_data', 'std', 'collect_s', 'fit_s', 'improve_s'),
    500.0,
    1,
    ('collect_s', 'fit_s', 'improve_s'),
)


def main() -> None:
    """Write the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('runs', type=Path, nargs='+', metavar='RUN')
    parser.add_argument('--out', type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    runs = {seed_of(folder): read_metrics(folder) for folder in options.runs}
    kind = META if all('return_after' in metrics for metrics in runs.values()) else SEARCH
    has = set.intersection(*(set(metrics) for metrics in runs.values()))
    kind = kind._replace(
        lines=tuple(line for line in kind.lines if line[0] in has),
        columns=tuple(name for name in kind.columns if name in has),
    )
    columns = ('environment_steps', *(line[0] for line in kind.lines), *kind.columns)
    with (options.out / 'curves.csv').open('w', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(('seed', *columns))
        for seed, metrics in runs.items():
            for row in zip(*(metrics[name] for name in columns)):
                writer.writerow((seed, *(f'{value:.6g}' for value in row)))
    draw(runs, kind).savefig(options.out / 'curves.png', dpi=110, bbox_inches='tight')
    for seed, metrics in runs.items():
        print(f'seed {seed}: {summary(metrics, kind)}')


def seed_of(folder: Path) -> int:
    """Return the seed of a run folder."""
    return int(json.loads((folder / 'run.json').read_text())['seed'])


def summary(metrics: Metrics, kind: Curves) -> str:
    """Return when what is learned for was first above the bar, its end, and the time it took."""
    wide = kind.smoothed
    smooth = np.convolve(metrics[kind.lines[0][0]], np.ones(wide) / wide, 'valid')
    above = np.flatnonzero(smooth >= kind.bar)
    steps = metrics['environment_steps']
    when = f'{steps[above[0] + wide - 1]:.3g} steps' if len(above) else 'never'
    spent = np.sum([metrics[name] for name in kind.seconds], 0)
    return (
        f'{kind.bar:g} after {when}; at the end {smooth[-1]:.0f}; {np.median(spent):.1f} s an '
        f'iteration (median), {spent.sum() / 60:.0f} min in all'
    )


def draw(runs: dict[int, Metrics], kind: Curves) -> Figure:
    """Return the curves."""
    figure = Figure(figsize=(8, 3.6))
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
    for key, colour, label in kind.lines:
        shortest = min(len(metrics[key]) for metrics in runs.values())
        for metrics in runs.values():
            axes.plot(metrics['environment_steps'], metrics[key], color=colour, lw=0.8, alpha=0.5)
        mean = np.mean([metrics[key][:shortest] for metrics in runs.values()], 0)
        steps = next(iter(runs.values()))['environment_steps'][:shortest]
        axes.plot(steps, mean, color=colour, lw=1.8, label=label)
    axes.set(xlabel='control steps', ylabel='return of an episode')
    axes.legend(frameon=False, fontsize=9)
    return figure


if __name__ == '__main__':
    main()
