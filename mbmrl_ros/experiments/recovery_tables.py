# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tables of a fault in mid-run: how long until the error is back, and what adapting costs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mbmrl_ros.experiments.columns import BASE, interval, names, ratio, returns, share, table
from mbmrl_ros.experiments.grid import Figure, Variant
from mbmrl_ros.experiments.recovery import (
    Course,
    Recovery,
    mean_back,
    mean_curve,
    quartiles,
    share_back,
)
from mbmrl_ros.experiments.results import Line, Results

# What adapting is measured against where nothing changes: the same model, not adapting.
STILL = {'mb_de': 'mb', 'grbal': 'grbal_still'}


def recovery_table(figure: Figure, results: Results) -> list[str]:
    """How long after a fault the error is back, what that is worth, and what adapting costs."""
    lines = results.lines(figure)
    faults = [line for line in lines if line.numbers('fault_step')]
    quiet = [line for line in lines if not line.numbers('fault_step')]
    back = ('L (as trained)', 'did not rise',
            'steps until it is back: median (quartiles) of episodes', 'T1',
            'back within T1 (as trained)', 'never back (as trained)', 'peak / L',
            'error from T1 on / L (as trained)', 'mean over episodes: back')  # fmt: skip
    worth = ('return after the fault', 'of MB')
    cost = ('return', 'of MB', 'of the same model that does not adapt',
            'adaptations accepted', 'error / as trained')  # fmt: skip
    chance = ('no fault: said to have risen', 'steps until it is back', 'back within T1',
              'error from T1 on / L')  # fmt: skip
    parts = [
        table(('test', 'method', *header), [[*names(one), *row(one, results)] for one in shown])
        for header, row, shown in (
            (back, _back, faults), (worth, _worth, faults), (cost, _cost, quiet),
            (chance, _chance, quiet),
        )
        if shown
    ]  # fmt: skip
    return [text for part in parts for text in (*part, '')]


def _back(line: Line, results: Results) -> list[str]:
    every = line.recoveries()
    risen = [one for one in every if one.rose]
    window = line.numbers('past_steps')[0]
    return [
        _both(every, '{:.4f}', lambda found: np.median([one.level for one in found])),
        f'{len(every) - len(risen)} of {len(every)}' if every else '-',
        _steps(risen),
        f'{window:.0f}',
        _both(risen, '{:.0f} %', lambda found: 100 * share_back(found, window)),
        _both(risen, '{:.0f} %', lambda found: 100 - 100 * share_back(found)),
        f'{np.median([one.adapted.peak for one in risen]):.2f}' if risen else '-',
        _both(risen, '{:.2f}', lambda found: np.median([one.late for one in found])),
        _mean_back(line),
    ]


def _mean_back(line: Line) -> str:
    """Return within which steps after the fault the mean error over all episodes was back."""
    blocks = mean_curve(line.groups('errors', 'after', 'over_time'))
    if not line.numbers('errors', 'first_moment'):
        return '-'
    first, size = (int(line.numbers('errors', key)[0]) for key in ('first_moment', 'block'))
    fault, future = (int(line.numbers(key)[0]) for key in ('fault_step', 'future_steps'))
    begin = mean_back(blocks, first, size, fault, future)
    if begin is None:
        return '-'
    return f'{begin:.0f} to {begin + size - 1:.0f} steps' if begin < np.inf else 'never'


def _both(found: list[Recovery], form: str, value: Callable[[list[Course]], float]) -> str:
    """Return a value of the adapted error and, in brackets, of that as trained."""
    if not found:
        return '-'
    adapted = form.format(value([one.adapted for one in found]))
    return f'{adapted} ({form.format(value([one.trained for one in found]))})'


def _steps(found: list[Recovery]) -> str:
    """Return median and quartiles of the steps until the adapted error is back."""
    if not found:
        return '-'
    quarters = quartiles([one.adapted.steps for one in found])
    low, middle, high = (f'{v:.0f}' if v < np.inf else 'never' for v in quarters)
    return middle if low == high else f'{middle} ({low} to {high})'


def _worth(line: Line, results: Results) -> list[str]:
    base = results.line(line.setting, BASE, Variant()).by_seed('returns_after')
    own = line.by_seed('returns_after')
    return [interval(own), ratio(own, base)]


def _cost(line: Line, results: Results) -> list[str]:
    bases = (results.line(line.setting, m, Variant()) for m in (BASE, STILL.get(line.method, '')))
    own = line.by_seed('returns')
    before, after = (line.by_seed('errors', name, 'episodes') for name in ('before', 'after'))
    return [
        returns(line),
        *(ratio(own, base.by_seed('returns')) for base in bases),
        share(line, 'accepted'),
        ratio(after, before, paired=True),
    ]


def _chance(line: Line, results: Results) -> list[str]:
    every = line.recoveries()
    if not every:
        return ['-'] * 4
    risen = sum(one.rose for one in every)
    found = [one.adapted for one in every]
    back = 100 * share_back(found, line.numbers('past_steps')[0])
    late = np.median([one.late for one in found])
    return [f'{risen} of {len(every)}', _steps(every), f'{back:.0f} %', f'{late:.2f}']
