# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cross-entropy method with true elites (Botev et al. 2013; Chua et al. 2018, PETS).

The published GrBAL code reads the output of argsort as ranks, so that its elites are random ones;
here they are the candidates with the highest returns, and what is simulated is what is averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer
from torch import Tensor

from mbmrl_ros.config import Config
from mbmrl_ros.planners.mppi import POLICY_SHARE, without_usual_share
from mbmrl_ros.planners.rollout import (
    keep_behind,
    make_plan,
    make_proposals,
    next_mean,
    roll_out,
    rollout_returns,
)
from mbmrl_ros.types import OutOfTime, Plan, Problem, Root, never


class CEMConfig(Config):
    """Parameters of the cross-entropy method."""

    renamed: ClassVar[dict[str, str]] = {'inertia': 'alpha', 'minimum_noise': 'min_std'}

    kind: Literal['cem'] = 'cem'
    candidates: int = Field(500, ge=2, description='K, per iteration')
    horizon: int = Field(15, ge=1, description='H')
    iterations: int = Field(4, ge=1, description='refits of the distribution per tick')
    elites: int = Field(50, ge=2, description='candidates that the next distribution is fitted to')
    alpha: float = Field(0.1, ge=0, lt=1, description='share of the old mean and std')
    noise: float = Field(0.6, gt=0, description='first std, actions in -1..1')
    min_std: float = Field(0.05, gt=0, description='floor, against early collapse')
    policy_share: float = Field(
        POLICY_SHARE, ge=0, lt=1, description='of the candidates: what a policy, if any, proposes'
    )

    @model_serializer(mode='wrap')
    def _write(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write what counts."""
        return without_usual_share(write(self))


class CEMState(NamedTuple):
    """Warm start: the mean action sequence [B, H, A], already shifted by one step."""

    mean: Tensor


@dataclass(frozen=True)
class CEM:
    """The planner with its parameters and the size of the action."""

    config: CEMConfig
    action_size: int

    def initial(self, batch: int) -> CEMState:
        """Return a mean of zeros."""
        return CEMState(torch.zeros(batch, self.config.horizon, self.action_size))

    def plan(
        self,
        generator: torch.Generator,
        planner_state: CEMState,
        problem: Problem,
        root: Root,
        out_of_time: OutOfTime = never,
    ) -> tuple[CEMState, Plan]:
        """Sample, imagine, refit to the elites, several times; the plan is the last mean."""
        config = self.config
        mean = planner_state.mean
        std = torch.full_like(mean, config.noise)
        for _ in range(config.iterations):
            shape = (len(mean), config.candidates, *mean.shape[1:])
            noise = torch.randn(shape, generator=generator, device=mean.device)
            noise = std[:, None] * noise
            candidates = (mean[:, None] + noise).clamp(-1.0, 1.0)
            proposals = make_proposals(problem, noise, config.policy_share)
            states, carry = roll_out(problem.step, root, candidates, proposals, out_of_time)
            returns = rollout_returns(problem, states, candidates, carry)
            # A time budget may leave so few candidates that all would be elites.
            count = max(1, min(config.elites, config.candidates // 2))
            elites, weights = elite_candidates(candidates, returns, count)
            fitted = torch.einsum('be,beha->bha', weights, elites)
            variance = torch.einsum('be,beha->bha', weights, (elites - fitted[:, None]).square())
            # A row without a finite rollout has no elites, and keeps its distribution.
            alpha = torch.where(weights.any(1), config.alpha, 1.0)[:, None, None]
            imagined = states.shape[2] - 1
            mean = keep_behind(imagined, torch.lerp(fitted, mean, alpha), mean)
            refitted = torch.lerp(variance.sqrt(), std, alpha)
            std = keep_behind(imagined, refitted.clamp(min=config.min_std), std)
            if out_of_time():
                break
        plan = make_plan(mean, candidates, returns)
        return CEMState(next_mean(plan.actions)), plan


def elite_candidates(candidates: Tensor, returns: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the `count` candidates [B, count, H, A] with the highest returns [B, K].

    And their weights [B, count] in the next distribution: equal, but zero for those whose return
    is minus infinity, which are among them where fewer than `count` returns are finite.
    """
    best = returns.topk(min(count, returns.shape[1]), dim=1)
    finite = best.values.isfinite().to(candidates.dtype)
    weights = finite / finite.sum(1, keepdim=True).clamp(min=1)
    rows = torch.arange(len(returns), device=returns.device)[:, None]
    return candidates[rows, best.indices], weights
