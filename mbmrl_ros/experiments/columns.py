# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the tables of figures have in common: how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from mbmrl_ros.evaluation.episodes import std_over_episodes
from mbmrl_ros.experiments.results import Line
from mbmrl_ros.experiments.statistics import Groups, by_seed, estimate, ratio_interval
from mbmrl_ros.experiments.studies import METHODS

ORACLE, BASE = 'mb_oracle', 'mb'


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    lines = [f'| {" | ".join(header)} |', '|---' * len(header) + '|']
    return lines + [f'| {" | ".join(row)} |' for row in rows]


def rows_table(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """Return the lines of a table whose rows name their columns."""
    written = list(rows)
    return table([*written[0]], [[*row.values()] for row in written]) if written else []


LEGEND = (
    '`a ± b (n seeds)`, `a (b to c; n seeds)`: mean or ratio, and its 95 % t-interval over the '
    'means of n training seeds (of ratios: of their logarithms). `a (SD of episodes b)`: one '
    'trained model; b is the standard deviation over its episodes, which says nothing of another '
    'training. `a (1 seed)`: a ratio of single models, no interval.'
)


def returns(line: Line) -> str:
    """Return the mean return over training seeds, and how sure it is."""
    return interval(line.by_seed('returns'))


def interval(groups: Groups, digits: int | None = None) -> str:
    """Return a mean over training seeds with its interval; of one seed the spread of episodes.

    digits: behind the point; None: two of numbers below 100.
    """
    found = estimate(groups)
    if digits is None:
        digits = 0 if abs(found.mean) >= 100 else 2
    if found.seeds > 1 and math.isnan(found.half):
        return f'{found.mean:.{digits}f} ({found.seeds} seeds)'
    if found.seeds > 1:
        return f'{found.mean:.{digits}f} ± {found.half:.{digits}f} ({found.seeds} seeds)'
    if math.isnan(found.std):
        return f'{found.mean:.{digits}f}'
    return f'{found.mean:.{digits}f} (SD of episodes {found.std:.{digits}f})'


def ratio(first: Groups, second: Groups, paired: bool = False) -> str:
    """Return a ratio of means over training seeds with its interval; a dash where there is none.

    paired: the two are of the same episodes, so that of one seed their ratios have a spread.
    """
    value, low, high = ratio_interval(first, second)
    if math.isnan(value):
        return '-'
    seeds = min(len(by_seed(groups)) for groups in (first, second))
    if not math.isnan(low):
        return f'{value:.2f} ({low:.2f} to {high:.2f}; {seeds} seeds)'
    if seeds > 1:
        return f'{value:.2f} (no interval: not all means are positive and finite)'
    if paired:
        above, below = (next(iter(by_seed(groups).values())) for groups in (first, second))
        std = std_over_episodes(above / below)
        if not math.isnan(std):
            return f'{value:.2f} (SD of episodes {std:.2f})'
    return f'{value:.2f} (1 seed)'


def names(line: Line) -> dict[str, str]:
    """Return test and method, in words."""
    return {'test': line.setting.title, 'method': METHODS[line.method].label}


def share(line: Line, what: Literal['accepted', 'refused']) -> str:
    """Return which part of all adaptations was accepted or refused; a dash without any."""
    counts = {one: sum(line.numbers(f'adaptations_{one}')) for one in ('accepted', 'refused')}
    tried = sum(counts.values())
    return f'{100 * counts[what] / tried:.1f} %' if tried else '-'
