# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Figures and tables of the studies of model-based policy search."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes

from mbmrl_ros.experiments.columns import interval, rows_table
from mbmrl_ros.experiments.search_studies import ARMS
from mbmrl_ros.experiments.study_plots import (
    Arm,
    Drawn,
    Tasks,
    difference,
    panels,
    stacked,
)
from mbmrl_ros.reports.styles import style_of


def search_curves(tasks: Tasks) -> Drawn:
    """Return against real steps; thin lines are seeds, thick ones their mean."""
    plot, places = panels(len(tasks), 7.0)
    rows = []
    for axes, (task, arms) in zip(places, tasks.items()):
        for arm in arms:
            _draw_seeds(axes, arm, 'returned', arm.label, arm.style.line)
            rows.append(
                {
                    'task': task,
                    'algorithm': arm.label,
                    'real steps': f'{_last(arm):.0f}',
                    'return after the steps of the first': _known(arm, 'at_budget'),
                    'return at the end': interval(arm.values('end')),
                    "minus the first's": difference(arm, arms[0], 'end'),
                    'minutes': interval(arm.values('minutes'), digits=1),
                }
            )
        if max(map(_last, arms)) > 2 * min(map(_last, arms)):
            axes.set_xscale('log')
        axes.set(title=task, xlabel='real control steps', ylabel='return by mean actions')
        axes.legend(frameon=False, fontsize=8)
    return plot, rows_table(rows)


def biases(tasks: Tasks) -> Drawn:
    """Return at the end against the bias of the models; dots are seeds."""
    plot, places = panels(len(tasks), 6.0)
    rows = []
    for axes, (task, arms) in zip(places, tasks.items()):
        by_algorithm: dict[str, dict[float, Arm]] = {}
        for arm in sorted(arms, key=lambda arm: ARMS[arm.name].bias):
            made = ARMS[arm.name]
            by_algorithm.setdefault(made.algorithm, {})[made.bias] = arm
        first = next(iter(by_algorithm.values()))
        for algorithm, own in by_algorithm.items():
            label, (colour, line) = ARMS[algorithm].label, style_of(algorithm)
            ends = [[result['end'] for result in arm.results.values()] for arm in own.values()]
            for bias, each in zip(own, ends):
                axes.plot([bias] * len(each), each, '.', color=colour, alpha=0.6)
            axes.plot(list(own), [np.mean(each) for each in ends], line, color=colour,
                      label=label)  # fmt: skip
            rows += [
                {
                    'task': task,
                    'algorithm': label,
                    'bias': f'{bias:g}',
                    'return at the end': interval(arm.values('end')),
                    "minus the first algorithm's": difference(arm, first.get(bias), 'end'),
                    'in the models': interval(arm.values('imagined_end')),
                }
                for bias, arm in own.items()
            ]
        axes.set(title=task, xlabel='bias of the models, standard deviations of a change',
                 ylabel='return by mean actions')  # fmt: skip
        axes.legend(frameon=False)
    return plot, rows_table(rows)


def expected(tasks: Tasks) -> Drawn:
    """What policies earn (lines), and what the models said that they would (dashed)."""
    (task, arms), *_ = tasks.items()
    plot, places = panels(len(arms), 3.6)
    rows = []
    for axes, arm in zip(places, arms):
        _draw_seeds(axes, arm, 'returned', 'real')
        _draw_seeds(axes, arm, 'imagined', 'imagined', '--')
        axes.set(title=arm.label, xlabel='real control steps')
        axes.legend(frameon=False, fontsize=8)
        rows.append(
            {
                'task': task,
                'algorithm': arm.label,
                'return at the end': interval(arm.values('end')),
                'imagined': interval(arm.values('imagined_end')),
                "minus the first's": difference(arm, arms[0], 'end'),
                'minutes': interval(arm.values('minutes'), digits=1),
            }
        )
    places[0].set(ylabel='return')
    low, high = zip(*(axes.get_ylim() for axes in places))
    for axes in places:
        axes.set_ylim(min(low), max(high))
    return plot, rows_table(rows)


def _known(arm: Arm, key: str) -> str:
    """Return a number that not all results have; a dash where none has."""
    found = {seed: [x] for seed, (x,) in arm.values(key).items() if x is not None}
    return interval(found) if found else '-'


def _last(arm: Arm) -> float:
    """Return how many real steps were made."""
    return arm.mean('steps')[-1]


def _draw_seeds(axes: Axes, arm: Arm, key: str, label: str, style: str = '-') -> None:
    for result in arm.results.values():
        axes.plot(result['steps'], result[key], style, color=arm.colour, lw=0.5, alpha=0.5)
    mean = arm.mean(key)
    axes.plot(arm.mean('steps')[: len(mean)], mean, style, color=arm.colour, lw=2, label=label)


def gradient_error(tasks: Tasks) -> Drawn:
    """Relative error of the gradient against the steps of the actor's path."""
    (arms,) = tasks.values()
    plot, (axes,) = panels(1, 6.0)
    rows = []
    for arm in arms:
        horizons, errors = arm.mean('horizons'), np.array(arm.mean('error'))
        for result in arm.results.values():
            axes.plot(horizons, result['error'], color=arm.colour, lw=0.5, alpha=0.5)
        axes.plot(horizons, errors, arm.style.line, marker='o', ms=3, color=arm.colour, lw=2,
                  label=arm.label)  # fmt: skip
        best = int(errors.argmin())
        rows.append(
            {'what is learned': arm.label, 'T of the smallest mean error': f'{horizons[best]:.0f}'}
            | {
                f'T = {horizons[place]:.0f}': interval(_at(arm, place), digits=2)
                for place in (0, len(errors) // 2, len(errors) - 1)
            }
            | {'smallest': interval(arm.values('smallest'), digits=2)}
        )
    axes.set(xlabel='steps T of the model', ylabel='relative L1 error', yscale='log')
    axes.set_xscale('symlog', linthresh=1)
    axes.set_xlim(left=-0.1)
    axes.legend(frameon=False, fontsize=8)
    return plot, rows_table(rows)


def _at(arm: Arm, place: int) -> dict[int, list[float]]:
    return {seed: [result['error'][place]] for seed, result in arm.results.items()}


def plasticity(tasks: Tasks) -> Drawn:
    """Maps of the first seed over the plane, and rank correlations of all."""
    (_, (arm, *_)), *_ = tasks.items()
    titles = {'std': 'std of the models', 'kl': 'KL, each to its model',
              'same_model': 'KL, all to one model'}  # fmt: skip
    plot, places = panels(len(titles), 3.8)
    first = arm.results[min(arm.results)]
    for axes, (key, title) in zip(places, titles.items()):
        values = np.array(first[key])
        side = round(len(values) ** 0.5)
        image = axes.imshow(values.reshape(side, side), origin='lower', extent=(-2, 2, -2, 2))
        axes.set_title(title)
        axes.grid(visible=False)
        plot.colorbar(image, ax=axes, shrink=0.8)
    rows = [
        {'rank correlation over the plane': title, 'mean': interval(arm.values(key), digits=2)}
        for title, key in (
            ('std of the models, KL of adapting to each', 'kl_correlation'),
            ('std of the models, KL of adapting to one', 'same_model_correlation'),
        )
    ]
    return plot, rows_table(rows)


def seconds(tasks: Tasks) -> Drawn:
    """Seconds of an iteration, by what they went into."""
    plot, places = panels(len(tasks), 5.0)
    parts = {'collect_s': 'real steps', 'fit_s': 'fit', 'improve_s': 'actor and critics'}
    rows = []
    for axes, (task, arms) in zip(places, tasks.items()):
        stacked(axes, arms, parts, task)
        rows += [
            {'task': task, 'algorithm': arm.label, 'real steps': interval(arm.values('steps'))}
            | {f'{label}, s': interval(arm.values(key)) for key, label in parts.items()}
            | {'all, s': interval(arm.values('total_s'))}
            for arm in arms
        ]
    return plot, rows_table(rows)


DRAW: dict[str, Callable[[Tasks], Drawn]] = {
    'search_curves': search_curves,
    'biases': biases,
    'expected': expected,
    'gradient_error': gradient_error,
    'plasticity': plasticity,
    'seconds': seconds,
}
