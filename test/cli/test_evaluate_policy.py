# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluating a meta-learned policy from the command line."""

import json

import pytest
from json_keys import misfits

from mbmrl_ros.cli.main import main

SMALL = {
    'promp': ['hidden_sizes=[8]', 'tasks=4', 'rollouts=5', 'horizon=10', 'iterations=1'],
    'rl2': ['units=8', 'tasks=4', 'horizon=10', 'iterations=1'],
}


@pytest.fixture(scope='module', params=SMALL)
def bundle(request, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param)
    sets = [part for setting in SMALL[request.param] for part in ('--set', setting)]
    task = ['--task', 'point/navigation', '--threads', '1', '--out', str(out)]
    assert not main(['train', request.param, *task, *sets])
    return out / 'bundle'


def test_returns_are_reported_for_every_update_in_and_outside_of_training(bundle, tmp_path):
    out = tmp_path / 'numbers.json'
    command = ['evaluate', '--bundle', str(bundle), '--threads', '1', '--json', str(out)]
    assert not main([*command, '--episodes', '4', '--updates', '2'])
    numbers = json.loads(out.read_text())
    assert not [*misfits('evaluate, a meta-learned policy', numbers)]
    assert set(numbers['tests']) == {'training', 'held_out'}
    for result in numbers['tests'].values():
        expected = [0, 1, 2] if numbers['algorithm'] == 'rl2' else [0, 4, 8]
        assert result['rollouts'] == expected
        assert len(result['return_mean']) == 3


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--test', 'sideways'], "training or held_out, got 'sideways'"),
        (['--task', 'point/nowhere'], 'unknown task'),
        (['--task', 'point/line'], 'choose a task of the same robot'),
    ],
)
def test_wrong_input_is_one_line(bundle, options, said, capsys):
    assert main(['evaluate', '--bundle', str(bundle), *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1
