# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Collecting: what is stored is what was applied, and windows are those the robot adapted to."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mbmrl_ros.adaptation.adapter import GradientAdapter
from mbmrl_ros.adaptation.gradient import uniform_step_sizes
from mbmrl_ros.data.windows import Windows
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.envs.robot_task import RobotTask
from mbmrl_ros.envs.tasks import DEAD_JOINTS, load_task
from mbmrl_ros.models.dynamics import build_dynamics
from mbmrl_ros.planners.mppi import MPPI, MPPIConfig
from mbmrl_ros.rewards.reward import build_reward, never_done
from mbmrl_ros.robot.adaptive_mpc import AdaptiveModel, AdaptiveMPC
from mbmrl_ros.robot.history import stack_windows
from mbmrl_ros.sim.disturbances import Event
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.dynamics.collect import (
    ActFn,
    EpisodePlan,
    Rollouts,
    collect,
    mpc_actions,
    random_actions,
)

TASK = load_task('half_cheetah/disabled_joint')
SPEC = load_robot(TASK.robot)
REWARD = build_reward(SPEC, TASK.reward)
PROBLEM = RobotTask(TASK, SPEC, REWARD)
ROBOTS, STEPS, PAST = 3, 20, 4
HEALTHY = ((),) * ROBOTS


@pytest.fixture(scope='module')
def env() -> RobotEnv:
    return RobotEnv(SPEC, ROBOTS)


def drive(
    env: RobotEnv, act: ActFn, schedules=HEALTHY, seed: int = 0, done=never_done, **keywords
) -> Rollouts:
    rng = np.random.default_rng(seed)
    return collect(
        env, replace(PROBLEM, done=done), act, EpisodePlan(schedules, STEPS, PAST), rng, **keywords
    )


def random(seed: int = 0) -> ActFn:
    return random_actions(SPEC, torch.Generator().manual_seed(seed), ROBOTS)


def always(value: float) -> ActFn:
    """Return what wants the same action all the time."""

    def act(histories, states):
        return torch.full((len(states), SPEC.action_size), value)

    return act


def test_trajectories_hold_every_step_and_rewards_are_theirs(env):
    rollouts = drive(env, random())
    assert len(rollouts.trajectories) == ROBOTS
    assert rollouts.rewards.shape == (STEPS, ROBOTS)
    for robot, trajectory in enumerate(rollouts.trajectories):
        assert trajectory.states.shape == (STEPS + 1, SPEC.state_size)
        assert trajectory.actions.shape == (STEPS, SPEC.action_size)
        assert trajectory.actions.abs().max() <= 1
        torch.testing.assert_close(rollouts.rewards[:, robot], REWARD(*trajectory.transitions()))


def test_equal_seeds_collect_equal_data_and_robots_start_apart(env):
    first, again, other = (drive(env, random(seed), seed=seed) for seed in (0, 0, 1))
    for one, two in zip(first.trajectories, again.trajectories):
        assert torch.equal(one.states, two.states)
    starts = [t.states[0] for t in (*first.trajectories, *other.trajectories)]
    assert len({tuple(start.tolist()) for start in starts}) == 2 * ROBOTS


def test_recorded_states_replay_under_the_recorded_actions(env):
    recorded = drive(env, random()).trajectories
    env.reset(np.random.default_rng(0), HEALTHY)
    for step in range(STEPS):
        states = env.step(torch.stack([t.actions[step] for t in recorded]))
        for robot, trajectory in enumerate(recorded):
            assert torch.equal(states[robot], trajectory.states[step + 1])


@pytest.mark.parametrize(
    ('wanted', 'applied'),
    # Beyond the limits an action is clipped; without a plan the fallback goes out, no torque.
    [(0.5, 0.5), (7.0, 1.0), (-7.0, -1.0), (float('nan'), 0.0), (float('inf'), 0.0)],
)
def test_what_is_stored_is_what_was_applied_not_what_was_wanted(env, wanted, applied):
    for trajectory in drive(env, always(wanted)).trajectories:
        expected = torch.full_like(trajectory.actions, applied)
        torch.testing.assert_close(trajectory.actions, expected, rtol=0, atol=1e-6)
        assert trajectory.states.isfinite().all()


def test_windows_in_the_data_are_those_that_were_adapted_to(env):
    seen = []
    act = random()

    def watching(histories, states):
        seen.append(stack_windows(histories))
        return act(histories, states)

    trajectories = drive(env, watching).trajectories
    for robot, trajectory in enumerate(trajectories):
        windows = Windows.of([trajectory], PAST, 1)
        for step, (window, attempted) in enumerate(seen):
            assert bool(attempted[robot]) == (step >= PAST)
            if step in windows.start_indices:
                past, _ = windows.at(torch.tensor([step]))
                for online, offline in zip(window, past):
                    assert torch.equal(online[robot], offline[0])


def test_the_planner_is_called_once_per_step_for_all_robots(env):
    dynamics = build_dynamics(SPEC, (16,))
    params = dynamics.init(torch.Generator().manual_seed(0))
    adapter = GradientAdapter(dynamics.loss, params, uniform_step_sizes(params, 0.01))
    planner = MPPI(MPPIConfig(candidates=8, horizon=3), SPEC.action_size)
    generator = torch.Generator().manual_seed(0)
    mpc = AdaptiveMPC(AdaptiveModel(dynamics, adapter, PAST), planner, REWARD, generator, ROBOTS)
    decisions = []
    rollouts = drive(env, mpc_actions(mpc, decisions.append))
    assert len(decisions) == STEPS
    for step, decision in enumerate(decisions):
        stored = torch.stack([t.actions[step] for t in rollouts.trajectories])
        torch.testing.assert_close(decision.action, stored, rtol=0, atol=1e-6)
        known = decision.adapted.accepted | decision.adapted.refused
        assert known.tolist() == [step >= PAST] * ROBOTS


def test_a_robot_without_a_plan_gets_the_fallback(env):
    class NoPlan:
        def act(self, window, attempted, state):
            valid = torch.tensor([True, False, True])
            action = torch.full((ROBOTS, SPEC.action_size), 0.5)
            return type('Decision', (), {'valid': valid, 'action': action})

    trajectories = drive(env, mpc_actions(NoPlan())).trajectories
    values = [float(trajectory.actions.mean()) for trajectory in trajectories]
    assert values == pytest.approx([0.5, 0.0, 0.5], abs=1e-6)


def test_steps_are_labelled_with_the_disturbance_that_was_on(env):
    first, second = DEAD_JOINTS[2], DEAD_JOINTS[4]
    schedules = (
        (),
        (Event(5, first),),
        (Event(0, second), Event(8, second, on=False), Event(12, first)),
    )
    labels = [t.disturbance.tolist() for t in drive(env, random(), schedules).trajectories]
    assert labels == [
        [-1] * 20,
        [-1] * 5 + [2] * 15,
        [4] * 8 + [-1] * 4 + [2] * 8,
    ]


def test_a_dead_joint_moves_the_robot_otherwise_from_its_step_on(env):
    schedules = ((), (Event(10, DEAD_JOINTS[1]),), ())
    broken = drive(env, random(), schedules).trajectories
    whole = drive(env, random()).trajectories
    assert torch.equal(broken[1].states[:11], whole[1].states[:11])
    assert not torch.equal(broken[1].states[11], whole[1].states[11])
    assert torch.equal(broken[0].states, whole[0].states)


@pytest.mark.parametrize('ends_after', [0, 7])
def test_a_robot_whose_physics_fail_ends_there(env, monkeypatch, ends_after):
    steps = []
    monkeypatch.setattr(
        RobotEnv,
        'healthy',
        property(lambda self: torch.tensor([True, len(steps) < ends_after, True])),
    )
    trajectories = drive(env, random(), on_step=lambda: steps.append(1)).trajectories
    assert [trajectory.steps for trajectory in trajectories] == [STEPS, ends_after, STEPS]
    assert trajectories[1].states.shape == (ends_after + 1, SPEC.state_size)
    assert len(trajectories[1].disturbance) == ends_after
    windows = Windows.of(trajectories, 6, 6)
    assert len(windows.start_indices) == 2 * (STEPS - 11), 'too short for a window'


@pytest.mark.parametrize('ends_after', [0, 7])
def test_a_robot_that_ended_earns_nothing_more_and_is_counted(env, monkeypatch, ends_after):
    steps, attempted = [], []
    monkeypatch.setattr(
        RobotEnv,
        'healthy',
        property(lambda self: torch.tensor([True, len(steps) < ends_after, True])),
    )

    def watching(histories, states):
        attempted.append(stack_windows(histories)[1])
        return torch.full((ROBOTS, SPEC.action_size), 0.3)

    # A reward that pays for standing still, and one that is no number where physics have failed.
    def reward(state, action, next_state):
        broken = torch.tensor([False, len(steps) >= ends_after + 3, False])
        return torch.where(broken, torch.nan, REWARD(state, action, next_state) + 1.0)

    rng = np.random.default_rng(0)
    problem = replace(PROBLEM, reward=reward)
    plan = EpisodePlan(HEALTHY, STEPS, PAST)
    rollouts = collect(env, problem, watching, plan, rng, lambda: steps.append(1))
    assert rollouts.ended_early == 1
    assert rollouts.rewards[ends_after:, 1].abs().max() == 0
    # One return for one rollout, in training (of trajectories) and in evaluation (of rewards).
    for robot, trajectory in enumerate(rollouts.trajectories):
        expected = (REWARD(*trajectory.transitions()) + 1.0).sum()
        torch.testing.assert_close(rollouts.rewards[:, robot].sum(), expected)
    # It has no window any more, so that nothing adapts to it, or refuses to.
    assert not torch.stack(attempted)[ends_after + 1 :, 1].any()
    assert torch.stack(attempted)[PAST:, 0].all()


def test_rollouts_that_were_cut_are_told_from_those_that_ended(env):
    cut = drive(env, random())
    assert cut.alive.shape == (STEPS, ROBOTS) and cut.alive.all()
    assert cut.ended.tolist() == [False] * ROBOTS
    # A state that the second robot comes to with its eighth step.
    last = cut.trajectories[1].states[8]
    ended = drive(env, random(), done=lambda states: (states == last).all(-1))
    assert ended.ended.tolist() == [False, True, False]
    # The step that ended it counts; after it the robot earns nothing.
    assert ended.alive[:, 1].tolist() == [step < 8 for step in range(STEPS)]
    assert ended.trajectories[1].steps == 8 and ended.ended_early == 1
    assert torch.equal(ended.rewards[:8, 1], cut.rewards[:8, 1])
    assert (ended.rewards[8:, 1] == 0).all()
    for robot in (0, 2):
        assert torch.equal(ended.trajectories[robot].states, cut.trajectories[robot].states)
        assert ended.alive[:, robot].all()


def test_every_step_is_reported(env):
    steps = []
    drive(env, random(), on_step=lambda: steps.append(1))
    assert len(steps) == STEPS
