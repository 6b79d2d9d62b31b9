# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The page of a run of meta policy search: returns before and after, times, step sizes."""

import json

import pytest

from mbmrl_ros.config import UserError
from mbmrl_ros.reports.run import write_run_report

ROWS = (
    'iteration,environment_steps,physics_s,policy_s,update_s,return_before,return_after,std,'
    'std_after,step_size/weight0\n'
    '1,100,3,0.5,1,0.5,0.25,1,1,0.1\n'
    '2,200,3,0.5,1,0.5,9,0.9,0.8,0.2\n'
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'metrics.csv').write_text(ROWS)
    run = {'algorithm': 'promp', 'task': 'point/line', 'seed': 3}
    (tmp_path / 'run.json').write_text(json.dumps(run))
    (tmp_path / 'config.yaml').write_text('alpha: 0.1\n')
    return tmp_path


def test_a_run_of_a_policy_shows_what_adaptation_gains(folder):
    page = write_run_report(folder).read_text()
    assert 'Training: promp on point/line, seed 3' in page
    # Two iterations of 4.5 s.
    assert '2 iterations, 200 control steps, 9 s.' in page
    for title in (
        'Return before and after adaptation', 'Standard deviation of actions', 'Step sizes',
        'Time per iteration',
    ):  # fmt: skip
        assert title in page
    assert page.count('data:image/png;base64,') == 4
    assert 'rollouts ended early' not in page and 'validation' not in page


def test_step_sizes_that_stay_as_they_were_are_not_drawn(folder):
    path = folder / 'metrics.csv'
    path.write_text(path.read_text().replace('0.8,0.2', '0.8,0.1'))
    page = write_run_report(folder).read_text()
    assert 'Step sizes' not in page and page.count('data:image/png;base64,') == 3


def test_a_folder_of_runs_is_answered_by_the_runs_in_it(tmp_path):
    for seed in ('seed1', 'seed0'):
        (tmp_path / seed).mkdir()
        (tmp_path / seed / 'metrics.csv').write_text(ROWS)
    runs = f'name those in it: {tmp_path}/seed0 {tmp_path}/seed1$'
    with pytest.raises(UserError, match=runs):
        write_run_report(tmp_path)


@pytest.mark.parametrize(
    ('seconds', 'said'),
    [(2.4, '2 s'), (150, '2 minutes'), (5400, '90 minutes'), (9000, '2.5 hours')],
)
def test_a_time_is_said_in_the_unit_that_it_is_read_in(seconds, said, folder):
    path = folder / 'metrics.csv'
    path.write_text(path.read_text().replace(',3,0.5,1,', f',{seconds / 2},0,0,'))
    assert f'200 control steps, {said}.' in write_run_report(folder).read_text()
