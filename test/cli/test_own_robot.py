# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl check`: all that is wrong at once, and nothing that only follows from something else."""

import json
from pathlib import Path

import pytest
import yaml
from json_keys import misfits

from mbmrl_ros.cli.main import main
from mbmrl_ros.config import UserError
from mbmrl_ros.sim.model_files import model_path
from mbmrl_ros.sim.model_survey import survey
from mbmrl_ros.sim.scaffold import scaffold
from mbmrl_ros.spec.mistakes import line_of, read_leniently
from mbmrl_ros.spec.robot import RobotSpec, load_robot, read_robot, robot_names

BAD = """\
name: hopper
peroid_s: 0.04
colour: red
topics:
  odom: {type: nav_msgs/msg/Odometri, timeout_s: -1}
  joint_states: {type: sensor_msgs/msg/JointState, timeout_s: 0.2}
state:
  - {name: x, topic: odom, field: pose.pose.positon.x, unit: m, input: false}
  - {name: z, topic: odo, field: pose.pose.position.z, unit: m}
  - {name: sin_pitch, topic: odom, field: pose.pose.orientation,
     encoding: sin_rotaton_y, unit: '1'}
  - {topic: odom, field: twist.twist.linear.x, unit: rad/s}
  - {name: cos_pitch, topic: odom, field: pose.pose.orientation,
     encoding: cos_rotation_y, unit: '1'}
  - {name: thigh, topic: joint_states, field: position, joint: thigh_jont, unit: rad}
  - {name: leg, topic: joint_states, field: position, joint: leg_joint, unit: m}
  - {name: vx, topic: odom, field: twist.twist.linear.x, unit: rad/s}
action:
  topic: joint_commands
  type: sensor_msgs/msg/JointState
  field: effort
  unit: N m
  joints: [thigh_joint, leg_joint, fot_joint]
  lower: [-200, -200, -200]
  upper: [200, 2000, 200]
  rate_limit: [10000, 10000, -1]
  fallback: [0, 0, 900]
  timeout_s: 0.2
safety: {decay_s: fast, limits: {zz: [0, 1], x: [1, 0]}}
simulation:
  model: gymnasium/hopper.xml
  physics_steps: 10
  bodies: {odom: torzo}
tasks:
  forward:
    reward:
      - {term: forward_velocty, channel: x}
      - {term: lorentzian, weight: -0.5, target: {z: 1.25, sin_pich: 0}}
      - {term: action_squared, weigth: -0.01}
      - {term: action_squared, channel: x}
    episode_steps: 0
    held_out: ['disabled_joint:foot', 'wind:x']
    done: {zz: [0, 1]}
"""
# Line, place, and what is said of it.
MISTAKES = [
    (2, 'peroid_s', "did you mean 'period_s'?"),
    (3, 'colour', "unknown key 'colour'"),
    (5, 'topics.odom.timeout_s', 'greater than 0'),
    (5, 'topics.odom.type', "got 'nav_msgs/msg/Odometri'"),
    (8, 'state.0.field', "did you mean 'pose.pose.position.x'?"),
    (9, 'state.1', "topic 'odo' is not listed; did you mean 'odom'?"),
    (11, 'state.2.encoding', "got 'sin_rotaton_y'"),
    (12, 'state.3.name', 'missing key'),
    (15, 'state.5.joint', "did you mean 'thigh_joint'?"),
    (16, 'state.6.unit', "'m', and in the simulation it is rad"),
    (17, 'state.7.unit', "'rad/s', and in the simulation it is m/s"),
    (23, 'action.joints.1', 'ctrlrange'),
    (23, 'action.joints.2', "did you mean 'foot_joint'?"),
    (26, 'action.rate_limit.2', 'greater than 0'),
    (27, 'action.fallback.2', 'lower <= fallback <= upper'),
    (29, 'safety.decay_s', "got 'fast'"),
    (29, 'safety.limits.x', 'lower < upper'),
    (29, 'safety.limits.zz', "no channel 'zz'"),
    (32, 'simulation.physics_steps', 'make 0.02'),
    (33, 'simulation.bodies.odom', "did you mean 'torso'?"),
    (37, 'tasks.forward.reward.0', "did you mean 'forward_velocity'?"),
    (38, 'tasks.forward.reward.1', "did you mean 'sin_pitch'?"),
    (39, 'tasks.forward.reward.2.weigth', "did you mean 'weight'?"),
    (40, 'tasks.forward.reward.3', 'takes nothing, got channel'),
    (41, 'tasks.forward.episode_steps', 'equal to 1'),
    (42, 'tasks.forward.held_out.0', "no target 'foot'"),
    (42, 'tasks.forward.held_out.1', "unknown disturbance 'wind'"),
    (43, 'tasks.forward.done.zz', "no channel 'zz'"),
]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope='module')
def walker() -> str:
    """Return the robot file that init writes of gymnasium's walker, whose odometry is a topic."""
    path = model_path('gymnasium/walker2d.xml')
    return scaffold('walker', 'gymnasium/walker2d.xml', survey(path))


def test_every_mistake_is_found_at_its_place_and_nothing_else(place, capsys):
    Path('bad.yaml').write_text(BAD)
    assert main(['check', 'bad.yaml', '--json', 'found.json']) == 2
    written = json.loads(Path('found.json').read_text())
    assert not [*misfits('check', written)]
    found = written['mistakes']
    assert sorted((each['line'], each['place']) for each in found) == [m[:2] for m in MISTAKES]
    texts = {each['place']: each['text'] for each in found}
    for _, where, said in MISTAKES:
        assert said in texts[where] and '\n' not in texts[where]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(MISTAKES)
    assert lines[0].startswith("bad.yaml:2: peroid_s: unknown key 'peroid_s'; did you mean")


@pytest.mark.parametrize(
    ('right', 'wrong', 'where', 'said'),
    [
        # A task names the joint, which the line of the action has wrong.
        ('joints: [thigh_joint', 'joints: [thihg_joint', 'action.joints.0',
         "did you mean 'thigh_joint'?"),
        # Seven channels and a body name the topic.
        ('odom: {type', 'odm: {type', 'topics.odm', "7 of 'odom', which is not listed"),
        ('physics_steps: 20', 'physics_steps: 0', 'simulation.physics_steps', 'got 0'),
        ('period_s: 0.04', 'period_s: -1', 'period_s', 'greater than 0'),
        ('period_s: 0.04', 'period_s: fast', 'period_s', "got 'fast'"),
        ('lower: [-100', 'lower: [101', 'action.lower.0', 'lower is 101, above upper, 100'),
        # What is said of the fallback beside it comes of the guess.
        ('lower: [-100', 'lower: [abc', 'action.lower.0', "got 'abc'"),
        ('nav_msgs/msg/Odometry', 'nav_msgs/msg/Odom', 'topics.odom.type',
         "got 'nav_msgs/msg/Odom'; did you mean 'nav_msgs/msg/Odometry'?"),
        ('joints: [', 'joints: 3  # [', 'action.joints', 'needs a list, got 3'),
        # YAML takes all of these for something else than names.
        ('odom: {type', '1: {type', 'topics.1', "did you mean 'odom'?"),
        ('odom: {type', 'on: {type', 'topics.True', "did you mean 'odom'?"),
        ('odom: {type', "'1a': {type", 'topics.1a', "did you mean 'odom'?"),
        ('odom: {type', 'pose: {type', 'topics.pose', "did you mean 'odom'?"),
        ('name: walker', 'name: 1', 'name', 'in quotes'),
        ('joints: [thigh_joint', 'joints: [{a: 1}', 'action.joints.0', 'valid string'),
        ('bodies: {odom: ', 'bodies: {1: ', 'simulation.bodies.1', 'in quotes'),
        ('bodies: {odom: ', 'bodies: {odm: ', 'simulation.bodies.odm', "did you mean 'odom'?"),
        ('field: effort', 'field: x', 'action.field', "got 'x'"),
        ('topic: joint_commands', 'topic: joint_states', 'action.topic', 'listened to'),
    ],
)  # fmt: skip
def test_one_wrong_line_is_one_mistake(place, walker, right, wrong, where, said):
    assert walker.count(right) == 1
    Path('bad.yaml').write_text(walker.replace(right, wrong))
    assert main(['check', 'bad.yaml', '--json', 'found.json']) == 2
    found = json.loads(Path('found.json').read_text())['mistakes']
    assert [each['place'] for each in found] == [where]
    assert said in found[0]['text']


def test_two_joints_that_are_misspelt_are_two_mistakes(place, walker):
    data = yaml.safe_load(walker)
    data['action']['joints'][:2] = ['thihg_joint', 'thigh_jiont']
    Path('bad.yaml').write_text(yaml.safe_dump(data))
    assert main(['check', 'bad.yaml', '--json', 'found.json']) == 2
    found = json.loads(Path('found.json').read_text())['mistakes']
    assert [each['place'] for each in found] == ['action.joints.0', 'action.joints.1']


@pytest.mark.parametrize(
    ('changes', 'where', 'said'),
    [
        ({'done': {'z': [2, 1]}}, 'tasks.it.done.z', '[lowest, highest]'),
        ({'goals': {'v': {'range': [0, 1], 'held_out': [2, 3]}}}, 'tasks.it', 'of goal v'),
        (
            {'reward': [{'term': 'distance', 'target': {}}]},
            'tasks.it.reward.0.target',
            'at least 1',
        ),
    ],
)
def test_a_task_that_would_not_be_what_it_says_is_a_mistake(place, walker, changes, where, said):
    data = yaml.safe_load(walker)
    task = {'reward': [{'term': 'action_squared', 'weight': -1}]} | changes
    data['tasks'] = {'it': task}
    Path('bad.yaml').write_text(yaml.safe_dump(data))
    assert main(['check', 'bad.yaml', '--json', 'found.json']) == 2
    [found] = json.loads(Path('found.json').read_text())['mistakes']
    assert found['place'] == where and said in found['text']


def test_of_one_channel_and_one_topic_the_channel_is_wrong(place, walker):
    data = yaml.safe_load(walker)
    data['topics']['imu'] = {'type': 'sensor_msgs/msg/Imu', 'timeout_s': 0.2}
    data['simulation']['bodies']['imu'] = 'torso'
    channel = {'name': 'gyro', 'topic': 'imuu', 'field': 'angular_velocity.y', 'unit': 'rad/s'}
    data['state'].append(channel)
    Path('bad.yaml').write_text(yaml.safe_dump(data))
    assert main(['check', 'bad.yaml', '--json', 'found.json']) == 2
    [found] = json.loads(Path('found.json').read_text())['mistakes']
    assert found['place'] == f'state.{len(data["state"]) - 1}'
    assert "topic 'imuu' is not listed; did you mean 'imu'?" in found['text']


def test_a_sound_file_is_summed_up(place, capsys):
    assert main(['check', 'hopper', '--json', 'found.json']) == 0
    said = capsys.readouterr().out
    spec = load_robot('hopper')
    for part in ('no mistake', f'{1 / spec.period_s:g} Hz', spec.state[0].name, *spec.topics):
        assert part in said
    found = json.loads(Path('found.json').read_text())
    assert not [*misfits('check', found)]
    assert found['mistakes'] == [] and found['robot']['action'] == list(spec.action.joints)


@pytest.mark.parametrize('name', robot_names())
def test_no_shipped_robot_has_a_mistake_by_its_file(name):
    found, spec, *_ = read_leniently(read_robot(name)[1])
    assert found == [] and spec == RobotSpec.model_validate(read_robot(name)[1])


def test_where_too_little_is_left_it_says_so(place, capsys):
    Path('bad.yaml').write_text('name: x\nstate: 3\n')
    assert main(['check', 'bad.yaml']) == 2
    lines = capsys.readouterr().out.splitlines()
    missing = ('period_s', 'topics', 'action', 'safety')
    assert {f"bad.yaml:1: {key}: missing key '{key}'" for key in missing} <= set(lines)
    assert any(line.startswith('bad.yaml:2: state: ') for line in lines)
    assert 'were not looked at' in lines[-1]


def test_a_model_that_is_not_there_is_one_mistake_among_others(place, capsys):
    data = yaml.safe_load(Path(read_robot('hopper')[0]).read_text())
    data['simulation']['model'] = 'nowhere.xml'
    data['tasks'] = {'a': {'reward': [{'term': 'alivee'}]}}
    Path('bad.yaml').write_text(yaml.safe_dump(data))
    assert main(['check', 'bad.yaml']) == 2
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert any('simulation.model: ' in line and 'nowhere.xml' in line for line in lines)


def test_a_file_that_is_no_mapping_is_refused_as_ever(place, capsys):
    Path('bad.yaml').write_text('- 1\n')
    assert main(['check', 'bad.yaml']) == 2
    assert 'must hold a mapping' in capsys.readouterr().err
    with pytest.raises(UserError, match='unknown robot'):
        read_robot('hoper')


def test_a_place_has_the_line_of_what_is_nearest_around_it(place):
    Path('a.yaml').write_text('a: 1\nb:\n  - {c: 2}\n  -\n    d: 3\n')
    assert line_of(Path('a.yaml'), ('a',)) == 1
    assert line_of(Path('a.yaml'), ('b', 1, 'd')) == 5
    assert line_of(Path('a.yaml'), ('b', 0, 'x')) == 3
    assert line_of(Path('a.yaml'), ('z',)) == 1


def test_what_comes_next_is_a_model_or_with_goals_a_policy(tmp_path, capsys):
    path = tmp_path / 'mine.yaml'
    reward = 'reward: [{term: forward_velocity, channel: x}], episode_steps: 50'
    for goals, algorithm in (
        ('', 'mb'),
        (', goals: {"mass:torso": {range: [1, 2], held_out: [2, 3]}}', 'promp'),
    ):
        path.write_text(
            'extends: half_cheetah_20hz.yaml\nname: mine\n'
            f'tasks: {{go: {{description: go, {reward}{goals}}}}}\n'
        )
        assert main(['check', str(path)]) == 0
        assert (
            f'next    mbmrl train {algorithm} --robot {path} --task go' in capsys.readouterr().out
        )
