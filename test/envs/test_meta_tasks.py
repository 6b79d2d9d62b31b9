# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks with goals: found by name, bound to their robots, also those of one's own robot file."""

import re
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.gym import GoalTaskEnv, environment_id
from mbmrl_ros.envs.meta_task import bind, require_goals
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.envs.task import Task
from mbmrl_ros.envs.task_env import MetaTaskEnv, SamplingConfig
from mbmrl_ros.envs.tasks import POLICY_TASKS, TASKS, load_task
from mbmrl_ros.spec.robot import load_robot

DOCUMENT = Path(__file__).parents[2] / 'docs' / 'policy_tasks.md'


@pytest.mark.parametrize('name', POLICY_TASKS)
@pytest.mark.filterwarnings('ignore:.*A Box observation space m..imum value is -?infinity')
def test_every_task_with_goals_is_an_environment_of_gymnasium(name):
    env = gymnasium.make(environment_id(name))
    check_env(env.unwrapped, skip_render_check=True)
    assert env.spec.max_episode_steps == load_meta_task(name).horizon
    env.close()


def test_gymnasium_tells_the_goal_and_takes_one():
    env = GoalTaskEnv('half_cheetah/velocity', setting='held_out')
    goals = [float(env.reset(seed=seed)[1]['goal'][0]) for seed in range(5)]
    assert all(3 <= goal <= 4 for goal in goals) and len(set(goals)) == 5
    assert env.reset(options={'goal': [1.5]})[1]['goal'] == [1.5]
    # Without effort the reward is minus how far the speed is off, here of a robot that falls.
    reward = env.step(np.zeros(6, np.float32))[1]
    assert reward == pytest.approx(-1.5, abs=1.0)
    env.close()


def test_the_table_in_the_documents_is_that_of_the_tasks():
    rows = [row for row in DOCUMENT.read_text().splitlines() if row.startswith('|')]
    for name, listed in POLICY_TASKS.items():
        task = load_meta_task(name)
        env = MetaTaskEnv(task, 1, 1)
        place = next(place for place, row in enumerate(rows) if name in row)
        head = next(row for row in reversed(rows[:place]) if row.startswith('| Task |'))
        titles, cells = (
            [cell.strip() for cell in row.strip('|').split('|')] for row in (head, rows[place])
        )
        said = dict(zip(titles, cells, strict=True))
        assert said['Robot file'] == (f'`{listed.robot}`' if isinstance(listed, Task) else 'none')
        shown, driven = said['State shown, action'].split(', ')
        assert str(env.observation_size) in shown.split(' or ')
        assert (driven, said['Steps']) == (str(env.action_size), str(env.horizon))
        if factors := re.match(r'(\d+) factors', said.get('Goals in training', '')):
            assert int(factors[1]) == len(task.goals.names)
        env.close()


def test_what_the_documents_show_does_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    section = DOCUMENT.read_text().partition('## In batches')[2]
    blocks = re.findall(r'```(\w+)\n(.*?)```', section, re.DOTALL)
    assert [kind for kind, _ in blocks] == ['python', 'yaml', 'python']
    Path('my_cheetah.yaml').write_text(blocks[1][1])
    names: dict = {}
    exec(blocks[0][1], names)
    exec(blocks[2][1], names)
    paths, goals = names['paths'], names['goals']
    assert names['task'].name == 'my_cheetah/stop_at' and goals.shape == (4, 2)
    # It begins near 0, so its first reward is about minus the place, and a bit of effort.
    first = paths.rewards[:, :, 0]
    torch.testing.assert_close(first, -goals[:, :1].expand(4, 2), atol=0.3, rtol=0)
    masses = {model.body('torso').mass[0] for model in names['env'].system._robots._models}
    assert len(masses) == 4


def test_a_task_of_ones_own_that_cannot_be_is_refused(tmp_path):
    path = tmp_path / 'robot.yaml'

    def written(text: str) -> str:
        path.write_text('extends: hopper.yaml\nname: mine\ntasks:\n  it:\n' + text)
        return str(path)

    reward = '    reward: [{term: goal_speed_error, channel: x, goal: speed}]\n'
    with pytest.raises(UserError, match="no goal 'speed'; the task has none"):
        load_meta_task('it', written(reward))
    goals = '    goals: {speeds: {range: [0, 1], held_out: [1, 2]}}\n'
    with pytest.raises(UserError, match="no goal 'speed'; did you mean 'speeds'"):
        load_meta_task('it', written(reward + goals))
    goals = '    goals: {speed: {range: [0, 1], held_out: [0.5, 2]}}\n'
    with pytest.raises(UserError, match='held_out must lie outside of range'):
        load_meta_task('it', written(reward + goals))
    goals = goals.replace('0.5', '1')
    with pytest.raises(UserError, match="no channel 'height'"):
        load_meta_task('it', written(reward + goals + '    done: {height: [0, 1]}\n'))
    sound = load_meta_task('it', written(reward + goals))
    assert sound.goals.names == ('speed',) and require_goals(sound) is None
    parameter = goals.replace('speed:', 'speed: {range: [0, 1], held_out: [1, 2]}, "mass:head":')
    with pytest.raises(UserError, match="parameter 'mass:head': the model has no such part"):
        MetaTaskEnv(load_meta_task('it', written(reward + parameter)), 1, 1)


def test_a_task_without_goals_is_one_for_policies_but_not_for_a_meta_learner(tmp_path):
    path = tmp_path / 'robot.yaml'
    path.write_text(
        'extends: hopper.yaml\nname: mine\ntasks:\n  hop:\n'
        '    reward: [{term: forward_velocity, channel: x}]\n'
    )
    task = load_meta_task('mine/hop', str(path))
    env = MetaTaskEnv(task, 2, 1)
    goals = env.sample_goals(torch.Generator(), 2)
    assert goals.shape == (2, 0)
    env.reset(goals, torch.Generator().manual_seed(0))
    assert not env.step(torch.zeros(2, 1, 3))[2].any()
    env.close()
    with pytest.raises(UserError, match='mine/hop has no goals'):
        require_goals(task)
    # It is one for a model and a planner as well.
    assert load_task('hop', str(path)).done == {}


@pytest.mark.parametrize('name', TASKS)
def test_rewards_are_the_same_in_the_precision_of_environments_and_of_models(name):
    task = bind(TASKS[name])
    size = load_robot(task.robot)
    draw = torch.Generator().manual_seed(0)
    states = torch.randn(2, 50, size.state_size, generator=draw)
    actions = 2 * torch.rand(50, size.action_size, generator=draw) - 1
    single = states[0], actions, states[1], torch.zeros(0)
    exact = task.reward(*(part.double() for part in single))
    assert exact.dtype == torch.float64
    torch.testing.assert_close(task.reward(*single).double(), exact, rtol=1e-3, atol=1e-3)


def test_names_are_told_apart_and_unknown_ones_answered():
    assert not TASKS.keys() & POLICY_TASKS.keys()
    with pytest.raises(UserError, match="unknown task of policies 'ant/goa'; did you mean"):
        load_meta_task('ant/goa')
    with pytest.raises(UserError, match='ant/goal has goals, which a model'):
        load_task('ant/goal')
    with pytest.raises(UserError, match='hopper/mbbl is a task for policies'):
        load_task('hopper/mbbl')


def test_tasks_without_goals_are_never_done_and_draw_nothing():
    for task in TASKS.values():
        assert task.goals.names == () and task.done == {}
        assert task.goals.draw(torch.Generator(), 3).shape == (3, 0)


@pytest.mark.parametrize(
    'name', ['half_cheetah/velocity', 'hopper/gymnasium', 'ant/gymnasium', 'point/navigation']
)
def test_one_robot_is_a_row_of_a_batch_to_the_bit(name):
    task = load_meta_task(name)
    batch = MetaTaskEnv(task, 3, 1, SamplingConfig(action_scale=1.0), threads=1)
    generator = torch.Generator().manual_seed(0)
    goals = batch.sample_goals(generator, 3)
    batch.reset(goals, generator)
    env = GoalTaskEnv(name)
    env.reset(seed=0, options={'goal': goals[1].numpy()})
    here = 'physics' if hasattr(batch.system, 'physics') else 'state'
    setattr(env._system, here, getattr(batch.system, here)[1:2])
    env._state = batch.states[1:2]
    for step in range(60):
        actions = 2.4 * torch.rand(3, 1, batch.action_size, generator=generator) - 1.2
        if step == 55:
            actions[1] = torch.nan
        seen, rewards, done = batch.step(actions)
        observation, reward, terminated, _, _ = env.step(actions[1, 0].numpy())
        assert np.array_equal(observation, seen[1, 0].numpy())
        # A batch marks what is not finite; here it earns nothing.
        assert reward == float(rewards[1].nan_to_num(0.0))
        assert terminated == bool(done[1])
    assert terminated
    batch.close()
    env.close()


def test_a_goal_of_another_size_is_refused():
    env = GoalTaskEnv('half_cheetah/velocity')
    with pytest.raises(ValueError, match=r'goals are \(1, 1\), got \(1, 2\)'):
        env.reset(options={'goal': [1.0, 2.0]})
    env.close()
