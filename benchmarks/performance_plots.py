# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The plots of performance.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Result = dict[str, Any]

# Lines of the plots: label and colour.
LINES = {
    'tick_ms': ('tick', '#1f6fb2'),
    'adapt_ms': ('adapting', '#5aa469'),
    'limit_ms': ('matrix products alone', '#7b7b7b'),
    'adapt_limit_ms': ('its matrix products alone', '#b9b9b9'),
    'pytorch_mppi_ms': ('pytorch_mppi', '#8c6d31'),
    'step_ms': ('ours', '#1f6fb2'),
    'autograd_loop_ms': ('loop of autograd graphs', '#8c6d31'),
    'vmap_ms': ('torch.func.vmap', '#c0504d'),
    'env_steps_per_s': ('physics, batched', '#1f6fb2'),
    'world_env_steps_per_s': ('with the sensors of the robot file', '#5aa469'),
    'gymnasium_env_steps_per_s': ('gymnasium, one environment', '#8c6d31'),
}
# Curves: what varies, and what is shown of it.
TICK = ('tick_ms', 'adapt_ms', 'limit_ms', 'pytorch_mppi_ms')
PLOTS: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
    'growth_tick': {
        'candidates': ('candidates K', TICK),
        'horizon': ('horizon H', TICK),
        'width': ('width of three layers', TICK),
        'window': ('window M', ('adapt_ms', 'adapt_limit_ms')),
    },
    'growth_batches': {
        'tasks': ('tasks', ('step_ms', 'autograd_loop_ms', 'vmap_ms', 'limit_ms')),
        'environments': (
            'environments',
            ('env_steps_per_s', 'world_env_steps_per_s', 'gymnasium_env_steps_per_s'),
        ),
    },
}
PERCENTILES = {'p50': '#9cc4e4', 'p99': '#1f6fb2', 'p99.9': '#c25a00', 'max': '#7b7b7b'}


def plot_curves(
    path: Path, panels: dict[str, tuple[str, tuple[str, ...]]], curves: dict[str, Any]
) -> None:
    """Draw what was measured against each size, a panel for each."""
    figure = Figure(figsize=(4.6 * min(2, len(panels)), 3.5 * ((len(panels) + 1) // 2)))
    grid = figure.subplots((len(panels) + 1) // 2, min(2, len(panels)), squeeze=False)
    for axes, (name, (label, keys)) in zip(grid.flat, panels.items()):
        _panel(axes, name, keys, curves[name])
        unit = 'control steps / s' if keys[0].endswith('per_s') else 'ms'
        axes.set(xscale='log', yscale='log', xlabel=label, ylabel=unit)
        axes.set_xticks([point[name] for point in curves[name]])
        axes.set_xticklabels([str(point[name]) for point in curves[name]])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def plot_period_errors(path: Path, results: dict[str, Result]) -> None:
    """Draw how far commands were from a whole number of periods apart, for ten_minutes.md."""
    figure = Figure(figsize=(9, 0.8 + 0.32 * len(results)))
    axes = figure.subplots()
    places = range(len(results))
    for key, colour in PERCENTILES.items():
        values = [result['period_error_ms'][key] for result in results.values()]
        label = 'latest' if key == 'max' else f'{key[1:]} %'
        axes.plot(values, places, 'o', color=colour, label=label)
    labels = [f'{name} ({one["periods_missed"]} missed)' for name, one in results.items()]
    axes.set_yticks(places, labels)
    axes.set(xscale='log', xlabel='period error, ms (a period is 100 ms, at 20 Hz 50 ms)')
    axes.invert_yaxis()
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False, ncols=4, loc='lower center', bbox_to_anchor=(0.5, 1.0), fontsize=8)
    figure.savefig(path, dpi=110, bbox_inches='tight')


def _panel(axes: Axes, name: str, keys: tuple[str, ...], points: list[Result]) -> None:
    for key in keys:
        known = [point for point in points if point.get(key) is not None]
        if known:
            label, colour = LINES[key]
            values = [point[key] for point in known]
            axes.plot([p[name] for p in known], values, 'o-', ms=4, color=colour, label=label)
