# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.passive_env_checker import env_render_passive_checker
from opengl import needs_opengl

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.gym import TaskEnv, environment_id
from mbmrl_ros.envs.tasks import TASKS
from mbmrl_ros.rewards.reward import build_reward


@pytest.mark.parametrize('name', TASKS)
@pytest.mark.filterwarnings('ignore:.*A Box observation space m..imum value is -?infinity')
def test_every_task_is_an_environment_of_gymnasium(name):
    env = gymnasium.make(environment_id(name))
    check_env(env.unwrapped, skip_render_check=True)
    assert env.spec.max_episode_steps == TASKS[name].episode_steps
    env.close()


def test_gymnasium_finds_a_task_by_the_module_before_its_name():
    env = gymnasium.make('mbmrl_ros.envs.gym:mbmrl/ant-crippled_leg-v0', setting='held_out')
    _, info = env.reset(seed=0)
    assert info['disturbances'] == ['crippled_leg:back_right']
    env.close()


@pytest.mark.parametrize('name', ['half_cheetah/pier', 'millirobot/path'])
def test_rewards_are_those_of_the_planner_for_what_is_observed(name):
    env = TaskEnv(name, setting='mid_run')
    reward = build_reward(env.robot, env.task.reward)
    env.action_space.seed(0)
    state, _ = env.reset(seed=0)
    for _ in range(10):
        action = 1.5 * env.action_space.sample()
        before, (state, given, terminated, truncated, info) = state, env.step(action)
        clipped = torch.from_numpy(action.clip(-1, 1))
        assert given == float(reward(torch.from_numpy(before), clipped, torch.from_numpy(state)))
        assert given == pytest.approx(sum(info['reward_terms'].values()), rel=1e-5)
        assert not terminated and not truncated
    env.close()


def test_a_mid_run_failure_comes_at_its_step_and_not_before():
    env = TaskEnv('half_cheetah/disabled_joint')
    env.reset(seed=0, options={'setting': 'mid_run'})
    action = np.ones(6, np.float32)
    said = [env.step(action)[4]['disturbances'] for _ in range(335)]
    # A third of 1000 steps: the command of step 333 is the first that bthigh does not get.
    assert said[:333] == [[]] * 333 and said[333:] == [['disabled_joint:bthigh']] * 2
    env.close()


def test_training_draws_another_disturbance_at_every_reset():
    env = TaskEnv('half_cheetah/slopes')
    drawn = {str(env.reset()[1]['disturbances']) for _ in range(30)}
    # Twelve ramps: fewer than five different ones in 30 draws has a probability of 1e-8.
    assert len(drawn) > 4
    env.close()


def test_inputs_only_leaves_out_where_on_the_floor_the_robot_is():
    whole, inputs = (
        TaskEnv('half_cheetah/slopes'),
        TaskEnv('half_cheetah/slopes', inputs_only=True),
    )
    states, seen = (env.reset(seed=0)[0] for env in (whole, inputs))
    left = [channel.name for channel in whole.robot.state if channel.input]
    assert inputs.observation_space.shape == (len(left),) and 'x' not in left
    assert np.array_equal(seen, states[list(whole.robot.input_indices)])


def test_unknown_settings_are_answered_with_the_valid_ones():
    with pytest.raises(UserError, match="no test 'hil'; did you mean 'hill'"):
        TaskEnv('half_cheetah/slopes', setting='hil')
    with pytest.raises(UserError, match='did you mean'):
        TaskEnv('half_cheetah/slope')


def test_the_step_that_ends_an_episode_earns_nothing_and_no_step_after_it():
    env = TaskEnv('ant/crippled_leg')
    env.reset(seed=0)
    sound = env.step(np.zeros(env.action_space.shape, np.float32))
    assert sound[1] != 0 and not sound[2]
    env._one._world.healthy = False
    for _ in range(2):
        _, reward, terminated, truncated, info = env.step(np.zeros(8, np.float32))
        assert (reward, terminated, truncated) == (0.0, True, False)
        assert set(info['reward_terms'].values()) == {0.0}
    env.close()


@needs_opengl
def test_pictures_show_robot_task_and_plan():
    env = gymnasium.make(
        environment_id('millirobot/right'), setting='mid_run', render_mode='rgb_array'
    )
    state, _ = env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (360, 480, 3) and picture.dtype == np.uint8
    plan = np.tile(state, (5, 1))
    plan[:, 0] += np.linspace(0.0, 0.2, 5)
    env.unwrapped.plan = plan
    planned = env.render()
    blue = planned[..., 2].astype(int) - planned[..., 0]
    assert (blue > 120).sum() > 50 and not (np.ptp(picture, axis=-1) > 120).any()
    env.reset(seed=0)
    assert env.unwrapped.plan is None, 'a plan is of one episode'
    env.close()
    with pytest.raises(UserError, match='closed'):
        env.unwrapped.render()


@needs_opengl
def test_gymnasium_finds_nothing_wrong_with_the_pictures():
    env = gymnasium.make(environment_id('ant/crippled_leg'), render_mode='rgb_array')
    env.reset(seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        env_render_passive_checker(env.unwrapped)
    # Twenty milliseconds per step.
    assert env.metadata['render_fps'] == 50
    env.close()


def test_a_mode_that_there_is_not_is_answered_with_the_valid_ones():
    with pytest.raises(UserError, match=r"unknown render_mode 'rgb'; .*valid: human, rgb_array"):
        TaskEnv('half_cheetah/slopes', render_mode='rgb')


def test_without_a_display_a_window_is_refused_in_one_line(monkeypatch):
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    with pytest.raises(UserError, match=r"there is no display .*render_mode='rgb_array'"):
        TaskEnv('half_cheetah/slopes', render_mode='human')
