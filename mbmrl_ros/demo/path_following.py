# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demos of millirobot and wheeled base: how near they keep to a path, seen from above."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mbmrl_ros.demo.figures import BROKEN, draw_over_time
from mbmrl_ros.demo.outcomes import Column, Contender, Outcome, Scene, Show
from mbmrl_ros.envs.tasks import Task
from mbmrl_ros.reports.page import Section
from mbmrl_ros.reports.styles import style_of
from mbmrl_ros.rewards.path import path_segments
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array


def _numbers(spec: RobotSpec, outcome: Outcome, failure_step: int) -> dict[str, float]:
    """Return the way along the path, and means per step before and after the failure.

    Costs are those of Table 2 of the thesis: minus the reward.
    """
    numbers = {'distance_m': float(np.nansum(outcome.terms['path_progress']))}
    for when, rows in (('before', slice(failure_step)), ('after', slice(failure_step, None))):
        numbers |= {
            f'cost_{when}': -float(np.nanmean(outcome.rewards[rows])),
            f'from_path_{when}_m': float(np.nanmean(outcome.terms['path_distance'][rows])),
            f'heading_error_{when}_rad': float(np.nanmean(outcome.terms['path_heading'][rows])),
        }
    return numbers


def _live(scene: Scene, outcome: Outcome, step: int) -> str:
    """Return the mean distance from the path until now."""
    distance = outcome.terms['path_distance'][: step + 1]
    return f'{100 * float(np.nanmean(distance)):.1f} cm off, on average'


def _sections(scene: Scene) -> list[Section]:
    return [
        Section(
            'From above',
            'The wanted path (wide) and the ways that were made: thin until the failure (cross), '
            'thick after it; all seeds. A dot is the start.',
            figure=_draw_tracks(scene),
        ),
        Section(
            'Distance from the path',
            'Mean over seeds (thick) and each run; dashed: the failure.',
            figure=draw_over_time(
                scene,
                lambda outcome: outcome.terms['path_distance'],
                'distance from the path [m]',
                scene.spec.period_s,
            ),
        ),
    ]


def _draw_tracks(scene: Scene) -> Figure:
    figure = Figure(figsize=(11, 4.2))
    columns = np.atleast_1d(figure.subplots(1, len(scene.contenders), sharex=True, sharey=True))
    wanted, tracks = _way_points(scene.task), [_track(scene, o) for o in scene.outcomes]
    # A path may be much longer than the way that was made.
    low, high = np.nanmin(np.concatenate(tracks), 0), np.nanmax(np.concatenate(tracks), 0)
    margin = 0.1 * float((high - low).max())
    for axes, contender in zip(columns, scene.contenders):
        axes.plot(*wanted.T, color='#d8dee4', lw=7, solid_capstyle='round', zorder=0)
        _draw_tracks_of(axes, scene, contender)
        axes.set_aspect('equal')
        axes.set(title=contender.label, xlabel='x [m]')
        axes.set(xlim=(low[0] - margin, high[0] + margin))
        axes.set(ylim=(low[1] - margin, high[1] + margin))
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
    columns[0].set_ylabel('y [m]')
    return figure


def _draw_tracks_of(axes: Axes, scene: Scene, contender: Contender) -> None:
    colour, failure = style_of(contender.key).colour, scene.failure_step
    for outcome in scene.of(contender):
        track = _track(scene, outcome)
        axes.plot(*track[: failure + 1].T, color=colour, lw=0.8)
        axes.plot(*track[failure:].T, color=colour, lw=2)
        axes.plot(*track[0], 'o', color=colour, ms=4)
        axes.plot(*track[failure], 'x', color=BROKEN, ms=9, mew=2.5)


def _track(scene: Scene, outcome: Outcome) -> Array:
    """Return x, y [T+1, 2] of a run."""
    places = [scene.spec.channel_index(name) for name in ('x', 'y')]
    return outcome.run.trajectory.states[:, places].double().numpy()


def _way_points(task: Task) -> Array:
    """Return the way-points [P, 2] of the path that a task is about."""
    path = next(term.path for term in task.reward if term.path is not None)
    segments = path_segments(path)
    ends = segments.starts + segments.directions * segments.lengths[:, None]
    return torch.cat([segments.starts, ends[-1:]]).double().numpy()


LEGS = Show(
    # A turn, and two legs are lost in it.
    task='millirobot/right',
    bundles='millirobot/path',
    numbers=_numbers,
    columns=(
        Column('way m', 'distance_m', 1),
        Column('cost before', 'cost_before', 2),
        Column('cost after', 'cost_after', 2),
        Column('from path m, before', 'from_path_before_m', 3),
        Column('from path m, after', 'from_path_after_m', 3),
        Column('loss, as trained', 'loss_before', 3),
        Column('loss, as adapted', 'loss_after', 3),
    ),
    sections=_sections,
    live=_live,
    headline=Column('cost a step after the failure; less is better', 'cost_after', 2),
    # One leg less costs this robot little (docs/results/demo/README.md).
    test='mid_run_two_legs',
)

WHEELS = replace(LEGS, task='diff_drive/path', bundles='diff_drive/path', test='mid_run')
