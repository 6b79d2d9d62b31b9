# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Model predictive path integral control.

Williams et al. 2015 for the weighting; warm start and time-correlated noise as in PDDM (Nagabandi
et al. 2019, equations 2 to 5), whose first author is that of GrBAL: the thesis names MPPI but
gives no temperature, noise or smoothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from mbmrl_ros.config import Config
from mbmrl_ros.planners.rollout import imagine, make_plan, score
from mbmrl_ros.types import Carry, Late, Plan, RewardFn, StepFn, never


class MPPIConfig(Config):
    """Parameters of MPPI."""

    # Not written: files of MPPI stay what they were before there were kinds.
    kind: Literal['mppi'] = Field('mppi', exclude=True)
    candidates: int = Field(1000, ge=2, description='K (thesis, Table 6: n, at training)')
    horizon: int = Field(10, ge=1, description='H (thesis, Table 6)')
    temperature: Annotated[float, Field(gt=0)] = Field(
        0.1, description="in standard deviations of the candidates' returns"
    )
    noise: Annotated[float, Field(gt=0)] = Field(
        0.7, description='standard deviation of the noise, actions in -1..1'
    )
    smoothing: float = Field(
        0.7, gt=0, le=1, description='beta of PDDM: 1 is white noise, small is slow noise'
    )


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
        carry: Carry,
        state: Tensor,
        late: Late = never,
    ) -> tuple[MPPIState, Plan]:
        """Sample about the warm start, imagine, weigh, average.

        The first candidate is the warm start itself, so that a good plan is never lost to noise.
        """
        candidates = self._sample(generator, planner_state.mean)
        states = imagine(step_fn, carry, state, candidates, late)
        returns = score(reward_fn, states, candidates)
        weights = path_integral_weights(returns, self.config.temperature)
        actions = torch.einsum('bk,bkha->bha', weights, candidates)
        plan = make_plan(actions, candidates, returns)
        following = torch.cat([plan.actions[:, 1:], plan.actions[:, -1:]], 1)
        return MPPIState(following), plan

    def _sample(self, generator: torch.Generator, mean: Tensor) -> Tensor:
        """Draw candidates [B, K, H, A]: u_t = b (mu_t + eps_t) + (1 - b) u_{t-1} (PDDM, eq. 3).

        Written on the deviation from the mean: the filter then smooths the noise and leaves a
        mean that is already smooth as it is, where the published form delays it at every tick.
        """
        config = self.config
        batch = len(mean)
        shape = (config.horizon, batch, config.candidates, self.action_size)
        noise = torch.randn(shape, generator=generator, device=mean.device)
        noise *= config.noise * config.smoothing
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
