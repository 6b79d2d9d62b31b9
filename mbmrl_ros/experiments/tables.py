# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tables of a figure, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from mbmrl_ros.experiments.figures import METHODS
from mbmrl_ros.experiments.grid import Figure, Setting, Variant
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
    """Errors before and after the update, and their ratio."""
    rows = []
    for line in results.lines(figure):
        before, after = (line.groups('errors', name, 'episodes') for name in ('before', 'after'))
        if not before:
            continue
        means = [f'{np.mean([np.mean(g) for g in groups]):.4f}' for groups in (before, after)]
        worse = f'{100 * np.mean(line.numbers("errors", "share_worse")):.0f} %'
        names = [line.setting.title, METHODS[line.method].label]
        rows.append([*names, *means, ratio(after, before, paired=True), _late(line), worse])
    header = ('test', 'method', 'before', 'after', 'after / before (95 %)',
              'from a fault in mid-run on', 'moments made worse')  # fmt: skip
    return table(header, rows)


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
        error = line.numbers('loss_after')
        time = line.numbers('plan_ms')
        rows.append(
            [line.setting.title, METHODS[line.method].label, line.variant.name, returns(line),
             f'{np.mean(error):.4f}' if error else '-', _share(line, 'refused'),
             f'{np.mean(time):.0f}' if time else '-']
        )  # fmt: skip
    header = ('test', 'method', 'variant', 'return', 'error after', 'adaptations refused',
              'planning, ms per step of all')  # fmt: skip
    return table(header, rows)


def _share(line: Line, what: Literal['accepted', 'refused']) -> str:
    """Return which part of all adaptations was accepted or refused; a dash without any."""
    counts = {one: sum(line.numbers(f'adaptations_{one}')) for one in ('accepted', 'refused')}
    tried = sum(counts.values())
    return f'{100 * counts[what] / tried:.1f} %' if tried else '-'


def recovery_table(figure: Figure, results: Results) -> list[str]:
    """How long after a fault the error is back, and what adapting costs without one."""
    faults, quiet = [], []
    for line in results.lines(figure):
        if line.numbers('fault_step'):
            faults.append(_fault_row(line, results))
        else:
            quiet.append(_quiet_row(line, results))
    header = ('test', 'method', 'error before the fault', 'steps until it is back within 20 %, by '
              'training seed', 'T1', 'return after the fault', 'of MB (95 %)')  # fmt: skip
    cost = ('test', 'method', 'return', 'of MB (95 %)', 'of the same model that does not adapt',
            'adaptations accepted')  # fmt: skip
    parts = [table(head, rows) for head, rows in ((header, faults), (cost, quiet)) if rows]
    return [text for part in parts for text in (*part, '')]


def _fault_row(line: Line, results: Results) -> list[str]:
    found = [cell['result']['errors']['after']['recovery'] for cell in line.cells]
    levels = [one['level'] for one in found if one['level'] is not None]
    steps = ['never' if one['steps'] is None else str(one['steps']) for one in found]
    level = f'{np.mean(levels):.4f}' if levels else '-'
    window = ', '.join({str(size) for size in line.numbers('past_steps')})
    base = results.line(line.setting, BASE, Variant()).groups('returns_after')
    own = line.groups('returns_after')
    share = ratio(own, base, line.method == BASE)
    names = [line.setting.title, METHODS[line.method].label]
    return [*names, level, ', '.join(steps), window, _interval(own), share]


def _quiet_row(line: Line, results: Results) -> list[str]:
    bases = (results.line(line.setting, m, Variant()) for m in (BASE, STILL.get(line.method, '')))
    own = line.groups('returns')
    return [
        line.setting.title,
        METHODS[line.method].label,
        returns(line),
        *(ratio(own, base.groups('returns'), base.method == line.method) for base in bases),
        _share(line, 'accepted'),
    ]


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
