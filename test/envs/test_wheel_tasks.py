# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The base on wheels: what it trains on, what only its tests have, that its path can be driven."""

import numpy as np
import pytest
import torch

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.bundles.dynamics import load_bundle
from mbmrl_ros.envs.gym import TaskEnv
from mbmrl_ros.envs.wheel_tasks import DRAGS, FLOORS, UNSEEN, WHEEL_TASKS
from mbmrl_ros.rewards.reward import build_reward
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.dynamics.settings import ModelBasedConfig
from mbmrl_ros.training.recipes import load_recipe

ROBOT = load_robot('diff_drive')
[TASK] = WHEEL_TASKS


def test_what_the_tests_have_never_happens_in_training():
    rng = np.random.default_rng(0)
    seen = {event.disturbance for _ in range(50) for event in TASK.training(rng, 200)}
    assert seen == {*FLOORS, *DRAGS} and not seen & set(UNSEEN.values())
    # A wheel drags more than in any training.
    worst = max(fault.value for fault in DRAGS)
    assert UNSEEN['dragging_wheel'].value > worst


def test_standing_still_earns_less_than_driving_along_the_path():
    reward = build_reward(ROBOT, TASK.reward)
    state = torch.zeros(2, ROBOT.state_size)
    # At the start of the figure, along its first piece.
    heading = float(np.arctan2(0.85 * np.sin(4 * np.pi / 14), 1.6 * np.sin(2 * np.pi / 14)))
    state[:, ROBOT.channel_index('cos_yaw')] = float(np.cos(heading))
    state[:, ROBOT.channel_index('sin_yaw')] = float(np.sin(heading))
    ahead = state.clone()
    ahead[1, 0] += 0.05 * float(np.cos(heading))
    ahead[1, 1] += 0.05 * float(np.sin(heading))
    stays, drives = reward(state, torch.zeros(2, 2), ahead).tolist()
    # 5 cm of progress; on the path, heading along it.
    assert (stays, drives) == pytest.approx((0.0, 20 * 0.05), abs=1e-4)


def test_a_wheel_that_drags_pulls_the_base_to_its_side():
    def driven(setting: str) -> np.ndarray:
        env = TaskEnv(TASK.name, setting=setting)
        env.reset(seed=0)
        # Straight ahead, half of the range above the middle: 0.8 m/s.
        for _ in range(10):
            state, *_ = env.step(np.array([0.5, 0.0], np.float32))
        return state

    straight, dragged = driven('undisturbed'), driven('dragging_wheel')
    rate = ROBOT.channel_index('yaw_rate')
    assert abs(straight[rate]) < 0.1 and dragged[rate] < -1.0


@pytest.mark.parametrize('algorithm', ['mb', 'grbal'])
def test_what_is_shipped_is_of_this_robot(algorithm):
    bundle = load_bundle(f'diff_drive/path/{algorithm}', ROBOT)
    assert (bundle.info.task, bundle.info.algorithm) == (TASK.name, algorithm)


@pytest.mark.parametrize(
    ('algorithm', 'variant'),
    [('mb', 'default'), ('grbal', 'default'), ('rebal', 'default'), ('grbal', 'from_mb')],
)
def test_training_configurations_are_valid(algorithm, variant):
    config = load_recipe(ALGORITHMS[algorithm].Config, algorithm, TASK.name, variant)
    assert isinstance(config, ModelBasedConfig)
    assert (config.past_steps, config.future_steps) == (16, 12)
