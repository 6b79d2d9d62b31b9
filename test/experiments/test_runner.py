# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Grids are worked off: in parallel as one by one, on after a kill, and past a cell that fails."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mbmrl_ros.bundles.dynamics import load_bundle
from mbmrl_ros.cli.main import main
from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import load_trajectories
from mbmrl_ros.experiments.cells import expand
from mbmrl_ros.experiments.jobs import Job, Selection, Training
from mbmrl_ros.experiments.outcomes import do, finished
from mbmrl_ros.experiments.policy_cells import toy_gradients
from mbmrl_ros.experiments.runner import run_jobs
from mbmrl_ros.experiments.study_work import StudyCell
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.system.outputs import claimed

JOINT = 'half_cheetah/disabled_joint'
ITERATIONS = 4
TINY = [
    'rollout_steps=24', 'past_steps=4', 'future_steps=4', 'precision=float32',
    'fit_precision=float32', f'iterations={ITERATIONS}',
]  # fmt: skip
SETTINGS = [part for item in TINY for part in ('--set', item)]
# Whatever depends on how fast the machine is.
TIMES = {'adapt_ms', 'plan_ms', 'seconds', 'own_hours'}
MB = Path('trainings') / JOINT / 'mb'


def command(out, *more, name='recovery', methods=('mb',), seeds=('0',)):
    chosen = ['--tasks', JOINT, '--methods', *methods, '--seeds', *seeds, '--steps', '20']
    return ['experiment', name, '--quick', '--out', str(out), *chosen, *SETTINGS, *more]


def results(out):
    """Return every result of a folder, without what depends on the machine's speed."""
    found = {}
    for path in sorted([*out.glob('cells/**/*.json'), *out.glob('trainings/**/training.json')]):
        result = json.loads(path.read_text())['result']
        found[str(path.relative_to(out))] = {k: v for k, v in result.items() if k not in TIMES}
    return found


@pytest.fixture(scope='module')
def serial(tmp_path_factory):
    out = tmp_path_factory.mktemp('serial')
    assert main(command(out, methods=('mb', 'grbal'), seeds=('0', '1'))) == 0
    return out


def test_every_cell_has_its_numbers_and_where_they_come_from(serial):
    found = results(serial)
    # Three trainings (MB, one more fit to its data, GrBAL from there on) and two methods under two
    # tests, for each of two seeds.
    assert len(found) == 2 * (3 + 2 * 2)
    cell = json.loads((serial / 'cells' / JOINT / 'grbal' / 'mid_run_seed1.json').read_text())
    assert cell['seed'] == 1 and cell['machine']['threads'] == 1
    assert cell['command'].startswith('mbmrl experiment recovery') and cell['date']
    assert cell['settings']['training']['start_from']['algorithm'] == 'mb'
    result = cell['result']
    assert len(result['returns']) == 2 and result['fault_step'] == 20 // 3
    assert result['mean'] == pytest.approx(sum(result['returns']) / 2, abs=1e-3)
    # Windows of 4 and 4 in 20 steps: moments 4 to 16, in two episodes.
    assert sum(result['errors']['before']['histogram']) == 13 * 2
    # No ten moments before the switch.
    assert result['recovery'] == {'step': 20 // 3, 'episodes': [None, None]}
    # 4 rollouts of 24 steps per iteration.
    assert result['environment_steps'] == 4 * 24 * ITERATIONS
    assert not list(serial.rglob('*.partial'))


def test_in_parallel_the_results_are_those_of_one_by_one(serial, tmp_path):
    both = ['--processes', '2']
    assert main(command(tmp_path, *both, methods=('mb', 'grbal'), seeds=('0', '1'))) == 0
    assert results(tmp_path) == results(serial)


def test_finished_cells_are_skipped(serial, capsys):
    before = {path: path.stat().st_mtime_ns for path in serial.rglob('*.json')}
    assert main(command(serial)) == 0
    assert {path: path.stat().st_mtime_ns for path in serial.rglob('*.json')} == before
    assert '4 of 4 cells are there' in capsys.readouterr().out
    assert main(command(serial, '--dry-run')) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == {'done'}


def test_results_of_other_settings_are_refused_with_the_setting(serial, capsys):
    assert main(command(serial, '--episodes', '3')) == 2
    said = capsys.readouterr().err
    assert 'made with other settings (episodes was 2, is 3 now)' in said
    assert main(command(serial, '--set', 'batch_size=3')) == 2
    assert 'config.batch_size was 8, is 3 now' in capsys.readouterr().err


def test_results_of_either_precision_count_where_it_is_chosen_by_itself(serial):
    def found(precision):
        assignments = (*TINY, f'fit_precision={precision}')
        chosen = Selection((JOINT,), ('mb',), (0,), assignments, steps=20, quick=True)
        return [finished(job, serial) for job in expand(['recovery'], chosen)]

    assert all(found('auto'))
    with pytest.raises(UserError, match='fit_precision was float32, is bfloat16 now'):
        found('bfloat16')


def test_a_training_may_go_on_for_more_iterations(serial):
    assignments = (*TINY, f'iterations={ITERATIONS + 1}')
    chosen = Selection((JOINT,), ('mb',), (0,), assignments, steps=20, quick=True)
    training = expand(['recovery'], chosen)[0]
    assert not finished(training, serial)


@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGINT], ids=['killed', 'interrupted'])
def test_a_grid_that_was_stopped_in_a_training_goes_on(serial, tmp_path, how):
    # Whoever is late on a busy machine stops it behind its training: then once more.
    stopped = (stop_in_a_training(tmp_path / str(attempt), how) for attempt in range(5))
    folder = next(where for where in stopped if where is not None)
    out = folder.parents[len(MB.parts)]
    begun = (folder / 'data' / '0001.safetensors').stat().st_mtime_ns
    assert main(command(out)) == 0
    assert (folder / 'data' / '0001.safetensors').stat().st_mtime_ns == begun
    assert results(out).items() <= results(serial).items()
    assert len(results(out)) == 4


def stop_in_a_training(out, how):
    """Stop an experiment in its first training; return the folder of that if it came in time."""
    run = [sys.executable, '-m', 'mbmrl_ros.cli.main', *command(out)]
    process = subprocess.Popen(run, start_new_session=True, stderr=subprocess.PIPE, text=True)
    folder = out / MB / 'seed0'
    try:
        wait_for(lambda: (folder / 'checkpoint.safetensors').exists() or process.poll())
        process.send_signal(how)
        said = process.communicate(timeout=180)[1]
    finally:
        # Children that are left would work on beside the next command.
        wait_for(lambda: not is_alive(process.pid))
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL), said
    return None if (folder / 'training.json').exists() else folder


def wait_for(condition, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, 'it did not happen in time'
        time.sleep(0.01)


def is_alive(group):
    """Whether a process of a group runs; those that only wait to be collected do not."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    states = []
    for path in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = path.read_text().rpartition(')')[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            states.append(fields[0])
    return any(state not in 'ZX' for state in states)


def test_a_cell_that_fails_is_reported_and_the_others_go_on(serial, tmp_path, capsys):
    planted = tmp_path / MB / 'seed0'
    planted.mkdir(parents=True)
    (planted / 'config.yaml').write_text('batch_size: 999\n')
    assert main(command(tmp_path, methods=('mb', 'grbal'), seeds=('0', '1'))) == 1
    said = capsys.readouterr()
    assert 'train mb on half_cheetah/disabled_joint, seed 0: ' in said.err
    assert 'is of a training with other settings' in said.err
    assert f'needs {MB / "seed0"}, which failed' in said.err
    # Of seed 0, three trainings and the four measurements that need them.
    assert '7 of 14 cells are there' in said.out
    left = results(tmp_path)
    assert left == {path: numbers for path, numbers in results(serial).items() if path in left}
    assert len(left) == 7 and all('seed1' in path for path in left)


def test_a_second_command_in_the_same_folder_is_refused(tmp_path, capsys):
    with claimed(tmp_path, 'mbmrl experiment'):
        assert main(command(tmp_path)) == 2
    assert 'another mbmrl experiment is at work' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['generalization'], "did you mean 'generalisation'"),
        (['recovery', '--methods', 'grbl'], "did you mean 'grbal'"),
        (['recovery', '--seeds', 'one'], "got 'one'"),
        (['recovery', '--processes', '0'], 'at least 1'),
    ],
)
def test_wrong_input_gets_one_line_and_leaves_nothing(arguments, said, tmp_path, capsys):
    assert main(['experiment', *arguments, '--out', str(tmp_path / 'out')]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_a_damaged_result_is_named(serial, tmp_path, capsys):
    path = tmp_path / MB / 'seed0' / 'training.json'
    path.parent.mkdir(parents=True)
    path.write_text('{"settings"')
    assert main(command(tmp_path)) == 2
    assert f'{path} cannot be read' in capsys.readouterr().err


def test_errors_of_windows_of_other_lengths_are_of_the_same_moments(serial):
    settings = [item for item in TINY if 'rollout_steps' not in item]
    chosen = Selection((JOINT,), (), (0,), (*settings, 'iterations=1'), steps=80, quick=True)
    wanted = ('as_trained', 'T1_64')
    first = set()
    for job in expand(['test-time'], chosen):
        name = job.work.path.parent.name
        if isinstance(job.work, Training) and 'fixed' not in str(job.work.folder):
            do(job, serial / 'windows')
        elif name.removeprefix('grbal_first-') in wanted:
            found = do(job, serial / 'windows')
            first.add(found['errors']['first_moment'])
            # Moments 64 to 76 of 80 steps, in two episodes.
            assert sum(found['errors']['after']['histogram']) == 13 * 2
    assert first == {64}


def test_the_oracle_has_the_weights_of_mb_and_data_of_its_test_alone(tmp_path):
    # What is not trained shows where it went on from.
    settings = (*TINY, 'mb_oracle:learning_rate=0')
    chosen = Selection((JOINT,), ('mb_oracle_first',), (0,), settings, steps=20, quick=True)
    ordinary, oracle = (job for job in expand(['generalisation'], chosen)[:2])
    do(ordinary, tmp_path)
    result = do(oracle, tmp_path)
    assert result['environment_steps'] == 4 * 24 * ITERATIONS // 2
    folder, source = tmp_path / oracle.work.folder, tmp_path / ordinary.work.folder
    recorded = load_trajectories(folder / 'data' / '0001.safetensors')
    # The fault of `mid_run`, a third on, is the first disturbance of the task.
    assert all(one.disturbance.tolist() == [-1] * 8 + [0] * 16 for one in recorded)
    last, ended = (
        load_bundle(place / 'bundle', load_robot('half_cheetah')) for place in (source, folder)
    )
    assert all(torch.equal(ended.params[name], last.params[name]) for name in last.params)
    # MB itself begins at random, by the same random stream.
    at_random = load_trajectories(source / 'data' / '0001.safetensors')
    assert not torch.equal(recorded[0].actions, at_random[0].actions)
    assert recorded[0].actions.shape == at_random[0].actions.shape


def test_a_training_on_a_longer_one_is_not_gone_on_with(tmp_path):
    chosen = Selection((JOINT,), ('mb_oracle_first',), (0,), TINY, steps=20, quick=True)
    oracle = expand(['generalisation'], chosen)[1]
    path = tmp_path / oracle.work.path
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({'settings': oracle.settings}))
    assert finished(oracle, tmp_path)
    longer = replace(chosen, assignments=(*TINY, f'iterations={2 * ITERATIONS}'))
    with pytest.raises(UserError, match='was made with other settings'):
        finished(expand(['generalisation'], longer)[1], tmp_path)


def test_a_process_that_is_killed_loses_its_own_cell(tmp_path):
    def job(arm, updates):
        options = {'batches': {}, 'rollouts': 1, 'updates': updates, 'step_size': 0.1}
        return Job(StudyCell('toy-gradients', arm, 'toy', 0, None, options), 'no', toy_gradients)

    # One that would never end.
    jobs = [job('dice', 1), job('lvc', 10**9), job('maml', 1), job('e_maml', 1)]
    log = tmp_path / 'logs' / 'studies_toy_gradients_toy_lvc_seed0.log'

    def kill():
        wait_for(lambda: writing_to(log))
        os.kill(writing_to(log)[0], signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    failed = run_jobs(jobs, tmp_path, 2)
    assert list(failed) == [jobs[1].work.title]
    assert 'ended from outside' in failed[jobs[1].work.title]
    assert [(tmp_path / one.work.path).exists() for one in jobs] == [True, False, True, True]


def writing_to(log):
    """Return the processes whose output goes to a file."""
    found = []
    for path in Path('/proc').glob('[0-9]*/fd/1'):
        try:
            found += [int(path.parts[2])] if os.readlink(path) == str(log) else []
        except OSError:
            continue
    return found
