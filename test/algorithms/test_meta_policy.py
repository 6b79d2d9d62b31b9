# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Meta policy search as a whole: identities between algorithms, run folders, small trainings."""

import csv
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from mbmrl_ros.algorithms import maml, promp, rl2
from mbmrl_ros.algorithms.maml import MAML
from mbmrl_ros.algorithms.promp import PROMP
from mbmrl_ros.algorithms.rl2 import RL2
from mbmrl_ros.bundles.policy import load_policy
from mbmrl_ros.config import UserError, parse
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.objectives.surrogates import clipped, likelihood_ratio
from mbmrl_ros.policies.recurrent import RecurrentPolicy
from mbmrl_ros.training import policy_step
from mbmrl_ros.training.meta.learner import adapt, evaluate, init_learner, sample_rounds
from mbmrl_ros.training.meta.loop import make_env
from mbmrl_ros.training.meta.trials import TrialEnv, collect_trials
from mbmrl_ros.training.policy_run import train_policy
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.samples import score
from mbmrl_ros.types import Paths

ALGORITHMS = MAML | {'promp': PROMP, 'rl2': RL2}
TASK = load_meta_task('point/navigation')
SMALL = {'tasks': 4, 'rollouts': 5, 'horizon': 10}


def config_of(name, **changes):
    small = SMALL | ({'units': 8} if name == 'rl2' else {'hidden_sizes': [8]})
    return parse(ALGORITHMS[name].Config, small | changes, 'test')


def trained(name, folder, seed=0, **changes):
    config = config_of(name, **{'iterations': 2} | changes)
    run = Run(folder, config, {'algorithm': name})
    return ALGORITHMS[name].train(TASK, config, run, seed)


def rows(folder):
    with (folder / 'metrics.csv').open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize('name', ALGORITHMS)
def test_a_run_that_was_left_goes_on_bit_for_bit(name, tmp_path):
    changes = {'kl_target': 1e-6} if name == 'promp' else {}
    changes |= {'normalize_observations': True, 'normalize_rewards': True} if 'vpg' in name else {}
    changes |= {'learn_step_sizes': True} if name in ('promp', 'lvc_trpo') else {}
    whole = trained(name, tmp_path / 'whole', iterations=3, **changes)
    for iterations in (1, 3):
        parts = trained(name, tmp_path / 'parts', iterations=iterations, **changes)
    assert whole.tensors.keys() == parts.tensors.keys()
    for key, value in whole.tensors.items():
        assert torch.equal(value, parts.tensors[key]), key
    saved = [load_file(tmp_path / f / 'checkpoint.safetensors') for f in ('whole', 'parts')]
    assert all(torch.equal(saved[0][key], saved[1][key]) for key in saved[0])
    assert [row['iteration'] for row in rows(tmp_path / 'parts')] == ['1', '2', '3']
    assert (tmp_path / 'parts/bundles/0002/bundle.json').exists()
    first, last = (rows(tmp_path / f)[-1] for f in ('whole', 'parts'))
    assert first['return_after'] == last['return_after']
    episodes = 2
    assert float(last['environment_steps']) == 3 * 4 * 5 * 10 * episodes
    assert {'return_before', 'gain', 'std', 'physics_s', 'policy_s', 'update_s'} <= last.keys()
    if 'vpg' in name:
        assert not torch.equal(parts.tensors['normalizer/observations_mean'], torch.zeros(2))
    initial = load_file(tmp_path / 'parts/bundles/0001/model.safetensors')
    assert any(not torch.equal(initial[key], value) for key, value in parts.tensors.items())


def rounds_of(learner, config, inner, seed=0):
    env = make_env(TASK, config)
    generator = torch.Generator().manual_seed(seed)
    goals = env.sample_goals(generator, config.tasks)
    return sample_rounds(env, learner, goals, inner, generator)


@pytest.mark.parametrize('inner_steps', [1, 2])
def test_the_ratios_of_promp_are_one_at_its_first_step(inner_steps):
    config = config_of('promp', inner_steps=inner_steps)
    learner = init_learner(2, 2, config, 0)
    rounds = rounds_of(learner, config, promp.INNER)
    *before, after = rounds.samples
    adapted = adapt(learner, learner.trained, before, likelihood_ratio)
    ones = [s._replace(credit=torch.ones_like(s.credit)) for s in rounds.samples]
    value = evaluate(learner, adapted.params, ones[-1], likelihood_ratio)
    torch.testing.assert_close(value, torch.ones(4), atol=1e-5, rtol=0)
    # So nothing is clipped there, and clipping changes neither value nor derivative.
    tensors = list(learner.trained.values())
    slopes = [
        torch.autograd.grad(evaluate(learner, adapted.params, after, s).sum(), tensors,
                            retain_graph=True)
        for s in (likelihood_ratio, clipped(0.3))
    ]  # fmt: skip
    for plain, bounded in zip(*slopes):
        assert torch.equal(plain, bounded)


@pytest.mark.parametrize('outer', ['vpg', 'trpo'])
def test_e_maml_with_factor_0_is_maml_and_without_it_is_not(outer, tmp_path):
    plain = trained(f'maml_{outer}', tmp_path / 'maml')
    none = trained(f'e_maml_{outer}', tmp_path / 'none', exploration=0.0)
    some = trained(f'e_maml_{outer}', tmp_path / 'some')
    same = [torch.equal(value, none.tensors[key]) for key, value in plain.tensors.items()]
    assert all(same)
    assert not all(torch.equal(v, some.tensors[k]) for k, v in plain.tensors.items())


def test_lvc_and_maml_sample_alike_and_learn_differently(tmp_path):
    bundles = [trained(name, tmp_path / name, iterations=1) for name in ('maml_vpg', 'lvc_vpg')]
    first, second = (rows(tmp_path / name)[0] for name in ('maml_vpg', 'lvc_vpg'))
    # The inner steps have the same value: only their derivatives differ.
    assert float(first['return_after']) == pytest.approx(float(second['return_after']), rel=1e-4)
    assert not torch.equal(*(bundle.tensors['params/weight0'] for bundle in bundles))


def test_first_order_needs_no_second_derivatives(tmp_path):
    # Then it does not matter whether the inner surrogate has the right ones.
    bundles = [
        trained(name, tmp_path / name, iterations=1, first_order=True)
        for name in ('maml_vpg', 'lvc_vpg')
    ]
    for key, value in bundles[0].tensors.items():
        torch.testing.assert_close(value, bundles[1].tensors[key], atol=1e-4, rtol=1e-3)


def test_how_many_samples_are_taken_at_once_does_not_matter(tmp_path, monkeypatch):
    whole = trained('promp', tmp_path / 'whole', iterations=1)
    monkeypatch.setattr(policy_step, 'SAMPLES_AT_ONCE', 1)
    single = trained('promp', tmp_path / 'single', iterations=1)
    for key, value in whole.tensors.items():
        torch.testing.assert_close(value, single.tensors[key], atol=1e-4, rtol=1e-3)


def test_how_many_threads_there_are_does_not_matter(tmp_path, monkeypatch):
    monkeypatch.setattr(policy_step, 'SAMPLES_AT_ONCE', 1)
    count = torch.get_num_threads()
    results = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            results.append(trained('promp', tmp_path / str(threads), iterations=1).tensors)
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(count)
    for key, value in results[0].items():
        torch.testing.assert_close(value, results[1][key], atol=1e-5, rtol=1e-4)


def test_a_trust_region_step_keeps_its_divergence(tmp_path):
    trained('maml_trpo', tmp_path / 'run', delta=1e-3)
    for row in rows(tmp_path / 'run'):
        assert float(row['step_accepted']) == 1
        assert 0 < float(row['kl_after']) <= 1e-3


def test_the_kl_penalty_follows_its_target(tmp_path):
    trained('promp', tmp_path / 'low', kl_target=1e3, iterations=3)
    trained('promp', tmp_path / 'high', kl_target=1e-9, iterations=3)
    low, high = ([float(row['kl_penalty']) for row in rows(tmp_path / f)] for f in ('low', 'high'))
    assert low == pytest.approx([5e-4, 2.5e-4, 1.25e-4])
    assert high == pytest.approx([5e-4, 1e-3, 2e-3])


@pytest.mark.parametrize('name', ['promp', 'lvc_vpg'])
def test_adaptation_helps_and_learning_too(name, tmp_path):
    changes = {'tasks': 20, 'rollouts': 20, 'horizon': 20, 'learning_rate': 1e-2}
    trained(name, tmp_path / 'run', iterations=15, **changes)
    table = rows(tmp_path / 'run')
    gains = [float(row['gain']) for row in table]
    after = [float(row['return_after']) for row in table]
    assert min(gains) > 0
    assert sum(after[-3:]) / 3 > sum(after[:3]) / 3


def test_a_policy_that_remembers_does_better_in_the_second_episode(tmp_path):
    """Goals are -1 and 1: jumping to 0, what one can do without knowing, earns 0.905 a step."""
    changes = {'tasks': 100, 'rollouts': 2, 'horizon': 5, 'learning_rate': 5e-3, 'units': 16}
    config = parse(RL2.Config, changes | {'iterations': 40}, 'test')
    run = Run(tmp_path, config, {'algorithm': 'rl2'})
    RL2.train(load_meta_task('point/line'), config, run, 0)
    last = rows(tmp_path)[-5:]
    assert sum(float(row['gain']) for row in last) / 5 > 0.1
    assert sum(float(row['return_after']) for row in last) / 5 > 5 * 0.905


def test_what_a_task_pays_for_nothing_does_not_count_for_what_is_done_on_it():
    """A constant of each task in every reward: undiscounted, its sum to the end is linear in time,
    which a baseline of the task's own follows, and one of all tasks does not.
    """
    config = config_of('rl2', discount=1.0)
    env, generator = make_env(TASK, config), torch.Generator().manual_seed(0)
    trial_env = TrialEnv(env)
    policy = RecurrentPolicy(trial_env.observation_size, env.action_size, 8)
    params, goals = policy.init(generator), env.sample_goals(generator, 4)
    trials, _ = collect_trials(trial_env, policy, params, goals, 2, generator)
    bonus = torch.tensor([0.0, 5.0, -3.0, 10.0])[:, None, None]
    paid = replace(trials, rewards=trials.rewards + bonus)
    own = [rl2._scored(paths, config).credit for paths in (trials, paid)]
    assert own[0].shape == (1, 20, 20)
    # The ridge keeps the baseline from being exact.
    assert float((own[0] - own[1]).abs().max()) < 0.1
    shared = [score(rl2._pooled(paths), config).credit for paths in (trials, paid)]
    assert float((shared[0] - shared[1]).abs().max()) > 1.0
    # A trial alone of each task has no other to share with.
    alone = config_of('rl2', rollouts=1, tasks=20)
    whole = rl2._pooled(trials)
    one_each = Paths(**{
        name: turned(value) if isinstance(value, dict) else value.transpose(0, 1)
        for name, value in vars(whole).items()
    })  # fmt: skip
    assert torch.equal(rl2._scored(one_each, alone).credit, score(whole, alone).credit)


def turned(values):
    """Return tensors [R, N, .] of [N, R, .]."""
    return {name: value.transpose(0, 1) for name, value in values.items()}


def test_wrong_settings_are_one_line(tmp_path):
    with pytest.raises(UserError, match=r'inner_steps must be at most rollouts \(5\).*got 6'):
        config_of('promp', inner_steps=6)
    with pytest.raises(UserError, match="unknown key 'clip'"):
        config_of('maml_vpg', clip=0.2)
    goalless = TASK.__class__(**vars(TASK) | {'goals': TASK.goals.__class__((), None, None)})
    config = config_of('promp')
    with pytest.raises(UserError, match='has no goals'):
        PROMP.train(goalless, config, Run(tmp_path, config, {}), 0)


def test_an_update_that_is_not_finite_keeps_the_iteration_before(tmp_path):
    trained('maml_vpg', tmp_path / 'run', iterations=1)
    config = config_of('maml_vpg', iterations=2)
    run = Run(tmp_path / 'run', config, {'algorithm': 'maml_vpg'})
    learner = init_learner(2, 2, config, 0)
    kept = (tmp_path / 'run/checkpoint.safetensors').read_bytes()

    def spoil(generator):
        with torch.no_grad():
            learner.trained['params/bias0'][0] = torch.nan
        return {'steps': 1.0, 'physics_s': 0.0, 'policy_s': 0.0}

    with pytest.raises(UserError, match=r'iteration 2 made bias0 infinite or NaN; .* keeps iter'):
        env = make_env(TASK, config)
        train_policy(
            run,
            env,
            learner,
            spoil,
            load_policy(run.publish(1)).info.model_copy(update={'training': vars(config)}),
            0,
        )
    assert (tmp_path / 'run/checkpoint.safetensors').read_bytes() == kept


def test_every_row_of_the_table_says_what_it_is():
    assert set(maml.ROWS) == {
        f'{kind}_{outer}'
        for kind in ('maml', 'lvc', 'e_maml', 'dice')
        for outer in ('vpg', 'trpo')
    }
    for name, row in maml.ROWS.items():
        assert row.trusts == name.endswith('trpo')
        assert MAML[name].summary == row.summary
    assert rl2.RL2.name == 'rl2'
