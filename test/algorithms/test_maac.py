# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""MAAC, MBPO and DHMBPO as settings: each learns a point's task; runs go on; bundles drive."""

import csv

import pytest
import torch

from mbmrl_ros.algorithms.maac import MAAC, MAACConfig, _mixed, scheduled, train
from mbmrl_ros.algorithms.policy_source import DriveSettings, make_policy_source
from mbmrl_ros.bundles.policy import build_policy, load_policy
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.envs.task_env import MetaTaskEnv, SamplingConfig
from mbmrl_ros.nodes.controller.policy_brain import at_once
from mbmrl_ros.policies.squashed import mode
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.search.stages import Search
from mbmrl_ros.training.soft.stages import begin, collect
from mbmrl_ros.types import Transitions

POINT = load_meta_task('point/origin')
SMALL = {
    'initial_steps': 60,
    'steps': 30,
    'updates_per_step': 0.2,
    'hidden_sizes': (16,),
    'members': 2,
    'model_hidden_sizes': (16,),
    'epochs': 5,
    'batch_size': 16,
    'update_batch_size': 8,
    'model_rollouts': 8,
    'model_rollouts_every': 4,
    'real_ratio': 0.25,
    'learning_rate': 3e-3,
}
PATH = {'critic_targets': 'path', 'critic_horizon': 3, 'rollout_length': (1, 2, 2, 4)}
VARIANTS = {
    'MAAC': {},
    'STEVE': {'critic_targets': 'inverse_variance'},
    'MBPO': {'actor': 'none'},
    'DHMBPO': PATH,
}


def run_of(folder, task=POINT, **changes):
    config = MAACConfig(**SMALL | changes)
    return train(task, config, Run(folder, config, {}), 0)


def rows(folder):
    with (folder / 'metrics.csv').open(newline='') as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize('variant', VARIANTS)
def test_a_run_that_was_stopped_goes_on_to_the_bit(tmp_path, variant):
    whole = run_of(tmp_path / 'whole', iterations=3, **VARIANTS[variant])
    run_of(tmp_path / 'parts', iterations=1, **VARIANTS[variant])
    parts = run_of(tmp_path / 'parts', iterations=3, **VARIANTS[variant])
    assert whole.tensors.keys() == parts.tensors.keys()
    for name, value in whole.tensors.items():
        assert torch.equal(value, parts.tensors[name]), name
    config = MAACConfig(**SMALL | VARIANTS[variant] | {'iterations': 3})
    one, other = (Run(tmp_path / name, config, {}).load()[1] for name in ('whole', 'parts'))
    assert one.keys() == other.keys() and {'policy/target/bias0', 'models/steps'} <= one.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_counts_are_those_of_the_settings(tmp_path):
    run_of(tmp_path, iterations=2, **PATH)
    first, second = rows(tmp_path)
    # Episodes of 30 steps: two of them, then one; 0.2 updates for each.
    assert (first['environment_steps'], second['environment_steps']) == ('60', '90')
    assert (float(first['updates']), float(second['updates'])) == (12, 6)
    assert (float(first['rollout_length']), float(second['rollout_length'])) == (2, 4)


def test_it_learns_to_go_to_the_origin(tmp_path):
    changes = {'updates_per_step': 0.2, 'epochs': 12, 'discount': 0.95, 'real_ratio': 1.0}
    changes |= {'initial_steps': 900, 'update_batch_size': 32, 'learning_rate': 2e-3}
    changes |= {'probabilistic': False, 'model_learning_rate': 5e-3, 'init_temperature': 0.01}
    bundle = run_of(tmp_path, iterations=1, **PATH | changes)
    policy, params = build_policy(bundle.info), bundle.params
    env = MetaTaskEnv(POINT, 1, 64, SamplingConfig(action_scale=1.0))
    seen = env.reset(torch.zeros(1, 0), torch.Generator().manual_seed(1))
    before = seen.square().sum(-1)
    with torch.no_grad():
        for _ in range(POINT.horizon):
            seen, *_ = env.step(mode(policy.distribution(params, seen)))
    # From up to 2 m in both axes, 0.1 m a step: everybody could be there.
    assert float(seen.square().sum(-1).mean()) < 0.3 * float(before.mean())


def test_a_bundle_drives_a_robot_by_its_bounded_action(tmp_path):
    task = load_meta_task('half_cheetah/gymnasium')
    changes = {'initial_steps': 20, 'steps': 20, 'horizon': 20, 'iterations': 1}
    run_of(tmp_path, task, **changes)
    bundle = load_policy(tmp_path / 'bundle')
    assert bundle.info.squashed and bundle.info.action_scale == 1.0
    spec = load_robot(task.robot)
    driver, _ = make_policy_source(spec, bundle, task, DriveSettings(), at_once)
    # Far away, where the mean is not small.
    state = 30 * torch.randn(1, spec.state_size, generator=torch.Generator().manual_seed(0))
    nothing = torch.full((1, 1, spec.state_size), torch.nan)
    window = Transitions(nothing, torch.zeros(1, 1, spec.action_size), nothing)
    decision = driver.act(window, torch.tensor([False]), state)
    policy = build_policy(bundle.info)
    drawn = policy.distribution(bundle.params, state[:, list(spec.input_indices)])
    torch.testing.assert_close(decision.action, mode(drawn).double())
    assert not torch.allclose(drawn['mean'], mode(drawn), atol=1e-2)
    assert decision.mode == 'policy: as trained'


def test_a_training_has_as_many_episodes_as_it_says():
    changes = {'initial_steps': 50, 'steps': 17, 'real_rollouts': 2, 'horizon': 8, 'iterations': 3}
    config, generator = MAACConfig(**SMALL | changes), torch.Generator().manual_seed(0)
    search = Search(POINT, config, 0)
    policies = (None, begin(search), begin(search))
    counts = [len(collect(search, policy, generator)) for policy in policies]
    assert counts == [8, 4, 4] and config.episodes(8) == sum(counts)


def test_a_batch_has_its_share_of_real_states_and_draws_all_alike():
    config = MAACConfig(**SMALL | {'update_batch_size': 400})
    real, pool = (
        Transitions(*(torch.arange(first, first + 5.0)[:, None] for _ in range(3)))
        for first in (0, 100)
    )
    generator, drawn = torch.Generator().manual_seed(0), []
    for _ in range(50):
        batch = _mixed(pool, real, config, generator)
        assert torch.equal(batch.states, batch.next_states)
        drawn.append(batch.states[:, 0])
    values, counts = torch.cat(drawn).unique(return_counts=True)
    assert values.tolist() == [0, 1, 2, 3, 4, 100, 101, 102, 103, 104]
    # A quarter and three quarters of 20 000, a fifth each: give or take four deviations.
    assert counts[:5].sub(1000).abs().max() < 130 and counts[5:].sub(3000).abs().max() < 220
    assert int(counts[:5].sum()) == 5000


def test_model_rollouts_grow_from_one_iteration_to_another():
    lengths = [scheduled((20, 100, 1, 25), iteration) for iteration in (1, 20, 60, 100, 200)]
    assert lengths == [1, 1, 13, 25, 25]


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        ({'update_batch_size': 255}, 'update_batch_size must be a multiple of the 8 members'),
        ({'critic_targets': 'path', 'critic_horizon': 4}, 'critic_horizon must be at most'),
        ({'critic_targets': 'path', 'actor': 'none'}, 'steps of the path .0.'),
        ({'action_scale': 10.0}, 'action_scale must be 1'),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        MAACConfig(**settings)


def test_a_task_with_goals_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(UserError, match='has goals'):
        run_of(tmp_path, MAAC.load_task('half_cheetah/velocity', ''))
