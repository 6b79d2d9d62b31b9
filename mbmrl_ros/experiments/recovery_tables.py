# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tables of a fault in mid-run: how long until the error is back, and what adapting costs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mbmrl_ros.experiments.columns import BASE, interval, names, ratio, returns, rows_table, share
from mbmrl_ros.experiments.recovery import (
    Course,
    Recovery,
    mean_back,
    mean_curve,
    quartiles,
    share_back,
)
from mbmrl_ros.experiments.results import Line, Results
from mbmrl_ros.experiments.studies import Figure, Variant

# What adapting is measured against where nothing changes: the same model, not adapting.
STILL = {'mb_de': 'mb', 'grbal': 'grbal_still'}


def recovery_table(figure: Figure, results: Results) -> list[str]:
    """How long after a fault the error is back, what that is worth, and what adapting costs."""
    lines = results.lines(figure)
    faults = [line for line in lines if line.numbers('fault_step')]
    quiet = [line for line in lines if not line.numbers('fault_step')]
    parts = [(back_row, faults), (worth_row, faults), (_cost, quiet), (_chance, quiet)]
    tables = [
        rows_table(names(one) | row(one, results) for one in shown)
        for row, shown in parts
        if shown
    ]
    return [text for table in tables for text in (*table, '')]


def back_row(line: Line, results: Results) -> dict[str, str]:
    """Return how long after the fault the error of a line is back."""
    every = line.recoveries()
    risen = [one for one in every if one.rose]
    window = line.numbers('past_steps')[0]
    return {
        'L (as trained)': _both(every, '{:.4f}', lambda c: np.median([one.level for one in c])),
        'did not rise': f'{len(every) - len(risen)} of {len(every)}' if every else '-',
        'steps until it is back: median (quartiles) of episodes': _steps(risen),
        'T1': f'{window:.0f}',
        'back within T1 (as trained)': _both(
            risen, '{:.0f} %', lambda found: 100 * share_back(found, window)
        ),
        'never back (as trained)': _both(
            risen, '{:.0f} %', lambda found: 100 - 100 * share_back(found)
        ),
        'peak / L': f'{np.median([one.adapted.peak for one in risen]):.2f}' if risen else '-',
        'error from T1 on / L (as trained)': _both(
            risen, '{:.2f}', lambda found: np.median([one.late for one in found])
        ),
        'mean over episodes: back': _mean_back(line),
    }


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


def worth_row(line: Line, results: Results) -> dict[str, str]:
    """Return what a line earns after the fault, by itself and beside MB."""
    base = results.line(line.setting, BASE, Variant()).by_seed('returns_after')
    own = line.by_seed('returns_after')
    return {'return after the fault': interval(own), 'of MB': ratio(own, base)}


def _cost(line: Line, results: Results) -> dict[str, str]:
    def of(method: str) -> str:
        base = results.line(line.setting, method, Variant()).by_seed('returns')
        return ratio(line.by_seed('returns'), base)

    before, after = (line.by_seed('errors', name, 'episodes') for name in ('before', 'after'))
    return {
        'return': returns(line),
        'of MB': of(BASE),
        'of the same model that does not adapt': of(STILL.get(line.method, '')),
        'adaptations accepted': share(line, 'accepted'),
        'error / as trained': ratio(after, before, paired=True),
    }


def _chance(line: Line, results: Results) -> dict[str, str]:
    every = line.recoveries()
    found = [one.adapted for one in every]
    back = share_back(found, line.numbers('past_steps')[0]) if every else 0.0
    row = {
        'no fault: said to have risen': f'{sum(one.rose for one in every)} of {len(every)}',
        'steps until it is back': _steps(every),
        'back within T1': f'{100 * back:.0f} %',
        'error from T1 on / L': f'{np.median([one.late for one in found] or [0]):.2f}',
    }
    return row if every else dict.fromkeys(row, '-')
