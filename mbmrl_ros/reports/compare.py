# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl report RUN RUN ...`: several training runs in one figure and one table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mbmrl_ros.config import UserError, read_yaml
from mbmrl_ros.reports.page import Page, Section, write_page
from mbmrl_ros.reports.run import DURATIONS, POLICY_DURATIONS, Metrics, read_run
from mbmrl_ros.reports.styles import style_of
from mbmrl_ros.system.outputs import check_file

# Share of the iterations, at the end, that the table's return is over.
LAST = 0.1
# Of trainings of one algorithm, of which a curve has so many.
_MARKERS, _MARKED = ('o', 's', '^', 'v', 'D', 'x', '+'), 15


class Run(NamedTuple):
    """A run folder: who it is, what it was set to, its curves."""

    folder: Path
    identity: Mapping[str, Any]
    settings: Mapping[str, object]
    metrics: Metrics

    @property
    def returns(self) -> tuple[str, np.ndarray]:
        """What its return is of, and the return by iteration."""
        after = self.metrics.get('return_after')
        return ('after adaptation', after) if after is not None else (
            'while collecting', self.metrics['return_mean'])  # fmt: skip

    @property
    def at_the_end(self) -> float:
        """Mean return over the last iterations."""
        values = self.returns[1]
        return float(np.nanmean(values[-max(1, round(LAST * len(values))) :]))

    @property
    def hours(self) -> float:
        """How long its iterations took."""
        keys = (key for key in (*DURATIONS, *POLICY_DURATIONS) if key in self.metrics)
        return sum(float(np.nansum(self.metrics[key])) for key in keys) / 3600


def write_comparison(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write the page of several run folders; UserError if they are of different tasks."""
    out = out or Path('comparison.html')
    check_file(out)
    runs = [_read(folder) for folder in dict.fromkeys(folders)]
    tasks = dict.fromkeys(str(run.identity['task']) for run in runs)
    if len(tasks) > 1:
        raise UserError(
            f'these runs are of different tasks ({", ".join(tasks)}), whose returns cannot be '
            'compared; name runs of one task'
        )
    differing = _differing([run.settings for run in runs])
    page = Page(
        f'{len(runs)} trainings on {next(iter(tasks))}',
        [],
        [
            Section(
                'Return against data',
                'Of a rollout, by iteration; one curve per training, without an interval. '
                'Algorithms differ by colour and line, trainings of one algorithm by their marks.',
                figure=_figure(runs),
            ),
            Section(
                'The trainings',
                f'Return: mean over the last {LAST:.0%} of the iterations. Of MB and GrBAL it is '
                'that of collecting, also by the run that one went on from (--start-from); of '
                'meta policy search it is after adaptation.',
                header=('run', 'algorithm', 'seed', 'iterations', 'steps', 'return', 'best',
                        'hours'),
                rows=[_row(run) for run in runs],
            ),
            Section(
                'Settings that differ',
                '' if differing else 'None.',
                header=('setting', *map(_name, runs)) if differing else (),
                rows=[(key, *(str(run.settings.get(key, '-')) for run in runs))
                      for key in differing],
            ),
        ],
    )  # fmt: skip
    return write_page(out, page)


def _read(folder: Path) -> Run:
    metrics, identity = read_run(folder)
    return Run(folder, identity, read_yaml(folder / 'config.yaml'), metrics)


def _name(run: Run) -> str:
    """Return the end of a run's path, which tells it apart."""
    return '/'.join(run.folder.resolve().parts[-2:])


def _differing(settings: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the settings that are not the same everywhere."""
    keys = dict.fromkeys(key for each in settings for key in each)
    return [key for key in keys if len({str(each.get(key, '-')) for each in settings}) > 1]


def _row(run: Run) -> Sequence[str]:
    values = run.returns[1]
    return (
        _name(run),
        str(run.identity['algorithm']),
        str(run.identity['seed']),
        str(len(values)),
        f'{run.metrics["environment_steps"][-1]:.0f}',
        f'{run.at_the_end:.4g}',
        f'{np.nanmax(values):.4g}',
        f'{run.hours:.2f}',
    )


def _figure(runs: Sequence[Run]) -> Figure:
    figure = Figure(figsize=(9, 4))
    axes = figure.subplots()
    markers: defaultdict[str, Iterator[str]] = defaultdict(lambda: cycle(_MARKERS))
    for run in runs:
        algorithm = str(run.identity['algorithm'])
        kind, values = run.returns
        colour, line = style_of(algorithm)
        axes.plot(
            run.metrics['environment_steps'],
            values,
            line,
            color=colour,
            marker=next(markers[algorithm]),
            markevery=max(1, len(values) // _MARKED),
            ms=4,
            label=f'{algorithm}, seed {run.identity["seed"]} ({kind}): {_name(run)}',
        )
    axes.set(xlabel='control steps', ylabel='return per rollout')
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return figure
