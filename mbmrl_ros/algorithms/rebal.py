# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ReBAL: recurrence-based adaptive learner (Nagabandi, Clavera et al. 2019; thesis, chapter 9).

Algorithm 9, train time                              where
  1  initialise phi (and psi: one network)           training/train_state.py, start
  4  sample a disturbance M ~ rho(M)                 envs/tasks.py
  5  collect tau_M with Algorithm 10                 training/collect.py, robot/adaptive_mpc.py
  6  D <- D + tau_M                                  training/run.py
  9  draw tau[t - T1 : t], tau[t : t + T2] from D    data/windows.py, or whole tau
 10  phi' <- u_psi(tau[t - T1 : t], phi)             models/recurrent.py: the carry after the past
 11  L_j <- L(tau[t : t + T2], phi')                 training/truncated_bptt.py, truncated_errors
 13  phi <- phi - beta grad_phi mean L_j             models/fit.py, with Adam
 14  psi <- psi - eta grad_psi mean L_j              the same step
"""

from __future__ import annotations

import torch
from torch import Tensor

from mbmrl_ros.adaptation.recurrent import RecurrentAdapter
from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.data.windows import Windows
from mbmrl_ros.models.recurrent import RecurrentDynamics
from mbmrl_ros.training.augment import Augmentation, unchanged
from mbmrl_ros.training.fit_model import Objective
from mbmrl_ros.training.meta_loss import with_motor_gains, with_motor_offsets
from mbmrl_ros.training.model_based import Algorithm
from mbmrl_ros.training.settings import TrainingConfig
from mbmrl_ros.training.train_state import TrainState
from mbmrl_ros.training.truncated_bptt import Episodes, truncated_errors
from mbmrl_ros.types import Transitions

VALIDATION_WINDOWS = 256


def objective(
    dynamics: RecurrentDynamics,
    learned: TrainState,
    training: list[Trajectory],
    held_out: list[Trajectory],
    config: TrainingConfig,
    generator: torch.Generator,
    augment: Augmentation = unchanged,
) -> Objective:
    """Lines 9 to 11 on windows, or on whole trajectories, as the memory is to be."""
    make = _on_episodes if config.recurrent.memory == 'episode' else _on_windows
    return make(dynamics, learned, training, held_out, config, generator, augment)


def _on_windows(
    dynamics: RecurrentDynamics,
    learned: TrainState,
    training: list[Trajectory],
    held_out: list[Trajectory],
    config: TrainingConfig,
    generator: torch.Generator,
    augment: Augmentation,
) -> Objective:
    """The loss on the future after the past; stopped on the windows that stop GrBAL."""
    past, length = config.past_steps, config.past_steps + config.future_steps
    windows, unseen = (Windows.of(each, 0, length) for each in (training, held_out))
    _, check = unseen.sample(VALIDATION_WINDOWS, generator)
    scored = 0 if config.recurrent.score_past else past

    def batch_loss() -> Tensor:
        _, whole = windows.sample(config.batch_size, generator)
        whole = _seen(whole, augment, config, generator)
        return _errors(dynamics, learned, whole, config)[:, scored:].mean()

    def validation_loss() -> float:
        with torch.no_grad():
            return float(_errors(dynamics, learned, check, config)[:, past:].mean())

    transitions = sum(trajectory.steps for trajectory in training)
    per_batch = config.batch_size * length
    return Objective(batch_loss, validation_loss, max(1, transitions // per_batch))


def _on_episodes(
    dynamics: RecurrentDynamics,
    learned: TrainState,
    training: list[Trajectory],
    held_out: list[Trajectory],
    config: TrainingConfig,
    generator: torch.Generator,
    augment: Augmentation,
) -> Objective:
    """One-step losses along whole trajectories, from an empty memory at their begin."""
    settings = config.recurrent
    episodes, unseen = (Episodes.of(each, settings.longest) for each in (training, held_out))
    check, checked = unseen.at(torch.arange(len(unseen.steps)))

    def batch_loss() -> Tensor:
        whole, real = episodes.sample(settings.episodes, generator)
        whole = _seen(whole, augment, config, generator)
        return _errors(dynamics, learned, whole, config)[real].mean()

    def validation_loss() -> float:
        with torch.no_grad():
            return float(_errors(dynamics, learned, check, config)[checked].mean())

    updates = len(episodes.steps) // settings.episodes
    return Objective(batch_loss, validation_loss, max(1, updates))


def _errors(
    dynamics: RecurrentDynamics, learned: TrainState, whole: Transitions, config: TrainingConfig
) -> Tensor:
    return truncated_errors(dynamics, learned.params, whole, config.recurrent.backprop_steps)


def _seen(
    whole: Transitions, augment: Augmentation, config: TrainingConfig, generator: torch.Generator
) -> Transitions:
    whole = augment(whole, generator)
    if config.motor_gains:
        whole, _ = with_motor_gains(whole, whole, config.motor_gains, generator)
    if config.motor_offsets:
        whole, _ = with_motor_offsets(whole, whole, config.motor_offsets, generator)
    return whole


def adapter(bundle: Bundle) -> RecurrentAdapter:
    """Algorithm 10, line 3: what is remembered of the last transitions."""
    if not isinstance(bundle.dynamics, RecurrentDynamics):
        raise TypeError('a feed-forward network remembers nothing')
    info = bundle.info
    return RecurrentAdapter(bundle.dynamics, bundle.params, info.memory, info.past_steps)


REBAL = Algorithm('rebal', objective, adapter, recurrent=True)
