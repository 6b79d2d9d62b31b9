# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl report RUN`: the curves of a training run on one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mbmrl_ros.bundles.files import FORMER_METRICS
from mbmrl_ros.config import UserError, read_yaml
from mbmrl_ros.reports.page import Page, Section, settings_section, write_page
from mbmrl_ros.system.outputs import check_file
from mbmrl_ros.training.run import read_rows
from mbmrl_ros.types import Array

Metrics = dict[str, Array]

# What a row says of where its time went.
DURATIONS = ('collect_s', 'fit_s', 'improve_s')
POLICY_DURATIONS = ('physics_s', 'policy_s', 'update_s')


def write_run_report(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a run folder; UserError if it holds no finished iteration."""
    metrics, identity = read_run(folder)
    out = out or folder / 'report.html'
    check_file(out)
    name = f'{identity["algorithm"]} on {identity["task"]}'
    of_policy, sections = 'return_after' in metrics, _sections(metrics)
    durations = [key for key in (POLICY_DURATIONS if of_policy else DURATIONS) if key in metrics]
    durations = durations or ['iteration_s']
    took = _duration(sum(float(np.nansum(metrics[key])) for key in durations))
    steps = metrics['environment_steps'][-1]
    count = len(metrics['iteration'])
    head = f'{count} iterations, {steps:.0f} control steps, {took}. '
    page = Page(
        f'Training: {name}, seed {identity["seed"]}',
        [head + ('' if of_policy else _endings(metrics))],
        [
            *sections,
            *_step_sizes(metrics),
            Section(
                'Time per iteration',
                figure=_figure(metrics, partial(_draw_durations, durations)),
            ),
            settings_section('Configuration', read_yaml(folder / 'config.yaml')),
        ],
    )
    return write_page(out, page)


def _duration(seconds: float) -> str:
    """Return a time in the unit that it is read in."""
    if seconds < 120:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.0f} minutes' if seconds < 7200 else f'{seconds / 3600:.1f} hours'


def _sections(metrics: Metrics) -> list[Section]:
    """Return what is shown of an algorithm, by what it measures."""
    if 'return_after' in metrics:
        return _policy_sections(metrics)
    return _search_sections(metrics) if 'return_policy' in metrics else _model_sections(metrics)


def _model_sections(metrics: Metrics) -> list[Section]:
    """Return what is shown of an algorithm that fits a model."""
    return [
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
    ]


def _policy_sections(metrics: Metrics) -> list[Section]:
    """Return what is shown of meta policy search."""
    return [
        Section(
            'Return before and after adaptation',
            'Mean return of a rollout over the tasks drawn in each iteration, with the policy as '
            'meta-learned and after its last adaptation to each task; one training, so there is '
            'no interval. What lies between the curves is gained by adapting where that after '
            'adaptation is the upper one, and else lost.',
            figure=_figure(metrics, _draw_adaptation),
        ),
        Section(
            'Standard deviation of actions',
            'In the unit of the policy, before and after adaptation. A policy that explores no '
            'more can no longer tell tasks apart.',
            figure=_figure(metrics, _draw_std),
        ),
    ]


def _search_sections(metrics: Metrics) -> list[Section]:
    """Return what is shown of an algorithm that learns one task, in models or without."""
    sections = [
        Section(
            'Return against real steps',
            'Of the mean actions of the policy, in rollouts that it does not learn from, and of '
            'those that it learns from; imagined: in its models. One training, so no interval.',
            figure=_figure(metrics, _draw_search),
        )
    ]
    if 'error_on_new_data' in metrics:
        text = (
            'Mean squared error of normalised changes: of a fit on its validation part, and of '
            'the fit before on what was collected then.'
        )
        sections.append(Section('Models', text, figure=_figure(metrics, _draw_model_errors)))
    return sections


def _endings(metrics: Metrics) -> str:
    """Return how many rollouts ended early, as far as that was counted."""
    if 'ended_early' not in metrics:
        return 'How many rollouts ended early was not counted.'
    return f'{np.nansum(metrics["ended_early"]):.0f} rollouts ended early.'


def read_run(folder: Path) -> tuple[Metrics, dict[str, Any]]:
    """Read the curves of a run, and what it is of; UserError if it is none, or only a part."""
    metrics, identity = read_metrics(folder), read_identity(folder)
    if 'environment_steps' not in metrics:
        path = folder / 'metrics.csv'
        raise UserError(f'{path} is not of a run: it has no column environment_steps')
    return metrics, identity


def read_identity(folder: Path) -> dict[str, Any]:
    """Read what a run is of; UserError for a part of a training beside a robot."""
    path = folder / 'run.json'
    identity = read_yaml(path)
    if 'part' in identity:
        raise UserError(
            f'{folder} is the {identity["part"]} of a training beside a robot, which has no page; '
            f'its curves: tensorboard --logdir {folder.parent}'
        )
    missing = {'algorithm', 'task', 'seed'} - identity.keys()
    if missing:
        raise UserError(f'{path} is not of a run: it lacks {", ".join(sorted(missing))}')
    return identity


def read_metrics(folder: Path) -> Metrics:
    """Read metrics.csv as columns; UserError if there is none."""
    path = folder / 'metrics.csv'
    if not path.is_file():
        inner = [each.parent for each in sorted(folder.glob('*/metrics.csv'))]
        for each in inner:
            if (each / 'run.json').exists():
                # Parts of a training beside a robot have no page either.
                read_identity(each)
        within = ' '.join(map(str, inner))
        raise UserError(
            f'{folder} is not a run folder with a finished iteration: '
            + (f'name those in it: {within}' if within else f'{path.name} is missing')
        )
    rows = read_rows(path)
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


def _draw_search(axes: Axes, metrics: Metrics) -> None:
    labels = {'return_policy': 'mean actions', 'return_mean': 'collected',
              'imagined_return': 'imagined'}  # fmt: skip
    for key, label in labels.items():
        if key in metrics:
            axes.plot(metrics['environment_steps'], metrics[key], label=label)
    axes.set(xlabel='real control steps', ylabel='return per rollout')
    axes.legend(frameon=False)


def _draw_model_errors(axes: Axes, metrics: Metrics) -> None:
    labels = {'validation_error': 'validation', 'error_on_new_data': 'new data'}
    for key, label in labels.items():
        axes.plot(metrics['environment_steps'], metrics[key], label=label)
    axes.set(xlabel='real control steps', ylabel='error', yscale='log')
    axes.legend(frameon=False)


def _draw_losses(axes: Axes, metrics: Metrics) -> None:
    axes.plot(metrics['environment_steps'], metrics['training_loss'], label='training')
    axes.plot(metrics['environment_steps'], metrics['validation_loss'], label='validation')
    axes.set(xlabel='control steps', ylabel='loss', ylim=(0, None))
    axes.legend(frameon=False, loc='upper left')


def _step_sizes(metrics: Metrics) -> list[Section]:
    sizes = [metrics[key] for key in metrics if key.startswith('step_size/')]
    if not sizes or (len(sizes[0]) > 1 and all(np.ptp(each) == 0 for each in sizes)):
        return []  # fixed: the configuration has them
    text = 'Of the inner gradient step, one per weight and bias; they are learned too.'
    return [Section('Step sizes', text, figure=_figure(metrics, _draw_step_sizes))]


def _draw_step_sizes(axes: Axes, metrics: Metrics) -> None:
    for key in metrics:
        if key.startswith('step_size/'):
            style = '-' if 'weight' in key else ':'
            label = key.removeprefix('step_size/')
            axes.plot(metrics['iteration'], metrics[key], style, label=label)
    axes.set(xlabel='iteration', ylabel='step size', yscale='log')
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, ncols=4, fontsize=8)


def _draw_adaptation(axes: Axes, metrics: Metrics) -> None:
    steps = metrics['environment_steps']
    axes.fill_between(steps, metrics['return_before'], metrics['return_after'], alpha=0.15)
    axes.plot(steps, metrics['return_after'], label='after adaptation')
    axes.plot(steps, metrics['return_before'], label='before')
    axes.set(xlabel='control steps', ylabel='return per rollout')
    axes.legend(frameon=False, loc='upper left')


def _draw_std(axes: Axes, metrics: Metrics) -> None:
    for key, label in (('std', 'before'), ('std_after', 'after adaptation')):
        axes.plot(metrics['environment_steps'], metrics[key], label=label)
    top = 1.3 * max(float(np.nanmax(metrics[key])) for key in ('std', 'std_after'))
    axes.set(xlabel='control steps', ylabel='standard deviation', ylim=(0, top))
    axes.legend(frameon=False, loc='upper left')


def _draw_durations(durations: Sequence[str], axes: Axes, metrics: Metrics) -> None:
    below = np.zeros(len(metrics['iteration']))
    for key in durations:
        label = key.removesuffix('_s')
        axes.bar(metrics['iteration'], metrics[key], bottom=below, width=1.0, label=label)
        below = below + np.nan_to_num(metrics[key])
    axes.set(xlabel='iteration', ylabel='seconds')
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    # Above the bars, which fill the axes.
    axes.legend(frameon=False, loc='lower left', bbox_to_anchor=(0, 1), ncols=len(durations))
