# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A policy and its critics beside a model: what they say is what their networks say."""

import json
from dataclasses import replace

import pytest
import torch
from small_actor import ACTION, drawn_critics, steady_actor, steady_policy
from small_policy import small_policy

from mbmrl_ros.bundles.actor import make_actor
from mbmrl_ros.bundles.dynamics import Bundle, load_bundle, on_device, save_bundle, with_actor
from mbmrl_ros.config import UserError
from mbmrl_ros.networks.mlp import mlp
from mbmrl_ros.spec.robot import load_robot

SPEC = load_robot('half_cheetah')
TASK = 'half_cheetah/disabled_joint'


def model() -> Bundle:
    return load_bundle('half_cheetah/disabled_joint/grbal', SPEC)


def states() -> torch.Tensor:
    return torch.randn(2, 5, SPEC.state_size, generator=torch.Generator().manual_seed(4))


def test_the_policy_proposes_its_mean_through_tanh_of_what_it_is_shown():
    policy = steady_policy(SPEC, TASK)
    policy.tensors['params/weight1'] += 0.1
    proposed = make_actor(policy, {}, SPEC.input_indices).propose(states())
    shown = states()[..., list(SPEC.input_indices)]
    expected = mlp(policy.params, shown)[..., : SPEC.action_size].tanh()
    torch.testing.assert_close(proposed, expected)
    assert proposed.std() > 0.02


def test_a_state_is_worth_what_the_smaller_critic_says_of_the_policys_action():
    critics = drawn_critics(SPEC)
    shown = states()[..., list(SPEC.input_indices)].flatten(0, 1)
    inputs = torch.cat([shown, torch.full((10, SPEC.action_size), ACTION)], -1)
    each = [
        mlp({k: v if v.dim() == 1 else v[i] for k, v in critics.items()}, inputs)[:, 0]
        for i in range(2)
    ]
    expected = 0.5 * torch.minimum(*each).view(2, 5)
    torch.testing.assert_close(steady_actor(SPEC, TASK, 0.5).value(states()), expected)
    assert not steady_actor(SPEC, TASK, 0.0).has_value
    assert not make_actor(steady_policy(SPEC, TASK), {}, SPEC.input_indices).has_value


def test_what_was_saved_beside_a_model_comes_back(tmp_path):
    saved = with_actor(model(), steady_actor(SPEC, TASK, 0.25))
    save_bundle(tmp_path, saved)
    loaded = on_device(load_bundle(tmp_path, SPEC), torch.device('cpu'))
    assert loaded.info.actor == saved.info.actor and loaded.actor is not None
    assert (loaded.info.actor.critics, loaded.info.actor.value_weight) == (2, 0.25)
    assert torch.equal(loaded.actor.value(states()), saved.actor.value(states()))
    assert torch.equal(loaded.actor.propose(states()), saved.actor.propose(states()))


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'critics': 3}, r'critic/bias0 of its policy should be \(3, 8\), it is \(2, 8\)'),
        ({'hidden_sizes': [9]}, r'actor/bias0 of its policy should be \(9,\), it is \(8,\)'),
        ({'whole_state': True}, 'actor/scale of its policy should be'),
    ],
)
def test_a_description_of_another_policy_is_refused(tmp_path, changes, said):
    save_bundle(tmp_path, with_actor(model(), steady_actor(SPEC, TASK)))
    path = tmp_path / 'bundle.json'
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {'actor': data['actor'] | changes}))
    with pytest.raises(UserError, match=f'is damaged: .*{said}|is damaged: .* of its policy'):
        load_bundle(tmp_path, SPEC)


def test_policies_whose_actions_depend_on_more_are_refused():
    steady = steady_policy(SPEC, TASK)
    moments = {'normalizer/observations_mean': torch.zeros(18)}
    shifted = replace(steady, tensors=steady.tensors | moments)
    for policy in (small_policy('promp'), shifted):
        with pytest.raises(UserError, match='cannot propose to a planner'):
            make_actor(policy, {}, SPEC.input_indices)
    with pytest.raises(UserError, match='it has 18 inputs, its robot shows it 2'):
        make_actor(steady, {}, (1, 2))
