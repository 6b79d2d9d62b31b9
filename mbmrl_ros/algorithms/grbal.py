# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""GrBAL: gradient-based adaptive learner (Nagabandi, Clavera et al. 2019; thesis, chapter 9).

Algorithm 9, train time                              where
  1  initialise phi                                  training/train_state.py, start
  4  sample a disturbance M ~ rho(M)                 envs/tasks.py
  5  collect tau_M with Algorithm 10                 training/collect.py, robot/adaptive_mpc.py
  6  D <- D + tau_M                                  training/run.py
  9  draw tau[t - T1 : t], tau[t : t + T2] from D    data/windows.py
 10  phi' <- u_psi(tau[t - T1 : t], phi)             adaptation/gradient.py, gradient_step
 11  L_j <- L(tau[t : t + T2], phi')                 training/meta_loss.py, meta_loss
 13  phi <- phi - beta grad_phi mean L_j             models/fit.py, with Adam
 14  psi <- psi - eta grad_psi mean L_j              likewise, on log psi, one per weight and bias
"""

from __future__ import annotations

import torch
from torch import Tensor

from mbmrl_ros.adaptation.adapter import GradientAdapter
from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.data.windows import Windows
from mbmrl_ros.models.dynamics import MLPDynamics
from mbmrl_ros.training.augment import Augmentation, augment_pair, unchanged
from mbmrl_ros.training.fit_model import Objective
from mbmrl_ros.training.meta_loss import (
    losses_before_and_after,
    meta_loss,
    with_motor_gains,
    with_motor_offsets,
)
from mbmrl_ros.training.model_based import Algorithm
from mbmrl_ros.training.settings import TrainingConfig
from mbmrl_ros.training.train_state import TrainState

VALIDATION_WINDOWS = 256


def objective(
    dynamics: MLPDynamics,
    learned: TrainState,
    training: list[Trajectory],
    held_out: list[Trajectory],
    config: TrainingConfig,
    generator: torch.Generator,
    augment: Augmentation = unchanged,
) -> Objective:
    """Lines 9 to 11, and the loss after adaptation on held-out trajectories to stop by."""
    windows = Windows.of(training, config.past_steps, config.future_steps)
    unseen = Windows.of(held_out, config.past_steps, config.future_steps)
    check = unseen.sample(VALIDATION_WINDOWS, generator)

    def batch_loss() -> Tensor:
        past, recorded = windows.sample(config.batch_size, generator)
        past, future = augment_pair(augment, past, recorded, generator)
        if config.motor_gains:
            past, future = with_motor_gains(past, future, config.motor_gains, generator)
        if config.motor_offsets:
            past, future = with_motor_offsets(past, future, config.motor_offsets, generator)
        adapted = meta_loss(
            dynamics.loss, learned.params, learned.step_sizes, past, future, config.inner_steps
        )
        if not config.prior_share:
            return adapted
        return adapted.lerp(dynamics.loss(learned.params, recorded).mean(), config.prior_share)

    def validation_loss() -> float:
        _, after = losses_before_and_after(
            dynamics.loss, learned.params, learned.step_sizes, *check, config.inner_steps
        )
        return float(after.mean())

    @torch.no_grad()
    def unadapted_loss() -> float:
        return float(dynamics.loss(learned.params, check[1], None).mean())

    transitions = sum(trajectory.steps for trajectory in training)
    # As in the authors' code: an epoch looks at as many transitions as there are.
    per_batch = config.batch_size * (config.past_steps + config.future_steps)
    batches = max(1, transitions // per_batch)
    return Objective(batch_loss, validation_loss, batches, unadapted_loss)


def adapter(bundle: Bundle) -> GradientAdapter:
    """Algorithm 10, line 3: from phi afresh at every time step.

    UserError if its window does not hold the transitions that it is to be judged by.
    """
    info = bundle.info
    if not 0 <= info.newest_steps < info.past_steps:
        raise UserError(
            f'newest_steps must be at least 0 and below past_steps ({info.past_steps}), got '
            f'{info.newest_steps}; see bundle.json'
        )
    return GradientAdapter(
        bundle.dynamics.loss,
        bundle.params,
        bundle.step_sizes,
        info.inner_steps,
        info.minimum_gain,
        info.newest_steps,
        info.gain_to_keep,
    )


GRBAL = Algorithm('grbal', objective, adapter)
