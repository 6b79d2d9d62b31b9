# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The linear baseline: exact where returns are linear in its features, a task at a time."""

import torch

from mbmrl_ros.objectives.baseline import features, fit, predict


def drawn(seed=0, tasks=3):
    generator = torch.Generator().manual_seed(seed)
    observations = torch.randn(tasks, 20, 30, 4, generator=generator)
    alive = torch.rand(tasks, 20, 30, generator=generator) < 0.9
    return observations, alive


def test_returns_that_are_linear_in_the_features_are_found():
    observations, alive = drawn()
    rows = features(observations)
    assert rows.shape == (3, 20, 30, 2 * 4 + 4)
    weights = torch.randn(3, 12, dtype=torch.float64)
    targets = torch.einsum('nrtd,nd->nrt', rows, weights)
    found = predict(rows, fit(rows, targets, alive))
    # In 0.3 units of time its powers are nearly one line: the ridge takes a little of that.
    torch.testing.assert_close(found, targets.float(), rtol=1e-3, atol=1e-3)


def test_a_fit_is_the_ridge_regression_of_each_task_on_what_counts():
    observations, alive = drawn(1)
    targets = torch.randn(3, 20, 30)
    rows = features(observations)
    weights = fit(rows, targets, alive)
    for task in range(3):
        counted, wanted = rows[task][alive[task]], targets[task][alive[task]].double()
        padded = torch.cat([counted, 1e-5**0.5 * torch.eye(12, dtype=torch.float64)])
        expected = torch.linalg.lstsq(padded, torch.cat([wanted, torch.zeros(12)])).solution
        torch.testing.assert_close(weights[task], expected, rtol=1e-6, atol=1e-8)


def test_observations_that_never_change_do_not_matter():
    observations, alive = drawn(2)
    observations[..., 0] = 3.0
    weights = fit(features(observations), torch.randn(3, 20, 30), alive)
    assert weights.isfinite().all()


def test_a_baseline_of_time_sees_nothing_else():
    observations, _ = drawn()
    rows = features(observations, 'time')
    assert torch.equal(rows, features(observations + 1.0, 'time'))
    time = 17 / 100
    expected = torch.tensor([time, time**2, time**3, 1.0], dtype=torch.float64)
    torch.testing.assert_close(rows[1, 2, 17], expected)
