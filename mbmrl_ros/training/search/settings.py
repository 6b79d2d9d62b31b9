# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Settings that model-based policy search shares: its models, their fit, real and imagined steps.

"The code" is that of the authors of MB-MPO (Clavera et al. 2018), where nothing else is said.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from mbmrl_ros.config import Config, Positive, Width
from mbmrl_ros.envs.task_env import SamplingConfig
from mbmrl_ros.models.ensemble import ActivationName
from mbmrl_ros.training.policy_run import PolicyConfig
from mbmrl_ros.training.samples import AdvantageConfig


class EnsembleConfig(Config):
    """The models."""

    members: int = Field(5, ge=1, description='E: models (the code)')
    model_hidden_sizes: tuple[Width, ...] = Field((512, 512), description='layers (the code)')
    model_activation: ActivationName = Field('relu', description='between layers (the code)')
    probabilistic: bool = Field(
        False, description='predict a variance as well (MAAC); false: the mean alone (the code)'
    )
    weight_norm: bool = Field(
        False, description='weights as direction and length (the code; its successor: "off")'
    )


class EnsembleFitConfig(Config):
    """One fit of the models to the newest data."""

    buffer_size: int = Field(100_000, ge=1, description='newest transitions that count (the code)')
    model_learning_rate: Positive = Field(1e-3, description='Adam (the code)')
    batch_size: int = Field(500, ge=1, description='transitions per update and model (the code)')
    epochs: int = Field(200, ge=1, description='passes over the data per fit, at most')
    fit_updates: Positive | None = Field(
        None, description='updates of a fit per new transition, at most; default: no limit'
    )
    persistency: float = Field(0.9, ge=0, lt=1, description='rolling average of early stopping')
    patience: int = Field(5, ge=1, description='epochs without a new low before a model stops')
    validation_fraction: float = Field(
        0.2, gt=0, le=0.5, description='of the transitions, others for each model (the code)'
    )


class ImaginationConfig(Config):
    """Imagined rollouts."""

    imagined_horizon: int | None = Field(
        None,
        ge=1,
        description='steps of an imagined rollout; default: of a real one (the code)',
    )
    start_anywhere: float = Field(
        0.0,
        ge=0,
        le=1,
        description='share of imagined rollouts that begin in any state of the buffer; the others '
        'begin where real ones did (the code)',
    )


class LoopConfig(SamplingConfig, EnsembleConfig, EnsembleFitConfig):
    """What all algorithms share that collect real steps, fit models to them and improve."""

    iterations: int = Field(100, ge=1, description='of collect, fit, improve (the code)')
    real_rollouts: int = Field(20, ge=1, description='on the robot per iteration (the code)')
    horizon: int | None = Field(
        None, ge=1, description="steps of a real rollout; default: the task's (the code: 200)"
    )
    action_scale: Positive | None = Field(
        1.0, description='the action of the policy that stands for the limit of a robot, linearly'
    )

    def episodes(self, horizon: int) -> int:
        """Return how many a training collects, where they have so many steps."""
        return self.iterations * self.real_rollouts

    @model_validator(mode='after')
    def _stateless(self) -> Self:
        if self.normalize_observations or self.normalize_rewards:
            raise ValueError(
                'normalize_observations and normalize_rewards are not for learned models, whose '
                'steps would have other running statistics; leave both false'
            )
        return self


class SearchConfig(LoopConfig, PolicyConfig, AdvantageConfig, ImaginationConfig):
    """What algorithms share that improve a Gaussian policy by imagined paths."""

    hidden_sizes: tuple[Width, ...] = Field((32, 32), description='tanh layers of the policy')
