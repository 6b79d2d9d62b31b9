# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The settings of model-based training; defaults are the values of the thesis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mbmrl_ros.config import Config, UserError
from mbmrl_ros.data.dataset import held_out_every
from mbmrl_ros.planners.kinds import PlannerConfig
from mbmrl_ros.planners.mppi import MPPIConfig, of_before

Positive = Annotated[float, Field(gt=0)]


class RecurrentConfig(Config):
    """What is particular to ReBAL. Where thesis and code disagree, the thesis is the default."""

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


class TrainingConfig(Config):
    """Algorithms 9 and 10 on a task. Section numbers are those of the thesis."""

    iterations: int = Field(10, ge=1, description='rounds of collecting, then fitting (1.5 to 3 h '
                            'of experience, section 9.1, are 8 to 17 rounds)')  # fmt: skip
    rollouts: int = Field(64, ge=2, description='rollouts per iteration, side by side; '
                          'times rollout_steps: 64000 steps per iteration (Table 6)')  # fmt: skip
    rollout_steps: int = Field(1000, ge=1, description='steps per rollout (Table 6)')
    past_steps: int = Field(32, ge=1, description='T1, M: transitions to adapt to (Table 6)')
    future_steps: int = Field(32, ge=1, description='T2, F: transitions to predict (Table 6)')
    hidden_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (512, 512, 512), min_length=1, description='ReLU layers (appendix E)'
    )
    learning_rate: float = Field(
        1e-3, ge=0, description='Adam, for phi (beta; Table 6); 0: phi stays as it is'
    )
    adapts: Literal['all', 'inputs'] = Field(
        'all',
        description='what a step of GrBAL changes: all layers (the thesis), or the scale and the '
        'shift of the inputs (models/dynamics.py)',
    )
    step_size: Positive = Field(0.01, description='psi at the start: inner step size (Table 6)')
    actuator_step_size: Positive = Field(
        0.01,
        description='psi at the start, of scale and shift of the motors (models/dynamics.py)',
    )
    step_size_learning_rate: float = Field(
        1e-3,
        ge=0,
        description='Adam, for log psi (eta; Algorithm 9, line 14); 0: fixed',
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
    newest_steps: int = Field(
        0,
        ge=0,
        description='of the past window: adaptation is judged by what a step on the others does '
        'for the loss on these newest ones; 0: on the whole window, which it has seen',
    )
    unadapted_loss_weight: float = Field(
        0.0,
        ge=0,
        lt=1,
        description='share of the loss before adaptation, on windows as recorded, in what GrBAL '
        'is trained for: until its first window is full a robot drives with phi as it is; 0: '
        'none (Algorithm 9)',
    )
    input_limit: Positive | None = Field(
        None,
        description='standard deviations beyond which a channel of the input does not count any '
        'further; default: no limit (the thesis)',
    )
    recurrent: RecurrentConfig = Field(RecurrentConfig(), description='of ReBAL')
    actuator_gain_range: float = Field(
        0.0,
        ge=0,
        le=2,
        description='GrBAL and ReBAL see half of their data as if every motor had its own gain, '
        'exp(U(-actuator_gain_range, actuator_gain_range)); 0: as they are (the thesis)',
    )
    actuator_bias_range: float = Field(
        0.0,
        ge=0,
        le=2,
        description='GrBAL and ReBAL see half of their data as if a constant were added to every '
        "action, U(-actuator_bias_range, actuator_bias_range); GrBAL's model has a shift per input to tell it "
        'by; 0: neither (the thesis)',
    )
    yaw_augmentation: bool = Field(
        False, description='see every window turned by an angle of its own (robot file: heading)'
    )
    yaw_rate_bias: dict[str, Positive] = Field(
        default={},
        description='see half of the windows as if the robot turned on its own, ever to one side: '
        'r by the name of the channel that measures it, which is changed by U(-r, r) rad/s',
    )
    velocity_bias: float = Field(
        0.0,
        ge=0,
        description='see half of the windows as if the ground slid away, each part of its '
        'velocity U(-velocity_bias, velocity_bias) m/s',
    )
    sensor_bias_std: dict[str, Positive] = Field(
        default={},
        description='see every window with a constant error of these channels, of this standard '
        'deviation in their unit',
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
    held_out: float = Field(0.1, gt=0, le=0.5, description='share of trajectories for validation')
    planner: PlannerConfig = Field(
        MPPIConfig(**of_before({})), description='while collecting (Table 6: 1000 x 10)'
    )
    control_planner: PlannerConfig = Field(
        MPPIConfig(**of_before({'candidates': 2500, 'horizon': 15})),
        description='on the robot (Table 6: 2500 x 15)',
    )
    precision: Literal['auto', 'float32', 'bfloat16'] = Field(
        'auto',
        description='of imagined rollouts: auto takes bfloat16 where the processor multiplies it '
        '(amx_bf16, avx512_bf16), float32 elsewhere; adaptation is always float32',
    )
    fit_precision: Literal['auto', 'float32', 'bfloat16'] = Field(
        'float32',
        description='of the products in a fit; auto: as above; parameters are always float32',
    )

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        if self.past_steps + self.future_steps > self.rollout_steps:
            raise ValueError('rollout_steps must hold past_steps + future_steps')
        if self.reinitialize and not self.learning_rate:
            raise ValueError(
                'with reinitialize and a learning_rate of 0 the weights would stay as they are drawn; '
                'set one of the two'
            )
        if self.newest_steps >= self.past_steps:
            raise ValueError(
                f'newest_steps must be below past_steps ({self.past_steps}), which they are a '
                f'part of, got {self.newest_steps}'
            )
        if self.keep_improvement is not None and self.keep_improvement > self.accept_improvement:
            raise ValueError(
                f'keep_improvement must be at most accept_improvement ({self.accept_improvement:g}), which is '
                f'needed to begin, got {self.keep_improvement:g}'
            )
        if self.rollouts < held_out_every(self.held_out):
            raise ValueError(
                f'rollouts must be at least {held_out_every(self.held_out)} for one of them to '
                f'be held out (held_out: {self.held_out:g})'
            )
        return self


def check_start(config: TrainingConfig, start_from: Path | None) -> None:
    """UserError if a training would end with the parameters that it draws."""
    if config.learning_rate == 0 and not start_from:
        raise UserError(
            'learning_rate is 0: phi would stay as it is drawn; name a run to take it from by '
            '--start-from RUN, or set another learning_rate'
        )
