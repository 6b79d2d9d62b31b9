# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Imagine candidates with the model and score them: what all planners share."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.types import Carry, OutOfTime, Plan, Problem, ProposalFn, Root, StepFn, never


class Proposals(NamedTuple):
    """Candidates that a policy acts in, P of them.

    offsets: [B, P, H, A], what is added to its actions.
    """

    policy: ProposalFn
    offsets: Tensor


class Rollouts(NamedTuple):
    """States [B, K, h+1, S], the start included, and what the model remembers at their end."""

    states: Tensor
    carry: Carry


def imagine(
    step: StepFn,
    root: Root,
    actions: Tensor,
    proposals: Proposals | None = None,
    out_of_time: OutOfTime = never,
) -> Tensor:
    """Return the states [B, K, h+1, S] of `roll_out`."""
    return roll_out(step, root, actions, proposals, out_of_time).states


def roll_out(
    step: StepFn,
    root: Root,
    actions: Tensor,
    proposals: Proposals | None = None,
    out_of_time: OutOfTime = never,
) -> Rollouts:
    """Roll the model out.

    actions: [B, K, H, A]; those of the last P become what is proposed in the states that are come
    to. Returns h = H steps; fewer, but one at least, where time was up before the last: all
    candidates are then compared over the same shorter time, which is worth more than a plan that
    comes too late.
    """
    batch, candidates, horizon, _ = actions.shape
    carry = root.carry
    states = root.state.new_empty(horizon + 1, batch, candidates, root.state.shape[-1])
    states[0] = root.state[:, None]
    for time in range(horizon):
        if time and out_of_time():
            states = states[: time + 1]
            break
        if proposals is not None:
            policy, offsets = proposals
            first = candidates - offsets.shape[1]
            proposed = policy(states[time, :, first:]) + offsets[:, :, time]
            actions[:, first:, time] = proposed.clamp(-1.0, 1.0)
        carry, states[time + 1] = step(carry, states[time], actions[:, :, time])
    return Rollouts(states.permute(1, 2, 0, 3), carry)


def make_proposals(problem: Problem, noise: Tensor, share: float) -> Proposals | None:
    """Return what a policy, if any, proposes: a share of K candidates, the first without noise.

    noise: [B, K, H, A] of all candidates.
    """
    count = round(share * noise.shape[1])
    if problem.policy is None or not count:
        return None
    offsets = noise[:, -count:].clone()
    offsets[:, 0] = 0.0
    return Proposals(problem.policy, offsets)


def rollout_returns(
    problem: Problem, states: Tensor, actions: Tensor, carry: Carry = None
) -> Tensor:
    """Return the undiscounted return [B, K]; minus infinity where anything was not finite.

    Of the actions [B, K, H, A] those count that states [B, K, h+1, S] were imagined for, h <= H;
    the last of these is worth what the problem's value says, and what the model remembers then
    (carry) costs what its penalty says. A huge finite stand-in would rank as
    near-best wherever rewards are more negative still.
    """
    actions = actions[:, :, : states.shape[2] - 1]
    returns = problem.reward(states[:, :, :-1], actions, states[:, :, 1:]).sum(-1)
    if problem.value is not None:
        returns = returns + problem.value(states[:, :, -1])
    if problem.penalty is not None:
        returns = returns - problem.penalty(carry)
    # A sum is finite only if all of its terms are, and takes a tenth of the time to test them.
    finite = returns.isfinite() & states.sum((-2, -1)).isfinite()
    return torch.where(finite, returns, -torch.inf)


def make_plan(actions: Tensor, candidates: Tensor, returns: Tensor) -> Plan:
    """Pack a Plan; rows without a finite rollout become invalid, with zero actions."""
    finite = returns.isfinite()
    valid = finite.any(1) & actions.isfinite().all(-1).all(-1)
    return Plan(
        actions=torch.where(valid[:, None, None], actions, 0.0),
        expected_return=returns.max(1).values,
        candidates=candidates,
        returns=returns,
        nonfinite=(~finite).sum(1),
        valid=valid,
    )


def keep_behind(imagined: int, fitted: Tensor, mean: Tensor) -> Tensor:
    """Return actions [B, H, A]: fitted where states were imagined for, the mean of before behind.

    Behind the last step that was imagined, no candidate is better than another: what they come to
    there is noise.
    """
    return torch.cat([fitted[:, :imagined], mean[:, imagined:]], 1)


def next_mean(actions: Tensor) -> Tensor:
    """Return a warm start [B, H, A]: the plan a step later, its last action repeated."""
    return torch.cat([actions[:, 1:], actions[:, -1:]], 1)


def best_candidate(candidates: Tensor, returns: Tensor) -> Tensor:
    """Return the actions [B, H, A] of the candidate with the highest return."""
    best = returns.argmax(1)
    return candidates[torch.arange(len(best), device=best.device), best]
