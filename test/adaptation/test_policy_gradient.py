# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The inner step and what is differentiated through it, on ProMP's problem in one dimension.

An action a ~ N(theta_0 s^2 + theta_1, 1) at place s earns exp(-0.1 (a - g)^2), with g = -1 or 1.
So E r = c exp(-0.1 c^2 (m - g)^2) with c = 1.2^-0.5: a Gaussian integral. What is sampled is
replaced by quadrature, so that surrogates have no noise.
"""

import numpy as np
import pytest
import torch

from mbmrl_ros.adaptation.policy_gradient import inner_step, per_task
from mbmrl_ros.objectives.surrogates import dice, likelihood_ratio, log_likelihood, lvc
from mbmrl_ros.policies.gaussian import GaussianPolicy, log_prob, sample

GOALS = torch.tensor([-1.0, 1.0], dtype=torch.float64)
PLACES = torch.tensor([0.3, 1.1, -0.7], dtype=torch.float64)
THETA = {'theta': torch.tensor([0.4, -0.15], dtype=torch.float64)}
NODES, WEIGHTS = (torch.from_numpy(each) for each in np.polynomial.hermite_e.hermegauss(40))
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def mean_of(params):
    """Return the mean action [N, places] of parameters [N, 2]."""
    theta = params['theta']
    return theta[:, :1] * PLACES.square() + theta[:, 1:]


def closed_form(params):
    """Return J [N]."""
    distance = mean_of(params) - GOALS[:, None]
    return (1.2**-0.5 * (-0.1 * distance.square() / 1.2).exp()).mean(1)


def quadrature(surrogate, drawn_by):
    """Return the expectation of a surrogate over actions drawn by parameters, params -> [N].

    One place and node is a path of one step; the weight of a node goes with its credit.
    """
    actions = (mean_of(drawn_by)[..., None] + NODES).detach().flatten(1)[..., None]
    rewards = (-0.1 * (actions - GOALS[:, None, None]).square()).exp()
    credit = rewards * len(NODES) * WEIGHTS.repeat(len(PLACES))[:, None]
    alive = torch.ones_like(credit, dtype=torch.bool)

    def score(params):
        mean = mean_of(params).repeat_interleave(len(NODES), 1)[..., None]
        return -0.5 * (actions - mean).square()

    old = score(drawn_by).detach()
    return lambda params: surrogate(score(params), old, credit, alive)


def meta_gradient(surrogate, alpha, steps=1, second_order=True):
    """Return the gradient of the mean return after steps from THETA."""
    theta = {'theta': THETA['theta'].clone().requires_grad_()}
    params = per_task(theta, 2)
    for _ in range(steps):
        objective = quadrature(surrogate, {k: v.detach() for k, v in params.items()})
        params = inner_step(objective, params, {'theta': alpha}, second_order)
    after = quadrature(likelihood_ratio, {k: v.detach() for k, v in params.items()})
    return torch.autograd.grad(after(params).mean(), theta['theta'])[0]


def exact_value(theta, alpha, steps=1, create_graph=False):
    """Return the mean return after steps, from the closed form."""
    params = per_task({'theta': theta}, 2)
    for _ in range(steps):
        if not params['theta'].requires_grad:
            params['theta'] = params['theta'].detach().requires_grad_()
        slope = torch.autograd.grad(
            closed_form(params).sum(), params['theta'], create_graph=create_graph
        )[0]
        params = {'theta': params['theta'] + alpha * slope}
    return closed_form(params).mean()


ALPHA = torch.tensor(2.0, dtype=torch.float64)


@pytest.mark.parametrize('steps', [1, 3])
@pytest.mark.parametrize('surrogate', [lvc, likelihood_ratio, dice])
def test_the_meta_gradient_is_that_of_the_closed_form(surrogate, steps):
    theta = THETA['theta'].clone().requires_grad_()
    value = exact_value(theta, ALPHA, steps, create_graph=True)
    expected = torch.autograd.grad(value, theta)[0]
    found = meta_gradient(surrogate, ALPHA, steps)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize('steps', [1, 2])
def test_the_meta_gradient_is_the_limit_of_differences(steps):
    epsilon = 1e-5
    found = meta_gradient(lvc, ALPHA, steps)
    for index in range(2):
        moved = []
        for sign in (1, -1):
            theta = THETA['theta'].clone()
            theta[index] += sign * epsilon
            moved.append(float(exact_value(theta, ALPHA, steps).detach()))
        assert float(found[index]) == pytest.approx((moved[0] - moved[1]) / 2 / epsilon, rel=1e-6)


def test_the_score_alone_gives_a_biased_meta_gradient():
    """RL-MAML's surrogate: E[r log pi''] = -J for the mean, where J'' is much smaller."""
    exact, biased = (meta_gradient(surrogate, ALPHA) for surrogate in (lvc, log_likelihood))
    assert (biased - exact).norm() > 0.2 * exact.norm()


def test_first_order_leaves_out_how_the_step_depends_on_theta():
    theta = {'theta': THETA['theta'].clone().requires_grad_()}
    params = per_task(theta, 2)
    stepped = inner_step(closed_form, params, {'theta': ALPHA}, second_order=False)
    after = {'theta': stepped['theta'].detach().requires_grad_()}
    slope = torch.autograd.grad(closed_form(after).mean(), after['theta'])[0].sum(0)
    found = meta_gradient(lvc, ALPHA, second_order=False)
    torch.testing.assert_close(found, slope, rtol=1e-9, atol=1e-11)
    assert (found - meta_gradient(lvc, ALPHA)).norm() > 1e-3


POLICY = GaussianPolicy(3, 2, (8, 8))


def drawn(tasks, seed=0):
    """Return shared parameters, and an objective per task on its own samples."""
    generator = torch.Generator().manual_seed(seed)
    params = POLICY.init(generator)
    observations = torch.randn(tasks, 4, 5, 3, generator=generator)
    old = POLICY.distribution(params, observations)
    actions = sample(old, generator)
    credit = torch.randn(tasks, 4, 5, generator=generator)
    alive = torch.ones_like(credit, dtype=torch.bool)
    before = log_prob(old, actions)

    def objective(rows, surrogate=likelihood_ratio):
        def value(candidate):
            now = POLICY.distribution(candidate, observations[rows])
            score = log_prob(now, actions[rows])
            return surrogate(score, before[rows], credit[rows], alive[rows])

        return value

    return params, objective


def stepped(params, objective, step_sizes, rows, steps=2):
    adapted = per_task(params, len(range(*rows.indices(5))))
    for _ in range(steps):
        adapted = inner_step(objective(rows), adapted, step_sizes)
    return adapted


def test_tasks_in_a_batch_are_tasks_alone():
    params, objective = drawn(5)
    sizes = dict.fromkeys(params, torch.tensor(0.1))
    leaves = {name: value.requires_grad_() for name, value in params.items()}

    def gradient(rows):
        adapted = stepped(leaves, objective, sizes, rows)
        loss = objective(rows)(adapted).sum()
        return adapted, torch.autograd.grad(loss, list(leaves.values()))

    whole, total = gradient(slice(0, 5))
    singles = [gradient(slice(task, task + 1)) for task in range(5)]
    for name, value in whole.items():
        alone = torch.cat([adapted[name] for adapted, _ in singles])
        torch.testing.assert_close(value, alone)
    for index, value in enumerate(total):
        torch.testing.assert_close(value, sum(g[index] for _, g in singles), atol=1e-5, rtol=1e-5)


def test_a_task_that_goes_wrong_leaves_the_others_alone():
    params, objective = drawn(5)
    sizes = dict.fromkeys(params, torch.tensor(0.1))
    clean = stepped(params, objective, sizes, slice(0, 5))

    def spoiled(rows):
        return lambda candidate: objective(rows)(candidate) * torch.tensor([1, 1, 1e30, 1, 1])

    wrong = stepped(params, spoiled, sizes, slice(0, 5))
    for name in params:
        for task in (0, 1, 3, 4):
            assert torch.equal(wrong[name][task], clean[name][task])


def test_step_sizes_per_parameter_scale_its_step_and_can_be_learned():
    params, objective = drawn(5)
    rows = slice(0, 5)
    sizes = {k: torch.rand_like(v).requires_grad_() for k, v in params.items()}
    unit = inner_step(objective(rows), per_task(params, 5), dict.fromkeys(params, torch.tensor(1)))
    own = inner_step(objective(rows), per_task(params, 5), sizes)
    for name, value in params.items():
        torch.testing.assert_close(own[name] - value, sizes[name] * (unit[name] - value))
    # d loss / d alpha = sum over tasks of d loss / d theta' times the slope.
    slopes = torch.autograd.grad(objective(rows)(own).sum(), list(sizes.values()))
    after = {name: value.detach().requires_grad_() for name, value in own.items()}
    outer = torch.autograd.grad(objective(rows)(after).sum(), list(after.values()))
    for name, slope, up in zip(params, slopes, outer):
        expected = (up * (unit[name] - params[name])).sum(0)
        torch.testing.assert_close(slope, expected, atol=1e-5, rtol=1e-4)


def test_without_gradients_a_step_is_the_same_and_keeps_no_graph():
    params, objective = drawn(5)
    sizes = dict.fromkeys(params, torch.tensor(0.1))
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    followed = stepped(leaves, objective, sizes, slice(0, 5))
    with torch.no_grad():
        plain = stepped(leaves, objective, sizes, slice(0, 5))
    for name in params:
        assert torch.equal(plain[name], followed[name].detach())
        assert not plain[name].requires_grad
