# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Robots to which something happens, as a task of policies."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.meta_task import bind
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.envs.task_env import MetaTaskEnv, SamplingConfig
from mbmrl_ros.envs.tasks import HELD_OUT, TASKS

TASK = 'half_cheetah/disabled_joint_20hz'
NO_GOAL = torch.zeros(1, 0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def push(env, joint, steps=4):
    """Return how fast the joints are after a push of one of them [R, 6]."""
    actions = torch.zeros(1, env.rollouts, 6)
    actions[..., joint] = 1.0
    for _ in range(steps):
        env.step(actions)
    return env.states[:, -6:]


@pytest.fixture
def robots():
    envs = []

    def make(test='', rollouts=1, task=None):
        task = task or load_meta_task(TASK, test=test)
        envs.append(MetaTaskEnv(task, 1, rollouts, SamplingConfig(action_scale=1.0), threads=1))
        return envs[-1]

    yield make
    for env in envs:
        env.close()


def test_in_a_test_happens_what_the_test_says(robots):
    whole, broken, breaking = (robots(name) for name in ('undisturbed', 'held_out', 'mid_run'))
    for env in (whole, broken, breaking):
        env.reset(NO_GOAL, seeded())
    assert torch.equal(whole.states, broken.states), 'they start alike'
    moved, still, before = (push(env, joint=0) for env in (whole, broken, breaking))
    assert HELD_OUT.target == 'bthigh'
    assert torch.equal(moved, before), 'it breaks after a third of 200 steps'
    assert abs(float(still[0, 0])) < 0.5 * abs(float(moved[0, 0]))
    for env in (whole, breaking):
        push(env, joint=1, steps=66 - 4)
    assert torch.equal(whole.states, breaking.states)
    assert not torch.equal(push(whole, joint=0), push(breaking, joint=0))


def test_each_robot_and_each_episode_has_its_own_schedule(robots):
    env, generator = robots(rollouts=16), seeded()
    seen = []
    for _ in range(2):
        env.reset(NO_GOAL, generator)
        push(env, joint=3)
        rows = env.system._robots
        seen.append([rows.disturbances(row) for row in range(16)])
    # The held-out joint never fails; of the others each does sooner or later.
    joints = {each.target for rows in seen for row in rows for each in row}
    assert HELD_OUT.target not in joints and len(joints) > 2
    assert seen[0] != seen[1] and len(set(seen[0])) > 2
    env.reset(NO_GOAL, seeded())
    push(env, joint=3)
    assert [env.system._robots.disturbances(row) for row in range(16)] == seen[0]


def test_who_breaks_stays_where_it_was_and_leaves_the_others_alone(robots):
    env = robots('undisturbed', rollouts=2)
    env.reset(NO_GOAL, seeded())
    before = env.states.clone()
    actions = torch.zeros(1, 2, 6)
    actions[0, 0, 2] = torch.nan
    _, rewards, done = env.step(actions)
    assert done.tolist() == [[True, False]]
    assert torch.isnan(rewards[0, 0]) and torch.isfinite(rewards[0, 1])
    assert torch.equal(env.states[0], before[0]) and not torch.equal(env.states[1], before[1])
    _, rewards, _ = env.step(torch.zeros(1, 2, 6))
    assert float(rewards[0, 0]) == 0.0 and torch.equal(env.states[0], before[0])
    assert env.system.physics_s > 0


def test_its_physics_are_those_of_one_without_disturbances(robots):
    task = TASKS[TASK]
    whole = robots(task=bind(replace(task, disturbances=())))
    under = robots('undisturbed')
    start = seeded(3)
    for env in (whole, under):
        env.reset(NO_GOAL, start)
    # The two draw their starts differently: one is put where the other is.
    world = under.system._robots._world
    world._states[:], world._signals = whole.system.physics, None
    rng = np.random.default_rng(0)
    for _ in range(5):
        actions = torch.from_numpy(rng.uniform(-1, 1, (1, 1, 6)))
        expected, got = (env.step(actions) for env in (whole, under))
        torch.testing.assert_close(got[0], expected[0], rtol=1e-4, atol=1e-4)


def test_tests_and_goals_that_cannot_be_are_refused():
    task = TASKS[TASK]
    with pytest.raises(UserError, match="no test 'midrun'; did you mean 'mid_run'"):
        load_meta_task(TASK, test='midrun')
    with pytest.raises(UserError, match='point/origin has no tests, got'):
        load_meta_task('point/origin', test='mid_run')
    both = replace(task, goals=load_meta_task('half_cheetah/velocity').goals)
    with pytest.raises(UserError, match='has goals and disturbances that come and go'):
        bind(both)
