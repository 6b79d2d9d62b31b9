# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fit by Adam with early stopping on a rolling average of the validation loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mbmrl_ros.types import Params


@dataclass(frozen=True)
class FitResult:
    """How a fit went: losses per epoch, and the epoch whose parameters were kept."""

    training: tuple[float, ...]
    validation: tuple[float, ...]
    best_epoch: int


def fit(
    params: Params,
    optimiser: torch.optim.Optimizer,
    batch_loss: Callable[[], Tensor],
    validation_loss: Callable[[], float],
    epochs: int,
    batches_per_epoch: int,
    persistency: float,
    patience: int,
    precision: Literal['float32', 'bfloat16'] = 'float32',
    on_epoch: Callable[[int, float, float], None] = lambda epoch, training, validation: None,
) -> FitResult:
    """Fit params in place and leave them at the best validation loss.

    Stops when the rolling average r <- p r + (1 - p) loss has not reached a new low for
    `patience` epochs. The published code stops at the first rise, but starts r at 1.5 times the
    first loss with p at 0.99, so that it never stops within its 100 epochs; here r starts at the
    first loss, which new data and new statistics let rise for an epoch or two before it falls.

    params: all tensors that the optimiser holds. batch_loss: draws a batch and returns its loss.
    ValueError on a precision that has not been chosen yet.
    """
    if precision not in ('float32', 'bfloat16'):
        raise ValueError(f'precision must be float32 or bfloat16, got {precision!r}')
    best, best_epoch = validation_loss(), 0
    kept = _copy(params)
    rolling = lowest = best
    waited = 0
    training, validation = [], [best]
    for epoch in range(1, epochs + 1):
        training.append(_epoch(optimiser, batch_loss, batches_per_epoch, precision))
        validation.append(validation_loss())
        on_epoch(epoch, training[-1], validation[-1])
        if validation[-1] < best:
            best, best_epoch, kept = validation[-1], epoch, _copy(params)
        rolling = persistency * rolling + (1 - persistency) * validation[-1]
        waited = 0 if rolling < lowest else waited + 1
        lowest = min(lowest, rolling)
        if waited >= patience:
            break
    if not math.isfinite(validation[-1]):
        # Moments that are not finite would spoil every later fit with this optimiser.
        optimiser.state.clear()
    with torch.no_grad():
        for name, value in params.items():
            value.copy_(kept[name])
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


def _copy(params: Params) -> Params:
    return {name: value.detach().clone() for name, value in params.items()}
