# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.one_robot import OneRobot
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.sim.disturbances import Disturbance, Event
from mbmrl_ros.spec.robot import load_robot


@pytest.mark.parametrize(
    ('robot', 'fault'),
    [
        ('half_cheetah', Disturbance('disabled_joint', 'bthigh')),
        ('half_cheetah_slopes', Disturbance('terrain', 'hill')),
        ('millirobot', Disturbance('missing_leg', 'left_front_leg')),
    ],
)
def test_states_are_those_of_a_batch_to_the_bit(robot, fault):
    spec = load_robot(robot)
    one, many = OneRobot(spec), RobotEnv(spec, batch=1, threads=1)
    schedule = (Event(3, fault), Event(7, fault, on=False))
    for seed in range(2):
        rng = np.random.default_rng(seed)
        first = one.reset(np.random.default_rng(seed), schedule)
        assert np.array_equal(first, many.reset(np.random.default_rng(seed), [schedule])[0])
        for step in range(10):
            action = rng.uniform(-1, 1, spec.action_size).astype(np.float32)
            state = one.step(action.astype(np.float64))
            assert np.array_equal(state, many.step(torch.from_numpy(action)[None])[0])
            assert one.disturbances == ((fault,) if 3 <= step < 7 else ())
    many.close()


def test_what_the_robot_cannot_have_is_refused():
    with pytest.raises(UserError, match='no target'):
        OneRobot(load_robot('ant')).reset(
            np.random.default_rng(0), (Event(0, Disturbance('disabled_joint', 'tail')),)
        )
