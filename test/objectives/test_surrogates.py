# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Surrogates on a problem of two steps whose four paths are summed exactly.

A path: action a0 in state 0, then action a1 in state 1 + a0; a policy with a logit per state and
action. So every expectation is a sum over four paths, and a surrogate, linear in its credit, is
exact when the credit of a path is multiplied by its probability.
"""

import pytest
import torch
from torch.autograd.functional import hessian

from mbmrl_ros.objectives.surrogates import (
    clipped,
    dice,
    exploration,
    likelihood_ratio,
    log_likelihood,
    lvc,
)

torch.manual_seed(0)
LOGITS = torch.tensor([0.3, -0.2, 0.5, 0.1, -0.4, 0.7], dtype=torch.float64)
# Rewards of a0, and of a1 in each of the states that a0 leads to.
FIRST = torch.tensor([1.0, -0.5], dtype=torch.float64)
SECOND = torch.tensor([[0.2, 2.0], [1.5, -1.0]], dtype=torch.float64)
PATHS = [(a, b) for a in (0, 1) for b in (0, 1)]
ALIVE = torch.ones(1, 4, 2, dtype=torch.bool)


def scores(theta):
    """Return log pi of the actions of every path [1, 4, 2]."""
    table = theta.view(3, 2).log_softmax(1)
    return torch.stack([torch.stack([table[0, a], table[1 + a, b]]) for a, b in PATHS])[None]


def probabilities(theta):
    return scores(theta).sum(2).exp()


REWARDS = torch.stack([torch.stack([FIRST[a], SECOND[a, b]]) for a, b in PATHS])[None]
TO_GO = REWARDS.flip(2).cumsum(2).flip(2)
OLD = scores(LOGITS).detach()


def expected_return(theta):
    return (probabilities(theta) * REWARDS.sum(2)).sum()


def exact(surrogate, credit, theta):
    """Return the expectation of a surrogate over paths drawn at LOGITS.

    A mean over 4 paths and 2 steps is 1/8 of the sum; the sum over paths is to be weighted.
    """
    weighted = 8 * probabilities(LOGITS).detach()[..., None] * credit
    return surrogate(scores(theta), OLD, weighted, ALIVE)[0]


CASES = {
    'log_likelihood': (log_likelihood, TO_GO),
    'lvc': (lvc, TO_GO),
    'likelihood_ratio': (likelihood_ratio, TO_GO),
    'clipped': (clipped(0.3), TO_GO),
    'dice': (dice, REWARDS),
}


def gradient(function):
    theta = LOGITS.clone().requires_grad_()
    return torch.autograd.grad(function(theta), theta)[0]


@pytest.mark.parametrize('name', CASES)
def test_the_first_derivative_is_the_policy_gradient(name):
    surrogate, credit = CASES[name]
    found = gradient(lambda theta: exact(surrogate, credit, theta))
    torch.testing.assert_close(found, gradient(expected_return), rtol=1e-12, atol=1e-12)


def test_ratios_and_boxes_have_the_value_of_what_they_multiply():
    # log pi A has another value: a surrogate need have no more than the derivative.
    for name in ('lvc', 'likelihood_ratio', 'clipped'):
        value = exact(*CASES[name], LOGITS)
        expected = (probabilities(LOGITS)[..., None] * TO_GO).sum()
        torch.testing.assert_close(value, expected)
    torch.testing.assert_close(exact(*CASES['dice'], LOGITS), expected_return(LOGITS))


def outer(values):
    return torch.einsum('i,j->ij', values, values)


def score_terms():
    """Return sums over paths of p R_t times the Hessian, and times the square, of log pi_t."""
    second, squared = torch.zeros(2, 6, 6, dtype=torch.float64)
    weights = probabilities(LOGITS)[..., None] * TO_GO
    for path in range(4):
        for step in range(2):

            def score(theta, path=path, step=step):
                return scores(theta)[0, path, step]

            second = second + weights[0, path, step] * hessian(score, LOGITS)
            squared = squared + weights[0, path, step] * outer(gradient(score))
    return second, squared


def test_second_derivatives_keep_the_terms_that_they_should():
    """J'' = H1 + H2 + H12 + H12^T, with H2 from log pi'' and H1 from its square."""
    second, squared = score_terms()
    found = {
        name: hessian(lambda theta, case=case: exact(*case, theta), LOGITS)
        for name, case in CASES.items()
    }
    whole = hessian(expected_return, LOGITS)
    torch.testing.assert_close(found['log_likelihood'], second, rtol=1e-12, atol=1e-12)
    for name in ('lvc', 'likelihood_ratio', 'clipped'):
        torch.testing.assert_close(found[name], squared + second, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found['dice'], whole, rtol=1e-12, atol=1e-12)

    # What is missing from LVC, from its definition: score times the derivative of Q. The value
    # of a0 depends on theta by what comes after it; that of a1, the last action, does not.
    def later(theta, action):
        return (theta.view(3, 2)[1 + action].softmax(0) * SECOND[action]).sum()

    mixed = torch.zeros(6, 6, dtype=torch.float64)
    for action in (0, 1):
        score = gradient(lambda theta, a=action: theta.view(3, 2)[0].log_softmax(0)[a])
        change = gradient(lambda theta, a=action: later(theta, a))
        probability = LOGITS.view(3, 2)[0].softmax(0)[action]
        mixed = mixed + probability * torch.einsum('i,j->ij', score, change)
    torch.testing.assert_close(whole - squared - second, mixed + mixed.T, rtol=1e-12, atol=1e-12)
    assert mixed.abs().max() > 0.05, 'the problem tells them apart'


def test_dice_is_unbiased_and_varies_more_than_lvc():
    """Second derivatives from 100 000 drawn paths, in 100 batches, against the sum."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.multinomial(probabilities(LOGITS)[0], 100_000, True, generator=generator)
    direction = torch.tensor([1.0, -1.0, 0.5, -0.5, -1.0, 1.0], dtype=torch.float64)

    def estimates(surrogate, credit):
        # Each batch is a task, with parameters of its own: one derivative for all.
        theta = LOGITS.expand(100, 6).clone().requires_grad_()
        table = theta.view(100, 3, 2).log_softmax(2)
        first, second = (torch.tensor(column) for column in zip(*PATHS))
        log_prob = torch.stack([table[:, 0][:, first], table[:, 1 + first, second]], 2)
        rows = drawn.view(100, 1000)
        log_prob = log_prob.gather(1, rows[..., None].expand(-1, -1, 2))
        alive = torch.ones_like(log_prob, dtype=torch.bool)
        value = 2 * surrogate(log_prob, log_prob.detach(), credit[0][rows], alive)
        slope = torch.autograd.grad(value.sum(), theta, create_graph=True)[0]
        return torch.autograd.grad((slope @ direction).sum(), theta)[0] @ direction

    whole = direction @ hessian(expected_return, LOGITS) @ direction
    boxes, low = estimates(dice, REWARDS), estimates(lvc, TO_GO)
    # The mean of 100 batches has a standard error of std/10: 4 of them, 1 in 16 000 by chance.
    assert abs(boxes.mean() - whole) < 4 * boxes.std() / 10
    assert abs(low.mean() - whole) > 4 * low.std() / 10, 'LVC has a bias here'
    assert boxes.std() > low.std()


def test_clipping_ends_what_the_credit_asks_for_and_nothing_else():
    log_prob = torch.tensor([[[0.5, 0.5, -0.5, -0.5]]], requires_grad=True)
    credit = torch.tensor([[[1.0, -1.0, 1.0, -1.0]]])
    alive = torch.ones(1, 1, 4, dtype=torch.bool)
    value = clipped(0.2)(log_prob, torch.zeros(1, 1, 4), credit, alive)
    grown, shrunk = 0.5, -0.5
    expected = 1.2 - torch.tensor(grown).exp() + torch.tensor(shrunk).exp() - 0.8
    torch.testing.assert_close(value, expected[None] / 4)
    gradient = torch.autograd.grad(value.sum(), log_prob)[0]
    assert (gradient != 0).tolist() == [[[False, True, True, False]]]


def test_what_comes_after_the_end_counts_for_nothing_even_if_it_is_not_a_number():
    alive = torch.tensor([[[True, True, False], [True, True, True]]])
    credit = torch.randn(1, 2, 3)
    scores_ = torch.randn(1, 2, 3)
    for surrogate in (log_likelihood, lvc, likelihood_ratio, clipped(0.3), dice):
        clean = surrogate(scores_, scores_, credit, alive)
        other = torch.where(alive, credit, torch.nan)
        assert torch.equal(surrogate(scores_, scores_, other, alive), clean)
    values = exploration(torch.where(alive, 1.0, torch.nan), alive, torch.tensor([3.0]))
    torch.testing.assert_close(values, torch.tensor([3.0]))
