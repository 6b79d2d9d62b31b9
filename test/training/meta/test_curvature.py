# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The short way to the curvature of a meta-learner's divergence is the long one."""

import pytest
import torch

from mbmrl_ros.algorithms.maml import MAMLConfig
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.objectives.surrogates import dice, log_likelihood, lvc
from mbmrl_ros.training import policy_step
from mbmrl_ros.training.meta.curvature import meta_curvature
from mbmrl_ros.training.meta.learner import Inner, adapt, divergence, init_learner, sample_rounds
from mbmrl_ros.training.meta.loop import make_env


@pytest.mark.parametrize('surrogate', [log_likelihood, lvc, dice])
@pytest.mark.parametrize(
    'changes',
    [{}, {'inner_steps': 2}, {'learn_step_sizes': True, 'inner_steps': 2}, {'first_order': True}],
    ids=['one_step', 'two_steps', 'learned_sizes', 'first_order'],
)
def test_it_is_the_second_derivative_of_the_mean_divergence(surrogate, changes, monkeypatch):
    config = MAMLConfig(
        tasks=3, rollouts=4, horizon=5, hidden_sizes=(6,), alpha=0.3, **changes
    )  # fmt: skip
    learner = init_learner(2, 2, config, 0)
    env, generator = make_env(load_meta_task('point/navigation'), config), torch.Generator()
    goals = env.sample_goals(generator.manual_seed(0), 3)
    rounds = sample_rounds(env, learner, goals, Inner(surrogate), generator)
    *before, after = rounds.samples

    adapted = adapt(learner, learner.trained, before, surrogate)
    now = learner.policy.distribution(adapted.params, after.observations)
    names, tensors = zip(*learner.trained.items())
    slope = torch.autograd.grad(divergence(after, now).mean(), tensors, create_graph=True)
    vector = {k: torch.randn(v.shape, generator=generator) for k, v in learner.trained.items()}
    inner = sum((g * vector[name]).sum() for name, g in zip(names, slope))
    expected = torch.autograd.grad(inner, tensors)

    found = meta_curvature(learner, rounds, surrogate)(vector)
    assert set(found) == set(names)
    for name, value in zip(names, expected):
        torch.testing.assert_close(found[name], value, atol=2e-4, rtol=2e-3)

    # Tasks in pieces of their own, on threads of their own.
    monkeypatch.setattr(policy_step, 'SAMPLES_AT_ONCE', 1)
    count = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        apart = meta_curvature(learner, rounds, surrogate)(vector)
    finally:
        torch.set_num_threads(count)
    for name in names:
        torch.testing.assert_close(apart[name], found[name], atol=1e-6, rtol=1e-4)
