# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A small Ray cluster does cells and samples rollouts; a machine of it is killed at both."""

import json
import os
import time
from contextlib import closing
from dataclasses import fields, replace

import pytest
import torch

from mbmrl_ros.algorithms.promp import ProMPConfig
from mbmrl_ros.cli.main import main
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.experiments import ray_workers
from mbmrl_ros.experiments.jobs import Job
from mbmrl_ros.experiments.policy_cells import (
    PolicyTraining,
    StudyCell,
    curve,
    toy_gradients,
    train,
)
from mbmrl_ros.experiments.ray_workers import needed, put
from mbmrl_ros.experiments.runner import run_jobs
from mbmrl_ros.policies.gaussian import GaussianPolicy
from mbmrl_ros.system import cluster as clusters
from mbmrl_ros.training import remote
from mbmrl_ros.training.remote import joined, remote_env, share_count
from mbmrl_ros.training.rollouts import collect
from mbmrl_ros.training.timed_env import TimedEnv
from mbmrl_ros.types import Paths

TASK = 'half_cheetah/forward_backward'
SMALL = ('iterations=2', 'tasks=5', 'rollouts=2', 'horizon=6', 'hidden_sizes=[8]')
# Until both machines have begun with what they were given.
AT_WORK_S = 5.0
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


def dying(cluster, get):
    """Return what waits as `get` does, and kills the second machine first, if it can at work."""
    left = [cluster.second]

    def wait(ray, references, *more):
        if left:
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


def sample_here(config, shares, generator, params):
    """Sample in shares as a cluster does, without one."""
    policy = policy_of()
    goals = load_meta_task(TASK).goals.draw(torch.Generator().manual_seed(3), config.tasks)
    places = torch.arange(config.tasks).tensor_split(shares)
    seeds = torch.randint(2**62, (shares,), generator=generator).tolist()
    parts = []
    for place, seed in zip(places, seeds):
        with closing(TimedEnv(short(config), len(place), config.rollouts, config)) as env:
            own = torch.Generator().manual_seed(seed)
            theirs = of_tasks(params, place)
            parts.append(collect(env, policy, theirs, goals[place], own))
    return joined(parts)


def of_tasks(params, place):
    """Return the parameters of some tasks, where each has its own."""
    own = params['log_std'].dim() > 1
    return {name: value[place] for name, value in params.items()} if own else params


def policy_of():
    return GaussianPolicy(17, 6, (8,), 1.0, 1e-6)


def short(config):
    return replace(load_meta_task(TASK), horizon=config.horizon)


def assert_same(ours, theirs):
    for name in (each.name for each in fields(Paths)):
        one, other = getattr(ours, name), getattr(theirs, name)
        for value, wanted in zip(
            *((v.values() if isinstance(v, dict) else [v]) for v in (one, other))
        ):
            assert torch.equal(value, wanted), name


def test_a_machine_that_dies_costs_time_and_changes_no_result(
    cluster, tmp_path, capsys, monkeypatch
):
    # Cells: three of the toy, one that needs another.
    jobs = [toy_job('dice', seed) for seed in range(3)] + study()
    monkeypatch.setattr(ray_workers, 'get_unless', dying(cluster, ray_workers.get_unless))
    there, here = tmp_path / 'there', tmp_path / 'here'
    assert run_jobs(jobs, there, 1, cluster.address) == {}
    assert cluster.second not in cluster.list_all_nodes(), 'it was killed'
    assert run_jobs(jobs, here, 1) == {}
    assert results(jobs, there) == results(jobs, here)
    assert (there / jobs[-2].work.folder / 'bundle').is_dir()
    assert (there / 'logs').is_dir() and not list(there.rglob('*.partial'))
    # Nothing is left to do, so nobody is asked.
    assert run_jobs(jobs, there, 1, 'nowhere:1') == {}

    # Rollouts: of three shares by two machines, one of which dies at it.
    cluster.second = cluster.add_node(**NODE)
    config = ProMPConfig(tasks=5, rollouts=2, horizon=6, hidden_sizes=(8,))
    goals = load_meta_task(TASK).goals.draw(torch.Generator().manual_seed(3), 5)
    params = policy_of().init(torch.Generator().manual_seed(0))
    shared = {name: value.detach() for name, value in params.items()}
    own = {name: value.expand(5, *value.shape) for name, value in shared.items()}
    with remote_env(short(config), 5, 2, config, 'ray:3') as env:
        for given in (shared, own):
            if given is own:
                monkeypatch.setattr(remote, 'get', dying(cluster, remote.get))
            ours = env.collect(policy_of(), given, goals, torch.Generator().manual_seed(7))
            wanted = sample_here(config, 3, torch.Generator().manual_seed(7), given)
            assert_same(ours, wanted)
        assert env.physics_s > 0
        env.close()
    assert cluster.second not in cluster.list_all_nodes(), 'it was killed'

    # A whole training, which goes on only with as many shares.
    arguments = ['train', 'promp', '--task', TASK, *(f'--set={each}' for each in SMALL)]
    assert main([*arguments, '--out', str(tmp_path / 'a'), '--samplers', 'ray:2']) == 0
    assert (tmp_path / 'a' / 'bundle' / 'model.safetensors').exists()
    capsys.readouterr()
    assert main([*arguments, '--out', str(tmp_path / 'a'), '--samplers', 'ray:3']) == 2
    assert 'samplers' in capsys.readouterr().err
