# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tables of a figure, in Markdown; a row is a mapping from what heads its columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mbmrl_ros.experiments.columns import BASE, ORACLE, names, ratio, returns, rows_table, share
from mbmrl_ros.experiments.recovery_tables import recovery_table
from mbmrl_ros.experiments.results import Line, Results
from mbmrl_ros.experiments.statistics import estimate
from mbmrl_ros.experiments.studies import METHODS, Figure, Setting, Variant


def errors_table(figure: Figure, results: Results) -> list[str]:
    """Errors before and after the update, and their ratio: a step ahead, and T2 steps ahead."""
    lines = results.lines(figure)
    near = [
        names(line)
        | before_and_after(line, 'errors')
        | {'after / before from a fault in mid-run on': _late(line)}
        for line in lines
        if line.groups('errors')
    ]
    far = [
        names(line) | before_and_after(line, 'errors', 'ahead')
        for line in lines
        if line.groups('errors', 'ahead')
    ]
    said = ['', 'The state T2 steps ahead; 1: as if nothing would change.', '', *rows_table(far)]
    return rows_table(near) + (said if far else [])


def before_and_after(line: Line, *keys: str) -> dict[str, str]:
    """Return the mean errors before and after the update, and how they compare."""
    before, after = (line.by_seed(*keys, name, 'episodes') for name in ('before', 'after'))
    windows = (f'{line.numbers(f"{name}_steps")[0]:.0f}' for name in ('past', 'future'))
    return {
        'T1, T2': ', '.join(windows),
        'before': f'{estimate(before).mean:.4f}',
        'after': f'{estimate(after).mean:.4f}',
        'after / before': ratio(after, before, paired=True),
        'moments made worse': f'{100 * np.mean(line.numbers(*keys, "share_worse")):.0f} %',
    }


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
    tables: dict[str, list[dict[str, str]]] = {'return': []}
    for setting in figure.settings:
        lines = [results.line(setting, method, Variant()) for method in methods]
        if not any(line.cells for line in lines):
            continue
        plain = {one.label: returns(one) if one.cells else 'not run' for one in lines}
        tables['return'].append({'return': setting.title} | plain)
        for base in (ORACLE, BASE):
            head = f'return / {METHODS[base].label}'
            one_is = results.line(setting, base, Variant()).by_seed('returns')
            relative = {one.label: ratio(one.by_seed('returns'), one_is) for one in lines}
            tables.setdefault(head, []).append({head: setting.title} | relative)
    return [text for rows in tables.values() for text in (*rows_table(rows), '')]


def curve_table(figure: Figure, results: Results) -> list[str]:
    """Returns at the end of the training."""
    return rows_table(
        {
            'test': line.setting.title,
            'method': line.label,
            'control steps': f'{np.mean(line.numbers("environment_steps")):.0f}',
            'return at the end': returns(line),
        }
        for line in results.lines(figure)
    )


def variants_table(figure: Figure, results: Results) -> list[str]:
    """Returns and errors of every variant, and how often it refused to adapt."""
    return rows_table(
        names(line)
        | {
            'variant': line.variant.name,
            'return': returns(line),
            'error after': mean_of(line, 'loss_after', 4),
            'after / before': mean_of(line, 'ratio', 2),
            'adaptations refused': share(line, 'refused'),
            'planning, ms per step of all': mean_of(line, 'plan_ms', 0),
        }
        for line in results.lines(figure)
    )


def mean_of(line: Line, key: str, digits: int) -> str:
    """Return the mean over training seeds; a dash where none has the number."""
    found = line.numbers(key)
    return f'{np.mean(found):.{digits}f}' if found else '-'


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
