# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fitting: when it stops, what it leaves behind, that it finds the minimum."""

import math
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch

from mbmrl_ros.models import fit as fitting
from mbmrl_ros.models.fit import FitResult, FitSchedule


class Losses(NamedTuple):
    batch_loss: Callable[[], torch.Tensor]
    validation_loss: Callable[[], float]


def fit(params, optimiser, batch_loss, validation_loss, **how) -> FitResult:
    names = ('epochs', 'batches_per_epoch', 'persistency', 'patience')
    schedule = FitSchedule(**{name: how.pop(name) for name in names})
    return fitting.fit(params, optimiser, Losses(batch_loss, validation_loss), schedule, **how)


def scripted(losses: list[float], persistency: float, patience: int, epochs: int = 100):
    """Fit a parameter that counts updates against a given course of validation losses."""
    value = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.SGD([value], lr=1.0)
    course = iter(losses)
    result = fit(
        {'value': value},
        optimiser,
        batch_loss=lambda: -value.sum(),
        validation_loss=lambda: next(course),
        epochs=epochs,
        batches_per_epoch=1,
        persistency=persistency,
        patience=patience,
    )
    return value.item(), result


def test_it_stops_where_the_rolling_average_stops_falling_by_worked_numbers():
    # p = 0.5, r0 = 8: losses 4, 4, 6, 5 give r = 6, 5, 5.5, 5.25. The low is 5 at epoch 2; after
    # 2 epochs without a new one it stops at epoch 4, and never asks for the 100 that follows.
    value, result = scripted([8, 4, 4, 6, 5, 100], persistency=0.5, patience=2)
    assert result.validation == (8, 4, 4, 6, 5)
    # The best single loss is the first 4, after one update.
    assert (result.best_epoch, value) == (1, 1.0)


def test_a_new_low_of_the_average_starts_the_patience_afresh():
    # r: 8, 9 (waited 1), 6 (a new low), 7, 7.5 (waited 2: stop).
    _, result = scripted([8, 10, 3, 8, 8, 0], persistency=0.5, patience=2)
    assert len(result.training) == 4
    assert result.best_epoch == 2


def test_one_good_loss_is_not_a_new_low_of_the_average():
    # r: 8, 6, 10 (waited 1), 7.5 (waited 2: stop), although 5 is below the low of 6.
    _, result = scripted([8, 4, 14, 5, 0], persistency=0.5, patience=2)
    assert result.validation == (8, 4, 14, 5)


def test_without_an_average_every_epoch_counts_for_itself():
    _, result = scripted([5, 4, 3, 3, 2], persistency=0.0, patience=1)
    assert result.validation == (5, 4, 3, 3)


def test_epochs_bound_a_fit_that_keeps_improving():
    value, result = scripted([5, 4, 3, 2, 1, 0], persistency=0.5, patience=1, epochs=3)
    assert (len(result.training), result.best_epoch, value) == (3, 3, 3.0)


def test_a_fit_that_only_gets_worse_leaves_the_parameters_as_they_were():
    value, result = scripted([1, 2, 3, 4], persistency=0.9, patience=3)
    assert (result.best_epoch, value) == (0, 0.0)


def test_training_losses_are_means_over_the_batches_of_an_epoch():
    value = torch.zeros(1, requires_grad=True)
    batches = iter([1.0, 3.0, 5.0, 9.0])
    result = fit(
        {'value': value},
        torch.optim.SGD([value], lr=0.0),
        batch_loss=lambda: (value + next(batches)).sum(),
        validation_loss=lambda: 1.0,
        epochs=2,
        batches_per_epoch=2,
        persistency=0.0,
        patience=5,
    )
    assert result.training == (2.0, 7.0)


def test_every_epoch_is_reported():
    value = torch.zeros(1, requires_grad=True)
    reported = []
    course = iter([3.0, 2.0, 1.0])
    fit(
        {'value': value},
        torch.optim.SGD([value], lr=1.0),
        batch_loss=lambda: -value.sum(),
        validation_loss=lambda: next(course),
        epochs=2,
        batches_per_epoch=1,
        persistency=0.0,
        patience=1,
        on_epoch=lambda *numbers: reported.append(numbers),
    )
    assert reported == [(1, 0.0, 2.0), (2, -1.0, 1.0)]


def least_squares(optimiser: torch.optim.Optimizer, weight: torch.Tensor, poisoned: bool):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 3, generator=generator)
    targets = inputs @ torch.tensor([1.0, -2.0, 0.5])
    loss = lambda: (inputs @ weight - targets).square().mean()  # noqa: E731
    return fit(
        {'weight': weight},
        optimiser,
        batch_loss=(lambda: loss() * torch.nan) if poisoned else loss,
        validation_loss=lambda: float(loss().detach()),
        epochs=400,
        batches_per_epoch=5,
        persistency=0.9,
        patience=5,
    )


def test_it_finds_the_least_squares_solution():
    weight = torch.zeros(3, requires_grad=True)
    result = least_squares(torch.optim.Adam([weight], lr=0.02), weight, poisoned=False)
    torch.testing.assert_close(weight.detach(), torch.tensor([1.0, -2.0, 0.5]), rtol=0, atol=1e-3)
    assert result.validation[result.best_epoch] == min(result.validation)


def test_a_fit_that_diverged_does_not_spoil_the_next():
    weight = torch.zeros(3, requires_grad=True)
    optimiser = torch.optim.Adam([weight], lr=0.02)
    result = least_squares(optimiser, weight, poisoned=True)
    assert math.isnan(result.validation[-1])
    assert (result.best_epoch, weight.tolist()) == (0, [0.0, 0.0, 0.0])
    result = least_squares(optimiser, weight, poisoned=False)
    assert result.validation[result.best_epoch] < 1e-4


def test_products_of_a_fit_in_bfloat16_are_rounded_and_nothing_else_is():
    weight = torch.zeros(1, 3, requires_grad=True)
    inputs = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    target = inputs @ torch.tensor([[1.0], [-2.0], [0.5]])
    seen = []

    def loss():
        product = inputs @ weight.T
        seen.append(product.dtype)
        return (product - target).square().mean()

    result = fit(
        {'weight': weight},
        torch.optim.Adam([weight], lr=0.02),
        batch_loss=loss,
        validation_loss=lambda: float(loss().detach()),
        epochs=100,
        batches_per_epoch=5,
        persistency=0.9,
        patience=5,
        precision='bfloat16',
    )
    # One for validation, then five for training and one for validation again.
    assert seen[:7] == [torch.float32, *[torch.bfloat16] * 5, torch.float32]
    assert weight.dtype == torch.float32
    # A product is off by its roundings, 2^-8 of its size of 2.3, hence the weights by less.
    torch.testing.assert_close(
        weight.detach(), torch.tensor([[1.0, -2.0, 0.5]]), rtol=0, atol=2.3 / 256
    )
    assert result.validation[result.best_epoch] == min(result.validation)


@pytest.mark.parametrize('start', [math.nan, math.inf])
def test_a_start_that_cannot_be_scored_is_left_after_patience(start):
    _, result = scripted([start] * 10, persistency=0.9, patience=3)
    assert len(result.training) == 3


@pytest.mark.parametrize('start', [math.nan, math.inf, -math.inf])
def test_a_start_that_cannot_be_scored_is_never_the_best(start):
    # r begins with the first loss there is: 6 (a new low), 5, 4.5.
    value, result = scripted([start, 6, 4, 4, 4], persistency=0.5, patience=2, epochs=4)
    assert (result.best_epoch, value) == (2, 2.0)
    assert result.succeeded


@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_a_loss_in_mid_fit_that_is_no_number_does_not_end_the_average(bad):
    # r: 8, 6, (none, waited 1), 4 (a new low), 3: with the bad one in it, r would be NaN for ever.
    value, result = scripted([8, 4, bad, 2, 2], persistency=0.5, patience=2, epochs=4)
    assert len(result.training) == 4
    assert (result.best_epoch, value) == (3, 3.0)


def test_a_fit_without_any_finite_loss_says_so_and_leaves_the_parameters():
    value, result = scripted([math.nan] * 10, persistency=0.9, patience=3)
    assert not result.succeeded
    assert (result.best_epoch, value) == (0, 0.0)


def test_parameters_that_were_spoilt_are_put_back_and_the_fit_goes_on():
    weight = torch.tensor([5.0], requires_grad=True)
    batches = iter(range(1000))

    def batch_loss():
        loss = (weight - 1).square().mean()
        # One batch in the third epoch has a gradient that is no number.
        return loss * math.nan if next(batches) == 12 else loss

    result = fit(
        {'weight': weight},
        torch.optim.Adam([weight], lr=0.1),
        batch_loss,
        validation_loss=lambda: float((weight.detach() - 1).square()),
        epochs=100,
        batches_per_epoch=5,
        persistency=0.9,
        patience=5,
    )
    assert math.isnan(result.validation[3]) and math.isfinite(result.validation[4])
    assert result.succeeded
    assert weight.item() == pytest.approx(1.0, abs=1e-2)


@pytest.mark.parametrize('factor', [1e25, 1e38, math.inf, math.nan])
def test_one_huge_gradient_does_not_hold_parameters_where_they_are(factor):
    # Its square is infinite in float32: Adam would divide by it ever after.
    value = torch.zeros(1, requires_grad=True)
    batches = iter(range(1000))

    def batch_loss():
        return (value - 1).square().sum() * (factor if next(batches) == 12 else 1.0)

    fit(
        {'value': value},
        torch.optim.Adam([value], lr=0.1),
        batch_loss,
        lambda: float((value.detach() - 1).square()),
        epochs=60,
        batches_per_epoch=5,
        persistency=0.9,
        patience=10,
    )
    assert value.item() == pytest.approx(1.0, abs=1e-3)
