# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import functools
import itertools

import numpy as np
import pytest
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.adaptation_tasks import ADAPTATION_TASKS
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.envs.task import TrainingSchedule
from mbmrl_ros.envs.tasks import HELD_OUT, TASKS, load_task
from mbmrl_ros.rewards.reward import build_reward
from mbmrl_ros.sim.disturbances import active, check
from mbmrl_ros.spec.robot import load_robot

ARM_TASKS = [name for name in TASKS if name.startswith('pr2_left_arm')]


@pytest.fixture(params=list(TASKS))
def task(request):
    return TASKS[request.param]


def test_every_disturbance_fits_the_robot(task):
    spec = load_robot(task.robot)
    for disturbance in task.disturbances:
        check(spec, disturbance)


def test_the_held_out_joint_never_fails_in_training():
    task = load_task('half_cheetah/disabled_joint')
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        schedule = task.training(rng, 500)
        seen |= {active(schedule, step) for step in range(0, 500, 10)}
    assert HELD_OUT not in {disturbance for on in seen for disturbance in on}
    # Each of the other five alone, and nothing at all.
    assert seen == {(), *((disturbance,) for disturbance in task.disturbances[1:])}


def test_training_rollouts_hold_switches():
    task = load_task('half_cheetah/disabled_joint')
    rng = np.random.default_rng(0)
    switches = [
        sum(active(schedule, step) != active(schedule, step - 1) for step in range(1, 500))
        for schedule in (task.training(rng, 500) for _ in range(100))
    ]
    # Segments of 100 to 400 steps: about one switch in 500 steps, at most four.
    assert 0.5 < np.mean(switches) < 2.5 and max(switches) <= 4


@pytest.mark.parametrize('name', [*(t.name for t in ADAPTATION_TASKS), *ARM_TASKS])
def test_what_is_held_out_of_a_task_never_happens_in_its_training(name):
    task = load_task(name)
    rng = np.random.default_rng(0)
    seen = {event.disturbance for _ in range(600) for event in task.training(rng, 300)}
    tested = {event.disturbance for name in task.tests for event in task.test(name)(300)}
    assert seen and tested and seen.isdisjoint(tested)
    assert seen | tested == set(task.disturbances)


def test_mid_run_breaks_at_a_third_what_held_out_breaks_at_once():
    task = load_task('half_cheetah/disabled_joint')
    mid_run = task.test('mid_run')(900)
    assert active(mid_run, 299) == () and active(mid_run, 300) == (HELD_OUT,)
    assert active(task.test('held_out')(900), 0) == (HELD_OUT,)
    assert task.test('undisturbed')(900) == ()


@functools.cache
def driven(robot: str, training: TrainingSchedule) -> tuple[torch.Tensor, torch.Tensor]:
    """Drive two robots at random; return states [101, 2, S] and actions [100, 2, A]."""
    spec, rng = load_robot(robot), np.random.default_rng(0)
    env = RobotEnv(spec, 2)
    states = [env.reset(rng, [training(rng, 100) for _ in range(2)])]
    generator = torch.Generator().manual_seed(0)
    actions = torch.rand(100, 2, spec.action_size, generator=generator) * 2 - 1
    states += [env.step(action) for action in actions]
    env.close()
    return torch.stack(states), actions


def test_states_and_rewards_are_finite_and_no_channel_is_constant(task):
    states, actions = driven(task.robot, task.training)
    assert states.isfinite().all() and (states.flatten(0, 1).std(0) > 1e-4).all()
    reward = build_reward(load_robot(task.robot), task.reward)(states[:-1], actions, states[1:])
    assert reward.shape == (100, 2) and reward.isfinite().all()


@pytest.mark.parametrize('name', ARM_TASKS)
def test_the_goals_of_the_arm_are_poses_of_its_points(name):
    # A goal that is no pose could not be reached, however near to the points it is.
    task = load_task(name)
    spec = load_robot(task.robot)
    target = task.reward[0].target
    points = {
        point: np.array([target[f'{point}_{axis}'] for axis in 'xyz'])
        for point in spec.kinematics.points
    }
    places = {point: np.array(p.at) for point, p in spec.kinematics.points.items()}
    for one, other in itertools.combinations(points, 2):
        apart = np.linalg.norm(points[one] - points[other])
        assert apart == pytest.approx(np.linalg.norm(places[one] - places[other]), abs=1e-4)


def test_unknown_names_are_answered_with_the_valid_ones(task):
    with pytest.raises(UserError, match=r'did you mean'):
        load_task(task.name[:-1])
    with pytest.raises(UserError, match=r'valid: .*mid_run, '):
        task.test('windy')
