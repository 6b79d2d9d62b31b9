# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.envs.path_tasks import GROUNDS, HARD, LADDERS, PATH_TASKS, UNSEEN
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.rewards.path import SHAPES
from mbmrl_ros.rewards.reward import build_reward
from mbmrl_ros.sim.disturbances import active, check
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.dynamics.settings import ModelBasedConfig
from mbmrl_ros.training.recipes import load_recipe

ROBOT = load_robot('millirobot')
TASK = PATH_TASKS[0]
VARIANTS = ('default', 'paper')


def test_there_is_a_task_for_every_shape():
    shapes = [task.reward[0].path for task in PATH_TASKS]
    assert sorted(shapes) == sorted(SHAPES)
    for task in PATH_TASKS:
        assert len({term.path for term in task.reward}) == 1
        build_reward(ROBOT, task.reward)


def test_training_keeps_to_the_grounds_of_the_papers():
    rng = np.random.default_rng(0)
    seen = {event.disturbance for _ in range(50) for event in TASK.training(rng, 400)}
    assert seen == set(GROUNDS)
    assert not seen & {*UNSEEN.values(), *(fault for each in HARD.values() for fault in each)}


@pytest.mark.parametrize('name', TASK.tests)
def test_a_test_switches_on_what_the_task_lists(name):
    schedule = TASK.test(name)(90)
    for event in schedule:
        check(ROBOT, event.disturbance)
    at_the_end = active(schedule, 89)
    assert at_the_end and set(at_the_end) <= set(TASK.disturbances)
    several = HARD | {'mid_run_two_legs': HARD['hard_missing_leg']}
    assert at_the_end == several.get(name, at_the_end[:1])
    begins = 30 if name.startswith('mid_run') else 0
    assert active(schedule, begins) == at_the_end
    assert begins == 0 or active(schedule, begins - 1) == ()


def test_a_ladder_gets_harder_from_rung_to_rung():
    for name, ladder in LADDERS.items():
        assert HARD[f'hard_{name}'] in ladder
        for severity in ladder:
            for fault in severity:
                check(ROBOT, fault)
        sizes = [(severity[0].kind, severity[0].value) for severity in ladder]
        # Of a battery the value is what is left; of missing legs, how many.
        if name == 'weak_battery':
            sizes = [(kind, -left) for kind, left in sizes]
        if name == 'missing_leg':
            sizes = [(fault.kind, len(severity)) for severity in ladder for fault in severity]
        assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_rates_of_change_are_those_of_the_signals():
    env = RobotEnv(ROBOT, 2, threads=1)
    rng = np.random.default_rng(0)
    states = [env.reset(rng, [TASK.test('carpet')(10), ()])]
    states += [env.step(torch.full((2, 2), 0.2)) for _ in range(10)]
    env.close()
    whole = torch.stack(states, 1)
    x, vx = (whole[..., ROBOT.channel_index(name)] for name in ('x', 'vx'))
    assert torch.allclose(vx[:, 1:], x.diff(dim=1) / ROBOT.period_s, atol=1e-4)
    legs = whole[:, -3:, ROBOT.channel_index('left_rate')]
    # 480 counts are 46 rad/s; with the droop of the controller and the load rather less.
    assert ((legs > 25) & (legs < 60)).all()
    assert whole.isfinite().all()
    # The robot stands still before the first state.
    assert whole[:, 0, ROBOT.channel_index('left_rate')].abs().max() < 10


@pytest.mark.parametrize(
    ('algorithm', 'variant'),
    [
        *((algorithm, variant) for algorithm in ('grbal', 'mb', 'rebal') for variant in VARIANTS),
        ('grbal', 'from_mb'),
        ('rebal', 'from_mb'),
    ],
)
def test_training_configurations_are_valid(algorithm, variant):
    config = load_recipe(ALGORITHMS[algorithm].Config, algorithm, TASK.name, variant)
    assert isinstance(config, ModelBasedConfig)
    # Section 6.5 of the thesis' robot: 23 steps; the planner looks half a second ahead or more.
    assert config.past_steps == config.future_steps == 23
    assert config.planner.horizon >= 5
