# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.envs.robot_task import open_task
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.evaluation.episodes import Trial
from mbmrl_ros.experiments.cells import expand
from mbmrl_ros.experiments.jobs import Selection
from mbmrl_ros.experiments.measure import perform
from mbmrl_ros.experiments.true_physics import drive_by_physics, physics_step
from mbmrl_ros.planners.mppi import MPPIConfig
from mbmrl_ros.planners.rollout import imagine
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.types import Root

JOINT = 'half_cheetah/disabled_joint'


@pytest.mark.parametrize('name', [JOINT, 'ant/crippled_leg', 'half_cheetah/slopes'])
def test_what_is_imagined_is_what_will_happen(name):
    task = load_task(name)
    spec = load_robot(task.robot)
    env, copies = RobotEnv(spec, 2, 1), RobotEnv(spec, 6, 1)
    # One robot is disturbed, the other is not: copies take over what is wrong with theirs.
    test = task.test('mid_run')(30)
    assert 0 < test[0].step < 15
    state = env.reset(np.random.default_rng(0), [test, ()])
    generator = torch.Generator().manual_seed(0)
    for _ in range(15):
        state = env.step(2 * torch.rand(2, spec.action_size, generator=generator) - 1)
    actions = 2 * torch.rand(2, 3, 4, spec.action_size, generator=generator) - 1
    imagined = imagine(physics_step(env, copies), Root(None, state), actions)
    assert torch.equal(imagined[:, :, 0], state[:, None].expand(2, 3, -1))
    # The third candidate of both is what they do.
    for time in range(4):
        state = env.step(actions[:, 2, time])
        assert torch.equal(imagined[:, 2, time + 1], state)
    # And the candidates are not all the same.
    assert not torch.equal(imagined[:, 0, 4], imagined[:, 2, 4])


def test_a_candidate_whose_physics_fail_has_no_states():
    spec = load_robot('half_cheetah')
    env, copies = RobotEnv(spec, 1, 1), RobotEnv(spec, 2, 1)
    state = env.reset(np.random.default_rng(0), [()])
    actions = torch.zeros(1, 2, 3, spec.action_size)
    actions[0, 0, 1] = torch.nan
    imagined = imagine(physics_step(env, copies), Root(None, state), actions)
    finite = imagined.isfinite().all(-1)[0].tolist()
    assert finite == [[True, True, False, False], [True] * 4]


def test_a_plan_by_the_true_physics_runs_where_standing_pays_nothing():
    task = load_task(JOINT)
    planner = MPPIConfig(candidates=32, horizon=15)
    trial = Trial(open_task(task), 'undisturbed', 2, 60, seed=3)
    rewards = drive_by_physics(trial, planner).rewards
    assert rewards.shape == (60, 2)
    # In 0.6 s from rest: 0.5 m/s on average would be 30, standing still is 0.
    assert (rewards.sum(0) > 15).all()
    again = drive_by_physics(trial, planner).rewards
    assert torch.equal(rewards, again)


def test_a_robot_whose_motors_remember_is_refused():
    task = load_task('millirobot/path')
    with pytest.raises(UserError, match='motors or sensors that remember cannot be copied'):
        trial = Trial(open_task(task), 'mid_run', 1, 5, seed=0)
        drive_by_physics(trial, MPPIConfig(candidates=4, horizon=2))


def test_copies_are_a_multiple():
    spec = load_robot('half_cheetah')
    with pytest.raises(ValueError, match='3 robots are no multiple of 2'):
        RobotEnv(spec, 3, 1).copy_state_from(RobotEnv(spec, 2, 1))


def test_it_is_a_method_of_the_experiments(tmp_path):
    chosen = Selection((JOINT,), ('true_physics',), (0,), episodes=2, steps=12, candidates=4)
    jobs = expand(['true-physics'], chosen)
    titles = [job.work.title for job in jobs]
    assert titles[0] == f'train true_physics on {JOINT}, seed 0'
    # Nothing is trained for it, and every test of the task is measured.
    assert perform(jobs[0].work, tmp_path)['environment_steps'] == 0
    assert [title.split(', ')[1] for title in titles[1:]] == ['mid_run', 'held_out', 'undisturbed']
    result = perform(jobs[1].work, tmp_path)
    assert len(result['returns']) == 2
    assert result['planner']['candidates'] == 4 and result['planner']['horizon'] == 20
