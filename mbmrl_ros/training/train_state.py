# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a training changes: parameters and step sizes, with their optimiser, and its checkpoint."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.config import UserError
from mbmrl_ros.models.kinds import build_model
from mbmrl_ros.models.recurrent import Cell
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.training.run import optimiser_tensors, restore_optimiser
from mbmrl_ros.training.settings import TrainingConfig
from mbmrl_ros.types import Params


class TrainState(NamedTuple):
    """What is trained: phi, and the logarithm of psi (positive by construction)."""

    params: Params
    log_step_sizes: Params

    @property
    def step_sizes(self) -> Params:
        """Psi."""
        return {name: value.exp() for name, value in self.log_step_sizes.items()}


def start(
    spec: RobotSpec, config: TrainingConfig, seed: int, cell: Cell | None = None
) -> tuple[TrainState, torch.optim.Optimizer]:
    """Draw parameters, set step sizes, and make the Adam that trains both.

    cell: of a recurrent network, which has no step sizes: its update rule is in its weights.
    """
    dynamics = build_model(spec, config.hidden_sizes, cell)
    params = dynamics.init(torch.Generator().manual_seed(seed))
    if config.motor_offsets and not cell:
        params['shift'] = torch.zeros_like(params['scale'])
    log_step_sizes = {} if cell else _log_step_sizes(params, spec, config)
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
        groups.append(
            {
                'params': list(log_step_sizes.values()),
                'lr': config.step_size_learning_rate,
                'weight_decay': 0.0,
            }
        )
    return TrainState(params, log_step_sizes), torch.optim.AdamW(groups)


def _log_step_sizes(params: Params, spec: RobotSpec, config: TrainingConfig) -> Params:
    sizes = {
        name: torch.full(_shape(value, config), config.step_size).log()
        for name, value in params.items()
    }
    # One step size per input: a change of a motor's scale moves a prediction a little, one of a
    # velocity's scale moves it a lot.
    scale = torch.full(params['scale'].shape, config.step_size)
    scale[-spec.action_size :] = config.motor_step_size
    per_input: Params = {name: scale.log() for name in ('scale', 'shift') if name in params}
    return per_input if config.adapts == 'inputs' else sizes | per_input


def _shape(value: Tensor, config: TrainingConfig) -> torch.Size:
    """Return the shape of a tensor's step sizes: [] or, one per unit, [out]."""
    return value.shape[:1] if config.step_sizes == 'unit' else torch.Size()


def learning_rate(
    optimiser: torch.optim.Optimizer, config: TrainingConfig
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return what changes the learning rate after every epoch of one fit."""

    def share(epoch: int) -> float:
        if config.learning_rate_decay == 'none':
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * epoch / config.epochs))

    for group in optimiser.param_groups:
        group['lr'] = group.setdefault('initial_lr', group['lr'])
    return torch.optim.lr_scheduler.LambdaLR(optimiser, share)


def checkpoint(learned: TrainState, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return all tensors that a training needs to go on."""
    tensors = {f'params/{name}': value for name, value in learned.params.items()}
    tensors |= {f'log_step_sizes/{name}': v for name, v in learned.log_step_sizes.items()}
    return tensors | optimiser_tensors(optimiser)


def restore(
    learned: TrainState, optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """Put back what `checkpoint` returned, or the part of it that there is.

    UserError if it is of a network of another size.
    """
    with torch.no_grad():
        for group, values in (('params', learned.params), ('log_step_sizes', learned[1])):
            for name, value in values.items():
                saved = tensors.get(f'{group}/{name}', value)
                if saved.shape != value.shape:
                    raise UserError(
                        f'the run to go on from has {name} {tuple(saved.shape)}, this one '
                        f'{tuple(value.shape)}: choose the same hidden_sizes and kind of cells, '
                        'or another run, or fit_anew, which takes its data alone'
                    )
                value.copy_(saved)
    restore_optimiser(optimiser, tensors)
