# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import gymnasium
import numpy as np
import pytest
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.gym import TaskEnv, environment_id
from mbmrl_ros.envs.vector import VectorTaskEnv
from mbmrl_ros.rewards.reward import build_reward

TASK = 'half_cheetah/disabled_joint'


def actions(env, seed=0):
    size = env.action_space.shape
    return np.random.default_rng(seed).uniform(-1.2, 1.2, size).astype(np.float32)


@pytest.mark.parametrize('name', [TASK, 'millirobot/path', 'pr2_left_arm/reach'])
def test_shapes_and_rewards_are_those_of_the_task(name):
    env = VectorTaskEnv(name, num_envs=3, threads=1)
    states, _ = env.reset(seed=0)
    assert states in env.observation_space and len(np.unique(states, axis=0)) == 3
    moved, reward, terminated, truncated, info = env.step(actions(env))
    assert moved in env.observation_space
    applied = torch.from_numpy(actions(env).clip(-1, 1))
    wanted = build_reward(env.robot, env.task.reward)(
        torch.from_numpy(states), applied, torch.from_numpy(moved)
    )
    assert np.allclose(reward, wanted) and not (terminated | truncated).any()
    assert np.allclose(reward, sum(info['reward_terms'].values()), rtol=1e-5)
    env.close()


def test_one_robot_does_what_a_single_environment_does():
    single, vector = TaskEnv(TASK, setting='mid_run'), VectorTaskEnv(TASK, setting='mid_run')
    state, _ = single.reset(seed=3)
    states, _ = vector.reset(seed=3)
    assert np.array_equal(states[0], state)
    for step in range(340):
        action = actions(vector, step)
        state, reward, *_ = single.step(action[0])
        states, rewards, *_ = vector.step(action)
        assert np.array_equal(states[0], state) and rewards[0] == pytest.approx(reward)
    assert str(*vector._robots.disturbances(0)) == 'disabled_joint:bthigh'
    vector.close()


def test_gymnasium_makes_it_and_episodes_follow_each_other():
    env = gymnasium.make_vec(
        environment_id(TASK), num_envs=2, vectorization_mode='vector_entry_point',
        max_episode_steps=5,
    )  # fmt: skip
    env.reset(seed=0)
    for episode in range(2):
        for _ in range(4):
            states, _, _, truncated, info = env.step(actions(env))
            assert not truncated.any() and 'final_obs' not in info
        before = states
        states, _, terminated, truncated, info = env.step(actions(env))
        assert truncated.all() and not terminated.any() and info['_final_obs'].all()
        # A period of 10 ms moves a torso by millimetres; a new start is somewhere else.
        assert np.abs(info['final_obs'][:, 0] - before[:, 0]).max() < 0.1
        assert np.abs(states[:, 0]).max() < 0.1, episode
    env.close()


@pytest.mark.parametrize('name', [TASK, 'millirobot/path'])
def test_a_robot_whose_physics_end_starts_again_alone(name):
    env, other = (VectorTaskEnv(name, num_envs=3, threads=1) for _ in range(2))
    for each in (env, other):
        each.reset(seed=0)
        each.step(actions(each))
    env._robots._world.healthy[1] = False
    states, reward, terminated, truncated, info = env.step(actions(env, 1))
    undisturbed, *_ = other.step(actions(env, 1))
    assert terminated.tolist() == [False, True, False] and not truncated.any()
    assert reward[1] == 0.0 and info['_final_obs'].tolist() == terminated.tolist()
    assert np.allclose(states[[0, 2]], undisturbed[[0, 2]])
    assert not np.allclose(states[1], info['final_obs'][1])
    assert env._elapsed.tolist() == [2, 0, 2]
    following, _, terminated, *_ = env.step(actions(env, 2))
    assert np.isfinite(following).all() and not terminated.any()
    for each in (env, other):
        each.close()


def test_the_same_seed_gives_the_same_and_each_robot_its_own_disturbances():
    env = VectorTaskEnv('half_cheetah/slopes', num_envs=20, threads=1)
    first, second = (env.reset(seed=1)[0] for _ in range(2))
    assert np.array_equal(first, second)
    drawn = {str(env._robots.disturbances(row)) for row in range(20)}
    # Twelve ramps: fewer than four different ones in 20 draws has a probability of 1e-8.
    assert len(drawn) > 3
    env.close()


def test_what_cannot_be_is_refused():
    with pytest.raises(UserError, match='at least 1, got 0'):
        VectorTaskEnv(TASK, num_envs=0)
    with pytest.raises(UserError, match='did you mean'):
        VectorTaskEnv('half_cheetah/slopes', setting='hil')


def test_an_episode_ends_where_the_task_says_so():
    env = VectorTaskEnv(TASK, num_envs=2, threads=1)
    env._done = lambda states: torch.tensor([True, False])
    env.reset(seed=0)
    _, reward, terminated, *_ = env.step(actions(env))
    assert terminated.tolist() == [True, False] and (reward != 0).all()
    env.close()
