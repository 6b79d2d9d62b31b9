# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What figures of studies have in common: an arm's results, panels, differences seed by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot

from mbmrl_ros.experiments.columns import interval
from mbmrl_ros.reports.styles import PARTS, Style


class Arm(NamedTuple):
    """The cells of an arm on a task, a result per seed."""

    name: str
    label: str
    style: Style
    results: dict[int, dict[str, Any]]

    @property
    def colour(self) -> str:
        """Of the arm in every figure."""
        return self.style.colour

    def values(self, key: str) -> dict[int, list[float]]:
        """Return a number of every seed."""
        return {seed: [result[key]] for seed, result in self.results.items()}

    def mean(self, key: str) -> list[float]:
        """Return the mean over seeds of a list of numbers, as long as the shortest."""
        rows = [result[key] for result in self.results.values()]
        shortest = min(map(len, rows))
        # What is no number is null in the file.
        known = np.array([row[:shortest] for row in rows], np.float64)
        return [float(x) for x in known.mean(0)]


# Of panels; a page is as wide as this many.
MOST_COLUMNS = 3
Tasks = dict[str, list[Arm]]
Drawn = tuple[Plot, list[str]]


def panels(count: int, width: float) -> tuple[Plot, list[Axes]]:
    """Return a plot of panels beside each other; of more than three, two beside each other."""
    columns = max(1, count) if count <= MOST_COLUMNS else 2
    rows = max(1, math.ceil(count / columns))
    plot = Plot(figsize=(width * columns, 3.8 * rows))
    axes = list(plot.subplots(rows, columns, squeeze=False).flat)
    for spare in axes[count:]:
        spare.remove()
    return tidy(plot), axes[:count]


def tidy(plot: Plot) -> Plot:
    """Give all panels a grid and no frame."""
    for axes in plot.axes:
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
    plot.set_layout_engine('tight')
    return plot


def stacked(axes: Axes, arms: list[Arm], parts: Mapping[str, str], task: str) -> None:
    """Draw the seconds of an iteration of each arm, by what they went into.

    parts: keys of results, each with its name.
    """
    left = np.zeros(len(arms))
    for (key, label), colour in zip(parts.items(), PARTS):
        means = np.array([np.mean([*arm.values(key).values()]) for arm in arms])
        axes.barh([arm.label for arm in arms], means, left=left, color=colour, label=label)
        left += means
    axes.set(title=task, xlabel='seconds of an iteration (median)')
    axes.legend(frameon=False, fontsize=8)


def difference(arm: Arm, base: Arm | None, key: str) -> str:
    """Return the difference to another arm, seed by seed."""
    if base is None or base is arm:
        return '-'
    both = sorted(arm.results.keys() & base.results.keys())
    return interval({seed: [arm.results[seed][key] - base.results[seed][key]] for seed in both})
