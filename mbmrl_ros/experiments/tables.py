# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tables of a figure, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from mbmrl_ros.experiments.grid import Figure, Setting, Variant
from mbmrl_ros.experiments.methods import METHODS
from mbmrl_ros.experiments.recovery import (
    Course,
    Recovery,
    mean_back,
    quartiles,
    share_back,
)
from mbmrl_ros.experiments.results import Line, Results
from mbmrl_ros.experiments.statistics import Groups, ratio_interval
from mbmrl_ros.training.evaluate import interval95

ORACLE, BASE = 'mb_oracle', 'mb'
# What adapting is measured against where nothing changes: the same model, not adapting.
STILL = {'mb_de': 'mb', 'grbal': 'grbal_still'}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    lines = [f'| {" | ".join(header)} |', '|---' * len(header) + '|']
    return lines + [f'| {" | ".join(row)} |' for row in rows]


def returns(line: Line) -> str:
    """Return the mean return and its interval, over all episodes of all training seeds."""
    return _interval(line.groups('returns'))


def _interval(groups: Groups) -> str:
    mean, half = interval95([value for group in groups for value in group])
    digits = 0 if abs(mean) >= 100 else 2
    return f'{mean:.{digits}f} +- {half:.{digits}f}'


def ratio(first: Groups, second: Groups, paired: bool = False) -> str:
    """Return a ratio of means with its interval; a dash where there is none."""
    if not first or not second:
        return '-'
    value, low, high = ratio_interval(first, second, paired)
    return '-' if np.isnan(value) else f'{value:.2f} ({low:.2f} to {high:.2f})'


def errors_table(figure: Figure, results: Results) -> list[str]:
    """Errors before and after the update, and their ratio: a step ahead, and T2 steps ahead."""
    rows, far = [], []
    for line in results.lines(figure):
        if line.groups('errors'):
            rows.append([*_names(line), *_before_and_after(line, 'errors'), _late(line)])
        if line.groups('errors', 'ahead'):
            far.append([*_names(line), *_before_and_after(line, 'errors', 'ahead')])
    header = ('test', 'method', 'T1, T2', 'before', 'after', 'after / before (95 %)',
              'moments made worse')  # fmt: skip
    near = table((*header, 'after / before from a fault in mid-run on'), rows)
    if not far:
        return near
    return [*near, '', 'The state T2 steps ahead; 1: as if nothing would change.', '',
            *table(header, far)]  # fmt: skip


def _before_and_after(line: Line, *keys: str) -> list[str]:
    before, after = (line.groups(*keys, name, 'episodes') for name in ('before', 'after'))
    means = [f'{np.mean([np.mean(g) for g in groups]):.4f}' for groups in (before, after)]
    worse = f'{100 * np.mean(line.numbers(*keys, "share_worse")):.0f} %'
    windows = (f'{line.numbers(f"{name}_steps")[0]:.0f}' for name in ('past', 'future'))
    return [', '.join(windows), *means, ratio(after, before, paired=True), worse]


def _late(line: Line) -> str:
    """Return after / before from the fault on; a dash where none comes in mid-run."""
    before, after = (
        np.mean(line.numbers(f'loss_{name}_after_failure') or [np.nan])
        for name in ('before', 'after')
    )
    return f'{after / before:.2f}' if line.numbers('fault_step') and before > 0 else '-'


def normalised_table(figure: Figure, results: Results) -> list[str]:
    """Returns, and the same normalised to the oracle's and to MB's."""
    methods = list(dict.fromkeys(line.method for line in results.lines(figure)))
    labels = [METHODS[method].label for method in methods]
    raw: list[list[str]] = []
    relative: dict[str, list[list[str]]] = {ORACLE: [], BASE: []}
    for setting in figure.settings:
        lines = [results.line(setting, method, Variant()) for method in methods]
        if not any(line.cells for line in lines):
            continue
        raw.append([setting.title, *(returns(one) if one.cells else 'not run' for one in lines)])
        for base, rows in relative.items():
            one_is = results.line(setting, base, Variant()).groups('returns')
            cells = [ratio(one.groups('returns'), one_is, one.method == base) for one in lines]
            rows.append([setting.title, *cells])
    parts = [table(('return', *labels), raw)]
    for base, rows in relative.items():
        parts.append(table((f'return / {METHODS[base].label} (95 %)', *labels), rows))
    return [text for part in parts for text in (*part, '')]


def curve_table(figure: Figure, results: Results) -> list[str]:
    """Returns at the end of the training."""
    rows = [
        [line.setting.title, line.label, f'{np.mean(line.numbers("environment_steps")):.0f}',
         returns(line)]
        for line in results.lines(figure)
    ]  # fmt: skip
    return table(('test', 'method', 'control steps', 'return at the end'), rows)


def variants_table(figure: Figure, results: Results) -> list[str]:
    """Returns and errors of every variant, and how often it refused to adapt."""
    rows = []
    for line in results.lines(figure):
        error, left = line.numbers('loss_after'), line.numbers('ratio')
        time = line.numbers('plan_ms')
        rows.append(
            [line.setting.title, METHODS[line.method].label, line.variant.name, returns(line),
             f'{np.mean(error):.4f}' if error else '-',
             f'{np.mean(left):.2f}' if left else '-', _share(line, 'refused'),
             f'{np.mean(time):.0f}' if time else '-']
        )  # fmt: skip
    header = ('test', 'method', 'variant', 'return', 'error after', 'after / before',
              'adaptations refused', 'planning, ms per step of all')  # fmt: skip
    return table(header, rows)


def _share(line: Line, what: Literal['accepted', 'refused']) -> str:
    """Return which part of all adaptations was accepted or refused; a dash without any."""
    counts = {one: sum(line.numbers(f'adaptations_{one}')) for one in ('accepted', 'refused')}
    tried = sum(counts.values())
    return f'{100 * counts[what] / tried:.1f} %' if tried else '-'


def recovery_table(figure: Figure, results: Results) -> list[str]:
    """How long after a fault the error is back, what that is worth, and what adapting costs."""
    lines = results.lines(figure)
    faults = [line for line in lines if line.numbers('fault_step')]
    quiet = [line for line in lines if not line.numbers('fault_step')]
    back = ('L (as trained)', 'did not rise', 'steps until it is back: median (quartiles)', 'T1',
            'back within T1 (as trained)', 'never back (as trained)', 'peak / L',
            'error from T1 on / L (as trained)', 'mean over episodes: back')  # fmt: skip
    worth = ('return after the fault', 'of MB (95 %)')
    cost = ('return', 'of MB (95 %)', 'of the same model that does not adapt',
            'adaptations accepted', 'error / as trained (95 %)')  # fmt: skip
    chance = ('no fault: said to have risen', 'steps until it is back', 'back within T1',
              'error from T1 on / L')  # fmt: skip
    parts = [
        table(('test', 'method', *header), [[*_names(one), *row(one, results)] for one in shown])
        for header, row, shown in (
            (back, _back, faults), (worth, _worth, faults), (cost, _cost, quiet),
            (chance, _chance, quiet),
        )
        if shown
    ]  # fmt: skip
    return [text for part in parts for text in (*part, '')]


def _names(line: Line) -> list[str]:
    return [line.setting.title, METHODS[line.method].label]


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
    curves = line.groups('errors', 'after', 'over_time')
    blocks = np.mean([curve[: min(map(len, curves))] for curve in curves], 0)
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
    base = results.line(line.setting, BASE, Variant()).groups('returns_after')
    own = line.groups('returns_after')
    return [_interval(own), ratio(own, base, line.method == BASE)]


def _cost(line: Line, results: Results) -> list[str]:
    bases = (results.line(line.setting, m, Variant()) for m in (BASE, STILL.get(line.method, '')))
    own = line.groups('returns')
    before, after = (line.groups('errors', name, 'episodes') for name in ('before', 'after'))
    return [
        returns(line),
        *(ratio(own, base.groups('returns'), base.method == line.method) for base in bases),
        _share(line, 'accepted'),
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


def by_setting(lines: Sequence[Line]) -> dict[Setting, list[Line]]:
    """Return lines grouped by setting."""
    groups: dict[Setting, list[Line]] = {}
    for line in lines:
        groups.setdefault(line.setting, []).append(line)
    return groups


TABLES = {
    'errors': errors_table,
    'curve': curve_table,
    'normalised': normalised_table,
    'variants': variants_table,
    'recovery': recovery_table,
}
