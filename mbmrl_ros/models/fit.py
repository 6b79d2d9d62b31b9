# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fit by Adam with early stopping on a rolling average of the validation loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from mbmrl_ros.types import Params


@dataclass(frozen=True)
class FitResult:
    """How a fit went: losses per epoch, and the epoch whose parameters were kept."""

    training: tuple[float, ...]
    validation: tuple[float, ...]
    best_epoch: int

    @property
    def succeeded(self) -> bool:
        """Whether what was kept has a validation loss at all: one that is finite."""
        return math.isfinite(self.validation[self.best_epoch])


class Losses(Protocol):
    """What is fitted: batch_loss draws a batch and returns its loss."""

    @property
    def batch_loss(self) -> Callable[[], Tensor]:
        """To descend."""

    @property
    def validation_loss(self) -> Callable[[], float]:
        """To stop by."""


@dataclass(frozen=True)
class FitSchedule:
    """How long a fit takes: until `patience` epochs brought no new low, `epochs` at most.

    persistency: p of the rolling average r <- p r + (1 - p) loss that the low is of.
    """

    epochs: int
    batches_per_epoch: int
    persistency: float
    patience: int


def fit(
    params: Params,
    optimiser: torch.optim.Optimizer,
    losses: Losses,
    schedule: FitSchedule,
    precision: Literal['float32', 'bfloat16'] = 'float32',
    on_epoch: Callable[[int, float, float], None] = lambda epoch, training, validation: None,
) -> FitResult:
    """Fit params in place and leave them at the best validation loss.

    Stops when the rolling average has not reached a new low for so long. The published code stops
    at the first rise, but starts r at 1.5 times the first loss with p at 0.99, so that it never
    stops within its 100 epochs; here r starts at the
    first loss, which new data and new statistics let rise for an epoch or two before it falls.

    A loss that is not finite is no loss: it is never the best, it does not enter the average, and
    its epoch counts as one without a new low. Parameters that are not finite would stay so, and
    moments of the optimiser that are not would hold parameters where they are: those of the best
    epoch so far are put back, and the fit goes on from there. If no loss was finite,
    the parameters are left as they were and the result has not `succeeded`.

    params: all tensors that the optimiser holds. on_epoch(epoch, training loss, validation loss).
    ValueError on a precision that has not been chosen yet.
    """
    if precision not in ('float32', 'bfloat16'):
        raise ValueError(f'precision must be float32 or bfloat16, got {precision!r}')
    training, validation = [], [losses.validation_loss()]
    best = validation[0] if math.isfinite(validation[0]) else math.inf
    best_epoch, kept = 0, _copy(params)
    rolling = lowest = best
    waited = 0
    persistency, batches = schedule.persistency, schedule.batches_per_epoch
    for epoch in range(1, schedule.epochs + 1):
        training.append(_epoch(optimiser, losses.batch_loss, batches, precision))
        loss = losses.validation_loss()
        validation.append(loss)
        on_epoch(epoch, training[-1], loss)
        if not (_finite(params) and _moments_finite(optimiser)):
            _put_back(params, kept, optimiser)
        if math.isfinite(loss):
            if loss < best:
                best, best_epoch, kept = loss, epoch, _copy(params)
            average = persistency * rolling + (1 - persistency) * loss
            rolling = average if math.isfinite(rolling) else loss
        waited = 0 if rolling < lowest else waited + 1
        lowest = min(lowest, rolling)
        if waited >= schedule.patience:
            break
    if not math.isfinite(validation[-1]):
        # Moments that are not finite would spoil every later fit with this optimiser.
        optimiser.state.clear()
    _copy_to(params, kept)
    return FitResult(tuple(training), tuple(validation), best_epoch)


def _epoch(
    optimiser: torch.optim.Optimizer,
    batch_loss: Callable[[], Tensor],
    batches: int,
    precision: str,
) -> float:
    total = 0.0
    for _ in range(batches):
        optimiser.zero_grad()
        with torch.autocast('cpu', torch.bfloat16, enabled=precision == 'bfloat16'):
            loss = batch_loss()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += loss.item()
    return total / batches


def _finite(params: Params) -> bool:
    return all(bool(value.isfinite().all()) for value in params.values())


def _moments_finite(optimiser: torch.optim.Optimizer) -> bool:
    kept = (value for moments in optimiser.state.values() for value in moments.values())
    return all(bool(value.isfinite().all()) for value in kept if isinstance(value, Tensor))


def _put_back(params: Params, kept: Params, optimiser: torch.optim.Optimizer) -> None:
    """Go back to what was kept, without the moments that led away from it."""
    _copy_to(params, kept)
    optimiser.state.clear()


@torch.no_grad()
def _copy_to(params: Params, kept: Params) -> None:
    for name, value in params.items():
        value.copy_(kept[name])


def _copy(params: Params) -> Params:
    return {name: value.detach().clone() for name, value in params.items()}
