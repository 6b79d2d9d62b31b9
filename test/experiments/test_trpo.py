# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""TRPO on the gymnasium environments: the data of the others, resumable, evaluated as they are."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mbmrl_ros.algorithms.mb import MBConfig
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.experiments.cells import expand
from mbmrl_ros.experiments.jobs import Measurement, Selection
from mbmrl_ros.experiments.outcomes import do
from mbmrl_ros.reports.run import read_metrics
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.run import Run

pytest.importorskip('sb3_contrib', reason='needs mbmrl_ros[baselines]')
from mbmrl_ros.experiments import trpo

TASK = load_task('half_cheetah/disabled_joint')
CONFIG = MBConfig(
    iterations=3,
    rollouts=2,
    rollout_steps=40,
    past_steps=4,
    future_steps=4,
    validation_fraction=0.5,
)


def train(folder, iterations=3):
    config = CONFIG.model_copy(update={'iterations': iterations})
    run = Run(folder, config, {'algorithm': 'trpo'})
    trpo.train_trpo(TASK, config, run, seed=0)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('trpo')
    train(folder)
    return folder


def policies(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / 'policies').iterdir())}


def test_it_has_the_data_of_the_others_and_leaves_a_policy_per_iteration(trained):
    metrics = read_metrics(trained)
    assert metrics['environment_steps'].tolist() == [80, 160, 240]
    assert np.isfinite(metrics['return_mean']).all()
    assert list(policies(trained)) == [f'000{i}.safetensors' for i in (1, 2, 3)]
    assert len(set(policies(trained).values())) == 3, 'every update changed the policy'


def test_trained_in_two_goes_it_is_the_same(trained, tmp_path):
    train(tmp_path, iterations=1)
    train(tmp_path, iterations=3)
    assert policies(tmp_path) == policies(trained)


def test_what_the_library_draws_from_is_left_as_it_was(tmp_path):
    np.random.seed(3)
    torch.manual_seed(3)
    expected = np.random.rand(), torch.rand(1)
    np.random.seed(3)
    torch.manual_seed(3)
    train(tmp_path, iterations=1)
    assert (np.random.rand(), torch.rand(1)) == expected


def test_a_policy_acts_alike_on_each_of_many_robots_and_without_absolute_positions(trained):
    act = trpo.load_policy(trained, TASK, CONFIG, None)
    spec = load_robot('half_cheetah')
    states = torch.randn(3, spec.state_size, generator=torch.Generator().manual_seed(0))
    actions = act([], states)
    assert actions.shape == (3, spec.action_size)
    torch.testing.assert_close(act([], states[1:2]), actions[1:2])
    unseen = [i for i in range(spec.state_size) if i not in spec.input_indices]
    moved = states.clone()
    moved[:, unseen] += 5.0
    assert unseen and torch.equal(act([], moved), actions)


def test_the_grid_trains_and_measures_it(tmp_path):
    settings = ('rollout_steps=40', 'past_steps=4', 'future_steps=4')
    chosen = Selection((TASK.name,), ('trpo',), (0,), settings, steps=30, quick=True)
    jobs = expand(['learning-curve'], chosen)
    for job in jobs:
        do(job, tmp_path)
    measured = [job.work for job in jobs if isinstance(job.work, Measurement)]
    assert [work.iteration for work in measured] == [1, 2, 4, None]
    found = [json.loads((tmp_path / work.path).read_text())['result'] for work in measured]
    # 4 rollouts of 40 steps in each of three times as many iterations as MB begins with.
    assert [result['environment_steps'] for result in found] == [160, 320, 640, 960]
    assert all(len(result['returns']) == 2 and 'loss_after' not in result for result in found)


def test_by_the_numbers_of_the_thesis_it_sees_what_there_is_and_steps_as_far(tmp_path):
    config = CONFIG.model_copy(update={'iterations': 1})
    run = Run(tmp_path, config, {'algorithm': 'trpo_thesis'})
    trpo.train_trpo(TASK, config, run, 0, tuned=False)
    spec = load_robot('half_cheetah')
    states = torch.randn(3, spec.state_size, generator=torch.Generator().manual_seed(0))
    act = trpo.load_policy(tmp_path, TASK, config, None, tuned=False)
    models = {tuned: trpo._model(TASK, config, 0, tuned) for tuned in (False, True)}
    trpo._restore(models[False], load_file(tmp_path / 'policies' / '0001.safetensors'))
    raw = states[:, list(spec.input_indices)].numpy()
    expected, _ = models[False].policy.predict(raw, deterministic=True)
    torch.testing.assert_close(act([], states), torch.from_numpy(expected))
    assert {model.target_kl for model in models.values()} == {0.05}
    assert [models[tuned].cg_max_steps for tuned in (False, True)] == [15, 25]
    assert [models[tuned].n_critic_updates for tuned in (False, True)] == [10, 20]
    assert not models[False].env.norm_reward and models[True].env.norm_reward
    for model in models.values():
        model.env.close()


def test_its_environment_draws_what_happens_from_the_task(trained):
    model = trpo._model(TASK, CONFIG, 0, True)
    schedules = set()
    for _ in range(8):
        model.env.reset()
        schedules |= {str(one._schedule) for one in model.env.get_attr('_one')}
    assert len(schedules) > 2
    model.env.close()
