# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl train --asynchronous`: what it starts in which order, what it says of wrong input."""

import errno
import os
from contextlib import contextmanager

import pytest

from mbmrl_ros.cli.main import main
from mbmrl_ros.nodes.learners import asynchronous

TASK = 'half_cheetah/thesis'
BROKEN = 'half_cheetah/disabled_joint'


class Node:
    """A stand-in for a process. returncode: None while it runs."""

    def __init__(self, returncode=None):
        self.returncode = returncode

    def poll(self):
        return self.returncode


@pytest.fixture
def started(tmp_path, monkeypatch):
    """The nodes that are started, with their parameters; the collector is done at once."""
    nodes = {}

    @contextmanager
    def start(name, parameters, namespace, log):
        nodes[name] = parameters
        kind = name.removesuffix('_learner_node')
        if kind != name:
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / kind / 'starts').write_text('1')
        yield Node(0 if name == 'collector_node' else None)

    monkeypatch.setattr(asynchronous, 'node_process', start)
    monkeypatch.setattr(asynchronous, 'LOOK_S', 0.0)
    return nodes


def run(tmp_path, *more, algorithm='mb_mpo', task=TASK):
    arguments = ['train', algorithm, '--task', task, '--asynchronous', '--out', str(tmp_path)]
    return main([*arguments, *more])


def test_learners_are_there_before_the_robot_is_driven_for_as_many_steps(
    started, tmp_path, capsys
):
    changes = ['iterations=3', 'real_rollouts=2', 'horizon=50']
    assert run(tmp_path, '--seed', '4', *(f'--set={change}' for change in changes)) == 0
    assert list(started) == [
        'model_learner_node', 'policy_learner_node', 'sim_node', 'collector_node',
    ]  # fmt: skip
    assert started['collector_node']['steps'] == 3 * 2 * 50
    assert started['sim_node'] == {'robot': 'half_cheetah_20hz', 'wall_time': True, 'seed': 4}
    assert started['model_learner_node']['settings'] == changes
    assert 'bundle: none yet' in capsys.readouterr().out


@pytest.mark.parametrize('algorithm', ['grbal', 'maac'])
def test_what_happens_in_training_happens_to_the_robot_and_not_twice(started, tmp_path, algorithm):
    task = 'half_cheetah/disabled_joint_20hz'
    data = tmp_path / 'collector' / 'data'
    for pieces in (0, 3):
        for number in range(1, pieces + 1):
            data.mkdir(parents=True, exist_ok=True)
            (data / f'{number:04d}.safetensors').touch()
        assert run(tmp_path, '--seed', '7', algorithm=algorithm, task=task) == 0
        known = started['sim_node']
        assert known['task'] == task and known['training_steps'] > 0
        assert known['seed'] == 7 + pieces
    assert algorithm == 'grbal' or known['training_steps'] == 200


def test_a_model_that_plans_are_made_in_needs_no_policy_learner_and_a_robot_that_breaks(
    started, tmp_path
):
    changes = ['iterations=3', 'rollouts=10', 'rollout_steps=70']
    given = [f'--set={change}' for change in changes]
    assert run(tmp_path, *given, algorithm='grbal', task=BROKEN) == 0
    assert list(started) == ['model_learner_node', 'sim_node', 'collector_node']
    assert started['collector_node']['steps'] == 3 * 10 * 70
    assert started['sim_node'] == {
        'robot': 'half_cheetah', 'wall_time': True, 'seed': 0, 'task': BROKEN,
        'training_steps': 70,
    }  # fmt: skip


def test_a_node_that_ends_before_the_others_ends_it(started, tmp_path, capsys, monkeypatch):
    original = asynchronous.node_process

    @contextmanager
    def start(name, *rest):
        with original(name, *rest) as node:
            yield Node(2) if name == 'sim_node' else Node() if name[0] == 'c' else node

    monkeypatch.setattr(asynchronous, 'node_process', start)
    assert run(tmp_path) == 2
    assert 'sim_node ended before the others' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('algorithm', 'task', 'more', 'said'),
    [
        ('rl2', TASK, (), 'rl2 does not learn beside a running robot'),
        ('promp', 'half_cheetah/velocity', (), 'promp does not learn beside a running robot'),
        ('mb_mpo', 'half_cheetah/velocity', (), 'has goals'),
        ('grbal', BROKEN, ('--start-from', 'x'), 'start_from x is no run folder'),
        ('mb_mpo', 'point/origin', (), 'point/origin has no robot'),
        (
            'mb_mpo',
            TASK,
            ('--start-from', 'x'),
            'grbal and rebal; leave it out',
        ),
        ('mb_mpo', TASK, ('--data', 'x'), 'leave out --data'),
        ('mb_mpo', TASK, ('--set', 'iteration=3'), 'iteration'),
    ],
)
def test_what_cannot_be_is_said_in_a_line(started, tmp_path, capsys, algorithm, task, more, said):
    assert run(tmp_path / 'run', *more, algorithm=algorithm, task=task) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and said in error[0]
    assert not started and not (tmp_path / 'run').exists()


def test_the_simulator_and_the_collector_alone_come_before_all_others(started, tmp_path):
    assert run(tmp_path, '--priority', '40') == 0
    priorities = {name: given.get('realtime_priority', 0) for name, given in started.items()}
    assert priorities == {
        'model_learner_node': 0, 'policy_learner_node': 0, 'sim_node': 40, 'collector_node': 40,
    }  # fmt: skip


def test_who_may_have_no_priority_is_told_once_and_learns_without(
    started, tmp_path, capsys, monkeypatch
):
    def refuse(*given):
        raise PermissionError(errno.EPERM, 'Operation not permitted')

    monkeypatch.setattr(os, 'sched_setscheduler', refuse)
    assert run(tmp_path, '--priority', '40') == 0
    said = [line for line in capsys.readouterr().err.splitlines() if 'rtprio' in line]
    assert len(said) == 1 and 'going on without' in said[0]
    assert started['sim_node']['realtime_priority'] == 40


@pytest.mark.parametrize('wrong', ['100', '-1', 'high'])
def test_a_priority_that_there_is_not_starts_nothing(started, tmp_path, capsys, wrong):
    assert run(tmp_path, f'--priority={wrong}') == 2
    assert 'priority' in capsys.readouterr().err
    assert not started


def test_a_priority_is_of_nodes(capsys):
    assert main(['train', 'mb_mpo', '--task', TASK, '--priority', '40']) == 2
    assert '--asynchronous' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('algorithm', 'task', 'changes', 'said'),
    [
        (
            'mb_mpo',
            TASK,
            ['meta_steps=3', 'delta=0.02', 'epochs=9'],
            ': epochs, meta_steps;',
        ),
        ('grbal', BROKEN, ['planner.horizon=3', 'reinitialize=true'], ': planner, reinitialize;'),
        ('grbal', BROKEN, ['control_planner.horizon=3'], ''),
    ],
)
def test_settings_that_change_nothing_are_named(
    started, tmp_path, capsys, algorithm, task, changes, said
):
    changes = [f'--set={change}' for change in changes]
    assert run(tmp_path, *changes, algorithm=algorithm, task=task) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if 'changes nothing' in line]
    assert len(lines) == bool(said) and all(said in line for line in lines)


def test_as_many_threads_as_are_asked_for_are_of_each_learner(started, tmp_path):
    assert run(tmp_path) == 0
    assert not any('threads' in given for given in started.values()), 'as many as are usual'
    assert run(tmp_path, '--threads', '3') == 0
    threads = {name: given['threads'] for name, given in started.items() if 'threads' in given}
    assert threads == {'model_learner_node': 3, 'policy_learner_node': 3}


@pytest.mark.parametrize('rows', [0, 1, 1000])
def test_how_far_it_is_takes_the_last_row_alone(tmp_path, rows):
    path = tmp_path / 'metrics.csv'
    lines = [f'{i},{10.0 * i},{-i / 4:.8g}' for i in range(1, rows + 1)]
    path.write_text('\n'.join(['iteration,environment_steps,return', *lines]) + '\n')
    found = asynchronous._last_row(path)
    wanted = {'iteration': str(rows), 'environment_steps': str(10.0 * rows)}
    assert found == (wanted | {'return': f'{-rows / 4:.8g}'} if rows else {})


def test_a_training_of_maac_has_the_steps_that_it_would_have_by_turns(started, tmp_path):
    changes = ['iterations=3', 'horizon=50', 'initial_steps=120', 'steps=50']
    assert run(tmp_path, *(f'--set={change}' for change in changes), algorithm='maac') == 0
    assert started['collector_node']['steps'] == (3 + 1 + 1) * 50
