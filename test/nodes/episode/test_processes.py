# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes as processes: what killing one does to the actuators, and what wrong input answers."""

import gc
import os
import signal

import pytest
from lifecycle_msgs.srv import GetState
from sensor_msgs.msg import JointState

from mbmrl_ros.nodes.common.messages import stamp_ns
from mbmrl_ros.nodes.common.signals import ending_signals
from mbmrl_ros.nodes.controller import controller_node
from mbmrl_ros.nodes.recording import player_node, recorder_node
from mbmrl_ros.nodes.simulator import sim_node
from mbmrl_ros.spec.robot import load_robot

SPEC = load_robot('half_cheetah')
APPLIED = 'sim_node/applied_command'


def planned(message):
    return any(message.effort)


@pytest.fixture
def driven(bench):
    """A simulator here, driven by a controller in a process of its own: its applied commands."""
    applied = bench.listen(JointState, APPLIED)
    bench.sim()
    process = bench.process('controller_node', bundle=str(bench.bundle), threads=1)
    bench.until(lambda: applied and planned(applied[-1]))
    return process, applied


def ended(bench, process):
    """Wait for the end of a process; return its exit code."""
    bench.until(lambda: process.poll() is not None)
    return process.returncode


@pytest.mark.parametrize(
    ('signals', 'code'),
    [
        ([signal.SIGINT], 0),
        ([signal.SIGTERM], 0),
        ([signal.SIGINT, signal.SIGINT], 0),
        ([signal.SIGHUP, signal.SIGHUP, signal.SIGTERM], 128 + signal.SIGHUP),
    ],
)
def test_the_last_command_of_a_controller_that_is_stopped_is_the_fallback(
    bench, driven, signals, code
):
    process, applied = driven
    commands = bench.listen(JointState, 'joint_commands')
    bench.until(lambda: commands and planned(commands[-1]))
    for number in signals:
        process.send_signal(number)
    assert ended(bench, process) == code
    assert 'Traceback' not in bench.output()
    bench.until(lambda: not planned(applied[-1]))
    assert len(commands[-1].effort) == 6 and not planned(commands[-1])


def test_a_closed_terminal_ends_gate_simulator_and_recorder_in_order(bench, tmp_path):
    nodes = {
        'gate': bench.process('command_gate'),
        'simulation': bench.process('sim_node'),
        'recorder': bench.process('recorder_node', out=str(tmp_path / 'bag')),
    }
    for entry in nodes:
        bench.until_status(entry, lambda message, _: message != 'inactive')
    for process in nodes.values():
        process.send_signal(signal.SIGHUP)
    for process in nodes.values():
        assert ended(bench, process) == 128 + signal.SIGHUP
    assert 'Traceback' not in bench.output()
    assert (tmp_path / 'bag' / 'metadata.yaml').exists()


def test_killing_the_controller_leaves_the_actuators_at_the_fallback_after_the_time_out(
    bench, driven
):
    process, applied = driven
    process.kill()
    bench.until(lambda: applied[-1].header.frame_id.startswith('fallback: command is '))
    assert not planned(applied[-1])
    count = len(applied)
    bench.until(lambda: len(applied) > count + 20)
    assert not any(map(planned, applied[count:]))
    # Held no longer than the time-out: ten periods, and the one that began before its end.
    assert process.wait() == -signal.SIGKILL
    last = max(i for i, message in enumerate(applied) if planned(message))
    held = [m for m in applied[: last + 1] if list(m.effort) == list(applied[last].effort)]
    span_s = (stamp_ns(held[-1].header.stamp) - stamp_ns(held[0].header.stamp)) / 1e9
    assert span_s <= SPEC.action.timeout_s + SPEC.period_s


@pytest.mark.parametrize('lockstep', [False, True])
def test_killing_the_simulator_makes_the_controller_send_the_fallback_with_the_reason(
    bench, lockstep
):
    commands = bench.listen(JointState, 'joint_commands')
    # With the simulator its /clock stops, and with it every ROS timer of the controller.
    bench.controller(lockstep=lockstep, lockstep_timeout_s=0.5, use_sim_time=True)
    process = bench.process('sim_node', lockstep=lockstep)
    bench.until(lambda: commands and planned(commands[-1]))
    process.kill()
    bench.until(lambda: not planned(commands[-1]))
    bench.until_status('control', lambda message, _: 'stale' in message)
    level, _, values = bench.status('control')
    assert level == b'\x02' and ': stale, ' in values['reason']


def test_in_lockstep_killing_the_controller_ends_in_real_time_at_the_fallback(bench):
    applied = bench.listen(JointState, APPLIED)
    bench.sim(lockstep=True, lockstep_timeout_s=0.5)
    process = bench.process('controller_node', bundle=str(bench.bundle), threads=1, lockstep=True)
    bench.until(lambda: applied and planned(applied[-1]))
    process.kill()
    bench.until(lambda: applied[-1].header.frame_id.startswith('fallback: no command for '))
    count = len(applied)
    bench.until_status('simulation', lambda _, values: 'no command' in values['mode'])
    bench.until(lambda: len(applied) > count + 20)
    assert not any(map(planned, applied[count:]))
    # Another controller takes over: lockstep again, from the state that is there.
    bench.controller(lockstep=True)
    bench.until(lambda: planned(applied[-1]))
    bench.until_status('simulation', lambda _, values: values['mode'] == 'lockstep')


@pytest.fixture
def signal_handlers():
    """The nodes' main functions end by ignoring signals; here the process goes on."""
    numbers = ending_signals()
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers):
        signal.signal(number, handler)
    # A node that could not be made is in a cycle with the error that says why, and its DDS
    # participant with it; a process would have ended here.
    gc.collect()


@pytest.mark.parametrize(
    ('main', 'arguments', 'message'),
    [
        (sim_node.main, ['-p', 'robot:=half_cheeta'], "did you mean 'half_cheetah'"),
        (sim_node.main, ['-p', 'sed:=3'], "unknown parameter 'sed'; did you mean 'seed'"),
        (sim_node.main, ['-p', 'seed:=three'], 'seed: Input should be a valid integer'),
        (sim_node.main, ['-p', 'seed:=-1'], 'seed: Input should be greater than or equal to 0'),
        (sim_node.main, ['-p', 'speed_factor:=0'], 'speed_factor'),
        (sim_node.main, ['-p', 'task:=half_cheetah/disabled_join'], 'unknown task'),
        (sim_node.main, ['-p', "schedule:=['disabled_joint:x@1']"], "no target 'x'"),
        (sim_node.main, ['-p', "schedule:=['disabled_joint:bthigh']"], 'kind:target@step'),
        (sim_node.main, ['-p', 'schedule:=[a:b@1]'], 'ROS arguments are not valid'),
        (sim_node.main, ['-p'], 'ROS arguments are not valid'),
        (sim_node.main, ['--params-file', '/no/such.yaml'], 'cannot read /no/such.yaml'),
        (recorder_node.main, ['-p', "also:=['1x']"], 'also.0: a topic is letters'),
        (recorder_node.main, ['-p', f'out:={"x" * 300}'], 'x: File name too long'),
        (player_node.main, ['-p', f'bag:={"x" * 300}'], 'x: File name too long'),
        (controller_node.main, ['-p', 'robot:=octopus'], 'unknown robot'),
        (controller_node.main, ['-p', 'bundle:=/no/such'], "no bundle '/no/such'"),
        (controller_node.main, ['-p', 'adaptation:=maml'], 'adaptation'),
        (controller_node.main, ['-p', 'planner.horizn:=3'], "did you mean 'planner.horizon'"),
        (controller_node.main, ['-p', 'planner.noise:=-1.0'], 'planner.noise'),
    ],
)
def test_wrong_input_is_answered_by_one_line_and_exit_code_2(
    signal_handlers, capfd, main, arguments, message
):
    assert main(['--ros-args', *arguments]) == 2
    printed = capfd.readouterr()
    assert message in printed.err and printed.err.count('\n') == 1, printed.err
    assert printed.out == ''


def test_arguments_that_are_no_ros_arguments_are_refused(signal_handlers, capfd):
    assert sim_node.main(['robot:=half_cheetah']) == 2
    assert "unknown argument 'robot:=half_cheetah'" in capfd.readouterr().err


def test_help_lists_every_parameter_with_its_default(capfd):
    assert controller_node.main(['--help']) == 0
    printed = capfd.readouterr().out
    for name in ('bundle', 'planner.candidates', 'lockstep_timeout_s', 'adaptation'):
        assert f'  {name} (default ' in printed


def test_a_bundle_for_another_robot_ends_the_controller_with_the_field_that_differs(
    signal_handlers, capfd, make_bundle, tmp_path
):
    faster = SPEC.model_copy(update={'period_s': 0.02})
    faster = type(SPEC).model_validate(faster.model_dump())
    path = make_bundle(tmp_path / 'faster', spec=faster)
    assert controller_node.main(['--ros-args', '-p', f'bundle:={path}']) == 2
    assert 'its period_s is 0.02' in capfd.readouterr().err


def test_a_process_answers_wrong_input_with_its_exit_code_and_leaves_no_traceback(bench):
    process = bench.process('sim_node', robot='half_cheeta')
    assert ended(bench, process) == 2
    assert bench.output().count('\n') == 1 and 'Traceback' not in bench.output()


def test_without_autostart_a_node_waits_to_be_configured(bench):
    process = bench.process('sim_node', autostart=False)
    state = bench.call(GetState, 'sim_node/get_state').current_state.label
    assert state == 'unconfigured'
    os.kill(process.pid, signal.SIGTERM)
    assert ended(bench, process) == 0
