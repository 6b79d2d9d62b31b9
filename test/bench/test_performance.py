# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The scripts that make docs/results/performance.md, at a hundredth of the sizes."""

import json
import re
import subprocess
import sys
from pathlib import Path

from mbmrl_ros.cli.main import main

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
TINY = {
    'tick': ['--candidates', '10', '--horizon', '2', '--width', '8'],
    'meta': ['--tasks', '2', '--width', '8'],
    'sim': ['--environments', '2', '--steps', '3'],
}
QUICK = ['--repetitions', '1', '--threads', '1']


def script(name: str, *arguments: object) -> None:
    command = [sys.executable, str(BENCHMARKS / name), *(str(part) for part in arguments)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr


def test_the_page_shows_every_file_and_every_curve_and_keeps_what_a_person_wrote(tmp_path):
    folder = tmp_path / 'performance'
    folder.mkdir()
    script('growth.py', '--shrink', 100, *QUICK, '--json', folder / 'growth.json')
    growth = json.loads((folder / 'growth.json').read_text())
    assert list(growth['curves']) == [
        'candidates', 'horizon', 'width', 'window', 'tasks', 'environments',
    ]  # fmt: skip
    for name, points in growth['curves'].items():
        values = [point[name] for point in points]
        assert values == sorted(set(values))
    for what, sizes in TINY.items():
        assert main(['bench', what, *sizes, *QUICK, '--json', str(folder / f'{what}.json')]) == 0
    errors = {'p50': 0.1, 'p99': 1.0, 'p99.9': 5.0, 'max': 9.0}
    long_run = {'minutes': 30, 'memory_mb': {'start': 400.5}, 'series': list(range(100)),
                'period_error_ms': errors, 'periods_missed': 0}  # fmt: skip
    (folder / 'long_run.json').write_text(json.dumps(long_run))
    (tmp_path / 'performance.md').write_text('# How fast\n\nA tick is fast.\n')
    script('performance.py', folder)
    page = (tmp_path / 'performance.md').read_text()
    assert page.startswith('# How fast\n\nA tick is fast.\n')
    titles = re.findall(r'^## (.+)$', page, re.M)
    assert titles == [
        'One control tick', 'Meta-gradient', 'Simulator: 2 environments, 3 steps', 'Growth',
    ]  # fmt: skip
    tick = json.loads((folder / 'tick.json').read_text())
    assert f'| tick / matrix products | {tick["limit_ratio"]:.2f} |' in page
    others = (folder / 'tables.md').read_text()
    assert re.findall(r'^## (.+)$', others, re.M) == ['Half-cheetah']
    assert '| `memory_mb.start` | 400.5 |' in others and 'series' not in others
    pictures = re.findall(r'\]\((performance/\w+\.png)\)', page)
    assert len(pictures) == 2
    for picture in (*pictures, 'performance/ten_minutes.png'):
        assert (tmp_path / picture).read_bytes().startswith(b'\x89PNG')


def test_a_page_of_some_files_only_leaves_the_others_out(tmp_path):
    folder = tmp_path / 'performance'
    folder.mkdir()
    assert main(['bench', 'meta', *TINY['meta'], *QUICK, '--json', str(folder / 'meta.json')]) == 0
    script('performance.py', folder)
    page = (tmp_path / 'performance.md').read_text()
    assert re.findall(r'^## (.+)$', page, re.M) == ['Meta-gradient']
