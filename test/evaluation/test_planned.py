# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plans in the models of a search: what they are made with, and that they drive robots."""

import dataclasses

import pytest
import torch
from small_actor import HIDDEN, drawn_critics, steady_policy

from mbmrl_ros.bundles.actor import Actor, ActorInfo, make_actor
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.evaluation.planned import Searched, planned
from mbmrl_ros.models.ensemble import Ensemble, EnsembleDynamics
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.networks.critic import Critic
from mbmrl_ros.planners.mppi import MPPI, MPPIConfig
from mbmrl_ros.policies.squashed import SquashedPolicy
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.search.loop import returns_of
from mbmrl_ros.training.search.recorded_env import RecordedEnv

POINT = load_meta_task('point/origin')
REACH = 0.1
HOPPER = load_meta_task('hopper/thesis')


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def moved_by(*sizes: float) -> Ensemble:
    """Members by whom an action moves a point so far each."""
    dynamics = EnsembleDynamics(len(sizes), 2, 2, (0, 1), (), Normalizer.identity(2))
    weights = torch.zeros(len(sizes), 2, 4)
    weights[:, 0, 2] = weights[:, 1, 3] = torch.tensor(sizes)
    return Ensemble(dynamics, {'weight0': weights, 'bias0': torch.zeros(len(sizes), 2)})


def actor_of_points(weight: float = 1.0) -> Actor:
    policy, critic = SquashedPolicy(2, 2, HIDDEN), Critic(2, 2, HIDDEN)
    tensors = {f'actor/{k}': v for k, v in policy.init(seeded()).items()}
    tensors |= {f'critic/{k}': v for k, v in critic.init(seeded(1)).items()}
    info = ActorInfo(
        algorithm='maac', task=POINT.name, hidden_sizes=HIDDEN, critics=2, value_weight=weight
    )
    return Actor(info, torch.tensor([0, 1]), 2, tensors)


def test_what_a_plan_is_made_with_is_of_the_search():
    actor = actor_of_points(0.5)
    problem = Searched(moved_by(0.05, 0.15), actor).problem(POINT)
    state = torch.randn(3, 4, 2, generator=seeded(2))
    action = torch.rand(3, 4, 2, generator=seeded(3)) * 2 - 1
    carry, reached = problem.step(None, state, action)
    assert carry is None
    torch.testing.assert_close(reached, state + 0.1 * action)
    none = state.new_zeros(0)
    expected = POINT.reward(state, action, reached, none)
    torch.testing.assert_close(problem.reward(state, action, reached), expected)
    torch.testing.assert_close(problem.value(state), actor.value(state))
    torch.testing.assert_close(problem.policy(state), actor.propose(state))
    assert Searched(moved_by(0.1), actor_of_points(0.0)).problem(POINT).value is None


def test_nothing_is_earned_after_an_end_and_nothing_leaves_it():
    spec = load_robot(HOPPER.robot)
    size = spec.state_size
    dynamics = EnsembleDynamics(
        2, size, spec.action_size, spec.input_indices, (), Normalizer.identity(size)
    )
    params = dynamics.init(seeded())
    policy = steady_policy(spec, HOPPER.name)
    actor = make_actor(policy, drawn_critics(spec), spec.input_indices)
    problem = Searched(Ensemble(dynamics, params), actor).problem(HOPPER)
    standing = torch.zeros(1, 2, size)
    standing[..., spec.channel_index('z')] = 1.25
    standing[0, 1, spec.channel_index('z')] = 0.1
    assert HOPPER.done(standing).tolist() == [[False, True]]
    action = torch.full((1, 2, spec.action_size), 0.3)
    _, reached = problem.step(None, standing, action)
    earned = problem.reward(standing, action, reached)
    worth = problem.value(standing)
    assert torch.equal(reached[0, 1], standing[0, 1])
    assert not torch.equal(reached[0, 0], standing[0, 0])
    assert earned[0, 1] == worth[0, 1] == 0.0
    assert earned[0, 0] != 0.0 and worth[0, 0] != 0.0


@pytest.mark.parametrize('scale', [1.0, 4.0])
def test_plans_in_the_right_model_bring_points_home(scale):
    task = dataclasses.replace(POINT, action_scale=scale)
    env = RecordedEnv(task, 3, 1)
    searched = Searched(moved_by(REACH, REACH), actor_of_points(0.0))
    planner = MPPI(MPPIConfig(candidates=64, horizon=3), 2)
    trajectories = env.roll_out(planned(searched, planner, env, seeded(1)), seeded())
    assert [one.steps for one in trajectories] == [POINT.horizon] * 3
    ends = torch.stack([one.states[-1] for one in trajectories])
    starts = torch.stack([one.states[0] for one in trajectories])
    # As far as 30 steps of at most REACH along each axis go.
    left = (starts.abs() - 30 * REACH).clamp(min=0.0)
    assert (ends.abs() - left < 0.1).all()
    assert returns_of(task, trajectories).isfinite().all()
