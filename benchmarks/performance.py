# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plots and the page from the files of performance.sh: python benchmarks/performance.py FOLDER.

Writes FOLDER.md beside the folder, and the plots into it. A file that is not there is left out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Result = dict[str, Any]

# Lines of the plots: label and colour.
LINES = {
    'tick_ms': ('tick', '#1f6fb2'),
    'adapt_ms': ('adapting', '#5aa469'),
    'limit_ms': ('matrix products alone', '#7b7b7b'),
    'adapt_limit_ms': ('its matrix products alone', '#b9b9b9'),
    'pytorch_mppi_ms': ('pytorch_mppi', '#8c6d31'),
    'step_ms': ('ours', '#1f6fb2'),
    'autograd_loop_ms': ('loop of autograd graphs', '#8c6d31'),
    'vmap_ms': ('torch.func.vmap', '#c0504d'),
    'env_steps_per_s': ('physics, batched', '#1f6fb2'),
    'world_env_steps_per_s': ('with the sensors of the robot file', '#5aa469'),
    'gymnasium_env_steps_per_s': ('gymnasium, one environment', '#8c6d31'),
}
# Curves: what varies, and what is shown of it.
TICK = ('tick_ms', 'adapt_ms', 'limit_ms', 'pytorch_mppi_ms')
PLOTS: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
    'growth_tick': {
        'candidates': ('candidates K', TICK),
        'horizon': ('horizon H', TICK),
        'width': ('width of three layers', TICK),
        'window': ('window M', ('adapt_ms', 'adapt_limit_ms')),
    },
    'growth_batches': {
        'tasks': ('tasks', ('step_ms', 'autograd_loop_ms', 'vmap_ms', 'limit_ms')),
        'environments': (
            'environments',
            ('env_steps_per_s', 'world_env_steps_per_s', 'gymnasium_env_steps_per_s'),
        ),
    },
}
CAPTIONS = {
    'growth_tick': 'One control tick against K, H, width and M',
    'growth_batches': 'Meta-gradient against tasks, simulator against environments',
}
CONDITIONS = ('processor', 'cores', 'threads', 'device', 'torch', 'python', 'load_average')


def main() -> None:
    """Write the page and its plots."""
    folder = Path(sys.argv[1])
    results = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob('*.json'))}
    sections = [SECTIONS[name](results.pop(name)) for name in SECTIONS if name in results]
    if 'growth' in results:
        sections.append(_growth(folder, results.pop('growth')))
    for name, result in results.items():
        if 'faults' in result:  # a robot with its faults: ten_minutes.md
            continue
        title = TITLES.get(name, name.replace('_', ' ').capitalize())
        shown = _tick(result, title) if 'tick_ms' in result else _others(title, result)
        sections.append(shown)
    precision = sorted((folder.parent / 'precision').glob('*.json'))
    if precision:
        sections.append(_precision(precision))
    page = folder.parent / f'{folder.name}.md'
    page.write_text('\n'.join(['# Performance', '', INTRODUCTION, *sections]))
    print(f'wrote {page}')


INTRODUCTION = """Written by `benchmarks/performance.py` from the files of
`benchmarks/performance.sh`, which measures everything again. Medians over alternating
repetitions, ours and the peers in one process; what the keys mean: [bench.md](../bench.md).
"""


def _tick(result: Result, title: str = 'One control tick') -> str:
    size = f'{result["candidates"]} x {result["horizon"]}'
    asked = size == '2500 x 15' and result['device'] == 'cpu'
    rows = [
        ('candidates x horizon, precision', f'{size}, {result["precision"]}', ''),
        ('tick', _ms(result, 'tick_ms'), ''),
        ('of which adapting', _ms(result, 'adapt_ms'), ''),
        ('of which planning', _ms(result, 'plan_ms'), ''),
        ('matrix products of planning alone', _ms(result, 'limit_ms'), ''),
        ('pytorch_mppi, float32', _ms(result, 'pytorch_mppi_ms'), ''),
        ('tick / matrix products', f'{result["limit_ratio"]:.2f}', 'at most 1.35' * asked),
    ]
    if result['speedup'] is not None:
        ratio = f'{result["speedup"]:.2f}'
        rows.append(('pytorch_mppi / tick', ratio, 'at least 3.5, bfloat16' * asked))
    return _asked(title, rows, result)


def _meta(result: Result) -> str:
    size = f'{result["tasks"]} x ({result["past"]} + {result["future"]})'
    rows = [
        ('tasks x (past + future)', size, ''),
        ('meta-gradient, second order', _ms(result, 'step_ms'), ''),
        ('loop of autograd graphs', _ms(result, 'autograd_loop_ms'), ''),
        ('torch.func.vmap', _ms(result, 'vmap_ms'), ''),
        ('matrix products alone', _ms(result, 'limit_ms'), ''),
        ('loop / ours', f'{result["speedup_loop"]:.2f}', ''),
        ('vmap / ours', f'{result["speedup_vmap"]:.2f}', ''),
        ('ours / matrix products', f'{result["limit_ratio"]:.2f}', ''),
        ('largest relative difference', f'{result["max_relative_difference"]:.1e}', '1e-5'),
    ]
    return _asked('Meta-gradient', rows, result)


def _sim(result: Result) -> str:
    rows = [('environments, steps', f'{result["environments"]}, {result["steps"]}', '')]
    for name, robot in result['robots'].items():
        rows += [
            (f'{name}: control steps a second', f'{robot["env_steps_per_s"]:.0f}', ''),
            ('gymnasium', f'{robot["gymnasium_env_steps_per_s"]:.0f}', ''),
            ('ratio', f'{robot["speedup"]:.2f}', 'at least 3'),
            ('ratio, both drawing random actions', f'{robot["drawn_speedup"]:.2f}', ''),
            (
                'ratio of the physics alone, in one call for all steps',
                f'{robot["limit_speedup"]:.2f}',
                '',
            ),
            ('largest difference of qpos, qvel', f'{robot["max_difference"]:.1e}', '1e-8'),
        ]
        if robot['world_env_steps_per_s']:
            rate = f'{robot["world_env_steps_per_s"]:.0f}'
            rows.append(('with the sensors of the robot file', rate, ''))
    return _asked('Simulator', rows, result)


def _precision(paths: list[Path]) -> str:
    """Returns of the same bundle with imagined rollouts in both precisions (precision.sh)."""
    lines = ['## Return by precision', '', 'Ten episodes from the same start states.', '']
    lines += ['| test, precision | return of one model (SD of episodes) |', '|---|---|']
    for path in sorted(paths, key=lambda path: path.stem.split('_', 1)[::-1]):
        result = json.loads(path.read_text())
        for test, row in result['tests'].items():
            shown = f'{row["mean"]:.0f} ({row["std_over_episodes"]:.0f})'
            lines.append(f'| {test}, {result["precision"]} | {shown} |')
    return '\n'.join([*lines, ''])


def _growth(folder: Path, result: Result) -> str:
    lines = ['## Growth', '', _conditions(result), '']
    for name, panels in PLOTS.items():
        shown = {key: panel for key, panel in panels.items() if key in result['curves']}
        if shown:
            _plot(folder / f'{name}.png', shown, result['curves'])
            lines += [f'![{CAPTIONS[name]}]({folder.name}/{name}.png)', '']
    return '\n'.join(lines)


def _plot(
    path: Path, panels: dict[str, tuple[str, tuple[str, ...]]], curves: dict[str, Any]
) -> None:
    figure = Figure(figsize=(4.6 * min(2, len(panels)), 3.5 * ((len(panels) + 1) // 2)))
    grid = figure.subplots((len(panels) + 1) // 2, min(2, len(panels)), squeeze=False)
    for axes, (name, (label, keys)) in zip(grid.flat, panels.items()):
        _panel(axes, name, keys, curves[name])
        unit = 'control steps / s' if keys[0].endswith('per_s') else 'ms'
        axes.set(xscale='log', yscale='log', xlabel=label, ylabel=unit)
        axes.set_xticks([point[name] for point in curves[name]])
        axes.set_xticklabels([str(point[name]) for point in curves[name]])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _panel(axes: Axes, name: str, keys: tuple[str, ...], points: list[Result]) -> None:
    for key in keys:
        known = [point for point in points if point.get(key) is not None]
        if known:
            label, colour = LINES[key]
            values = [point[key] for point in known]
            axes.plot([p[name] for p in known], values, 'o-', ms=4, color=colour, label=label)


def _asked(title: str, rows: list[tuple[str, str, str]], result: Result) -> str:
    lines = [f'## {title}', '', _conditions(result), '', '| | measured | asked |', '|---|---|---|']
    return '\n'.join([*lines, *(f'| {" | ".join(row)} |' for row in rows), ''])


def _others(title: str, result: Result) -> str:
    rows = [f'| {key} | {value} |' for key, value in _flat('', result)]
    return '\n'.join([f'## {title}', '', '| | |', '|---|---|', *rows, ''])


def _flat(prefix: str, value: Any) -> list[tuple[str, str]]:
    """Return the numbers and texts of nested records; series belong into plots."""
    if isinstance(value, dict):
        return [row for key, item in value.items() for row in _flat(f'{prefix}.{key}', item)]
    if isinstance(value, list) and len(value) > len(CONDITIONS):
        return []
    return [(f'`{prefix.removeprefix(".")}`', str(value))]


def _conditions(result: Result) -> str:
    return ', '.join(f'{key.replace("_", " ")} {result[key]}' for key in CONDITIONS) + '.'


def _ms(result: Result, key: str) -> str:
    return 'not installed' if result[key] is None else f'{result[key]:.1f} ms'


TITLES = {
    'tick_1000x10': 'One control tick, 1000 x 10',
    'lockstep': 'Control rate over topics',
    'long_run': 'A long run',
    'long_run_second': 'A second long run',
    'long_run_priority': 'A long run with real-time priority',
    'long_run_priority_stalls': 'The same before, on a machine that stood still more often',
    'long_run_priority_loaded': 'The same before, beside other jobs',
    'long_run_rehearsed': 'The same with the rehearsal, beside other jobs',
    'long_run_two_threads': 'The same with both cores for the controller',
    'overlap': 'Fitting while collecting',
    'tick_gpu': 'One control tick on a GPU',
    'meta_gpu': 'Meta-gradient on a GPU',
    'largest_gpu': 'Most candidates in 10 ms on a GPU',
}
SECTIONS = {'tick': _tick, 'meta': _meta, 'sim': _sim}

if __name__ == '__main__':
    main()
