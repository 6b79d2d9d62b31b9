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
from scipy import stats

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
Results = dict[str, dict[str, list[dict[str, Any]]]]
"""method -> test -> what mbmrl evaluate measured, one entry per training seed."""


def main() -> None:
    """Write tables.md, learning_curves.png and returns.png beside the files."""
    folder = Path(sys.argv[1])
    seeds = sorted(path for path in folder.glob('seed*') if path.is_dir())
    results: Results = {
        method: {test: list(_read(seeds, method, test)) for test in TESTS} for method in ALL
    }
    lines = [*_returns_table(results), '', *_seeds_table(results, seeds), '', *_losses(results)]
    (folder / 'tables.md').write_text('\n'.join(lines) + '\n')
    _learning_curves(folder, seeds)
    _returns_figure(folder, results)
    print((folder / 'tables.md').read_text())


def _read(seeds: list[Path], method: str, test: str) -> Iterator[dict[str, Any]]:
    for seed in seeds:
        path = seed / f'{method}_{test}.json'
        if path.exists():
            yield json.loads(path.read_text())['tests'][test]


def ratio_interval(
    first: list[list[float]], second: list[list[float]]
) -> tuple[float, float, float]:
    """Return the ratio of the means over training seeds, and a bootstrap 95 % interval.

    first, second: returns by training seed, of which both have the same. Drawn again are seeds,
    in pairs, since both methods share most of a seed's data, and episodes within every seed.
    """
    rng = np.random.default_rng(0)
    pairs = [(np.array(a), np.array(b)) for a, b in zip(first, second)]
    ratios = []
    for _ in range(10_000):
        chosen = [pairs[i] for i in rng.integers(len(pairs), size=len(pairs))]
        sums = [sum(rng.choice(pair[k], len(pair[k])).mean() for pair in chosen) for k in (0, 1)]
        ratios.append(sums[0] / sums[1])
    low, high = np.percentile(ratios, [2.5, 97.5])
    means = [np.mean([pair[k].mean() for pair in pairs]) for k in (0, 1)]
    return float(means[0] / means[1]), float(low), float(high)


def _interval(values: np.ndarray) -> str:
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return f'{values.mean():.0f} +- {half:.0f}'


def _parts(test: str) -> list[tuple[str, str]]:
    parts = [('', 'all')]
    return parts + [('_before', 'before failure'), ('_after', 'after failure')] * (
        test == 'mid_run'
    )


def _returns_table(results: Results) -> list[str]:
    """All episodes of all training seeds together."""
    names = ' | '.join(ALL.values())
    lines = [f'| test | part | {names} | GrBAL / MB (95 %) | ReBAL / MB (95 %) |']
    lines.append('|---' * (4 + len(ALL)) + '|')
    for test in TESTS:
        for suffix, label in _parts(test):
            groups = {m: [row[f'returns{suffix}'] for row in results[m][test]] for m in ALL}
            cells = [_interval(np.concatenate(g)) if g else 'not run' for g in groups.values()]
            ratios = [_ratio(groups[method], groups['mb']) for method in ('grbal', 'rebal')]
            lines.append(f'| {test} | {label} | {" | ".join(cells + ratios)} |')
    return lines


def _ratio(first: list[list[float]], second: list[list[float]]) -> str:
    if not first or not second:
        return 'not run'
    value, low, high = ratio_interval(first, second)
    return f'{value:.2f} ({low:.2f} to {high:.2f})'


def _seeds_table(results: Results, seeds: list[Path]) -> list[str]:
    """Means of every training seed."""
    lines = [f'| test | training seed | {" | ".join(ALL.values())} | GrBAL / MB | ReBAL / MB |']
    lines.append('|---' * (4 + len(ALL)) + '|')
    for test in TESTS:
        for place, seed in enumerate(seeds):
            rows = {m: results[m][test][place : place + 1] for m in ALL}
            cells = [f'{row[0]["mean"]:.0f}' if row else 'not run' for row in rows.values()]
            for method in ('grbal', 'rebal'):
                both = rows['mb'] and rows[method]
                ratio = rows[method][0]['mean'] / rows['mb'][0]['mean'] if both else np.nan
                cells.append(f'{ratio:.2f}' if both else '-')
            name = seed.name.removeprefix('seed')
            lines.append(f'| {test} | {name} | {" | ".join(cells)} |')
    return lines


def _losses(results: Results) -> list[str]:
    lines = ['| test | method | loss before | loss after | ratio | from step 333 on |']
    lines.append('|---|---|---|---|---|---|')
    for test in TESTS:
        for method in ('mb_de', 'grbal', 'rebal'):
            rows = results[method][test]
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
    figure = Figure(figsize=(9, 3.4))
    axes = figure.subplots()
    for offset, (key, label) in enumerate(ALL.items()):
        for place, test in enumerate(TESTS):
            groups = [row['returns'] for row in results[key][test]]
            if not groups:
                continue
            returns = np.concatenate(groups)
            x = place + 0.2 * (offset - 1.5)
            half = stats.t.ppf(0.975, len(returns) - 1) * stats.sem(returns)
            axes.bar(x, returns.mean(), 0.18, color=COLOURS[key], label='' if place else label)
            axes.errorbar(x, returns.mean(), half, color='black', capsize=3, lw=1)
            axes.plot(np.full(len(returns), x), returns, 'k.', ms=3, alpha=0.4)
    axes.set_xticks(range(len(TESTS)), TESTS)
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
