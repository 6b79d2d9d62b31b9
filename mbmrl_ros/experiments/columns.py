# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the tables of figures have in common: how numbers are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from mbmrl_ros.experiments.methods import METHODS
from mbmrl_ros.experiments.results import Line
from mbmrl_ros.experiments.statistics import Groups, ratio_interval
from mbmrl_ros.training.evaluate import interval95

ORACLE, BASE = 'mb_oracle', 'mb'


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    lines = [f'| {" | ".join(header)} |', '|---' * len(header) + '|']
    return lines + [f'| {" | ".join(row)} |' for row in rows]


def returns(line: Line) -> str:
    """Return the mean return and its interval, over all episodes of all training seeds."""
    return interval(line.groups('returns'))


def interval(groups: Groups) -> str:
    """Return mean and interval of values in groups."""
    mean, half = interval95([value for group in groups for value in group])
    digits = 0 if abs(mean) >= 100 else 2
    return f'{mean:.{digits}f} +- {half:.{digits}f}'


def ratio(first: Groups, second: Groups, paired: bool = False) -> str:
    """Return a ratio of means with its interval; a dash where there is none."""
    if not first or not second:
        return '-'
    value, low, high = ratio_interval(first, second, paired)
    return '-' if np.isnan(value) else f'{value:.2f} ({low:.2f} to {high:.2f})'


def names(line: Line) -> list[str]:
    """Return test and method, in words."""
    return [line.setting.title, METHODS[line.method].label]


def share(line: Line, what: Literal['accepted', 'refused']) -> str:
    """Return which part of all adaptations was accepted or refused; a dash without any."""
    counts = {one: sum(line.numbers(f'adaptations_{one}')) for one in ('accepted', 'refused')}
    tried = sum(counts.values())
    return f'{100 * counts[what] / tried:.1f} %' if tried else '-'
