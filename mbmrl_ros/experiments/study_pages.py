# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The page of a study, beside the cells that it is of: figure, table, the commands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mbmrl_ros.config import UserError, write_text
from mbmrl_ros.experiments import policy_pages, search_pages
from mbmrl_ros.experiments.every_study import LABELS, STUDIES
from mbmrl_ros.experiments.study_plots import Arm, Tasks
from mbmrl_ros.reports.page import png
from mbmrl_ros.reports.styles import style_of
from mbmrl_ros.system.outputs import replacing

CELLS = 'cells.jsonl'
DRAW = policy_pages.DRAW | search_pages.DRAW


def has_studies(folder: Path) -> bool:
    """Whether a folder holds cells of studies, as they are made or as a page keeps them."""
    return (folder / 'studies').is_dir() or (folder / CELLS).is_file()


def write_study_pages(folder: Path, out: Path | None = None) -> list[Path]:
    """Write the page of every study in a folder; what stands outside of its block stays.

    folder: --out of `mbmrl experiment`, or what lies beside a page. out: where pages go; default:
    the folder itself, or the one that the page is in. UserError if there is nothing.
    """
    kept = folder / CELLS
    files = [kept] if kept.exists() else sorted((folder / 'studies').rglob('*.json'))
    lines = [line for file in files for line in _lines(file)]
    if not lines:
        raise UserError(f'{folder} holds no finished cell; see mbmrl experiment')
    target = out or (folder.parent if kept.exists() else folder)
    pages = []
    for name in STUDIES:
        cells = [cell for cell in lines if cell['settings']['study'] == name]
        if cells:
            pages.append(_write_page(name, cells, target))
    return pages


def _lines(file: Path) -> list[dict[str, Any]]:
    try:
        text = file.read_text()
        cells = text.splitlines() if file.suffix == '.jsonl' else [text]
        return [json.loads(cell) for cell in cells]
    except (OSError, ValueError) as error:
        raise UserError(f'{file} is not the result of a cell: {error}') from error


def _write_page(name: str, cells: list[dict[str, Any]], target: Path) -> Path:
    from mbmrl_ros.experiments.report import placed

    page = target / f'{name.replace("-", "_")}.md'
    beside = page.with_suffix('')
    beside.mkdir(parents=True, exist_ok=True)
    plot, table = DRAW[STUDIES[name].plot](_tasks(cells))
    with replacing(beside / f'{name}.png') as path:
        path.write_bytes(png(plot))
    write_text(beside / CELLS, ''.join(f'{json.dumps(cell)}\n' for cell in cells))
    commands = {re.sub(r' --methods \S+ --seeds \d+', '', cell['command']) for cell in cells}
    block = [f'![{STUDIES[name].title}]({beside.name}/{name}.png)', '', *table, '',
             *(f'    {command}' for command in sorted(commands))]  # fmt: skip
    if any('--quick' in command for command in commands):
        block = ['**Made with --quick: a check of the machinery, not a result.**', '', *block]
    text = page.read_text() if page.exists() else f'# {STUDIES[name].title}\n'
    write_text(page, placed(text, name, '\n'.join(block)))
    return page


def _tasks(cells: list[dict[str, Any]]) -> Tasks:
    """Return the arms of every task, in the order of the tables."""
    order = list(LABELS)
    tasks: Tasks = {}
    for task in dict.fromkeys(cell['settings']['task'] for cell in cells):
        found: dict[str, dict[int, dict[str, Any]]] = {}
        for cell in cells:
            if cell['settings']['task'] == task:
                arm, seed = cell['settings']['arm'], cell['settings']['seed']
                found.setdefault(arm, {})[seed] = cell['result']
        names = sorted(found, key=order.index)
        tasks[task] = [Arm(name, LABELS[name], style_of(name), found[name]) for name in names]
    return tasks
