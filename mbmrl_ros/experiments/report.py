# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl report DIR` of experiments: one Markdown page with plots and tables, and the cells.

Every figure is a block between two comments. What a person has written outside of the blocks stays
when the page is made again.
"""

from __future__ import annotations

import functools
import re
import shutil
from pathlib import Path

import numpy as np

from mbmrl_ros.config import UserError, write_text
from mbmrl_ros.envs.tasks import TASKS
from mbmrl_ros.experiments.columns import LEGEND, rows_table
from mbmrl_ros.experiments.plots import PLOTS
from mbmrl_ros.experiments.results import Line, Results
from mbmrl_ros.experiments.studies import FIGURES, METHODS, Figure
from mbmrl_ros.experiments.tables import TABLES
from mbmrl_ros.reports.page import png
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.system.outputs import check_file, reason, replacing

HEAD = """# Adaptation: the figures of the thesis, and beyond

Means over training seeds, with 95 % t-intervals over the means of seeds; where one model was
trained, the standard deviation over its episodes, which is no interval. A robot whose episode
ended early earns nothing more, and is counted. Errors: squared errors of normalised changes over
the next T2 steps, with the parameters as trained (before) and as adapted to the T1 steps before
(after). Blocks between comments are written by `mbmrl report`; every number is in a file of
`{cells}`, which names the command that makes it again.
"""


def is_experiment(folder: Path) -> bool:
    """Whether a folder holds cells of experiments, not a training run."""
    return (folder / 'cells').is_dir()


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write the page and, in a folder of its name beside it, plots and cells."""
    results = Results(folder)
    page = out or folder / 'adaptation.md'
    if not page.suffix or (page.exists() and not page.is_file()):
        raise UserError(
            f'{page} cannot be the page: plots and cells lie beside it, in a folder of its name; '
            'name a file such as adaptation.md'
        )
    check_file(page)
    beside = page.with_suffix('')
    blocks = {}
    try:
        beside.mkdir(parents=True, exist_ok=True)
        for name, figure in FIGURES.items():
            if results.lines(figure):
                with replacing(beside / f'{name}.png') as plot:
                    plot.write_bytes(png(PLOTS[figure.draw](figure, results)))
                blocks[name] = _block(name, figure, results, beside.name)
        if beside.resolve() != folder.resolve():
            shutil.copytree(folder / 'cells', beside / 'cells', dirs_exist_ok=True)
        head = HEAD.format(cells=f'{beside.name}/cells')
        text = page.read_text('utf-8') if page.exists() else head
    except OSError as error:
        raise UserError(f'cannot write {page}: {reason(error)}') from error
    except UnicodeDecodeError as error:
        raise UserError(f'{page} is no text in UTF-8; choose another --out') from error
    for name, lines in blocks.items():
        text = placed(text, name, '\n'.join(lines))
    write_text(page, text)
    return page


def placed(text: str, name: str, block: str) -> str:
    """Return the page with a block in the place of its older version, or at the end."""
    begin, end = f'<!-- mbmrl report: {name} -->', f'<!-- end of {name} -->'
    whole = f'{begin}\n{block}\n{end}'
    pattern = re.compile(re.escape(begin) + '.*?' + re.escape(end), re.DOTALL)
    if pattern.search(text):
        return pattern.sub(lambda match: whole, text)
    return f'{text.rstrip()}\n\n{whole}\n'


def _block(name: str, figure: Figure, results: Results, folder: str) -> list[str]:
    lines = results.lines(figure)
    commands = [cell['command'] for line in lines for cell in line.cells]
    quick = any('--quick' in command for command in commands)
    warning = ['**Made with --quick: a check of the machinery, not a result.**', '']
    return [
        f'## {figure.title}',
        '',
        *(warning if quick else []),
        f'![{figure.title}]({folder}/{name}.png)',
        '',
        *TABLES[figure.draw](figure, results),
        '',
        LEGEND,
        '',
        f'Differs from the paper: {figure.differs}.' if figure.differs else 'Not in the paper.',
        '',
        *budget_table(lines),
        '',
        *_not_run(figure, lines),
    ]


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
    return ['Budget:', '', *rows_table(rows)]


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
