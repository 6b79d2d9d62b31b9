# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A step in a trust region against its closed form, and what it does where it must not step."""

import math

import pytest
import torch

from mbmrl_ros.objectives.trust_region import (
    TrustRegionConfig,
    conjugate_gradients,
    trust_region_step,
)

DELTA = 0.01


def problem(seed=0, size=6):
    """Return a slope and a metric, for loss = g x and kl = x' F x / 2."""
    generator = torch.Generator().manual_seed(seed)
    slope = torch.randn(size, generator=generator, dtype=torch.float64)
    root = torch.randn(size, size, generator=generator, dtype=torch.float64)
    return slope, root @ root.T + torch.eye(size, dtype=torch.float64)


def flat(params):
    return torch.cat([params['a'].flatten(), params['b']])


def start():
    return {
        'a': torch.zeros(2, 2, dtype=torch.float64),
        'b': torch.zeros(2, dtype=torch.float64),
    }


def test_a_step_on_a_quadratic_is_the_closed_form_and_uses_up_its_divergence():
    slope, metric = problem()
    step = trust_region_step(
        lambda params: slope @ flat(params),
        lambda params: 0.5 * flat(params) @ metric @ flat(params),
        start(),
        # The first try is exactly at the bound: leave rounding some room.
        DELTA,
        TrustRegionConfig(backtrack=1 - 1e-9),
    )
    direction = torch.linalg.solve(metric, slope)
    expected = -math.sqrt(2 * DELTA / float(slope @ direction)) * direction
    assert step.accepted
    torch.testing.assert_close(flat(step.params), expected, rtol=1e-6, atol=1e-9)
    assert step.kl <= DELTA
    assert step.kl == pytest.approx(DELTA, rel=1e-6)
    assert step.loss_after == pytest.approx(float(slope @ expected), rel=1e-6)


def test_it_backtracks_until_the_divergence_allows_it():
    slope, metric = problem()

    def steeper(params):
        quadratic = 0.5 * flat(params) @ metric @ flat(params)
        return quadratic + 300 * quadratic.square()

    step = trust_region_step(lambda params: slope @ flat(params), steeper, start(), DELTA)
    assert step.accepted
    assert step.kl <= DELTA
    # 0.01 at the full step is 0.04 in truth: the share s with s^2 + 3 s^4 <= 1, 0.66, and the
    # first power of 0.8 below it is 0.64.
    full = math.sqrt(2 * DELTA / float(slope @ torch.linalg.solve(metric, slope)))
    share = float(flat(step.params).norm() / torch.linalg.solve(metric, slope).norm()) / full
    assert share == pytest.approx(0.64, rel=1e-5)


@pytest.mark.parametrize(
    'loss',
    [
        lambda params: -flat(params).abs().sum() * 0 + flat(params).square().sum(),  # a minimum
        lambda params: (flat(params) - 1).square().sum() * torch.nan,
        lambda params: flat(params).sum() + 1e6 * flat(params).square().sum(),  # always worse
    ],
    ids=['minimum', 'nan', 'worse'],
)
def test_what_it_cannot_improve_stays(loss):
    _, metric = problem()
    params = start()
    step = trust_region_step(
        loss,
        lambda now: 0.5 * flat(now) @ metric @ flat(now),
        params,
        1e6,
        TrustRegionConfig(backtracks=3),
    )
    assert not step.accepted
    assert step.params is params
    assert not flat(params).any()


def test_parameters_that_nothing_depends_on_stay():
    step = trust_region_step(
        lambda params: params['b'].sum(),
        lambda params: 0.5 * params['b'].square().sum(),
        start(),
        DELTA,
    )
    assert step.accepted
    assert not step.params['a'].any()


def test_conjugate_gradients_solve_in_as_many_iterations_as_there_are_unknowns():
    slope, metric = problem(3, 8)
    found = conjugate_gradients(lambda vector: metric @ vector, slope, 8, 0.0)
    torch.testing.assert_close(found, torch.linalg.solve(metric, slope), rtol=1e-7, atol=1e-9)
