# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The launch files: by ast everywhere, and run where launch_ros (no wheel) is installed."""

import ast
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from mbmrl_ros.system.machine import slowness

ROOT = Path(__file__).resolve().parents[2]
COMMON = {
    'namespace',
    'use_sim_time',
    'robot',
    'bundle',
    'mode',
    'params_file',
    'autostart',
    'log_level',
    'lockstep',
    'gate',
    'rviz',
}
ARGUMENTS = {
    'robot': COMMON,
    'sim': COMMON | {'controller'},
    'record': COMMON - {'bundle', 'mode', 'lockstep', 'gate', 'rviz'} | {'out'},
    'rviz': {'namespace', 'use_sim_time', 'robot', 'urdf', 'rviz_config'},
    'train': {
        'namespace', 'algorithm', 'task', 'robot', 'data', 'config', 'settings', 'seed', 'out',
        'threads', 'autostart', 'log_level',
    },
    'learn': {
        'namespace', 'use_sim_time', 'parts', 'algorithm', 'task', 'robot', 'config', 'settings',
        'seed', 'out', 'key_file', 'start_from', 'steps', 'reset', 'lockstep', 'gate',
        'realtime_priority', 'threads', 'checkpoint_s', 'niceness', 'autostart', 'log_level',
    },
}  # fmt: skip
# Constants at the top of launch files that list arguments.
LISTS = ('PARAMETERS', 'LEARNER_PARAMETERS', 'SHARED', 'SHOWN', 'OPTIONS')
# Launch file, node, the constants that say which arguments are its parameters, its settings.
NODES = [
    ('sim', 'sim_node', 'PARAMETERS', 'SimSettings'),
    ('robot', 'controller_node', 'PARAMETERS', 'ControllerSettings'),
    ('robot', 'command_gate', 'GATE_PARAMETERS', 'GateSettings'),
    ('record', 'recorder_node', 'PARAMETERS', 'RecorderSettings'),
    ('train', 'trainer_node', 'PARAMETERS', 'TrainerSettings'),
    ('learn', 'collector_node', 'SHARED PARAMETERS', 'CollectorSettings'),
    ('learn', 'model_learner_node', 'SHARED LEARNER_PARAMETERS', 'LearnerSettings'),
    ('learn', 'policy_learner_node', 'SHARED LEARNER_PARAMETERS', 'LearnerSettings'),
]
DEADLINE_S = 60.0


def tree_of(name: str) -> ast.Module:
    return ast.parse((ROOT / 'launch' / f'{name}.launch.py').read_text())


def flat(values: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """Return nested parameters with the names that rcl gives them."""
    result = {}
    for key, value in values.items():
        nested = isinstance(value, dict)
        result |= flat(value, f'{prefix}{key}.') if nested else {f'{prefix}{key}': value}
    return result


def calls(tree: ast.Module, name: str) -> list[ast.Call]:
    """Return the calls of a function or class of that name."""
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [call for call in found if isinstance(call.func, ast.Name) and call.func.id == name]


def first_literal(call: ast.Call) -> Any:
    return ast.literal_eval(call.args[0])


def keyword(call: ast.Call, name: str) -> ast.expr:
    return next(keyword.value for keyword in call.keywords if keyword.arg == name)


def names_in(tree: ast.Module, constant: str) -> set[str]:
    """Return the names in a list, or the keys in a dictionary, at the top of a launch file."""
    assigned = (node for node in tree.body if isinstance(node, ast.Assign))
    values = [node.value for node in assigned if ast.unparse(node.targets[0]) == constant]
    nodes = [node for value in values for node in ast.iter_child_nodes(value)]
    return {node.value for node in nodes if isinstance(node, ast.Constant)}


@pytest.mark.parametrize('name', ARGUMENTS)
def test_a_launch_file_declares_the_expected_arguments_each_with_default_and_description(name):
    declared = calls(tree_of(name), 'DeclareLaunchArgument')
    assert {first_literal(call) for call in declared} == ARGUMENTS[name]
    for call in declared:
        assert {'default_value', 'description'} <= {keyword.arg for keyword in call.keywords}


@pytest.mark.parametrize('name', ARGUMENTS)
def test_every_argument_that_is_declared_is_used_and_the_other_way_round(name):
    tree = tree_of(name)
    used = [call.args[0] for call in calls(tree, 'LaunchConfiguration')]
    names = {ast.literal_eval(name) for name in used if isinstance(name, ast.Constant)}
    assert names.union(*(names_in(tree, constant) for constant in LISTS)) == ARGUMENTS[name]


@pytest.mark.parametrize('name', ARGUMENTS)
def test_every_node_is_an_executable_of_the_package(name):
    executables = []
    for node in calls(tree_of(name), 'LifecycleNode'):
        assert ast.literal_eval(keyword(node, 'package')) == 'mbmrl_ros'
        executables.append(ast.literal_eval(keyword(node, 'executable')))
        assert ast.literal_eval(keyword(node, 'name')) == executables[-1]
        assert (ROOT / 'scripts' / executables[-1]).is_file()
    assert sorted(executables) == sorted(node for file, node, _, _ in NODES if file == name)


@pytest.mark.parametrize('name', ['robot', 'sim', 'record', 'train', 'learn'])
def test_a_launch_needs_all_that_it_starts(name):
    tree = tree_of(name)
    started = {
        ast.unparse(node.targets[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and ast.unparse(node.value).startswith(('LifecycleNode(', 'ExecuteProcess('))
    }
    needed = {ast.unparse(argument) for call in calls(tree, 'needed') for argument in call.args}
    assert started and needed == started


def included(tree: ast.Module) -> set[str]:
    """Return the launch files that one includes."""
    text = ast.unparse(tree)
    return set(re.findall(r"ThisLaunchFileDir\(\), '/(\w+)\.launch\.py'", text))


def test_the_simulator_includes_robot_launch_with_all_its_arguments():
    tree = tree_of('sim')
    assert included(tree) == {'robot', 'rviz'}
    assert names_in(tree, 'SHARED') == ARGUMENTS['robot']


@pytest.mark.parametrize('name', ['robot', 'sim'])
def test_rviz_gets_what_it_has_in_common_with_the_file_that_includes_it(name):
    tree = tree_of(name)
    assert 'rviz' in included(tree)
    assert names_in(tree, 'SHOWN') == ARGUMENTS['rviz'] & ARGUMENTS[name]


def test_what_rviz_launch_starts_is_required_by_package_xml():
    tree = tree_of('rviz')
    packages = {ast.literal_eval(keyword(node, 'package')) for node in calls(tree, 'Node')}
    assert packages == names_in(tree, 'PACKAGES')
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    assert packages <= {element.text for element in manifest.findall('exec_depend')}


def test_algorithms_that_plan_in_their_model_are_launched_without_a_policy_learner():
    from mbmrl_ros.algorithms import LEARNERS

    assert names_in(tree_of('learn'), 'WITHOUT_POLICY') == set(LEARNERS)


def test_options_of_training_are_options_of_the_command(capsys):
    from mbmrl_ros.cli.main import main

    with pytest.raises(SystemExit):
        main(['train', '--help'])
    options = set(re.findall(r'--\w+', capsys.readouterr().out))
    assert {f'--{name}' for name in names_in(tree_of('train'), 'OPTIONS')} <= options


@pytest.mark.parametrize(('name', 'node', 'constants', 'model'), NODES)
def test_arguments_and_shipped_file_together_give_every_parameter_once(
    name, node, constants, model
):
    # An argument wins even where its default was meant: a value in the file would never count.
    pytest.importorskip('rclpy', reason='the nodes need it')
    from mbmrl_ros.nodes.common import settings
    from mbmrl_ros.nodes.common.params import flat_values, validate
    from mbmrl_ros.nodes.learners import settings as learning

    model = getattr(settings, model, None) or getattr(learning, model)
    data = yaml.safe_load((ROOT / 'config' / 'nodes.params.yaml').read_text())
    in_file = flat(data.get(f'/**/{node}', {'ros__parameters': {}})['ros__parameters'])
    tree = tree_of(name)
    arguments = set.union(*(names_in(tree, constant) for constant in constants.split()))
    arguments -= {'use_sim_time'}
    defaults = dict(flat_values(model()))
    assert set(in_file).isdisjoint(arguments)
    assert set(in_file) | arguments == set(defaults)
    shipped = dict(flat_values(validate(model, in_file, 'nodes.params.yaml')))
    assert shipped == defaults


LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

file, *arguments = sys.argv[1:]
source = PythonLaunchDescriptionSource(file)
given = [argument.split(':=', 1) for argument in arguments]
service = LaunchService()
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=given)])
)
sys.exit(service.run())
"""


@contextmanager
def launched(
    installation: Any, log: Path, name: str, *arguments: str, more: tuple[Path, ...] = ()
) -> Iterator[subprocess.Popen]:
    """Run a launch file in a process group of its own, as a terminal does.

    more: prefixes of further packages.
    """
    file = installation.prefix / 'share' / 'mbmrl_ros' / 'launch' / f'{name}.launch.py'
    prefixes = os.pathsep.join(map(str, [installation.prefix, *more, sys.prefix]))
    with log.open('w') as stream:
        process = subprocess.Popen(
            [sys.executable, '-c', LAUNCH, str(file), *arguments],
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=installation.environment(AMENT_PREFIX_PATH=prefixes),
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Observer:
    """A node outside of the launch that asks others for their lifecycle state."""

    def __init__(self) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node('observer', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)

    def state_of(self, name: str) -> str:
        """Return the lifecycle state of a node, '' if it does not answer."""
        from lifecycle_msgs.srv import GetState

        client = self._node.create_client(GetState, f'{name}/get_state')
        try:
            if not client.wait_for_service(timeout_sec=1.0):
                return ''
            future = client.call_async(GetState.Request())
            self._executor.spin_until_future_complete(future, timeout_sec=2.0)
            return future.result().current_state.label if future.done() else ''
        finally:
            self._node.destroy_client(client)

    def publishers_of(self, topic: str) -> list[str]:
        """Return the names of the nodes that publish on a topic."""
        return [info.node_name for info in self._node.get_publishers_info_by_topic(topic)]

    def close(self) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()


def wait_for_states(observer: Observer, expected: dict[str, str], log: Path) -> None:
    """Wait until the named nodes are in the expected states."""
    end = time.monotonic() + DEADLINE_S * slowness()
    while (states := {name: observer.state_of(name) for name in expected}) != expected:
        assert time.monotonic() < end, f'{states}\n{log.read_text()}'


@pytest.fixture
def observer() -> Iterator[Observer]:
    pytest.importorskip('launch_ros', reason='there is no wheel of launch_ros')
    observer = Observer()
    yield observer
    observer.close()


def test_sim_launch_takes_both_nodes_to_active_in_a_namespace_and_ends_with_ctrl_c(
    installation, observer, tmp_path
):
    log = tmp_path / 'log'
    with launched(installation, log, 'sim', 'namespace:=bot', 'lockstep:=true') as process:
        nodes = {'/bot/sim_node': 'active', '/bot/controller_node': 'active'}
        wait_for_states(observer, nodes, log)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=DEADLINE_S * slowness()) == 0, log.read_text()
    assert 'Traceback' not in log.read_text()


def test_with_the_gate_commands_of_the_simulated_robot_pass_through_it(
    installation, observer, tmp_path
):
    log = tmp_path / 'log'
    with launched(installation, log, 'sim', 'namespace:=bot', 'gate:=true') as process:
        nodes = {f'/bot/{name}': 'active' for name in ('sim_node', 'controller_node')}
        wait_for_states(observer, nodes | {'/bot/command_gate': 'active'}, log)
        assert observer.publishers_of('/bot/joint_commands') == ['command_gate']
        assert observer.publishers_of('/bot/wanted_commands') == ['controller_node']
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=DEADLINE_S * slowness()) == 0, log.read_text()
    assert 'Traceback' not in log.read_text()


@pytest.mark.parametrize(
    ('name', 'arguments', 'failed'),
    [
        ('robot', ['robot:=half_cheeta'], 'controller_node'),
        ('robot', ['bundle:=missing', 'gate:=true'], 'controller_node'),
        ('sim', ['bundle:=missing', 'lockstep:=true'], 'controller_node'),
        ('record', ['robot:=half_cheeta'], 'recorder_node'),
        ('train', ['algorithm:=nothing'], 'trainer_node'),
    ],
)
def test_a_process_that_fails_ends_the_launch_with_another_exit_code_than_zero(
    installation, tmp_path, name, arguments, failed
):
    pytest.importorskip('launch_ros', reason='there is no wheel of launch_ros')
    log = tmp_path / 'log'
    with launched(installation, log, name, *arguments) as process:
        assert process.wait(timeout=DEADLINE_S) == 1, log.read_text()
    text = log.read_text()
    assert re.search(rf'{failed}-\d+ failed with exit code 2', text), text
    assert 'Traceback' not in text


def test_without_autostart_the_controller_waits_to_be_configured(installation, observer, tmp_path):
    log = tmp_path / 'log'
    with launched(installation, log, 'robot', 'autostart:=false') as process:
        wait_for_states(observer, {'/controller_node': 'unconfigured'}, log)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=DEADLINE_S * slowness()) == 0, log.read_text()


STAND_IN = """#!/usr/bin/env python3
import json, pathlib, signal, sys
(pathlib.Path(__file__).parent / 'arguments.json').write_text(json.dumps(sys.argv[1:]))
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
signal.pause()
"""


@pytest.fixture
def viewers(tmp_path: Path) -> Path:
    """A prefix with stand-ins for RViz and robot_state_publisher that write their arguments."""
    pytest.importorskip('launch_ros', reason='there is no wheel of launch_ros')
    prefix = tmp_path / 'viewers'
    index = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True)
    for package in names_in(tree_of('rviz'), 'PACKAGES'):
        (index / package).touch()
        executable = prefix / 'lib' / package / package
        executable.parent.mkdir(parents=True)
        executable.write_text(STAND_IN)
        executable.chmod(0o755)
    return prefix


def wait_for(condition: Any, log: Path) -> None:
    end = time.monotonic() + DEADLINE_S * slowness()
    while not condition():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


def parameters_in(arguments: list[str]) -> dict[str, Any]:
    """Return the parameters of all files that a node is given."""
    files = [value for flag, value in itertools.pairwise(arguments) if flag == '--params-file']
    result = {}
    for file in files:
        for node in yaml.safe_load(Path(file).read_text()).values():
            result |= node['ros__parameters']
    return result


@pytest.mark.parametrize(
    ('name', 'arguments', 'robot'),
    [
        ('robot', ['robot:=millirobot', 'autostart:=false'], 'millirobot'),
        (
            'sim',
            ['robot:=pr2_left_arm_peg', 'controller:=false', 'autostart:=false'],
            'pr2_left_arm',
        ),
    ],
)
def test_with_rviz_the_robot_is_shown_by_its_urdf_and_configuration(
    installation, viewers, observer, tmp_path, name, arguments, robot
):
    log = tmp_path / 'log'
    files = [viewers / 'lib' / p / 'arguments.json' for p in ('rviz2', 'robot_state_publisher')]
    arguments = [*arguments, 'namespace:=bot', 'rviz:=true', 'use_sim_time:=true']
    with launched(installation, log, name, *arguments, more=(viewers,)) as process:
        wait_for(lambda: all(file.is_file() and file.read_text() for file in files), log)
        rviz, body = (json.loads(file.read_text()) for file in files)
        share = installation.prefix / 'share' / 'mbmrl_ros'
        assert rviz[:2] == ['-d', str(share / 'config' / f'{robot}.rviz')]
        assert '__ns:=/bot' in rviz and '__ns:=/bot' in body
        assert parameters_in(rviz)['use_sim_time'] is True
        given = parameters_in(body)
        assert given['use_sim_time'] is True
        # YAML keeps no white space at the ends of lines.
        expected = (share / 'urdf' / f'{robot}.urdf').read_text()
        assert given['robot_description'].split() == expected.split()
        node = {'robot': '/bot/controller_node', 'sim': '/bot/sim_node'}[name]
        wait_for_states(observer, {node: 'unconfigured'}, log)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=DEADLINE_S * slowness()) == 0, log.read_text()
    assert 'Traceback' not in log.read_text()


@pytest.mark.parametrize(
    ('arguments', 'shown', 'line'),
    [
        (['robot:=millirobot'], False, 'no RViz: not installed: rviz2, robot_state_publisher'),
        (['robot:=half_cheetah'], True, 'no RViz: none for half_cheetah: give urdf:=FILE'),
        (['urdf:=missing.urdf'], True, 'no RViz: missing.urdf: give urdf:=FILE'),
    ],
)
def test_what_rviz_lacks_is_said_in_a_line(
    installation, viewers, tmp_path, arguments, shown, line
):
    log = tmp_path / 'log'
    more = (viewers,) if shown else ()
    with launched(installation, log, 'rviz', *arguments, more=more) as process:
        # Nothing is started, so the launch ends by itself.
        assert process.wait(timeout=DEADLINE_S * slowness()) == 0, log.read_text()
    assert line in log.read_text() and 'Traceback' not in log.read_text()


def test_training_is_launched_with_its_options_and_ends_with_a_bundle(installation, tmp_path):
    pytest.importorskip('launch_ros', reason='there is no wheel of launch_ros')
    log, out = tmp_path / 'log', tmp_path / 'run'
    small = {
        'iterations': 1, 'rollouts': 2, 'rollout_steps': 40, 'hidden_sizes': [8], 'epochs': 1,
        'past_steps': 4, 'future_steps': 4, 'batch_size': 8, 'held_out': 0.5,
        'planner': '{candidates: 4, horizon: 3}', 'control_planner': '{candidates: 4, horizon: 3}',
    }  # fmt: skip
    settings = json.dumps([f'{key}={value}' for key, value in small.items()])
    arguments = ['algorithm:=mb', 'task:=half_cheetah/disabled_joint', 'seed:=3', f'out:={out}']
    with launched(installation, log, 'train', *arguments, f'settings:={settings}') as process:
        assert process.wait(timeout=DEADLINE_S * slowness()) == 0, log.read_text()
    assert (out / 'bundle' / 'bundle.json').is_file(), log.read_text()
    assert json.loads((out / 'bundle' / 'bundle.json').read_text())['algorithm'] == 'mb'
    assert 'process has finished cleanly' in log.read_text()
