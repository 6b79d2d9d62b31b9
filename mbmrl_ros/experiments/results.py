# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The results of cells, read back and brought into the order of a figure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mbmrl_ros.config import UserError
from mbmrl_ros.experiments.recovery import Recovery, read_recoveries
from mbmrl_ros.experiments.studies import METHODS, Figure, Setting, Variant

Cell = dict[str, Any]
"""A file of a measurement, as read."""

# How numbers are written that JSON does not have.
NOT_IN_JSON = {None: math.nan, 'inf': math.inf}


class Line(NamedTuple):
    """What a figure shows of one method in one setting: one cell per training seed."""

    setting: Setting
    method: str
    variant: Variant
    iteration: int | None
    cells: list[Cell]

    @property
    def label(self) -> str:
        """Of the method and the variant."""
        return ', '.join(filter(None, (METHODS[self.method].label, self.variant.name)))

    def groups(self, *keys: str) -> list[list[float]]:
        """Return the lists of `by_seed`; empty where no seed has one."""
        return list(self.by_seed(*keys).values())

    def by_seed(self, *keys: str) -> dict[int, list[float]]:
        """Return a list of numbers per episode for every training seed that has it.

        What is not known, and null in the file, is NaN; infinite errors are 'inf' there.
        """
        found = {int(cell['seed']): _within(cell['result'], keys) for cell in self.cells}
        return {
            seed: [NOT_IN_JSON.get(value, value) for value in values]
            for seed, values in found.items()
            if values is not None
        }

    def numbers(self, *keys: str) -> list[float]:
        """Return a number per training seed, of those that have one."""
        found = [_within(cell['result'], keys) for cell in self.cells]
        return [value for value in found if value is not None]

    def recoveries(self) -> list[Recovery]:
        """Return those of all episodes of all training seeds."""
        found = [_within(cell['result'], ('recovery', 'episodes')) for cell in self.cells]
        return [one for episodes in found for one in read_recoveries(episodes or [])]


class Results:
    """All measurements below a folder."""

    def __init__(self, folder: Path) -> None:
        """UserError if there are none, or a file is damaged."""
        self.folder = folder
        self._cells: dict[tuple[Any, ...], list[Cell]] = {}
        for path in sorted((folder / 'cells').rglob('*.json')):
            cell = _read(path)
            settings = cell['settings']
            key = (settings['training']['task'], settings['test'], settings['method'],
                   settings['variant'], settings['iteration'])  # fmt: skip
            self._cells.setdefault(key, []).append(cell)
        for cells in self._cells.values():
            cells.sort(key=lambda cell: int(cell['seed']))
        if not self._cells:
            raise UserError(f'{folder} holds no finished cell; see mbmrl experiment')

    def line(
        self, setting: Setting, method: str, variant: Variant, iteration: int | None = None
    ) -> Line:
        """Return what there is of it, perhaps nothing."""
        key = (setting.task, setting.test, method, variant.name, iteration)
        return Line(setting, method, variant, iteration, self._cells.get(key, []))

    def lines(self, figure: Figure) -> list[Line]:
        """Return the lines of a figure that have cells, with the last bundle."""
        wanted = (
            self.line(setting, method, variant)
            for setting in figure.settings
            for variant in figure.variants
            for method in figure.methods
        )
        return [line for line in wanted if line.cells]

    def curve(self, line: Line) -> Iterator[tuple[float, dict[int, list[float]]]]:
        """Yield the steps of data and the returns after the iterations that were measured."""
        key = (line.setting.task, line.setting.test, line.method, line.variant.name)
        numbers = sorted(k[4] for k in self._cells if k[:4] == key and k[4] is not None)
        for iteration in (*numbers, None):
            point = self.line(line.setting, line.method, line.variant, iteration)
            if point.cells:
                yield float(np.mean(point.numbers('environment_steps'))), point.by_seed('returns')


def _within(value: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _read(path: Path) -> Cell:
    try:
        cell = json.loads(path.read_text())
        if not {'settings', 'result', 'seed', 'command'} <= set(cell):
            raise ValueError('it lacks settings, result, seed or command')
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f'{path} is not the result of a cell: {error}') from error
    return dict(cell)
