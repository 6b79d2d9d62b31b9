# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Proposals of a policy and values of critics reach the plan: a linear system, by Riccati."""

import pytest
import torch

from mbmrl_ros.adaptation.adapter import NoAdaptation
from mbmrl_ros.planners.cem import CEM, CEMConfig
from mbmrl_ros.planners.mppi import MPPI, MPPIConfig
from mbmrl_ros.robot.adaptive_mpc import AdaptiveModel, AdaptiveMPC
from mbmrl_ros.types import Planner, Transitions

# x' = x + B u, reward -(x'^2 + u^2). What comes after x is worth -P x^2, by P = Q / (1 + B^2 Q)
# with Q = 1 + P: P^2 + P = 1 / B^2. The best action is -B Q / (1 + B^2 Q) x.
B = 0.5
P = ((1 + 4 / B**2) ** 0.5 - 1) / 2
GAIN = B * (1 + P) / (1 + B**2 * (1 + P))
GREEDY = B / (1 + B**2)
X = 0.8


class Linear:
    def step(self, params, carry, state, action):
        return carry, state + B * action

    def loss(self, params, transitions, records=None):
        return torch.zeros(len(transitions.states))

    def planning_step(self, params, reuse=None):
        return lambda carry, state, action: self.step(params, carry, state, action)


def reward(state, action, next_state):
    return -(next_state.square() + action.square()).sum(-1)


def value(state):
    return -P * state[..., 0].square()


def policy(state):
    return -GAIN * state


def first_action(planner: Planner, **parts) -> float:
    dynamics = Linear()
    model = AdaptiveModel(dynamics, NoAdaptation(dynamics.loss, {}), 1, **parts)
    mpc = AdaptiveMPC(model, planner, reward, torch.Generator().manual_seed(0))
    zeros = torch.zeros(1, 1, 1)
    window = Transitions(zeros, zeros, zeros)
    decision = mpc.act(window, torch.tensor([False]), torch.full((1, 1), X))
    return float(decision.action)


def cem(horizon: int) -> CEM:
    config = CEMConfig(candidates=2000, horizon=horizon, iterations=12, elites=100, min_std=1e-3)
    return CEM(config, 1)


def test_one_step_with_the_right_value_is_the_long_plan():
    assert first_action(cem(1), value=value) == pytest.approx(-GAIN * X, abs=0.01)
    assert first_action(cem(10)) == pytest.approx(-GAIN * X, abs=0.03)
    assert first_action(cem(1)) == pytest.approx(-GREEDY * X, abs=0.01)
    assert (GAIN - GREEDY) * X > 0.25, 'else there is nothing to see'


def test_what_the_right_policy_proposes_is_the_plan_where_hardly_anything_else_is_tried():
    few = MPPI(MPPIConfig(candidates=8, horizon=10, temperature=1e-3), 1)
    assert first_action(few, policy=policy) == pytest.approx(-GAIN * X, abs=0.01)
    assert abs(first_action(few) + GAIN * X) > 0.05
    none = MPPI(MPPIConfig(candidates=8, horizon=10, temperature=1e-3, policy_share=0.0), 1)
    assert first_action(none, policy=policy) == first_action(few)
