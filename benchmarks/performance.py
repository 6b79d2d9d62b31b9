# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plots and the page from the files of performance.sh: python benchmarks/performance.py FOLDER.

Writes FOLDER.md beside the folder, and plots and tables.md into it. Every section of the page is a
block between two comments; what a person has written outside of them stays. A file that is not
there is left out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from performance_plots import PLOTS, plot_curves, plot_period_errors

from mbmrl_ros.experiments.report import placed

Result = dict[str, Any]

CAPTIONS = {
    'growth_tick': 'One control tick against K, H, width and M',
    'growth_batches': 'Meta-gradient against tasks, simulator against environments',
}
CONDITIONS = ('processor', 'cores', 'threads', 'device', 'torch', 'python', 'load_average')


def main() -> None:
    """Write the blocks of the page, its plots, and everything else that was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path, help='of the JSON files; the page stands beside it')
    folder = parser.parse_args().folder
    results = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob('*.json'))}
    ticks = [results.pop(name) for name in [*results] if 'tick_ms' in results[name]]
    blocks = {name: SECTIONS[name](results.pop(name)) for name in SECTIONS if name in results}
    if ticks:
        blocks = {'tick': _tick(ticks)} | blocks
    if 'growth' in results:
        blocks['growth'] = _growth(folder, results.pop('growth'))
    precision = sorted((folder.parent / 'precision').glob('*.json'))
    if precision:
        blocks['precision'] = _precision(precision)
    if (folder / 'int8').is_dir():
        blocks['int8'] = _int8(folder / 'int8')
    page = folder.parent / f'{folder.name}.md'
    text = page.read_text() if page.exists() else '# Performance\n'
    for name, lines in blocks.items():
        text = placed(text, name, '\n'.join(lines))
    page.write_text(text)
    long_runs = {TITLES[name]: results[name] for name in LONG_RUNS if name in results}
    if long_runs:
        plot_period_errors(folder / 'ten_minutes.png', long_runs)
    others = [
        line
        for name, result in results.items()
        if name != 'planners'  # has a page of its own
        for line in _others(TITLES.get(name, name.replace('_', ' ').capitalize()), result)
    ]
    (folder / 'tables.md').write_text('\n'.join([INTRODUCTION, *others]))
    print(f'wrote {page}')


INTRODUCTION = """# Performance: long runs, and what else was measured

Written by `benchmarks/performance.py` from the files of this folder.
"""


def _tick(results: list[Result]) -> list[str]:
    results = sorted(results, key=lambda result: result['limit_ms'])
    rows = [
        ('', *(_size(result) for result in results)),
        ('tick', *(_ms(result, 'tick_ms') for result in results)),
        ('of which adapting', *(_ms(result, 'adapt_ms') for result in results)),
        ('of which planning', *(_ms(result, 'plan_ms') for result in results)),
        ('matrix products of planning alone', *(_ms(result, 'limit_ms') for result in results)),
        ('tick / matrix products', *(f'{result["limit_ratio"]:.2f}' for result in results)),
        ('pytorch_mppi, float32', *(_ms(result, 'pytorch_mppi_ms') for result in results)),
        ('pytorch_mppi / tick', *(_times(result['speedup']) for result in results)),
    ]
    return _section('One control tick', rows, results[0])


def _size(result: Result) -> str:
    device = '' if result['device'] == 'cpu' else f', {result["device"]}'
    return f'{result["candidates"]} x {result["horizon"]}, {result["precision"]}{device}'


def _meta(result: Result) -> list[str]:
    size = f'{result["tasks"]} x ({result["past"]} + {result["future"]})'
    rows = [
        ('tasks x (past + future)', size),
        ('meta-gradient, second order', _ms(result, 'step_ms')),
        ('loop of autograd graphs', _ms(result, 'autograd_loop_ms')),
        ('torch.func.vmap', _ms(result, 'vmap_ms')),
        ('matrix products alone', _ms(result, 'limit_ms')),
        ('loop / ours', _times(result['speedup_loop'])),
        ('vmap / ours', _times(result['speedup_vmap'])),
        ('ours / matrix products', _times(result['limit_ratio'])),
        ('largest relative difference', f'{result["max_relative_difference"]:.1e}'),
    ]
    return _section('Meta-gradient', rows, result)


def _sim(result: Result) -> list[str]:
    robots = result['robots'].values()
    rows = [
        ('control steps a second', *result['robots']),
        ('ours, batched', *(f'{robot["env_steps_per_s"]:.0f}' for robot in robots)),
        (
            'with the sensors of the robot file',
            *(f'{robot["world_env_steps_per_s"] or 0:.0f}' for robot in robots),
        ),
        ('gymnasium', *(f'{robot["gymnasium_env_steps_per_s"]:.0f}' for robot in robots)),
        ('ours / gymnasium', *(_times(robot['speedup']) for robot in robots)),
        (
            'the same, both drawing random actions',
            *(_times(robot['drawn_speedup']) for robot in robots),
        ),
        (
            'physics alone, in one call for all steps / gymnasium',
            *(_times(robot['limit_speedup']) for robot in robots),
        ),
        (
            'largest difference of qpos, qvel',
            *(f'{robot["max_difference"]:.1e}' for robot in robots),
        ),
    ]
    title = f'Simulator: {result["environments"]} environments, {result["steps"]} steps'
    return _section(title, rows, result)


def _precision(paths: list[Path]) -> list[str]:
    """Returns of the same bundle with imagined rollouts in both precisions (precision.sh)."""
    lines = ['## Return by precision', '', 'Ten episodes from the same start states.', '']
    lines += ['| test, precision | return of one model (SD of episodes) |', '|---|---|']
    for path in sorted(paths, key=lambda path: path.stem.split('_', 1)[::-1]):
        result = json.loads(path.read_text())
        for test, row in result['tests'].items():
            shown = f'{row["mean"]:.0f} ({row["std_over_episodes"]:.0f})'
            lines.append(f'| {test}, {result["precision"]} | {shown} |')
    return lines


def _int8(folder: Path) -> list[str]:
    """Ticks and returns on a processor without bfloat16 (int8.sh)."""
    results = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob('*.json'))}
    ticks = [result for name, result in results.items() if name.startswith('tick')]
    sizes = (f'{_size(each)}, threads {each["threads"]}' for each in ticks)
    ratios = (_times(each['float32_ms'] / each['tick_ms']) for each in ticks)
    rows = [
        ('', *sizes),
        ('tick, int8', *(_ms(each, 'tick_ms') for each in ticks)),
        ('tick, float32', *(_ms(each, 'float32_ms') for each in ticks)),
        ('pytorch_mppi, float32', *(_ms(each, 'pytorch_mppi_ms') for each in ticks)),
        ('float32 / int8', *ratios),
        ('pytorch_mppi / int8', *(_times(each['speedup']) for each in ticks)),
    ]
    lines = _section('A processor with AVX-512 VNNI, without bfloat16', rows, ticks[0])
    lines += ['', '| ten episodes, precision | return (SD of episodes) |', '|---|---|']
    for result in (each for each in results.values() if 'tests' in each):
        for test, row in result['tests'].items():
            shown = f'{row["mean"]:.0f} ({row["std_over_episodes"]:.0f})'
            lines.append(f'| {result["bundle"]}, {test}, {result["precision"]} | {shown} |')
    return lines


def _growth(folder: Path, result: Result) -> list[str]:
    lines = ['## Growth', '', _conditions(result), '']
    for name, panels in PLOTS.items():
        shown = {key: panel for key, panel in panels.items() if key in result['curves']}
        if shown:
            plot_curves(folder / f'{name}.png', shown, result['curves'])
            lines += [f'![{CAPTIONS[name]}]({folder.name}/{name}.png)', '']
    return lines[:-1]


def _section(title: str, rows: list[tuple[str, ...]], result: Result) -> list[str]:
    """Return a table whose first row heads its columns, and what it was measured on."""
    lines = [f'| {" | ".join(row)} |' for row in rows]
    lines.insert(1, '|---' * len(rows[0]) + '|')
    return [f'## {title}', '', *lines, '', _conditions(result)]


def _others(title: str, result: Result) -> list[str]:
    rows = [f'| {key} | {value} |' for key, value in _flat('', result)]
    return [f'## {title}', '', '| | |', '|---|---|', *rows, '']


def _flat(prefix: str, value: Any) -> list[tuple[str, str]]:
    """Return the numbers and texts of nested records; series belong into plots."""
    if isinstance(value, dict):
        return [row for key, item in value.items() for row in _flat(f'{prefix}.{key}', item)]
    if isinstance(value, list) and len(value) > len(CONDITIONS):
        return []
    return [(f'`{prefix.removeprefix(".")}`', str(value))]


def _conditions(result: Result) -> str:
    return ', '.join(f'{key.replace("_", " ")} {result[key]}' for key in CONDITIONS) + '.'


def _times(ratio: float | None) -> str:
    return '-' if ratio is None else f'{ratio:.2f}'


def _ms(result: Result, key: str) -> str:
    return 'not installed' if result[key] is None else f'{result[key]:.1f} ms'


TITLES = {
    'tick_1000x10': 'One control tick, 1000 x 10',
    'lockstep': 'Control rate over topics',
    'long_run': 'Half-cheetah',
    'long_run_second': 'Half-cheetah, a second run',
    'long_run_priority': 'Half-cheetah with priority',
    'long_run_priority_stalls': 'Half-cheetah with priority, before periods followed the sensors',
    'long_run_priority_loaded': 'Half-cheetah with priority, beside other jobs',
    'long_run_rehearsed': 'Half-cheetah with priority and rehearsal, beside other jobs',
    'long_run_ensemble': 'Half-cheetah at 20 Hz, ensemble with policy and value, beside trainings',
    'long_run_millirobot': 'Millirobot, with gate',
    'long_run_millirobot_priority': 'Millirobot with priority, with gate',
    'long_run_pr2_left_arm': 'PR2 arm, with gate',
    'long_run_pr2_left_arm_priority': 'PR2 arm with priority, with gate',
    'long_run_two_threads': 'Half-cheetah, both cores for the controller',
    'overlap': 'Fitting while collecting',
    'tick_gpu': 'One control tick on a GPU',
    'meta_gpu': 'Meta-gradient on a GPU',
    'largest_gpu': 'Most candidates in 10 ms on a GPU',
}
# What ten_minutes.png shows, from the best set up on.
LONG_RUNS = (
    'long_run_millirobot_priority', 'long_run_pr2_left_arm_priority', 'long_run_rehearsed',
    'long_run_ensemble', 'long_run_priority', 'long_run_priority_loaded',
    'long_run_priority_stalls', 'long_run', 'long_run_second', 'long_run_millirobot',
    'long_run_pr2_left_arm', 'long_run_two_threads',
)  # fmt: skip
SECTIONS = {'meta': _meta, 'sim': _sim}

if __name__ == '__main__':
    main()
