# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluating a policy that was searched in models, from the command line."""

import json
import shutil

import pytest
import torch
from json_keys import misfits

from mbmrl_ros.cli import evaluate_search
from mbmrl_ros.cli.main import main

SMALL = ('iterations=1', 'members=2', 'model_hidden_sizes=[8]', 'epochs=2', 'batch_size=16',
         'real_rollouts=4', 'updates=1', 'imagined_rollouts=3')  # fmt: skip


def trained(out, task, *settings):
    sets = [part for setting in (*SMALL, *settings) for part in ('--set', setting)]
    task = ['--task', task, '--threads', '1', '--out', str(out)]
    assert not main(['train', 'me_ppo', *task, *sets])
    return out


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp('me_ppo'), 'point/origin')


def test_returns_are_reported_and_the_errors_of_each_model_over_the_horizon(run, tmp_path):
    out = tmp_path / 'numbers.json'
    picture = tmp_path / 'errors.png'
    command = ['evaluate', str(run), '--threads', '1', '--json', str(out)]
    assert not main([*command, '--episodes', '3', '--figure', str(picture)])
    assert picture.read_bytes().startswith(b'\x89PNG')
    numbers = json.loads(out.read_text())
    assert not [*misfits('evaluate, a policy for one task', numbers)]
    assert len(numbers['returns']) == 3 and numbers['return_mean'] < 0
    assert numbers['horizons'] == [1, 2, 5, 10, 20]
    assert [len(errors) for errors in numbers['model_errors']] == [5, 5]
    assert len(numbers['disagreement']) == 5


def test_a_bundle_without_its_run_has_returns_alone(run, tmp_path):
    out = tmp_path / 'numbers.json'
    bundle = run / 'bundles' / '0001'
    assert not main(['evaluate', '--bundle', str(bundle), '--json', str(out), '--steps', '5'])
    assert 'model_errors' not in json.loads(out.read_text())
    assert main(['evaluate', '--bundle', str(bundle), '--figure', str(tmp_path / 'a.png')]) == 2


def test_what_is_no_number_is_null_in_json(run, tmp_path, monkeypatch):
    out, nan = tmp_path / 'numbers.json', torch.tensor([1.0, torch.nan])
    monkeypatch.setattr(evaluate_search, 'returns_of', lambda task, trajectories: nan)
    assert not main(['evaluate', str(run), '--episodes', '2', '--steps', '5', '--json', str(out)])
    numbers = json.loads(out.read_text(), parse_constant=pytest.fail)
    assert numbers['returns'] == [1.0, None] and numbers['return_mean'] is None


def test_a_task_where_things_break_is_learned_and_tested_as_they_break(tmp_path, capsys):
    task = 'half_cheetah/disabled_joint_20hz'
    run, out = trained(tmp_path / 'run', task, 'horizon=4'), tmp_path / 'numbers.json'
    command = ['evaluate', str(run), '--episodes', '2', '--steps', '3', '--threads', '1']
    assert not main([*command, '--json', str(out)])
    assert not [*misfits('evaluate, a policy for one task', json.loads(out.read_text()))]
    tests = json.loads(out.read_text())['tests']
    assert list(tests) == ['undisturbed', 'held_out', 'mid_run']
    # Of three steps it breaks at the second in mid-run, and before the first when held out.
    assert len({tuple(test['returns']) for test in tests.values()}) == 3
    assert f'{task}, held_out: return' in capsys.readouterr().out
    assert not main([*command, '--test', 'held_out', '--json', str(out)])
    assert json.loads(out.read_text())['tests'] == {'held_out': tests['held_out']}
    for arguments, said in (
        (['--task', 'half_cheetah/velocity'], 'velocity has goals'),
        (['--test', 'heldout'], "no test 'heldout'; did you mean 'held_out'"),
        (['--figure', 'a.png'], 'draws one test; choose by --test: undisturbed, held_out'),
    ):
        assert main([*command, *arguments]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize('name', ['sac', 'ppo'])
def test_a_baseline_is_rolled_out_by_its_mean(tmp_path, capsys, name):
    pytest.importorskip('stable_baselines3')
    steps = {'sac': 130, 'ppo': 1}[name]
    task = ['--task', 'point/origin', '--threads', '1', '--out', str(tmp_path / 'run')]
    assert not main(['train', name, *task, '--set', 'iterations=1', '--set', f'steps={steps}'])
    command = ['evaluate', str(tmp_path / 'run'), '--episodes', '3', '--threads', '1']
    found = []
    for out in (tmp_path / 'a.json', tmp_path / 'b.json'):
        assert not main([*command, '--json', str(out)])
        found.append(json.loads(out.read_text()))
    assert len(found[0]['returns']) == 3 and found[0] == found[1]
    # From up to 2 m in both axes, never back in 30 steps: at most 8 m^2 a step, at first.
    assert -30 * 2 * (2 + 30 * 0.1) ** 2 < found[0]['return_mean'] < 0
    for wrong, said in ((['--planner', 'mppi'], 'has none'), (['--figure', 'a.png'], 'no models')):
        assert main([*command, *wrong]) == 2
        assert said in capsys.readouterr().err


def test_a_bundle_of_an_older_version_may_name_settings_that_are_no_more(run, tmp_path):
    older = tmp_path / 'older'
    shutil.copytree(run / 'bundle', older)
    info = json.loads((older / 'bundle.json').read_text())
    info['training']['unit_of_values'] = 3.0
    (older / 'bundle.json').write_text(json.dumps(info))
    assert not main(['evaluate', '--bundle', str(older), '--steps', '5'])


def test_a_run_of_a_search_has_a_page(run, tmp_path):
    page = tmp_path / 'page.html'
    assert not main(['report', str(run), '--out', str(page)])
    text = page.read_text()
    for title in ('Return against real steps', 'Models', 'Time per iteration'):
        assert title in text
    assert text.count('data:image/png;base64,') == 3


def test_what_cannot_be_evaluated_or_drawn_is_one_line(capsys):
    for arguments, said in (
        (['evaluate'], 'evaluate needs RUN'),
        (['evaluate', 'half_cheetah/disabled_joint/mb', '--figure', 'a.png'], 'of ensembles'),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.strip().splitlines()) == 1


def test_a_task_of_another_robot_is_one_line(run, capsys):
    assert main(['evaluate', '--bundle', str(run / 'bundle'), '--task', 'swimmer/mbbl']) == 2
    error = capsys.readouterr().err
    assert 'choose a task of the same robot' in error and len(error.strip().splitlines()) == 1


@pytest.fixture(scope='module')
def maac(tmp_path_factory):
    out = tmp_path_factory.mktemp('maac')
    small = ('iterations=2', 'initial_steps=60', 'steps=30', 'updates_per_step=0.2', 'epochs=5',
             'hidden_sizes=[8]', 'members=2', 'model_hidden_sizes=[8]', 'batch_size=16',
             'update_batch_size=8', 'model_rollouts=8')  # fmt: skip
    sets = [part for setting in small for part in ('--set', setting)]
    task = ['--task', 'point/origin', '--threads', '1', '--out', str(out)]
    assert not main(['train', 'maac', *task, *sets])
    return out


@pytest.mark.parametrize('planner', ['mppi', 'cem'])
def test_a_run_of_maac_plans_in_its_models_where_a_planner_is_named(maac, tmp_path, planner):
    returns = {}
    for name, more in (('policy', []), ('plan', ['--planner', planner, '--candidates', '32'])):
        out = tmp_path / f'{name}.json'
        command = ['evaluate', '--bundle', str(maac / 'bundle'), '--threads', '1', *more]
        assert not main([*command, '--horizon', '3', '--episodes', '2', '--json', str(out)])
        numbers = json.loads(out.read_text())
        returns[name] = numbers['returns']
        kind = numbers['planner'] and numbers['planner']['kind']
        assert kind == (planner if name == 'plan' else None)
    assert returns['plan'] != returns['policy']


def test_plans_need_the_models_of_the_run_and_a_policy_that_a_tanh_bounds(maac, run, capsys):
    bundle = str(maac / 'bundles' / '0001')
    for folder, said in ((bundle, 'no checkpoint of iteration 1'), (f'{run}/bundle', 'a tanh')):
        assert main(['evaluate', '--bundle', folder, '--planner', 'mppi']) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.strip().splitlines()) == 1
