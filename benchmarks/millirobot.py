# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tables and a figure from the files of millirobot.sh: python benchmarks/millirobot.py FOLDER.

FOLDER/seed<n>/<method>_<shape>.json: episodes of the model of training seed n. Costs are per step,
as those of Table 2 of the thesis: minus the return, divided by the steps.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from results import COLOURS, METHODS, ratio_interval

from mbmrl_ros.envs.path_tasks import GROUNDS, UNSEEN
from mbmrl_ros.page import png
from mbmrl_ros.training.evaluate import interval95

SHAPES = ('straight', 'left', 'right', 'zig_zag')
KNOWN = tuple(ground.target for ground in GROUNDS)
TESTS = (*KNOWN, *UNSEEN, 'mid_run')
Costs = dict[str, dict[str, dict[str, list[list[float]]]]]
"""method -> shape -> test -> by training seed, cost per step of every episode."""
Losses = dict[str, dict[str, list[tuple[float, float]]]]
"""method -> test -> losses before and after adaptation, of all shapes and training seeds."""


def main() -> None:
    """Write tables.md and costs.png beside the files."""
    folder = Path(sys.argv[1])
    costs, losses = read(sorted(folder.glob('seed*')))
    lines = [*_ratios(costs), '', *_shapes(costs), '', *_losses(losses)]
    (folder / 'tables.md').write_text('\n'.join(lines) + '\n')
    (folder / 'costs.png').write_bytes(png(_figure(costs)))
    print('\n'.join(lines))


def read(seeds: list[Path]) -> tuple[Costs, Losses]:
    """Read what was measured, of the training seeds that have all of it."""
    costs: Costs = {m: {s: {t: [] for t in TESTS} for s in SHAPES} for m in METHODS}
    losses: Losses = {method: {test: [] for test in TESTS} for method in METHODS}
    for seed in seeds:
        paths = {(m, s): seed / f'{m}_{s}.json' for m in METHODS for s in SHAPES}
        if not all(path.exists() for path in paths.values()):
            print(f'{seed.name} is not complete and left out')
            continue
        for (method, shape), path in paths.items():
            tests = json.loads(path.read_text())['tests']
            for test in TESTS:
                row = tests[test]
                costs[method][shape][test].append([-r / row['steps'] for r in row['returns']])
                losses[method][test].append((row['loss_before'], row['loss_after']))
    return costs, losses


def over_shapes(costs: Costs, method: str, test: str) -> list[list[float]]:
    """Return, by training seed, the mean over the shapes of the first, the second... episode."""
    by_shape = [costs[method][shape][test] for shape in SHAPES]
    return np.mean(by_shape, 0).tolist() if by_shape[0] else []


def _cell(groups: list[list[float]]) -> str:
    mean, half = interval95(np.concatenate(groups))
    return f'{mean:.2f} +- {half:.2f}'


def _ratio(costs: Costs, method: str, test: str, shapes: tuple[str, ...] = SHAPES) -> str:
    pair = [np.mean([costs[m][s][test] for s in shapes], 0).tolist() for m in (method, 'mb')]
    value, low, high = ratio_interval(*pair)
    return f'{value:.2f} ({low:.2f} to {high:.2f})'


def _ratios(costs: Costs) -> list[str]:
    names = ' | '.join(METHODS.values())
    lines = [f'| test | {names} | GrBAL / MB (95 %) | MB+DE / MB (95 %) |', '|---' * 6 + '|']
    for test in TESTS:
        cells = [_cell(over_shapes(costs, method, test)) for method in METHODS]
        ratios = [_ratio(costs, method, test) for method in ('grbal', 'mb_de')]
        lines.append(f'| {test} | {" | ".join(cells + ratios)} |')
    return lines


def _shapes(costs: Costs) -> list[str]:
    lines = [f'| test | {" | ".join(SHAPES)} |', '|---' * 5 + '|']
    for test in TESTS:
        cells = []
        for shape in SHAPES:
            means = [np.mean(costs[method][shape][test]) for method in METHODS]
            cells.append(' / '.join(f'{mean:.2f}' for mean in means))
        lines.append(f'| {test} | {" | ".join(cells)} |')
    return lines


def _losses(losses: Losses) -> list[str]:
    lines = ['| test | MB | MB+DE | GrBAL before | GrBAL after | after / MB |', '|---' * 6 + '|']
    for test in TESTS:
        mb = np.mean([before for before, _ in losses['mb'][test]])
        mb_de = np.mean([after for _, after in losses['mb_de'][test]])
        before, after = np.mean(losses['grbal'][test], 0)
        cells = [f'{value:.3f}' for value in (mb, mb_de, before, after)]
        lines.append(f'| {test} | {" | ".join(cells)} | {after / mb:.2f} |')
    return lines


def _figure(costs: Costs) -> Figure:
    figure = Figure(figsize=(11, 3.6))
    axes = figure.subplots()
    for offset, (key, label) in enumerate(METHODS.items()):
        for place, test in enumerate(TESTS):
            mean, half = interval95(np.concatenate(over_shapes(costs, key, test)))
            x = place + 0.26 * (offset - 1)
            axes.bar(x, mean, 0.24, color=COLOURS[key], label='' if place else label)
            axes.errorbar(x, mean, half, color='black', capsize=3, lw=1)
    axes.axvline(len(KNOWN) - 0.5, color='black', lw=0.8, ls=':')
    axes.set_xticks(range(len(TESTS)), [test.replace('_', '\n') for test in TESTS])
    axes.set(ylabel='cost per step, mean of four shapes', title='left of the line: known grounds')
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False)
    figure.tight_layout()
    return figure


if __name__ == '__main__':
    main()
