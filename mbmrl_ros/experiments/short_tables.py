# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one table beside a plot: the numbers of a claim. All others are in experiments/tables.py."""

from __future__ import annotations

from mbmrl_ros.experiments.columns import BASE, names, ratio, returns, rows_table, share
from mbmrl_ros.experiments.recovery_tables import back_row, worth_row
from mbmrl_ros.experiments.results import Line, Results
from mbmrl_ros.experiments.studies import METHODS, Figure, Variant
from mbmrl_ros.experiments.tables import before_and_after, by_setting, mean_of

# So many variants have a column each, so many a row; of more the plot tells enough.
WIDEST, LONGEST = 5, 12
SHARE = 'after / before'


def errors_short(figure: Figure, results: Results) -> list[str]:
    """Errors before and after the update a step ahead, and their ratio T2 steps ahead."""
    rows = []
    for line in results.lines(figure):
        if line.groups('errors'):
            near = before_and_after(line, 'errors')
            del near['T1, T2']
            ahead = line.groups('errors', 'ahead')
            far = before_and_after(line, 'errors', 'ahead')[SHARE] if ahead else '-'
            rows.append(names(line) | near | {f'T2 steps ahead: {SHARE}': far})
    return rows_table(rows)


def normalised_short(figure: Figure, results: Results) -> list[str]:
    """Returns, and the same normalised to MB's."""
    rows = []
    methods = _methods(figure, results)
    for setting in by_setting(results.lines(figure)):
        base = results.line(setting, BASE, Variant()).by_seed('returns')
        lines = [results.line(setting, method, Variant()) for method in methods]
        relative = {one.label: ratio(one.by_seed('returns'), base) for one in lines}
        rows.append({f'return / {METHODS[BASE].label}': setting.title} | relative)
    return [*by_method(figure, results), '', *rows_table(rows)]


def variants_short(figure: Figure, results: Results) -> list[str]:
    """Returns: a column for each method, or for each variant, or a row for each of several."""
    lines = results.lines(figure)
    if len(figure.variants) == 1:
        return by_method(figure, results)
    if len(figure.variants) > LONGEST:
        return []
    if len(figure.variants) > WIDEST:
        return rows_table(
            names(line)
            | {
                'variant': line.variant.name,
                'return': returns(line),
                SHARE: mean_of(line, 'ratio', 2),
            }
            for line in lines
        )
    rows = {(line.setting, line.method): names(line) for line in lines}
    for (setting, method), row in rows.items():
        for variant in figure.variants:
            row[variant.name] = _returns(results.line(setting, method, variant))
    return rows_table(rows.values())


def by_method(figure: Figure, results: Results) -> list[str]:
    """Returns: a row for each test, a column for each method."""
    methods, variant = _methods(figure, results), figure.variants[0]
    return rows_table(
        {'return': setting.title}
        | {METHODS[one].label: _returns(results.line(setting, one, variant)) for one in methods}
        for setting in by_setting(results.lines(figure))
    )


def recovery_short(figure: Figure, results: Results) -> list[str]:
    """How soon after a fault the error is back, what that is worth, and what adapting costs."""
    lines = results.lines(figure)
    faults = [
        names(line)
        | {head: back_row(line, results)[key] for head, key in BACK.items()}
        | worth_row(line, results)
        for line in lines
        if line.numbers('fault_step')
    ]
    quiet = []
    for line in (one for one in lines if not one.numbers('fault_step')):
        base = results.line(line.setting, BASE, Variant()).by_seed('returns')
        relative = {'of MB': ratio(line.by_seed('returns'), base)}
        quiet.append(
            names(line)
            | {'return': returns(line)}
            | relative
            | {'adaptations accepted': share(line, 'accepted')}
        )
    return [*rows_table(faults), *([''] if faults and quiet else []), *rows_table(quiet)]


# Columns of the whole table that are shown, and by which heading.
BACK = {
    'did not rise': 'did not rise',
    'steps until it is back': 'steps until it is back: median (quartiles) of episodes',
    'back within T1 (as trained)': 'back within T1 (as trained)',
    'error from T1 on / L (as trained)': 'error from T1 on / L (as trained)',
    'mean over episodes: back': 'mean over episodes: back',
}


def no_table(figure: Figure, results: Results) -> list[str]:
    """Learning curves have none: the plot is what there is to see."""
    return []


def _methods(figure: Figure, results: Results) -> list[str]:
    return list(dict.fromkeys(line.method for line in results.lines(figure)))


def _returns(line: Line) -> str:
    return returns(line) if line.cells else 'not run'


SHORT_TABLES = {
    'errors': errors_short,
    'curve': no_table,
    'normalised': normalised_short,
    'variants': variants_short,
    'recovery': recovery_short,
}
