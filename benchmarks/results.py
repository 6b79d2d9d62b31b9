# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tables and curves from the files of results.sh: python benchmarks/results.py FOLDER."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

METHODS = {'mb': 'MB', 'mb_de': 'MB+DE', 'grbal': 'GrBAL'}
TESTS = ('undisturbed', 'held_out', 'mid_run')
COLOURS = {'mb': '#8c6d31', 'mb_de': '#7b7b7b', 'grbal': '#1f6fb2'}


def main() -> None:
    """Write tables.md, learning_curves.png and returns.png beside the files."""
    folder = Path(sys.argv[1])
    results = {key: _read(folder, key) for key in METHODS}
    (folder / 'tables.md').write_text(_tables(results))
    _learning_curves(folder)
    _returns(folder, results)
    print((folder / 'tables.md').read_text())


def _read(folder: Path, method: str) -> dict[str, Any]:
    tests: dict[str, Any] = {}
    for test in TESTS:
        path = folder / f'{method}_{test}.json'
        if path.exists():
            tests |= json.loads(path.read_text())['tests']
    return tests


def ratio_interval(first: list[float], second: list[float]) -> tuple[float, float, float]:
    """Return the ratio of the means of independent samples and a bootstrap 95 % interval."""
    rng = np.random.default_rng(0)
    means = [rng.choice(values, (10_000, len(values))).mean(1) for values in (first, second)]
    low, high = np.percentile(means[0] / means[1], [2.5, 97.5])
    return float(np.mean(first) / np.mean(second)), float(low), float(high)


def _tables(results: dict[str, dict[str, Any]]) -> str:
    lines = [
        '| test | part | MB | MB+DE | GrBAL | GrBAL / MB (95 %) |',
        '|---|---|---|---|---|---|',
    ]
    for test in results['mb']:
        parts = [('', 'all')]
        parts += [('_before', 'before failure'), ('_after', 'after failure')] * (test == 'mid_run')
        for suffix, label in parts:
            cells = [
                f'{results[key][test][f"mean{suffix}"]:.0f} +- '
                f'{results[key][test][f"interval95{suffix}"]:.0f}'
                if test in results[key]
                else 'not run'
                for key in METHODS
            ]
            pair = [results[key][test][f'returns{suffix}'] for key in ('grbal', 'mb')]
            ratio, low, high = ratio_interval(*pair)
            lines.append(
                f'| {test} | {label} | {" | ".join(cells)} | '
                f'{ratio:.2f} ({low:.2f} to {high:.2f}) |'
            )
    lines += ['', '| test | method | loss before | loss after | ratio | from step 333 on |']
    lines += ['|---|---|---|---|---|---|']
    for test in results['mb']:
        for key, label in METHODS.items():
            if test not in results[key]:
                continue
            row = results[key][test]
            lines.append(
                f'| {test} | {label} | {row["loss_before"]:.4f} | {row["loss_after"]:.4f} | '
                f'{row["ratio"]:.3f} | {row["ratio_after_failure"]:.3f} |'
            )
    return '\n'.join(lines) + '\n'


def _learning_curves(folder: Path) -> None:
    figure = Figure(figsize=(9, 3.4))
    panels = figure.subplots(1, 2)
    for key in ('mb', 'grbal'):
        with (folder / f'{key}.csv').open(newline='') as file:
            rows = list(csv.DictReader(file))
        steps = [float(row['environment_steps']) for row in rows]
        for axes, name in zip(panels, ('return_mean', 'held_out_loss')):
            values = [float(row[name]) for row in rows]
            axes.plot(steps, values, marker='o', color=COLOURS[key], label=METHODS[key])
    panels[0].set(xlabel='control steps', ylabel='return per training rollout')
    panels[1].set(xlabel='control steps', ylabel='loss, held-out trajectories', ylim=(0, None))
    _save(figure, folder / 'learning_curves.png')


def _returns(folder: Path, results: dict[str, dict[str, Any]]) -> None:
    figure = Figure(figsize=(9, 3.4))
    axes = figure.subplots()
    tests = list(results['mb'])
    for offset, (key, label) in enumerate(METHODS.items()):
        for place, test in enumerate(tests):
            if test not in results[key]:
                continue
            returns = np.array(results[key][test]['returns'])
            x = place + 0.25 * (offset - 1)
            half = stats.t.ppf(0.975, len(returns) - 1) * stats.sem(returns)
            axes.bar(x, returns.mean(), 0.22, color=COLOURS[key], label=label if not place else '')
            axes.errorbar(x, returns.mean(), half, color='black', capsize=3, lw=1)
            axes.plot(np.full(len(returns), x), returns, 'k.', ms=3, alpha=0.5)
    axes.set_xticks(range(len(tests)), tests)
    axes.set(ylabel='return of 1000 steps')
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
