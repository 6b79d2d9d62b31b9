# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""docs/own_robot.md by its own commands, and a URDF arm that the package does not know."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from running import count, running

from mbmrl_ros.bundles.dynamics import load_bundle
from mbmrl_ros.cli.main import main
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.rewards.reward import build_reward
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import load_robot

PAGE = (Path(__file__).parent.parent / 'docs' / 'own_robot.md').read_text()
COMMANDS = [shlex.split(line)[1:] for line in re.findall(r'^    (mbmrl .*)$', PAGE, re.MULTILINE)]
NODES = ('sim', 'control')
# For a test a small network does, and short episodes.
SMALL = ['hidden_sizes=[32]', 'batch_size=64', 'epochs=2', 'past_steps=8', 'future_steps=8',
         'iterations=1', 'rollouts=4', 'rollout_steps=40', 'validation_fraction=0.5',
         'planner={kind: random_shooting, candidates: 16, horizon: 3}',
         'control_planner={candidates: 16, horizon: 3}']  # fmt: skip
FEWER = {
    'train': [*(part for item in SMALL for part in ('--set', item)), '--threads', '1'],
    'evaluate': ['--steps', '10', '--threads', '1', '--test', 'undisturbed'],
}
ARM = """\
<robot name="crane">
  <link name="foot"/>
  {links}
</robot>
"""
LINK = """
  <link name="{name}">
    <inertial><mass value="1"/><origin xyz="0 0 0.1"/>
      <inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial>
    <collision><origin xyz="0 0 0.1"/><geometry><box size="0.05 0.05 0.2"/></geometry></collision>
  </link>
  <joint name="{joint}" type="{kind}">
    <parent link="{parent}"/><child link="{name}"/><origin xyz="0 0 {z}"/><axis xyz="{axis}"/>
    {limit}
  </joint>
"""


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def crane() -> str:
    """Write a URDF with a joint that turns round and round, a hinge, and a slide."""
    links = [
        ('column', 'turn', 'continuous', 'foot', 0, '0 0 1', '<limit effort="8" velocity="2"/>'),
        ('boom', 'on', 'revolute', 'column', 0.2, '0 1 0',
         '<limit lower="-1" upper="1.5" effort="20" velocity="2"/>'),
        ('hook', 'lift', 'prismatic', 'boom', 0.2, '0 0 1',
         '<limit lower="0" upper="0.3" effort="40" velocity="1"/>'),
    ]  # fmt: skip
    names = ('name', 'joint', 'kind', 'parent', 'z', 'axis', 'limit')
    text = ''.join(LINK.format(**dict(zip(names, link))) for link in links)
    Path('crane.urdf').write_text(ARM.format(links=text))
    return 'crane.urdf'


def test_the_page_is_followed_from_a_model_to_a_robot_that_drives(place, capsys):
    assert [command[0] for command in COMMANDS] == [
        'init', 'check', 'robots', 'tasks', *2 * ('train', 'evaluate'), *NODES,
    ]  # fmt: skip
    said = {}
    for command in COMMANDS[: -len(NODES)]:
        assert main([*command, *FEWER.get(command[0], [])]) == 0, command
        said[command[0]] = capsys.readouterr().out
    assert 'walker.yaml: no mistake found' in said['check'] and '25 Hz' in said['check']
    assert said['robots'].startswith('walker.yaml: walker: ')
    assert said['tasks'].startswith('walker/forward: ') and 'walker/stay: ' in said['tasks']
    assert 'no losses' in said['evaluate'], 'a window is longer than the ten steps of a test'
    info = load_bundle(Path('runs/walker/bundle'), load_robot('walker.yaml')).info
    assert (info.robot, info.task) == ('walker', 'walker/forward')
    record = ['record', '--ros-args', '-p', 'robot:=walker.yaml', '-p', 'out:=bag']
    with running(*COMMANDS[-len(NODES) :], record) as until:
        until(lambda: min(count('bag', topic) for topic in ('/odom', '/joint_commands')) >= 10)


def test_a_urdf_arm_that_the_package_does_not_know_is_checked_and_simulated(place, capsys):
    assert main(['init', crane()]) == 0
    assert 'crane.yaml: no mistake found' in capsys.readouterr().out
    spec = load_robot('crane.yaml')
    assert [channel.name for channel in spec.state] == [
        'sin_turn', 'cos_turn', 'on', 'lift', 'turn_rate', 'on_rate', 'lift_rate',
    ]  # fmt: skip
    assert spec.action.upper == (8, 20, 40) and spec.action.lower == (-8, -20, -40)
    assert spec.simulation.arm.tool == 'hook' and spec.period_s == 0.05
    world = World(spec)
    world.reset(np.random.default_rng(0))
    for _ in range(10):
        world.step(np.array([1.0, 0.0, 0.0]))
    turned = world.signals()[spec.signals.index('joint_states:velocity[turn]')]
    assert world.healthy and turned > 0.1
    for name in ('reach', 'hold'):
        build_reward(spec, load_task(name, 'crane.yaml').reward)
    assert load_task('hold', 'crane.yaml').reward[0].target == {
        'sin_turn': 0,
        'cos_turn': 1,
        'on': 0,
        'lift': 0,
    }


@pytest.mark.parametrize('model', ['ant', 'swimmer', 'reacher', 'inverted_pendulum', 'pusher'])
def test_every_kind_of_model_makes_a_file_without_mistakes(place, model):
    assert main(['init', f'gymnasium/{model}.xml']) == 0


def test_what_cannot_be_written_is_refused_in_one_line(place, capsys):
    Path('still.xml').write_text('<mujoco><worldbody><body name="a"/></worldbody></mujoco>')
    for arguments, said in (
        (['still.xml'], 'no joint has a motor'),
        (['nowhere.xml'], 'nowhere.xml'),
        (['gymnasium/ant.xml', '--out', 'ant.txt'], 'NAME.yaml'),
    ):
        assert main(['init', *arguments]) == 2
        line = capsys.readouterr().err
        assert said in line and line.count('\n') == 1
    Path('ant.yaml').write_text('mine')
    assert main(['init', 'gymnasium/ant.xml']) == 2
    assert Path('ant.yaml').read_text() == 'mine' and 'there already' in capsys.readouterr().err


def test_lists_of_a_file_with_a_mistake_say_so(place, capsys):
    Path('bad.yaml').write_text('name: x\n')
    assert main(['tasks', '--robot', 'bad.yaml']) == 2
    assert 'bad.yaml: missing key' in capsys.readouterr().err
    with pytest.raises(UserError):
        load_robot('bad.yaml')
