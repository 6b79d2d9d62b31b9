# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a training changes: parameters and step sizes, with their optimiser, and its checkpoint."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.config import UserError
from mbmrl_ros.training.dynamics.settings import FitConfig
from mbmrl_ros.training.run import optimiser_tensors, restore_optimiser
from mbmrl_ros.types import Params


class TrainState(NamedTuple):
    """What is trained: phi, and the logarithm of psi (positive by construction)."""

    params: Params
    log_step_sizes: Params
    optimiser: torch.optim.Optimizer

    @property
    def step_sizes(self) -> Params:
        """Psi."""
        return {name: value.exp() for name, value in self.log_step_sizes.items()}

    @property
    def leaves(self) -> Params:
        """All tensors that the optimiser holds."""
        return self.params | {f'log_{name}': v for name, v in self.log_step_sizes.items()}


def init_train_state(
    config: FitConfig, params: Params, log_step_sizes: Params, step_size_learning_rate: float = 0.0
) -> TrainState:
    """Make the Adam that trains parameters, and step sizes where there are any."""
    for value in (*params.values(), *log_step_sizes.values()):
        value.requires_grad_()
    groups = [
        {
            'params': [value],
            'lr': config.learning_rate,
            'weight_decay': config.weight_decay if name.startswith('weight') else 0.0,
        }
        for name, value in params.items()
    ]
    if log_step_sizes:
        sizes = list(log_step_sizes.values())
        groups.append({'params': sizes, 'lr': step_size_learning_rate, 'weight_decay': 0.0})
    return TrainState(params, log_step_sizes, torch.optim.AdamW(groups))


def learning_rate(
    optimiser: torch.optim.Optimizer, config: FitConfig
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return what changes the learning rate after every epoch of one fit."""

    def share(epoch: int) -> float:
        if config.learning_rate_decay == 'none':
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * epoch / config.epochs))

    for group in optimiser.param_groups:
        group['lr'] = group.setdefault('initial_lr', group['lr'])
    return torch.optim.lr_scheduler.LambdaLR(optimiser, share)


def checkpoint(state: TrainState) -> dict[str, Tensor]:
    """Return all tensors that a training needs to go on."""
    tensors = {f'params/{name}': value for name, value in state.params.items()}
    tensors |= {f'log_step_sizes/{name}': v for name, v in state.log_step_sizes.items()}
    return tensors | optimiser_tensors(state.optimiser)


def restore(state: TrainState, tensors: dict[str, Tensor]) -> None:
    """Put back what `checkpoint` returned, or the part of it that there is.

    UserError if it is of a network of another size.
    """
    with torch.no_grad():
        for group, values in (('params', state.params), ('log_step_sizes', state.log_step_sizes)):
            for name, value in values.items():
                saved = tensors.get(f'{group}/{name}', value)
                if saved.shape != value.shape:
                    raise UserError(
                        f'the run to go on from has {name} {tuple(saved.shape)}, this one '
                        f'{tuple(value.shape)}: choose the same hidden_sizes and kind of cells, '
                        'or another run, or reinitialize, which takes its data alone'
                    )
                value.copy_(saved)
    restore_optimiser(state.optimiser, tensors)
