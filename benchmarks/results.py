# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tables and curves from the files of results.sh: python benchmarks/results.py FOLDER.

FOLDER/seed<n>/<method>_<test>.json: episodes of the model of training seed n.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mbmrl_ros.experiments.columns import LEGEND, interval, ratio
from mbmrl_ros.experiments.plots import LEGEND as SPREADS
from mbmrl_ros.experiments.plots import draw_spread
from mbmrl_ros.experiments.statistics import estimate

METHODS = {
    'mb': 'MB',
    'mb_de': 'MB+DE',
    'grbal': 'GrBAL',
}
# Of the half-cheetah alone; the other benchmarks have the three above.
ALL = METHODS | {'rebal': 'ReBAL'}
TESTS = ('undisturbed', 'held_out', 'mid_run')
COLOURS = {
    'mb': '#8c6d31',
    'mb_de': '#7b7b7b',
    'grbal': '#1f6fb2',
    'rebal': '#3a923a',
}
Results = dict[str, dict[str, dict[int, dict[str, Any]]]]
"""method -> test -> training seed -> what mbmrl evaluate measured."""


def main() -> None:
    """Write tables.md, learning_curves.png and returns.png beside the files."""
    folder = Path(sys.argv[1])
    seeds = sorted(path for path in folder.glob('seed*') if path.is_dir())
    results: Results = {
        method: {test: dict(_read(seeds, method, test)) for test in TESTS} for method in ALL
    }
    lines = [*_returns_table(results), '', LEGEND, '', *_seeds_table(results, seeds), '']
    lines += _losses(results)
    (folder / 'tables.md').write_text('\n'.join(lines) + '\n')
    _learning_curves(folder, seeds)
    _returns_figure(folder, results)
    print((folder / 'tables.md').read_text())


def _read(seeds: list[Path], method: str, test: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for seed in seeds:
        path = seed / f'{method}_{test}.json'
        if path.exists():
            yield number_of(seed), json.loads(path.read_text())['tests'][test]


def number_of(seed: Path) -> int:
    """Return the training seed of a folder."""
    return int(seed.name.removeprefix('seed'))


def _parts(test: str) -> list[tuple[str, str]]:
    parts = [('', 'all')]
    return parts + [('_before', 'before failure'), ('_after', 'after failure')] * (
        test == 'mid_run'
    )


def _returns_table(results: Results) -> list[str]:
    """Means over training seeds."""
    names = ' | '.join(ALL.values())
    lines = [f'| test | part | {names} | GrBAL / MB | ReBAL / MB |']
    lines.append('|---' * (4 + len(ALL)) + '|')
    for test in TESTS:
        for suffix, label in _parts(test):
            groups = {
                method: {
                    seed: row[f'returns{suffix}'] for seed, row in results[method][test].items()
                }
                for method in ALL
            }
            cells = [interval(each) if each else 'not run' for each in groups.values()]
            for method in ('grbal', 'rebal'):
                both = groups[method] and groups['mb']
                cells.append(ratio(groups[method], groups['mb']) if both else 'not run')
            lines.append(f'| {test} | {label} | {" | ".join(cells)} |')
    return lines


def _values(rows: dict[int, dict[str, Any]], suffix: str = '') -> dict[int, list[float]]:
    return {seed: row[f'returns{suffix}'] for seed, row in rows.items()}


def _seeds_table(results: Results, seeds: list[Path]) -> list[str]:
    """Means of every training seed."""
    lines = [f'| test | training seed | {" | ".join(ALL.values())} | GrBAL / MB | ReBAL / MB |']
    lines.append('|---' * (4 + len(ALL)) + '|')
    for test in TESTS:
        for seed in map(number_of, seeds):
            rows = {method: results[method][test].get(seed) for method in ALL}
            cells = [f'{row["mean"]:.0f}' if row else 'not run' for row in rows.values()]
            for method in ('grbal', 'rebal'):
                one, mb = rows[method], rows['mb']
                cells.append(f'{one["mean"] / mb["mean"]:.2f}' if one and mb else '-')
            lines.append(f'| {test} | {seed} | {" | ".join(cells)} |')
    return lines


def _losses(results: Results) -> list[str]:
    lines = ['| test | method | loss before | loss after | ratio | from step 333 on |']
    lines.append('|---|---|---|---|---|---|')
    for test in TESTS:
        for method in ('mb_de', 'grbal', 'rebal'):
            rows = list(results[method][test].values())
            if not rows:
                continue
            keys = ('loss_before', 'loss_after')
            before, after = (float(np.mean([row[key] for row in rows])) for key in keys)
            late = [float(np.mean([row[f'{key}_after_failure'] for row in rows])) for key in keys]
            lines.append(
                f'| {test} | {ALL[method]} | {before:.4f} | {after:.4f} | '
                f'{after / before:.3f} | {late[1] / late[0]:.3f} |'
            )
    return lines


def _learning_curves(folder: Path, seeds: list[Path]) -> None:
    figure = Figure(figsize=(9, 3.4))
    panels = figure.subplots(1, 2)
    for key in ('mb', 'grbal'):
        for place, seed in enumerate(seeds):
            with (seed / f'{key}.csv').open(newline='') as file:
                rows = list(csv.DictReader(file))
            steps = [float(row['environment_steps']) for row in rows]
            for axes, name in zip(panels, ('return_mean', 'held_out_loss')):
                values = [float(row[name]) for row in rows]
                label = METHODS[key] if place == 0 else ''
                axes.plot(steps, values, marker='o', ms=3, color=COLOURS[key], label=label)
    panels[0].set(xlabel='control steps', ylabel='return per training rollout')
    panels[1].set(xlabel='control steps', ylabel='loss, held-out trajectories', ylim=(0, None))
    _save(figure, folder / 'learning_curves.png')


def _returns_figure(folder: Path, results: Results) -> None:
    figure = Figure(figsize=(9, 3.6))
    axes = figure.subplots()
    for offset, (key, label) in enumerate(ALL.items()):
        for place, test in enumerate(TESTS):
            groups = _values(results[key][test])
            if not groups:
                continue
            x = place + 0.2 * (offset - 1.5)
            found = estimate(groups)
            axes.bar(x, found.mean, 0.18, color=COLOURS[key], label='' if place else label)
            draw_spread(axes, x, found)
            values = np.concatenate(list(groups.values()))
            axes.plot(np.full(len(values), x), values, 'k.', ms=3, alpha=0.4)
    axes.set_xticks(range(len(TESTS)), TESTS)
    axes.set(ylabel='return of 1000 steps', title=f'dots: episodes; {SPREADS}')
    axes.title.set_fontsize(8)
    _save(figure, folder / 'returns.png')


def _save(figure: Figure, path: Path) -> None:
    for axes in figure.axes:
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
        axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == '__main__':
    main()
