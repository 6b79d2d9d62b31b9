# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training from what another run has."""

import csv

import pytest
import torch

from mbmrl_ros.cli.main import main
from mbmrl_ros.data.dataset import load_trajectories

TASK = 'half_cheetah/disabled_joint_20hz'


def train(algorithm, out, *more, task=TASK, **settings):
    sets = [f'--set={name}={value}' for name, value in settings.items()]
    command = ['train', algorithm, '--task', task, '--threads', '1', '--out', str(out)]
    return main([*command, *sets, *more])


@pytest.fixture(scope='module')
def searched(tmp_path_factory):
    """A run that searched for a policy, with two iterations of data."""
    out = tmp_path_factory.mktemp('me_ppo')
    sizes = {'iterations': 2, 'members': 2, 'model_hidden_sizes': '[8]', 'epochs': 2}
    sizes |= {'batch_size': 16, 'real_rollouts': 3, 'updates': 1, 'imagined_rollouts': 3}
    assert not train('me_ppo', out, horizon=12, **sizes)
    return out


SMALL = {'iterations': 1, 'hidden_sizes': '[8]', 'epochs': 1, 'validation_fraction': 0.5}
SMALL |= {'past_steps': 2, 'future_steps': 2}


def data(run, iteration):
    return load_trajectories(run / 'data' / f'{iteration:04d}.safetensors')


def test_a_model_learns_from_what_a_policy_collected(searched, tmp_path):
    assert not train('mb', tmp_path, '--start-from', str(searched), **SMALL)
    collected = [*data(searched, 1), *data(searched, 2)]
    assert len(collected) == 6
    for ours, theirs in zip(data(tmp_path, 1), collected, strict=True):
        assert torch.equal(ours.states, theirs.states)
        assert torch.equal(ours.actions, theirs.actions)
    with (tmp_path / 'metrics.csv').open(newline='') as file:
        (row,) = csv.DictReader(file)
    assert float(row['environment_steps']) == 6 * 12, 'nothing was collected by itself'


def test_data_that_cannot_be_learned_from_is_refused_before_it_is_taken(
    searched, tmp_path, capsys
):
    given, out = ['--start-from', str(searched)], tmp_path / 'run'
    other = train('mb', out, *given, task='half_cheetah/disabled_joint', **SMALL)
    assert other == 2 and 'does not fit robot half_cheetah' in capsys.readouterr().err
    # Of 6 episodes of 12 steps there are 18 windows of 4, and not 50, of which one is held out.
    few = SMALL | {'validation_fraction': 0.02, 'rollouts': 50}
    assert train('mb', tmp_path / 'few', *given, **few) == 2
    assert 'has 6 episodes, which give 18 pieces of 4 steps; 50 are' in capsys.readouterr().err
    for folder in (out, tmp_path / 'few'):
        assert not (folder / 'data' / '0001.safetensors').exists()
    # Long ones are cut, so that one of ten can be.
    assert not train('mb', tmp_path / 'cut', *given, **SMALL | {'validation_fraction': 0.1})
    assert [piece.steps for piece in data(tmp_path / 'cut', 1)] == [6] * 8 + [12] * 2


def test_where_weights_are_needed_a_policy_is_no_start(searched, tmp_path, capsys):
    given = ['--start-from', str(searched)]
    assert train('grbal', tmp_path / 'a', *given, learning_rate=0, **SMALL) == 2
    assert 'has data to learn from, but no weights' in capsys.readouterr().err
    assert not (tmp_path / 'a' / 'data' / '0001.safetensors').exists()
