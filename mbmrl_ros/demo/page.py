# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's page: speed, prediction error, tick times, and the robot before and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mbmrl_ros.demo.outcomes import COLUMNS, CONTENDERS, Outcome, table_rows
from mbmrl_ros.envs.tasks import Task
from mbmrl_ros.page import Page, Section, write_page
from mbmrl_ros.sim.drawing import SideView
from mbmrl_ros.spec import RobotSpec
from mbmrl_ros.types import Array

COLOURS = {'mb': '#8c6d31', 'mb_de': '#7b7b7b', 'grbal': '#1f6fb2'}
SMOOTH_S = 0.25
DRAWN_EVERY_S = 1.0


def write_demo_page(
    path: Path, task: Task, spec: RobotSpec, outcomes: Sequence[Outcome], summary: dict[str, Any]
) -> Path:
    """Write the page and, beside it, its picture of speed and robot (overview.png)."""
    failure_s = summary['failure_step'] * spec.period_s
    robots = _draw_robots(task, spec, outcomes, summary['failure_step'])
    robots.savefig(path.with_name('overview.png'), dpi=110, bbox_inches='tight')
    seeds = len(summary['seeds'])
    page = Page(
        f'{spec.name}: {summary["failure"]} at {failure_s:.2f} s',
        [
            f'{task.description}. Simulator and controller ran as ROS 2 nodes in processes of '
            f'their own; every run is recorded in a bag. {seeds} seeds per controller; the '
            'controllers share planner, network and seeds and differ in how the model follows '
            'the last transitions: MB not at all, MB+DE by a gradient step at every tick with '
            'the weights carried over, GrBAL by one meta-learned gradient step from the '
            'meta-learned weights.'
        ],
        [
            Section(
                'Summary',
                'Means over seeds; loss: squared error of normalised changes over the next steps '
                'after the failure, with the parameters as trained and as adapted.',
                header=[header for header, _ in COLUMNS],
                rows=list(table_rows(summary)),
            ),
            Section(
                'The robot',
                'The first seed, drawn once a second where it was; the dead joint in red.',
                figure=robots,
            ),
            Section(
                'Forward speed',
                f'Mean over seeds (thick) and each run, over {SMOOTH_S:g} s; dashed: the failure.',
                figure=_draw_speed(spec, outcomes, failure_s),
            ),
            Section(
                'Prediction error',
                'Mean over seeds: dotted with the parameters as trained, solid as adapted.',
                figure=_draw_losses(spec, outcomes, failure_s),
            ),
            Section(
                'Tick times',
                'From the assembled state to the command: adapting, planning, safety.',
                figure=_draw_ticks(outcomes),
            ),
        ],
    )
    return write_page(path, page)


def _of(outcomes: Sequence[Outcome], key: str) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.contender.key == key]


def _axes(height: float = 3.4) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, height))
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
    return figure, axes


def _draw_speed(spec: RobotSpec, outcomes: Sequence[Outcome], failure_s: float) -> Figure:
    figure, axes = _axes()
    width = max(1, round(SMOOTH_S / spec.period_s))
    for contender in CONTENDERS:
        colour = COLOURS[contender.key]
        speeds = [_speed(spec, outcome, width) for outcome in _of(outcomes, contender.key)]
        times = np.arange(len(speeds[0])) * spec.period_s + SMOOTH_S / 2
        for speed in speeds:
            axes.plot(times, speed, color=colour, lw=0.6, alpha=0.4)
        axes.plot(times, np.mean(speeds, 0), color=colour, lw=2, label=contender.label)
    axes.axvline(failure_s, color='#c62828', ls='--', lw=1)
    axes.set(xlabel='time [s]', ylabel='forward speed [m/s]')
    axes.legend(frameon=False, ncols=3)
    return figure


def _speed(spec: RobotSpec, outcome: Outcome, width: int) -> Array:
    x = outcome.run.trajectory.states[:, spec.channel_index('x')].double().numpy()
    speed = np.diff(x) / spec.period_s
    return np.convolve(speed, np.ones(width) / width, 'valid')


def _draw_losses(spec: RobotSpec, outcomes: Sequence[Outcome], failure_s: float) -> Figure:
    figure, axes = _axes()
    for contender in CONTENDERS:
        runs = [outcome.losses for outcome in _of(outcomes, contender.key)]
        times = runs[0].moments.numpy() * spec.period_s
        colour = COLOURS[contender.key]
        before = np.mean([losses.before[0].numpy() for losses in runs], 0)
        after = np.mean([losses.after[0].numpy() for losses in runs], 0)
        axes.plot(times, before, ':', color=colour, lw=1)
        axes.plot(times, after, color=colour, lw=1.5, label=contender.label)
    axes.axvline(failure_s, color='#c62828', ls='--', lw=1)
    axes.set(xlabel='time [s]', ylabel='error on the next steps', ylim=(0, None))
    axes.legend(frameon=False, ncols=3)
    return figure


def _draw_ticks(outcomes: Sequence[Outcome]) -> Figure:
    figure, axes = _axes(2.8)
    ticks = {
        contender: np.concatenate(
            [o.run.stats['tick_s'] * 1e3 for o in _of(outcomes, contender.key)]
        )
        for contender in CONTENDERS
    }
    longest = float(np.percentile(np.concatenate(list(ticks.values())), 99.5))
    bins = np.linspace(0, longest, 60).tolist()
    for contender, values in ticks.items():
        axes.hist(
            values, bins, histtype='step', color=COLOURS[contender.key], label=contender.label
        )
    axes.set(xlabel='tick [ms]', ylabel='ticks')
    axes.legend(frameon=False)
    return figure


def _draw_robots(
    task: Task, spec: RobotSpec, outcomes: Sequence[Outcome], failure_step: int
) -> Figure:
    figure = Figure(figsize=(11, 1.7 * len(CONTENDERS)))
    rows = figure.subplots(len(CONTENDERS), 1, sharex=True)
    view = SideView(spec)
    dead = [event.disturbance.target for event in task.test('mid_run')(len(outcomes[0].rewards))]
    every = max(1, round(DRAWN_EVERY_S / spec.period_s))
    x = spec.signals.index(f'{spec.state[spec.channel_index("x")].signals[0]}')
    for axes, contender in zip(np.atleast_1d(rows), CONTENDERS):
        signals = _of(outcomes, contender.key)[0].run.signals
        for step in range(0, len(signals), every):
            broken = dead if step >= failure_step else []
            view.draw(axes, signals[step], COLOURS[contender.key], broken, alpha=0.85)
        axes.axvline(signals[failure_step, x], color='#c62828', ls='--', lw=1)
        axes.axhline(0, color='#999999', lw=0.8)
        axes.set_aspect('equal')
        axes.autoscale_view()
        axes.set_ylim(-0.1, 1.6)
        axes.set_yticks([])
        axes.set_ylabel(contender.label)
        axes.spines[['top', 'right', 'left']].set_visible(False)
    np.atleast_1d(rows)[-1].set_xlabel('distance [m]; dashed: where the joint died')
    return figure
