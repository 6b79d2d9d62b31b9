# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A robot that the package does not know, by the file and the commands of docs/robots.md.

Specification, simulator, random data, bag, data set, training, control: as a user would.
"""

import itertools
import json
import math
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from running import count, running

from mbmrl_ros.bundles.dynamics import load_bundle
from mbmrl_ros.cli.main import main
from mbmrl_ros.config import UserError
from mbmrl_ros.data.bags import Bag
from mbmrl_ros.data.recordings import load_manifest
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.nodes.controller.report import STATS
from mbmrl_ros.robot.command import from_units
from mbmrl_ros.robot.readings import read_command
from mbmrl_ros.sim.sensors import model_path
from mbmrl_ros.spec.robot import load_robot

PAGE = (Path(__file__).parent.parent / 'docs' / 'robots.md').read_text()
WALK_THROUGH = PAGE.split('## From nothing to control')[1].split('\n## ')[0]
ROBOT_FILE = re.search(r'```yaml\n(.*?)```', WALK_THROUGH, re.DOTALL)[1]
COLLECT, TRAIN, DRIVE = (
    [shlex.split(line)[1:] for line in block.strip().splitlines()]
    for block in re.findall(r'((?:^    mbmrl .*\n)+)', WALK_THROUGH, re.MULTILINE)
)
# For a test a small network does, no 60 epochs of it, and short episodes.
SMALL = ['hidden_sizes=[32, 32]', 'batch_size=64', 'epochs=6', 'past_steps=8', 'future_steps=8',
         'validation_fraction=0.25', 'control_planner={candidates: 64, horizon: 5}']  # fmt: skip
STEPS = 200
DRIVEN = 60
DRIVING = ('/controller_node/stats', '/sim_node/applied_command')


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with the robot and its model, to work in."""
    (tmp_path / 'hopper.yaml').write_text(ROBOT_FILE)
    shutil.copy(model_path('gymnasium/hopper.xml'), tmp_path / 'hopper.xml')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def smaller(command: list[str]) -> list[str]:
    """Return a command of the page with less to do."""
    settings = [part for item in SMALL for part in ('--set', item)]
    changes = {'train': [*settings, '--threads', '1'], 'evaluate': ['--threads', '1']}
    steps = ['--steps', '20'] if '--steps' in command else []
    return [*command, *changes.get(command[0], []), *steps]


def test_a_hopper_is_recorded_learned_and_driven_without_any_code(place):
    topics = ('/odom', '/joint_commands')
    with running(*COLLECT) as until:
        until(lambda: min(count('bags/monday', topic) for topic in topics) >= STEPS)
    for command in TRAIN:
        assert main(smaller(command)) == 0, command
    check_what_was_learned_from()
    record = ['record', '--ros-args', '-p', 'robot:=hopper.yaml', '-p', 'out:=bags/drive']
    also = ['-p', 'also:=[sim_node/applied_command, controller_node/stats]']
    with running(*DRIVE, [*record, *also]) as until:
        until(lambda: min(count('bags/drive', topic) for topic in DRIVING) >= DRIVEN)
    check_what_was_driven()


def check_what_was_learned_from():
    manifest = load_manifest(Path('data'))
    # Most of it, on a machine with nothing else to do; where messages come late there are gaps.
    assert manifest.robot == 'hopper' and manifest.total.transitions > STEPS / 3
    spec = load_robot('hopper.yaml')
    commands = [m.data for m in Bag(Path('bags/monday')).messages({'/joint_commands'})]
    actions = from_units(spec, np.stack([read_command(spec, command) for command in commands]))
    moving = actions[np.abs(actions).max(1) > 0]
    # Uniform in -1..1: the mean of each joint is within 5 standard errors, and they reach far.
    assert np.abs(moving.mean(0)).max() < 5 / math.sqrt(3 * len(moving)) and moving.max() > 0.95
    assert moving.std() == pytest.approx(1 / math.sqrt(3), rel=0.1)
    for algorithm in ('mb', 'grbal'):
        info = load_bundle(Path('runs') / algorithm / 'bundle', spec).info
        assert (info.algorithm, info.task, info.robot) == (algorithm, 'hopper/forward', 'hopper')
        assert math.isfinite(info.metrics['validation_loss'])


def check_what_was_driven():
    bag = Bag(Path('bags/drive'))
    rows = [dict(zip(STATS, m.data.data)) for m in bag.messages({DRIVING[0]})]
    # A controller that is there long before its simulator says so, by the fallback.
    rows = list(itertools.dropwhile(lambda row: row['fallback'], rows))
    assert len(rows) > DRIVEN / 2 and not any(row['fallback'] for row in rows)
    assert all(math.isfinite(row['expected_return']) for row in rows)
    # From the ninth state on there is a window of eight transitions to adapt to.
    assert [math.isfinite(row['loss_before']) for row in rows[:12]] == [False] * 8 + [True] * 4
    assert any(row['adapted'] for row in rows)
    applied = [m.data for m in bag.messages({DRIVING[1]})]
    assert not any(message.header.frame_id for message in applied)
    assert np.abs([list(m.effort) for m in applied]).max(0).min() > 1.0, 'all joints at work'


def test_a_task_of_the_robot_file_is_trained_and_tested_in_the_simulator(place, capsys):
    tiny = [*SMALL, 'iterations=2', 'rollouts=4', 'rollout_steps=40', 'validation_fraction=0.5',
            'planner={kind: random_shooting, candidates: 16, horizon: 3}']  # fmt: skip
    settings = [part for item in tiny for part in ('--set', item)]
    robot = ['--robot', 'hopper.yaml']
    robot += ['--threads', '1']
    assert main(['train', 'grbal', *robot, '--task', 'forward', '--out', 'run', *settings]) == 0
    numbers = ['--episodes', '2', '--steps', '20', '--json', 'numbers.json']
    assert main(['evaluate', '--bundle', 'run/bundle', *robot, *numbers]) == 0
    result = json.loads(Path('numbers.json').read_text())
    assert result['task'] == 'hopper/forward'
    assert set(result['tests']) == {'undisturbed', 'disabled_joint:foot_joint', 'mid_run'}
    # A step gives 5.8 at most for where the robot is (at its goal), -1 where it lies on the floor,
    # and what it moves at, below 4 m/s.
    assert all(-5 * 20 < test['mean'] < 10 * 20 for test in result['tests'].values())


def with_task(**changes: object) -> str:
    """Write a robot file whose task is changed; return its path."""
    data = yaml.safe_load(ROBOT_FILE)
    data['tasks']['forward'] |= changes
    Path('changed.yaml').write_text(yaml.safe_dump(data))
    return 'changed.yaml'


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'rewards': []}, "unknown key 'tasks.forward.rewards'; did you mean 'reward'?"),
        ({'reward': []}, 'tasks.forward.reward: .*at least 1 item'),
        ({'reward': [{'term': 'forward_velocty'}]}, "did you mean 'forward_velocity'"),
        ({'reward': [{'term': 'forward_velocity'}]}, 'takes channel, got nothing'),
        (
            {'reward': [{'term': 'action_squared', 'channel': 'x'}]},
            'action_squared takes nothing, got channel',
        ),
        (
            {'reward': [{'term': 'forward_velocity', 'chanel': 'x'}]},
            "unknown key 'tasks.forward.reward.0.chanel'; did you mean 'channel'?",
        ),
        ({'reward': [{'term': 'forward_velocity', 'channel': 'y'}]}, "no channel 'y'"),
        ({'held_out': ['disabled_joint:knee']}, "no target 'knee'; valid: foot_joint, leg_joint"),
        ({'disturbances': ['wind:x']}, "unknown disturbance 'wind'"),
    ],
)
def test_a_task_that_cannot_be_is_refused_in_one_line(place, changes, said):
    with pytest.raises(UserError, match=said) as caught:
        load_task('forward', with_task(**changes))
    assert '\n' not in str(caught.value)


def test_a_task_is_found_by_both_its_names_and_only_with_its_robot(place):
    task = load_task('hopper/forward', 'hopper.yaml')
    assert (task.name, task.robot, task.episode_steps) == ('hopper/forward', 'hopper.yaml', 150)
    assert load_task('forward', 'hopper.yaml').reward == task.reward
    assert load_task('half_cheetah/disabled_joint', 'hopper.yaml').robot == 'half_cheetah'
    with pytest.raises(UserError, match="unknown task 'hopper/forward'"):
        load_task('hopper/forward')
    with pytest.raises(UserError, match="did you mean 'hopper/forward'"):
        load_task('forwards', 'hopper.yaml')


def test_what_comes_and_goes_in_training_is_what_the_file_says(place):
    joints = ['disabled_joint:leg_joint', 'disabled_joint:thigh_joint:0.5']
    task = load_task('forward', with_task(disturbances=joints))
    rng = np.random.default_rng(0)
    seen = {str(event.disturbance) for _ in range(20) for event in task.training(rng, 150)}
    assert seen == set(joints)
    assert [str(d) for d in task.disturbances] == [*joints, 'disabled_joint:foot_joint']
    [event] = task.tests['mid_run'](150)
    assert (event.step, str(event.disturbance)) == (50, 'disabled_joint:foot_joint')
