# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A policy beside a model, from the command line."""

import pytest
from small_actor import drawn_critics, save_run, steady_policy
from small_policy import small_policy

from mbmrl_ros.bundles.dynamics import load_bundle
from mbmrl_ros.bundles.policy import save_policy
from mbmrl_ros.cli.main import main
from mbmrl_ros.spec.robot import load_robot

MODEL = 'half_cheetah/disabled_joint/grbal'
TASK = 'half_cheetah/disabled_joint'
SPEC = load_robot('half_cheetah')


def wrong(capsys, *arguments):
    """Run a command that must fail; return the one line it says."""
    assert main(list(arguments)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp('maac')
    return save_run(folder, steady_policy(SPEC, TASK), drawn_critics(SPEC))


def test_policy_and_critics_of_a_run_go_beside_a_model(run, tmp_path, capsys):
    out = tmp_path / 'both'
    more = ['--value-weight', '0.5', '--policy-share', '0.125']
    assert main(['combine', MODEL, '--policy', str(run), *more, '--out', str(out)]) == 0
    assert 'a policy of maac and 2 critics' in capsys.readouterr().out
    bundle = load_bundle(out, SPEC)
    assert bundle.info.planner.policy_share == 0.125
    assert bundle.actor.info.value_weight == 0.5 and bundle.actor.has_value
    numbers = ['--bundle', str(out), '--test', 'undisturbed', '--candidates', '16']
    assert main(['evaluate', *numbers, '--episodes', '1', '--steps', '5', '--threads', '1']) == 0


def test_a_policy_that_its_critics_have_left_behind_proposes_alone(run, tmp_path, capsys):
    save_policy(run / 'bundles' / '0002', steady_policy(SPEC, TASK, iteration=2))
    policy = str(run / 'bundles' / '0002')
    assert main(['combine', MODEL, '--policy', policy, '--out', str(tmp_path)]) == 0
    assert 'a policy of maac without critics' in capsys.readouterr().out
    assert not load_bundle(tmp_path, SPEC).actor.has_value


def test_a_policy_may_be_of_another_task_that_earns_the_same(tmp_path):
    save_policy(tmp_path / 'policy', steady_policy(SPEC, 'half_cheetah/slopes'))
    arguments = [MODEL, '--policy', str(tmp_path / 'policy'), '--out', str(tmp_path / 'out')]
    assert main(['combine', *arguments]) == 0


def test_a_policy_of_something_else_is_one_line(run, tmp_path, capsys):
    slow = load_robot('half_cheetah_20hz')
    others = {
        'slow': steady_policy(slow, 'half_cheetah/gymnasium'),
        'other_task': steady_policy(SPEC, 'half_cheetah/backwards'),
        'promp': small_policy('promp'),
    }
    said = {
        'slow': 'does not fit robot half_cheetah: its robot is half_cheetah_20hz',
        'other_task': 'is a policy for half_cheetah/backwards, the model is for half_cheetah/d',
        'promp': 'does not fit robot half_cheetah',
    }
    for name, policy in others.items():
        save_policy(tmp_path / name, policy)
        arguments = [MODEL, '--policy', str(tmp_path / name), '--out', str(tmp_path / 'out')]
        assert said[name] in wrong(capsys, 'combine', *arguments)
    assert 'several models, or --policy' in wrong(capsys, 'combine', MODEL, '--out', 'x')
    share = wrong(capsys, 'combine', MODEL, '--policy', str(run), '--out', 'x', '--policy-share=1')
    assert 'below 1' in share
    assert not (tmp_path / 'out').exists()
