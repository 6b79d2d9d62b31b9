# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ReBAL: recurrence-based adaptive learner (Nagabandi, Clavera et al. 2019; thesis, chapter 9).

Algorithm 9, train time                              where
  1  initialise phi (and psi: one network)           init, below
  4  sample a disturbance M ~ rho(M)                 envs/tasks.py
  5  collect tau_M with Algorithm 10                 training/dynamics/collect.py and the robot
  6  D <- D + tau_M                                  training/run.py
  9  draw tau[t - T1 : t], tau[t : t + T2] from D    data/windows.py, or whole tau
 10  phi' <- u_psi(tau[t - T1 : t], phi)             models/recurrent.py: the carry after the past
 11  L_j <- L(tau[t : t + T2], phi')                 training/dynamics/truncated_bptt.py
 13  phi <- phi - beta grad_phi mean L_j             models/fit.py, with Adam
 14  psi <- psi - eta grad_psi mean L_j              the same step
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from mbmrl_ros.adaptation.recurrent import RecurrentAdapter
from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.config import Config
from mbmrl_ros.data.windows import Windows
from mbmrl_ros.models.kinds import build_model
from mbmrl_ros.models.recurrent import RecurrentDynamics
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.training.algorithm import Algorithm
from mbmrl_ros.training.dynamics.augment import with_other_actuators
from mbmrl_ros.training.dynamics.fit_model import (
    VALIDATION_WINDOWS,
    FitData,
    ModelLearner,
    Objective,
    batches_of_windows,
)
from mbmrl_ros.training.dynamics.model_based import train
from mbmrl_ros.training.dynamics.settings import ActuatorConfig, ModelBasedConfig
from mbmrl_ros.training.dynamics.train_state import TrainState, init_train_state
from mbmrl_ros.training.dynamics.truncated_bptt import Episodes, truncated_errors
from mbmrl_ros.types import Transitions


class RecurrentConfig(Config):
    """The memory. Where thesis and code disagree, the thesis is the default."""

    cell: Literal['lstm', 'gru'] = Field('lstm', description='of every hidden layer')
    memory: Literal['window', 'episode'] = Field(
        'window',
        description='what is remembered, in training and on the robot: the last past_steps '
        '(the thesis), or everything since the episode began (the code)',
    )
    backprop_steps: int = Field(
        100, ge=1, description='steps that gradients go back, at most (the code)'
    )
    score_past: bool = Field(
        True,
        description='window: the past is scored as well, since an episode begins with less than '
        'past_steps to remember; false: the future only (equation 22)',
    )
    episodes: int = Field(10, ge=1, description='episode: trajectories per update (the code)')
    longest: int = Field(
        1000, ge=1, description='episode: steps that a trajectory is cut to, for memory'
    )


class ReBALConfig(ModelBasedConfig, ActuatorConfig):
    """Settings of ReBAL; defaults and tables are those of the thesis."""

    recurrent: RecurrentConfig = Field(RecurrentConfig(), description='its memory')


def init(spec: RobotSpec, config: ReBALConfig, seed: int) -> TrainState:
    """Line 1: draw phi; the update rule psi is in the weights as well."""
    dynamics = build_model(spec, config.hidden_sizes, config.recurrent.cell)
    return init_train_state(config, dynamics.init(torch.Generator().manual_seed(seed)), {})


def objective(
    dynamics: RecurrentDynamics, state: TrainState, data: FitData, config: ReBALConfig
) -> Objective:
    """Lines 9 to 11 on windows, or on whole trajectories, as the memory is to be."""
    make = _on_episodes if config.recurrent.memory == 'episode' else _on_windows
    return make(dynamics, state, data, config)


def _on_windows(
    dynamics: RecurrentDynamics, state: TrainState, data: FitData, config: ReBALConfig
) -> Objective:
    """The loss on the future after the past; stopped on the windows that stop GrBAL."""
    past, length = config.past_steps, config.past_steps + config.future_steps
    windows, unseen = (Windows.of(each, 0, length) for each in (data.training, data.validation))
    _, check = unseen.sample(VALIDATION_WINDOWS, data.generator)
    scored = 0 if config.recurrent.score_past else past

    def batch_loss() -> Tensor:
        _, recorded = windows.sample(config.batch_size, data.generator)
        whole = _augmented(recorded, data, config)
        return _errors(dynamics, state, whole, config)[:, scored:].mean()

    def validation_loss() -> float:
        with torch.no_grad():
            return float(_errors(dynamics, state, check, config)[:, past:].mean())

    return Objective(batch_loss, validation_loss, batches_of_windows(data.training, config))


def _on_episodes(
    dynamics: RecurrentDynamics, state: TrainState, data: FitData, config: ReBALConfig
) -> Objective:
    """One-step losses along whole trajectories, from an empty memory at their begin."""
    settings = config.recurrent
    episodes, unseen = (
        Episodes.of(each, settings.longest) for each in (data.training, data.validation)
    )
    check, checked = unseen.at(torch.arange(len(unseen.steps)))

    def batch_loss() -> Tensor:
        recorded, real = episodes.sample(settings.episodes, data.generator)
        whole = _augmented(recorded, data, config)
        return _errors(dynamics, state, whole, config)[real].mean()

    def validation_loss() -> float:
        with torch.no_grad():
            return float(_errors(dynamics, state, check, config)[checked].mean())

    updates = len(episodes.steps) // settings.episodes
    return Objective(batch_loss, validation_loss, max(1, updates))


def _errors(
    dynamics: RecurrentDynamics, state: TrainState, whole: Transitions, config: ReBALConfig
) -> Tensor:
    return truncated_errors(dynamics, state.params, whole, config.recurrent.backprop_steps)


def _augmented(whole: Transitions, data: FitData, config: ReBALConfig) -> Transitions:
    whole = data.augment(whole, data.generator)
    return with_other_actuators(whole, whole, config, data.generator)[0]


def adapter(bundle: Bundle) -> RecurrentAdapter:
    """Algorithm 10, line 3: what is remembered of the last transitions."""
    if not isinstance(bundle.dynamics, RecurrentDynamics):
        raise TypeError('a feed-forward network remembers nothing')
    info = bundle.info
    return RecurrentAdapter(bundle.dynamics, bundle.params, info.memory, info.past_steps)


def describe(config: ReBALConfig) -> dict[str, Any]:
    """Return what bundle.json says of how the model adapts."""
    return {'cell': config.recurrent.cell, 'memory': config.recurrent.memory}


LEARNER = ModelLearner('rebal', init, objective, adapter, describe)

REBAL = Algorithm(
    'rebal',
    'a recurrent model that remembers the last transitions',
    ReBALConfig,
    partial(train, LEARNER),
)
