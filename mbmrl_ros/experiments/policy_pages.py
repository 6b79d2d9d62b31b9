# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Figures and tables of the studies of meta policy search.

What is drawn about a mean is its 95 % t-interval over training seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot

from mbmrl_ros.envs.point_tasks import CORNERS
from mbmrl_ros.evaluation.episodes import interval95
from mbmrl_ros.experiments.columns import interval, rows_table
from mbmrl_ros.experiments.study_plots import (
    Arm,
    Drawn,
    Tasks,
    difference,
    panels,
    stacked,
    tidy,
)
from mbmrl_ros.reports.styles import PARTS, style_of
from mbmrl_ros.types import Array


def curves(tasks: Tasks) -> Drawn:
    """Learning curves: thin lines are seeds, thick ones their mean."""
    plot, places = panels(len(tasks), 6.0)
    rows = []
    for axes, (task, arms) in zip(places, tasks.items()):
        base = next((arm for arm in arms if arm.name == 'promp'), None)
        for arm in arms:
            for result in arm.results.values():
                axes.plot(result['steps'], result['after'], color=arm.colour, lw=0.5, alpha=0.5)
            after = arm.mean('after')
            axes.plot(arm.mean('steps')[: len(after)], after, arm.style.line, color=arm.colour,
                      lw=2, label=arm.label)  # fmt: skip
            gain = {
                seed: [result['end'] - result['end_before']]
                for seed, result in arm.results.items()
            }
            rows.append(
                {
                    'task': task,
                    'algorithm': arm.label,
                    'mean return over all steps': interval(arm.values('area')),
                    "minus ProMP's": difference(arm, base, 'area'),
                    'return at the end': interval(arm.values('end')),
                    'gain by adaptation at the end': interval(gain),
                }
            )
        axes.set(title=task, xlabel='control steps', ylabel='return after adaptation')
        axes.legend(frameon=False, fontsize=8)
    return plot, rows_table(rows)


def adaptation(tasks: Tasks) -> Drawn:
    """Return against inner steps, on goals of training and from outside.

    Who is shown the goal has nothing to adapt to, and is a line.
    """
    settings = {'training': 'goals of training', 'held_out': 'goals from outside'}
    plot, places = panels(len(tasks) * len(settings), 4.8)
    rows = []
    spare = iter(places)
    for task, arms in tasks.items():
        for key, title in settings.items():
            axes = next(spare)
            for offset, arm in enumerate(arms):
                returns = np.array([result[key] for result in arm.results.values()])
                knows = arm.name == 'oracle'
                _draw_steps(axes, arm, returns[:, :1] if knows else returns, 0.05 * offset)
                row = {'task': task, 'goals': title, 'method': arm.label}
                for step in (0, 1, returns.shape[1] - 1):
                    head = f'after {step} step{"s" * (step != 1)}'
                    known = {s: [r[key][step]] for s, r in arm.results.items()}
                    row[head] = '-' if knows and step else interval(known)
                rows.append(row)
            axes.set(title=f'{task}: {title}', xlabel='inner steps', ylabel='return')
            axes.legend(frameon=False, fontsize=8)
    return plot, rows_table(rows)


def _draw_steps(axes: Axes, arm: Arm, returns: Array, offset: float) -> None:
    """Draw means over seeds of returns [seeds, steps], or one of them as a line."""
    means, halves = np.array([interval95(column) for column in returns.T]).T
    style: dict[str, Any] = {'color': arm.colour, 'ls': arm.style.line, 'label': arm.label}
    if len(means) == 1:
        axes.axhline(means[0], **style)
        return
    at = np.arange(len(means)) + offset
    axes.errorbar(at, means, np.nan_to_num(halves), capsize=2, marker='o', ms=3, **style)


def exploration(tasks: Tasks) -> Drawn:
    """Paths of the first seed before (above) and after (below) adaptation, a colour per corner."""
    (_, arms), *_ = tasks.items()
    plot = Plot(figsize=(3.4 * len(arms), 6.8))
    places = plot.subplots(2, len(arms), squeeze=False)
    for column, arm in enumerate(arms):
        first = arm.results[min(arm.results)]
        for row, key in enumerate(('before', 'after')):
            axes = places[row][column]
            for corner, paths, colour in zip(CORNERS, first[key], PARTS):
                for path in paths:
                    axes.plot(*np.array(path).T, color=colour, lw=0.8, alpha=0.8)
                axes.plot(*corner, marker='o', ms=12, color=colour, alpha=0.5)
            axes.set(title=f'{arm.label}, {key}', xlim=(-4, 4), ylim=(-4, 4), aspect='equal')
    heads = {'corners_visited': 'corners that a path comes near before',
             'return_before': 'return before', 'return_after': 'return after',
             'distance': 'distance to the corner at the end',
             'at_goal': 'share of paths that end within 0.5'}  # fmt: skip
    return tidy(plot), rows_table(
        {'algorithm': arm.label}
        | {head: interval(arm.values(key), digits=2) for key, head in heads.items()}
        for arm in arms
    )


def time(tasks: Tasks) -> Drawn:
    """Seconds of an iteration, by what they went into."""
    plot, places = panels(len(tasks), 5.0)
    parts = {'physics_s': 'physics', 'policy_s': 'policy', 'update_s': 'update'}
    rows = []
    for axes, (task, arms) in zip(places, tasks.items()):
        stacked(axes, arms, parts, task)
        for arm in arms:
            share = {s: [r['update_s'] / r['physics_s']] for s, r in arm.results.items()}
            rows.append(
                {'task': task, 'algorithm': arm.label}
                | {f'{label}, s': interval(arm.values(key)) for key, label in parts.items()}
                | {'update / physics': interval(share)}
            )
    return plot, rows_table(rows)


def variance(tasks: Tasks) -> Drawn:
    """Relative standard deviations over a training, and DiCE's over LVC's."""
    plot, places = panels(len(tasks), 4.8)
    labels = {'lvc': 'LVC', 'dice': 'DiCE', 'maml': 'log-likelihood (MAML)'}
    rows = []
    for axes, (task, (arm, *_)) in zip(places, tasks.items()):
        for key, label in labels.items():
            axes.plot(arm.mean('iterations'), arm.mean(key), marker='o',
                      color=style_of(key).colour, label=label)  # fmt: skip
        axes.set(title=task, xlabel='iteration of LVC-VPG', ylim=(0, None),
                 ylabel='relative std of the meta-gradient')  # fmt: skip
        axes.legend(frameon=False, fontsize=8)
        row = {'task': task}
        for key, label in labels.items():
            row[label] = interval({s: [_mean(r[key])] for s, r in arm.results.items()})
        for key in ('dice', 'maml'):
            over = {s: [_mean(r[key]) / _mean(r['lvc'])] for s, r in arm.results.items()}
            row[f'{labels[key]} / LVC'] = interval(over)
        rows.append(row)
    return plot, rows_table(rows)


def _mean(values: list[float | None]) -> float:
    return float(np.array(values, np.float64).mean())


def toy(tasks: Tasks) -> Drawn:
    """Where meta-gradients lead (lines: seeds), and their bias and spread at the beginning."""
    (arms,) = tasks.values()
    plot, places = panels(len(arms), 3.4)
    rows = []
    for axes, arm in zip(places, arms):
        for result in arm.results.values():
            axes.plot(*np.array(result['path'], np.float64).T, color=arm.colour, lw=1)
        closed = np.array(next(iter(arm.results.values()))['closed_path'])
        axes.plot(*closed.T, color='black', ls='--', lw=1.5)
        # A path that leaves has left for good.
        axes.set(title=arm.label, xlabel='theta 0', ylabel='theta 1', xlim=(-0.15, 0.45),
                 ylim=(-0.15, 0.45))  # fmt: skip
        for rollouts in next(iter(arm.results.values()))['gradients']:
            rows.append(_toy_row(arm, rollouts))
    return plot, rows_table(sorted(rows, key=lambda row: int(row['paths of a task'])))


def _toy_row(arm: Arm, rollouts: str) -> dict[str, str]:
    found = {seed: result['gradients'][rollouts] for seed, result in arm.results.items()}
    exact = np.array(next(iter(arm.results.values()))['exact'])
    size = float(np.linalg.norm(exact))
    along = {s: [float(np.dot(g['mean'], exact)) / size**2] for s, g in found.items()}
    bias = np.mean([g['mean'] for g in found.values()], 0) - exact
    return {
        'paths of a task': rollouts,
        'estimator': arm.label,
        'mean along the true meta-gradient (1: unbiased)': interval(along, digits=2),
        'size of the bias / of the gradient': f'{np.linalg.norm(bias) / size:.2f}',
        'relative std of one batch': interval({s: [g['relative_std']] for s, g in found.items()}),
    }


DRAW: dict[str, Callable[[Tasks], Drawn]] = {
    'curves': curves,
    'adaptation': adaptation,
    'exploration': exploration,
    'time': time,
    'variance': variance,
    'toy': toy,
}
