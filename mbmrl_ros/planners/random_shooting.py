# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random shooting: uniform candidates, the best one's first action (Nagabandi et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field

from mbmrl_ros.config import Config
from mbmrl_ros.planners.rollout import best_candidate, make_plan, roll_out, rollout_returns
from mbmrl_ros.types import OutOfTime, Plan, Problem, Root, never


class RandomShootingConfig(Config):
    """Parameters of random shooting."""

    kind: Literal['random_shooting'] = 'random_shooting'
    candidates: int = Field(2000, ge=1, description='K (the real robot of the thesis: 2000)')
    horizon: int = Field(5, ge=1, description='H (the real robot of the thesis: 5)')


@dataclass(frozen=True)
class RandomShooting:
    """The planner with its parameters; it has no warm start."""

    config: RandomShootingConfig
    action_size: int

    def initial(self, batch: int) -> None:
        """Return nothing: every plan starts afresh."""

    def plan(
        self,
        generator: torch.Generator,
        planner_state: None,
        problem: Problem,
        root: Root,
        out_of_time: OutOfTime = never,
    ) -> tuple[None, Plan]:
        """Draw uniformly over the whole box, imagine, take the best."""
        shape = (len(root.state), self.config.candidates, self.config.horizon, self.action_size)
        candidates = torch.rand(shape, generator=generator, device=root.state.device) * 2 - 1
        states, carry = roll_out(problem.step, root, candidates, out_of_time=out_of_time)
        returns = rollout_returns(problem, states, candidates, carry)
        return None, make_plan(best_candidate(candidates, returns), candidates, returns)
