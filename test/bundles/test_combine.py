# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ensembles that adapt: every member as if it were alone, the plan in their mean."""

import dataclasses
import json

import pytest
import torch

from mbmrl_ros.adaptation.adapter import GradientAdapter
from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.bundles.combine import make_ensemble
from mbmrl_ros.bundles.dynamics import Bundle, BundleInfo, load_bundle, on_device, save_bundle
from mbmrl_ros.bundles.files import bundle_names, find_bundle, read_head, robot_section
from mbmrl_ros.config import UserError
from mbmrl_ros.models.dynamics import MLPDynamics, build_dynamics
from mbmrl_ros.models.kinds import build_model
from mbmrl_ros.models.mean import MeanDynamics
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.planners.kinds import make_planner
from mbmrl_ros.planners.mppi import MPPIConfig
from mbmrl_ros.robot.adaptive_mpc import adaptive_model, make_mpc
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.types import Transitions

SPEC = load_robot('half_cheetah')
S, A, M, B, E = SPEC.state_size, SPEC.action_size, 6, 4, 3
EVERY = torch.ones(B, dtype=torch.bool)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def member(seed: int, per_unit: bool = False, **changes: object) -> Bundle:
    """Return a model with weights, step sizes and statistics of its own."""
    draw = seeded(seed)
    normalizer = Normalizer(
        torch.randn(S, generator=draw),
        torch.rand(S, generator=draw) + 0.5,
        0.1 * torch.randn(S, generator=draw),
        torch.rand(S, generator=draw) + 0.5,
    )
    dynamics = build_dynamics(SPEC, (8, 8), normalizer, 'float32', 4.0)
    params = dynamics.init(draw)
    params |= {'scale': params['scale'] * 0.9, 'shift': 0.1 * torch.randn(S - 1 + A)}
    sizes = {
        name: 0.02 * torch.rand(value.shape[:1] if per_unit else (), generator=draw)
        for name, value in params.items()
    }
    sizes |= {k: 0.01 * torch.rand(len(params[k]), generator=draw) for k in ('scale', 'shift')}
    info = BundleInfo(
        algorithm='grbal',
        task='half_cheetah/disabled_joint',
        **robot_section(SPEC),
        hidden_sizes=(8, 8),
        past_steps=M,
        future_steps=4,
        inner_steps=2,
        input_limit=4.0,
        precision='float32',
        planner=MPPIConfig(candidates=32, horizon=4),
        training={'seed': seed},
        metrics={'validation_loss': 0.5},
    ).model_copy(update=changes)
    return Bundle(info, dynamics, params, sizes)


def window(seed: int = 5, batch: int = B) -> Transitions:
    draw = seeded(seed)
    states = torch.randn(batch, M, S, generator=draw)
    actions = torch.rand(batch, M, A, generator=draw) * 2 - 1
    return Transitions(states, actions, states + torch.randn(states.shape, generator=draw))


def three(per_unit: bool = False, **changes: object) -> list[Bundle]:
    return [member(seed, per_unit, **changes) for seed in range(E)]


def together(members: list[Bundle], penalty: float = 0.0) -> Bundle:
    return make_ensemble({f'model{i}': one for i, one in enumerate(members)}, penalty)


def reward(state, action, next_state):
    return -next_state.square().sum(-1)


def situation(batch: int = B) -> tuple[torch.Tensor, torch.Tensor]:
    draw = seeded(9)
    state = torch.randn(batch, 10, S, generator=draw)
    return state, torch.rand(batch, 10, A, generator=draw) * 2 - 1


@pytest.mark.parametrize('per_unit', [False, True])
@pytest.mark.parametrize('adaptation', ['none', 'grbal', 'dynamic_evaluation'])
def test_members_adapt_as_if_each_were_alone_and_the_model_is_their_mean(adaptation, per_unit):
    members, state = three(per_unit), situation()
    bundle = together(members)
    attempted = torch.tensor([True, True, False, True])
    expected, losses, planned = [], [], []
    for one in members:
        adapter, memory = make_adapter(one, adaptation), None
        memory = adapter.initial(B)
        for tick in range(2):
            memory, adapted = adapter.adapt(memory, window(tick), attempted)
        expected.append(one.dynamics.step(adapted.params, None, *state)[1])
        planned.append(one.dynamics.planning_step(adapted.params)(None, *state)[1])
        losses.append(torch.stack([adapted.loss_before, adapted.loss_after]))
    adapter = make_adapter(bundle, adaptation)
    memory = adapter.initial(B)
    for tick in range(2):
        memory, adapted = adapter.adapt(memory, window(tick), attempted)
    found = bundle.dynamics.step(adapted.params, None, *state)[1]
    torch.testing.assert_close(found, torch.stack(expected).mean(0), rtol=1e-4, atol=1e-5)
    found = bundle.dynamics.planning_step(adapted.params)(None, *state)[1]
    torch.testing.assert_close(found, torch.stack(planned).mean(0), rtol=1e-4, atol=1e-5)
    both = torch.stack([adapted.loss_before, adapted.loss_after])
    torch.testing.assert_close(
        both, torch.stack(losses).mean(0), rtol=1e-4, atol=1e-5, equal_nan=True
    )


def test_each_member_accepts_for_itself():
    good, bad = member(0), member(1)
    bad = dataclasses.replace(
        bad, step_sizes={name: 100.0 + 0 * size for name, size in bad.step_sizes.items()}
    )
    bundle = together([good, bad])
    adapter = make_adapter(bundle, 'auto')
    memory, adapted = adapter.adapt(adapter.initial(B), window(), EVERY)
    assert memory.view(2, B).tolist() == [[True] * B, [False] * B]
    assert adapted.accepted.all() and not adapted.refused.any()
    rows = adapted.params['bias0'].view(2, B, -1)
    assert torch.equal(rows[1], bad.params['bias0'].expand(B, -1)), 'it stays as trained'
    assert not torch.equal(rows[0], good.params['bias0'].expand(B, -1))
    both = together([bad, dataclasses.replace(member(2), step_sizes=bad.step_sizes)])
    adapter = make_adapter(both, 'auto')
    _, adapted = adapter.adapt(adapter.initial(B), window(), EVERY)
    assert adapted.refused.all() and not adapted.accepted.any()


def test_errors_are_those_of_the_mean_prediction():
    bundle, coming = together(three()), window(3)
    _, reached = bundle.dynamics.step(bundle.params, None, coming.states, coming.actions)
    error = (reached - coming.next_states) / bundle.dynamics.normalizer.delta_std
    found = bundle.dynamics.errors(bundle.params, coming)
    torch.testing.assert_close(found, error.square(), rtol=1e-3, atol=1e-5)
    found = bundle.dynamics.loss(bundle.params, coming)
    torch.testing.assert_close(found, error.square().mean((1, 2)), rtol=1e-3, atol=1e-5)


def test_copies_of_one_model_decide_as_it_does_alone():
    alone = member(0)
    bundles = alone, together([alone] * E), together([alone] * E, penalty=2.0)
    decisions = []
    for bundle in bundles:
        planner = make_planner(bundle.info.planner, A)
        mpc = make_mpc(bundle, make_adapter(bundle, 'auto'), planner, reward, seeded(), B)
        decisions += [mpc.act(window(), EVERY, situation()[0][:, 0])]
    for decision in decisions[1:]:
        torch.testing.assert_close(decision.action, decisions[0].action, rtol=0, atol=1e-4)


def test_a_plan_loses_the_penalty_per_deviation_of_disagreement():
    members, (state, action) = three(), situation()
    bundle = together(members, penalty=0.5)
    step = bundle.dynamics.planning_step(bundle.params)
    expected, carry, there = torch.zeros(B, 10), None, state
    for _ in range(2):
        each = [one.dynamics.step(one.params, None, there, action)[1] for one in members]
        apart = torch.stack(each).std(0, correction=0) / bundle.dynamics.normalizer.delta_std
        expected += apart.mean(-1)
        carry, there = step(carry, there, action)
    assert expected.min() > 0.1
    problem = adaptive_model(bundle, make_adapter(bundle, 'auto')).problem(step, reward)
    torch.testing.assert_close(problem.penalty(carry), 0.5 * expected, rtol=1e-3, atol=1e-4)
    free = together(members)
    assert adaptive_model(free, make_adapter(free, 'auto')).penalty is None


def test_uncertain_candidates_lose_to_sure_ones():
    """Two members disagree on what the first action does, in proportion to its size."""
    one, other = member(0), member(1)
    bundles = []
    for bundle, sign in ((one, 1.0), (other, -1.0)):
        params = {name: torch.zeros_like(value) for name, value in bundle.params.items()}
        params['scale'] += 1.0
        params['weight0'][0, -A], params['weight0'][1, -A] = 1.0, -1.0
        params['weight1'][0, 0] = params['weight1'][0, 1] = 1.0
        params['weight2'][0, 0] = sign
        bundles.append(
            dataclasses.replace(
                bundle,
                params=params,
                dynamics=build_dynamics(SPEC, (8, 8), Normalizer.identity(S), 'float32'),
            )
        )
    chosen = []
    for penalty in (0.0, 1.0):
        bundle = together(bundles, penalty)
        planner = make_planner(MPPIConfig(candidates=500, horizon=1), A)
        flat = lambda state, action, next_state: 0.01 * action[..., 0]  # noqa: E731
        mpc = make_mpc(bundle, make_adapter(bundle, 'none'), planner, flat, seeded())
        decision = mpc.act(window(batch=1), EVERY[:1], torch.zeros(1, S))
        chosen.append(float(decision.action[0, 0]))
    assert chosen[0] > 0.8 and abs(chosen[1]) < 0.1


def test_an_ensemble_comes_back_as_it_was_saved(tmp_path):
    bundle = together(three(per_unit=True), penalty=0.25)
    save_bundle(tmp_path, bundle)
    loaded = on_device(load_bundle(tmp_path, SPEC), torch.device('cpu'), 'float32')
    assert loaded.info.members == loaded.dynamics.members == E
    assert loaded.dynamics.uncertainty_penalty == 0.25
    assert [one['seed'] for one in loaded.info.training['members']] == [0, 1, 2]
    decisions = []
    for each in (bundle, loaded):
        planner = make_planner(each.info.planner, A)
        mpc = make_mpc(each, make_adapter(each, 'auto'), planner, reward, seeded(), B)
        decisions.append(mpc.act(window(), EVERY, situation()[0][:, 0]))
    assert torch.equal(decisions[0].action, decisions[1].action)


@pytest.mark.parametrize(
    ('changes', 'said'),
    [({'members': 2}, 'ensemble of 2 of a feed-forward'), ({'cell': 'gru'}, 'remember nothing')],
)
def test_a_description_of_another_ensemble_is_refused(tmp_path, changes, said):
    save_bundle(tmp_path, together(three()))
    path = tmp_path / 'bundle.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UserError, match='is damaged') as caught:
        load_bundle(tmp_path, SPEC)
    assert said in str(caught.value) or 'cell' in changes


@pytest.mark.parametrize(
    ('other', 'said'),
    [
        (member(1, hidden_sizes=(8, 9)), r'its hidden_sizes is \(8, 9\), there \(8, 8\)'),
        (member(1, past_steps=5), 'its past_steps is 5, there 6'),
        (member(1, algorithm='mb'), 'its algorithm is mb, there grbal'),
        (member(1, per_unit=True), r'its step_sizes/bias0 is \(8,\), there \(\)'),
    ],
)
def test_members_that_differ_are_refused_by_field(other, said):
    with pytest.raises(UserError, match=f'model1 cannot be a member beside model0: {said}'):
        together([member(0), other])


def test_models_that_remember_and_ensembles_are_no_members():
    dynamics = build_model(SPEC, (8,), 'gru')
    recurrent = member(0, cell='gru')
    params = dynamics.init(seeded())
    recurrent = Bundle(recurrent.info, dynamics, params, {})
    for bundle, kind in ((recurrent, 'recurrent'), (together(three()), 'an ensemble already')):
        with pytest.raises(UserError, match=f'model0 is {kind}'):
            together([bundle, bundle])


@pytest.mark.parametrize(
    'name', [name for name in bundle_names() if read_head(find_bundle(name)).algorithm == 'grbal']
)
def test_shipped_bundles_are_one_model_and_driven_as_before(name, tmp_path):
    head = read_head(find_bundle(name))
    bundle = load_bundle(name, load_robot(head.robot))
    assert bundle.info.members == 1 and isinstance(bundle.dynamics, MLPDynamics)
    adapter = make_adapter(bundle, 'auto')
    assert isinstance(adapter, GradientAdapter) and adapter.params is bundle.params
    assert bundle.actor is None and adaptive_model(bundle, adapter)[3:] == (None, None, None)
    save_bundle(tmp_path, bundle)
    assert not {'members', 'uncertainty_penalty', 'actor'} & set(
        json.loads((tmp_path / 'bundle.json').read_text())
    )


def test_statistics_of_all_are_the_mean_of_those_of_members():
    members = three()
    dynamics = together(members).dynamics
    assert isinstance(dynamics, MeanDynamics)
    for name, value in vars(dynamics.normalizer).items():
        each = torch.stack([vars(one.dynamics.normalizer)[name] for one in members])
        assert torch.equal(value, each.mean(0))
