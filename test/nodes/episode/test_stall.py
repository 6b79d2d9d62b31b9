# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A run that stands still says who stopped, why, and what to do; a slow machine gets more time."""

import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from rclpy.serialization import serialize_message

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.messages import command_message, sensor_writer
from mbmrl_ros.nodes.episode import episode as episodes
from mbmrl_ros.nodes.episode.episode import Episode, _debt, _spin
from mbmrl_ros.nodes.episode.stall import LEAST_S, NodeProcess, Pace, explain
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.system import machine

SPEC = load_robot('half_cheetah')
EPISODE = Episode(SPEC, 100, (), {}, {})
STATE, COMMAND = (f'/demo/{name}' for name in ('odom', SPEC.action.topic))


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setattr(machine, 'cores', lambda: 2.0)
    monkeypatch.setattr(machine, 'load', lambda: 1.0)


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)
    yield NodeProcess('controller_node', process)
    process.kill()
    process.wait()
    process.stdin.close()


def paced(*steps_s):
    """Return the pace of a run whose first step came after 8 s, and the moment of the last."""
    pace, now_s = Pace(0.0), 8.0
    pace.step(1, now_s)
    for count, step_s in enumerate(steps_s):
        now_s += step_s
        pace.step(2 + count, now_s)
    return pace, now_s


def held(state_ns, command_ns=None):
    """What a recorder holds of a run."""
    signals = np.zeros(len(SPEC.signals))
    newest = {}
    if state_ns:
        for topic in SPEC.topics:
            message = sensor_writer(SPEC, topic, label=True)(signals, state_ns)
            newest[f'/demo/{topic}'] = serialize_message(message)
    if command_ns:
        message = command_message(SPEC, np.zeros(SPEC.action_size), command_ns, label=True)
        newest[COMMAND] = serialize_message(message)
    return SimpleNamespace(newest=newest, counts=Counter(), problem='')


def test_a_step_may_take_long_where_steps_and_machine_are_slow(monkeypatch):
    assert Pace(0.0).limit_s == LEAST_S
    assert paced(*[0.04] * 50)[0].limit_s == LEAST_S
    # Steps of 4 s: 30 of them.
    assert paced(*[0.04] * 50, *[4.0] * 10)[0].limit_s == 120.0
    # What was slow long ago counts no more.
    assert paced(4.0, *[0.04] * 50)[0].limit_s == LEAST_S
    # A start beside seven other jobs on two cores.
    monkeypatch.setattr(machine, 'load', lambda: 8.0)
    assert Pace(0.0).limit_s == 4 * LEAST_S


def test_states_and_commands_say_whose_turn_it_is():
    def culprit(*stamps, until_ns=None):
        return _debt(held(*stamps), EPISODE, until_ns)[0]

    assert culprit(0) == 'sim_node'
    assert culprit(10_000_000) == 'controller_node'
    assert culprit(20_000_000, 10_000_000) == 'controller_node'
    assert culprit(20_000_000, 20_000_000) == 'sim_node'
    assert 'at 0.02 s' in _debt(held(20_000_000, 10_000_000), EPISODE, None)[1]
    # All was done, and a message of it is missing.
    assert culprit(20_000_000, 20_000_000, until_ns=30_000_000) == 'sim_node'
    assert culprit(30_000_000, 30_000_000, until_ns=30_000_000) == 'controller_node'


def test_a_stall_names_cause_and_remedy(monkeypatch, child):
    pace, _ = paced(*[0.04] * 30, *[0.9] * 20)

    def said():
        return explain(70.0, pace, 'controller_node', 'the command', [child])

    line = said()
    assert '\n' not in line
    assert line.startswith('no step for 70 s: controller_node owes the command and is alive')
    assert '51 steps took 40 ms each at first, 900 at last' in line
    assert 'load 1.0 on 2 cores; it hangs: look into its log' in line
    monkeypatch.setattr(machine, 'load', lambda: 9.0)
    assert 'load 9.0 on 2 cores; the machine is busy: end other jobs' in said()


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='looks into /proc')
def test_a_process_that_is_stopped_or_ended_is_called_so(child):
    child.process.send_signal(signal.SIGSTOP)
    while 'stopped' not in child.state:
        pass
    line = explain(70.0, Pace(0.0), 'controller_node', 'the command', [child])
    assert 'there was no step before' in line and 'let it go on (kill -CONT)' in line
    child.process.kill()
    child.process.wait()
    assert child.state == 'ended with exit code -9'


def test_a_run_ends_with_that_line_and_not_before_its_time(monkeypatch, tmp_path, child):
    now = [0.0]
    monkeypatch.setattr(episodes, 'time', SimpleNamespace(monotonic=lambda: now[0]))

    def spin_once(timeout_sec):
        now[0] += 10.0

    (tmp_path / 'controller_node.log').write_text('one\nwaiting for a lock\n')
    with pytest.raises(UserError, match=r'controller_node owes .*at 0.01 s.*waiting for a lock'):
        _spin(
            SimpleNamespace(spin_once=spin_once), held(10_000_000), EPISODE, [child], print,
            tmp_path,
        )  # fmt: skip
    assert now[0] == LEAST_S + 10.0


def test_a_node_that_ends_is_named_with_its_exit_code(tmp_path, child):
    child.process.kill()
    child.process.wait()
    executor = SimpleNamespace(spin_once=lambda timeout_sec: None)
    with pytest.raises(UserError, match='controller_node ended with exit code -9 before the end'):
        _spin(executor, held(0), EPISODE, [child], print, tmp_path)


def test_runs_at_once_are_apart_on_the_wire_and_alike_in_the_bag():
    other = replace(EPISODE, wire='demo_7')
    assert other.topics == EPISODE.topics
    assert set(EPISODE.wires.values()) == set(EPISODE.topics)
    wires = other.wires
    assert wires['/clock'] == '/demo_7/clock' and wires[STATE] == '/demo_7/odom'
    assert not set(wires.values()) & set(EPISODE.wires.values())
