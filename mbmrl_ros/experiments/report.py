# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl report DIR` of experiments: a Markdown page with plots and numbers, and all tables.

Every figure is a block between two comments. What a person has written outside of the blocks stays
when the page is made again.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
from pathlib import Path

import numpy as np

from mbmrl_ros.config import UserError, write_text
from mbmrl_ros.envs.tasks import TASKS
from mbmrl_ros.experiments.columns import LEGEND, rows_table
from mbmrl_ros.experiments.plots import PLOTS
from mbmrl_ros.experiments.results import Line, Results
from mbmrl_ros.experiments.short_tables import SHORT_TABLES
from mbmrl_ros.experiments.studies import FIGURES, METHODS, Figure
from mbmrl_ros.experiments.tables import TABLES
from mbmrl_ros.reports.page import png
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.system.outputs import check_file, reason, replacing

TITLE = '# Adaptation: the figures of the thesis, and beyond'
HEAD = f"""{TITLE}

Means over training seeds, with 95 % t-intervals over the means of seeds; where one model was
trained, the standard deviation over its episodes, which is no interval. A robot whose episode
ended early earns nothing more, and is counted. Errors: squared errors of normalised changes over
the next T2 steps, with the parameters as trained (before) and as adapted to the T1 steps before
(after).
"""
ALL_TABLES = 'tables.md'
NOT_IN_PAPER = 'Not in the paper.'
QUICK = '**Made with --quick: a check of the machinery, not a result.**'


def is_experiment(folder: Path) -> bool:
    """Whether a folder holds cells of experiments, not a training run."""
    return (folder / 'cells').is_dir()


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write the page and, in a folder of its name beside it, plots, cells and all tables.

    The block of a figure goes where its older version is, on the page or on one in that folder.
    """
    results = Results(folder)
    page = out or folder / 'adaptation.md'
    if not page.suffix or (page.exists() and not page.is_file()):
        raise UserError(
            f'{page} cannot be the page: plots and cells lie beside it, in a folder of its name; '
            'name a file such as adaptation.md'
        )
    check_file(page)
    beside = page.with_suffix('')
    shown = {name: figure for name, figure in FIGURES.items() if results.lines(figure)}
    try:
        beside.mkdir(parents=True, exist_ok=True)
        for name, figure in shown.items():
            with replacing(beside / f'{name}.png') as plot:
                plot.write_bytes(png(PLOTS[figure.draw](figure, results)))
        if beside.resolve() != folder.resolve():
            shutil.copytree(folder / 'cells', beside / 'cells', dirs_exist_ok=True)
        texts = _texts(page, beside)
    except OSError as error:
        raise UserError(f'cannot write {page}: {reason(error)}') from error
    except UnicodeDecodeError as error:
        raise UserError(f'a page is no text in UTF-8: {error}; choose another --out') from error
    for name, figure in shown.items():
        home = next((path for path, text in texts.items() if _begin(name) in text), page)
        plot = Path(os.path.relpath(beside / f'{name}.png', home.parent))
        texts[home] = placed(texts[home], name, '\n'.join(_block(figure, results, plot)))
    texts[beside / ALL_TABLES] = '\n'.join(_all_tables(shown, results))
    for path, text in texts.items():
        write_text(path, text)
    return page


def _texts(page: Path, beside: Path) -> dict[Path, str]:
    """Return the page and those in the folder beside it."""
    link = f'[{ALL_TABLES}]({beside.name}/{ALL_TABLES})'
    head = f'{HEAD}\nAll tables, and the data that methods had: {link}.\n'
    first = {page: page.read_text('utf-8') if page.exists() else head}
    return first | {path: path.read_text('utf-8') for path in sorted(beside.glob('*.md'))}


def placed(text: str, name: str, block: str) -> str:
    """Return the page with a block in the place of its older version, or at the end."""
    begin, end = _begin(name), f'<!-- end of {name} -->'
    whole = f'{begin}\n{block}\n{end}'
    pattern = re.compile(re.escape(begin) + '.*?' + re.escape(end), re.DOTALL)
    if pattern.search(text):
        return pattern.sub(lambda match: whole, text)
    return f'{text.rstrip()}\n\n{whole}\n'


def _begin(name: str) -> str:
    return f'<!-- mbmrl report: {name} -->'


def _block(figure: Figure, results: Results, plot: Path) -> list[str]:
    """Return the plot of a figure and its numbers."""
    table = SHORT_TABLES[figure.draw](figure, results)
    return [*_headed(figure, results, plot), *(['', *table] if table else [])]


def _headed(figure: Figure, results: Results, plot: Path) -> list[str]:
    commands = [cell['command'] for line in results.lines(figure) for cell in line.cells]
    quick = any('--quick' in command for command in commands)
    warning = [QUICK, ''] if quick else []
    return [f'## {figure.title}', '', *warning, f'![{figure.title}]({plot.as_posix()})']


def _all_tables(shown: dict[str, Figure], results: Results) -> list[str]:
    """Return the page that holds everything: all figures, all tables, and the data behind them."""
    lines = [
        f'{TITLE}: all tables',
        '',
        'Written by `mbmrl report` from the files in `cells`.',
        '',
    ]
    lines += [LEGEND, '']
    for name, figure in shown.items():
        paper = f'Differs from the paper: {figure.differs}.' if figure.differs else NOT_IN_PAPER
        lines += [*_headed(figure, results, Path(f'{name}.png')), '']
        lines += [*TABLES[figure.draw](figure, results), '', paper, '']
        lines += _not_run(figure, results.lines(figure))
    every = [line for figure in shown.values() for line in results.lines(figure)]
    return [*lines, '## Budget', '', *budget_table(every), '']


def budget_table(lines: list[Line]) -> list[str]:
    """Return a table of the data that every method had, and how it was measured."""
    rows: list[dict[str, str]] = []
    for line in lines:
        steps = float(np.mean(line.numbers('environment_steps')))
        measured = line.cells[0]['settings']
        planner = line.cells[0]['result'].get('planner')
        plans = '{candidates} x {horizon}'.format(**planner) if planner else 'none'
        row = {
            'task': line.setting.task,
            'method': METHODS[line.method].label,
            'control steps': f'{steps:.0f}',
            'simulated hours': f'{steps * _period_s(line.setting.task) / 3600:.2f}',
            'training seeds': ', '.join(str(cell['seed']) for cell in line.cells),
            'episodes x steps per test': f'{measured["episodes"]} x {measured["steps"]}',
            'ended early': _ended_early(line),
            'candidates x horizon': plans,
        }
        if row not in rows:
            rows.append(row)
    return rows_table(rows)


@functools.cache
def _period_s(task: str) -> float:
    return load_robot(TASKS[task].robot).period_s


def _ended_early(line: Line) -> str:
    """Return how many episodes of all training seeds did, where that was counted."""
    counts = line.numbers('ended_early')
    return f'{sum(counts):.0f}' if len(counts) == len(line.cells) else 'not counted'


def _not_run(figure: Figure, lines: list[Line]) -> list[str]:
    """Return what the figure asks for and there is nothing, or not all, of."""
    there = {(line.setting, line.method, line.variant.name) for line in lines}
    parts = []
    for setting in figure.settings:
        missing = [
            METHODS[method].label
            for method in figure.methods
            if any((setting, method, one.name) not in there for one in figure.variants)
        ]
        if missing:
            every = len(missing) == len(figure.methods)
            parts.append(f'{setting.title}: {"all" if every else ", ".join(missing)}')
    return [f'Not run, or not wholly: {"; ".join(parts)}.', ''] if parts else []
