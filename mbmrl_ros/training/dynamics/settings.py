# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Settings that algorithms share, in parts; defaults are the values of the thesis.

An algorithm's own settings inherit the parts that it needs (algorithms/grbal.py), so that a run
carries no others. Section and table numbers are those of the thesis.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from mbmrl_ros.config import Config, Positive, UserError, Width
from mbmrl_ros.data.dataset import held_out_every
from mbmrl_ros.planners.kinds import PlannerConfig
from mbmrl_ros.planners.mppi import MPPIConfig, of_before


class CollectConfig(Config):
    """How much is collected, and how it is planned meanwhile (Algorithm 10)."""

    iterations: int = Field(10, ge=1, description='rounds of collecting, then fitting (1.5 to 3 h '
                            'of experience, section 9.1, are 8 to 17 rounds)')  # fmt: skip
    rollouts: int = Field(64, ge=2, description='rollouts per iteration, side by side; '
                          'times rollout_steps: 64000 steps per iteration (Table 6)')  # fmt: skip
    rollout_steps: int = Field(1000, ge=1, description='steps per rollout (Table 6)')
    planner: PlannerConfig = Field(
        MPPIConfig(**of_before({})), description='while collecting (Table 6: 1000 x 10)'
    )
    control_planner: PlannerConfig = Field(
        MPPIConfig(**of_before({'candidates': 2500, 'horizon': 15})),
        description='on the robot (Table 6: 2500 x 15)',
    )


class ModelConfig(Config):
    """The model of the dynamics, and the windows that it is stopped and judged by."""

    past_steps: int = Field(32, ge=1, description='T1, M: transitions to adapt to (Table 6)')
    future_steps: int = Field(32, ge=1, description='T2, F: transitions to predict (Table 6)')
    hidden_sizes: tuple[Width, ...] = Field(
        (512, 512, 512), min_length=1, description='ReLU layers (appendix E)'
    )
    input_limit: Positive | None = Field(
        None,
        description='standard deviations beyond which a channel of the input does not count any '
        'further; default: no limit (the thesis)',
    )
    precision: Literal['auto', 'float32', 'bfloat16'] = Field(
        'auto',
        description='of imagined rollouts: auto takes bfloat16 where the processor multiplies it '
        '(amx_bf16, avx512_bf16), float32 elsewhere; adaptation is always float32',
    )


class FitConfig(Config):
    """One fit of the model to the data so far."""

    renamed: ClassVar[dict[str, str]] = {
        'held_out': 'validation_fraction',
        'fit_anew': 'reinitialize',
    }

    learning_rate: float = Field(
        1e-3, ge=0, description='Adam, for phi (beta; Table 6); 0: phi stays as it is'
    )
    batch_size: int = Field(
        500, ge=1, description='windows (MB: transitions) per update (Table 6)'
    )
    weight_decay: float = Field(
        0.0, ge=0, description='of the weights, a share per update of the learning rate (AdamW)'
    )
    learning_rate_decay: Literal['none', 'cosine'] = Field(
        'none', description='cosine: to zero over the epochs of a fit'
    )
    reinitialize: bool = Field(
        False,
        description='every fit begins with weights drawn anew; false: with those of the iteration '
        'before, which holds on to what little data showed at first',
    )
    epochs: int = Field(50, ge=1, description='passes over the data per iteration (Table 6)')
    persistency: float = Field(0.9, ge=0, lt=1, description='rolling average of early stopping')
    patience: int = Field(5, ge=1, description='epochs without a new low before a fit stops')
    validation_fraction: float = Field(
        0.1, gt=0, le=0.5, description='share of trajectories for validation'
    )
    fit_precision: Literal['auto', 'float32', 'bfloat16'] = Field(
        'float32',
        description='of the products in a fit; auto: as above; parameters are always float32',
    )


class AugmentationConfig(Config):
    """Changes of recorded windows that are known not to matter (training/dynamics/augment.py)."""

    renamed: ClassVar[dict[str, str]] = {
        'turn_about_vertical': 'yaw_augmentation',
        'own_turns': 'yaw_rate_bias',
        'own_drift': 'velocity_bias',
        'sensor_offsets': 'sensor_bias_std',
    }

    yaw_augmentation: bool = Field(
        False, description='turn every window by an angle of its own (robot file: heading)'
    )
    yaw_rate_bias: dict[str, Positive] = Field(
        default={},
        description='half of the windows are as if the robot turned on its own, ever to one side: '
        'r by the name of the channel that measures it, which is changed by U(-r, r) rad/s',
    )
    velocity_bias: float = Field(
        0.0,
        ge=0,
        description='half of the windows are as if the ground slid away, each part of its '
        'velocity U(-velocity_bias, velocity_bias) m/s',
    )
    sensor_bias_std: dict[str, Positive] = Field(
        default={},
        description='every window has a constant error of these channels, of this standard '
        'deviation in their unit',
    )


class ActuatorConfig(Config):
    """Actuators that differ from window to window, for what learns to tell them."""

    renamed: ClassVar[dict[str, str]] = {
        'motor_gains': 'actuator_gain_range',
        'motor_offsets': 'actuator_bias_range',
    }

    actuator_gain_range: float = Field(
        0.0,
        ge=0,
        le=2,
        description='half of the data are as if every actuator had its own gain, '
        'exp(U(-range, range)); 0: as they are (the thesis)',
    )
    actuator_bias_range: float = Field(
        0.0,
        ge=0,
        le=2,
        description='half of the data are as if a constant were added to every action, '
        "U(-range, range); GrBAL's model has a shift per input to tell it by; 0: neither (the "
        'thesis)',
    )


class ModelBasedConfig(CollectConfig, ModelConfig, FitConfig, AugmentationConfig):
    """What algorithms share that fit a model of the dynamics and plan with it."""

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        if self.past_steps + self.future_steps > self.rollout_steps:
            raise ValueError('rollout_steps must hold past_steps + future_steps')
        if self.reinitialize and not self.learning_rate:
            raise ValueError(
                'with reinitialize and a learning_rate of 0 the weights would stay as they are '
                'drawn; set one of the two'
            )
        every = held_out_every(self.validation_fraction)
        if self.rollouts < every:
            raise ValueError(
                f'rollouts must be at least {every} for one of them to be for validation '
                f'(validation_fraction: {self.validation_fraction:g})'
            )
        return self


def check_start(config: Config, start_from: Path | None) -> None:
    """UserError if a training would end with the parameters that it draws."""
    if not isinstance(config, ModelBasedConfig):
        if start_from:
            raise UserError(
                f'--start-from {start_from} is for algorithms that fit a model to plan in: mb, '
                'grbal and rebal; leave it out. Any training goes on by itself when it is started '
                'again with its own --out'
            )
        return
    if config.learning_rate == 0 and not start_from:
        raise UserError(
            'learning_rate is 0: phi would stay as it is drawn; name a run to take it from by '
            '--start-from RUN, or set another learning_rate'
        )
