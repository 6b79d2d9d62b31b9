# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tables and figures from the files of millirobot.sh: python benchmarks/millirobot.py FOLDER.

FOLDER/seed<n>/**/<method>_<shape>.json: episodes of the model of training seed n. Costs are per
step, as those of Table 2 of the thesis: minus the return, divided by the steps.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mbmrl_ros.envs.path_tasks import GROUNDS, HARD, UNSEEN
from mbmrl_ros.experiments.columns import LEGEND, interval, ratio, table
from mbmrl_ros.experiments.plots import LEGEND as SPREADS
from mbmrl_ros.experiments.plots import draw_spread
from mbmrl_ros.experiments.statistics import estimate
from mbmrl_ros.experiments.studies import METHODS
from mbmrl_ros.reports.page import png
from mbmrl_ros.reports.styles import style_of

ALL = {name: METHODS[name].label for name in ('mb', 'mb_de', 'grbal', 'rebal')}
SHAPES = ('straight', 'left', 'right', 'zig_zag')
KNOWN = tuple(ground.target for ground in GROUNDS)
TESTS = (*KNOWN, *UNSEEN, 'mid_run')
Values = dict[str, dict[str, dict[int, np.ndarray]]]
"""method -> test -> training seed -> values, the first axis by shape; what was not run is missing.

Of costs: [4, episodes] per step. Of losses: [4, 2] before and after adaptation.
"""


def main() -> None:
    """Write tables.md and hard.png; of mild faults, where they were measured, costs.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path, help='of what was measured')
    folder = parser.parse_args().folder
    seeds = sorted(folder.glob('seed*'))
    costs, losses = read(seeds, _cost), read(seeds, _loss)
    known = float(np.mean([_mean(costs, 'mb', test) for test in KNOWN]))
    lines = []
    measured = tuple(test for test in TESTS if costs['mb'][test])
    for tests in (measured, tuple(HARD)):
        lines += [*_ratios(costs, tests, known), '', LEGEND, '', *_shapes(costs, tests), '']
        lines += [*_losses(losses, tests), '']
    (folder / 'tables.md').write_text('\n'.join(lines[:-1]) + '\n')
    dotted = {'title': 'left of the line: known grounds', 'line': len(KNOWN) - 0.5}
    mild = tuple(test for test in measured if test not in KNOWN)
    if mild:
        (folder / 'costs.png').write_bytes(png(_figure(costs, measured, **dotted)))
    (folder / 'hard.png').write_bytes(png(_figure(costs, (*KNOWN, *HARD), **dotted)))
    print('\n'.join(lines))


def read(seeds: list[Path], value: Callable[[dict], list[float]]) -> Values:
    """Read one value of every episode that was measured, where all shapes were."""
    values: Values = {m: {t: {} for t in (*TESTS, *HARD)} for m in ALL}
    for seed in seeds:
        for method in ALL:
            by_shape = [_tests(seed, method, shape) for shape in SHAPES]
            for test in (*TESTS, *HARD):
                if all(test in tests for tests in by_shape):
                    rows = [value(tests[test]) for tests in by_shape]
                    values[method][test][int(seed.name.removeprefix('seed'))] = np.array(rows)
    return values


def _tests(seed: Path, method: str, shape: str) -> dict[str, dict]:
    found = {}
    for path in sorted(seed.rglob(f'{method}_{shape}.json')):
        found |= json.loads(path.read_text())['tests']
    return found


def _cost(row: dict) -> list[float]:
    """Return minus the return per step that an episode went on for.

    One that ended early cost nothing any more: over all steps it would pass for a good one.
    """
    steps = row.get('steps_done') or [row['steps']] * len(row['returns'])
    return [-value / max(done, 1) for value, done in zip(row['returns'], steps)]


def _loss(row: dict) -> list[float]:
    return [row['loss_before'], row['loss_after']]


def _mean(costs: Values, method: str, test: str) -> float:
    return float(np.mean(list(costs[method][test].values())))


def _cell(costs: Values, method: str, test: str) -> str:
    groups = _by_seed(costs, method, test)
    return interval(groups, digits=2) if groups else 'not run'


def _by_seed(costs: Values, method: str, test: str) -> dict[int, list[float]]:
    """Return a cost per episode, the mean of the four shapes."""
    return {seed: shapes.mean(0).tolist() for seed, shapes in costs[method][test].items()}


def _ratio(costs: Values, method: str, test: str) -> str:
    first, second = _by_seed(costs, method, test), _by_seed(costs, 'mb', test)
    return ratio(first, second) if first.keys() & second.keys() else 'not run'


def _ratios(costs: Values, tests: tuple[str, ...], known: float) -> list[str]:
    methods = _measured(costs, tests)
    ratios = [method for method in methods if method != 'mb']
    head = [ALL[m] for m in methods] + ['MB / known'] + [f'{ALL[m]} / MB' for m in ratios]
    rows = []
    for test in tests:
        cells = [_cell(costs, method, test) for method in methods]
        cells += [f'{_mean(costs, "mb", test) / known:.2f}' if costs['mb'][test] else '']
        rows.append([test, *cells, *(_ratio(costs, method, test) for method in ratios)])
    return table(['test', *head], rows)


def _measured(values: Values, tests: tuple[str, ...]) -> list[str]:
    return [method for method in ALL if any(values[method][test] for test in tests)]


def _shapes(costs: Values, tests: tuple[str, ...]) -> list[str]:
    methods = _measured(costs, tests)
    rows = []
    for test in tests:
        groups = [list(costs[method][test].values()) for method in methods]
        means = [np.mean(group, (0, 2)) if group else np.full(4, np.nan) for group in groups]
        rows.append([test, *(' / '.join(f'{v:.2f}' for v in column) for column in zip(*means))])
    return table([f'test: {" / ".join(ALL[m] for m in methods)}', *SHAPES], rows)


def _losses(losses: Values, tests: tuple[str, ...]) -> list[str]:
    """Every method on what it drove itself: the trajectories differ."""
    methods = [method for method in _measured(losses, tests) if method != 'mb']
    head = ['MB'] + [f'{ALL[method]} {when}' for method in methods for when in ('before', 'after')]
    rows = []
    for test in tests:
        pairs = [np.mean(list(losses[m][test].values()) or [[[np.nan] * 2]], (0, 1))
                 for m in ('mb', *methods)]  # fmt: skip
        rows.append([test, *(f'{value:.3f}' for value in np.concatenate(pairs)[1:])])
    return table(['test', *head], rows)


def _figure(costs: Values, tests: tuple[str, ...], title: str, line: float) -> Figure:
    figure = Figure(figsize=(11, 3.6))
    axes = figure.subplots()
    methods = _measured(costs, tests)
    for offset, method in enumerate(methods):
        x, means = [], []
        for place, test in enumerate(tests):
            groups = _by_seed(costs, method, test)
            if groups:
                x.append(place + 0.8 * ((offset + 0.5) / len(methods) - 0.5))
                found = estimate(groups)
                means.append(found.mean)
                draw_spread(axes, x[-1], found)
        width = 0.75 / len(methods)
        axes.bar(x, means, width, color=style_of(method).colour, label=ALL[method])
    axes.axvline(line, color='black', lw=0.8, ls=':')
    names = [test.replace('_', '\n') for test in tests]
    axes.set_xticks(range(len(tests)), names)
    axes.set(ylabel='cost per step, mean of four shapes', title=f'{title}; {SPREADS}')
    axes.title.set_fontsize(8)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False)
    figure.tight_layout()
    return figure


if __name__ == '__main__':
    main()
