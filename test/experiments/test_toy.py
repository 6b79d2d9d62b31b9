# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The 1-D toy: its integrals against drawn paths, its derivatives against differences."""

import pytest
import torch

from mbmrl_ros.experiments.toy import (
    BEGIN,
    ESTIMATORS,
    GOALS,
    exact_gradient,
    exact_objective,
    exact_return,
    meta_gradients,
    roll_out,
)

THETA = torch.tensor(BEGIN, dtype=torch.float64)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_the_expected_return_is_the_mean_of_drawn_paths(generator):
    returns = roll_out(THETA.expand(2, 2), GOALS, 100_000, generator)[2].sum(2)
    # Of 100 000 paths; five standard errors.
    error = returns.std(1) / 100_000**0.5
    assert ((returns.mean(1) - exact_return(THETA[None])[0]).abs() < 5 * error).all()
    # A policy that stands in the middle is as far from either goal.
    middle = exact_return(torch.zeros(1, 2, dtype=torch.float64))[0]
    torch.testing.assert_close(middle[0], middle[1])


def test_the_meta_gradient_is_that_of_finite_differences():
    found = exact_gradient(THETA)
    for index in range(2):
        step = torch.zeros(2, dtype=torch.float64)
        step[index] = 1e-4
        up, down = (
            exact_objective((THETA + sign * step).requires_grad_()).detach() for sign in (1, -1)
        )
        torch.testing.assert_close(found[index], (up - down) / 2e-4, rtol=1e-6, atol=1e-9)


def test_an_estimate_of_many_batches_is_that_of_each(generator):
    """Batches do not influence each other: as many at once as one after the other."""
    alone = meta_gradients(THETA, ESTIMATORS['lvc'], 1, 50, generator)
    generator.manual_seed(0)
    twice = meta_gradients(THETA, ESTIMATORS['lvc'], 1, 50, generator)
    assert torch.equal(alone, twice) and alone.shape == (1, 2)
    assert meta_gradients(THETA, ESTIMATORS['dice'], 25, 50, generator).shape == (25, 2)


def test_with_many_paths_dice_is_near_the_closed_form_and_the_score_alone_is_not(generator):
    truth = exact_gradient(THETA)
    for name, near in (('dice', True), ('maml', False)):
        drawn = meta_gradients(THETA, ESTIMATORS[name], 8, 1000, generator)
        error = drawn.std(0) / 8**0.5
        # Eight batches: t(7) of five standard errors is 1 in 600.
        assert bool(((drawn.mean(0) - truth).abs() < 5 * error).all()) == near, name
