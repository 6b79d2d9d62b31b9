# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks without goals: gymnasium's own steps, rewards and ends; the other sources by hand."""

import warnings

import gymnasium
import mujoco
import numpy as np
import pytest
import torch

from mbmrl_ros.envs.learning_tasks import LEARNING_TASKS, ROBOTS
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.envs.task import Task
from mbmrl_ros.envs.task_env import MetaTaskEnv, SamplingConfig
from mbmrl_ros.spec.robot import load_robot

OURS = SamplingConfig(action_scale=1.0, whole_state=True)


def make_gymnasium(name: str) -> gymnasium.Env:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)
        env = gymnasium.make(name, max_episode_steps=10_000).unwrapped
    if name == 'Ant-v4':
        # It measures the place of its torso before the last physics step; here after it.
        simulate = env.do_simulation

        def up_to_date(action, steps):
            simulate(action, steps)
            mujoco.mj_kinematics(env.model, env.data)

        env.do_simulation = up_to_date
    return env


@pytest.mark.parametrize(
    ('name', 'theirs'),
    [
        ('swimmer', 'Swimmer-v4'),
        ('half_cheetah', 'HalfCheetah-v4'),
        ('hopper', 'Hopper-v4'),
        ('walker2d', 'Walker2d-v4'),
        ('ant', 'Ant-v4'),
    ],
)
def test_steps_rewards_and_ends_are_those_of_gymnasium(name, theirs):
    task, other = load_meta_task(f'{name}/gymnasium'), make_gymnasium(theirs)
    env = MetaTaskEnv(task, 1, 1, OURS, threads=1)
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    joints, ends, ended = load_robot(task.robot).action.joints, 0, True
    goals = torch.zeros(1, 0)
    env.reset(goals, generator)
    for step in range(120):
        if ended:
            env.reset(goals, generator)
            other.reset(seed=step)
        # From the same state, whatever rounding made of the last one.
        _, *state = env.system.physics[0]
        other.set_state(np.array(state[: other.model.nq]), np.array(state[other.model.nq :]))
        action = rng.uniform(-1, 1, env.action_size)
        # Their actuators are in another order in the model of the ant.
        driven = [other.model.joint(joint).name for joint in other.model.actuator_trnid[:, 0]]
        order = [joints.index(name) for name in driven]
        _, given, ended, *_ = other.step(action[order])
        _, reward, done = env.step(torch.from_numpy(action)[None, None])
        reached = np.concatenate([other.data.qpos, other.data.qvel])
        # A warm start of the solver is all that differs.
        assert env.system.physics[0, 1:] == pytest.approx(reached, abs=1e-4)
        assert float(reward) == pytest.approx(given, abs=1e-3)
        assert bool(done) == ended
        ends += ended
    assert (ends > 0) == (name in ('hopper', 'walker2d'))
    env.close()


@pytest.mark.parametrize('name', LEARNING_TASKS)
def test_reward_and_end_in_imagination_are_those_of_the_environment(name):
    task = load_meta_task(name)
    env = MetaTaskEnv(task, 1, 3, OURS, threads=1)
    generator = torch.Generator().manual_seed(0)
    before = env.reset(torch.zeros(1, 0), generator)
    states, actions, rewards, ends = [before], [], [], []
    for _ in range(10):
        actions.append(torch.rand(1, 3, env.action_size, generator=generator) * 2 - 1)
        state, reward, done = env.step(actions[-1])
        if done.any():
            break
        states.append(state)
        rewards.append(reward)
        ends.append(done)
    env.close()
    # All steps at once, in float32, with gradients as an actor asks for them.
    track, driven = torch.stack(states).requires_grad_(), torch.stack(actions[: len(rewards)])
    imagined = task.reward(track[:-1], driven, track[1:], torch.zeros(1, 0))
    torch.testing.assert_close(imagined, torch.stack(rewards), atol=2e-3, rtol=1e-4)
    assert torch.equal(task.done(track[1:]), torch.stack(ends)) and imagined.dtype == torch.float32
    (gradient,) = torch.autograd.grad(imagined.sum(), track)
    assert gradient.isfinite().all() and gradient.any()


@pytest.mark.parametrize(
    ('name', 'before', 'action', 'after', 'expected'),
    [
        # The tip is 1.5 m ahead: 1.5 (cos 0.1 - 1) and 0.02 m, in 0.04 s.
        ('swimmer/mbbl', {}, 0.5, {'x': 0.02, 'yaw': 0.1},
         0.5 + 1.5 * (np.cos(0.1) - 1) / 0.04 - 5e-5),
        ('swimmer/thesis', {}, 0.5, {'x': 0.02}, 0.5 - 0.0025),
        ('half_cheetah/thesis', {'x': 1.0}, 1.0, {'x': 1.1}, 2.0 - 0.6),
        # 0.3 m too low costs 0.27, and nothing is paid for standing.
        ('hopper/mbbl', {}, 1.0, {'x': 0.008, 'z': 1.0}, 1.0 - 0.3 - 0.27 + 1.0),
        ('hopper/mbbl', {}, 1.0, {'x': 0.008, 'z': 1.0, 'pitch': 0.3}, 1.0 - 0.3 - 0.27),
        ('walker2d/mbbl', {}, 0.0, {'x': 0.016, 'z': 0.3}, 2.0 - 3.0),
        ('ant/mbbl', {}, 0.5, {'x': 0.05, 'z': 0.57}, 1.0 - 0.2 + 1.0),
        ('ant/thesis', {}, 0.5, {'x': 0.05}, 1.0 - 0.01 + 0.05),
    ],
)  # fmt: skip
def test_rewards_of_the_other_sources_by_hand(name, before, action, after, expected):
    task = load_meta_task(name)
    spec = load_robot(task.robot)
    states = torch.zeros(2, spec.state_size, dtype=torch.float64)
    for row, channels in enumerate((before, after)):
        for channel, value in channels.items():
            states[row, spec.channel_index(channel)] = value
    actions = torch.full((spec.action_size,), action, dtype=torch.float64)
    reward = task.reward(states[0], actions, states[1], torch.zeros(0))
    assert float(reward) == pytest.approx(expected, abs=1e-9)


def test_the_point_and_the_arm():
    point, arm = load_meta_task('point/origin'), load_meta_task('pr2_left_arm/thesis')
    place = torch.tensor([3.0, -4.0])
    assert float(point.reward(place, place, place, torch.zeros(0))) == -25
    env = MetaTaskEnv(arm, 1, 1, OURS)
    env.reset(torch.zeros(1, 0), torch.Generator().manual_seed(0))
    # 29 cm off the pose with each of three points, give or take the noise of the start.
    reward = env.step(torch.zeros(1, 1, 7))[1]
    assert float(reward) == pytest.approx(-3 * 0.29**2, abs=0.15)
    env.close()


def test_what_mbbl_rewards_never_ends_and_every_robot_has_its_three_sources():
    assert all(set(variants) == {'gymnasium', 'mbbl', 'thesis'} for _, variants in ROBOTS.values())
    for name, task in LEARNING_TASKS.items():
        assert not task.goals.names
        if isinstance(task, Task) and name.endswith('mbbl'):
            assert task.done == {} and task.episode_steps == 1000
