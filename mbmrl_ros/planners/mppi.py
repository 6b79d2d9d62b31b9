# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Model predictive path integral control.

Williams et al. 2015 for the weighting; warm start and time-correlated noise as in PDDM (Nagabandi
et al. 2019, equations 2 to 5), whose first author is that of GrBAL: the thesis names MPPI but
gives no temperature, noise or smoothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer
from torch import Tensor

from mbmrl_ros.config import Config
from mbmrl_ros.planners.rollout import imagine, keep_behind, make_plan, next_mean, rollout_returns
from mbmrl_ros.types import OutOfTime, Plan, RewardFn, Root, StepFn, never

# What files without `kind` mean where they name no noise.
NOISE_BEFORE = 0.7


class MPPIConfig(Config):
    """Parameters of MPPI."""

    kind: Literal['mppi'] = 'mppi'
    candidates: int = Field(1000, ge=2, description='K (thesis, Table 6: n, at training)')
    horizon: int = Field(10, ge=1, description='H (thesis, Table 6)')
    temperature: Annotated[float, Field(gt=0)] = Field(
        0.1, description="in standard deviations of the candidates' returns"
    )
    noise: Annotated[float, Field(gt=0)] = Field(
        0.5,
        description='standard deviation of what is added to the actions, at every step of the '
        'horizon, actions in -1..1',
    )
    smoothing: float = Field(
        0.7, gt=0, le=1, description='beta of PDDM: 1 is white noise, small is slow noise'
    )
    noise_of: Literal['actions', 'filter'] = Field(
        'actions',
        description="filter: noise is that of the white noise that enters PDDM's filter, which "
        'begins at rest, so that the actions get less of it; what files without `kind` mean',
    )

    @model_serializer(mode='wrap')
    def _write(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write what was read from a file without `kind` as it was."""
        data: dict[str, Any] = write(self)
        if data.pop('noise_of') == 'filter':
            del data['kind']
        return data


def of_before(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a file from before there were kinds, in which noise was another."""
    return {'noise': NOISE_BEFORE, **data, 'kind': 'mppi', 'noise_of': 'filter'}


class MPPIState(NamedTuple):
    """Warm start: the mean action sequence [B, H, A], already shifted by one step."""

    mean: Tensor


@dataclass(frozen=True)
class MPPI:
    """The planner with its parameters and the size of the action."""

    config: MPPIConfig
    action_size: int

    def initial(self, batch: int) -> MPPIState:
        """Return a mean of zeros."""
        return MPPIState(torch.zeros(batch, self.config.horizon, self.action_size))

    def plan(
        self,
        generator: torch.Generator,
        planner_state: MPPIState,
        step_fn: StepFn,
        reward_fn: RewardFn,
        root: Root,
        out_of_time: OutOfTime = never,
    ) -> tuple[MPPIState, Plan]:
        """Sample about the warm start, imagine, weigh, average.

        The first candidate is the warm start itself, so that a good plan is never lost to noise.
        """
        candidates = self._sample(generator, planner_state.mean)
        states = imagine(step_fn, *root, candidates, out_of_time)
        returns = rollout_returns(reward_fn, states, candidates)
        weights = path_integral_weights(returns, self.config.temperature)
        averaged = torch.einsum('bk,bkha->bha', weights, candidates)
        actions = keep_behind(states.shape[2] - 1, averaged, planner_state.mean)
        plan = make_plan(actions, candidates, returns)
        return MPPIState(next_mean(plan.actions)), plan

    def _sample(self, generator: torch.Generator, mean: Tensor) -> Tensor:
        """Draw candidates [B, K, H, A]: u_t = b (mu_t + eps_t) + (1 - b) u_{t-1} (PDDM, eq. 3).

        Written on the deviation from the mean: the filter then smooths the noise and leaves a
        mean that is already smooth as it is, where the published form delays it at every tick.
        """
        config = self.config
        batch = len(mean)
        shape = (config.horizon, batch, config.candidates, self.action_size)
        noise = torch.randn(shape, generator=generator, device=mean.device)
        # The filter passes 1 / gain of the deviation that enters, and all of it from the first
        # step on if it begins as if it had run for ever.
        gain = math.sqrt(config.smoothing * (2 - config.smoothing))
        if config.noise_of == 'filter':
            noise *= config.noise * config.smoothing
        else:
            noise *= config.noise * gain
            noise[0] /= gain
        noise[:, :, 0] = 0.0
        for time in range(1, config.horizon):
            noise[time] += (1 - config.smoothing) * noise[time - 1]
        return (mean[:, None] + noise.permute(1, 2, 0, 3)).clamp(-1.0, 1.0)


def path_integral_weights(returns: Tensor, temperature: float) -> Tensor:
    """Return softmax weights [B, K] of returns [B, K], invariant to the reward's scale and offset.

    Williams et al. 2015, with the temperature in standard deviations of the finite returns, so
    that it need not be tuned again for every reward. Rollouts of minus infinity weigh zero; a
    row without a finite return gets zeros.
    """
    finite = returns.isfinite()
    count = finite.sum(1, keepdim=True).clamp(min=1)
    known = torch.where(finite, returns, 0.0)
    mean = known.sum(1, keepdim=True) / count
    spread = (torch.where(finite, known - mean, 0.0).square().sum(1, keepdim=True) / count).sqrt()
    # Clamped, not added to: with equal returns any divisor gives equal weights.
    divisor = (temperature * spread).clamp(min=torch.finfo(returns.dtype).tiny)
    scaled = (returns - returns.max(1, keepdim=True).values) / divisor
    weights = torch.where(finite, scaled.exp(), 0.0)
    return weights / weights.sum(1, keepdim=True).clamp(min=1e-30)
