# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Settings that meta policy search shares, in parts that an algorithm's own settings inherit.

Section and table numbers are those of the ProMP paper (Rothfuss et al. 2019); "the code" is its
authors'.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from mbmrl_ros.config import Config, Positive
from mbmrl_ros.envs.task_env import SamplingConfig
from mbmrl_ros.training.policy_run import PolicyConfig
from mbmrl_ros.training.samples import AdvantageConfig


class BatchConfig(SamplingConfig):
    """How much is sampled: tasks x rollouts x horizon x (inner_steps + 1) steps per iteration."""

    iterations: int = Field(400, ge=1, description='meta-iterations (the code: 1001)')
    tasks: int = Field(40, ge=1, description='N: goals per iteration (Table 1)')
    rollouts: int = Field(20, ge=1, description='R: paths per task, before and after (Table 1)')
    horizon: int | None = Field(
        None, ge=1, description="T: steps per path; default: the task's (Table 1: 100 or 200)"
    )


class InnerConfig(Config):
    """The inner step (Algorithm 1, line 9)."""

    alpha: Positive = Field(
        0.1, description='inner step size (the code; Table 1: 0.01, random parameters 0.05)'
    )
    inner_steps: int = Field(1, ge=1, description='each from samples of its own (Table 1: 1 to 3)')
    learn_step_sizes: bool = Field(
        False, description='learn alpha, one per weight (Meta-SGD); false: fixed (the code)'
    )
    first_order: bool = Field(
        False, description='count the inner step as a constant: no second derivatives (FOMAML)'
    )


class MetaPolicyConfig(BatchConfig, PolicyConfig, InnerConfig, AdvantageConfig):
    """What all algorithms with an inner policy-gradient step share."""

    learning_rate: Positive = Field(1e-3, description='beta: Adam (Table 1)')

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        if self.inner_steps > self.rollouts:
            raise ValueError(
                f'inner_steps must be at most rollouts ({self.rollouts}), from which they are '
                f'computed, got {self.inner_steps}'
            )
        return self
