# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tables and figures of benchmarks/recordings.py, from its JSON files alone.

python benchmarks/recordings_report.py docs/results/millirobot_recordings
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mbmrl_ros.evaluation.episodes import interval95
from mbmrl_ros.experiments.studies import METHODS as OURS
from mbmrl_ros.reports.page import png
from mbmrl_ros.reports.styles import style_of
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.training.run import write_text

KNOWN = 'known_terrain'
METHODS = {name: OURS[name].label for name in ('mb', 'mb_de', 'grbal')}
COLOURS = {name: style_of(name).colour for name in METHODS}
HORIZONS = ('1', '5', '10')
SHOWN = ('x', 'vx', 'sin_roll', 'sin_yaw', 'left_rate', 'battery')

Cells = dict[str, dict[int, dict[str, Any]]]
"""Split to seed to cell."""


def write_report(out: Path, spec: RobotSpec) -> None:
    """Write results.json, tables.md and the figures from cells/*.json."""
    cells: Cells = {}
    for path in sorted((out / 'cells').glob('*.json')):
        cell = json.loads(path.read_text())
        cells.setdefault(cell['split'], {})[cell['seed']] = cell
    results = {name: summarise(seeds) for name, seeds in cells.items()}
    unseen = [name for name in cells if name != KNOWN]
    if unseen:
        seeds = sorted(set.intersection(*(set(cells[name]) for name in unseen)))
        results['unseen_terrain'] = pooled([[cells[n][seed] for n in unseen] for seed in seeds])
    write_text(out / 'results.json', json.dumps(results, indent=1) + '\n')
    write_text(out / 'tables.md', tables(results, out, spec))
    (out / 'losses.png').write_bytes(png(_draw_losses(results)))
    (out / 'errors.png').write_bytes(png(_draw_errors(results, spec)))


def summarise(seeds: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Return means over training seeds, with 95 % t-intervals where there are several."""
    return pooled([[seeds[seed]] for seed in sorted(seeds)])


def pooled(groups: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the same of groups of cells, a group per seed, the mean of a group for each."""

    def of(key: str, method: str) -> list[float]:
        return [float(np.mean([c['methods'][method][key] for c in group])) for group in groups]

    losses = {name: of('loss_after', name) for name in METHODS}
    losses['grbal_not_adapted'] = of('loss_before', 'grbal')
    losses['no_change'] = of('loss_no_change', 'mb')
    ratios = {
        name: [value / mb for value, mb in zip(losses[name], losses['mb'])]
        for name in ('mb_de', 'grbal')
    }
    cells = [cell for group in groups for cell in group]
    return {
        'seeds': len(groups),
        'windows': sum(cell['methods']['mb']['windows'] for cell in groups[0]),
        'training_transitions': sum(cell['training_transitions'] for cell in groups[0]),
        'loss': {name: _interval(values) for name, values in losses.items()},
        'ratio_to_mb': {name: _interval(values) for name, values in ratios.items()},
        'mb_de_step_sizes': sorted(cell['mb_de_step_size'] for cell in cells),
        'seconds': {
            name: max(cell['seconds'][name] for cell in cells) for name in ('mb', 'grbal')
        },
        'errors': {
            channel: {horizon: _errors(groups, channel, horizon) for horizon in HORIZONS}
            for channel in cells[0]['methods']['mb']['errors']
        },
    }


def _errors(groups: list[list[dict[str, Any]]], channel: str, horizon: str) -> dict[str, float]:
    def root(method: str, prediction: str) -> float:
        squares = [
            cell['methods'][method]['errors'][channel][horizon][prediction] ** 2
            for group in groups
            for cell in group
        ]
        return float(np.sqrt(np.mean(squares)))

    return {'no_change': root('mb', 'no_change')} | {name: root(name, 'after') for name in METHODS}


def _interval(values: Sequence[float]) -> dict[str, Any]:
    """Return a mean over training seeds; no interval with one."""
    mean, half = interval95(list(values))
    return {
        'mean': mean,
        'interval95_over_seeds': half if len(values) > 1 else None,
        'values': [round(v, 5) for v in values],
    }


def tables(results: dict[str, Any], out: Path, spec: RobotSpec) -> str:
    """Return tables.md."""
    manifest = json.loads((out / 'manifest.json').read_text())
    lines = ['## Seconds', '', '| | seconds | |', '| --- | ---: | --- |']
    total = manifest['total']
    lines.append(
        f'| kept | {total["kept_s"]:.1f} | {total["trajectories"]} trajectories, '
        f'{total["transitions"]} transitions |'
    )
    for reason, seconds in sorted(total['dropped_s'].items(), key=lambda item: -item[1]):
        lines.append(f'| {reason} | {seconds:.1f} | {manifest["reasons"][reason]} |')
    lines += [f'| in all | {total["seconds"]:.1f} | {len(manifest["sessions"])} bags |', '']
    lines += ['## Loss on the next 16 steps', '', '±: 95 % t-interval over training seeds.', '']
    header = ['tested on', 'windows', 'no change', *METHODS.values(), 'GrBAL / MB', 'MB+DE / MB']
    lines += ['| ' + ' | '.join(header) + ' |', '| --- ' + '| ---: ' * (len(header) - 1) + '|']
    for name, result in results.items():
        cells = [name.replace('_', ' '), str(result['windows'])]
        cells.append(f'{result["loss"]["no_change"]["mean"]:.3f}')
        cells += [_cell(result['loss'][method], 4) for method in METHODS]
        cells += [_cell(result['ratio_to_mb'][method], 3) for method in ('grbal', 'mb_de')]
        lines.append('| ' + ' | '.join(cells) + ' |')
    for name in (KNOWN, 'unseen_terrain'):
        if name in results:
            lines += ['', f'## Errors in units, {name.replace("_", " ")}', '']
            lines += _error_table(results[name], spec)
    return '\n'.join(lines) + '\n'


def _cell(entry: dict[str, Any], digits: int) -> str:
    half, seeds = entry['interval95_over_seeds'], len(entry['values'])
    mean = f'{entry["mean"]:.{digits}f}'
    return f'{mean} (1 seed)' if half is None else f'{mean} ± {half:.{digits}f} ({seeds} seeds)'


def _error_table(result: dict[str, Any], spec: RobotSpec) -> list[str]:
    header = ['channel', 'unit', *(f'{h} step{"s" * (h != "1")}' for h in HORIZONS)]
    lines = [
        'Root mean square after 1, 5 and 10 steps: no change / MB / MB+DE / GrBAL.', '',
        '| ' + ' | '.join(header) + ' |', '| --- | --- ' + '| ---: ' * len(HORIZONS) + '|',
    ]  # fmt: skip
    for channel in spec.state:
        entry = result['errors'][channel.name]
        cells = [
            ' / '.join(f'{entry[horizon][key]:.3g}' for key in ('no_change', *METHODS))
            for horizon in HORIZONS
        ]
        lines.append('| ' + ' | '.join([channel.name, channel.unit, *cells]) + ' |')
    return lines


def _draw_losses(results: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(8, 3.4))
    axes = figure.subplots()
    width = 0.26
    for k, (method, label) in enumerate(METHODS.items()):
        entries = [result['loss'][method] for result in results.values()]
        axes.bar(
            np.arange(len(results)) + (k - 1) * width,
            [entry['mean'] for entry in entries],
            width,
            yerr=[entry['interval95_over_seeds'] or 0.0 for entry in entries],
            label=label,
            color=COLOURS[method],
            capsize=3,
        )
    names = [name.replace('_', ' ') for name in results]
    axes.set_xticks(range(len(results)), names)
    axes.set(ylabel='loss on the next 16 steps', title='95 % t-interval over training seeds')
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(axis='y', alpha=0.3)
    axes.legend(frameon=False)
    return figure


def _draw_errors(results: dict[str, Any], spec: RobotSpec) -> Figure:
    figure = Figure(figsize=(9, 5), layout='constrained')
    result = results.get('unseen_terrain', next(iter(results.values())))
    units = {channel.name: channel.unit for channel in spec.state}
    for axes, channel in zip(figure.subplots(2, 3).flat, SHOWN):
        for key, label in {'no_change': 'no change', **METHODS}.items():
            values = [result['errors'][channel][horizon][key] for horizon in HORIZONS]
            colour = COLOURS.get(key, '#bbbbbb')
            axes.plot([int(h) for h in HORIZONS], values, marker='o', label=label, color=colour)
        axes.set(title=channel, ylabel=units[channel], ylim=(0, None), xticks=(1, 5, 10))
        axes.spines[['top', 'right']].set_visible(False)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(frameon=False)
    figure.supxlabel('steps ahead')
    return figure


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path, help='of what was measured')
    write_report(parser.parse_args().folder, load_robot('millirobot'))
