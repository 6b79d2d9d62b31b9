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
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from torch import Tensor

from mbmrl_ros.config import Config
from mbmrl_ros.planners.rollout import (
    keep_behind,
    make_plan,
    make_proposals,
    next_mean,
    roll_out,
    rollout_returns,
)
from mbmrl_ros.types import OutOfTime, Plan, Problem, Root, never

# Of the candidates, from a policy where there is one.
POLICY_SHARE = 0.25
# What files without `kind` mean where they name nothing else.
BEFORE = {'temperature': 0.1, 'noise': 0.7, 'smoothing': 0.7, 'knots': None}


class MPPIConfig(Config):
    """Parameters of MPPI."""

    kind: Literal['mppi'] = 'mppi'
    candidates: int = Field(1000, ge=2, description='K (thesis, Table 6: n, at training)')
    horizon: int = Field(10, ge=1, description='H (thesis, Table 6)')
    temperature: Annotated[float, Field(gt=0)] = Field(
        0.03, description="in standard deviations of the better half of the candidates' returns"
    )
    noise: Annotated[float, Field(gt=0)] = Field(
        1.0,
        description='standard deviation of what is added to the actions, at every step of the '
        'horizon, actions in -1..1',
    )
    knots: Annotated[int, Field(ge=2)] | None = Field(
        4,
        description='points of the horizon that noise is drawn for; between them it is '
        'interpolated. null: drawn at every step, and smoothed',
    )
    smoothing: float = Field(
        0.7,
        gt=0,
        le=1,
        description='without knots, beta of PDDM: 1 is white noise, small is slow noise',
    )
    noise_of: Literal['actions', 'filter'] = Field(
        'actions',
        description="filter: noise is that of the white noise that enters PDDM's filter, which "
        'begins at rest, so that the actions get less of it; what files without `kind` mean',
    )

    policy_share: float = Field(
        POLICY_SHARE, ge=0, lt=1, description='of the candidates: what a policy, if any, proposes'
    )

    @model_validator(mode='before')
    @classmethod
    def _smoothed(cls, data: Any) -> Any:
        """Understand what is of smoothed noise alone, as in files from before there were knots."""
        if not isinstance(data, Mapping) or 'knots' in data:
            return data
        smoothed = 'smoothing' in data or data.get('noise_of') == 'filter'
        return {**data, 'knots': None} if smoothed else data

    @model_serializer(mode='wrap')
    def _write(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write what counts; what was read from a file without `kind`, as it was."""
        data: dict[str, Any] = write(self)
        del data['smoothing' if self.knots else 'knots']
        if data.pop('noise_of') == 'filter':
            del data['kind']
        return without_usual_share(data)


def of_before(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a file from before there were kinds, in which noise was another."""
    return {**BEFORE, **data, 'kind': 'mppi', 'noise_of': 'filter'}


def without_usual_share(data: dict[str, Any]) -> dict[str, Any]:
    """Return parameters to write, with `policy_share` only where it is not the usual one."""
    usual = data['policy_share'] == POLICY_SHARE
    return {key: value for key, value in data.items() if key != 'policy_share' or not usual}


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
        problem: Problem,
        root: Root,
        out_of_time: OutOfTime = never,
    ) -> tuple[MPPIState, Plan]:
        """Sample about the warm start, imagine, weigh, average.

        The first candidate is the warm start itself, so that a good plan is never lost to noise.
        """
        noise = self._sample(generator, planner_state.mean)
        candidates = (planner_state.mean[:, None] + noise).clamp(-1.0, 1.0)
        proposals = make_proposals(problem, noise, self.config.policy_share)
        states, carry = roll_out(problem.step, root, candidates, proposals, out_of_time)
        returns = rollout_returns(problem, states, candidates, carry)
        weights = path_integral_weights(returns, self.config.temperature)
        averaged = torch.einsum('bk,bkha->bha', weights, candidates)
        actions = keep_behind(states.shape[2] - 1, averaged, planner_state.mean)
        plan = make_plan(actions, candidates, returns)
        return MPPIState(next_mean(plan.actions)), plan

    def _sample(self, generator: torch.Generator, mean: Tensor) -> Tensor:
        """Draw the noise [B, K, H, A] of candidates; the first has none."""
        draw = self._interpolated if self.config.knots else self._smoothed
        noise = draw(generator, mean)
        noise[:, 0] = 0.0
        return noise

    def _interpolated(self, generator: torch.Generator, mean: Tensor) -> Tensor:
        """Draw noise at the knots, and what lies between; everywhere of the same deviation."""
        config, knots = self.config, min(self.config.knots or 0, self.config.horizon)
        shape = (len(mean), config.candidates, knots, self.action_size)
        drawn = torch.randn(shape, generator=generator, device=mean.device) * config.noise
        weights = knot_weights(config.horizon, knots, mean.device)
        return torch.einsum('hn,bkna->bkha', weights, drawn)

    def _smoothed(self, generator: torch.Generator, mean: Tensor) -> Tensor:
        """Draw the noise of u_t = b (mu_t + eps_t) + (1 - b) u_{t-1} (PDDM, equation 3).

        Written on the deviation from the mean: the filter then smooths the noise and leaves a
        mean that is already smooth as it is, where the published form delays it at every tick.
        """
        config = self.config
        shape = (config.horizon, len(mean), config.candidates, self.action_size)
        noise = torch.randn(shape, generator=generator, device=mean.device)
        # The filter passes 1 / gain of the deviation that enters, and all of it from the first
        # step on if it begins as if it had run for ever.
        gain = math.sqrt(config.smoothing * (2 - config.smoothing))
        if config.noise_of == 'filter':
            noise *= config.noise * config.smoothing
        else:
            noise *= config.noise * gain
            noise[0] /= gain
        for time in range(1, config.horizon):
            noise[time] += (1 - config.smoothing) * noise[time - 1]
        return noise.permute(1, 2, 0, 3)


@lru_cache
def knot_weights(horizon: int, knots: int, device: torch.device) -> Tensor:
    """Return what each of N knots, evenly spread, weighs at every step [H, N].

    Between two of them by distance, and so that the squares add up to 1: independent noise at the
    knots keeps its deviation in between.
    """
    if knots == 1:
        return torch.ones(horizon, 1, device=device)
    places = torch.linspace(0, knots - 1, horizon, device=device)
    near = (1 - (places[:, None] - torch.arange(knots, device=device)).abs()).clamp(min=0.0)
    weights: Tensor = near / torch.linalg.vector_norm(near, dim=1, keepdim=True)
    return weights


def path_integral_weights(returns: Tensor, temperature: float) -> Tensor:
    """Return softmax weights [B, K] of returns [B, K], invariant to the reward's scale and offset.

    Williams et al. 2015, with the temperature in standard deviations, so that it need not be
    tuned again for every reward. The deviation is that of the better half from the median: a few
    candidates that run into something very bad leave the temperature as it is. Rollouts of minus
    infinity weigh zero; a row without a finite return gets zeros.
    """
    finite = returns.isfinite()
    known = torch.where(finite, returns, torch.nan)
    median = known.nanmedian(1, keepdim=True).values
    better = finite & (returns >= median)
    count = better.sum(1, keepdim=True).clamp(min=1)
    above = torch.where(better, returns - median, 0.0)
    spread = (above.square().sum(1, keepdim=True) / count).sqrt()
    # Clamped, not added to: with equal returns any divisor gives equal weights.
    divisor = (temperature * spread).clamp(min=torch.finfo(returns.dtype).tiny)
    scaled = (returns - returns.max(1, keepdim=True).values) / divisor
    weights = torch.where(finite, scaled.exp(), 0.0)
    return weights / weights.sum(1, keepdim=True).clamp(min=1e-30)
