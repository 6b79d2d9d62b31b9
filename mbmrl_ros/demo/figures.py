# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Figures that every demo has, and what the others are drawn with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mbmrl_ros.demo.outcomes import Outcome, Scene
from mbmrl_ros.reports.styles import style_of
from mbmrl_ros.types import Array

BROKEN = '#c62828'


def make_axes(height: float = 3.4) -> tuple[Figure, Axes]:
    """Return a figure with a plain pair of axes."""
    figure = Figure(figsize=(9, height))
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
    return figure, axes


def draw_over_time(
    scene: Scene, curve: Callable[[Outcome], Array], label: str, start_s: float = 0.0
) -> Figure:
    """Draw a curve [T] of every run, and thick the mean of every contender over seeds.

    start_s: the time of the first value.
    """
    figure, axes = make_axes()
    for contender in scene.contenders:
        colour = style_of(contender.key).colour
        curves = [curve(outcome) for outcome in scene.of(contender)]
        times = start_s + np.arange(len(curves[0])) * scene.spec.period_s
        for values in curves:
            axes.plot(times, values, color=colour, lw=0.6, alpha=0.4)
        axes.plot(times, np.mean(curves, 0), color=colour, lw=2, label=contender.label)
    axes.axvline(scene.failure_s, color=BROKEN, ls='--', lw=1)
    axes.set(xlabel='time [s]', ylabel=label)
    axes.legend(frameon=False, ncols=3)
    return figure


def draw_losses(scene: Scene) -> Figure:
    """Draw prediction errors over time, as trained and as adapted."""
    figure, axes = make_axes()
    for contender in scene.contenders:
        runs = [outcome.losses for outcome in scene.of(contender)]
        times = runs[0].start_indices.numpy() * scene.spec.period_s
        colour = style_of(contender.key).colour
        before = np.mean([losses.before[0].numpy() for losses in runs], 0)
        after = np.mean([losses.after[0].numpy() for losses in runs], 0)
        axes.plot(times, before, ':', color=colour, lw=1)
        axes.plot(times, after, color=colour, lw=1.5, label=contender.label)
    axes.axvline(scene.failure_s, color=BROKEN, ls='--', lw=1)
    axes.set(xlabel='time [s]', ylabel='error on the next steps', ylim=(0, None))
    axes.legend(frameon=False, ncols=3)
    return figure


def draw_ticks(scene: Scene) -> Figure:
    """Draw how long ticks took, as histograms."""
    figure, axes = make_axes(2.8)
    ticks = {
        contender: np.concatenate([o.run.stats['tick_s'] * 1e3 for o in scene.of(contender)])
        for contender in scene.contenders
    }
    longest = float(np.percentile(np.concatenate(list(ticks.values())), 99.5))
    bins = np.linspace(0, longest, 60).tolist()
    for contender, values in ticks.items():
        axes.hist(
            values,
            bins,
            histtype='step',
            color=style_of(contender.key).colour,
            label=contender.label,
        )
    axes.set(xlabel='tick [ms]', ylabel='ticks')
    axes.legend(frameon=False)
    return figure
