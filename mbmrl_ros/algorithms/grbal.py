# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""GrBAL: gradient-based adaptive learner (Nagabandi, Clavera et al. 2019; thesis, chapter 9).

Algorithm 9, train time                              where
  1  initialise phi                                  init, below
  4  sample a disturbance M ~ rho(M)                 envs/tasks.py
  5  collect tau_M with Algorithm 10                 training/dynamics/collect.py and the robot
  6  D <- D + tau_M                                  training/run.py
  9  draw tau[t - T1 : t], tau[t : t + T2] from D    data/windows.py
 10  phi' <- u_psi(tau[t - T1 : t], phi)             adaptation/gradient.py, gradient_step
 11  L_j <- L(tau[t : t + T2], phi')                 training/dynamics/meta_loss.py, meta_loss
 13  phi <- phi - beta grad_phi mean L_j             models/fit.py, with Adam
 14  psi <- psi - eta grad_psi mean L_j              likewise, on log psi, one per weight and bias
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor

from mbmrl_ros.adaptation.adapter import GradientAdapter
from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.config import Positive
from mbmrl_ros.data.windows import Windows
from mbmrl_ros.models.dynamics import MLPDynamics
from mbmrl_ros.models.kinds import build_model
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.training.algorithm import Algorithm
from mbmrl_ros.training.dynamics.augment import augment_pair, with_other_actuators
from mbmrl_ros.training.dynamics.fit_model import (
    VALIDATION_WINDOWS,
    FitData,
    ModelLearner,
    Objective,
    batches_of_windows,
)
from mbmrl_ros.training.dynamics.meta_loss import losses_before_and_after, meta_loss
from mbmrl_ros.training.dynamics.model_based import train
from mbmrl_ros.training.dynamics.settings import ActuatorConfig, ModelBasedConfig
from mbmrl_ros.training.dynamics.train_state import TrainState, init_train_state
from mbmrl_ros.types import Params

AdaptedParameters = Annotated[
    Literal['all', 'input_scale'],
    # What it was called before.
    BeforeValidator(lambda value: 'input_scale' if value == 'inputs' else value),
]


class GrBALConfig(ModelBasedConfig, ActuatorConfig):
    """Settings of GrBAL; defaults and tables are those of the thesis."""

    renamed: ClassVar[dict[str, str]] = {
        'adapts': 'adapted_parameters',
        'motor_step_size': 'actuator_step_size',
        'minimum_gain': 'accept_improvement',
        'gain_to_keep': 'keep_improvement',
        'prior_share': 'unadapted_loss_weight',
    }

    adapted_parameters: AdaptedParameters = Field(
        'all',
        description='what a step changes: all layers (the thesis), or the scale and the shift of '
        'the inputs (models/dynamics.py)',
    )
    step_size: Positive = Field(0.01, description='psi at the start: inner step size (Table 6)')
    actuator_step_size: Positive = Field(
        0.01, description='psi at the start, of scale and shift of the actions'
    )
    step_size_learning_rate: float = Field(
        1e-3, ge=0, description='Adam, for log psi (eta; Algorithm 9, line 14); 0: fixed'
    )
    step_sizes: Literal['layer', 'unit'] = Field(
        'layer', description='psi: one per weight and bias (Algorithm 9), or per unit of each'
    )
    inner_steps: int = Field(1, ge=1, description='gradient steps on the past window')
    accept_improvement: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the window's loss that adaptation has to take away, or it is "
        'refused; 0: whatever it takes away (the thesis)',
    )
    keep_improvement: float | None = Field(
        None,
        ge=0,
        lt=1,
        description='the share that is enough while the last window was adapted to; default: '
        'accept_improvement',
    )
    unadapted_loss_weight: float = Field(
        0.0,
        ge=0,
        lt=1,
        description='weight of the loss before adaptation, on windows as recorded: until its '
        'first window is full a robot drives with phi as it is; 0: none (Algorithm 9)',
    )

    @model_validator(mode='after')
    def _keeps_less(self) -> Self:
        if self.keep_improvement is not None and self.keep_improvement > self.accept_improvement:
            raise ValueError(
                f'keep_improvement must be at most accept_improvement '
                f'({self.accept_improvement:g}), which is needed to begin, got '
                f'{self.keep_improvement:g}'
            )
        return self


def init(spec: RobotSpec, config: GrBALConfig, seed: int) -> TrainState:
    """Line 1: draw phi, and set psi."""
    dynamics = build_model(spec, config.hidden_sizes, None)
    params = dynamics.init(torch.Generator().manual_seed(seed))
    if config.actuator_bias_range:
        params['shift'] = torch.zeros_like(params['scale'])
    sizes = _log_step_sizes(params, spec, config)
    return init_train_state(config, params, sizes, config.step_size_learning_rate)


def _log_step_sizes(params: Params, spec: RobotSpec, config: GrBALConfig) -> Params:
    sizes = {
        name: torch.full(_shape(value, config), config.step_size).log()
        for name, value in params.items()
    }
    # One step size per input: a change of an action's scale moves a prediction a little, one of a
    # velocity's scale moves it a lot.
    scale = torch.full(params['scale'].shape, config.step_size)
    scale[-spec.action_size :] = config.actuator_step_size
    per_input: Params = {name: scale.log() for name in ('scale', 'shift') if name in params}
    return per_input if config.adapted_parameters == 'input_scale' else sizes | per_input


def _shape(value: Tensor, config: GrBALConfig) -> torch.Size:
    """Return the shape of a tensor's step sizes: [] or, one per unit, [out]."""
    return value.shape[:1] if config.step_sizes == 'unit' else torch.Size()


def objective(
    dynamics: MLPDynamics, state: TrainState, data: FitData, config: GrBALConfig
) -> Objective:
    """Lines 9 to 11, and the loss after adaptation on validation trajectories to stop by."""
    windows, unseen = (
        Windows.of(each, config.past_steps, config.future_steps)
        for each in (data.training, data.validation)
    )
    check = unseen.sample(VALIDATION_WINDOWS, data.generator)

    def batch_loss() -> Tensor:
        past, recorded = windows.sample(config.batch_size, data.generator)
        past, future = augment_pair(data.augment, past, recorded, data.generator)
        past, future = with_other_actuators(past, future, config, data.generator)
        adapted = meta_loss(
            dynamics.loss, state.params, state.step_sizes, past, future, config.inner_steps
        )
        if not config.unadapted_loss_weight:
            return adapted
        unadapted = dynamics.loss(state.params, recorded).mean()
        return adapted.lerp(unadapted, config.unadapted_loss_weight)

    def validation_loss() -> float:
        _, after = losses_before_and_after(
            dynamics.loss, state.params, state.step_sizes, *check, config.inner_steps
        )
        return float(after.mean())

    @torch.no_grad()
    def unadapted_loss() -> float:
        return float(dynamics.loss(state.params, check[1], None).mean())

    batches = batches_of_windows(data.training, config)
    return Objective(batch_loss, validation_loss, batches, unadapted_loss)


def adapter(bundle: Bundle) -> GradientAdapter:
    """Algorithm 10, line 3: from phi afresh at every time step."""
    info = bundle.info
    return GradientAdapter(
        bundle.dynamics.loss,
        bundle.params,
        bundle.step_sizes,
        info.inner_steps,
        info.accept_improvement,
        info.keep_improvement,
    )


def describe(config: GrBALConfig) -> dict[str, Any]:
    """Return what bundle.json says of how the model adapts."""
    return config.model_dump(include={'inner_steps', 'accept_improvement', 'keep_improvement'})


LEARNER = ModelLearner('grbal', init, objective, adapter, describe)

SUMMARY = 'gradient steps on the last transitions, from meta-learned weights'
GRBAL = Algorithm('grbal', SUMMARY, GrBALConfig, partial(train, LEARNER))
