# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo of the half-cheetah: how fast it runs, and how it looks from the side."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from mbmrl_ros.demo.figures import BROKEN, draw_over_time
from mbmrl_ros.demo.outcomes import Column, Outcome, Scene, Show
from mbmrl_ros.reports.page import Section
from mbmrl_ros.reports.styles import style_of
from mbmrl_ros.sim.drawing import SideView
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

SMOOTH_S = 0.25
DRAWN_EVERY_S = 1.0


def _numbers(spec: RobotSpec, outcome: Outcome, failure_step: int) -> dict[str, float]:
    """Return the way forward [m]."""
    x = outcome.run.trajectory.states[:, spec.channel_index('x')]
    return {'distance_m': float(x[-1] - x[0])}


def _live(scene: Scene, outcome: Outcome, step: int) -> str:
    """Return how far the robot has come."""
    x = outcome.run.trajectory.states[:, scene.spec.channel_index('x')]
    return f'{float(x[step] - x[0]):.1f} m'


def _sections(scene: Scene) -> list[Section]:
    width = max(1, round(SMOOTH_S / scene.spec.period_s))

    def speed(outcome: Outcome) -> Array:
        x = outcome.run.trajectory.states[:, scene.spec.channel_index('x')].double().numpy()
        return np.convolve(np.diff(x) / scene.spec.period_s, np.ones(width) / width, 'valid')

    return [
        Section(
            'The robot',
            'The first seed, drawn once a second where it was; the dead joint in red.',
            figure=_draw_robots(scene),
        ),
        Section(
            'Forward speed',
            f'Mean over seeds (thick) and each run, over {SMOOTH_S:g} s; dashed: the failure.',
            figure=draw_over_time(scene, speed, 'forward speed [m/s]', SMOOTH_S / 2),
        ),
    ]


def _draw_robots(scene: Scene) -> Figure:
    spec = scene.spec
    figure = Figure(figsize=(11, 1.7 * len(scene.contenders)))
    rows = np.atleast_1d(figure.subplots(len(scene.contenders), 1, sharex=True))
    view = SideView(spec)
    dead = [fault.target for fault in scene.faults]
    every = max(1, round(DRAWN_EVERY_S / spec.period_s))
    x = spec.signals.index(f'{spec.state[spec.channel_index("x")].signals[0]}')
    for axes, contender in zip(rows, scene.contenders):
        signals = scene.of(contender)[0].run.signals
        for step in range(0, len(signals), every):
            broken = dead if step >= scene.failure_step else []
            view.draw(axes, signals[step], style_of(contender.key).colour, broken, alpha=0.85)
        axes.axvline(signals[scene.failure_step, x], color=BROKEN, ls='--', lw=1)
        axes.axhline(0, color='#999999', lw=0.8)
        axes.set_aspect('equal')
        axes.autoscale_view()
        axes.set_ylim(-0.1, 1.6)
        axes.set_yticks([])
        axes.set_ylabel(contender.label)
        axes.spines[['top', 'right', 'left']].set_visible(False)
    rows[-1].set_xlabel('distance [m]; dashed: where the joint died')
    return figure


SHOW = Show(
    task='half_cheetah/disabled_joint',
    bundles='half_cheetah/disabled_joint',
    numbers=_numbers,
    columns=(
        Column('distance m', 'distance_m', 1),
        Column('return before', 'return_before', 0),
        Column('return after', 'return_after', 0),
        Column('loss, as trained', 'loss_before', 3),
        Column('loss, as adapted', 'loss_after', 3),
    ),
    sections=_sections,
    live=_live,
    headline=Column('return after the failure; more is better', 'return_after', 0),
)
