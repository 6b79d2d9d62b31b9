# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Imagined rollouts, their returns, and what happens to those that are not finite."""

import pytest
import torch

from mbmrl_ros.planners.rollout import (
    best_candidate,
    imagine,
    make_plan,
    make_proposals,
    rollout_returns,
)
from mbmrl_ros.types import Problem, Root

BATCH, CANDIDATES, HORIZON = 2, 4, 5


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def sum_of_actions(carry, state, action):
    return carry, state + action


def returns_of(reward, states, actions):
    return rollout_returns(Problem(sum_of_actions, reward), states, actions)


def test_states_follow_the_model_and_begin_with_the_start():
    state, actions = draw(BATCH, 3), draw(BATCH, CANDIDATES, HORIZON, 3)
    states = imagine(sum_of_actions, Root(None, state), actions)
    assert states.shape == (BATCH, CANDIDATES, HORIZON + 1, 3)
    expected = state[:, None, None] + actions.cumsum(2)
    assert torch.equal(states[:, :, 0], state[:, None].expand(-1, CANDIDATES, -1))
    torch.testing.assert_close(states[:, :, 1:], expected)


def test_what_the_model_remembers_is_handed_on():
    def counting(carry, state, action):
        return carry + 1, state * 0 + carry

    states = imagine(counting, Root(10, draw(1, 1)), draw(1, 2, 3, 1))
    assert states[0, :, 1:, 0].tolist() == [[10, 11, 12]] * 2


def test_the_return_is_the_undiscounted_sum_over_state_action_and_next_state():
    state, actions = draw(BATCH, 3), draw(BATCH, CANDIDATES, HORIZON, 3)
    states = imagine(sum_of_actions, Root(None, state), actions)
    returns = returns_of(lambda s, a, n: (n - s - 2 * a).sum(-1), states, actions)
    # n - s = a, so that every step brings minus the sum of its actions.
    torch.testing.assert_close(returns, -actions.sum((2, 3)))


@pytest.mark.parametrize('value', [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize('time', [1, 3, HORIZON])
def test_a_state_that_is_not_finite_costs_everything_even_if_the_reward_does_not_see_it(
    value, time
):
    states, actions = torch.zeros(BATCH, CANDIDATES, HORIZON + 1, 3), draw(BATCH, CANDIDATES, 5, 1)
    states[1, 2, time, 1] = value
    returns = returns_of(lambda s, a, n: a.sum(-1), states, actions)
    expected = actions.sum((2, 3))
    expected[1, 2] = -torch.inf
    torch.testing.assert_close(returns, expected)


@pytest.mark.parametrize('value', [torch.nan, torch.inf, -torch.inf, 3e38])
def test_a_return_that_is_not_finite_costs_everything_even_if_every_reward_is(value):
    # 3e38 is finite in float32 and the sum of two is not.
    def reward(state, action, next_state):
        return torch.where(action[..., 0] > 0, value, -1.0)

    actions = -torch.ones(1, 3, 2, 1)
    actions[0, 1] = 1.0
    returns = returns_of(reward, torch.zeros(1, 3, 3, 1), actions)
    assert returns.tolist() == [[-2.0, -torch.inf, -2.0]]


def test_a_plan_counts_rollouts_that_were_not_finite():
    returns = torch.tensor([[1.0, -torch.inf, 3.0, -torch.inf], [0.0, 1.0, 2.0, 3.0]])
    plan = make_plan(torch.ones(2, 5, 1), draw(2, 4, 5, 1), returns)
    assert plan.nonfinite.tolist() == [2, 0]
    assert plan.expected_return.tolist() == [3.0, 3.0]
    assert plan.valid.all()


def test_without_a_finite_rollout_there_is_no_plan():
    returns = torch.tensor([[-torch.inf] * 4, [0.0, 1.0, 2.0, 3.0]])
    plan = make_plan(torch.ones(2, 5, 1), draw(2, 4, 5, 1), returns)
    assert plan.valid.tolist() == [False, True]
    assert plan.nonfinite.tolist() == [4, 0]
    assert not plan.actions[0].any()
    assert plan.actions[1].all()


def test_actions_that_are_not_finite_are_no_plan():
    actions = torch.ones(2, 5, 1)
    actions[0, 3] = torch.nan
    plan = make_plan(actions, draw(2, 4, 5, 1), torch.zeros(2, 4))
    assert plan.valid.tolist() == [False, True]
    assert plan.actions.isfinite().all()


def test_the_best_candidate_is_the_one_with_the_highest_return_of_its_row():
    candidates = draw(2, 4, 5, 1)
    returns = torch.tensor([[0.0, 5.0, -torch.inf, 1.0], [-3.0, -4.0, -2.0, -torch.inf]])
    best = best_candidate(candidates, returns)
    assert torch.equal(best, torch.stack([candidates[0, 1], candidates[1, 2]]))


def late_after(checks: int):
    """Return what says that time is up from the so-manieth time on that it is asked."""
    asked = iter(range(checks))
    return lambda: next(asked, None) is None


@pytest.mark.parametrize('steps', [1, 2, 4])
def test_when_time_is_up_the_steps_that_were_imagined_are_compared(steps):
    state, actions = draw(BATCH, 3), draw(BATCH, CANDIDATES, HORIZON, 3)
    # Asked before every step but the first, of which there is always one.
    cut = imagine(sum_of_actions, Root(None, state), actions, out_of_time=late_after(steps - 1))
    whole = imagine(sum_of_actions, Root(None, state), actions[:, :, :steps])
    assert torch.equal(cut, whole)

    def reward(state, action, next_state):
        return (state * action - next_state).sum(-1)

    assert torch.equal(
        returns_of(reward, cut, actions),
        returns_of(reward, whole, actions[:, :, :steps]),
    )


def nothing(state, action, next_state):
    return torch.zeros(state.shape[:-1])


def test_the_state_that_a_plan_ends_in_is_worth_its_value():
    states, actions = draw(BATCH, CANDIDATES, HORIZON + 1, 3), draw(BATCH, CANDIDATES, HORIZON, 1)
    problem = Problem(sum_of_actions, nothing, value=lambda state: state[..., 0])
    assert torch.equal(rollout_returns(problem, states, actions), states[:, :, -1, 0])
    # Of a plan that was cut, the last state that was imagined.
    cut = rollout_returns(problem, states[:, :, :3], actions)
    assert torch.equal(cut, states[:, :, 2, 0])


def test_a_value_that_is_not_finite_costs_everything():
    states, actions = torch.zeros(1, 2, 2, 1), torch.zeros(1, 2, 1, 1)
    states[0, 1, -1] = 1.0
    problem = Problem(sum_of_actions, nothing, value=lambda state: 1 / (1 - state[..., 0]))
    assert rollout_returns(problem, states, actions).tolist() == [[1.0, -torch.inf]]


def test_the_last_candidates_are_what_the_policy_does_where_it_comes_to():
    # s' = s + a with a = -s / 2 halves the state at every step: 1, 1/2, 1/4 ...
    problem = Problem(sum_of_actions, nothing, policy=lambda state: -state / 2)
    actions = torch.zeros(1, 4, 3, 1)
    proposals = make_proposals(problem, torch.full((1, 4, 3, 1), 0.125), share=0.5)
    states = imagine(sum_of_actions, Root(None, torch.ones(1, 1)), actions, proposals)
    assert states[0, :2, :, 0].tolist() == [[1.0] * 4] * 2
    assert states[0, 2, :, 0].tolist() == [1.0, 0.5, 0.25, 0.125]
    # The other one has an eighth added: 1/2 + 1/8, 5/16 + 1/8, 7/32 + 1/8.
    assert states[0, 3, :, 0].tolist() == [1.0, 0.625, 0.4375, 0.34375]
    # What was done is what is reported, and what a plan is averaged from.
    assert actions[0, 2, :, 0].tolist() == [-0.5, -0.25, -0.125]


def test_what_a_policy_proposes_is_within_the_limits():
    problem = Problem(sum_of_actions, nothing, policy=lambda state: 3 + 0 * state)
    actions = torch.zeros(1, 2, 2, 1)
    proposals = make_proposals(problem, torch.zeros(1, 2, 2, 1), share=0.5)
    imagine(sum_of_actions, Root(None, torch.zeros(1, 1)), actions, proposals)
    assert actions[0, :, :, 0].tolist() == [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize('share, policy', [(0.5, None), (0.0, torch.zeros_like)])
def test_without_a_policy_or_a_share_nothing_is_proposed(share, policy):
    problem = Problem(sum_of_actions, nothing, policy=policy)
    assert make_proposals(problem, torch.zeros(1, 4, 2, 1), share) is None
