# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The rooms of the package, what each is for, and in which order they may import each other.

python test/helpers/layers.py    puts the table into docs/architecture.md
"""

from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'architecture.md'
BEGIN, END = '<!-- rooms: begin -->\n', '<!-- rooms: end -->\n'

# From the ground up: a room imports those of lines before its own; rooms of one line do not see
# each other.
LAYERS = [
    {
        'types': 'letters, records and function types that all share',
        'system': 'threads, signals, files that are whole or not there',
    },
    {'config': 'YAML to typed settings, errors in one line'},
    {'spec': 'what a robot file says'},
    {
        'networks': 'functions on dicts of tensors',
        'objectives': 'returns, baselines, surrogates, trust region',
        'planners': 'MPPI, CEM, random shooting',
    },
    {'rewards': 'reward terms, paths, when an episode ends', 'policies': 'Gaussian, recurrent'},
    {'models': 'dynamics, their statistics, their fit'},
    {'data': 'trajectories, windows, bags', 'sim': 'MuJoCo: robots, sensors, disturbances'},
    {
        'bundles': 'what was trained, as files',
        'adaptation': 'gradient steps on a window or on rollouts, recurrence',
    },
    {'robot': 'from readings to a safe command, without ROS'},
    {'envs': 'tasks and environments', 'recordings': 'bags cut into control steps'},
    {'training': 'run folders; what families share: dynamics, meta, search, soft'},
    {'evaluation': 'episodes, prediction errors', 'algorithms': 'one file each, and the table'},
    {'reports': 'a run as a page'},
    {'api': 'import mbmrl_ros as mb'},
    {'nodes': 'the only room that knows ROS'},
    {'demo': 'mbmrl demo', 'bench': 'mbmrl bench'},
    {'experiments': 'mbmrl experiment'},
    {'cli': 'the command line'},
]


def as_table() -> str:
    """Return the layers as a table, the command line at the top."""
    lines = ['| Room | What it is for |', '|---|---|']
    for layer in reversed(LAYERS):
        rooms = '<br>'.join(f'`{room}`' for room in layer)
        lines.append(f'| {rooms} | {"<br>".join(layer.values())} |')
    return '\n'.join([*lines, ''])


def with_table(page: str) -> str:
    """Return a page with the table between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + as_table() + END + after


if __name__ == '__main__':
    PAGE.write_text(with_table(PAGE.read_text()))
