# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A small Ray cluster does cells and samples rollouts; a machine of it is killed at both."""

import itertools
import json
import os
import time
from contextlib import closing, contextmanager

import pytest
import torch

from mbmrl_ros.algorithms.promp import ProMPConfig
from mbmrl_ros.cli.main import main
from mbmrl_ros.config import UserError
from mbmrl_ros.experiments import ray_workers
from mbmrl_ros.experiments.jobs import Job
from mbmrl_ros.experiments.outcomes import do
from mbmrl_ros.experiments.policy_cells import (
    PolicyTraining,
    StudyCell,
    curve,
    toy_gradients,
    train,
)
from mbmrl_ros.experiments.ray_workers import needed, put
from mbmrl_ros.experiments.runner import run_jobs
from mbmrl_ros.system import cluster as clusters
from mbmrl_ros.training.meta import loop as meta_policy
from mbmrl_ros.training.meta import remote
from mbmrl_ros.training.meta.remote import joined, share_count
from mbmrl_ros.training.rollouts import collect
from mbmrl_ros.training.timed_env import TimedEnv

TASK = 'half_cheetah/forward_backward'
SMALL = ('iterations=2', 'tasks=5', 'rollouts=2', 'horizon=6', 'hidden_sizes=[8]')
# Until both machines have begun with what they were given.
AT_WORK_S = 3.0
SHARES = 3
NODE = {'num_cpus': 1, 'object_store_memory': 80 * 2**20}


@pytest.fixture(scope='module')
def cluster():
    """A head and a second machine, of a core each, as processes of this machine."""
    pytest.importorskip('ray', reason='the extra ray is not installed')
    from ray.cluster_utils import Cluster

    os.environ['RAY_USAGE_STATS_ENABLED'] = '0'
    made = Cluster(initialize_head=True, head_node_args={**NODE, 'include_dashboard': False})
    made.second = made.add_node(**NODE)
    os.environ['RAY_ADDRESS'] = made.address
    yield made
    del os.environ['RAY_ADDRESS']
    made.shutdown()


def dying(cluster, get, after=0):
    """Return what waits as `get` does, and kills the second machine first, if it can at work.

    after: how many calls.
    """
    left, calls = [cluster.second], itertools.count()

    def wait(ray, references, *more):
        if next(calls) >= after and left:
            second = left.pop()
            end = time.monotonic() + AT_WORK_S
            while ray.available_resources().get('CPU') and time.monotonic() < end:
                time.sleep(0.02)
            cluster.remove_node(second, allow_graceful=False)
        return get(ray, references, *more)

    return wait


def toy_job(arm, seed=0, updates=4):
    options = {'batches': {}, 'rollouts': 200, 'updates': updates, 'step_size': 0.1}
    return Job(StudyCell('toy-gradients', arm, 'toy', seed, None, options), 'no', toy_gradients)


def results(jobs, out):
    found = [json.loads((out / job.work.path).read_text())['result'] for job in jobs]
    return [{k: v for k, v in each.items() if k != 'minutes'} for each in found]


def study():
    """A training of a moment, and a measurement of it."""
    config = ProMPConfig(iterations=2, tasks=2, rollouts=2, horizon=5, hidden_sizes=(8,))
    training = PolicyTraining('promp', 'promp', 'point/corner', 0, config)
    cell = StudyCell('meta-curves', 'promp', 'point/corner', 0, training)
    return [Job(training, 'no', train), Job(cell, 'no', curve)]


def test_files_go_there_and_back_and_the_result_comes_last(tmp_path):
    there, back = tmp_path / 'there', tmp_path / 'back'
    training, cell = study()
    run = there / training.work.folder
    (run / 'bundle').mkdir(parents=True)
    (run / 'training.json').write_text('{}')
    (run / 'bundle' / 'model.safetensors').write_bytes(b'\0\1')
    (run / '.abc.partial').write_bytes(b'half')
    files = needed(cell, there)
    names = {str(training.work.path), f'{training.work.folder}/bundle/model.safetensors'}
    assert files.keys() == names
    order = []
    put(files, back, str(training.work.path))
    for name in names:
        order.append(((back / name).stat().st_mtime_ns, name))
    assert max(order)[1] == str(training.work.path)
    assert needed(cell, back) == files and needed(training, back) == files


def test_without_ray_a_line_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(clusters.importlib.util, 'find_spec', lambda name: None)
    experiment = ['experiment', 'toy-gradients', '--out', str(tmp_path / 'x'), '--ray', 'auto']
    training = ['train', 'promp', '--task', TASK, '--out', str(tmp_path / 'y')]
    for arguments in (experiment, [*training, '--samplers', 'ray:2']):
        assert main(arguments) == 2
        [line] = capsys.readouterr().err.strip().splitlines()
        assert "pip install 'mbmrl_ros[ray]'" in line


@pytest.mark.parametrize('address', ['127.0.0.1:1', 'ray://127.0.0.1:1', '127.0.0.1:x', 'auto'])
def test_where_no_cluster_is_a_line_says_so_at_once(monkeypatch, capsys, tmp_path, address):
    pytest.importorskip('ray', reason='the extra ray is not installed')
    if address == 'auto':
        monkeypatch.setenv('RAY_ADDRESS', '127.0.0.1:2')
    assert main(['experiment', 'toy-gradients', '--out', str(tmp_path), '--ray', address]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert 'no Ray cluster at' in line and 'ray start --head' in line


@pytest.mark.parametrize('samplers', ['4', 'ray', 'ray:', 'ray:0', 'ray:-1', 'ray:x', 'dask:4'])
def test_samplers_are_a_number_of_shares(samplers):
    with pytest.raises(UserError, match='samplers are ray:N'):
        share_count(samplers)
    assert share_count('ray:12') == 12


@pytest.mark.parametrize(
    ('algorithm', 'more', 'said'),
    [
        ('mb_mpo', (), 'mb_mpo samples here'),
        ('promp', ('--set', 'tasks=2'), 'only 2 tasks to share'),
        ('promp', ('--set', 'normalize_rewards=true'), 'go without normalize_observations'),
        ('promp', ('--asynchronous',), '--samplers goes without'),
    ],
)
def test_what_cannot_be_sampled_elsewhere_is_said_in_a_line(
    algorithm, more, said, tmp_path, capsys
):
    task = TASK if algorithm == 'promp' else 'half_cheetah/thesis'
    arguments = ['train', algorithm, '--task', task, '--samplers', 'ray:3']
    assert main([*arguments, '--out', str(tmp_path / 'run'), *more]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert said in line


class Here(TimedEnv):
    """Robots whose rollouts are made in shares as a cluster makes them, without one."""

    def collect(self, policy, params, goals, generator):
        places = torch.arange(self.tasks).tensor_split(SHARES)
        seeds = torch.randint(2**62, (SHARES,), generator=generator).tolist()
        own, parts = params['log_std'].dim() > 1, []
        for place, seed in zip(places, seeds):
            theirs = {k: v[place] for k, v in params.items()} if own else params
            stream = torch.Generator().manual_seed(seed)
            with closing(TimedEnv(self.task, len(place), self.rollouts)) as env:
                parts.append(collect(env, policy, theirs, goals[place], stream))
        return joined(parts)


@contextmanager
def here_env(task, tasks, rollouts, config, samplers):
    yield Here(task, tasks, rollouts, config)


def test_a_machine_that_dies_costs_time_and_changes_no_result(
    cluster, tmp_path, capsys, monkeypatch
):
    # Cells: some of the toy, a training, and one that needs it.
    jobs = [toy_job('dice', 0), toy_job('dice', 1), *study()]
    there, here = tmp_path / 'there', tmp_path / 'here'
    monkeypatch.setattr(ray_workers, 'get_unless', dying(cluster, ray_workers.get_unless))
    assert run_jobs(jobs, there, 1, cluster.address) == {}
    assert cluster.second not in cluster.list_all_nodes(), 'it was killed'
    for job in jobs:
        do(job, here)
    assert results(jobs, there) == results(jobs, here)
    assert (there / jobs[-2].work.folder / 'bundle').is_dir()
    assert (there / 'logs').is_dir() and not list(there.rglob('*.partial'))
    # Nothing is left to do, so nobody is asked.
    assert run_jobs(jobs, there, 1, 'nowhere:1') == {}

    # A training: one of the machines that sample for it dies in its second round.
    cluster.second = cluster.add_node(**NODE)
    monkeypatch.setattr(remote, 'get', dying(cluster, remote.get, after=1))
    arguments = ['train', 'promp', '--task', TASK, *(f'--set={each}' for each in SMALL)]
    arguments += ['--samplers', f'ray:{SHARES}', '--out']
    assert main([*arguments, str(tmp_path / 'a')]) == 0
    assert cluster.second not in cluster.list_all_nodes(), 'it was killed'
    monkeypatch.setattr(meta_policy, 'remote_env', here_env)
    assert main([*arguments, str(tmp_path / 'b')]) == 0
    bundles = [tmp_path / out / 'bundle' / 'model.safetensors' for out in ('a', 'b')]
    assert bundles[0].read_bytes() == bundles[1].read_bytes()

    # It goes on only with as many shares.
    capsys.readouterr()
    assert main([*arguments, str(tmp_path / 'a'), '--samplers', 'ray:2']) == 2
    assert 'samplers' in capsys.readouterr().err
