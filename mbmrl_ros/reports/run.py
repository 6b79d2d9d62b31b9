# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl report RUN`: the curves of a training run on one page."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mbmrl_ros.bundles.files import FORMER_METRICS
from mbmrl_ros.config import UserError, read_yaml
from mbmrl_ros.reports.page import Page, Section, settings_section, write_page
from mbmrl_ros.system.outputs import check_file
from mbmrl_ros.types import Array

Metrics = dict[str, Array]


def write_run_report(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a run folder; UserError if it holds no finished iteration."""
    metrics = read_metrics(folder)
    out = out or folder / 'report.html'
    check_file(out)
    identity = json.loads((folder / 'run.json').read_text())
    name = f'{identity["algorithm"]} on {identity["task"]}'
    hours = float(np.sum(metrics['collect_s'] + metrics['fit_s'])) / 3600
    steps = metrics['environment_steps'][-1]
    page = Page(
        f'Training: {name}, seed {identity["seed"]}',
        [
            f'{len(metrics["iteration"])} iterations, {steps:.0f} control steps, {hours:.2f} h. '
            f'{_endings(metrics)}'
        ],
        [
            Section(
                'Return against data',
                'Return of the rollouts of each iteration, under the disturbances of training: '
                'mean, and one standard deviation over the rollouts of this one training (no '
                'interval). A rollout that ended early earns nothing later.',
                figure=_figure(metrics, _draw_return),
            ),
            Section(
                'Loss on validation trajectories',
                'Mean squared error of normalised changes of the state, on the next steps (after '
                'adaptation, where the algorithm adapts). Data and statistics change between '
                'iterations, so the curve need not fall.',
                figure=_figure(metrics, _draw_losses),
            ),
            *_step_sizes(metrics),
            Section('Time per iteration', figure=_figure(metrics, _draw_durations)),
            settings_section('Configuration', read_yaml(folder / 'config.yaml')),
        ],
    )
    return write_page(out, page)


def _endings(metrics: Metrics) -> str:
    """Return how many rollouts ended early, as far as that was counted."""
    if 'ended_early' not in metrics:
        return 'How many rollouts ended early was not counted.'
    return f'{np.nansum(metrics["ended_early"]):.0f} rollouts ended early.'


def read_metrics(folder: Path) -> Metrics:
    """Read metrics.csv as columns; UserError if there is none."""
    path = folder / 'metrics.csv'
    try:
        with path.open(newline='') as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UserError(
            f'{folder} is not a run folder with a finished iteration: {path.name} is missing'
        ) from error
    if not rows:
        raise UserError(f'{path} has no rows yet')
    # Empty: of a version that did not measure it.
    return {
        FORMER_METRICS.get(key, key): np.array([float(row[key] or 'nan') for row in rows])
        for key in rows[0]
    }


def _figure(metrics: Metrics, draw: Callable[[Axes, Metrics], None]) -> Figure:
    figure = Figure(figsize=(8, 3.4))
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
    draw(axes, metrics)
    return figure


def _draw_return(axes: Axes, metrics: Metrics) -> None:
    steps, mean = metrics['environment_steps'], metrics['return_mean']
    axes.fill_between(steps, mean - metrics['return_std'], mean + metrics['return_std'], alpha=0.2)
    axes.plot(steps, mean, marker='o')
    axes.set(xlabel='control steps', ylabel='return per rollout')


def _draw_losses(axes: Axes, metrics: Metrics) -> None:
    axes.plot(metrics['environment_steps'], metrics['training_loss'], label='training')
    axes.plot(metrics['environment_steps'], metrics['validation_loss'], label='validation')
    axes.set(xlabel='control steps', ylabel='loss', ylim=(0, None))
    axes.legend(frameon=False)


def _step_sizes(metrics: Metrics) -> list[Section]:
    if not any(key.startswith('step_size/') for key in metrics):
        return []
    text = 'Psi of Algorithm 9, one per weight and bias.'
    return [Section('Step sizes', text, figure=_figure(metrics, _draw_step_sizes))]


def _draw_step_sizes(axes: Axes, metrics: Metrics) -> None:
    for key in metrics:
        if key.startswith('step_size/'):
            style = '-' if 'weight' in key else ':'
            label = key.removeprefix('step_size/')
            axes.plot(metrics['iteration'], metrics[key], style, label=label)
    axes.set(xlabel='iteration', ylabel='step size', yscale='log')
    axes.legend(frameon=False, ncols=4, fontsize=8)


def _draw_durations(axes: Axes, metrics: Metrics) -> None:
    axes.bar(metrics['iteration'], metrics['collect_s'], label='collect')
    axes.bar(metrics['iteration'], metrics['fit_s'], bottom=metrics['collect_s'], label='fit')
    axes.set(xlabel='iteration', ylabel='seconds')
    axes.legend(frameon=False)
