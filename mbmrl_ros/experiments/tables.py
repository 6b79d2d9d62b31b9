# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tables of a figure, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mbmrl_ros.experiments.columns import BASE, ORACLE, names, ratio, returns, share, table
from mbmrl_ros.experiments.grid import Figure, Setting, Variant
from mbmrl_ros.experiments.methods import METHODS
from mbmrl_ros.experiments.recovery_tables import recovery_table
from mbmrl_ros.experiments.results import Line, Results
from mbmrl_ros.experiments.statistics import estimate


def errors_table(figure: Figure, results: Results) -> list[str]:
    """Errors before and after the update, and their ratio: a step ahead, and T2 steps ahead."""
    rows, far = [], []
    for line in results.lines(figure):
        if line.groups('errors'):
            rows.append([*names(line), *_before_and_after(line, 'errors'), _late(line)])
        if line.groups('errors', 'ahead'):
            far.append([*names(line), *_before_and_after(line, 'errors', 'ahead')])
    header = ('test', 'method', 'T1, T2', 'before', 'after', 'after / before',
              'moments made worse')  # fmt: skip
    near = table((*header, 'after / before from a fault in mid-run on'), rows)
    if not far:
        return near
    return [*near, '', 'The state T2 steps ahead; 1: as if nothing would change.', '',
            *table(header, far)]  # fmt: skip


def _before_and_after(line: Line, *keys: str) -> list[str]:
    before, after = (line.by_seed(*keys, name, 'episodes') for name in ('before', 'after'))
    means = [f'{estimate(groups).mean:.4f}' for groups in (before, after)]
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
            one_is = results.line(setting, base, Variant()).by_seed('returns')
            cells = [ratio(one.by_seed('returns'), one_is) for one in lines]
            rows.append([setting.title, *cells])
    parts = [table(('return', *labels), raw)]
    for base, rows in relative.items():
        parts.append(table((f'return / {METHODS[base].label}', *labels), rows))
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
             f'{np.mean(left):.2f}' if left else '-', share(line, 'refused'),
             f'{np.mean(time):.0f}' if time else '-']
        )  # fmt: skip
    header = ('test', 'method', 'variant', 'return', 'error after', 'after / before',
              'adaptations refused', 'planning, ms per step of all')  # fmt: skip
    return table(header, rows)


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
