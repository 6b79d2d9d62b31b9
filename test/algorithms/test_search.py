# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Model-based policy search: what its algorithms improve, and that a run goes on bit for bit."""

from dataclasses import replace

import pytest
import torch

from mbmrl_ros.algorithms import MODEL_BASED_SEARCH, bptt, mb_mpo, me_ppo, me_trpo
from mbmrl_ros.bundles.policy import load_policy
from mbmrl_ros.config import UserError
from mbmrl_ros.data.replay import replay
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.models.fit_ensemble import EnsembleState
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.networks.params import group
from mbmrl_ros.training.meta import learner as meta_learner
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.search import stages
from mbmrl_ros.training.search.policy import accepted, model_returns, restore, update_validated
from mbmrl_ros.training.search.stages import Models, Search, acting, begin_gaussian

POINT = replace(load_meta_task('point/origin'), horizon=8)
SMALL = {
    'iterations': 2,
    'members': 2,
    'model_hidden_sizes': (8,),
    'hidden_sizes': (8,),
    'epochs': 2,
    'batch_size': 16,
    'real_rollouts': 4,
}
IMAGINED = {'imagined_rollouts': 4, 'updates': 2, 'imagined_horizon': 6}
# Whatever models say of it, a step is taken.
VALIDATED = IMAGINED | {'validate_every': 1, 'validation_rollouts': 3, 'accepted_share': 0.0}
SMALL_OF = {
    'bptt': SMALL | VALIDATED,
    'mb_mpo': SMALL | {'tasks': 4, 'rollouts': 3, 'meta_steps': 2},
    'me_ppo': SMALL | IMAGINED,
    'me_trpo': SMALL | VALIDATED,
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def settings(name: str, **changes):
    algorithm = next(each for each in MODEL_BASED_SEARCH if each.name == name)
    return algorithm.Config(**SMALL_OF.get(name, SMALL) | changes)


def train(name: str, folder, **changes):
    algorithm = next(each for each in MODEL_BASED_SEARCH if each.name == name)
    config = settings(name, **changes)
    run = Run(folder, config, {'algorithm': name})
    return algorithm.train(POINT, config, run, 0)


def true_models(search: Search, drift: float = 0.0) -> Models:
    """Return the point's physics as models; of member e every channel drifts by e drift."""
    members = search.config.members
    moves = torch.cat([torch.zeros(2, 2), 0.1 * torch.eye(2)], 1)
    drifts = drift * torch.arange(members, dtype=torch.float32)[:, None].expand(-1, 2)
    params = {'weight0': moves.expand(members, 2, 4).clone(), 'bias0': drifts.clone()}
    data = [search.env.roll_out(lambda seen: still(search), seeded(9))]
    return Models(EnsembleState.of(params), Normalizer.identity(2), replay(data, 1000))


def still(search: Search):
    shape = search.env.tasks, 1, 2
    return {'mean': torch.zeros(shape), 'log_std': torch.full((2,), -20.0)}


def test_what_stops_a_model_is_chosen_once_and_looked_up_for_the_buffer_alone():
    search = Search(POINT, settings('me_ppo'), 0)
    data = [search.env.roll_out(lambda seen: still(search), seeded(i)) for i in range(5)]
    masks = [
        stages._validation(Search(POINT, settings('me_ppo', buffer_size=size), 0), data)
        for size in (10_000, 70, 32)
    ]
    assert [len(mask) for mask in masks] == [5 * 4 * 8, 70, 32]
    assert all(torch.equal(mask, masks[0][-len(mask) :]) for mask in masks)


@pytest.mark.parametrize('name', SMALL_OF)
def test_a_run_that_was_killed_goes_on_bit_for_bit_with_its_buffer(name, tmp_path):
    whole = train(name, tmp_path / 'whole', iterations=3)
    train(name, tmp_path / 'killed', iterations=2)
    # Collected, but killed before it counted.
    data = 'data/0003.safetensors'
    (tmp_path / 'killed' / data).write_bytes((tmp_path / 'whole' / data).read_bytes())
    again = train(name, tmp_path / 'killed', iterations=3)
    for key, value in whole.tensors.items():
        assert torch.equal(value, again.tensors[key]), key
    ours, theirs = (
        (tmp_path / each / 'checkpoint.safetensors').read_bytes() for each in ('whole', 'killed')
    )
    assert ours == theirs
    assert load_policy(tmp_path / 'whole' / 'bundle').info.algorithm == name


@pytest.mark.parametrize('name', SMALL_OF)
def test_stages_leave_what_they_are_given_as_it_was(name, tmp_path):
    stages = {'bptt': bptt, 'mb_mpo': mb_mpo, 'me_ppo': me_ppo, 'me_trpo': me_trpo}[name].STAGES
    search = Search(POINT, settings(name), 0)
    policy = stages.begin(search)
    models = stages.fit(
        search, search.begin_models(), [stages.collect(search, None, seeded())], seeded()
    ).models
    given = [{k: v.clone() for k, v in each.items()} for each in (policy, models.tensors())]
    improved = stages.improve(search, policy, models, seeded(1)).policy
    stages.fit(search, models, [stages.collect(search, policy, seeded())] * 2, seeded())
    for before, after in zip(given, (policy, models.tensors())):
        assert all(torch.equal(value, after[key]) for key, value in before.items())
    again = stages.improve(search, policy, models, seeded(1)).policy
    assert all(torch.equal(value, again[key]) for key, value in improved.items())
    assert any(not torch.equal(policy[key], improved[key]) for key in policy)


def test_a_task_with_goals_is_refused(tmp_path):
    config = settings('me_ppo')
    with pytest.raises(UserError, match='has goals'):
        me_ppo.train(load_meta_task('point/corner'), config, Run(tmp_path, config, {}), 0)


def test_where_no_robot_takes_a_sound_step_nothing_is_learned_from_it(tmp_path):
    def broken(state, action, following, goal):
        return torch.full_like(state[:, 0], torch.nan)

    config = settings('me_ppo')
    run = Run(tmp_path, config, {})
    with pytest.raises(UserError, match=r'point/origin: the first step of every robot failed'):
        me_ppo.train(replace(POINT, reward=broken), config, run, 0)
    assert not run.has_data(1)


def linear(search: Search, gain: float) -> dict[str, torch.Tensor]:
    """Return a policy a = gain * s."""
    return {
        'params/weight0': gain * torch.eye(2),
        'params/bias0': torch.zeros(2),
        'params/log_std': torch.zeros(2),
    }


def test_bptt_climbs_the_analytic_gradient_of_a_linear_quadratic_problem():
    """s' = s + 0.1 k s and r = -|s'|^2: the return is -sum_t (1 + 0.1 k)^2t |s_0|^2."""
    steps, gain = 6, -0.7
    config = settings('bptt', members=1, hidden_sizes=(), imagined_horizon=steps,
                      imagined_rollouts=50, action_scale=10.0)  # fmt: skip
    search = Search(POINT, config, 0)
    models = true_models(search)
    learner = restore(search, linear(search, gain), 1e-3)
    states, _ = models.replay.first(seeded(5), 50)
    env = search.imagined(
        models, (1, 50), 'task', True, lambda generator, rows: (states, torch.zeros(rows).long())
    )
    returned = bptt.imagined_return(env, learner, config, seeded())
    (slope,) = torch.autograd.grad(returned, learner.trained['params/weight0'])
    # The policy acts in -10..10, of which 10 is a displacement of 0.1.
    rate, size = 1 + 0.01 * gain, states.square().mean(0)
    times = torch.arange(1, steps + 1)
    assert float(returned.detach()) == pytest.approx(
        float(-(rate ** (2 * times)).sum() * size.sum())
    )
    expected = -(2 * times * 0.01 * rate ** (2 * times - 1)).sum() * size
    torch.testing.assert_close(slope.diagonal(), expected, rtol=1e-4, atol=1e-5)


def test_bptt_finds_the_origin_in_the_true_physics():
    config = settings('bptt', members=1, hidden_sizes=(), updates=60, learning_rate=0.1)
    search = Search(POINT, config, 0)
    models = true_models(search)
    improved = bptt.improve(search, linear(search, 0.0), models, seeded())
    before = float(model_returns(search, models, 20, seeded())(group(linear(search, 0), 'params')))
    after = float(model_returns(search, models, 20, seeded())(group(improved.policy, 'params')))
    assert after > 0.8 * before and after > before + 1.0


def test_most_models_have_to_find_a_policy_no_worse():
    best = torch.zeros(10)
    for better, is_accepted in ((6, False), (7, True), (10, True)):
        now = torch.where(torch.arange(10) < better, 0.0, -1.0)
        assert accepted(now, best, 0.7) == is_accepted


def test_validation_restores_the_best_and_stops():
    """Updates 1 and 2 are better in all models, later ones in one of two only."""
    config = settings('me_trpo', stop_after=3, accepted_share=0.7)
    search = Search(POINT, config, 0)
    learner = restore(search, begin_gaussian(search), 0.0)
    count = []

    def update():
        count.append(0)
        with torch.no_grad():
            learner.trained['params/bias0'].fill_(float(len(count)))
        return {}

    def validate():
        step = float(len(count))
        return torch.tensor([step, min(step, 4.0 - step)])

    metrics = update_validated(learner, update, validate, 100, config)
    assert len(count) == 5 and metrics['updates'] == 5
    assert learner.trained['params/bias0'].unique().tolist() == [2.0]
    assert metrics['validation_return'] == 2.0


def test_each_model_validates_alone_from_the_same_states():
    search = Search(POINT, settings('me_trpo', members=3, imagined_horizon=1), 0)
    returns = model_returns(search, true_models(search, drift=3.0), 5, seeded())
    still = {k: torch.zeros_like(v) for k, v in search.policy.init(seeded()).items()}
    first = true_models(search).replay.first(seeded(), 5)[0]
    expected = [-(first + 3.0 * e).square().sum(-1).mean() for e in range(3)]
    torch.testing.assert_close(returns(still), torch.stack(expected))


def test_the_policies_of_mb_mpo_adapt_each_to_its_own_model_and_collect_in_turn():
    config = settings('mb_mpo', alpha=1.0, meta_steps=1, real_rollouts=6)
    search = Search(POINT, config, 0)
    policy = mb_mpo.improve(
        search, begin_gaussian(search), true_models(search, drift=0.2), seeded()
    ).policy
    adapted = group(policy, 'adapted')
    theta = group(policy, 'params')
    assert adapted['weight0'].shape == (4, *theta['weight0'].shape)
    apart = [(adapted['weight0'][i] - adapted['weight0'][j]).abs().max()
             for i, j in ((0, 1), (0, 2), (0, 3))]  # fmt: skip
    assert min(apart) > 0
    seen = torch.randn(1, 1, 2, generator=seeded()).expand(6, 1, 2)
    mean = acting(search, policy)(seen)['mean'][:, 0]
    own = [search.policy.distribution({k: v[i % 4] for k, v in adapted.items()}, seen[0])['mean']
           for i in range(6)]  # fmt: skip
    torch.testing.assert_close(mean, torch.cat(own))


def test_both_imagined_phases_of_mb_mpo_are_right(monkeypatch):
    """The second phase is sampled by the adapted policies, and not by theta once more."""
    used = []
    collect = meta_learner.collect
    monkeypatch.setattr(
        meta_learner, 'collect', lambda *given: (used.append(given[2]), collect(*given))[1]
    )
    config = settings('mb_mpo', alpha=0.5, meta_steps=1, tailored=False)
    search = Search(POINT, config, 0)
    mb_mpo.improve(search, begin_gaussian(search), true_models(search, 0.2), seeded())
    theta, adapted = used
    assert theta['weight0'].dim() == 2 and adapted['weight0'].dim() == 3
    assert all((adapted['weight0'][i] - theta['weight0']).abs().max() > 1e-4 for i in range(4))


def test_tasks_that_models_cannot_share_are_refused():
    with pytest.raises(ValueError, match='multiple of members'):
        settings('mb_mpo', members=3)
