# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rewards and ends of the robots' tasks: by hand, and against gymnasium where it has the same."""

import gymnasium
import numpy as np
import pytest
import torch

from mbmrl_ros.envs.locomotion_tasks import LOCOMOTION_TASKS
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.robot.state import encode
from mbmrl_ros.sim.readout import make_readout
from mbmrl_ros.sim.world import prepare_model
from mbmrl_ros.spec.robot import load_robot

ROBOT_OF = {task.name: task.robot for task in LOCOMOTION_TASKS}


def blank(name: str, **channels: float) -> torch.Tensor:
    """Return a state [S] of the task's robot with some channels set."""
    spec = load_robot(ROBOT_OF[name])
    state = torch.zeros(spec.state_size, dtype=torch.float64)
    for channel, value in channels.items():
        state[spec.channel_index(channel)] = value
    return state


def reward(name: str, before: dict, action: float, after: dict, *goal: float) -> float:
    task, spec = load_meta_task(name), load_robot(ROBOT_OF[name])
    actions = torch.full((spec.action_size,), action, dtype=torch.float64)
    goals = torch.tensor(goal, dtype=torch.float64)
    return float(task.reward(blank(name, **before), actions, blank(name, **after), goals))


@pytest.mark.parametrize(
    ('name', 'action', 'before', 'after', 'goal', 'expected'),
    [
        # 0.1 m in 0.05 s are 2 m/s; six actions of 0.5 are 1.5, of which 0.05.
        ('half_cheetah/forward_backward', 0.5, {'x': 1.0}, {'x': 1.1}, (1,), 2 - 0.075),
        ('half_cheetah/forward_backward', 0.5, {'x': 1.0}, {'x': 1.1}, (-1,), -2 - 0.075),
        ('half_cheetah/velocity', 0.0, {'x': 1.0}, {'x': 1.1}, (0.5,), -1.5),
        # Along (0.6, 0.8): 0.1 m and 0.05 m in 0.05 s; eight actions of 0.1 are 0.08, half of it.
        ('ant/direction', 0.1, {}, {'x': 0.1, 'y': 0.05}, (0.6, 0.8), 1.2 + 0.8 - 0.04 + 1),
        ('ant/goal', 0.1, {}, {'x': 1.0, 'y': 2.0}, (-1.0, 2.5), -2.5 - 0.008),
        # 0.015 m in 0.015 s along x, times 1.25; 17 actions of 0.5 are 4.25, times 0.016.
        ('humanoid/direction', 0.5, {}, {'x': 0.015}, (1, 0), 1.25 - 0.068 + 5),
        # 0.016 m in 0.016 s; six actions of 1.
        ('walker2d/direction', 1.0, {}, {'x': 0.016}, (-1,), -1 + 1 - 0.006),
        # 0.004 m in 0.04 s are 0.1 m/s.
        ('swimmer/velocity', 1.0, {}, {'x': 0.004}, (0.15,), -0.05 - 0.0002),
    ],
)
def test_rewards_are_what_their_formulas_give_by_hand(name, action, before, after, goal, expected):
    assert reward(name, before, action, after, *goal) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ('name', 'environment', 'options', 'goal'),
    [
        ('half_cheetah/forward_backward', 'HalfCheetah-v5', {'ctrl_cost_weight': 0.05}, [1.0]),
        ('walker2d/direction', 'Walker2d-v5', {'frame_skip': 8}, [1.0]),
        ('walker2d/random_parameters', 'Walker2d-v5', {'frame_skip': 5}, None),
        ('hopper/random_parameters', 'Hopper-v5', {}, None),
    ],
)
def test_rewards_and_ends_are_those_of_gymnasium_where_it_has_the_same(
    name, environment, options, goal
):
    task, spec = load_meta_task(name), load_robot(ROBOT_OF[name])
    try:
        env = gymnasium.make(environment, max_episode_steps=10_000, **options)
    except AssertionError:
        # Its table of frame rates knows its own number of physics steps only.
        kind = gymnasium.envs.registration.load_env_creator(
            gymnasium.spec(environment).entry_point
        )
        patched = type('Env', (kind,), {'metadata': {'render_modes': []}})
        env = patched(**options)
    inner = env.unwrapped
    read = make_readout(spec, prepare_model(spec, warm_start=True))

    def state() -> torch.Tensor:
        raw = np.concatenate([[0.0], inner.data.qpos, inner.data.qvel])
        return torch.from_numpy(encode(spec, read(raw[None])))[0]

    goals = torch.tensor(goal or [1.0] * len(task.goals.names), dtype=torch.float64)
    # A policy is shown what gymnasium shows, which clips velocities of two robots.
    shown = list(spec.input_indices)
    limit = 1e9 if name.startswith('half_cheetah') else 10.0
    positions = (spec.state_size + 1) // 2 - 1
    ends = 0
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(150):
        before, action = state(), rng.uniform(-1, 1, spec.action_size)
        seen, given, terminated, *_ = env.step(action)
        after = state()
        observation = after[shown].numpy()
        observation[positions:] = observation[positions:].clip(-limit, limit)
        assert np.array_equal(observation, seen)
        ours = float(task.reward(before, torch.from_numpy(action), after, goals))
        # What it pays for staying alive it does not pay in the step that ends an episode.
        alive = 1.0 if terminated else 0.0
        assert ours - alive == pytest.approx(given, abs=1e-6)
        assert bool(task.done(after)) == terminated
        if terminated:
            ends += 1
            env.reset()
    assert ends > 2 or name.startswith('half_cheetah')
    env.close()


@pytest.mark.parametrize(
    ('name', 'sound', 'ended'),
    [
        ('ant/direction', {'z': 0.5}, [{'z': 1.01}]),
        ('humanoid/direction', {'z': 1.4}, [{'z': 0.99}, {'z': 2.01}]),
        ('walker2d/direction', {'z': 1.2}, [{'z': 0.7}, {'z': 2.1}, {'z': 1.2, 'pitch': -1.1}]),
        ('hopper/random_parameters', {'z': 1.2, 'pitch': 0.1, 'x': 1e3},
         [{'z': 0.69}, {'z': 1.2, 'pitch': 0.21}, {'z': 1.2, 'vx': 101.0}]),
    ],
)  # fmt: skip
def test_episodes_end_where_a_robot_has_fallen(name, sound, ended):
    task = load_meta_task(name)
    states = torch.stack([blank(name, **channels) for channels in (sound, *ended)])
    assert task.done(states).tolist() == [False] + [True] * len(ended)


def test_a_cheetah_an_ant_on_its_way_and_a_swimmer_never_end():
    for name in ('half_cheetah/velocity', 'ant/goal', 'swimmer/velocity'):
        assert not load_meta_task(name).done(1e3 + blank(name)[None])
