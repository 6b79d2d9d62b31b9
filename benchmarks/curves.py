# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Learning curves of trainings of policies: python benchmarks/curves.py RUN... --out DIR.

RUN: folders of `mbmrl train`, one per seed, of meta policy search or of policy search in models.
DIR gets curves.csv, a row per run and iteration, and curves.png (thin: runs; thick: their mean).
To draw again what is in DIR/curves.csv: python benchmarks/curves.py --again ALGORITHM --out DIR.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mbmrl_ros.reports.run import Metrics, read_identity, read_metrics
from mbmrl_ros.reports.styles import style_of


class Curves(NamedTuple):
    """What is shown of a kind of run, as far as it has it.

    lines: column, line, label; the first one is what is learned for. bar: which return of it the
    summary says the time of. seconds: columns that make up an iteration.
    """

    lines: tuple[tuple[str, str, str], ...]
    columns: tuple[str, ...]
    bar: float
    smoothed: int
    seconds: tuple[str, ...]


META = Curves(
    (('return_after', '-', 'after one step of adaptation'), ('return_before', '--', 'before')),
    ('std', 'kl_before', 'physics_s', 'policy_s', 'update_s', 'iteration_s'),
    200.0,
    10,
    ('iteration_s',),
)
SEARCH = Curves(
    (
        ('return_policy', '-', 'by means of the policy, real rollouts that are not learned from'),
        ('return_mean', '--', 'of the rollouts that were collected'),
        ('imagined_return', ':', 'imagined'),
    ),
    ('error_on_new_data', 'std', 'collect_s', 'fit_s', 'improve_s'),
    500.0,
    1,
    ('collect_s', 'fit_s', 'improve_s'),
)


def main() -> None:
    """Write the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('runs', type=Path, nargs='*', metavar='RUN')
    parser.add_argument('--again', metavar='ALGORITHM')
    parser.add_argument('--out', type=Path, required=True)
    options = parser.parse_args()
    if not (options.runs or options.again):
        parser.error('name RUN folders, or --again ALGORITHM')
    options.out.mkdir(parents=True, exist_ok=True)
    table = options.out / 'curves.csv'
    if options.again:
        algorithm, runs = options.again, read_table(table)
    else:
        algorithm = str(read_identity(options.runs[0])['algorithm'])
        runs = {seed_of(folder): read_metrics(folder) for folder in options.runs}
    kind = META if all('return_after' in metrics for metrics in runs.values()) else SEARCH
    has = set.intersection(*(set(metrics) for metrics in runs.values()))
    kind = kind._replace(
        lines=tuple(line for line in kind.lines if line[0] in has),
        columns=tuple(name for name in kind.columns if name in has),
    )
    columns = ('environment_steps', *(line[0] for line in kind.lines), *kind.columns)
    if not options.again:
        write_table(table, runs, columns)
    draw(runs, kind, style_of(algorithm).colour).savefig(
        options.out / 'curves.png', dpi=110, bbox_inches='tight'
    )
    for seed, metrics in runs.items():
        print(f'seed {seed}: {summary(metrics, kind)}')


def write_table(path: Path, runs: dict[int, Metrics], columns: tuple[str, ...]) -> None:
    """Write a row per run and iteration."""
    with path.open('w', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(('seed', *columns))
        for seed, metrics in runs.items():
            for row in zip(*(metrics[name] for name in columns)):
                writer.writerow((seed, *(f'{value:.6g}' for value in row)))


def read_table(path: Path) -> dict[int, Metrics]:
    """Return what was written, by seed."""
    with path.open(newline='') as file:
        head, *rows = csv.reader(file)
    numbers = np.array(rows, np.float64)
    return {
        int(seed): dict(zip(head, numbers[numbers[:, 0] == seed].T))
        for seed in dict.fromkeys(numbers[:, 0])
    }


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


def draw(runs: dict[int, Metrics], kind: Curves, colour: str) -> Figure:
    """Return the curves, all in the colour of the algorithm."""
    figure = Figure(figsize=(8, 3.6))
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
    for key, line, label in kind.lines:
        shortest = min(len(metrics[key]) for metrics in runs.values())
        for metrics in runs.values():
            axes.plot(
                metrics['environment_steps'], metrics[key], line, color=colour, lw=0.6, alpha=0.4
            )
        mean = np.mean([metrics[key][:shortest] for metrics in runs.values()], 0)
        steps = next(iter(runs.values()))['environment_steps'][:shortest]
        axes.plot(steps, mean, line, color=colour, lw=1.8, label=label)
    axes.set(xlabel='control steps', ylabel='return of an episode')
    axes.legend(frameon=False, fontsize=9)
    return figure


if __name__ == '__main__':
    main()
