# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Several runs on one page: their curves, their last returns, the settings that differ."""

import json

import pytest

from mbmrl_ros.cli.main import main
from mbmrl_ros.config import UserError
from mbmrl_ros.reports.compare import write_comparison

MODEL = 'iteration,environment_steps,return_mean,return_std,collect_s,fit_s\n'
POLICY = 'iteration,environment_steps,return_before,return_after,physics_s\n'


@pytest.fixture
def make_run(tmp_path):
    def make(name, algorithm, rows, task='point/line', seed=0, **settings):
        folder = tmp_path / 'runs' / name
        folder.mkdir(parents=True)
        (folder / 'metrics.csv').write_text(rows)
        run = {'algorithm': algorithm, 'task': task, 'seed': seed}
        (folder / 'run.json').write_text(json.dumps(run))
        lines = [f'{key}: {value}\n' for key, value in settings.items()]
        (folder / 'config.yaml').write_text(''.join(lines))
        return folder

    return make


@pytest.fixture
def runs(make_run):
    returns = [1.0] * 18 + [4.0, 6.0]
    rows = ''.join(f'{i},{10 * i},{r},0,60,30\n' for i, r in enumerate(returns, 1))
    return [
        make_run('one', 'mb', MODEL + rows, alpha=0.1, batch=5),
        make_run('two', 'mb', MODEL + '1,10,2,0,1,1\n', seed=7, alpha=0.2, batch=5),
        make_run('three', 'promp', POLICY + '1,10,-3,-2.5,3600\n', alpha=0.1, batch=5),
    ]


def cells(page, name):
    """The row of a run in the table."""
    row = page.split(f'<td>runs/{name}</td>')[1].split('</tr>')[0]
    return [cell.split('</td>')[0] for cell in row.split('<td>')[1:]]


def test_a_row_has_the_return_of_the_last_tenth_and_what_it_took(runs, tmp_path):
    page = write_comparison(runs, tmp_path / 'all.html').read_text()
    assert '3 trainings on point/line' in page
    # (4 + 6) / 2, of twenty; 20 x 90 s.
    assert cells(page, 'one') == ['mb', '0', '20', '200', '5', '6', '0.50']
    assert cells(page, 'two') == ['mb', '7', '1', '10', '2', '2', '0.00']
    # What it earns after adapting.
    assert cells(page, 'three') == ['promp', '0', '1', '10', '-2.5', '-2.5', '1.00']
    assert page.count('data:image/png;base64,') == 1
    differing = page.split('Settings that differ')[1]
    assert 'alpha' in differing and 'batch' not in differing


def test_runs_of_different_tasks_are_not_compared(runs, make_run):
    other = make_run('other', 'mb', MODEL + '1,10,2,0,1,1\n', task='point/corner', alpha=1)
    with pytest.raises(UserError, match=r'different tasks \(point/line, point/corner\)'):
        write_comparison([runs[0], other])


def test_the_command_takes_several_and_writes_over_none_of_them(runs, tmp_path, capsys):
    out = tmp_path / 'page.html'
    folders = [str(run) for run in runs]
    assert main(['report', *folders, '--out', str(out)]) == 0
    assert capsys.readouterr().out == f'{out}\n' and out.exists()
    assert main(['report', *folders, '--out', str(runs[1] / 'metrics.csv')]) == 2
    assert 'metrics.csv' in capsys.readouterr().err
